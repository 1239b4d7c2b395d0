package usageplan

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
)

// A Change is one mutation of a meter's plans and members. Exactly one field is set.
type Change struct {
	PutPlan      *Plan   // creates the plan or replaces it; buckets, balances and members stay
	DeletePlan   string  // removes the plan with this id and its memberships; balances stay in the ledger
	PutMember    *Member // adds the client to the plan or replaces its overrides
	DeleteMember *Member // takes the client out of the plan; only Plan and Client count
}

// Apply carries out one change at run time: it is validated, given to Config.Commit, and visible to every request that
// comes after. An error means that nothing has changed; a mistake in c wraps [ErrInvalid]. Readers are never blocked.
func (m *Meter) Apply(ctx context.Context, c Change) error {
	m.table.mu.Lock()
	defer m.table.mu.Unlock()
	c = c.clone()
	if err := m.validate(c); err != nil {
		return fmt.Errorf("usageplan: %w: %w", ErrInvalid, err)
	}
	if m.config.Commit != nil {
		if err := m.config.Commit(ctx, c); err != nil {
			return fmt.Errorf("usageplan: commit: %w", err)
		}
	}
	return m.table.apply(c)
}

// clone copies c deeply: neither the caller nor Commit shares memory with the table.
func (c Change) clone() Change {
	if c.PutPlan != nil {
		p := c.PutPlan.clone()
		c.PutPlan = &p
	}
	if c.PutMember != nil {
		m := c.PutMember.clone()
		c.PutMember = &m
	}
	c.DeleteMember = clone(c.DeleteMember)
	return c
}

func (t *table) apply(c Change) error {
	switch {
	case c.PutPlan != nil:
		return t.putPlan(*c.PutPlan)
	case c.PutMember != nil:
		return t.putMember(*c.PutMember)
	case c.DeleteMember != nil:
		t.deleteMember(c.DeleteMember.Plan, c.DeleteMember.Client)
	default:
		t.deletePlan(c.DeletePlan)
	}
	return nil
}

// validate reports every reason not to carry c out.
func (m *Meter) validate(c Change) error {
	set := 0
	for _, is := range []bool{c.PutPlan != nil, c.DeletePlan != "", c.PutMember != nil, c.DeleteMember != nil} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		return fmt.Errorf("a change sets exactly one field, not %d", set)
	case c.PutPlan != nil:
		return m.checkPlan(*c.PutPlan)
	case c.PutMember != nil:
		return m.table.checkMember(*c.PutMember)
	case c.DeleteMember != nil:
		return m.table.checkLeaving(*c.DeleteMember)
	case m.table.plan(c.DeletePlan) == nil:
		return fmt.Errorf("there is no plan %q", c.DeletePlan)
	case c.DeletePlan == m.config.Default:
		return fmt.Errorf("plan %q is the default plan", c.DeletePlan)
	}
	return nil
}

func (m *Meter) checkPlan(p Plan) error {
	errs := []error{p.Validate()}
	if len(p.Quotas) > 0 && m.config.Ledger == nil {
		errs = append(errs, fmt.Errorf("plan %q has a quota, and there is no ledger to count it in", p.ID))
	}
	if m.table.plan(p.ID) != nil {
		for member := range m.table.all() {
			if member.Member.Plan == p.ID {
				errs = append(errs, m.table.checkAlone(member.Member, p), member.Member.validate(p))
			}
		}
	}
	return errors.Join(errs...)
}

func (t *table) checkMember(m Member) error {
	p := t.plan(m.Plan)
	if p == nil {
		return fmt.Errorf("member %q: there is no plan %q", m.Client, m.Plan)
	}
	now := p.state.Load().Plan
	return errors.Join(m.validate(now), t.checkAlone(m, now))
}

func (t *table) checkLeaving(m Member) error {
	if t.member(m.Plan, m.Client) == nil {
		return fmt.Errorf("client %q is not a member of plan %q", m.Client, m.Plan)
	}
	return nil
}

// checkAlone holds that a client is in at most one plan per stage of an api.
func (t *table) checkAlone(m Member, p Plan) error {
	for _, other := range t.list(m.Client) {
		if other.Member.Plan == p.ID {
			continue
		}
		for _, s := range other.plan.state.Load().Stages {
			if slices.ContainsFunc(p.Stages, func(o Stage) bool { return o.is(s.API, s.Name) }) {
				return fmt.Errorf("client %q is in plan %q for %s:%s already", m.Client, other.Member.Plan, s.API, s.Name)
			}
		}
	}
	return nil
}

// Plans yields a copy of every plan, in no order.
func (m *Meter) Plans() iter.Seq[Plan] {
	return func(yield func(Plan) bool) {
		plans := m.table.plans.Load()
		if plans == nil {
			return
		}
		for _, p := range *plans {
			if s := p.state.Load(); s != nil && !yield(s.Plan.clone()) {
				return
			}
		}
	}
}

// Members yields a copy of every member of the plan, in no order. It walks all members of the meter.
func (m *Meter) Members(plan string) iter.Seq[Member] {
	return func(yield func(Member) bool) {
		for member := range m.table.all() {
			if member.Member.Plan == plan && !yield(member.Member.clone()) {
				return
			}
		}
	}
}
