package policy

import (
	"maps"
	"slices"
)

// clone returns a copy of d that shares nothing with it. A list or a map that is nil stays nil, and an empty one stays
// empty: for validate and for Lint these are different things.
func (d *Document) clone() Document {
	c := *d
	c.Statement = slices.Clone(d.Statement)
	for i := range c.Statement {
		s := &c.Statement[i]
		for _, list := range []*[]string{&s.Action, &s.NotAction, &s.Resource, &s.NotResource} {
			*list = slices.Clone(*list)
		}
		s.Principal, s.NotPrincipal = cloneLists(s.Principal), cloneLists(s.NotPrincipal)
		s.Condition = maps.Clone(s.Condition)
		for operator, keys := range s.Condition {
			s.Condition[operator] = cloneLists(keys)
		}
	}
	return c
}

// cloneLists returns a copy of lists, and of each list in it.
func cloneLists(lists map[string][]string) map[string][]string {
	lists = maps.Clone(lists)
	for name, list := range lists {
		lists[name] = slices.Clone(list)
	}
	return lists
}
