package policy

import "strings"

// statement is a compiled Statement.
type statement struct {
	sid                    string
	effect                 Decision
	principals             *principals // nil if the statement has neither Principal nor NotPrincipal
	actions                []pattern   // in lower case
	resources              []resource
	notAction, notResource bool // the list is that of NotAction or NotResource
	invokes                bool // it is about the action Invoke
	conditions             []condition
}

// newStatement compiles s and adds every mistake in it to m.
//
// IAM's documentation on wildcards in ARNs can be read in two ways; the statement takes the reading that refuses. In
// the wide reading a wildcard may reach across colons, in the narrow one it stays within its part of the ARN:
//
//	Deny with Resource, Allow with NotResource    a match refuses: wide
//	Allow with Resource, Deny with NotResource    a match lets through: narrow
func newStatement(s *Statement, path string, g grammar, m *mistakes) statement {
	s.validate(path, m)
	compiled := statement{
		sid:         s.Sid,
		effect:      Deny,
		principals:  newPrincipals(s.Principal, s.NotPrincipal),
		notAction:   len(s.NotAction) > 0,
		notResource: len(s.NotResource) > 0,
		conditions:  conditions(s.Condition, path+".Condition", g, m),
	}
	if s.Effect == "Allow" {
		compiled.effect = Allow
	}
	compiled.compileActions(s.Action, path+".Action", m)
	compiled.compileActions(s.NotAction, path+".NotAction", m)
	compiled.compileResources(s.Resource, path+".Resource", g, m)
	compiled.compileResources(s.NotResource, path+".NotResource", g, m)
	compiled.invokes = compiled.acts(lower(Invoke))
	return compiled
}

// compileActions adds the patterns of Action or NotAction to s, and every mistake in them to m.
func (s *statement) compileActions(list []string, path string, m *mistakes) {
	for i, a := range list {
		m.addFault(element(path, i), a, actionFault(a))
		// The fault can only be a control character or the like, which actionFault has found already.
		p, _ := grammar{wildcards: true}.compile(lower(a))
		s.actions = append(s.actions, p)
	}
}

// compileResources adds the patterns of Resource or NotResource to s, and every mistake in them to m.
func (s *statement) compileResources(list []string, path string, g grammar, m *mistakes) {
	narrow := (s.effect == Allow) != s.notResource
	for i, r := range list {
		one, fault := newResource(r, narrow, g)
		m.addFault(element(path, i), r, fault)
		s.resources = append(s.resources, one)
	}
}

// acts reports whether s is about an action, in lower case. The patterns of NotAction are the ones that it is not
// about.
func (s *statement) acts(action string) bool {
	t := text{s: action}
	for i := range s.actions {
		if match(s.actions[i].text, &t, 0, len(action)) {
			return !s.notAction
		}
	}
	return s.notAction
}

// spares reports whether none of the patterns of NotResource matches. A pattern whose variable has no value matches
// nothing, which must not make the statement allow. If a variable cannot be judged, resource.matches returns what
// refuses: true in the wide reading, which spares nothing and does not allow, and false in the narrow one, which
// denies.
func (s *statement) spares(e *evaluation) bool {
	e.unresolved = false
	for i := range s.resources {
		if s.resources[i].matchesFromStart(e) {
			return false
		}
	}
	return s.effect == Deny || !e.unresolved
}

// grants returns by which name of the caller s applies to a request with its action and its resource: nobody if it does
// not apply. In a policy of a resource, a statement that names no principal allows nobody and denies everybody.
func (s *statement) grants(e *evaluation, ofResource bool) grant {
	deny := s.effect == Deny
	acts := s.invokes // nearly every request has this action, so it is compared once, when the document is compiled
	if !e.invoke {
		acts = s.acts(e.action)
	}
	if !acts || ofResource && s.principals == nil && !deny {
		return nobody
	}
	g := s.principals.grants(e, deny)
	if g == nobody {
		return nobody
	}
	// Conditions come last: they alone may need the clock, tags or long texts.
	for i := range s.conditions {
		if !s.conditions[i].holds(e, deny) {
			return nobody
		}
	}
	return g
}

// resource is a compiled pattern of a resource. It is divided after the text that every match begins with, by which
// index finds it. "arn:aws:execute-api:*:*:api/Prod/GET/a" is divided after "arn:aws:execute-api:".
type resource struct {
	prefix string  // of a short form, without "execute-api:"
	rest   pattern // empty if there is nothing special in the whole pattern
	parts  bool    // the wildcards of rest stay within the parts of an ARN
	early  bool    // it ends in an asterisk before the sixth part, which stands for the parts that follow as well
	short  bool    // it begins at the stage, as "execute-api:/Prod/GET/*" does
	wide   bool    // a match refuses
}

// shortService is what the short form of a resource begins with. It leaves out the ARN up to the API's id ("Statement
// reference of IAM policies for executing APIs", "simplified execute-api resource").
const shortService = "execute-api:"

// newResource compiles a pattern of a resource and returns what is wrong with it, or "" if nothing is.
func newResource(s string, narrow bool, g grammar) (r resource, fault string) {
	if s == "*" {
		r.rest = pattern{text: stars, stars: 1}
		return r, ""
	}
	if fault := resourceFault(s); fault != "" {
		return r, fault
	}
	g.wildcards, g.arn, g.late, r.wide = true, narrow, true, !narrow
	if stage, ok := strings.CutPrefix(s, shortService); ok {
		s, g.arn, g.late, r.short = stage, false, false, true
	}
	p, fault := g.compile(s)
	r.prefix = p.literal()
	r.rest = pattern{text: p.text[len(r.prefix):], stars: p.stars, variables: p.variables}
	// In the wide reading nothing has separators: an asterisk reaches across colons anyway. In the narrow one, wildcards
	// that all stand in the sixth part have no separator after them, and need no division either.
	r.early = g.arn && strings.Count(p.text, string(separator)) < partsOfARN-1
	r.parts = r.early || strings.Contains(r.rest.text, string(separator))
	return r, fault
}

// matches reports whether r matches the resource of a request that begins with its prefix up to an offset. If the value
// of a variable cannot be judged, it does if a match refuses.
func (r *resource) matches(e *evaluation, from int) bool {
	t := &e.resource
	switch {
	case r.rest.text == "":
		return from == len(t.s)
	case r.rest.text == stars && !r.parts: // the most common ending, as of …/Prod/GET/*
		return true
	case len(r.rest.variables) > 0:
		e.unfit = false
		return r.rest.matchesFilled(t, from, e, r.parts, r.early) || e.unfit && r.wide
	case r.parts:
		return matchParts(r.rest.text, t, from, r.early)
	}
	return match(r.rest.text, t, from, len(t.s))
}

// matchesFromStart reports whether r matches the resource of a request. It is for NotResource, whose patterns are in no
// index: all of them must be asked.
func (r *resource) matchesFromStart(e *evaluation) bool {
	from := 0
	if r.short {
		if from = e.stage(); from < 0 {
			return false
		}
	}
	return strings.HasPrefix(e.resource.s[from:], r.prefix) && r.matches(e, from+len(r.prefix))
}
