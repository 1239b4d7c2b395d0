package before

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Invoke is the action that a client performs when it calls a method of an API.
const Invoke = "execute-api:Invoke"

// Decision is the outcome of an evaluation. Only [Allow] lets a request through. The zero value refuses.
type Decision uint8

const (
	// NoMatch refuses because no statement matches.
	NoMatch Decision = iota
	// Allow lets the request through: a statement allows it and none denies it.
	Allow
	// Deny refuses because a statement denies the request.
	Deny
)

// String returns the name of d.
func (d Decision) String() string {
	switch d {
	case NoMatch:
		return "NoMatch"
	case Allow:
		return "Allow"
	case Deny:
		return "Deny"
	}
	return "invalid Decision"
}

// Policy is a valid document, compiled for evaluation. It never changes and is safe for concurrent use. The zero value
// and a nil Policy match nothing, so they refuse.
type Policy struct {
	statements []statement
	blocks     bool // evaluations index their texts by blocks, see block
}

// New returns the policy of d, which it copies. The error is every mistake in d, joined; each wraps [ErrInvalid].
func New(d Document) (*Policy, error) {
	if err := d.validate(); err != nil {
		return nil, err
	}
	p := &Policy{statements: make([]statement, len(d.Statement))}
	for i, s := range d.Statement {
		effect := Deny
		if s.Effect == "Allow" {
			effect = Allow
		}
		p.statements[i] = statement{
			effect:      effect,
			actions:     lowered(s.Action, s.NotAction), // one of the two is empty
			notAction:   len(s.NotAction) > 0,
			resources:   slices.Concat(s.Resource, s.NotResource),
			notResource: len(s.NotResource) > 0,
		}
	}
	p.blocks = p.worthBlocks()
	return p, nil
}

// worthBlocks reports whether indexing a text by blocks costs less than it saves. It does if a pattern has a question
// mark, which strings.Index cannot find, or if there are many patterns, which share the blocks.
func (p *Policy) worthBlocks() bool {
	const few = 16
	patterns := 0
	for _, s := range p.statements {
		for _, pattern := range slices.Concat(s.actions, s.resources) {
			if patterns++; patterns > few || strings.Contains(pattern, "?") {
				return true
			}
		}
	}
	return false
}

// lowered returns a copy of the patterns of both lists, in lower case.
func lowered(is, not []string) []string {
	patterns := slices.Concat(is, not)
	for i, p := range patterns {
		patterns[i] = lower(p)
	}
	return patterns
}

// Evaluate decides about an action, such as [Invoke], on a resource, the ARN of a method. Only the decision [Allow]
// permits it. Its time grows with the length of the document and the length of resource. It is below a millisecond for
// the largest document and a resource of 1600 bytes, the longest method ARN that API Gateway allows. Evaluate does not
// allocate if action is [Invoke] and resource is valid UTF-8 of at most that length.
func (p *Policy) Evaluate(action, resource string) Decision {
	if p == nil {
		return NoMatch
	}
	do, on := text{s: lower(action)}, text{s: characters(resource)}
	if p.blocks {
		var ofAction [1]block
		var ofResource [longest / column]block
		do.blocks, on.blocks = ofAction[:], ofResource[:]
	}
	decision := NoMatch
	for i := range p.statements {
		s := &p.statements[i]
		if s.effect > decision && s.matches(&do, &on) { // Deny is the greatest, so it wins
			decision = s.effect
		}
	}
	return decision
}

// characters returns s if it is valid UTF-8. Otherwise it replaces each invalid byte by a zero byte, so that each
// counts as one character and s does not grow. U+FFFD becomes a zero byte as well. Only wildcards match it: no pattern
// may hold a zero byte or U+FFFD.
func characters(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.Map(func(c rune) rune {
		if c == utf8.RuneError {
			c = 0
		}
		return c
	}, s)
}

// lower returns an action in lower case. It changes ASCII letters only: actions have no others, and the Kelvin sign,
// whose Unicode lower case is k, must not match k.
func lower(action string) string {
	if action == Invoke {
		return "execute-api:invoke"
	}
	return strings.Map(func(c rune) rune {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		return c
	}, action)
}
