package usageplan

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// table holds plans and members. Readers never lock: a plan's state is swapped whole, and both maps are concurrent ones.
// Writers come one at a time.
type table struct {
	mu      sync.Mutex // held by writers
	plans   sync.Map   // id → *plan
	members sync.Map   // client → []*member, never changed in place
}

// A plan is what lasts of a Plan while its versions come and go.
type plan struct {
	state   atomic.Pointer[state] // nil once the plan is deleted
	anyone  member                // the place of a client that no plan lists, where this is the default plan
	clients map[string]struct{}   // the plan's members, for writers
}

// state is one version of a plan, immutable.
type state struct {
	Plan
	methods  []*methods                 // for each of Plan.Stages; nil where no method is throttled
	accounts []string                   // for each of Plan.Quotas, the plan's name in the ledger
	buckets  *ratelimit.Limiter[string] // by client; nil while neither the plan nor a member has needed a throttle
}

// A member is a client's place in one plan, immutable but for what it finds once and keeps.
type member struct {
	Member
	plan *plan

	accounts [ledger.Monthly + 1]atomic.Pointer[ledger.Ref] // by period, so that the ledger need not look them up
}

// account returns the account that key names: the member's for a period, or that of anyone under the default plan.
func (m *member) account(l *ledger.Ledger, key ledger.Key, p ledger.Period) (ledger.Ref, error) {
	if known := m.accounts[p].Load(); known != nil {
		return *known, nil
	}
	ref, err := l.Ref(key)
	if err == nil && m.Client != "" {
		m.accounts[p].Store(&ref)
	}
	return ref, err
}

// place is where a client stands on a route.
type place struct {
	member  *member
	state   *state
	methods *methods // of the route's stage
}

// limit is the plan's throttle for the client, nil where it has none.
func (p *place) limit() *ratelimit.Limit {
	if p.member.Throttle != nil {
		return p.member.Throttle
	}
	return p.state.Throttle
}

// quota is the plan's quota q as it binds the client; a nil member has no overrides.
func (m *member) quota(q ledger.Quota) ledger.Quota {
	if m != nil && len(m.Limits) > 0 {
		if limit, overridden := m.Limits[q.Period]; overridden {
			q.Limit = limit
		}
	}
	return q
}

// find returns the client's place in the plan that opens the route's stage, or in the fallback plan.
func (t *table) find(client, fallback string, r *Route) (place, bool) {
	if list, found := t.members.Load(client); found {
		for _, m := range list.([]*member) {
			if p, ok := m.open(r); ok {
				return p, true
			}
		}
	}
	if fallback != "" {
		if p := t.plan(fallback); p != nil {
			return p.anyone.open(r)
		}
	}
	return place{}, false
}

func (m *member) open(r *Route) (place, bool) {
	if s := m.plan.state.Load(); s != nil {
		if i := find(s.Stages, r.API, r.Stage); i >= 0 {
			return place{m, s, s.methods[i]}, true
		}
	}
	return place{}, false
}

// quotaInForce returns the quota for a period that binds the client of the plan now. There is none where the plan is gone
// or has no such quota any more, nor for a client that has left it; anyone is the id of the plan that needs no members.
func (t *table) quotaInForce(id, client, anyone string, period ledger.Period) (ledger.Quota, bool) {
	p := t.plan(id)
	if p == nil {
		return ledger.Quota{}, false
	}
	m, s := t.member(id, client), p.state.Load()
	if s == nil || m == nil && id != anyone {
		return ledger.Quota{}, false
	}
	for _, q := range s.Quotas {
		if q.Period == period {
			return m.quota(q), true
		}
	}
	return ledger.Quota{}, false
}

func (t *table) plan(id string) *plan {
	p, _ := t.plans.Load(id)
	found, _ := p.(*plan)
	return found
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

// putPlan shows a new version of a plan to the readers.
func (t *table) putPlan(p Plan) error {
	live := t.plan(p.ID)
	if live == nil {
		live = &plan{clients: make(map[string]struct{})}
		live.anyone.Plan, live.anyone.plan = p.ID, live
	}
	s, err := newState(live.state.Load(), p)
	if err != nil {
		return err
	}
	live.state.Store(s)
	t.plans.Store(p.ID, live)
	return nil
}

// newState makes the state of p, over the buckets of the version before it, nil for none.
func newState(before *state, p Plan) (*state, error) {
	if before == nil {
		before = &state{}
	}
	s := &state{Plan: p, buckets: before.buckets}
	if err := s.throttle(); err != nil {
		return nil, err
	}
	for _, st := range p.Stages {
		var old *methods
		if i := find(before.Stages, st.API, st.Name); i >= 0 {
			old = before.methods[i]
		}
		fresh, err := newMethods(old, st.Methods)
		if err != nil {
			return nil, err
		}
		s.methods = append(s.methods, fresh)
	}
	for _, q := range p.Quotas {
		s.accounts = append(s.accounts, fmt.Sprintf("%s/%v", p.ID, q.Period))
	}
	return s, nil
}

// throttle gives the plan's limiter the plan's limit.
func (s *state) throttle() (err error) {
	switch {
	case s.Throttle != nil:
		s.buckets, err = renew(s.buckets, *s.Throttle)
	case s.buckets != nil:
		err = s.buckets.SetLimit(unlimited)
	}
	return err
}

// deletePlan hides the plan first, so that its members lose it all at once.
func (t *table) deletePlan(id string) {
	p := t.plan(id)
	p.state.Store(nil)
	t.plans.Delete(id)
	for client := range p.clients {
		t.setMembers(client, without(t.list(client), id))
	}
}

// replaceMember takes the client out of one plan, if named, and puts it into another, if given, in one step. A bucket
// gets a member's own limit before the member is seen with it, and loses it after: it is never looser than either.
func (t *table) replaceMember(client, from string, to *Member) error {
	list := without(t.list(client), from)
	if to != nil {
		p := t.plan(to.Plan)
		if err := p.override(to); err != nil {
			return err
		}
		list = append(without(list, to.Plan), &member{Member: *to, plan: p})
	}
	t.setMembers(client, list)
	if from != "" {
		p := t.plan(from)
		delete(p.clients, client)
		p.restore(client)
	}
	if to != nil {
		p := t.plan(to.Plan)
		p.clients[client] = struct{}{}
		if to.Throttle == nil {
			p.restore(client)
		}
	}
	return nil
}

// override gives the member's bucket the member's own limit, if it has one.
func (p *plan) override(m *Member) error {
	if m.Throttle == nil {
		return nil
	}
	s := p.state.Load()
	if s.buckets == nil {
		next := *s
		var err error
		if next.buckets, err = ratelimit.New(ratelimit.Config[string]{Limit: unlimited}); err != nil {
			return err
		}
		s = &next
		p.state.Store(s)
	}
	if shut(m.Throttle) {
		return nil
	}
	return s.buckets.SetKeyLimit(m.Client, *m.Throttle)
}

// restore puts the client's bucket back under the plan's limit.
func (p *plan) restore(client string) {
	if s := p.state.Load(); s != nil && s.buckets != nil {
		s.buckets.ClearKeyLimit(client)
	}
}

func (t *table) setMembers(client string, list []*member) {
	if len(list) == 0 {
		t.members.Delete(client)
	} else {
		t.members.Store(client, list)
	}
}

// without returns a copy of list that lacks the plan.
func without(list []*member, id string) []*member {
	return slices.DeleteFunc(slices.Clone(list), func(m *member) bool { return m.Plan == id })
}
