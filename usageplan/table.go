package usageplan

import (
	"sync"
	"sync/atomic"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// table holds the plans and their members. Requests read it without a lock. The topic of the journal changes it, one
// change at a time; New does so before any other goroutine has the meter.
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
//
// What the table shows is determined by the configuration and the items of the journal, in whatever order these have
// come. In particular, a membership may come before its plan, or without it. It then waits in the table and counts
// nowhere; see [member.version].
type table struct {
	plans   sync.Map // plan id → *plan
	members sync.Map // client → []*member; a list that is stored is never modified

	// What Config.Plans and Config.Members declare. An item of the journal takes precedence over it.
	declaredPlans   map[string]planItem
	declaredMembers map[membership]memberItem
}

// A membership is the identity of a member.
type membership struct{ plan, client string }

// A plan is the identity of a Plan. It stays the same while changes replace its state. Therefore members can point to
// it, and a change of the plan need not touch its members, of which there may be a million.
type plan struct {
	id       string
	state    atomic.Pointer[state] // the current version; nil if there is no such plan
	unlisted member                // stands for every client that no plan lists, if this is the default plan
	roll     roll                  // its members
}

// A state is one version of a plan. It is immutable.
type state struct {
	Plan
	number   uint64                     // the plan's place in the order of creation; see draft.number
	methods  []*methods                 // the method throttles of each of Plan.Stages; nil if a stage has none
	counted  []ledger.Quota             // what the ledger counts: Plan.Quotas, or uncapped alone if there are none
	accounts []string                   // the ledger's plan name for each of counted, such as "jcfq33/DAY"
	buckets  *ratelimit.Limiter[string] // one bucket a client; nil until the plan or one of its members has a throttle
	allowed  Verdict                    // on all requests that this version admits, for Observe
}

// uncapped is the quota by which the ledger counts the usage of a plan that has none. It counts under the key of a
// quota per day. If the plan gets such a quota later, the quota finds what was used on its first day.
var uncapped = ledger.Quota{Limit: ledger.MaxUnits, Period: ledger.Daily}

// A member is one client in one plan. It is immutable, apart from the cache in accounts.
type member struct {
	Member
	number uint64 // its place in the order of creation; see draft.number
	plan   *plan

	// accounts caches the ledger's account of each period, so that a request need not look it up. The member of
	// plan.unlisted caches none, because it stands for many clients.
	accounts [3]atomic.Pointer[ledger.Ref]
}

// version returns the present version of the member's plan. It is nil if there is no such plan, and if the plan is
// younger than the membership: then the plan was deleted, its memberships with it, and another of the same id was
// created. So the deletion of a plan with a million members is one step.
func (m *member) version() *state {
	if s := m.plan.state.Load(); s != nil && m.number > s.number {
		return s
	}
	return nil
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

// quota returns quota i of those that the ledger counts, with the limit of the member m, if it has one of its own. m
// may be nil. In a plan without quotas, no member has a limit. But a request may find a member just before its limit is
// removed, and then the version of the plan that has lost its quotas. So m is not asked there.
func (s *state) quota(i int, m *member) ledger.Quota {
	if len(s.Quotas) == 0 {
		return s.counted[i]
	}
	return m.quota(s.Quotas[i])
}

// find returns what applies to the client on the route: the plan of the client that opens the route's stage. If none
// does, it is the plan with the id fallback, which may be empty. There is at most one such plan, because
// [draft.conflicts] refuses a second one. For example, a client may be in a plan for pets:dev and in another for
// pets:prod, but not in two plans for pets:dev.
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
	if s := m.version(); s != nil {
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
	m, s := t.member(id, client), t.version(id)
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

// plan returns the identity of the plan with the id, or nil if nothing has named the plan yet.
func (t *table) plan(id string) *plan {
	p, _ := t.plans.Load(id)
	found, _ := p.(*plan)
	return found
}

// version returns the present version of the plan with the id, or nil.
func (t *table) version(id string) *state {
	if p := t.plan(id); p != nil {
		return p.state.Load()
	}
	return nil
}

// member returns the client's membership of the plan, or nil.
func (t *table) member(id, client string) *member {
	for _, m := range t.list(client) {
		if m.Plan == id && m.version() != nil {
			return m
		}
	}
	return nil
}

// list returns all memberships of the client, also those that wait for a plan. The caller must not modify the list.
func (t *table) list(client string) []*member {
	list, _ := t.members.Load(client)
	members, _ := list.([]*member)
	return members
}
