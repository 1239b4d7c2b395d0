package policy

import (
	"maps"
	"slices"
	"strings"
)

// conditions compiles the conditions of a statement and adds every mistake in them to m. A map has no order, so they
// come in that of their operators and keys: mistakes and explanations are the same each time.
//
// What is not understood is a mistake in every statement. To drop a condition would make a statement that allows allow
// more, and to drop its statement would make one that denies deny less.
func conditions(given map[string]map[string][]string, path string, g grammar, m *mistakes) (compiled []condition) {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		at := member(path, name)
		o, ok := findOperator(name)
		if !ok {
			m.add(at, "unknown operator %q", name)
			continue
		}
		seen := map[string]bool{} // keys of this operator, in lower case
		for _, spelled := range slices.Sorted(maps.Keys(given[name])) {
			k, ok := g.keys.find(spelled)
			at := member(at, spelled)
			switch small := lower(spelled); {
			case !ok:
				m.add(at, "unknown key %q: it is none that a request to an API can have, and none that was passed to Parse or New", spelled)
			case seen[small]: // JSON has these as two names, but IAM as one key
				m.add(at, "occurs twice")
			case !o.fits(k):
				m.add(at, "%s does not fit the key, which is of type %s", name, k.typed)
			case k.list && o.quantifier == single && !o.null():
				// "Multivalued context keys require a condition set operator": without one IAM does not say which of the
				// values is compared.
				m.add(at, "the key may have several values: write ForAllValues:%s or ForAnyValue:%s", name, name)
			default:
				seen[small] = true
				c := condition{name: name, operator: o, key: k, written: slices.Clone(given[name][spelled])}
				c.compile(at, g, m)
				compiled = append(compiled, c)
			}
		}
	}
	return compiled
}

// compile compiles the values of c, and adds every mistake in them to m. The element of a value that has one is zero,
// which does not matter: no policy is made of a document with a mistake.
func (c *condition) compile(path string, g grammar, m *mistakes) {
	if len(c.written) == 0 && !m.has(path) {
		m.add(path, "empty")
	}
	// The operator says what is special in its values. An asterisk in a value of StringEquals is an asterisk.
	g.wildcards, g.arn, g.late = c.operator.comparison == like, c.operator.kind == kindARN, false
	for i, s := range c.written {
		m.addFault(element(path, i), s, c.value(s, g))
	}
}

// value compiles one value of c and returns what is wrong with it, or "" if nothing is. The operator decides how it is
// read, also where its key is of another type: aws:EpochTime is a date, and NumericLessThan reads a number for it.
func (c *condition) value(s string, g grammar) (fault string) {
	switch c.operator.kind {
	case kindText, kindARN:
		return c.pattern(s, g)
	case kindNumber:
		return read(&c.numbers, number, s)
	case kindDate:
		return read(&c.dates, date, s)
	case kindBinary:
		return read(&c.binaries, binary, s)
	case kindAddress:
		return read(&c.networks, network, s)
	}
	return read(&c.truths, boolean, s)
}

// pattern compiles one value of an operator of strings or ARNs. "Each of the six colon-delimited components of the ARN
// is checked separately", so an ARN must have all of them: one asterisk for several components would match nothing.
func (c *condition) pattern(s string, g grammar) (fault string) {
	p, fault := g.compile(s)
	whole := strings.Count(p.text, string(separator)) == partsOfARN-1 && strings.HasPrefix(p.text, "arn"+string(separator))
	if fault == "" && g.arn && !whole {
		fault = "is not an ARN"
	}
	c.patterns = append(c.patterns, p)
	return fault
}

// read appends what one reads of s to list and returns what is wrong with s.
func read[T any](list *[]T, one func(string) (T, string), s string) (fault string) {
	v, fault := one(s)
	*list = append(*list, v)
	return fault
}
