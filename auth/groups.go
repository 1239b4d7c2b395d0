package auth

import "strings"

// groups picks the claim that names the user's groups. A claim of another type than text or a list of texts names none:
// only a rule that asks for a group then refuses.
func (s *issuerState) groups(t *Token) error {
	switch s.GroupsClaim {
	case "", "groups":
		t.cognito = nil
		return nil
	case "cognito:groups":
		t.groups, t.cognito = t.cognito, nil
		t.decideGroups(t.lookalikes&claimPoolGroups != 0)
		return nil
	}
	t.groups, t.cognito = nil, nil
	var sc scanner
	sc.reset(t.payload)
	sc.exact, sc.values = true, unbounded
	found, lookalike := sc.seek(s.GroupsClaim)
	t.decideGroups(found && lookalike)
	if found {
		t.groups = sc.optionalStrings()
	}
	return sc.err
}

// unbounded is how many values a text that was read before, of a genuine token, has left: more than there is room for.
const unbounded = -1 << 20

// decideGroups says whether the claim in force occurs in another letter case too, instead of the claim groups.
func (t *Token) decideGroups(lookalike bool) {
	t.lookalikes &^= claimGroups
	if lookalike {
		t.lookalikes |= claimGroups
	}
}

// seek moves to the value that a path names: the names of members, from the outermost object inwards, with dots
// between. Names may hold dots themselves, as https://example.com/groups does. So in each object the longest name counts
// that the path begins with; a claim that bears the whole path as its name comes before what is nested. It reads a text
// that was read before, each object once, so that it costs no more than that did. It also tells whether a name leads
// there but for its letter case.
func (s *scanner) seek(path string) (found, lookalike bool) {
	for object := s.top; ; object = s.objects {
		longest, at := -1, 0
		for name, ok := s.member(object, true); ok; name, ok = s.member(object, false) {
			if len(name) > longest && leads(path, name) {
				longest, at = len(name), s.at
			} else if (folds(name) || folds(path)) && leads(strings.Map(foldRune, path), strings.Map(foldRune, name)) {
				lookalike = lookalike || !leads(path, name)
			}
			s.skip()
		}
		if longest < 0 || s.err != nil {
			return false, lookalike
		}
		s.forget()
		s.at, s.values = at, unbounded
		if longest == len(path) {
			return true, lookalike
		}
		if s.peek() != '{' {
			return false, lookalike
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
