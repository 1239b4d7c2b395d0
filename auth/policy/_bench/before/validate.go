package before

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds of a document. "Output from an API Gateway Lambda authorizer" gives the length of a resource, in characters.
// maxDocument is the largest size that IAM has for any policy, without white space ("IAM and AWS STS quotas"). maxText
// bounds what is read at all, with white space. It is generous: a document with one word a line stays far below it.
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

// mistakes collects what is wrong with a document.
type mistakes []error

// add appends a mistake at a path such as "Statement[0].Effect".
func (m *mistakes) add(path, format string, args ...any) {
	*m = append(*m, fmt.Errorf("policy: %w: %s: %s", ErrInvalid, path, fmt.Sprintf(format, args...)))
}

// validate returns every mistake in d, joined.
func (d *Document) validate() error {
	var m mistakes
	switch d.Version {
	case "", version2008, version2012: // IAM User Guide, "Version": it "defaults to 2008-10-17"
	default:
		m.add("Version", "%q is neither "+version2012+" nor "+version2008, d.Version)
	}
	if len(d.Statement) == 0 {
		m.add("Statement", "missing")
	}
	size := 0
	for i := range d.Statement {
		size += d.Statement[i].validate(fmt.Sprintf("Statement[%d]", i), d.Version == version2012, &m)
	}
	if size > maxDocument {
		m.add("Statement", "%d bytes of patterns, at most %d", size, maxDocument)
	}
	return errors.Join(m...)
}

// validate adds every mistake in s to m and returns the total length of the patterns in s. variables reports whether
// the version of the language has policy variables.
func (s *Statement) validate(path string, variables bool, m *mistakes) (size int) {
	resourceFault := func(p string) string { return resourceFault(p, variables) }
	if s.Effect != "Allow" && s.Effect != "Deny" {
		m.add(path+".Effect", "%q is neither Allow nor Deny", s.Effect)
	}
	exactlyOne(path, "Action", s.Action, s.NotAction, m)
	exactlyOne(path, "Resource", s.Resource, s.NotResource, m)
	for _, list := range []struct {
		name     string
		patterns []string
		fault    func(string) string
	}{
		{"Action", s.Action, actionFault},
		{"NotAction", s.NotAction, actionFault},
		{"Resource", s.Resource, resourceFault},
		{"NotResource", s.NotResource, resourceFault},
	} {
		for i, p := range list.patterns {
			size += len(p)
			if fault := list.fault(p); fault != "" {
				m.add(fmt.Sprintf("%s.%s[%d]", path, list.name, i), "%q %s", p, fault)
			}
		}
	}
	return size
}

// exactlyOne adds a mistake to m unless exactly one of the two lists has patterns.
func exactlyOne(path, name string, is, not []string, m *mistakes) {
	switch {
	case len(is) == 0 && len(not) == 0:
		m.add(path, "neither %s nor Not%s", name, name)
	case len(is) > 0 && len(not) > 0:
		m.add(path, "both %s and Not%s", name, name)
	}
}

// actionFault returns what is wrong with the pattern of an action, or "" if nothing is.
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

// resourceFault returns what is wrong with the pattern of a resource, or "" if nothing is. Without variables, "${" is
// ordinary text (IAM User Guide, "Version").
func resourceFault(p string, variables bool) string {
	if p == "*" {
		return ""
	}
	parts := strings.SplitN(p, ":", partsOfARN)
	// "Statement reference of IAM policies for executing APIs": an asterisk that ends a pattern early "applies the
	// wildcard to the rest of the expression".
	endsEarly := len(parts) > partService+1 && strings.HasSuffix(p, "*")
	switch {
	case utf8.RuneCountInString(p) > maxResource:
		return fmt.Sprintf("has more than %d characters", maxResource)
	case len(parts) < partsOfARN && !endsEarly:
		return "is not an ARN"
	case parts[0] != "arn" || parts[len(parts)-1] == "":
		return "is not an ARN"
	case !consistsOf(parts[partService], alphanumeric+"-"): // no wildcards: the service must be named
		return "has no service"
	case variables && strings.Contains(p, "${"):
		return "has a policy variable"
	case strings.ContainsFunc(p, func(c rune) bool { return c < ' ' || c == utf8.RuneError }):
		return "has a control character or U+FFFD"
	}
	return ""
}

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// consistsOf reports whether s is not empty and has only characters of alphabet.
func consistsOf(s, alphabet string) bool {
	return s != "" && strings.Trim(s, alphabet) == ""
}
