package auth

import "strings"

// groups sets the token's groups from the claim that the issuer's settings name. A claim that is neither a string nor a
// list of strings means no groups. The token is then refused only by a rule that demands a group.
func (s *issuerState) groups(t *claimSet) error {
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
	// Another claim than the usual two is not known while the claims are read, so they are read again. That happens once:
	// the cache remembers the groups.
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

// unbounded is a budget that no claims set can exhaust, for reading the claims of an authentic token again. The scanner
// counts up to maxValues, so it starts far below zero.
const unbounded = -1 << 20

// decideGroups records whether the claim that names the groups also occurs in another letter case. It replaces what was
// recorded for the claim groups.
func (t *claimSet) decideGroups(lookalike bool) {
	t.lookalikes &^= claimGroups
	if lookalike {
		t.lookalikes |= claimGroups
	}
}

// seek moves to the value at a path. A path is the names of members from the outermost object inwards, separated by
// dots. A name may contain dots itself, as https://example.com/groups does. If several names of an object fit the
// beginning of the path, the longest is taken. Example: for the path a.b.c, the member "a.b.c" comes before "a.b", and
// "a.b" before "a".
//
// The text must have been read before. Each object is read once, so seek costs no more than the first reading.
// lookalike reports that another name fits the path except for its letter case.
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

// leads reports whether the path equals the name, or begins with the name and a dot.
func leads(path, name string) bool {
	rest, ok := strings.CutPrefix(path, name)
	return ok && (rest == "" || rest[0] == '.')
}
