package policy

import (
	"maps"
	"slices"
)

// clone returns a copy of d that shares nothing with it.
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

func cloneLists(lists map[string][]string) map[string][]string {
	lists = maps.Clone(lists)
	for name, list := range lists {
		lists[name] = slices.Clone(list)
	}
	return lists
}
