package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of a document. "Output from an API Gateway Lambda authorizer" gives the length of a resource, in characters.
// maxDocument is the largest size that IAM has for any policy, without white space ("IAM and AWS STS quotas"): that of
// the inline policies of a role. maxText bounds what is read at all, with white space. It is generous: a document with
// one word a line stays far below it.
const (
	maxText     = 64 << 10
	maxDocument = 10_240
	maxResource = 512
)

// The parts of a resource ARN, arn:partition:service:region:account:resource.
const (
	partService = 2
	partsOfARN  = 6
)

// validate adds every mistake in d to m, except those in its statements.
func (d *Document) validate(m *mistakes) {
	switch d.Version {
	case "", version2008, version2012: // IAM User Guide, "Version": it "defaults to 2008-10-17"
	default:
		m.add("Version", "%q is neither "+version2012+" nor "+version2008, d.Version)
	}
	if len(d.Statement) == 0 && !m.has("Statement") && !m.at("document") {
		m.add("Statement", "missing")
	}
	if len(d.Statement) > maxStatements {
		m.add("Statement", "%d statements, at most %d", len(d.Statement), maxStatements)
	}
	// Parse has bounded the text. A Document that a program has made has no text, so what it contains is counted.
	size := 0
	for i := range d.Statement {
		size += d.Statement[i].size()
	}
	if size > maxDocument {
		m.add("Statement", "%d bytes of patterns and values, at most %d", size, maxDocument)
	}
}

// size returns the number of bytes of the patterns and values of s. It leaves out Sid and Effect and the punctuation of
// JSON, so it is never more than the size of the document that says the same.
func (s *Statement) size() (n int) {
	lists := [][]string{s.Action, s.NotAction, s.Resource, s.NotResource}
	for _, entries := range []map[string][]string{s.Principal, s.NotPrincipal} {
		for kind, list := range entries {
			n += len(kind)
			lists = append(lists, list)
		}
	}
	for operator, keys := range s.Condition {
		n += len(operator)
		for key, list := range keys {
			n += len(key)
			lists = append(lists, list)
		}
	}
	for _, list := range lists {
		for _, text := range list {
			n += len(text)
		}
	}
	return n
}

// validate adds every mistake in s to m, except those that only compiling its patterns and conditions finds.
func (s *Statement) validate(path string, m *mistakes) {
	if s.Effect != "Allow" && s.Effect != "Deny" && !m.has(path+".Effect") {
		m.add(path+".Effect", "%q is neither Allow nor Deny", s.Effect)
	}
	exactlyOne(path, "Action", len(s.Action), len(s.NotAction), m)
	exactlyOne(path, "Resource", len(s.Resource), len(s.NotResource), m)
	if len(s.Principal) > 0 && len(s.NotPrincipal) > 0 {
		m.add(path, "both Principal and NotPrincipal")
	}
	// No principal at all means everybody, so a list that came out empty must not pass for none.
	if s.Principal != nil && len(s.Principal) == 0 || s.NotPrincipal != nil && len(s.NotPrincipal) == 0 {
		if !m.has(path+".Principal") && !m.has(path+".NotPrincipal") {
			m.add(path, "empty Principal or NotPrincipal")
		}
	}
	validatePrincipals(s.Principal, path+".Principal", m)
	validatePrincipals(s.NotPrincipal, path+".NotPrincipal", m)
}

// validatePrincipals adds every mistake in the entries of a Principal or NotPrincipal to m. A kind without entries is a
// mistake: it names nobody, and its author means somebody.
func validatePrincipals(entries map[string][]string, path string, m *mistakes) {
	for _, kind := range slices.Sorted(maps.Keys(entries)) {
		if len(entries[kind]) == 0 {
			m.add(member(path, kind), "empty")
		}
		for i, entry := range entries[kind] {
			m.addFault(element(member(path, kind), i), entry, principalFault(kind, entry))
		}
	}
}

// exactlyOne adds a mistake to m unless exactly one of two lists has patterns. It adds none if the list that is there
// has a mistake already.
func exactlyOne(path, name string, is, not int, m *mistakes) {
	switch {
	case is == 0 && not == 0 && !m.has(path+"."+name) && !m.has(path+".Not"+name):
		m.add(path, "neither %s nor Not%s", name, name)
	case is > 0 && not > 0:
		m.add(path, "both %s and Not%s", name, name)
	}
}

// actionFault returns what is wrong with the pattern of an action, or "" if nothing is. The service must be
// named: "*:Invoke" is refused.
func actionFault(p string) string {
	if p == "*" {
		return ""
	}
	service, action, ok := strings.Cut(p, ":")
	if !ok || !consistsOf(service, alphanumeric+"-.") || !consistsOf(action, alphanumeric+"*?") {
		return "is not of the form service:action"
	}
	return ""
}

// resourceFault returns what is wrong with the form of a resource, or "" if nothing is. "arn:aws:execute-api:*" is
// right, as it ends early in an asterisk. "arn:aws:execute-api:eu-west-1" lacks parts. So does "arn:aws:*", which does
// not even name the service.
func resourceFault(p string) string {
	if utf8.RuneCountInString(p) > maxResource {
		return fmt.Sprintf("has more than %d characters", maxResource)
	}
	if stage, ok := strings.CutPrefix(p, shortService); ok && strings.HasPrefix(stage, "/") {
		return ""
	}
	parts := strings.SplitN(p, ":", partsOfARN)
	// "Statement reference of IAM policies for executing APIs": an asterisk that ends a pattern early "applies the
	// wildcard to the rest of the expression".
	endsEarly := len(parts) > partService+1 && strings.HasSuffix(p, "*")
	switch {
	case len(parts) < partsOfARN && !endsEarly:
		return "is not an ARN"
	case parts[0] != "arn" || parts[len(parts)-1] == "":
		return "is not an ARN"
	case !consistsOf(parts[partService], alphanumeric+"-"): // no wildcards: the service must be named
		return "has no service"
	}
	return ""
}

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// consistsOf reports whether s is not empty and has only characters of alphabet.
func consistsOf(s, alphabet string) bool {
	for i := range len(s) {
		if strings.IndexByte(alphabet, s[i]) < 0 {
			return false
		}
	}
	return s != ""
}
