package usageplan

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/tallygate/tallygate/usageplan/journal"
)

// The names of the changes in the journal: API Gateway's where it has the operation.
const (
	opCreatePlan    = "CreateUsagePlan"
	opUpdatePlan    = "UpdateUsagePlan"
	opDeletePlan    = "DeleteUsagePlan"
	opAddMembers    = "CreateUsagePlanKey"
	opUpdateMember  = "UpdateUsagePlanKey"
	opRemoveMembers = "DeleteUsagePlanKey"
	opImport        = "ImportUsagePlans"
)

// change makes one change: it lets decide fill a draft, checks the draft, stores it, and makes it visible. decide may
// be called again if another process was first. An error of decide is returned as it is.
//
// For example, two processes add a tag to the same plan at the same time. Both decide for revision 8. The journal takes
// one of them and tells the other that it is behind. That one reads revision 8, which has the first tag, decides again,
// and stores a plan with both tags as revision 9. So a verb that reads and writes loses nothing, and "create it unless
// it is there" is true in all processes.
func (m *Meter) change(ctx context.Context, operation string, decide func(*draft) error) error {
	if err := m.configured(); err != nil {
		return err
	}
	var refusal error
	err := m.topic.Record(ctx, func(next uint64) (did string, items []journal.Item, err error) {
		d := &draft{meter: m, next: next << numberBits}
		if err = decide(d); err == nil {
			err = d.check()
		}
		if err == nil {
			items, err = d.items()
		}
		refusal, did = err, operation
		if d.said != "" {
			did += ": " + d.said
		}
		return did, items, err
	})
	switch {
	case err == nil || refusal != nil:
		return err
	case errors.Is(err, journal.ErrTooLarge): // the texts of the origin
		return refused(ErrInvalid, err)
	}
	return &Error{Err: err}
}

// CreatePlan creates the plan p. It draws an id of six characters if p.ID is empty, and sets p.Created if it is zero. A
// plan of the id that exists is [ErrExists]. If the id is that of a deleted plan, the new plan finds that plan's
// balances in the ledger, and none of its members.
func (m *Meter) CreatePlan(ctx context.Context, p Plan) (created Plan, err error) {
	err = m.change(ctx, opCreatePlan, func(d *draft) error {
		p := p
		if p.ID == "" {
			p.ID = m.table.drawID()
		}
		if m.table.version(p.ID) != nil {
			return refused(ErrExists, fmt.Errorf("plan %q", clip(p.ID)))
		}
		created = d.putPlan(p)
		return nil
	})
	return orZero(created, err)
}

// orZero returns v, or the zero value if there is an error.
func orZero[T any](v T, err error) (T, error) {
	if err != nil {
		var zero T
		return zero, err
	}
	return v, nil
}

// drawID returns an id that no plan has, in the form of API Gateway's: six of 36 letters. It may be that of a plan that
// was deleted, whose balances it would find; of a thousand such plans, one id in two million is.
func (t *table) drawID() string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	for {
		b := make([]byte, 6)
		_, _ = rand.Read(b) // never fails
		for i := range b {
			b[i] = letters[int(b[i])%len(letters)] // some letters are a little more likely, which does no harm
		}
		if t.version(string(b)) == nil {
			return string(b)
		}
	}
}

// UpdatePlan changes the plan of the id by calling edit with a copy of it. If edit returns an error, UpdatePlan returns
// that error and changes nothing. edit must not call methods that change the meter, and may be called more than once.
// What it does to ID and Created is ignored. There is [ErrNoPlan], and [ErrConflict] while a member overrides a quota
// that the new version does not have, or is in another plan for one of its stages.
//
// Members and balances stay. The buckets of a throttle stay too, unless the throttle is one of a method and its stage
// is no longer in the plan. A stage that edit removes and adds again has never left. A quota of a new period starts to
// count. A quota per day that is given to a plan without a quota goes on from the usage of the day.
func (m *Meter) UpdatePlan(ctx context.Context, id string, edit func(*Plan) error) (updated Plan, err error) {
	err = m.change(ctx, opUpdatePlan, func(d *draft) error {
		s := m.table.version(id)
		if s == nil {
			return &Error{Err: unknownPlan{plan: id}}
		}
		p := s.Plan.clone()
		if err := edited(edit, &p); err != nil {
			return err
		}
		p.ID = id
		d.said = planChanged(&s.Plan, &p)
		updated = d.putPlan(p)
		return nil
	})
	return orZero(updated, err)
}

// edited calls edit.
func edited[T any](edit func(*T) error, v *T) error {
	if edit == nil {
		return refused(ErrInvalid, errors.New("no edit"))
	}
	return edit(v)
}

// DeletePlan deletes the plan of the id, its memberships and its buckets. Balances stay in the ledger. There is
// [ErrNoPlan], and [ErrConflict] while the plan has stages and if it is Config.Default. All its members lose the plan
// at the same instant. If it has many, the store forgets them in several changes, and DeletePlan waits for that.
func (m *Meter) DeletePlan(ctx context.Context, id string) error {
	err := m.change(ctx, opDeletePlan, func(d *draft) error {
		s := m.table.version(id)
		switch {
		case s == nil:
			return &Error{Err: unknownPlan{plan: id}}
		case id == m.config.Default:
			return refused(ErrConflict, fmt.Errorf("plan %q is the default plan", clip(id)))
		case len(s.Stages) > 0:
			return refused(ErrConflict, fmt.Errorf("plan %q opens %s:%s: take its stages out first",
				clip(id), clip(s.Stages[0].API), clip(s.Stages[0].Name)))
		}
		d.removePlan(id)
		d.sweep(m.table.plan(id), nil)
		return nil
	})
	if err == nil {
		m.sweep(ctx, id)
	}
	return err
}

// maxItems is how many plans and members a change can have at most.
const maxItems = 10_000

// sweep removes the memberships that a deleted plan has left in the journal, when they were too many for one change.
// They count nowhere, so an error does no harm: they stay in the store, and go if another plan of the id is deleted.
func (m *Meter) sweep(ctx context.Context, id string) {
	for more, err := true, error(nil); more && err == nil; {
		err = m.change(ctx, opDeletePlan, func(d *draft) error {
			if p := m.table.plan(id); p != nil {
				d.sweep(p, p.state.Load())
			}
			more = len(d.members) > 0
			return nil
		})
	}
}

// sweep removes memberships of the plan that do not belong to its version s, as many as the change has room for. They
// are those with a lower number than s. If s is nil, all of them are.
func (d *draft) sweep(p *plan, s *state) {
	slots := p.roll.all()
	for i := 0; i < len(slots) && len(d.plans)+len(d.members) < maxItems; i++ {
		if s != nil && slots[i].number > s.number {
			return
		}
		if k := slots[i].member.Load(); k != nil {
			d.removeMember(k.Plan, k.Client)
		}
	}
}

// AddMembers adds the members to their plans, all or none. One that is there already, or that is given twice, is
// [ErrExists]. A plan that does not exist is [ErrNoPlan]. A client that would be in two plans for the same stage is
// [ErrConflict]. A client that was a member before finds its bucket under the plan's throttle as it left it. If the
// plan has no throttle, and the client had one of its own, it starts with a full bucket.
func (m *Meter) AddMembers(ctx context.Context, members ...Member) error {
	return m.change(ctx, opAddMembers, func(d *draft) error {
		for _, k := range members {
			if m.table.member(k.Plan, k.Client) != nil || d.member(k.Plan, k.Client) != nil {
				return exists(k)
			}
			d.putMember(k)
		}
		return nil
	})
}

// UpdateMember changes a membership by calling edit with a copy of it, with the rules of [Meter.UpdatePlan]. If edit
// changes the plan, the client moves to that plan in one step: no request finds it in both plans, or in neither. What
// it does to Client is ignored. There is [ErrNotMember], and the causes of [Meter.AddMembers].
func (m *Meter) UpdateMember(
	ctx context.Context, plan, client string, edit func(*Member) error,
) (updated Member, err error) {
	err = m.change(ctx, opUpdateMember, func(d *draft) error {
		before := m.table.member(plan, client)
		if before == nil {
			return notMember(plan, client)
		}
		k := before.Member.clone()
		if err := edited(edit, &k); err != nil {
			return err
		}
		k.Client = client
		if k.Plan != plan {
			if m.table.member(k.Plan, client) != nil {
				return exists(k)
			}
			d.removeMember(plan, client)
		}
		d.said = memberChanged(&before.Member, &k)
		d.putMember(k)
		updated = k.clone()
		return nil
	})
	return orZero(updated, err)
}

func exists(k Member) error {
	return refused(ErrExists, fmt.Errorf("client %q is a member of plan %q", clip(k.Client), clip(k.Plan)))
}

func notMember(plan, client string) error {
	return refused(ErrNotMember, fmt.Errorf("client %q, plan %q", clip(client), clip(plan)))
}

// RemoveMembers removes the client from the plans, or from every plan if none is named. If it is no member of a named
// plan, that is [ErrNotMember], and nothing changes.
func (m *Meter) RemoveMembers(ctx context.Context, client string, plans ...string) error {
	return m.change(ctx, opRemoveMembers, func(d *draft) error {
		for _, plan := range plans {
			if m.table.member(plan, client) == nil {
				return notMember(plan, client)
			}
			d.removeMember(plan, client)
		}
		if len(plans) > 0 {
			return nil
		}
		for _, k := range m.table.list(client) { // those that wait for a plan as well
			d.removeMember(k.Plan, client)
		}
		return nil
	})
}

// Import creates or replaces plans and members, all in one change or none. One that is replaced keeps its place in the
// order of creation, and a plan its date. One that is given twice is [ErrInvalid], and so are more than 10 000
// together. The other causes are those of the verbs for one plan or member. Importing the same again is no error.
//
// Requests see each plan, and all memberships of a client, change in one step. They may see some of the plans and
// clients before others.
func (m *Meter) Import(ctx context.Context, plans []Plan, members []Member) error {
	if n := len(plans) + len(members); n > maxItems {
		return refused(ErrInvalid, fmt.Errorf("%d plans and members, and a change has at most %d", n, maxItems))
	}
	return m.change(ctx, opImport, func(d *draft) error {
		for _, p := range plans {
			if d.plan(p.ID) != nil {
				return refused(ErrInvalid, fmt.Errorf("plan %q is given twice", clip(p.ID)))
			}
			d.putPlan(p)
		}
		for _, k := range members {
			if d.member(k.Plan, k.Client) != nil {
				return refused(ErrInvalid, fmt.Errorf("client %q, plan %q: given twice", clip(k.Client), clip(k.Plan)))
			}
			d.putMember(k)
		}
		return nil
	})
}

// Refresh reads what other processes have changed in Config.Journal, which Config.Follow does by itself. It also
// settles a change whose outcome is unknown: afterwards the change is there or it is not. It is an error of
// [journal.ErrUnavailable] if the journal does not answer, or if a newer version of this package has written what it
// has; the plans and members are as before then.
func (m *Meter) Refresh(ctx context.Context) error {
	if err := m.configured(); err != nil {
		return err
	}
	if err := m.topic.Refresh(ctx); err != nil {
		return &Error{Err: err}
	}
	return nil
}
