package policy

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Explanation says how a decision has come about, for people.
type Explanation struct {
	// Decision is the decision.
	Decision Decision

	// Why says which policies of a [Set] have refused: "no statement of the identity-based policy allows it". Then a
	// statement of another policy may apply and not be enough. For example, a resource policy that allows an account
	// needs a policy of the caller that allows as well. Why is empty if the decision is Allow, and for a [Policy] alone.
	Why string

	// Steps are the statements of all policies in order. Each is followed by its elements: Principal, Action and
	// Resource, or their negations, and the conditions, by operator and key.
	Steps []Step
}

// Step is what one statement, or one element of it, makes of a request.
type Step struct {
	// Path is the place in the document, such as "Statement[0]" or "Statement[0].Condition.IpAddress.aws:SourceIp". In
	// an explanation of a [Set] it begins with the place in the set, such as "Identity[0].Statement[0]".
	Path string

	// Holds says whether the element is fulfilled. A statement applies if all of its elements are.
	Holds bool

	// Saw is the value in the request, and empty if the request has none. It is empty for a statement.
	Saw string

	// Want are the values of the document. For a statement they are its Effect and, if it has one, its Sid.
	Want []string
}

// Explain says how the decision of [Policy.Evaluate] about r comes about. It takes much longer than an evaluation.
func (p *Policy) Explain(r *Request) Explanation {
	r = r.timed()
	return Explanation{Decision: p.Evaluate(r), Steps: p.explain("", r, false)}
}

// Explain says how the decision of [Set.Evaluate] about r comes about. It takes much longer than an evaluation.
func (s *Set) Explain(r *Request) Explanation {
	r = r.timed()
	if r.Principal == "" { // a caller without credentials has no policies that could allow
		return s.explain(authNone, s.Evaluate(r), r)
	}
	return s.explain(authIAM, s.Evaluate(r), r)
}

// explain returns the explanation of a decision that was made about r under an authorization type.
func (s *Set) explain(authorization string, d Decision, r *Request) Explanation {
	e := Explanation{Decision: d}
	if d != Allow {
		e.Why = why(authorization, s, r).detail()
	}
	for i, p := range s.Identity {
		e.Steps = append(e.Steps, p.explain(fmt.Sprintf("Identity[%d].", i), r, false)...)
	}
	e.Steps = append(e.Steps, s.Resource.explain("Resource.", r, true)...)
	for i, p := range s.Session {
		e.Steps = append(e.Steps, p.explain(fmt.Sprintf("Session[%d].", i), r, false)...)
	}
	e.Steps = append(e.Steps, s.Boundary.explain("Boundary.", r, false)...)
	return e
}

// explain returns the steps of p, whose paths begin with a prefix. OfResource is whether p is the policy of a resource.
// p may be nil.
func (p *Policy) explain(prefix string, r *Request, ofResource bool) (steps []Step) {
	if p == nil {
		return nil
	}
	for i := range p.source.Statement {
		s := &p.source.Statement[i]
		path := fmt.Sprintf("%sStatement[%d]", prefix, i)
		want := []string{s.Effect}
		if s.Sid != "" {
			want = append(want, s.Sid)
		}
		steps = append(steps, Step{Path: path, Holds: p.applies(*s, r, ofResource), Want: want})
		if ofResource && s.Effect == "Allow" && len(s.Principal)+len(s.NotPrincipal) == 0 {
			steps = append(steps, Step{Path: path + ".Principal", Saw: p.caller(r)}) // it allows nobody
		}
		steps = append(steps, p.elements(path, s, r)...)
	}
	return steps
}

// elements returns the steps of the elements of one statement. Each is evaluated as a statement that has this element
// alone and the effect of s: what cannot be judged holds where it denies, and does not where it allows.
func (p *Policy) elements(path string, s *Statement, r *Request) (steps []Step) {
	add := func(name, saw string, want []string, alone Statement) {
		if len(want) > 0 {
			alone.Effect = s.Effect
			steps = append(steps, Step{path + "." + name, p.applies(alone, r, false), saw, want})
		}
	}
	caller, action := p.caller(r, s.Principal["Federated"], s.NotPrincipal["Federated"]), r.Action
	if action == "" {
		action = Invoke
	}
	add("Principal", caller, callers(s.Principal), Statement{Principal: s.Principal})
	add("NotPrincipal", caller, callers(s.NotPrincipal), Statement{NotPrincipal: s.NotPrincipal})
	add("Action", action, s.Action, Statement{Action: s.Action})
	add("NotAction", action, s.NotAction, Statement{NotAction: s.NotAction})
	add("Resource", r.Resource, s.Resource, Statement{Resource: s.Resource})
	add("NotResource", r.Resource, s.NotResource, Statement{NotResource: s.NotResource})
	for _, operator := range slices.Sorted(maps.Keys(s.Condition)) {
		for _, name := range slices.Sorted(maps.Keys(s.Condition[operator])) {
			values := s.Condition[operator][name]
			add(member(member("Condition", operator), name), p.saw(name, r), values,
				Statement{Condition: map[string]map[string][]string{operator: {name: values}}})
		}
	}
	return steps
}

// applies reports whether a statement of p, or an element of one, applies to r. What the statement leaves out fits
// everything. The evaluator itself answers, so that an explanation cannot differ from it.
func (p *Policy) applies(s Statement, r *Request, ofResource bool) bool {
	if len(s.Action)+len(s.NotAction) == 0 {
		s.Action = []string{"*"}
	}
	if len(s.Resource)+len(s.NotResource) == 0 {
		s.Resource = []string{"*"}
	}
	alone, err := New(Document{Version: p.source.Version, Statement: []Statement{s}}, p.own...)
	if err != nil { // not reached: New has accepted the document that s is of
		return false
	}
	// The one statement allows or denies if it applies, and nothing matches otherwise.
	decision, _ := alone.decide(r, ofResource)
	return decision != NoMatch
}

// saw returns the value of a condition key in r as text, or "" if r does not have it. It may quote what a client has
// sent, and line bounds it.
func (p *Policy) saw(name string, r *Request) string {
	k, _ := newKeys(p.own, new(mistakes)).find(name)
	e := evaluation{r: r}
	v := e.value(&k)
	switch {
	case v.presence == unfit:
		return unfitText(&k, r)
	case v.presence == absent:
		return ""
	case k.list:
		return fmt.Sprintf("%q", v.list)
	case k.kind == kindBinary:
		return fmt.Sprintf("%x", v.text)
	}
	b, _ := e.insert(nil, &k)
	return string(b)
}

// unfitText says what is wrong with a value that cannot be compared. If the zero value of its Go type could be, the
// type is right and the value is beyond the bounds. A field of Request has the right type always.
func unfitText(k *key, r *Request) string {
	given, _ := lookUp(r.Values, k.name)
	switch {
	case k.source != fromValues:
	case given == nil:
		return "what cannot be compared, nil for a key of type " + k.typed
	case (k.kind == kindAddress || k.kind == kindDate) && reflect.ValueOf(given).IsZero():
		return fmt.Sprintf("what cannot be compared, a zero %T for a key of type %s", given, k.typed)
	case convert(reflect.Zero(reflect.TypeOf(given)).Interface(), k).presence == unfit:
		return fmt.Sprintf("what cannot be compared, a %T for a key of type %s", given, k.typed)
	}
	return "what cannot be compared, as it is too large"
}

// caller returns the names of the caller of r that the entries of a Principal are compared with, those of its provider
// only if there are entries for providers.
func (p *Policy) caller(r *Request, providers ...[]string) string {
	names := []string{r.Principal, r.SessionIssuer}
	if len(slices.Concat(providers...)) > 0 {
		names = append(names, p.saw(provider.name, r))
	}
	return strings.Join(slices.DeleteFunc(names, func(name string) bool { return name == "" }), ", ")
}

// callers returns the entries of a Principal or NotPrincipal, kind by kind, in an order that is the same each time.
func callers(principal map[string][]string) (list []string) {
	for _, kind := range slices.Sorted(maps.Keys(principal)) {
		list = append(list, principal[kind]...)
	}
	return list
}

// String returns the explanation as text, a line for each step. Of a [Set], the first line has Why as well:
//
//	NoMatch
//	Statement[0] Allow does not apply
//	  yes Action: execute-api:Invoke, want [execute-api:Invoke]
//	  yes Resource: arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/a, want [*]
//	  no  IpAddress aws:SourceIp: 198.51.100.7, want [203.0.113.0/24]
func (e Explanation) String() string {
	var b strings.Builder
	b.WriteString(e.Decision.String())
	if e.Why != "" {
		b.WriteString(": " + e.Why)
	}
	for _, s := range e.Steps {
		b.WriteString("\n" + s.line())
	}
	return b.String()
}

// line returns the line of a step. The path of a statement ends with "Statement[0]"; what comes after the next dot is
// the element.
func (s *Step) line() string {
	_, element, found := strings.Cut(s.Path[strings.Index(s.Path, "Statement["):], ".")
	if !found {
		return fmt.Sprintf("%s %s %s", s.Path, printable(strings.Join(s.Want, " ")), choose(s.Holds, "applies", "does not apply"))
	}
	if rest, condition := strings.CutPrefix(element, "Condition."); condition {
		element = strings.Replace(rest, ".", " ", 1)
	}
	saw := "nothing"
	if s.Saw != "" {
		saw = clip(printable(s.Saw))
	}
	want := printable(strings.Join(s.Want, ", "))
	return fmt.Sprintf("  %-3s %s: %s, want [%s]", choose(s.Holds, "yes", "no"), element, saw, want)
}

// printable quotes a text with which a client or an author could write a line of their own.
func printable(s string) string {
	if strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return strconv.Quote(s)
	}
	return s
}

// choose returns yes or no.
func choose(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}
