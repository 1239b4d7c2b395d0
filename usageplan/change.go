package usageplan

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// A Change is one change of a meter's plans and members. Exactly one field is set, with one exception: PutMember and
// DeleteMember together move one client from one plan to another, in one step. Its JSON form may be stored.
type Change struct {
	// PutPlan creates the plan, or replaces the plan of the same id. Members and balances stay. The buckets of a
	// throttle stay too, unless the throttle is one of a method and its stage is no longer in the plan. A quota of a
	// new period starts to count. A quota per day that is given to a plan without a quota goes on from the usage of the
	// day. The change is refused while a member overrides a quota that the new version does not have.
	PutPlan *Plan `json:"putPlan,omitempty"`
	// DeletePlan removes the plan of this id, its memberships and its buckets. Balances stay in the ledger.
	DeletePlan string `json:"deletePlan,omitempty"`
	// PutMember adds the client to the plan, or replaces its overrides.
	PutMember *Member `json:"putMember,omitempty"`
	// DeleteMember removes the client from the plan. Fields other than Plan and Client are ignored. If the client is
	// added again, it finds its bucket under the plan's throttle as it left it. If the plan has no throttle, and the
	// client had one of its own, it starts with a full bucket.
	DeleteMember *Member `json:"deleteMember,omitempty"`
}

// Apply makes one change: it validates c, gives it to Config.Commit and makes it visible. The change acts on every
// request that starts after Apply has returned. No request waits for it. Changes are made one at a time, so Commit must
// call neither Apply nor Members.
//
// An error is an [*Error], and means that nothing has changed. It wraps [ErrInvalid] if c has a mistake, and
// [ErrNoPlan] as well if the plan of a member does not exist. It wraps [ErrConflict] if the present plans and members
// do not allow the change.
//
// A change may be repeated, for example if the answer to it was lost. It is no error to delete what does not exist, or
// to move a client that was moved already. A deletion of what does not exist is not given to Commit.
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

// carryOut validates c, gives it to commit, unless that is nil, and applies it. All that can be wrong is found before
// the commit, because what is stored must be made. Apply and Restore take the same steps, so a change that was
// committed is accepted by the next process with the same configuration. carryOut keeps c: the caller must not use it
// afterwards.
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

// remaining returns c without the deletion of what does not exist. Of a move that was made already, that leaves the
// addition of a member who is there, which changes nothing.
func (t *table) remaining(c Change) Change {
	if c.DeletePlan != "" && t.plan(c.DeletePlan) == nil {
		c.DeletePlan = ""
	}
	if c.DeleteMember != nil && t.member(c.DeleteMember.Plan, c.DeleteMember.Client) == nil {
		c.DeleteMember = nil
	}
	return c
}

// clone returns a deep copy of c, so that neither the caller nor Commit shares memory with the table.
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

// apply makes a validated change visible. An error is a bug in this package.
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

// mistakes returns what is wrong with c, whatever the other plans and members are, or nil.
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

// fields returns how many fields of c are set.
func (c Change) fields() int {
	set := 0
	for _, is := range []bool{c.PutPlan != nil, c.DeletePlan != "", c.PutMember != nil, c.DeleteMember != nil} {
		if is {
			set++
		}
	}
	return set
}

// mistakesOfPlan returns what is wrong with p on its own, throttles that no request can reach and a quota without a
// ledger among it.
func (m *Meter) mistakesOfPlan(p Plan) error {
	errs := []error{p.validate(), wrap(fmt.Sprintf("plan %q", clip(p.ID)), m.validateReach(p.Stages))}
	if len(p.Quotas) > 0 && m.config.Ledger == nil {
		errs = append(errs, fmt.Errorf("plan %q has a quota, and there is no ledger to count it in: set Config.Ledger",
			clip(p.ID)))
	}
	return errors.Join(errs...)
}

func (t *table) mistakesOfMember(m Member) error {
	p := t.plan(m.Plan)
	if p == nil {
		return unknownPlan{client: m.Client, plan: m.Plan}
	}
	return m.validate(p.state.Load().Plan)
}

// unknownPlan is the mistake of a member whose plan does not exist. It is [ErrNoPlan] without that error's text, which
// is about a request.
type unknownPlan struct{ client, plan string }

func (e unknownPlan) Error() string {
	return fmt.Sprintf("member %q: there is no plan %q", clip(e.client), clip(e.plan))
}

func (e unknownPlan) Unwrap() error { return ErrNoPlan }

// conflicts returns why the present plans and members do not allow c, or nil. In contrast to mistakes, the same change
// may be allowed later.
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
		return nil // mistakes reports it
	}
	if c.DeleteMember != nil {
		leaving = c.DeleteMember.Plan
	}
	return t.alone(c.PutMember.Client, p.state.Load().Plan, leaving)
}

// conflictsOfPlan returns the members that the new version p of a plan does not fit, as errors.
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

// alone returns an error if the client is in a plan other than p that opens one of p's stages. The plan with the id
// leaving does not count.
//
// For example, a client in a plan for pets:dev cannot be added to a second plan for pets:dev and pets:prod: for a
// request to pets:dev it would be unclear which plan counts it. A move from the first plan to the second leaves the
// first, and is allowed. API Gateway refuses the same
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-api-usage-plans.html).
func (t *table) alone(client string, p Plan, leaving string) error {
	for _, other := range t.list(client) {
		if other.Plan == p.ID || other.Plan == leaving {
			continue
		}
		for _, s := range other.plan.state.Load().Stages {
			if findStage(p.Stages, s.API, s.Name) >= 0 {
				return fmt.Errorf("client %q is in plan %q for %s:%s already: take it out of there by DeleteMember in the same change",
					client, other.Plan, s.API, s.Name)
			}
		}
	}
	return nil
}

// Plans yields a copy of every plan, in no particular order. Changes go on meanwhile.
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

// Members returns a copy of every member of the plan, sorted by client. Changes wait for it, requests do not.
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
