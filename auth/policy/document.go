package policy

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Document is a policy as it is written. [New] makes it a [Policy]. Its JSON form is that of IAM; reading it is as
// strict as [Parse].
type Document struct {
	// Version is that of the policy language: "2012-10-17" or "2008-10-17", which empty stands for.
	Version string `json:"Version,omitempty"`

	// ID is a name without meaning.
	ID string `json:"Id,omitempty"`

	// Statement is what the policy says, one statement at least.
	Statement []Statement `json:"Statement"`
}

// Statement allows or denies actions on resources. Of Action and NotAction exactly one is set, and of Resource and
// NotResource.
type Statement struct {
	// Sid is a name without meaning.
	Sid string `json:"Sid,omitempty"`

	// Effect is "Allow" or "Deny".
	Effect string `json:"Effect"`

	// Action are patterns of the actions meant, NotAction of those not meant: "*" or like "execute-api:Invoke".
	Action    []string `json:"Action,omitempty"`
	NotAction []string `json:"NotAction,omitempty"`

	// Resource are patterns of the method ARNs meant, NotResource of those not meant: "*" or like
	// "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/*", at most 512 characters each. After the service a
	// pattern may end early in an asterisk, which then stands for all the rest: "arn:aws:execute-api:eu-west-1:*".
	Resource    []string `json:"Resource,omitempty"`
	NotResource []string `json:"NotResource,omitempty"`
}

// ErrInvalid is wrapped by every error about a document.
var ErrInvalid = errors.New("invalid policy document")

// Versions of the policy language.
const (
	version2008 = "2008-10-17"
	version2012 = "2012-10-17"
)

// Bounds of a document. "Output from an API Gateway Lambda authorizer" gives the length of a resource, in characters;
// that of a document is the largest that IAM has for a policy, in which white space does not count ("IAM and AWS STS
// quotas"). maxText bounds what is read at all: a document that is written with one word a line is still far below.
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

func (m *mistakes) add(path, format string, args ...any) {
	*m = append(*m, fmt.Errorf("policy: %w: %s: %s", ErrInvalid, path, fmt.Sprintf(format, args...)))
}

// validate returns every mistake in d, joined.
func (d *Document) validate() error {
	var m mistakes
	switch d.Version {
	case "", version2008, version2012: // IAM User Guide, "Version": "If you do not include it, it defaults to 2008-10-17"
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

// validate adds every mistake in s to m and returns the length of its patterns. variables says whether the version of
// the language has policy variables.
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

func exactlyOne(path, name string, is, not []string, m *mistakes) {
	switch {
	case len(is) == 0 && len(not) == 0:
		m.add(path, "neither %s nor Not%s", name, name)
	case len(is) > 0 && len(not) > 0:
		m.add(path, "both %s and Not%s", name, name)
	}
}

// actionFault returns what is wrong with the pattern of an action, or "".
func actionFault(p string) string {
	if p == "*" {
		return ""
	}
	service, action, ok := strings.Cut(p, ":")
	if !ok || !within(service, alphanumeric+"-.") || !within(action, alphanumeric+"*?") {
		return "is not of the form service:action"
	}
	return ""
}

// resourceFault returns what is wrong with the pattern of a resource, or "". Without variables, "${" is text like any
// other: IAM User Guide, "Version".
func resourceFault(p string, variables bool) string {
	if p == "*" {
		return ""
	}
	parts := strings.SplitN(p, ":", partsOfARN)
	switch {
	case utf8.RuneCountInString(p) > maxResource:
		return fmt.Sprintf("has more than %d characters", maxResource)
	case len(parts) < partsOfARN && !(len(parts) > partService+1 && strings.HasSuffix(p, "*")):
		return "is not an ARN" // "applies the wildcard to the rest of the expression", as API Gateway's reference has it
	case parts[0] != "arn" || parts[len(parts)-1] == "":
		return "is not an ARN"
	case !within(parts[partService], alphanumeric+"-"):
		return "has no service" // in which no wildcard is allowed
	case variables && strings.Contains(p, "${"):
		return "has a policy variable"
	case strings.ContainsFunc(p, func(c rune) bool { return c < ' ' || c == utf8.RuneError }):
		return "has characters of no path"
	}
	return ""
}

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// within reports whether s is made of alphabet, and of something.
func within(s, alphabet string) bool {
	return s != "" && strings.Trim(s, alphabet) == ""
}
