package admin

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// apply makes the changes. Plans come first: the meter may refuse one for what only it knows, such as its routes, and
// then nothing has changed. Keys come before memberships: if the process ends in between, there are keys without plans,
// and never a membership that another key of the same id would find.
func (m *move) apply(ctx context.Context) error {
	for _, change := range []func(context.Context) error{m.applyPlans, m.applyKeys, m.applyMembers} {
		if err := change(ctx); err != nil {
			return err
		}
	}
	for _, r := range m.left {
		if err := m.applyRemainder(ctx, r.at, r.item); err != nil {
			return fmt.Errorf("%s: %w", r.at, err)
		}
	}
	m.tellUnlisted()
	return nil
}

// tellUnlisted says how many members of a plan its usage does not list. It may be that they have not called. Or pages
// are missing: aws-cli prints the first page of get-usage as if it were all.
func (m *move) tellUnlisted() {
	for _, plan := range slices.Sorted(maps.Keys(m.listed)) {
		n := 0
		for k := range m.membersOf(plan) {
			if !m.listed[plan][k.Client] {
				n++
			}
		}
		if n > 0 {
			m.did("usage plan "+clip(plan), "%d keys are not listed by %s, and keep the quota that they have",
				n, FormatUsage)
		}
	}
}

// warned is the error of a transfer that fails on warnings.
func (m *move) warned() error {
	return badRequest("%d warnings; the first is: %s", len(m.report.Warnings), clip(m.report.Warnings[0]))
}

// done is what was done with something that was there before, or not.
func done(before bool) string {
	if before {
		return "replaced"
	}
	return "added"
}

// maxItems is how many plans and members a change has at most; see [usageplan.Meter.Import].
const maxItems = 10_000

// applyPlans adds the plans, in as few changes as it takes.
func (m *move) applyPlans(ctx context.Context) error {
	verbs := make([]string, len(m.plans))
	for i, p := range m.plans {
		_, before := m.Plans.Plan(p.item.ID)
		verbs[i] = done(before)
	}
	for plans := range slices.Chunk(m.replacedPlans(), maxItems) {
		if err := m.Plans.Import(ctx, plans, nil); err != nil {
			return err
		}
	}
	for i, p := range m.plans {
		m.did(p.at, "usage plan %s %q %s", clip(p.item.ID), clip(p.item.Name), verbs[i])
	}
	return nil
}

// applyMembers adds the memberships, in as few changes as it takes.
func (m *move) applyMembers(ctx context.Context) error {
	for members := range slices.Chunk(m.newMembers(), maxItems) {
		if err := m.Plans.Import(ctx, nil, members); err != nil {
			return err
		}
	}
	for _, k := range m.members {
		m.did(k.at, "key %s is in usage plan %s", clip(k.item.Client), clip(k.item.Plan))
	}
	return nil
}

// replacedPlans returns the plans. A plan that is replaced keeps its tags unless its source has some.
func (m *move) replacedPlans() []usageplan.Plan {
	plans := make([]usageplan.Plan, len(m.plans))
	for i, p := range m.plans {
		plans[i] = p.item
		if old, found := m.Plans.Plan(p.item.ID); found && p.item.Tags == nil {
			plans[i].Tags = old.Tags
		}
	}
	return plans
}

// newMembers returns the memberships that do not exist yet. It leaves out those of keys that were left out. One that
// exists is not replaced: it may have limits of its own, which no source has.
func (m *move) newMembers() (members []usageplan.Member) {
	m.members = slices.DeleteFunc(m.members, func(k moved[usageplan.Member]) bool {
		_, found := m.Keys.Key(k.item.Client)
		if !found {
			m.leaveOut(k.at, "there is no key %s", clip(k.item.Client))
		}
		return !found
	})
	listed := make(map[[2]string]bool) // a listing and a file, or two files, may name the same
	for _, k := range m.members {
		id := [2]string{k.item.Plan, k.item.Client}
		if _, is := m.Plans.Member(k.item.Plan, k.item.Client); !is && !listed[id] {
			listed[id] = true
			members = append(members, k.item)
		}
	}
	return members
}

// applyRemainder sets what remains of the current period, if the day is in it. For example, what remained of a quota per
// day yesterday is of no interest today, but it is for a quota per month.
//
// The adjustment is named by the day and the units, so that it is made once, however often it is imported. Otherwise
// repeating an import would give back what was used after the first one.
func (m *move) applyRemainder(ctx context.Context, at string, r remainder) error {
	if _, is := m.Plans.Member(r.plan, r.client); !is {
		m.leaveOut(at, "key %s is not in usage plan %s", clip(r.client), clip(r.plan))
		return nil
	}
	k := usageplan.QuotaKey{Plan: r.plan, Client: r.client}
	b, err := m.Plans.Balance(ctx, k)
	if err != nil {
		return err
	}
	date := r.day.Format(time.DateOnly)
	if noon := noonOf(r.day, b.Start.Location()); noon.Before(b.Start) || !noon.Before(b.Reset) {
		m.did(at, "key %s in usage plan %s: %s is not in the current period, which keeps the quota that it has",
			clip(r.client), clip(r.plan), date)
		return nil
	}
	_, err = m.Plans.SetRemaining(ctx, k, r.units, ledger.Adjustment{
		ID: fmt.Sprintf("moved over %s %d", date, r.units), Reason: "moved over from API Gateway",
	})
	if err == nil {
		m.did(at, "key %s in usage plan %s: %d units remain", clip(r.client), clip(r.plan), r.units)
	}
	return err
}

// noonOf returns noon on the date of day in a location. It is on its date in every location.
func noonOf(day time.Time, l *time.Location) time.Time {
	return time.Date(day.Year(), day.Month(), day.Day(), 12, 0, 0, 0, l)
}
