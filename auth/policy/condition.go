package policy

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// condition is a compiled condition: an operator, a key, and the values of the document. Which list holds the values
// depends on the kind that the operator compares.
type condition struct {
	name     string // the operator as the document has it
	operator operator
	key      key
	written  []string // the values as the document has them

	// One of these, by operator.kind. Null has its values in truths.
	patterns []pattern // of kindText and kindARN
	numbers  []float64
	dates    []time.Time
	truths   []bool
	binaries []string // the bytes, not their base64
	networks []netip.Prefix
}

// holds reports whether c holds for a request. Deny is whether the statement denies: then what cannot be judged holds,
// so that the request is refused either way.
func (c *condition) holds(e *evaluation, deny bool) bool {
	v := e.value(&c.key)
	switch {
	case c.operator.null() && v.unknown:
		return deny
	case c.operator.null():
		// "true (the key doesn't exist — it is null) or false (the key exists and its value is not null)". A value that
		// cannot be judged exists.
		return slices.Contains(c.truths, v.presence == absent)
	case v.presence == unfit:
		return deny
	case c.operator.quantifier != single:
		return c.holdsForSet(&v, e, deny)
	case v.presence == absent:
		// "If the policy condition requires that the key is not matched […] and the right key is not present, the
		// condition is true." IfExists holds as well.
		return c.operator.negated || c.operator.ifExists
	}
	return c.holdsFor(&v, e, deny)
}

// holdsForSet is holds for the operators with ForAllValues and ForAnyValue. ForAllValues holds if there are no values,
// ForAnyValue does not. "An empty data set (for example, an empty string)" has none (IAM User Guide, "Single-valued vs.
// multivalued context keys").
func (c *condition) holdsForSet(v *value, e *evaluation, deny bool) bool {
	all := c.operator.quantifier == forAll
	if v.presence == absent {
		// IAM's documentation says of ForAnyValue that it is false for an absent key, and of IfExists that it is true. It
		// is silent about both together, so they refuse.
		return all || c.operator.ifExists && deny
	}
	if !c.key.list {
		if c.isText() && v.text == "" {
			return all
		}
		return c.holdsFor(v, e, deny)
	}
	for _, element := range v.list {
		if c.holdsFor(&value{presence: present, text: element}, e, deny) != all {
			return !all
		}
	}
	return all
}

// isText reports whether c compares texts, which may be empty.
func (c *condition) isText() bool { return c.operator.kind == kindText || c.operator.kind == kindARN }

// holdsFor reports whether c holds for one value: one of the document's values matches it, or none if c is negated. A
// pattern whose variable has no value matches nothing. That must not make a negation allow. If the value of a variable
// cannot be judged, the pattern may match or not, so the condition refuses.
//
// For example, StringNotEquals with the values "a" and "${aws:username}", for a caller that is no user, whose
// aws:username is absent:
//
//	the request has a    "a" matches, so the negation does not hold; the variable does not matter
//	the request has b    nothing matches, but only since the variable has no value: deny decides
func (c *condition) holdsFor(v *value, e *evaluation, deny bool) bool {
	e.unresolved, e.unfit = false, false
	switch matched := c.matches(v, e); {
	case matched:
		return !c.operator.negated
	case e.unfit, c.operator.negated && e.unresolved:
		return deny
	}
	return c.operator.negated
}

// matches reports whether one of the document's values matches v. "If you specify multiple values for a single
// condition key, AWS evaluates the condition using a logical OR operation"; holdsFor turns it round for a negation,
// which makes it a NOR.
func (c *condition) matches(v *value, e *evaluation) bool {
	o := c.operator
	switch o.kind {
	case kindText, kindARN:
		return c.matchesText(v.text, e)
	case kindNumber:
		n := v.number
		if c.key.kind == kindDate { // aws:EpochTime, which both families of operators fit
			n = float64(v.date.Unix())
		}
		return slices.ContainsFunc(c.numbers, func(want float64) bool { return o.comparison.holds(cmp.Compare(n, want)) })
	case kindDate:
		return slices.ContainsFunc(c.dates, func(want time.Time) bool { return o.comparison.holds(v.date.Compare(want)) })
	case kindBool:
		return slices.Contains(c.truths, v.truth)
	case kindBinary:
		return slices.Contains(c.binaries, v.text)
	}
	// Contains is false for a network of the other IP version. 0.0.0.0/0 has no address of IPv6.
	return slices.ContainsFunc(c.networks, func(n netip.Prefix) bool { return n.Contains(v.address) })
}

// matchesText is matches for the operators of strings and ARNs. Those without wildcards compare s as it is. For the
// others s must be UTF-8, in which a question mark counts characters.
func (c *condition) matchesText(s string, e *evaluation) bool {
	if c.operator.comparison != like {
		return slices.ContainsFunc(c.patterns, func(p pattern) bool { return p.equals(s, c.operator.comparison, e) })
	}
	return c.matchesLike(e.like(s), e)
}

// matchesLike reports whether a pattern matches t, in its parts if they are those of an ARN.
func (c *condition) matchesLike(t *text, e *evaluation) bool {
	for i := range c.patterns {
		p, matched := &c.patterns[i], false
		switch parts := c.operator.kind == kindARN; {
		case len(p.variables) > 0: // only these need room for the filled pattern, which must be cleared each time
			matched = p.matchesFilled(t, 0, e, parts, false) // condition.pattern has refused what ends early
		case parts:
			matched = matchParts(p.text, t, 0, false)
		default:
			matched = match(p.text, t, 0, len(t.s))
		}
		if matched {
			return true
		}
	}
	return false
}

// equals reports whether p, which has no wildcards, is s.
func (p *pattern) equals(s string, how comparison, e *evaluation) bool {
	want := p.text
	if len(p.variables) > 0 {
		const folded = 3 // a letter is at most that many times as long as its other case: k and the Kelvin sign
		var room [(folded + 1) * maxValue]byte
		filled, ok := p.fill(room[:0], e, folded*len(s))
		if !ok {
			return false
		}
		want = view(filled)
	}
	if how == equalFold {
		return strings.EqualFold(want, s)
	}
	return want == s
}
