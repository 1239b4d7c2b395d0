package policy

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Warning is what [Policy.Lint] says about one place of a document.
type Warning struct {
	// Path is the place, such as "Statement[0].Action[1]".
	Path string

	// Code names the check. In capitals it is a check of IAM Access Analyzer, such as "REDUNDANT_ACTION"; in lower case
	// it is one of this package, such as "unreachable".
	Code string

	// Message says what is wrong and what to do.
	Message string
}

// String returns the path, the code and the message.
func (w Warning) String() string { return w.Path + ": " + w.Code + ": " + w.Message }

// Lint returns what is valid in the document of p and hardly meant, in the order of the document. The package
// documentation lists the checks.
func (p *Policy) Lint() []Warning {
	if p == nil {
		return nil
	}
	l := linter{doc: &p.source, keys: newKeys(p.own, new(mistakes))}
	l.document()
	return l.warnings
}

// linter collects the warnings about one document. New has accepted the document, so the checks rely on its form: each
// operator and key is known, and each statement has either of Action and NotAction.
type linter struct {
	doc      *Document
	keys     keys
	warnings []Warning
}

// warn adds a warning.
func (l *linter) warn(path, code, format string, args ...any) {
	l.warnings = append(l.warnings, Warning{path, code, fmt.Sprintf(format, args...)})
}

// variables reports whether the version of the document has policy variables.
func (l *linter) variables() bool { return l.doc.Version == version2012 }

// document makes all checks.
func (l *linter) document() {
	if l.doc.Version == "" {
		l.warn("Version", "MISSING_VERSION", "without it the version is %s, which has no policy variables: write %s",
			version2008, version2012)
	}
	sids := map[string]int{}
	for i := range l.doc.Statement {
		s, path := &l.doc.Statement[i], fmt.Sprintf("Statement[%d]", i)
		if first, twice := sids[s.Sid]; twice && s.Sid != "" {
			l.warn(path+".Sid", "UNIQUE_SIDS_RECOMMENDED", "%q is the Sid of Statement[%d] as well", s.Sid, first)
		} else {
			sids[s.Sid] = i
		}
		l.lists(path, s)
		l.allows(path, s)
		l.conditions(path, s)
		l.others(i, path, s)
	}
}

// lists warns of patterns that another pattern of the same list covers.
func (l *linter) lists(path string, s *Statement) {
	l.list(path+".Action", "REDUNDANT_ACTION", s.Action, coversAction)
	l.list(path+".NotAction", "REDUNDANT_ACTION", s.NotAction, coversAction)
	l.list(path+".Resource", "REDUNDANT_RESOURCE", s.Resource, l.coversResource)
	l.list(path+".NotResource", "REDUNDANT_RESOURCE", s.NotResource, l.coversResource)
}

// coversResource is the function of that name, with variables if the document has them.
func (l *linter) coversResource(wide, narrow string) bool {
	return coversResource(wide, narrow, l.variables())
}

// list warns of each pattern of one list that another one covers. It compares all pairs: a document of 10 240 bytes has
// some thousand patterns at most, and coversText tells most of the million pairs apart by their ends.
func (l *linter) list(path, code string, patterns []string, by func(wide, narrow string) bool) {
	for i, narrow := range patterns {
		for j, wide := range patterns {
			// Of two that cover each other, the second is redundant.
			if i != j && by(wide, narrow) && (j < i || !by(narrow, wide)) {
				l.warn(fmt.Sprintf("%s[%d]", path, i), code, "%q is covered by %q", narrow, wide)
				break
			}
		}
	}
}

// allows warns of statements that allow what nobody has listed. A negation in a statement that denies is the opposite:
// it denies all but what is listed, which is often what is meant.
func (l *linter) allows(path string, s *Statement) {
	if s.Effect != "Allow" {
		return
	}
	if len(s.NotPrincipal) > 0 {
		l.warn(path+".NotPrincipal", "ALLOW_WITH_NOT_PRINCIPAL",
			"it allows everybody else, also without credentials: list the callers in Principal")
	}
	if len(s.NotAction) > 0 && slices.ContainsFunc(s.Resource, func(r string) bool { return strings.Contains(r, "*") }) {
		l.warn(path+".NotAction", "allow_with_not_action",
			"with a wildcard in Resource it allows every other action, also a future one: list the actions in Action")
	}
	if len(s.NotResource) > 0 {
		l.warn(path+".NotResource", "allow_with_not_resource",
			"it allows every other resource, also a future one: list the resources in Resource")
	}
}

// others warns of a statement that changes nothing because of what other statements say. It says so once: for the first
// statement that is the reason. Of two statements that cover each other only the second is redundant.
func (l *linter) others(i int, path string, s *Statement) {
	if !l.concerns(s) {
		l.warn(path, "unreachable", "no request for %s matches its actions and resources", Invoke)
		return
	}
	for j := range l.doc.Statement {
		other := &l.doc.Statement[j]
		if i == j || !l.coversStatement(other, s) {
			continue
		}
		switch {
		case other.Effect == s.Effect && (j < i || !l.coversStatement(s, other)):
			l.warn(path, "REDUNDANT_STATEMENT", "Statement[%d] says the same", j)
			return
		case other.Effect == "Deny" && s.Effect == "Allow":
			l.warn(path, "unreachable", "Statement[%d] denies all that it allows", j)
			return
		}
	}
}

// concerns reports whether s can match a request for execute-api:Invoke.
func (l *linter) concerns(s *Statement) bool {
	action := coversAll(s.Action, []string{Invoke}, coversAction)
	if len(s.NotAction) > 0 {
		action = !coversAll(s.NotAction, []string{Invoke}, coversAction)
	}
	// A resource of New is "*", a short form or has three parts at least, so there is a service to look at.
	ours := func(r string) bool {
		return r == "*" || strings.HasPrefix(r, shortService) ||
			strings.SplitN(r, ":", partsOfARN)[partService]+":" == shortService
	}
	return action && (len(s.NotResource) > 0 || slices.ContainsFunc(s.Resource, ours))
}

// coversStatement reports whether wide applies to every request that narrow applies to. For what is negated, both must
// say the same. So must their conditions, unless wide has none: whether one condition is stricter than another is not
// looked into. It may report false where that is so, but never true where it is not: the warning tells an author to
// remove a statement.
func (l *linter) coversStatement(wide, narrow *Statement) bool {
	same := func(a, b []string) bool {
		return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
	}
	return same(wide.NotAction, narrow.NotAction) && coversAll(wide.Action, narrow.Action, coversAction) &&
		same(wide.NotResource, narrow.NotResource) && coversAll(wide.Resource, narrow.Resource, l.coversResource) &&
		maps.EqualFunc(wide.NotPrincipal, narrow.NotPrincipal, same) &&
		coversPrincipal(wide.Principal, narrow.Principal, same) &&
		(!constrains(wide) || equalConditions(wide, narrow, same))
}

// coversPrincipal reports whether the callers of wide include those of narrow. In a policy without principals, such as
// one of an identity, all statements are about the same caller.
func coversPrincipal(wide, narrow map[string][]string, same func(a, b []string) bool) bool {
	everybody := len(narrow) > 0 && slices.Contains(wide["AWS"], "*")
	return everybody || maps.EqualFunc(wide, narrow, same)
}

// constrains reports whether s has a condition. An empty Condition, and an operator without keys, are none.
func constrains(s *Statement) bool {
	for _, keys := range s.Condition {
		if len(keys) > 0 {
			return true
		}
	}
	return false
}

// equalConditions reports whether two statements have the same conditions.
func equalConditions(a, b *Statement, same func(a, b []string) bool) bool {
	return maps.EqualFunc(a.Condition, b.Condition, func(a, b map[string][]string) bool {
		return maps.EqualFunc(a, b, same)
	})
}

// conditions makes the checks of the conditions of one statement.
func (l *linter) conditions(path string, s *Statement) {
	if s.Condition != nil && !constrains(s) {
		l.warn(path+".Condition", "EMPTY_OBJECT_CONDITION", "it is empty and constrains nothing")
	}
	for _, operator := range slices.Sorted(maps.Keys(s.Condition)) {
		for _, key := range slices.Sorted(maps.Keys(s.Condition[operator])) {
			at := member(member(path+".Condition", operator), key)
			l.condition(at, operator, key, s.Condition[operator][key])
			if s.Effect == "Allow" {
				l.absent(at, operator, key, s)
			}
		}
	}
}

// condition makes the checks of one condition that New has accepted.
func (l *linter) condition(at, name, key string, values []string) {
	o, _ := findOperator(name)
	k, _ := l.keys.find(key)
	if o.quantifier == forAll && !k.list {
		l.warn(at, "FORALLVALUES_WITH_SINGLE_VALUED_KEY",
			"the key has one value, and ForAllValues also holds if it is absent: leave ForAllValues out")
	}
	for i, v := range values {
		l.value(element(at, i), o, v)
	}
	if o.kind == kindNumber && len(values) > 1 && o.comparison != equal {
		l.warn(at, "REDUNDANT_CONDITION_VALUE_NUM", "of several values only %s decides", deciding(values, o.comparison))
	}
}

// value makes the checks of one value of a condition.
func (l *linter) value(at string, o operator, v string) {
	if o.kind == kindText && o.comparison != like && slices.ContainsFunc(tokens(v, l.variables()), isWildcard) {
		l.warn(at, "WILDCARD_WITHOUT_LIKE_OPERATOR", "%q has a wildcard, which is ordinary text to this operator", v)
	}
	if p, err := netip.ParsePrefix(v); o.kind == kindAddress && err == nil && p != p.Masked() {
		l.warn(at, "IMPROVE_IP_RANGE", "the bits of %q after the prefix are ignored: write %s", v, p.Masked())
	}
}

func isWildcard(t token) bool { return t == "*" || t == "?" }

// deciding returns the number of several that decides: the greatest for "less", the least for "greater". The values of
// a condition are alternatives, so less than 5 or less than 10 is less than 10.
func deciding(values []string, c comparison) string {
	return slices.MaxFunc(values, func(a, b string) int {
		x, _ := strconv.ParseFloat(a, 64) // New has read it
		y, _ := strconv.ParseFloat(b, 64)
		if c == less || c == lessEqual {
			return cmp.Compare(x, y)
		}
		return cmp.Compare(y, x)
	})
}

// absent warns of a condition that allows because the request does not have the key (IAM User Guide, "Condition
// operators": a negated operator holds for an absent key; "Multivalued context keys": so does ForAllValues).
func (l *linter) absent(at, name, key string, s *Statement) {
	o, _ := findOperator(name)
	holds := o.quantifier == forAll || o.quantifier == single && (o.ifExists || o.negated) // as condition.holds has it
	if !holds || always(key) {
		return
	}
	for k, values := range s.Condition["Null"] {
		if strings.EqualFold(k, key) && len(values) == 1 && strings.EqualFold(values[0], "false") {
			return
		}
	}
	l.warn(at, "allows_if_absent", `it also holds for a request without the key: add "Null": {%q: "false"}`, key)
}

// always reports whether every request has a condition key. aws:SourceIp is not one of them: a request through a VPC
// endpoint lacks it, and so may one that an application makes itself.
func always(key string) bool {
	switch lower(key) {
	case "aws:currenttime", "aws:epochtime", "aws:securetransport":
		return true
	}
	return false
}
