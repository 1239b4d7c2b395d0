package policy

import "strings"

// comparison is how an operator compares one value of the request with one of the document. The zero value is equal, so
// the table of operators leaves it out for Bool, IpAddress and all others that have only one comparison.
type comparison uint8

const (
	equal comparison = iota
	equalFold
	like
	less
	lessEqual
	greater
	greaterEqual
)

// quantifier says how an operator treats a key with several values.
type quantifier uint8

const (
	single    quantifier = iota // the key has one value
	forAll                      // ForAllValues
	forAnyOne                   // ForAnyValue
)

// operator is a condition operator.
type operator struct {
	kind       kind // of the values; zero for Null
	comparison comparison
	negated    bool // none of the document's values may match
	ifExists   bool // it holds if the request does not have the key; see holdsForSet for the one exception
	quantifier quantifier
}

// null reports whether o asks only whether the request has the key.
func (o operator) null() bool { return o.kind == 0 }

// operators are the operators without their prefixes and suffixes (IAM User Guide, "IAM JSON policy elements: Condition
// operators"). ArnEquals and ArnLike "behave identically". Bool and BinaryEquals have no negation. What is negated
// differs from its counterpart in this flag alone: StringNotLike compares as StringLike does, and holds where that does
// not.
var operators = map[string]operator{
	"StringEquals":              {kind: kindText},
	"StringNotEquals":           {kind: kindText, negated: true},
	"StringEqualsIgnoreCase":    {kind: kindText, comparison: equalFold},
	"StringNotEqualsIgnoreCase": {kind: kindText, comparison: equalFold, negated: true},
	"StringLike":                {kind: kindText, comparison: like},
	"StringNotLike":             {kind: kindText, comparison: like, negated: true},
	"ArnEquals":                 {kind: kindARN, comparison: like},
	"ArnNotEquals":              {kind: kindARN, comparison: like, negated: true},
	"ArnLike":                   {kind: kindARN, comparison: like},
	"ArnNotLike":                {kind: kindARN, comparison: like, negated: true},
	"NumericEquals":             {kind: kindNumber},
	"NumericNotEquals":          {kind: kindNumber, negated: true},
	"NumericLessThan":           {kind: kindNumber, comparison: less},
	"NumericLessThanEquals":     {kind: kindNumber, comparison: lessEqual},
	"NumericGreaterThan":        {kind: kindNumber, comparison: greater},
	"NumericGreaterThanEquals":  {kind: kindNumber, comparison: greaterEqual},
	"DateEquals":                {kind: kindDate},
	"DateNotEquals":             {kind: kindDate, negated: true},
	"DateLessThan":              {kind: kindDate, comparison: less},
	"DateLessThanEquals":        {kind: kindDate, comparison: lessEqual},
	"DateGreaterThan":           {kind: kindDate, comparison: greater},
	"DateGreaterThanEquals":     {kind: kindDate, comparison: greaterEqual},
	"Bool":                      {kind: kindBool},
	"BinaryEquals":              {kind: kindBinary},
	"IpAddress":                 {kind: kindAddress},
	"NotIpAddress":              {kind: kindAddress, negated: true},
	"Null":                      {},
}

// findOperator returns the operator with a name, such as "ForAnyValue:StringLikeIfExists". That is StringLike with
// ForAnyValue in front and IfExists behind; each of the two may be missing. Names are compared with
// regard to case. Null has neither a prefix nor a suffix: it already is about whether the key exists.
func findOperator(name string) (operator, bool) {
	if o, ok := operators[name]; ok {
		return o, true
	}
	base, ifExists := strings.CutSuffix(name, "IfExists")
	quantifier := single
	if rest, ok := strings.CutPrefix(base, "ForAllValues:"); ok {
		base, quantifier = rest, forAll
	} else if rest, ok := strings.CutPrefix(base, "ForAnyValue:"); ok {
		base, quantifier = rest, forAnyOne
	}
	o, ok := operators[base]
	if o.null() { // Null with a prefix or a suffix, or no operator, which gives the zero value
		return operator{}, false
	}
	o.ifExists, o.quantifier = ifExists, quantifier
	return o, ok
}

// fits reports whether o compares values of the type of k. An ARN "is considered a string", so the operators of strings
// fit it too; the other way round, most strings are no ARNs, and a condition that can never hold is a mistake.
func (o operator) fits(k key) bool {
	switch {
	case o.null(), o.kind == k.kind:
		return true
	case o.kind == kindText:
		return k.kind == kindARN
	case o.kind == kindNumber:
		return k.numeric
	}
	return false
}

// holds reports whether a comparison of a value of the request with one of the document, as cmp.Compare returns it, is
// a match. It is for numbers and dates. The request's value is on the left: NumericLessThan 10 holds for 9.
func (c comparison) holds(order int) bool {
	switch c {
	case less:
		return order < 0
	case lessEqual:
		return order <= 0
	case greater:
		return order > 0
	case greaterEqual:
		return order >= 0
	}
	return order == 0
}
