package usageplan

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// table holds the plans and their members. Requests read it without a lock. Changes hold mu, except those of New, which
// are made before any other goroutine has the meter.
//
// A change replaces what requests see by one atomic store: of a plan's state, or of a client's list of memberships. So
// a request sees all of a change or nothing of it. A request that has found a state decides by its stages and quotas to
// the end. For example, let a plan have a quota of 10 and let 7 units be used, while a change to a quota of 5 is made.
// A request that found the state before the store takes the eighth unit. One that finds the state after the store is
// refused. No request sees a mixture, such as the new stages with the old quota.
//
// The limits of throttles are the exception. They are kept in the buckets, which all versions of a plan share, and
// change there just before the store. The buckets are shared so that a change gives no client a full bucket: a client
// that has used up its burst has still used it up after the change.
type table struct {
	mu      sync.Mutex // held while a change is made
	plans   sync.Map   // plan id → *plan
	members sync.Map   // client → []*member; a list that is stored is never modified
}

// A plan is the identity of a Plan. It stays the same while changes replace its state. Therefore members can point to
// it, and a change of the plan need not touch its members, of which there may be a million.
type plan struct {
	state    atomic.Pointer[state] // the current version; nil after the plan was deleted
	unlisted member                // stands for every client that no plan lists, if this is the default plan
	clients  map[string]struct{}   // the clients that are members; guarded by table.mu
}

// A state is one version of a plan. It is immutable.
type state struct {
	Plan
	methods  []*methods                 // the method throttles of each of Plan.Stages; nil if a stage has none
	counted  []ledger.Quota             // what the ledger counts: Plan.Quotas, or uncapped alone if there are none
	accounts []string                   // the ledger's plan name for each of counted, such as "jcfq33/DAY"
	buckets  *ratelimit.Limiter[string] // one bucket a client; nil until the plan or one of its members has a throttle
}

// uncapped is the quota by which the ledger counts the usage of a plan that has none. It counts under the key of a
// quota per day. If the plan gets such a quota later, the quota finds what was used on its first day.
var uncapped = ledger.Quota{Limit: ledger.MaxUnits, Period: ledger.Daily}

// A member is one client in one plan. It is immutable, apart from the cache in accounts.
type member struct {
	Member
	plan *plan

	// accounts caches the ledger's account of each period, so that a request need not look it up. The member of
	// plan.unlisted caches none, because it stands for many clients.
	accounts [3]atomic.Pointer[ledger.Ref]
}

// known is where m caches its account for the period.
func (m *member) known(p ledger.Period) *atomic.Pointer[ledger.Ref] {
	switch p {
	case ledger.Daily:
		return &m.accounts[0]
	case ledger.Weekly:
		return &m.accounts[1]
	default: // a plan has no other periods
		return &m.accounts[2]
	}
}

// account returns the ledger's account of the key, which must be the member's own for the period p.
func (m *member) account(l *ledger.Ledger, key ledger.Key, p ledger.Period) (ledger.Ref, error) {
	if known := m.known(p).Load(); known != nil {
		return *known, nil
	}
	ref, err := l.Ref(key)
	if err == nil && m.Client != "" {
		m.known(p).Store(&ref)
	}
	return ref, err
}

// A match is what applies to one client on one route.
type match struct {
	member  *member
	state   *state   // of member.plan, as it was when the match was found
	methods *methods // the method throttles of the route's stage; nil if there are none
}

// limit returns the plan throttle of the client: its own, or else the plan's. It may be nil.
func (p *match) limit() *ratelimit.Limit {
	if p.member.Throttle != nil {
		return p.member.Throttle
	}
	return p.state.Throttle
}

// quota returns the plan's quota q with the client's own limit, if it has one. m may be nil.
func (m *member) quota(q ledger.Quota) ledger.Quota {
	if m != nil && len(m.Limits) > 0 {
		if limit, overridden := m.Limits[q.Period]; overridden {
			q.Limit = limit
		}
	}
	return q
}

// quota returns quota i of those that the ledger counts, with the limit of the member m, if it has one of its own. m may
// be nil. In a plan without quotas, no member has a limit. But a request may find a member just before its limit is
// removed, and then the version of the plan that has lost its quotas. So m is not asked there.
func (s *state) quota(i int, m *member) ledger.Quota {
	if len(s.Quotas) == 0 {
		return s.counted[i]
	}
	return m.quota(s.Quotas[i])
}

// find returns what applies to the client on the route: the plan of the client that opens the route's stage. If none
// does, it is the plan with the id fallback, which may be empty. There is at most one such plan, because [table.alone]
// refuses a second one. For example, a client may be in a plan for pets:dev and in another for pets:prod, but not in
// two plans for pets:dev.
func (t *table) find(client, fallback string, r *Route) (match, bool) {
	if list, found := t.members.Load(client); found {
		for _, m := range list.([]*member) {
			if p, ok := m.open(r); ok {
				return p, true
			}
		}
	}
	if fallback != "" {
		if p := t.plan(fallback); p != nil {
			return p.unlisted.open(r)
		}
	}
	return match{}, false
}

// open returns what applies to the member on the route. It reports false if the plan does not open the route's stage.
func (m *member) open(r *Route) (match, bool) {
	if s := m.plan.state.Load(); s != nil {
		if i := findStage(s.Stages, r.API, r.Stage); i >= 0 {
			return match{m, s, s.methods[i]}, true
		}
	}
	return match{}, false
}

// quotaInForce returns the client's quota for the period as the plan has it now; a plan without quotas has uncapped. It
// reports false if the plan was deleted, if it has no quota for the period, or if the client is no member. Every client
// counts as a member of the plan with the id fallback.
func (t *table) quotaInForce(id, client, fallback string, period ledger.Period) (ledger.Quota, bool) {
	p := t.plan(id)
	if p == nil {
		return ledger.Quota{}, false
	}
	m, s := t.member(id, client), p.state.Load()
	if s == nil || m == nil && id != fallback {
		return ledger.Quota{}, false
	}
	for i, q := range s.counted {
		if q.Period == period {
			return s.quota(i, m), true
		}
	}
	return ledger.Quota{}, false
}

// plan returns the plan with the id, or nil.
func (t *table) plan(id string) *plan {
	p, _ := t.plans.Load(id)
	found, _ := p.(*plan)
	return found
}

// member returns the client's membership of the plan, or nil.
func (t *table) member(id, client string) *member {
	for _, m := range t.list(client) {
		if m.Plan == id {
			return m
		}
	}
	return nil
}

// list returns all memberships of the client. The caller must not modify the list.
func (t *table) list(client string) []*member {
	list, _ := t.members.Load(client)
	members, _ := list.([]*member)
	return members
}

// putPlan makes p the current version of its plan. The caller must hold mu.
func (t *table) putPlan(p Plan) error {
	live := t.plan(p.ID)
	if live == nil {
		live = &plan{clients: make(map[string]struct{})}
		live.unlisted.Plan, live.unlisted.plan = p.ID, live
	}
	s, err := newState(live.state.Load(), p)
	if err != nil {
		return err
	}
	live.state.Store(s)
	t.plans.Store(p.ID, live)
	return nil
}

// newState returns the state of p. It takes over the buckets of the version before it, which may be nil: the plan's by
// client, and those of a method if the stage was in the plan before.
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
		if i := findStage(before.Stages, st.API, st.Name); i >= 0 {
			old = before.methods[i]
		}
		fresh, err := newMethods(old, st.Methods)
		if err != nil {
			return nil, err
		}
		s.methods = append(s.methods, fresh)
	}
	if s.counted = p.Quotas; len(p.Quotas) == 0 {
		s.counted = []ledger.Quota{uncapped}
	}
	for _, q := range s.counted {
		s.accounts = append(s.accounts, account(p.ID, q.Period))
	}
	return s, nil
}

// key returns the ledger's key of the client for quota i of those that the ledger counts.
func (s *state) key(i int, client string) ledger.Key {
	return ledger.Key{Plan: s.accounts[i], Subject: client}
}

// account returns the ledger's plan name for the quota of a plan and a period.
func account(plan string, p ledger.Period) string { return fmt.Sprintf("%s/%v", plan, p) }

// throttle gives the plan's limiter the plan's limit. It makes the limiter if there is none.
func (s *state) throttle() (err error) {
	switch {
	case s.Throttle != nil:
		s.buckets, err = renew(s.buckets, *s.Throttle)
	case s.buckets != nil:
		err = s.buckets.SetLimit(unlimited)
	}
	return err
}

// deletePlan removes the plan and its memberships. The plan's state becomes nil first, so that all its members lose the
// plan at the same instant. The caller must hold mu.
func (t *table) deletePlan(id string) {
	p := t.plan(id)
	p.state.Store(nil)
	t.plans.Delete(id)
	for client := range p.clients {
		t.setMembers(client, without(t.list(client), id))
	}
}

// replaceMember removes the client from the plan with the id from, unless that is empty, and adds the member to, unless
// that is nil. Requests see both at once, because the client's list is replaced by one store. The caller must hold mu.
//
// A limit of the client's own is set on its bucket before that store and cleared after it. In both orders, a request
// may for a moment find the bucket with a limit that its member does not have; the order decides which of the two
// errors is possible. For example, let a plan allow 100 requests a second, and a member get a limit of 1. If the list
// were stored first, a request could find the member and take from a bucket of 100: more than the limit allows. As it
// is, a request may only find the former member with a bucket of 1 already, which refuses early. The limit is cleared
// last, because until the list is stored, a request may still find the member that has it. A limit above the plan's
// acts a moment before Apply returns, which does no harm.
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

// override gives the bucket of m the member's own limit. It does nothing if the member has none.
//
// A plan without a throttle has no limiter until one of its members gets a throttle. It then gets one that limits no
// other client, in a new state, because states are immutable. The state is stored before the member, because a request
// that finds the member takes from the limiter of the state. A request that finds the new state without the member does
// not ask the limiter: neither the plan nor the client has a throttle then.
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
	return s.buckets.SetKeyLimit(m.Client, m.Throttle)
}

// restore gives the client's bucket the plan's limit again.
func (p *plan) restore(client string) {
	if s := p.state.Load(); s != nil && s.buckets != nil {
		_ = s.buckets.SetKeyLimit(client, nil) // no error: the limiter was made by New
	}
}

// setMembers replaces the client's memberships by one store. The caller must hold mu.
func (t *table) setMembers(client string, list []*member) {
	if len(list) == 0 {
		t.members.Delete(client)
	} else {
		t.members.Store(client, list)
	}
}

// without returns a copy of list without the membership of the plan with the id.
func without(list []*member, id string) []*member {
	return slices.DeleteFunc(slices.Clone(list), func(m *member) bool { return m.Plan == id })
}
