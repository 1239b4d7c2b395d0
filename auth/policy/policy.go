package policy

import (
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Invoke is the action that a client performs when it calls a method of an API.
const Invoke = "execute-api:Invoke"

// Decision is the outcome of an evaluation. Only [Allow] lets a request through. The zero value refuses.
type Decision uint8

// The order of the decisions is that of their strength, and Set and Gateway calculate with it. If one of two policies
// that allows is enough, the decision is the greater: Deny wins over Allow, and Allow over NoMatch. If both must allow
// and none denies, it is the smaller: NoMatch wins over Allow.
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
	index      index // of all patterns of Resource, but for those of the short form
	shorts     index // of those of the short form, which begin at the stage
	nots       []int // the statements with NotResource; most resources do not match these patterns, so no index helps
	blocks     bool  // evaluations index long texts by blocks, see block

	source Document // as it was written, for Explain and Lint
	own    []Key
}

// New returns the policy of d, which it copies. The document may use the condition keys of AWS and those of own. The
// error is every mistake in d and own, joined; each wraps [ErrInvalid].
func New(d Document, own ...Key) (*Policy, error) {
	var m mistakes
	p := compile(&d, own, &m)
	if err := m.join(); err != nil {
		return nil, err
	}
	return p, nil
}

// compile returns the policy of d, and adds every mistake in d and own to m. With a mistake the policy is useless. A
// statement of which m has a mistake already was no object, and has nothing to compile.
func compile(d *Document, own []Key, m *mistakes) *Policy {
	g := grammar{variables: d.Version == version2012, keys: newKeys(own, m)}
	d.validate(m)
	p := &Policy{}
	if len(d.Statement) > maxStatements {
		return p
	}
	for i := range d.Statement {
		if path := element("Statement", i); !m.at(path) {
			p.statements = append(p.statements, newStatement(&d.Statement[i], path, g, m))
		}
	}
	if n := p.costly(); n > maxCostly {
		m.add("Statement", "%d patterns with variables, or with wildcards or IgnoreCase for a key of several values, at most %d", n, maxCostly)
	}
	p.fillIndexes() // last: the indexes point into p.statements, which append would move
	p.source, p.own = d.clone(), slices.Clone(own)
	return p
}

// maxCostly is how many patterns a document may have that take more time for longer values of the request than for
// longer documents: so an evaluation stays below a millisecond.
const maxCostly = 100

// costly returns the number of these patterns in p: those with variables, and those with wildcards or without regard to
// case for a key that may have several values. A pattern without regard to case counts as three if it may have letters
// that are not ASCII: to find the other cases of such a letter takes that much longer.
func (p *Policy) costly() (n int) {
	for i := range p.statements {
		for _, r := range p.statements[i].resources {
			if len(r.rest.variables) > 0 {
				n++
			}
		}
		for _, c := range p.statements[i].conditions {
			fold := c.operator.comparison == equalFold
			for _, one := range c.patterns {
				variables := len(one.variables) > 0
				switch {
				case !variables && !(c.key.list && (fold || strings.ContainsAny(one.text, stars+marks))):
				case fold && (variables || strings.ContainsFunc(one.text, func(c rune) bool { return c >= utf8.RuneSelf })):
					n += 3
				default:
					n++
				}
			}
		}
	}
	return n
}

// fillIndexes fills the indexes of p, and finds out whether its patterns are worth blocks. The statements of p must not
// move any more.
func (p *Policy) fillIndexes() {
	var long, short []indexed
	var patterns []pattern
	for i := range p.statements {
		s := &p.statements[i]
		if s.notResource {
			p.nots = append(p.nots, i)
		}
		for _, c := range s.conditions {
			patterns = append(patterns, c.patterns...)
		}
		for j := range s.resources {
			r := &s.resources[j]
			patterns = append(patterns, r.rest)
			switch {
			case s.notResource:
			case r.short:
				short = append(short, indexed{i, r})
			default:
				long = append(long, indexed{i, r})
			}
		}
	}
	p.index, p.shorts, p.blocks = newIndex(long, 0), newIndex(short, 0), worthBlocks(patterns)
}

// worthBlocks reports whether indexing a text by blocks costs less than it saves. It does if a pattern has a question
// mark, which strings.Index cannot find, or if there are many patterns, which share the blocks.
func worthBlocks(patterns []pattern) bool {
	const some = 16
	return len(patterns) > some || slices.ContainsFunc(patterns, func(p pattern) bool { return strings.Contains(p.text, marks) })
}

// Keys returns the names of the condition keys that p asks for, in conditions and as variables, in alphabetical order.
// If a statement names principals, aws:PrincipalArn is one of them; so is aws:FederatedProvider if one is of kind
// Federated. A request that comes without a key is judged as one that does not have it, so make sure that your requests
// bring what they have.
func (p *Policy) Keys() []string {
	names := map[string]bool{}
	ask := func(patterns ...pattern) {
		for _, one := range patterns {
			for _, v := range one.variables {
				names[v.key.name] = true
			}
		}
	}
	if p == nil {
		return nil
	}
	for i := range p.statements {
		// "*" next to other entries makes them meaningless: everybody is everybody.
		if who := p.statements[i].principals; who != nil && !who.everybody {
			names[globals["aws:principalarn"].name] = true
			if len(who.providers) > 0 {
				names[provider.name] = true
			}
		}
		for _, r := range p.statements[i].resources {
			ask(r.rest)
		}
		for _, c := range p.statements[i].conditions {
			names[c.key.name] = true
			ask(c.patterns...)
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// Evaluate decides about r. Only the decision [Allow] permits it. Its time grows with the length of the document and
// the length of the resource. It is below a millisecond for the largest document and a resource of 1600 bytes, the
// longest method ARN that API Gateway allows. Evaluate does not allocate if the action is [Invoke] and the resource is
// valid UTF-8 of at most that length.
func (p *Policy) Evaluate(r *Request) Decision {
	d, _ := p.decide(r, false)
	return d
}

// decide is Evaluate, and also returns the greatest grant of the statements that allow. OfResource is whether p is the
// policy of a resource.
func (p *Policy) decide(r *Request, ofResource bool) (Decision, grant) {
	if p == nil || len(p.statements) == 0 {
		return NoMatch, nobody
	}
	e := evaluation{r: r, resource: text{s: characters(r.Resource)}}
	e.invoke = r.Action == "" || r.Action == Invoke
	if !e.invoke {
		e.action = lower(r.Action)
	}
	if p.blocks && r.long() {
		return p.judgeLong(&e, ofResource)
	}
	return p.judge(&e, ofResource)
}

// judgeLong is judge with room for indexes of the resource, and of a value that conditions compare. The room is 25 and
// 32 blocks of 264 bytes, 15 kB of the stack. It is a function of its own so that judge does not clear it for short
// texts.
//
//go:noinline
func (p *Policy) judgeLong(e *evaluation, ofResource bool) (Decision, grant) {
	var resource [longest / column]block
	var value [maxValue / column]block
	long := *e // a copy, so that the room need not be on the heap
	long.resource.blocks, long.liked.blocks = resource[:], value[:]
	return p.judge(&long, ofResource)
}

// judge finds the statements about the resource of a request, and among these the ones that apply. It stops at the
// first one that denies. One that allows does not end the search, since a later one may deny.
func (p *Policy) judge(e *evaluation, ofResource bool) (decision Decision, most grant) {
	var about statements
	p.find(e, &about)
	for i := about.next(0); i >= 0; i = about.next(i + 1) {
		s := &p.statements[i]
		if s.effect == Allow && most == direct {
			continue // it cannot give more, so its conditions need no evaluation
		}
		g := s.grants(e, ofResource)
		switch {
		case g == nobody:
		case s.effect == Deny:
			return Deny, nobody
		default:
			decision, most = Allow, max(most, g)
		}
	}
	return decision, most
}

// find adds the statements about the resource of a request to about.
func (p *Policy) find(e *evaluation, about *statements) {
	p.index.find(e, 0, about)
	if p.shorts.has() {
		if from := e.stage(); from >= 0 {
			p.shorts.find(e, from, about)
		}
	}
	for _, i := range p.nots {
		if p.statements[i].spares(e) {
			about.add(i)
		}
	}
}

// evaluation is the state of one evaluation. It belongs to one goroutine, and lives on its stack.
//
// A pattern sets unresolved and unfit when it is filled, and nothing clears them afterwards. So holdsFor,
// resource.matches and spares each clear what they are going to read before they ask a pattern. Then the flags are
// about the patterns of one condition, of one resource, or of one NotResource.
type evaluation struct {
	r          *Request
	invoke     bool   // the action is Invoke
	action     string // in lower case, if it is another
	resource   text
	unresolved bool      // a variable of a pattern had no value
	unfit      bool      // a variable of a pattern had a value that cannot be judged
	clock      time.Time // when the clock was read, or zero
	given      string    // the value that conditions have last compared with patterns
	liked      text      // given as a text
}

// like returns s as a text. Conditions that compare one value share it, with the blocks that earlier ones have filled.
// The blocks of another value are cleared, as far as they were filled.
func (e *evaluation) like(s string) *text {
	if s != e.given {
		clear(e.liked.blocks[:e.liked.read])
		e.given, e.liked.s, e.liked.read = s, characters(s), 0
	}
	return &e.liked
}

// stage returns the offset of the slash before the stage in the ARN of a method, or -1 if the resource is none. Of
// arn:aws:execute-api:eu-west-1:123456789012:api/Prod/GET/a it is that of /Prod, where the short form of a resource
// begins.
func (e *evaluation) stage() int {
	s := e.resource.s
	from := 0
	for part := range partsOfARN - 1 {
		n := strings.IndexByte(s[from:], ':')
		if n < 0 || part == partService && s[from:from+n+1] != shortService {
			return -1
		}
		from += n + 1
	}
	n := strings.IndexByte(s[from:], '/')
	if n < 0 {
		return -1
	}
	return from + n
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

// lower returns s in lower case. It changes ASCII letters only: actions and names of keys have no others, and the
// Kelvin sign, whose Unicode lower case is k, must not match k.
func lower(s string) string {
	return strings.Map(func(c rune) rune {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		return c
	}, s)
}
