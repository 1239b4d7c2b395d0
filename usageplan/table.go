package usageplan

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// table holds plans and members. Readers never lock: a plan's state is swapped whole, and members are looked up in a
// concurrent map. Writers come one at a time.
type table struct {
	mu      sync.Mutex // held by writers
	plans   atomic.Pointer[map[string]*plan]
	members sync.Map // client → []*member, never changed in place
}

// A plan is the lasting part of a Plan: its place in the table and its members' buckets.
type plan struct {
	buckets *ratelimit.Limiter[string] // of the plan's throttle, by client
	state   atomic.Pointer[state]      // nil once the plan is deleted
	anyone  member                     // the place of a client that no plan lists, where this is the default plan
}

// state is one version of a plan, immutable.
type state struct {
	Plan
	methods  []*methods // for each of Plan.Stages; nil where no method is throttled
	accounts []string   // for each of Plan.Quotas, the plan's name in the ledger
}

// A member is a client's place in one plan, immutable.
type member struct {
	Member
	plan *plan
}

// place is where a client stands on a route.
type place struct {
	member  *member
	state   *state
	methods *methods // of the route's stage
}

// limit is the plan's throttle for the client, nil where it has none.
func (p place) limit() *ratelimit.Limit {
	if p.member.Throttle != nil {
		return p.member.Throttle
	}
	return p.state.Throttle
}

// quota is the plan's quota q as it binds the client; a nil member has no overrides.
func (m *member) quota(q ledger.Quota) ledger.Quota {
	if m != nil {
		if limit, overridden := m.Limits[q.Period]; overridden {
			q.Limit = limit
		}
	}
	return q
}

// find returns the client's place in the plan that opens the route's stage, or in the fallback plan.
func (t *table) find(client, fallback string, r Route) (place, bool) {
	if list, found := t.members.Load(client); found {
		for _, m := range list.([]*member) {
			if p, ok := m.open(r); ok {
				return p, true
			}
		}
	}
	if p := t.plan(fallback); p != nil {
		return p.anyone.open(r)
	}
	return place{}, false
}

func (m *member) open(r Route) (place, bool) {
	s := m.plan.state.Load()
	if s == nil {
		return place{}, false
	}
	for i := range s.Stages {
		if s.Stages[i].is(r.API, r.Stage) {
			return place{m, s, s.methods[i]}, true
		}
	}
	return place{}, false
}

func (t *table) plan(id string) *plan {
	if plans := t.plans.Load(); plans != nil {
		return (*plans)[id]
	}
	return nil
}

// member returns the client's place in the plan, or nil.
func (t *table) member(id, client string) *member {
	for _, m := range t.list(client) {
		if m.Plan == id {
			return m
		}
	}
	return nil
}

func (t *table) list(client string) []*member {
	list, _ := t.members.Load(client)
	members, _ := list.([]*member)
	return members
}

// all yields every member of every plan.
func (t *table) all() iter.Seq[*member] {
	return func(yield func(*member) bool) {
		t.members.Range(func(_, list any) bool {
			for _, m := range list.([]*member) {
				if !yield(m) {
					return false
				}
			}
			return true
		})
	}
}

// putPlan shows a new version of a plan to the readers.
func (t *table) putPlan(p Plan) error {
	old := t.plan(p.ID)
	fresh, s, err := compile(old, p)
	if err != nil {
		return err
	}
	fresh.state.Store(s)
	if old == nil {
		t.replacePlans(func(plans map[string]*plan) { plans[p.ID] = fresh })
	}
	return nil
}

// compile builds the state of p over the buckets that old has, if any.
func compile(old *plan, p Plan) (*plan, *state, error) {
	fresh, before := old, &state{}
	if old == nil {
		fresh = &plan{}
		fresh.anyone = member{Member{Plan: p.ID}, fresh}
	} else {
		before = old.state.Load()
	}
	limit := unlimited
	if p.Throttle != nil {
		limit = *p.Throttle
	}
	var err error
	if fresh.buckets, err = renew(fresh.buckets, limit); err != nil {
		return nil, nil, err
	}
	s := &state{Plan: p, methods: make([]*methods, len(p.Stages)), accounts: make([]string, len(p.Quotas))}
	for i, st := range p.Stages {
		if s.methods[i], err = newMethods(before.methodsOf(st), st.Methods); err != nil {
			return nil, nil, err
		}
	}
	for i, q := range p.Quotas {
		s.accounts[i] = fmt.Sprintf("%s/%v", p.ID, q.Period)
	}
	return fresh, s, nil
}

func (s *state) methodsOf(st Stage) *methods {
	for i := range s.Stages {
		if s.Stages[i].is(st.API, st.Name) {
			return s.methods[i]
		}
	}
	return nil
}

func (t *table) deletePlan(id string) {
	p := t.plan(id)
	for m := range t.all() {
		if m.plan == p {
			t.deleteMember(id, m.Client)
		}
	}
	p.state.Store(nil)
	t.replacePlans(func(plans map[string]*plan) { delete(plans, id) })
}

func (t *table) replacePlans(edit func(map[string]*plan)) {
	fresh := make(map[string]*plan)
	if old := t.plans.Load(); old != nil {
		maps.Copy(fresh, *old)
	}
	edit(fresh)
	t.plans.Store(&fresh)
}

func (t *table) putMember(m Member) error {
	p := t.plan(m.Plan)
	if m.Throttle == nil {
		p.buckets.ClearKeyLimit(m.Client)
	} else if err := p.buckets.SetKeyLimit(m.Client, *m.Throttle); err != nil {
		return err
	}
	rest := without(t.list(m.Client), m.Plan)
	t.members.Store(m.Client, append(rest, &member{m, p}))
	return nil
}

func (t *table) deleteMember(id, client string) {
	t.plan(id).buckets.ClearKeyLimit(client)
	if rest := without(t.list(client), id); len(rest) > 0 {
		t.members.Store(client, rest)
	} else {
		t.members.Delete(client)
	}
}

// without returns a copy of list that lacks the plan.
func without(list []*member, id string) []*member {
	return slices.DeleteFunc(slices.Clone(list), func(m *member) bool { return m.Plan == id })
}
