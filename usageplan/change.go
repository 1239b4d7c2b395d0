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
// after. No request waits for it. An error means that nothing has changed, and is an [*Error]: a mistake in c wraps
// [ErrInvalid], a plan that does not exist [ErrNoPlan] too, and what the present plans and members do not allow [ErrConflict].
//
// A change may be repeated, as after an answer that was lost: to delete what is not there, or to move a client that has been
// moved, is no mistake, and a deletion that changes nothing is not committed. Changes are carried out one at a time, so
// Commit must call neither Apply nor Members.
func (m *Meter) Apply(ctx context.Context, c Change) error {
	if err := m.configured(); err != nil {
		return err
	}
	m.table.mu.Lock()
	defer m.table.mu.Unlock()
	err := m.carryOut(c.clone(), func(c Change) error {
		if m.config.Commit == nil {
			return nil
		}
		return m.config.Commit(ctx, c.clone())
	})
	if err != nil {
		return &Error{Err: err}
	}
	return nil
}

// carryOut makes the change c, of which it takes possession, once commit has kept it; nil keeps nothing.
func (m *Meter) carryOut(c Change, commit func(Change) error) error {
	if err := m.mistakes(c); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	c = m.table.remaining(c)
	if c == (Change{}) {
		return nil
	}
	if err := m.conflicts(c); err != nil {
		return fmt.Errorf("%w: %w", ErrConflict, err)
	}
	if commit != nil {
		if err := commit(c); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
	}
	return m.table.apply(c)
}

// remaining leaves out of c the deletions of what is not there.
func (t *table) remaining(c Change) Change {
	if c.DeletePlan != "" && t.plan(c.DeletePlan) == nil {
		c.DeletePlan = ""
	}
	if c.DeleteMember != nil && t.member(c.DeleteMember.Plan, c.DeleteMember.Client) == nil {
		c.DeleteMember = nil
	}
	return c
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

// mistakes reports what is wrong with c itself.
func (m *Meter) mistakes(c Change) error {
	move := c.PutMember != nil && c.DeleteMember != nil
	switch set := c.fields(); {
	case set != 1 && !(set == 2 && move):
		return fmt.Errorf("a change is one thing, not %d: set one field, or PutMember and DeleteMember", set)
	case move && (c.PutMember.Client != c.DeleteMember.Client || c.PutMember.Plan == c.DeleteMember.Plan):
		return errors.New("a move is of one client between two plans")
	case c.PutPlan != nil:
		return m.mistakesOfPlan(*c.PutPlan)
	case c.PutMember != nil:
		return m.table.mistakesOfMember(*c.PutMember)
	case c.DeleteMember != nil && (c.DeleteMember.Plan == "" || c.DeleteMember.Client == ""):
		return errors.New("a member that is deleted needs its plan and its client")
	}
	return nil
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

func (m *Meter) mistakesOfPlan(p Plan) error {
	errs := []error{p.Validate(), wrap(fmt.Sprintf("plan %q", clip(p.ID)), m.validateReach(p.Stages))}
	if len(p.Quotas) > 0 && m.config.Ledger == nil {
		errs = append(errs, fmt.Errorf("plan %q has a quota, and there is no ledger to count it in: set Config.Ledger", clip(p.ID)))
	}
	return errors.Join(errs...)
}

func (t *table) mistakesOfMember(m Member) error {
	p := t.plan(m.Plan)
	if p == nil {
		return fmt.Errorf("member %q: there is no plan %q: %w", clip(m.Client), clip(m.Plan), ErrNoPlan)
	}
	return m.validate(p.state.Load().Plan)
}

// conflicts reports why a change without mistakes does not fit the present plans and members.
func (m *Meter) conflicts(c Change) error {
	t := &m.table
	switch {
	case c.PutPlan != nil:
		return t.conflictsOfPlan(*c.PutPlan)
	case c.DeletePlan != "" && c.DeletePlan == m.config.Default:
		return fmt.Errorf("plan %q is the default plan", clip(c.DeletePlan))
	case c.PutMember == nil:
		return nil
	}
	p, leaving := t.plan(c.PutMember.Plan), ""
	if p == nil {
		return nil // a mistake
	}
	if c.DeleteMember != nil {
		leaving = c.DeleteMember.Plan
	}
	return t.alone(c.PutMember.Client, p.state.Load().Plan, leaving)
}

// conflictsOfPlan holds that a new version of a plan fits each of its members.
func (t *table) conflictsOfPlan(p Plan) error {
	live := t.plan(p.ID)
	if live == nil {
		return nil
	}
	var errs []error
	for client := range live.clients {
		errs = append(errs, t.alone(client, p, ""), t.member(p.ID, client).validate(p))
	}
	return errors.Join(errs...)
}

// alone holds that a client of p is in no other plan for the same stage of an api, but for the one it is leaving.
func (t *table) alone(client string, p Plan, leaving string) error {
	for _, other := range t.list(client) {
		if other.Plan == p.ID || other.Plan == leaving {
			continue
		}
		for _, s := range other.plan.state.Load().Stages {
			if find(p.Stages, s.API, s.Name) >= 0 {
				return fmt.Errorf("client %q is in plan %q for %s:%s already: take it out of there by DeleteMember in the same change",
					client, other.Plan, s.API, s.Name)
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
