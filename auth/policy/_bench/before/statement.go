package before

import "strings"

// statement is a compiled Statement. Its actions are in lower case.
type statement struct {
	effect                 Decision
	actions, resources     []string
	notAction, notResource bool // the list is that of NotAction or NotResource
}

// matches reports whether s applies to action and resource.
func (s *statement) matches(action, resource *text) bool {
	return s.matchesAction(action) != s.notAction && s.matchesResource(resource) != s.notResource
}

// matchesAction reports whether a pattern of the list of actions matches.
func (s *statement) matchesAction(action *text) bool {
	for _, pattern := range s.actions {
		if match(pattern, action, 0, len(action.s)) {
			return true
		}
	}
	return false
}

// matchesResource reports whether a pattern of the list of resources matches. Where IAM's documentation can be read in
// two ways, it picks the reading that refuses. In the wide reading a wildcard may reach across colons, in the narrow
// one it stays within its part of the ARN:
//
//	Deny with Resource, Allow with NotResource    a match refuses: wide
//	Allow with Resource, Deny with NotResource    a match lets through: narrow
func (s *statement) matchesResource(resource *text) bool {
	wide := (s.effect == Deny) != s.notResource
	for _, pattern := range s.resources {
		if wide && match(pattern, resource, 0, len(resource.s)) || !wide && matchARN(pattern, resource) {
			return true
		}
	}
	return false
}

// matchARN is match with wildcards that stay within the colon-separated parts of an ARN. The sixth part is the rest of
// the ARN, colons included. A pattern with fewer parts ends in an asterisk, which matches the rest of its part and all
// parts that follow: arn:aws:execute-api:eu-* matches every resource of every account in eu-west-1.
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
