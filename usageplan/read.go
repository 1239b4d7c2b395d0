package usageplan

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/tallygate/tallygate/usageplan/journal"
)

// Plans yields a copy of every plan, newest first. It waits for no change, and changes do not wait for it.
func (m *Meter) Plans() iter.Seq[Plan] {
	return func(yield func(Plan) bool) {
		if m.configured() != nil {
			return
		}
		var plans []*state
		for _, p := range m.table.plans.Range {
			if s := p.(*plan).state.Load(); s != nil {
				plans = append(plans, s)
			}
		}
		slices.SortFunc(plans, func(a, b *state) int {
			// A declared plan that was stored and one that is declared now may have the same number.
			return cmp.Or(cmp.Compare(b.number, a.number), cmp.Compare(a.ID, b.ID))
		})
		for _, s := range plans {
			if !yield(s.Plan.clone()) {
				return
			}
		}
	}
}

// Plan returns a copy of the plan of the id, and whether there is one.
func (m *Meter) Plan(id string) (Plan, bool) {
	if m.configured() != nil {
		return Plan{}, false
	}
	if s := m.table.version(id); s != nil {
		return s.Plan.clone(), true
	}
	return Plan{}, false
}

// Default returns the id of the plan for clients that are in no plan for the stage, Config.Default.
func (m *Meter) Default() string {
	if m.configured() != nil {
		return ""
	}
	return m.config.Default
}

// Member returns a copy of the client's membership of the plan, and whether there is one.
func (m *Meter) Member(plan, client string) (Member, bool) {
	if m.configured() != nil {
		return Member{}, false
	}
	if k := m.table.member(plan, client); k != nil {
		return k.Member.clone(), true
	}
	return Member{}, false
}

// Memberships returns copies of all memberships of the client, newest first.
func (m *Meter) Memberships(client string) []Member {
	if m.configured() != nil {
		return nil
	}
	list := slices.Clone(m.table.list(client))
	list = slices.DeleteFunc(list, func(k *member) bool { return k.version() == nil })
	slices.SortFunc(list, func(a, b *member) int { return cmp.Compare(b.number, a.number) })
	return copies(list)
}

func copies(list []*member) []Member {
	members := make([]Member, len(list))
	for i, k := range list {
		members[i] = k.Member.clone()
	}
	return members
}

// Members returns copies of up to limit members of the plan, newest first. If before is 0, it begins with the newest.
// It returns in next what to pass as before for the page after this one, or 0 if there is none. Members that are added
// between two pages are newer, so the pages show no member twice, and miss none that stays. It waits for no change.
//
// A member of Config.Members is older than all others until a change stores it, and as new as that change from then on.
func (m *Meter) Members(plan string, before uint64, limit int) (members []Member, next uint64) {
	if m.configured() != nil || limit < 1 {
		return nil, 0
	}
	p := m.table.plan(plan)
	if p == nil {
		return nil, 0
	}
	s := p.state.Load()
	if s == nil {
		return nil, 0
	}
	if before == 0 {
		before = math.MaxUint64
	}
	list, next := p.roll.page(before, s.number, limit)
	return copies(list), next
}

// members yields the present members of the plan, newest first. In contrast to pages, it holds no list of them: a
// change that opens a stage looks at all of a million.
func (p *plan) members() iter.Seq[*member] {
	return func(yield func(*member) bool) {
		s := p.state.Load()
		if s == nil {
			return
		}
		slots := p.roll.all()
		for i := len(slots) - 1; i >= 0 && slots[i].number > s.number; i-- {
			if m := slots[i].member.Load(); m != nil && !yield(m) {
				return
			}
		}
	}
}

// Clients yields every client that the ledger has counted under the plan, each once and in no order, whatever the
// plan's quotas are now. So it finds clients that have left the plan, and those of Config.Default, which are members of
// no plan. It does not find members that have never called. The plan may be one that was deleted. Without
// Config.Ledger, nothing is counted, and nothing is yielded. An error is one of [ledger.Ledger.Keys], and ends the
// sequence.
func (m *Meter) Clients(ctx context.Context, plan string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := m.configured(); err != nil {
			yield("", err)
			return
		}
		if m.config.Ledger == nil {
			return
		}
		seen := make(map[string]struct{}) // a client has an account for each period that the plan has had
		for _, f := range limitFlags {
			for key, err := range m.config.Ledger.Keys(ctx, account(plan, f.period)) {
				if _, again := seen[key.Subject]; again && err == nil {
					continue
				}
				seen[key.Subject] = struct{}{}
				if !yield(key.Subject, err) || err != nil {
					return
				}
			}
		}
	}
}

// History yields the changes of the plan, or of the client's membership of it if client is not empty, newest first: who
// made each, when and by which operation, as far back as the retention of Config.Journal goes. It goes on for what was
// deleted, and over what was created again. What Config.Plans and Config.Members declare has no history. Without a
// Config.Journal there is none either. An error ends the sequence: an [*Error] that wraps [journal.ErrUnavailable] if
// the journal does not answer. The operation of an update also says what it has changed, as in "UpdateUsagePlanKey:
// throttle: none → 5 a second, burst 10". The only item of a change has a name of this package's own form, and no bytes.
func (m *Meter) History(ctx context.Context, plan, client string) iter.Seq2[journal.Change, error] {
	if err := m.configured(); err != nil {
		return func(yield func(journal.Change, error) bool) { yield(journal.Change{}, err) }
	}
	if m.config.Journal == nil || len(plan) > maxPlanID {
		return func(func(journal.Change, error) bool) {}
	}
	name := planName(plan)
	if client != "" {
		name = memberName(plan, client)
	}
	return func(yield func(journal.Change, error) bool) {
		for c, err := range m.config.Journal.History(ctx, name) {
			if err != nil {
				err = &Error{Err: fmt.Errorf("%w: %w", journal.ErrUnavailable, err)}
			}
			if !yield(c, err) || err != nil {
				return
			}
		}
	}
}
