package admin

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A move is one import: first what the sources have, then what is done with it.
type move struct {
	Transfer
	report Report

	keys    []keyRow
	plans   []moved[usageplan.Plan]
	members []moved[usageplan.Member]
	left    []moved[remainder]
	files   int // how many CSV files there are

	keyAt  map[string]string          // where keys with ids stand
	planAt map[string]*usageplan.Plan // plans by their ids
	joined map[string][]string        // the plans of members, by client
	old    map[string]bool            // the ids of keys that were there before
	listed map[string]map[string]bool // the clients whose usage is listed, by plan
}

// moved is something that stands at a place of a source.
type moved[T any] struct {
	at   string
	item T
}

// A remainder is what remained of a quota at the end of a day.
type remainder struct {
	plan, client string
	day          time.Time // midnight of UTC
	units        int64
}

func newMove(t Transfer) *move {
	return &move{
		Transfer: t,
		keyAt:    make(map[string]string), planAt: make(map[string]*usageplan.Plan),
		joined: make(map[string][]string), old: make(map[string]bool), listed: make(map[string]map[string]bool),
	}
}

func (m *move) did(at, format string, args ...any) {
	m.report.Lines = append(m.report.Lines, at+": "+fmt.Sprintf(format, args...))
}

// leaveOut records that something was left out, and why.
func (m *move) leaveOut(at, format string, args ...any) {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; ") // joined errors
	m.report.Warnings = append(m.report.Warnings, at+": left out: "+text)
}

// check leaves out what cannot be imported, before anything has changed. Keys and plans are checked before what refers
// to them, in whatever order the sources come. What other nodes change meanwhile is not known here: the changes refuse
// it.
func (m *move) check(ctx context.Context) error {
	m.keys = slices.DeleteFunc(m.keys, func(k keyRow) bool { return !m.checkKey(k) })
	m.plans = slices.DeleteFunc(m.plans, func(p moved[usageplan.Plan]) bool { return !m.checkPlan(p.at, p.item) })
	m.plans = slices.DeleteFunc(m.plans, func(p moved[usageplan.Plan]) bool { return !m.checkReplaced(p.at, p.item) })
	if err := m.tryKeys(ctx); err != nil {
		return err
	}
	m.members = slices.DeleteFunc(m.members, func(k moved[usageplan.Member]) bool { return !m.checkMember(k.at, k.item) })
	m.checkRows()
	m.left = slices.DeleteFunc(m.left, func(r moved[remainder]) bool { return !m.checkRemainder(r.at, r.item) })
	if m.FailOnWarnings && len(m.report.Warnings) > 0 {
		return m.warned()
	}
	return nil
}

// checkKey reports whether a key can be imported, as far as that depends on the sources alone.
func (m *move) checkKey(k keyRow) bool {
	id := k.Key.ID
	if id == "" {
		return true
	}
	if m.keyAt[id] != "" {
		m.leaveOut(k.at, "a second key %s", clip(id))
		return false
	}
	m.keyAt[id] = k.at
	return true
}

// checkPlan reports whether a plan can be imported, as far as that depends on the sources alone.
func (m *move) checkPlan(at string, p usageplan.Plan) bool {
	if m.planAt[p.ID] != nil {
		m.leaveOut(at, "a second plan %s", clip(p.ID))
		return false
	}
	m.planAt[p.ID] = &p
	return true
}

// checkReplaced reports whether a plan can replace the one of its id, as far as that depends on its members: each may
// be in one plan for a stage only, and may have limits of its own only for quotas of the plan.
func (m *move) checkReplaced(at string, p usageplan.Plan) bool {
	for k := range m.membersOf(p.ID) {
		err := m.join(k.Client, p.ID)
		for period := range k.Limits {
			if !slices.ContainsFunc(p.Quotas, func(q ledger.Quota) bool { return q.Period == period }) {
				err = fmt.Errorf("key %s has a limit of its own per %s", clip(k.Client), period)
			}
		}
		if err != nil {
			m.leaveOut(at, "%v", err)
			delete(m.planAt, p.ID)
			return false
		}
	}
	return true
}

// membersOf yields the present members of a plan, newest first.
func (m *move) membersOf(plan string) iter.Seq[usageplan.Member] {
	return func(yield func(usageplan.Member) bool) {
		for before, more := uint64(0), true; more; more = before != 0 {
			var page []usageplan.Member
			page, before = m.Plans.Members(plan, before, maxLimit)
			for _, k := range page {
				if !yield(k) {
					return
				}
			}
		}
	}
}

// plan returns the plan as it will be, or nil if there is none.
func (m *move) plan(id string) *usageplan.Plan {
	if p := m.planAt[id]; p != nil {
		return p
	}
	if p, found := m.Plans.Plan(id); found {
		return &p
	}
	return nil
}

// checkMember reports whether a membership can be imported: its key and its plan are there, or will be.
func (m *move) checkMember(at string, k usageplan.Member) bool {
	_, exists := m.Keys.Key(k.Client)
	switch {
	case slices.Contains(m.joined[k.Client], k.Plan):
		return false // listed twice, which does no harm
	case !exists && m.keyAt[k.Client] == "":
		m.leaveOut(at, "there is no key %s", clip(k.Client))
		return false
	}
	if err := m.join(k.Client, k.Plan); err != nil {
		m.leaveOut(at, "%v", err)
		return false
	}
	return true
}

// join records that a client becomes a member of the plans, or returns why it cannot: a plan does not exist, or the
// client would be in two plans for the same stage. [usageplan.Meter.Import] refuses that as well, but refuses all that it
// is given then, and after the keys are there. To join again what was joined already is no error.
func (m *move) join(client string, plans ...string) error {
	of := m.joined[client]
	for _, k := range m.Plans.Memberships(client) {
		if !slices.Contains(of, k.Plan) {
			of = append(of, k.Plan)
		}
	}
	for _, id := range plans {
		p := m.plan(id)
		if p == nil {
			return fmt.Errorf("there is no usage plan %s", clip(id))
		}
		for _, other := range of {
			if stage, both := shared(p, m.plan(other)); both && other != id {
				return fmt.Errorf("key %s is in usage plan %s for API stage %s:%s",
					clip(client), clip(other), clip(stage.API), clip(stage.Name))
			}
		}
		of = append(of, id)
	}
	m.joined[client] = of
	return nil
}

// joinRows returns a join for the rows of one file. If several rows are about one key, the last one that is accepted
// counts: the plans of the rows before it are forgotten, and so cannot be in its way. What it does does not depend on how
// often a row is tried.
func (m *move) joinRows() func(client string, plans ...string) error {
	others := make(map[string][]string) // the plans of a client that are not from this file
	return func(client string, plans ...string) error {
		last := m.joined[client]
		if _, again := others[client]; !again {
			others[client] = last
		}
		m.joined[client] = slices.Clip(others[client])
		err := m.join(client, plans...)
		if err != nil {
			m.joined[client] = last
		}
		return err
	}
}

// shared returns a stage that both plans open. q may be nil.
func shared(p, q *usageplan.Plan) (usageplan.Stage, bool) {
	if q == nil {
		return usageplan.Stage{}, false
	}
	for _, s := range p.Stages {
		if opens(*q, s) {
			return s, true
		}
	}
	return usageplan.Stage{}, false
}

// checkRemainder reports whether what remained can be set. API Gateway has one quota for a plan; of several, the document
// does not say which it means.
func (m *move) checkRemainder(at string, r remainder) bool {
	p := m.plan(r.plan)
	_, is := m.Plans.Member(r.plan, r.client)
	switch {
	case p == nil:
		m.leaveOut(at, "there is no usage plan %s", clip(r.plan))
	case len(p.Quotas) != 1:
		m.leaveOut(at, "usage plan %s has %d quotas, not one", clip(r.plan), len(p.Quotas))
	case !is && !slices.Contains(m.joined[r.client], r.plan):
		m.leaveOut(at, "key %s is not in usage plan %s", clip(r.client), clip(r.plan))
	case r.units < 0 || r.units > ledger.MaxUnits:
		m.leaveOut(at, "%d units cannot remain", r.units)
	default:
		return true
	}
	return false
}
