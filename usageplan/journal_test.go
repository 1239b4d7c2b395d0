package usageplan_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// declared is a configuration with two plans and three members, over j.
func declared(j journal.Journal) usageplan.Config {
	return usageplan.Config{
		Journal: j,
		Plans:   []usageplan.Plan{{ID: "free", Name: "Free", Stages: dev}, {ID: "pro", Name: "Pro", Stages: []usageplan.Stage{{API: "pets", Name: "prod"}}}},
		Members: []usageplan.Member{{Plan: "free", Client: "a"}, {Plan: "free", Client: "b"}, {Plan: "pro", Client: "a"}},
	}
}

func clients(m *usageplan.Meter, plan string) []string {
	return paged(m, plan, 25)
}

// What is declared in code is stored only when a change touches it. Then the journal takes precedence for good, whatever
// the code declares later.
func TestDeclaredPlansAndMembers(t *testing.T) {
	ctx := t.Context()
	j := journal.Memory(0)
	m := meter(t, declared(j))
	require.Empty(t, items(t, j))
	_, err := m.UpdatePlan(ctx, "free", func(p *usageplan.Plan) error { p.Name = "Changed"; return nil })
	require.NoError(t, err)
	require.NoError(t, m.RemoveMembers(ctx, "b", "free"))
	_, err = m.UpdateMember(ctx, "free", "a", func(k *usageplan.Member) error { k.Throttle = &ratelimit.Limit{Burst: 7}; return nil })
	require.NoError(t, err)
	require.Len(t, items(t, j), 3)

	for range 2 {
		next := meter(t, declared(j))
		require.Equal(t, everythingOf(m), everythingOf(next))
		require.Equal(t, []string{"a"}, clients(next, "free"))
		p, _ := next.Plan("free")
		require.Equal(t, "Changed", p.Name)
		require.Zero(t, p.Created)
	}

	// A declared plan that was deleted stays deleted, and so do its members, even if a plan of the same id is created.
	dropPlan(t, m, "pro")
	_, err = m.CreatePlan(ctx, usageplan.Plan{ID: "pro", Name: "Another"})
	require.NoError(t, err)
	next := meter(t, declared(j))
	require.Equal(t, everythingOf(m), everythingOf(next))
	require.Empty(t, clients(next, "pro"))
	require.Len(t, next.Memberships("a"), 1)

	// A program that declares nothing has what changes have touched. The membership of "a" in "free" is among it.
	bare := meter(t, usageplan.Config{Journal: j})
	require.Equal(t, []string{"a"}, clients(bare, "free"))
	require.Len(t, slices.Collect(bare.Plans()), 2)
}

// The next process may declare other members and plans in the places of those that were stored. Each has a place of its
// own then: all are listed, found by changes of the plan, and removed alone.
func TestPlacesOfDeclarationsAreNotStored(t *testing.T) {
	ctx := t.Context()
	j := journal.Memory(0)
	const plan, others = "free", "other"
	config := func(clients ...string) usageplan.Config {
		c := usageplan.Config{Journal: j, Plans: []usageplan.Plan{{ID: plan, Name: plan}, {ID: others, Name: others, Stages: dev}}}
		for _, k := range clients {
			c.Members = append(c.Members, usageplan.Member{Plan: plan, Client: k})
		}
		return c
	}
	own := func(k *usageplan.Member) error { k.Throttle = &ratelimit.Limit{Burst: 7}; return nil }
	m := meter(t, config("a", "b", "c"))
	for _, client := range []string{"a", "b"} {
		_, err := m.UpdateMember(ctx, plan, client, own)
		require.NoError(t, err)
	}
	m = meter(t, config("c", "d"))
	require.Equal(t, []string{"b", "a", "d", "c"}, clients(m, plan))
	require.Equal(t, []string{"b", "a", "d", "c"}, paged(m, plan, 1))

	require.NoError(t, m.AddMembers(ctx, usageplan.Member{Plan: others, Client: "c"}))
	_, err := m.UpdatePlan(ctx, plan, func(p *usageplan.Plan) error { p.Stages = dev; return nil })
	require.ErrorIs(t, err, usageplan.ErrConflict, "c is in two plans for the stage")
	require.NoError(t, m.RemoveMembers(ctx, "c", plan))
	require.Equal(t, []string{"b", "a", "d"}, clients(m, plan))
	require.Equal(t, []string{"b", "a", "d"}, clients(meter(t, config("c", "d")), plan))
}

// Two plans may have one place. They are in the same order whenever they are listed.
func TestPlansInOnePlaceKeepTheirOrder(t *testing.T) {
	j := journal.Memory(0)
	for i := range 8 {
		id := fmt.Sprint("p", i)
		m := meter(t, usageplan.Config{Journal: j, Plans: []usageplan.Plan{{ID: id, Name: id}}})
		_, err := m.UpdatePlan(t.Context(), id, func(p *usageplan.Plan) error { p.Name = "N"; return nil })
		require.NoError(t, err)
	}
	m := meter(t, usageplan.Config{Journal: j})
	first := slices.Collect(m.Plans())
	require.Len(t, first, 8)
	for range 20 {
		require.Equal(t, first, slices.Collect(meter(t, usageplan.Config{Journal: j}).Plans()))
	}
}

// A process whose code declares less forgets what another has removed without a trace. Then the declaration counts again
// in every process that has it, at once and after a restart.
func TestDeclarationCountsWhereTheJournalHasNothing(t *testing.T) {
	j := journal.Memory(0)
	m, bare := meter(t, declared(j)), meter(t, usageplan.Config{Journal: j})
	_, err := m.UpdateMember(t.Context(), "free", "b", func(k *usageplan.Member) error { k.Throttle = &ratelimit.Limit{Burst: 1}; return nil })
	require.NoError(t, err)
	require.NoError(t, bare.Refresh(t.Context()))
	require.Empty(t, bare.Memberships("b"), "its plan is not there")
	require.NoError(t, bare.RemoveMembers(t.Context(), "b"), "also what waits for a plan")
	require.NoError(t, m.Refresh(t.Context()))
	require.Equal(t, []usageplan.Member{{Plan: "free", Client: "b"}}, m.Memberships("b"))
	require.Equal(t, []string{"b", "a"}, clients(m, "free"), "it is where it was")
	require.Equal(t, everythingOf(m), everythingOf(meter(t, declared(j))))
}

// What the code declares must fit what the journal has, and then New says what does not.
func TestDeclarationsThatConflictWithTheJournal(t *testing.T) {
	j := journal.Memory(0)
	m := meter(t, usageplan.Config{Journal: j})
	require.NoError(t, m.Import(t.Context(), []usageplan.Plan{
		{ID: "stored", Name: "S", Stages: dev, Quotas: daily(5)}, {ID: "other", Name: "O"}, {ID: "free", Name: "F"},
	}, []usageplan.Member{{Plan: "stored", Client: "a"}, {Plan: "stored", Client: "c"}, {Plan: "free", Client: "c", Throttle: &ratelimit.Limit{Burst: 1}}}))
	dropPlan(t, m, "other")
	c := declared(j)
	c.Client, c.API, c.Stage, c.Default = caller, "pets", "dev", "other"
	c.Plans[0].ID, c.Members = "fresh", []usageplan.Member{{Plan: "fresh", Client: "a"}}
	_, err := usageplan.New(c)
	require.ErrorIs(t, err, usageplan.ErrInvalid)
	for _, want := range []string{
		`client "a" is in plan "stored" for pets:dev already`, `the default plan "other" is not among the plans`,
		`plan "stored": has a quota, and there is no ledger to count it in`,
	} {
		require.ErrorContains(t, err, want)
	}
}

// A membership may come before its plan. It has its own limits as soon as the plan is there, and counts for nothing until
// then.
func TestMembershipWaitsForItsPlan(t *testing.T) {
	j := journal.Memory(0)
	full := meter(t, declared(j))
	bare := meter(t, usageplan.Config{Journal: j})
	require.NoError(t, full.AddMembers(t.Context(), usageplan.Member{Plan: "free", Client: "c", Throttle: &ratelimit.Limit{Burst: 1}}))
	require.NoError(t, bare.Refresh(t.Context()))
	_, err := bare.Take(t.Context(), getCats("c"))
	require.ErrorIs(t, err, usageplan.ErrNoPlan)
	require.Empty(t, bare.Memberships("c"))
	_, found := bare.Member("free", "c")
	require.False(t, found)
	require.Empty(t, members(bare, "free"))
	require.ErrorIs(t, bare.RemoveMembers(t.Context(), "c", "free"), usageplan.ErrNotMember)
	_, err = full.UpdatePlan(t.Context(), "free", func(p *usageplan.Plan) error { p.Name = "Known"; return nil })
	require.NoError(t, err)
	require.NoError(t, bare.Refresh(t.Context()))
	require.Equal(t, noLayer, layer(t, bare, getCats("c")))
	require.Equal(t, planThrottle, layer(t, bare, getCats("c")))
}

// A plan that is deleted leaves nothing behind, neither in its process nor in the journal, however many members it had.
// A plan that is created under its id has none of them.
func TestDeletedPlanLeavesNothing(t *testing.T) {
	ctx := t.Context()
	j := journal.Memory(0)
	m, other := meter(t, usageplan.Config{Journal: j}), meter(t, usageplan.Config{Journal: j})
	_, err := m.CreatePlan(ctx, usageplan.Plan{ID: "p", Name: "P", Stages: dev})
	require.NoError(t, err)
	const n = 25_000
	for from := 0; from < n; from += 10_000 {
		var more []usageplan.Member
		for i := from; i < min(n, from+10_000); i++ {
			more = append(more, usageplan.Member{Plan: "p", Client: fmt.Sprint(i)})
		}
		require.NoError(t, m.AddMembers(ctx, more...))
	}
	require.NoError(t, other.Refresh(ctx))
	require.Len(t, members(other, "p"), n)
	require.Equal(t, "24999", clients(m, "p")[0])
	dropPlan(t, m, "p")
	require.Empty(t, items(t, j))
	require.Zero(t, usageplan.Identities(m))
	created, err := m.CreatePlan(ctx, usageplan.Plan{ID: "p", Name: "Another", Stages: dev})
	require.NoError(t, err)
	require.NoError(t, other.Refresh(ctx))
	for _, m := range []*usageplan.Meter{m, other, meter(t, usageplan.Config{Journal: j})} {
		require.Empty(t, members(m, "p"))
		require.Empty(t, m.Memberships("7"))
		_, err = m.Take(ctx, getCats("7"))
		require.ErrorIs(t, err, usageplan.ErrNoPlan)
		p, _ := m.Plan("p")
		require.Equal(t, created, p)
	}
	require.NoError(t, m.AddMembers(ctx, usageplan.Member{Plan: "p", Client: "7"}), "it may come back")
}

// recreating is a journal in which another process creates the plan again while it is being swept.
type recreating struct {
	journal.Journal
	create func()
	left   int
}

func (r *recreating) Append(ctx context.Context, after uint64, c journal.Change) (uint64, error) {
	if c.Operation == "DeleteUsagePlan" {
		if r.left--; r.left == 0 {
			r.create()
		}
	}
	return r.Journal.Append(ctx, after, c)
}

// What a deleted plan has left behind goes also if another process creates a plan of its id meanwhile. The members of
// that one stay, also one that the former plan had.
func TestSweepSparesANewPlan(t *testing.T) {
	ctx := t.Context()
	memory := journal.Memory(0)
	j := &recreating{Journal: memory, left: 2}
	m, other := meter(t, usageplan.Config{Journal: j}), meter(t, usageplan.Config{Journal: memory})
	j.create = func() {
		require.NoError(t, other.Refresh(ctx))
		require.NoError(t, other.Import(ctx, []usageplan.Plan{{ID: "p", Name: "New"}}, []usageplan.Member{{Plan: "p", Client: "new"}, {Plan: "p", Client: "1.5999"}}))
	}
	require.NoError(t, m.Import(ctx, []usageplan.Plan{{ID: "p", Name: "P"}}, nil))
	for from := range 2 {
		var more []usageplan.Member
		for i := range 6000 {
			more = append(more, usageplan.Member{Plan: "p", Client: fmt.Sprint(from, ".", i)})
		}
		require.NoError(t, m.AddMembers(ctx, more...))
	}
	require.NoError(t, m.DeletePlan(ctx, "p"))
	require.Equal(t, []string{"1.5999", "new"}, clients(m, "p"))
	require.Len(t, items(t, memory), 3)
}

// A process that reads only later that a plan was deleted and created again has not the buckets of the former one.
func TestRecreatedPlanHasFreshBuckets(t *testing.T) {
	ctx := t.Context()
	j := journal.Memory(0)
	p := usageplan.Plan{ID: "p", Name: "P", Stages: dev, Throttle: &ratelimit.Limit{Burst: 1}}
	m, other := meter(t, usageplan.Config{Journal: j}), meter(t, usageplan.Config{Journal: j})
	for range 2 {
		_, err := m.CreatePlan(ctx, p)
		require.NoError(t, err)
		require.NoError(t, m.AddMembers(ctx, usageplan.Member{Plan: "p", Client: "a"}))
		require.NoError(t, other.Refresh(ctx))
		require.Equal(t, noLayer, layer(t, other, getCats("a")))
		require.Equal(t, planThrottle, layer(t, other, getCats("a")))
		dropPlan(t, m, "p")
	}
}

// A change of a plan alters neither its place in the order nor its date.
func TestPlanKeepsItsDate(t *testing.T) {
	m := meter(t, usageplan.Config{Journal: journal.Memory(0)})
	created, err := m.CreatePlan(t.Context(), usageplan.Plan{ID: "p", Name: "P"})
	require.NoError(t, err)
	updated, err := m.UpdatePlan(t.Context(), "p", func(p *usageplan.Plan) error {
		p.ID, p.Created, p.Name = "q", time.Time{}, "Q"
		return nil
	})
	require.NoError(t, err)
	putPlan(t, m, usageplan.Plan{ID: "p", Name: "R", Created: time.Now().Add(-time.Hour)})
	imported, found := m.Plan("p")
	require.True(t, found)
	created.Name = "Q"
	require.Equal(t, created, updated)
	created.Name = "R"
	require.Equal(t, created, imported)
}

// halfway is a journal whose store fails after so many changes of an operation.
type halfway struct {
	journal.Journal
	operation string
	left      int
}

func (h *halfway) Append(ctx context.Context, after uint64, c journal.Change) (uint64, error) {
	if c.Operation == h.operation {
		if h.left--; h.left < 0 {
			return 0, errDisk
		}
	}
	return h.Journal.Append(ctx, after, c)
}

// If the process ends before all memberships of a deleted plan are out of the journal, those that are left belong to no
// plan, not even to one of the same id.
func TestDeletionThatEndsHalfway(t *testing.T) {
	ctx := t.Context()
	j := &halfway{journal.Memory(0), "DeleteUsagePlan", 1}
	m := meter(t, usageplan.Config{Journal: j})
	require.NoError(t, m.Import(ctx, []usageplan.Plan{{ID: "p", Name: "P", Throttle: &ratelimit.Limit{Burst: 5}}}, nil))
	for from := range 2 {
		var more []usageplan.Member
		for i := range 6000 {
			more = append(more, usageplan.Member{Plan: "p", Client: fmt.Sprint(from, ".", i), Throttle: &ratelimit.Limit{Burst: 1}})
		}
		require.NoError(t, m.AddMembers(ctx, more...))
	}
	require.NoError(t, m.DeletePlan(ctx, "p"), "the plan is gone")
	require.Len(t, items(t, j), 2001)
	for range 2 {
		_, found := m.Plan("p")
		require.False(t, found)
		require.Empty(t, m.Memberships("1.5999"))
		m = meter(t, usageplan.Config{Journal: j, Default: ""})
	}
	require.NoError(t, m.Import(ctx, []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Throttle: &ratelimit.Limit{Burst: 3}}}, nil))
	for range 2 {
		require.Empty(t, members(m, "p"))
		_, err := m.Take(ctx, getCats("1.5999"))
		require.ErrorIs(t, err, usageplan.ErrNoPlan)
		m = meter(t, usageplan.Config{Journal: j, Default: "p"})
		require.Equal(t, noLayer, layer(t, m, getCats("1.5999")))
		require.Equal(t, noLayer, layer(t, m, getCats("1.5999")), "the default plan's burst, not that of the former member")
		m = meter(t, usageplan.Config{Journal: j})
	}
	j.left = 10
	dropPlan(t, m, "p")
	require.Empty(t, items(t, j))
}

// A meter that is far behind a journal whose records are gone gets a snapshot, and has then what the others have.
func TestSnapshot(t *testing.T) {
	ctx := t.Context()
	old := time.Now()
	j := journal.Memory(time.Nanosecond)
	m, late := meter(t, declared(j)), meter(t, declared(j))
	require.NoError(t, m.Import(ctx, []usageplan.Plan{{ID: "p", Name: "P"}, {ID: "q", Name: "Q"}}, []usageplan.Member{{Plan: "p", Client: "x"}, {Plan: "p", Client: "y"}}))
	require.NoError(t, late.Refresh(ctx))
	require.Equal(t, everythingOf(m), everythingOf(late))
	require.NoError(t, m.RemoveMembers(ctx, "x", "p"))
	require.NoError(t, m.RemoveMembers(ctx, "b", "free"))
	require.NoError(t, m.DeletePlan(ctx, "q"))
	for i := range 20 {
		require.NoError(t, m.AddMembers(ctx, usageplan.Member{Plan: "p", Client: fmt.Sprint(i)}))
	}
	snapshot := false
	for c, err := range j.Changes(ctx, 1) {
		require.NoError(t, err)
		snapshot = snapshot || c.Snapshot
	}
	require.True(t, snapshot, "since %v", old)
	require.NoError(t, late.Refresh(ctx))
	require.Equal(t, everythingOf(m), everythingOf(late))
	require.Equal(t, everythingOf(m), everythingOf(meter(t, declared(j))))
}

// In a snapshot, what is missing is as the code declares it, also what the reader has known as deleted.
func TestSnapshotBringsDeclarationsBack(t *testing.T) {
	ctx := t.Context()
	j := journal.Memory(time.Nanosecond)
	m, bare := meter(t, declared(j)), meter(t, usageplan.Config{Journal: j})
	require.NoError(t, m.Import(ctx, []usageplan.Plan{{ID: "free", Name: "Free", Stages: dev}}, nil))
	require.NoError(t, m.RemoveMembers(ctx, "b", "free"))
	dropPlan(t, m, "pro")
	require.Equal(t, []string{"a"}, clients(m, "free"))
	require.NoError(t, bare.Refresh(ctx))
	require.NoError(t, bare.AddMembers(ctx, usageplan.Member{Plan: "free", Client: "b"}))
	require.NoError(t, bare.RemoveMembers(ctx, "b", "free"))
	_, err := bare.CreatePlan(ctx, usageplan.Plan{ID: "pro", Name: "P"})
	require.NoError(t, err)
	require.NoError(t, bare.DeletePlan(ctx, "pro"))
	for range 5 {
		putPlan(t, bare, usageplan.Plan{ID: "other", Name: "O"})
	}
	require.NoError(t, m.Refresh(ctx))
	require.Equal(t, everythingOf(meter(t, declared(j))), everythingOf(m))
	require.Equal(t, []string{"b", "a"}, clients(m, "free"))
	_, found := m.Plan("pro")
	require.True(t, found)
	require.Empty(t, clients(m, "pro"), "the deletion of the membership is still remembered")
}

// unanswered is a journal that stores a change and loses the answer.
type unanswered struct {
	journal.Journal
	lose bool
}

func (u *unanswered) Append(ctx context.Context, after uint64, c journal.Change) (uint64, error) {
	revision, err := u.Journal.Append(ctx, after, c)
	if u.lose {
		u.lose = false
		return 0, errors.New("no answer")
	}
	return revision, err
}

// If the answer of the store is lost, the outcome is unknown until the next change or Refresh, which finds it.
func TestUnknownOutcome(t *testing.T) {
	for name, find := range map[string]change{
		"refresh": func(ctx context.Context, m *usageplan.Meter) error { return m.Refresh(ctx) },
		"change":  joining(usageplan.Member{Plan: "free", Client: "c"}),
	} {
		t.Run(name, func(t *testing.T) {
			j := &unanswered{Journal: journal.Memory(0), lose: true}
			m := meter(t, declared(j))
			err := m.AddMembers(t.Context(), usageplan.Member{Plan: "free", Client: "x"})
			require.ErrorIs(t, err, journal.ErrUnavailable)
			e, is := errors.AsType[*usageplan.Error](err)
			require.True(t, is)
			require.Equal(t, 503, e.StatusCode())
			require.Empty(t, m.Memberships("x"))
			require.NoError(t, find(t.Context(), m))
			require.Len(t, m.Memberships("x"), 1)
			require.ErrorIs(t, m.AddMembers(t.Context(), usageplan.Member{Plan: "free", Client: "x"}), usageplan.ErrExists)
		})
	}
}

// A journal that cannot be used is no mistake of the request that finds it: 503, and not 400.
func TestItemThatCannotBeReadIsNotInvalid(t *testing.T) {
	for name, it := range map[string]journal.Item{
		"neither":          {Name: "q/x", Value: []byte{1, 0}},
		"a newer form":     {Name: "p/x", Value: []byte{9, 0}},
		"a field more":     {Name: "p/x", Value: append([]byte{1, 0, 16: 0, 17: 0}, `{"id":"x","name":"x","more":1}`...)},
		"a plan no more":   {Name: "p/x", Value: append([]byte{1, 0, 16: 0, 17: 0}, `{"id":"x","name":""}`...)},
		"a member no more": {Name: "m/\x01xc", Value: []byte{1, 4, 10: 0xff, 17: 0}},
	} {
		j := journal.Memory(0)
		m := meter(t, declared(j))
		_, err := j.Append(t.Context(), 0, journal.Change{Items: []journal.Item{it}})
		require.NoError(t, err)
		for range 2 {
			err := m.AddMembers(t.Context(), usageplan.Member{Plan: "free", Client: "x"})
			require.ErrorIs(t, err, journal.ErrUnavailable, name)
			require.NotErrorIs(t, err, usageplan.ErrInvalid, name)
			e, is := errors.AsType[*usageplan.Error](err)
			require.True(t, is)
			require.Equal(t, 503, e.StatusCode(), name)
		}
		require.Equal(t, []string{"b", "a"}, clients(m, "free"), name)
	}
}

func TestChangesTellWhoMadeThem(t *testing.T) {
	j := journal.Memory(0)
	m := meter(t, declared(j))
	who := journal.Origin{Actor: "ann", Source: "192.0.2.1", Request: "r1"}
	ctx := journal.NewContext(t.Context(), who)
	require.NoError(t, m.Import(ctx, nil, []usageplan.Member{{Plan: "free", Client: "x"}}))
	require.NoError(t, leaving("free", "x")(ctx, m))
	changes := slices.Collect(first(m.History(ctx, "free", "x")))
	require.Len(t, changes, 2)
	require.Equal(t, []string{"DeleteUsagePlanKey", "ImportUsagePlans"}, []string{changes[0].Operation, changes[1].Operation})
	require.Equal(t, []journal.Origin{who, who}, []journal.Origin{changes[0].Origin, changes[1].Origin})
	require.Empty(t, slices.Collect(first(m.History(ctx, "free", ""))), "declared")
	require.Empty(t, slices.Collect(first(m.History(ctx, strings.Repeat("p", 129), "x"))))
	require.Empty(t, slices.Collect(first(meter(t, declared(nil)).History(ctx, "free", "x"))))
	ctx = journal.NewContext(ctx, journal.Origin{Actor: strings.Repeat("a", 2000)})
	require.ErrorIs(t, joining(usageplan.Member{Plan: "free", Client: "x"})(ctx, m), usageplan.ErrInvalid)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	err := m.RemoveMembers(ended, "a")
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, journal.ErrUnavailable)
	e, _ := errors.AsType[*usageplan.Error](err)
	require.Equal(t, 503, e.StatusCode())
}

// An error of the journal ends a history. It is one of this package, and answers 503.
func TestHistoryOfAJournalThatIsDown(t *testing.T) {
	m := meter(t, declared(broken{journal.Memory(0)}))
	var errs []error
	for _, err := range m.History(t.Context(), "free", "") {
		errs = append(errs, err)
	}
	require.Len(t, errs, 1)
	require.ErrorIs(t, errs[0], journal.ErrUnavailable)
	require.ErrorIs(t, errs[0], errDisk)
	e, is := errors.AsType[*usageplan.Error](errs[0])
	require.True(t, is)
	require.Equal(t, 503, e.StatusCode())
}

// first yields the first of each pair.
func first[A, B any](pairs iter.Seq2[A, B]) iter.Seq[A] {
	return func(yield func(A) bool) {
		for a := range pairs {
			if !yield(a) {
				return
			}
		}
	}
}

// Clients that have left the plan, and those of the default plan, are found by what the ledger has counted, whatever
// quota the plan has had at that time.
func TestClientsFindsEveryone(t *testing.T) {
	ctx := t.Context()
	m := meter(t, usageplan.Config{
		Plans:   []usageplan.Plan{{ID: "p", Name: "P", Stages: dev}, {ID: "q", Name: "Q", Stages: []usageplan.Stage{{API: "pets", Name: "prod"}}}},
		Members: []usageplan.Member{{Plan: "p", Client: "member"}, {Plan: "p", Client: "idle"}, {Plan: "q", Client: "other"}},
		Default: "p",
	})
	take := func(client string) { require.Equal(t, noLayer, layer(t, m, getCats(client))) }
	take("member")
	take("stranger")
	putPlan(t, m, usageplan.Plan{ID: "p", Name: "P", Stages: dev, Quotas: []ledger.Quota{{Limit: 9, Period: ledger.Monthly}}})
	take("member")
	take("monthly")
	require.NoError(t, m.RemoveMembers(ctx, "member", "p"))
	found := slices.Sorted(first(m.Clients(ctx, "p")))
	require.Equal(t, []string{"member", "monthly", "stranger"}, found)
	for range m.Clients(ctx, "p") {
		break
	}
	require.Empty(t, slices.Collect(first(m.Clients(ctx, "x"))))
	alone, err := usageplan.New(usageplan.Config{})
	require.NoError(t, err)
	require.Empty(t, slices.Collect(first(alone.Clients(ctx, "p"))))
	closed, err := ledger.New(ledger.Config{Engine: ledger.NewMemory()})
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	for _, err := range meter(t, usageplan.Config{Ledger: closed}).Clients(ctx, "p") {
		require.ErrorIs(t, err, ledger.ErrUnavailable)
	}
}

// A plan of another process may have a quota that this one cannot count, because it has no ledger. Its requests are
// refused then.
func TestQuotaWithoutALedgerRefuses(t *testing.T) {
	j := journal.Memory(0)
	c := declared(j)
	c.Client, c.API, c.Stage = caller, "pets", "dev"
	bare, err := usageplan.New(c)
	require.NoError(t, err)
	require.Equal(t, noLayer, layer(t, bare, getCats("a")))
	m := meter(t, declared(j))
	_, err = m.UpdatePlan(t.Context(), "free", func(p *usageplan.Plan) error { p.Quotas = daily(1); return nil })
	require.NoError(t, err)
	require.NoError(t, bare.Refresh(t.Context()))
	_, err = bare.Take(t.Context(), getCats("a"))
	require.ErrorIs(t, err, ledger.ErrNotConfigured)
	_, err = bare.Status(t.Context(), "a", getCats("a").Route)
	require.ErrorIs(t, err, ledger.ErrNotConfigured)
	_, err = bare.Balance(t.Context(), usageplan.QuotaKey{Plan: "free", Client: "a"})
	require.ErrorIs(t, err, ledger.ErrNotConfigured)
}
