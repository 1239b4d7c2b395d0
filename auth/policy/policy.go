package policy

import (
	"slices"
	"strings"
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
}

// statement is a Statement with its lists negated or not.
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
			actions:     slices.Concat(s.Action, s.NotAction), // one of the two is empty
			notAction:   len(s.NotAction) > 0,
			resources:   slices.Concat(s.Resource, s.NotResource),
			notResource: len(s.NotResource) > 0,
		}
	}
	return p, nil
}

// Evaluate decides whether action, say [Invoke], may be done on resource, the ARN of a method. It does not allocate.
func (p *Policy) Evaluate(action, resource string) Decision {
	if p == nil {
		return NoMatch
	}
	decision := NoMatch
	for i := range p.statements {
		s := &p.statements[i]
		if s.effect > decision && s.matches(action, resource) { // Deny is the greatest
			decision = s.effect
		}
	}
	return decision
}

func (s *statement) matches(action, resource string) bool {
	return s.matchesAction(action) != s.notAction && s.matchesResource(resource) != s.notResource
}

func (s *statement) matchesAction(action string) bool {
	for _, pattern := range s.actions {
		if glob(pattern, action, fold) {
			return true
		}
	}
	return false
}

// matchesResource reads wildcards so that the statement refuses in doubt: widely where a match denies or does not
// allow, narrowly where it allows or does not deny.
func (s *statement) matchesResource(resource string) bool {
	wide := (s.effect == Deny) != s.notResource
	for _, pattern := range s.resources {
		if wide && glob(pattern, resource, exact) || !wide && globARN(pattern, resource) {
			return true
		}
	}
	return false
}

// globARN is glob with wildcards that stay within the colon-separated parts of an ARN. The last part is the rest,
// colons included.
func globARN(pattern, arn string) bool {
	if pattern == "*" {
		return true
	}
	for range partsOfARN - 1 {
		p, morePattern, okPattern := strings.Cut(pattern, ":")
		s, moreARN, okARN := strings.Cut(arn, ":")
		if !okPattern || !okARN || !glob(p, s, exact) {
			return false
		}
		pattern, arn = morePattern, moreARN
	}
	return glob(pattern, arn, exact)
}

// glob reports whether s is what pattern stands for: '*' for any characters, '?' for one, others for themselves by
// same. It goes back to the last asterisk alone, so it takes len(pattern)*len(s) steps at most.
func glob(pattern, s string, same func(a, b byte) bool) bool {
	p, i := 0, 0
	star, resume := -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || same(pattern[p], s[i])):
			p++
			i++
		case star >= 0: // let the last asterisk stand for one character more
			resume++
			p, i = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

func exact(a, b byte) bool { return a == b }

// fold ignores the case of ASCII letters, of which actions are made.
func fold(a, b byte) bool {
	return a == b || a|0x20 == b|0x20 && 'a' <= a|0x20 && a|0x20 <= 'z'
}
