package policy

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Invoke is the action of calling a method of an API.
const Invoke = "execute-api:Invoke"

// Decision is what a policy says. The zero value refuses.
type Decision uint8

const (
	// NoMatch refuses, since no statement matches.
	NoMatch Decision = iota
	// Allow is the one decision that does not refuse.
	Allow
	// Deny refuses, by a statement that says so.
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

// Policy is a valid document, ready for evaluation. It does not change and is safe for concurrent use. The zero value
// and nil match nothing.
type Policy struct {
	statements []statement
	blocks     bool // an evaluation reads its texts in blocks
}

// statement is a Statement with its lists negated or not, and its actions in lower case.
type statement struct {
	effect                 Decision
	actions, resources     []string
	notAction, notResource bool
}

// New returns the policy of d, which it copies, or every mistake in d, joined; each wraps [ErrInvalid].
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
	p.blocks = p.pays()
	return p, nil
}

// pays reports whether reading a text in blocks pays: there are question marks, or more patterns than a few.
func (p *Policy) pays() bool {
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

// lowered returns the patterns of both lists in lower case.
func lowered(is, not []string) []string {
	patterns := slices.Concat(is, not)
	for i, p := range patterns {
		patterns[i] = lower(p)
	}
	return patterns
}

// Evaluate decides whether action, say [Invoke], may be done on resource, the ARN of a method. Its time grows with the
// length of the document and with that of resource: less than a millisecond for the largest document and the 1600 bytes
// that API Gateway allows a method ARN. It does not allocate for [Invoke] and a resource that is UTF-8 of that length.
func (p *Policy) Evaluate(action, resource string) Decision {
	if p == nil {
		return NoMatch
	}
	do, on := text{s: lower(action)}, text{s: characters(resource)}
	if p.blocks {
		var action [1]block
		var resource [longest / column]block
		do.blocks, on.blocks = action[:], resource[:]
	}
	decision := NoMatch
	for i := range p.statements {
		s := &p.statements[i]
		if s.effect > decision && s.matches(&do, &on) { // Deny is the greatest
			decision = s.effect
		}
	}
	return decision
}

// characters returns s if it is UTF-8, else with a zero for each byte that is not, so that each is one character and s no
// longer than before. No pattern has that character itself, nor U+FFFD, which becomes a zero too.
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

// lower returns an action without regard to case. Only ASCII letters have one: actions are made of no others, and the
// Kelvin sign is no k.
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

func (s *statement) matches(action, resource *text) bool {
	return s.matchesAction(action) != s.notAction && s.matchesResource(resource) != s.notResource
}

func (s *statement) matchesAction(action *text) bool {
	for _, pattern := range s.actions {
		if match(pattern, action, 0, len(action.s)) {
			return true
		}
	}
	return false
}

// matchesResource reads wildcards so that the statement refuses in doubt: widely where a match denies or does not
// allow, narrowly where it allows or does not deny.
func (s *statement) matchesResource(resource *text) bool {
	wide := (s.effect == Deny) != s.notResource
	for _, pattern := range s.resources {
		if wide && match(pattern, resource, 0, len(resource.s)) || !wide && matchARN(pattern, resource) {
			return true
		}
	}
	return false
}

// matchARN is match with wildcards that stay within the colon-separated parts of an ARN. The last part is the rest,
// colons included. The last asterisk of a pattern that ends early stands for what is left of its part, and all the rest.
func matchARN(pattern string, arn *text) bool {
	if pattern == "*" {
		return true
	}
	from := 0
	for range partsOfARN - 1 {
		p, more, goesOn := strings.Cut(pattern, ":")
		n := strings.IndexByte(arn.s[from:], ':')
		if n < 0 || !match(p, arn, from, from+n) {
			return false
		}
		if !goesOn {
			return true
		}
		pattern, from = more, from+n+1
	}
	return match(pattern, arn, from, len(arn.s))
}
