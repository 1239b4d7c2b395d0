package usageplan

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// apply makes a changeset visible: plans first, then the memberships of each client by one store. Everything in it is
// valid, so an error is a bug in this package.
//
// A changeset of several plans and clients is not one step for requests. It could be one only if requests read the plan
// and the memberships through one pointer, which would have to be copied for each change, with a million members. What
// a request decides by, one client's memberships and one plan, each changes in one step, and that is what it needs.
func (t *table) apply(c *changeset) error {
	var errs []error
	for i := range c.plans {
		errs = append(errs, t.applyPlan(&c.plans[i]))
	}
	var added []*member
	for client := range c.latest {
		fresh, err := t.applyMembers(client, c)
		added, errs = append(added, fresh...), append(errs, err)
	}
	// In this order, rolls are appended to. In that of a map, each of a million members that a process reads when it
	// starts would be inserted somewhere in the middle.
	byNumber(added)
	for _, m := range added {
		m.plan.roll.put(m)
	}
	t.dropUnused(c)
	return errors.Join(errs...)
}

// identity returns the plan with the id. It makes one without a state if there is none.
func (t *table) identity(id string) *plan {
	p := t.plan(id)
	if p == nil {
		p = &plan{id: id}
		p.unlisted = member{Member: Member{Plan: id}, number: math.MaxUint64, plan: p}
		t.plans.Store(id, p)
	}
	return p
}

// dropUnused forgets the plans of c that are gone and have no members. Otherwise a program that creates and deletes
// plans all day would keep every id. A request that has found the identity meanwhile finds no state in it, and is
// refused.
func (t *table) dropUnused(c *changeset) {
	drop := func(id string) {
		if p := t.plan(id); p != nil && p.state.Load() == nil && p.roll.count() == 0 {
			t.plans.Delete(id)
		}
	}
	for i := range c.plans {
		drop(c.plans[i].ID)
	}
	for i := range c.members {
		if c.members[i].gone {
			drop(c.members[i].Plan)
		}
	}
}

// applyPlan makes p the current version of its plan. If p is gone, the state becomes nil, so that all its members lose
// the plan at the same instant.
func (t *table) applyPlan(p *planItem) error {
	live := t.identity(p.ID)
	if p.gone {
		live.state.Store(nil)
		return nil
	}
	before := live.state.Load()
	if before != nil && before.number != p.number {
		before = nil // the plan was deleted and another one was created: its buckets are not those of the former
	}
	s, err := newState(before, p)
	if err != nil {
		return err
	}
	if before == nil {
		err = s.overrideAll(&live.roll)
	}
	live.state.Store(s)
	return err
}

// newState returns the state of p. It takes over the buckets of the version before it, which may be nil: the plan's by
// client, and those of a method if the stage was in the plan before.
func newState(before *state, p *planItem) (*state, error) {
	if before == nil {
		before = &state{}
	}
	s := &state{Plan: p.Plan, number: p.number, buckets: before.buckets}
	s.allowed = Verdict{Layer: meterLayer, Outcome: allowed, Plan: p.ID}
	if err := s.throttle(); err != nil {
		return nil, err
	}
	for _, st := range p.Stages {
		var old *methods
		if i := findStage(before.Stages, st.API, st.Name); i >= 0 {
			old = before.methods[i]
		}
		fresh, err := newMethods(old, &st)
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

// overrideAll gives the members that have waited for the plan their own limits, before requests see the plan. A request
// takes from the limiter of the state if its member has a throttle, so there must be one.
func (s *state) overrideAll(r *roll) error {
	var errs []error
	members, _ := r.page(math.MaxUint64, s.number, math.MaxInt)
	for _, m := range members {
		errs = append(errs, s.override(&m.Member))
	}
	return errors.Join(errs...)
}

// override gives the bucket of m the member's own limit. It does nothing if the member has none. It makes the limiter
// if there is none; then requests must not have s yet.
func (s *state) override(m *Member) (err error) {
	if m.Throttle == nil {
		return nil
	}
	if s.buckets == nil {
		if s.buckets, err = ratelimit.New(ratelimit.Config[string]{Limit: unlimited}); err != nil {
			return err
		}
	}
	if shut(m.Throttle) {
		return nil
	}
	return s.buckets.SetKeyLimit(m.Client, m.Throttle)
}

// applyMembers makes visible what c has about a client. Requests see all of it at once, because the client's list is
// replaced by one store. It returns the memberships that were added or replaced.
//
// A limit of the client's own is set on its bucket before that store and cleared after it. In both orders, a request
// may for a moment find the bucket with a limit that its member does not have; the order decides which of the two
// errors is possible. For example, let a plan allow 100 requests a second, and a member get a limit of 1. If the list
// were stored first, a request could find the member and take from a bucket of 100: more than the limit allows. As it
// is, a request may only find the former member with a bucket of 1 already, which refuses early. The limit is cleared
// last, because until the list is stored, a request may still find the member that has it. A limit above the plan's
// acts a moment before the change is complete, which does no harm.
func (t *table) applyMembers(client string, c *changeset) (added []*member, err error) {
	list := slices.Clone(t.list(client))
	var loosened []*member
	for to := range c.of(client) {
		i := slices.IndexFunc(list, func(m *member) bool { return m.Plan == to.Plan })
		if i >= 0 {
			if old := list[i]; old.Throttle != nil && (to.gone || to.Throttle == nil) {
				loosened = append(loosened, old)
			}
			if to.gone || list[i].number != to.number {
				list[i].plan.roll.remove(list[i].number)
			}
			list = slices.Delete(list, i, i+1)
		}
		if to.gone {
			continue
		}
		m := t.newMember(to)
		err = errors.Join(err, m.override())
		list, added = append(list, m), append(added, m)
	}
	t.setMembers(client, list)
	for _, m := range loosened {
		m.plan.restore(client)
	}
	return added, err
}

// newMember returns the membership to. It has the text of the plan's id in common with the plan, so that a million of
// members do not keep a million copies.
func (t *table) newMember(to *memberItem) *member {
	m := &member{Member: to.Member, number: to.number, plan: t.identity(to.Plan)}
	m.Plan = m.plan.id
	return m
}

// override gives the bucket of m its own limit, as [state.override] does. While m waits for its plan, it does nothing:
// applyPlan does it then.
//
// A plan without a throttle has no limiter until one of its members gets a throttle. It then gets one that limits no
// other client, in a new state, because states are immutable. The state is stored before the member, because a request
// that finds the member takes from the limiter of the state. A request that finds the new state without the member does
// not ask the limiter: neither the plan nor the client has a throttle then.
func (m *member) override() error {
	s := m.version()
	if s == nil || m.Throttle == nil {
		return nil
	}
	if s.buckets != nil {
		return s.override(&m.Member)
	}
	next := *s
	err := next.override(&m.Member)
	m.plan.state.Store(&next)
	return err
}

// restore gives the client's bucket the plan's limit again.
func (p *plan) restore(client string) {
	if s := p.state.Load(); s != nil && s.buckets != nil {
		_ = s.buckets.SetKeyLimit(client, nil) // no error: the limiter was made by New
	}
}

// setMembers replaces the client's memberships by one store.
func (t *table) setMembers(client string, list []*member) {
	if len(list) == 0 {
		t.members.Delete(client)
	} else {
		t.members.Store(client, list)
	}
}
