package auth

import "strings"

// groups picks the claim that names the user's groups. A claim of another type than text or a list of texts names none:
// only a rule that asks for a group then refuses.
func (p *party) groups(t *Token) error {
	switch p.GroupsClaim {
	case "", "groups":
		t.cognito = nil
		return nil
	case "cognito:groups":
		t.groups, t.cognito = t.cognito, nil
		return nil
	}
	t.groups, t.cognito = nil, nil
	var s scanner
	s.reset(t.payload)
	if !s.seek(p.GroupsClaim) {
		return s.err
	}
	if list := s.strings(); s.err == nil {
		t.groups = list
	} else if s.err == errBounds {
		return s.err
	}
	return nil
}

// seek moves to the value that a path names: the names of members, from the outermost object inwards, with dots
// between. Names may hold dots themselves, as https://example.com/groups does. So in each object the longest name counts
// that the path begins with; a claim that bears the whole path as its name comes before what is nested. It reads a text
// that was read before, each object once, so that it costs no more than that did.
func (s *scanner) seek(path string) bool {
	for object := s.top; ; object = s.objects {
		longest, at := -1, 0
		for name, ok := s.member(object, true); ok; name, ok = s.member(object, false) {
			if len(name) > longest && leads(path, name) {
				longest, at = len(name), s.at
			}
			s.skip()
		}
		if longest < 0 || s.err != nil {
			return false
		}
		s.forget()
		s.at = at
		if longest == len(path) {
			return true
		}
		if s.peek() != '{' {
			return false
		}
		s.at++
		s.objects++
		path = path[longest+1:]
	}
}

// leads reports whether the path is the name, or begins with it and a dot.
func leads(path, name string) bool {
	rest, ok := strings.CutPrefix(path, name)
	return ok && (rest == "" || rest[0] == '.')
}
