package usageplan

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A draft is a change that is being decided. It shows plans and memberships as they will be after the change, so that
// all that can be wrong is found before the change is stored. Nobody else changes the table meanwhile.
type draft struct {
	meter *Meter
	next  uint64 // the number of the next thing that is created
	said  string // what an update has changed, for people
	changeset
}

// The numbers of what is created are unique and grow, so they are the order of creation and the cursor of pages. What a
// change creates has the revision of the change above numberBits, and below it counts up within the change. Revisions
// begin with 1. So what the configuration declares has lower numbers; there, all plans come before all members.
const (
	numberBits  = 24
	firstMember = 1 << (numberBits - 1)
	maxDeclared = firstMember - 1
)

// number returns the number of the next thing that d creates. For example, change 5 creates a plan and two members:
// they get the numbers 5<<24, 5<<24 + 1 and 5<<24 + 2. No other process can give the same numbers, because only one
// change has the revision 5. If it turns out that another process has made it, the draft is decided again for revision
// 6.
func (d *draft) number() uint64 {
	d.next++
	return d.next - 1
}

// putPlan creates or replaces the plan. One that is replaced keeps its place in the order and its date.
func (d *draft) putPlan(p Plan) Plan {
	item := planItem{Plan: p.clone()}
	if s := d.meter.table.version(p.ID); s != nil {
		item.number, item.Created = s.number, s.Created
	} else if item.number = d.number(); p.Created.IsZero() {
		item.Created = time.Now()
	}
	item.Created = item.Created.UTC().Round(0) // without the monotonic reading
	d.addPlan(item)
	return item.Plan.clone()
}

// putMember creates or replaces the membership. One that is replaced keeps its place in the order, unless it is only
// declared so far. Its number is then the place in Config.Members. If that were stored, the next process could declare
// another member there, and the two would have one slot in the roll.
func (d *draft) putMember(k Member) {
	item := memberItem{Member: k.clone()}
	if m := d.meter.table.member(k.Plan, k.Client); m != nil && m.number >= 1<<numberBits {
		item.number = m.number
	} else {
		item.number = d.number()
	}
	d.addMember(item)
}

func (d *draft) removePlan(id string) {
	d.addPlan(planItem{Plan: Plan{ID: id}, gone: true})
}

func (d *draft) removeMember(plan, client string) {
	d.addMember(memberItem{Member: Member{Plan: plan, Client: client}, gone: true})
}

// planAfter returns the plan as it will be, or nil.
func (d *draft) planAfter(id string) *Plan {
	if p := d.plan(id); p != nil {
		if p.gone {
			return nil
		}
		return &p.Plan
	}
	if s := d.meter.table.version(id); s != nil {
		return &s.Plan
	}
	return nil
}

// plansAfter returns the plans of which the client will be a member: those in the table that d does not touch, then
// those that d adds or replaces. For example, the table has the client in "free", and d removes it there and adds it to
// "pro". Then "free" counts for nothing, and only "pro" is returned.
func (d *draft) plansAfter(client string) []*Plan {
	var touched map[string]bool // a client may be in thousands of plans, so no search for each
	var added []*Plan
	for m := range d.of(client) {
		if touched == nil {
			touched = make(map[string]bool)
		}
		touched[m.Plan] = true
		if p := d.planAfter(m.Plan); p != nil && !m.gone {
			added = append(added, p)
		}
	}
	var plans []*Plan
	for _, m := range d.meter.table.list(client) {
		if m.version() != nil && !touched[m.Plan] {
			if p := d.planAfter(m.Plan); p != nil {
				plans = append(plans, p)
			}
		}
	}
	return append(plans, added...)
}

// check returns why the change cannot be made, as an [*Error], or nil. What is wrong with the change alone comes first:
// it stays wrong whatever the other plans and members are.
func (d *draft) check() error {
	if err := d.mistakes(); err != nil {
		return refused(ErrInvalid, err)
	}
	if err := d.missing(); err != nil {
		return &Error{Err: err}
	}
	if err := d.conflicts(); err != nil {
		return refused(ErrConflict, err)
	}
	return nil
}

// refused returns the error for a change that was refused for the cause.
func refused(cause, err error) error { return &Error{Err: fmt.Errorf("%w: %w", cause, err)} }

// mistakes returns what is wrong with the plans and members on their own, or nil.
func (d *draft) mistakes() error {
	var errs []error
	for i := range d.plans {
		if p := &d.plans[i]; !p.gone {
			errs = append(errs, d.meter.mistakesOfPlan(p.Plan))
		}
	}
	for i := range d.members {
		m := &d.members[i]
		if m.gone {
			continue
		}
		errs = append(errs, m.validate())
		if p := d.planAfter(m.Plan); p != nil {
			errs = append(errs, m.validateIn(p))
		}
	}
	return errors.Join(errs...)
}

// missing returns the members whose plan does not exist, as errors. They are apart from mistakes, because a plan that
// is missing is a cause of its own for a control plane.
func (d *draft) missing() error {
	var errs []error
	for i := range d.members {
		if m := &d.members[i]; !m.gone && d.planAfter(m.Plan) == nil {
			errs = append(errs, unknownPlan{m.Client, m.Plan})
		}
	}
	return errors.Join(errs...)
}

// unknownPlan is the mistake of naming a plan that does not exist. It is [ErrNoPlan] without that error's text, which
// is about a request.
type unknownPlan struct{ client, plan string }

func (e unknownPlan) Error() string {
	if e.client == "" {
		return fmt.Sprintf("there is no plan %q", clip(e.plan))
	}
	return fmt.Sprintf("member %q: there is no plan %q", clip(e.client), clip(e.plan))
}

func (e unknownPlan) Unwrap() error { return ErrNoPlan }

// mistakesOfPlan returns what is wrong with p on its own, throttles that no request can reach and a quota without a
// ledger among it.
func (m *Meter) mistakesOfPlan(p Plan) error {
	place := fmt.Sprintf("plan %q", clip(p.ID))
	return errors.Join(p.validate(), wrap(place, m.validateReach(p.Stages)), wrap(place, m.countable(p.Quotas)))
}

// countable returns an error if there are quotas and no ledger to count them in.
func (m *Meter) countable(quotas []ledger.Quota) error {
	if len(quotas) > 0 && m.config.Ledger == nil {
		return errors.New("has a quota, and there is no ledger to count it in: set Config.Ledger")
	}
	return nil
}

// conflicts returns why the present plans and members do not allow the change, or nil. In contrast to mistakes, the
// same change may be allowed later.
func (d *draft) conflicts() error {
	var errs []error
	for i := range d.plans {
		if p := &d.plans[i]; !p.gone {
			errs = append(errs, d.conflictsOfPlan(&p.Plan))
		}
	}
	for i := range d.members {
		if client := d.members[i].Client; d.last(client) == i { // once for each client
			errs = append(errs, d.distinct(client))
		}
	}
	return errors.Join(errs...)
}

// conflictsOfPlan returns the present members that the new version p of a plan does not fit, as errors. A plan may have
// a million members. So they are looked at only if p opens a stage or lacks a quota, in contrast to the version before.
// Every member fitted that version, so a new name, a higher limit or one stage less cannot be what a member does not
// fit. A plan that is created has no members yet; those that d adds are looked at on their own.
func (d *draft) conflictsOfPlan(p *Plan) error {
	live := d.meter.table.plan(p.ID)
	if live == nil || live.state.Load() == nil || !demandsMore(p, &live.state.Load().Plan) {
		return nil
	}
	return d.misfits(p, live)
}

// demandsMore reports whether p opens a stage or lacks a quota, in contrast to before.
func demandsMore(p, before *Plan) bool {
	return slices.ContainsFunc(p.Stages, func(s Stage) bool { return findStage(before.Stages, s.API, s.Name) < 0 }) ||
		slices.ContainsFunc(before.Quotas, func(q ledger.Quota) bool { return !p.has(q.Period) })
}

// misfits returns the present members of the plan that its version p does not fit. Those that d changes are looked at
// on their own. Most members are in no other plan, and of a million of them nothing more is looked up.
func (d *draft) misfits(p *Plan, live *plan) error {
	var errs []error
	for m := range live.members() {
		if d.member(p.ID, m.Client) != nil {
			continue
		}
		if d.last(m.Client) >= 0 || len(d.meter.table.list(m.Client)) > 1 {
			errs = append(errs, d.alone(m.Client, p))
		}
		if len(m.Limits) > 0 {
			errs = append(errs, m.validateIn(p))
		}
	}
	return errors.Join(errs...)
}

// alone returns an error if the client will be in a plan other than p that opens one of p's stages.
//
// For example, a client in a plan for pets:dev cannot be added to a second plan for pets:dev and pets:prod: for a
// request to pets:dev it would be unclear which plan counts it. A move from the first plan to the second leaves the
// first, and is allowed. API Gateway refuses the same
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-api-usage-plans.html).
func (d *draft) alone(client string, p *Plan) error {
	for _, other := range d.plansAfter(client) {
		if other.ID == p.ID {
			continue
		}
		for _, s := range other.Stages {
			if findStage(p.Stages, s.API, s.Name) >= 0 {
				return inBoth(client, other, s)
			}
		}
	}
	return nil
}

// distinct returns an error if two of the plans in which the client will be open the same stage. It asks the same as
// alone for each of them would, in one pass.
func (d *draft) distinct(client string) error {
	plans := d.plansAfter(client)
	if len(plans) < 2 {
		return nil
	}
	opened := make(map[[2]string]*Plan)
	for _, p := range plans {
		for _, s := range p.Stages {
			name := [2]string{s.API, s.Name}
			if other := opened[name]; other != nil && other != p {
				return inBoth(client, other, s)
			}
			opened[name] = p
		}
	}
	return nil
}

func inBoth(client string, p *Plan, s Stage) error {
	return fmt.Errorf("client %q is in plan %q for %s:%s already: move it, or remove it there first",
		clip(client), clip(p.ID), clip(s.API), clip(s.Name))
}

// items returns the change for the journal. It refuses one that is too large before anything is stored.
func (d *draft) items() ([]journal.Item, error) {
	items := make([]journal.Item, 0, len(d.plans)+len(d.members))
	for i := range d.plans {
		it, err := d.planItem(&d.plans[i])
		if err != nil {
			return nil, refused(ErrInvalid, err)
		}
		items = append(items, it)
	}
	for i := range d.members {
		items = append(items, d.memberItem(&d.members[i]))
	}
	if len(items) == 0 {
		return nil, nil
	}
	if err := (journal.Change{Items: items}).Validate(); err != nil {
		return nil, refused(ErrInvalid, fmt.Errorf("%d plans and members: %w", len(items), err))
	}
	return items, nil
}

// planItem returns the item of p. It reads back what it has written: a plan that nobody could read must not be stored,
// because every process would stop there.
func (d *draft) planItem(p *planItem) (journal.Item, error) {
	if p.gone {
		_, declared := d.meter.table.declaredPlans[p.ID]
		return goneItem(planName(p.ID), declared), nil
	}
	text, err := p.encode()
	if err == nil {
		_, err = decodePlan(p.ID, text)
	}
	return journal.Item{Name: planName(p.ID), Value: text}, err
}

func (d *draft) memberItem(m *memberItem) journal.Item {
	if m.gone {
		_, declared := d.meter.table.declaredMembers[membership{m.Plan, m.Client}]
		return goneItem(memberName(m.Plan, m.Client), declared)
	}
	return journal.Item{Name: memberName(m.Plan, m.Client), Value: m.encode()}
}
