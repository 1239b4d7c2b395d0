package usageplan

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// A Change is one mutation of a meter's plans and members: one field is set, or PutMember and DeleteMember for one
// client, which then moves from plan to plan without a moment in between. Its JSON form is made to be kept.
type Change struct {
	// PutPlan creates the plan or replaces it. Members and balances stay, and so do the buckets of what stays throttled;
	// a stage that is taken out loses the buckets of its methods, and a quota of another period counts anew. It is
	// refused while a member overrides a quota that the new version lacks.
	PutPlan *Plan `json:"putPlan,omitempty"`
	// DeletePlan removes the plan of this id, its memberships and its buckets. Balances stay in the ledger.
	DeletePlan string `json:"deletePlan,omitempty"`
	// PutMember adds the client to the plan or replaces its overrides.
	PutMember *Member `json:"putMember,omitempty"`
	// DeleteMember takes the client out of the plan. Only Plan and Client count. A bucket under the plan's throttle stays for
	// when the client comes back; the bucket of a throttle of its own, where the plan has none, begins full then.
	DeleteMember *Member `json:"deleteMember,omitempty"`
}

// Apply carries out one change at run time: it is validated, given to Config.Commit, and acts on every request that comes
// after. No request waits for it. An error means that nothing has changed; a mistake in c wraps [ErrInvalid]. Changes
// are carried out one at a time, so Commit must call neither Apply nor Members.
func (m *Meter) Apply(ctx context.Context, c Change) error {
	if err := m.configured(); err != nil {
		return err
	}
	m.table.mu.Lock()
	defer m.table.mu.Unlock()
	c = c.clone()
	if err := m.validate(c); err != nil {
		return fmt.Errorf("usageplan: %w: %w", ErrInvalid, err)
	}
	if m.config.Commit != nil {
		if err := m.config.Commit(ctx, c.clone()); err != nil {
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

// apply carries out a change that has been validated, so that it can fail only by a mistake of this package.
func (t *table) apply(c Change) error {
	switch {
	case c.PutPlan != nil:
		return t.putPlan(*c.PutPlan)
	case c.DeletePlan != "":
		t.deletePlan(c.DeletePlan)
		return nil
	case c.DeleteMember != nil:
		return t.replaceMember(c.DeleteMember.Client, c.DeleteMember.Plan, c.PutMember)
	default:
		return t.replaceMember(c.PutMember.Client, "", c.PutMember)
	}
}

// validate reports every reason not to carry c out.
func (m *Meter) validate(c Change) error {
	move := c.PutMember != nil && c.DeleteMember != nil
	switch set := c.fields(); {
	case set != 1 && !(set == 2 && move):
		return fmt.Errorf("a change is one thing, not %d", set)
	case move && (c.PutMember.Client != c.DeleteMember.Client || c.PutMember.Plan == c.DeleteMember.Plan):
		return errors.New("a move is of one client between two plans")
	case c.PutPlan != nil:
		return m.validatePlan(*c.PutPlan)
	case c.DeletePlan != "":
		return m.validateDeletion(c.DeletePlan)
	case move:
		return errors.Join(m.table.validateLeaving(*c.DeleteMember), m.table.validateMember(*c.PutMember, c.DeleteMember.Plan))
	case c.PutMember != nil:
		return m.table.validateMember(*c.PutMember, "")
	default:
		return m.table.validateLeaving(*c.DeleteMember)
	}
}

func (c Change) fields() int {
	set := 0
	for _, is := range []bool{c.PutPlan != nil, c.DeletePlan != "", c.PutMember != nil, c.DeleteMember != nil} {
		if is {
			set++
		}
	}
	return set
}

func (m *Meter) validatePlan(p Plan) error {
	errs := []error{p.Validate(), wrap(fmt.Sprintf("plan %q", clip(p.ID)), m.validateReach(p.Stages))}
	if len(p.Quotas) > 0 && m.config.Ledger == nil {
		errs = append(errs, fmt.Errorf("plan %q has a quota, and there is no ledger to count it in", clip(p.ID)))
	}
	if live := m.table.plan(p.ID); live != nil {
		for client := range live.clients {
			errs = append(errs, m.table.alone(client, p, ""), m.table.member(p.ID, client).validate(p))
		}
	}
	return errors.Join(errs...)
}

func (m *Meter) validateDeletion(id string) error {
	switch {
	case m.table.plan(id) == nil:
		return fmt.Errorf("there is no plan %q", clip(id))
	case id == m.config.Default:
		return fmt.Errorf("plan %q is the default plan", id)
	}
	return nil
}

// validateMember holds m to its plan, when the client leaves another plan for it, if named.
func (t *table) validateMember(m Member, leaving string) error {
	p := t.plan(m.Plan)
	if p == nil {
		return fmt.Errorf("member %q: there is no plan %q", clip(m.Client), clip(m.Plan))
	}
	now := p.state.Load().Plan
	return errors.Join(m.validate(now), t.alone(m.Client, now, leaving))
}

func (t *table) validateLeaving(m Member) error {
	if t.member(m.Plan, m.Client) == nil {
		return fmt.Errorf("client %q is not a member of plan %q", clip(m.Client), clip(m.Plan))
	}
	return nil
}

// alone holds that a client of p is in no other plan for the same stage of an api, but for the one it is leaving.
func (t *table) alone(client string, p Plan, leaving string) error {
	for _, other := range t.list(client) {
		if other.Plan == p.ID || other.Plan == leaving {
			continue
		}
		for _, s := range other.plan.state.Load().Stages {
			if find(p.Stages, s.API, s.Name) >= 0 {
				return fmt.Errorf("client %q is in plan %q for %s:%s already", client, other.Plan, s.API, s.Name)
			}
		}
	}
	return nil
}

// Plans yields a copy of every plan, in no order.
func (m *Meter) Plans() iter.Seq[Plan] {
	return func(yield func(Plan) bool) {
		if m.configured() != nil {
			return
		}
		m.table.plans.Range(func(_, p any) bool {
			s := p.(*plan).state.Load()
			return s == nil || yield(s.Plan.clone())
		})
	}
}

// Members returns a copy of every member of the plan, by client. Changes wait meanwhile, requests do not.
func (m *Meter) Members(plan string) []Member {
	if m.configured() != nil {
		return nil
	}
	m.table.mu.Lock()
	defer m.table.mu.Unlock()
	var members []Member
	if p := m.table.plan(plan); p != nil {
		for client := range p.clients {
			members = append(members, m.table.member(plan, client).Member.clone())
		}
	}
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.Client, b.Client) })
	return members
}
