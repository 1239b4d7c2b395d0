package usageplan_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// broken is a journal that refuses to append.
type broken struct{ journal.Journal }

var errDisk = errors.New("disk full")

func (broken) Append(context.Context, uint64, journal.Change) (uint64, error) { return 0, errDisk }

func (broken) History(context.Context, string) iter.Seq2[journal.Change, error] {
	return func(yield func(journal.Change, error) bool) {
		for yield(journal.Change{}, errDisk) { // it goes on, as no journal should
		}
	}
}

// Each verb refuses with its cause, and then nothing has changed and nothing was stored.
func TestVerbsRefuseAndChangeNothing(t *testing.T) {
	m := meter(t, usageplan.Config{
		Plans: []usageplan.Plan{
			{ID: "p", Name: "P", Stages: dev},
			{ID: "q", Name: "Q", Stages: dev},
			{ID: "r", Name: "R", Stages: []usageplan.Stage{{API: "pets", Name: "prod"}}},
			{ID: "s", Name: "S", Quotas: daily(1)},
			{ID: "default", Name: "Default"},
		},
		Members: []usageplan.Member{
			{Plan: "p", Client: "a"},
			{Plan: "r", Client: "a"},
			{Plan: "s", Client: "c", Limits: map[ledger.Period]int64{ledger.Daily: 2}},
		},
		Default: "default",
		Journal: broken{journal.Memory(0)},
	})
	errEdit := errors.New("edit")
	of := func(plan, client string) usageplan.Member { return usageplan.Member{Plan: plan, Client: client} }
	create := func(p usageplan.Plan) change {
		return func(ctx context.Context, m *usageplan.Meter) error { _, err := m.CreatePlan(ctx, p); return err }
	}
	update := func(id string, edit func(*usageplan.Plan) error) change {
		return func(ctx context.Context, m *usageplan.Meter) error { _, err := m.UpdatePlan(ctx, id, edit); return err }
	}
	drop := func(id string) change {
		return func(ctx context.Context, m *usageplan.Meter) error { return m.DeletePlan(ctx, id) }
	}
	add := func(members ...usageplan.Member) change {
		return func(ctx context.Context, m *usageplan.Meter) error { return m.AddMembers(ctx, members...) }
	}
	load := func(plans []usageplan.Plan, members ...usageplan.Member) change {
		return func(ctx context.Context, m *usageplan.Meter) error { return m.Import(ctx, plans, members) }
	}
	many := make([]usageplan.Member, 10_001)
	for i := range many {
		many[i] = of("p", fmt.Sprint(i))
	}
	long := usageplan.Plan{ID: "long", Name: strings.Repeat("n", 1<<20)}
	limits := map[ledger.Period]int64{ledger.Daily: 1}
	for _, tt := range []struct {
		name   string
		change change
		want   string
		cause  error
	}{
		{"plan exists", create(usageplan.Plan{ID: "p", Name: "P"}), `plan "p"`, usageplan.ErrExists},
		{"plan without a name", create(usageplan.Plan{}), "has no name", usageplan.ErrInvalid},
		{"plan that is not UTF-8", create(usageplan.Plan{Name: "N", Tags: map[string]string{"a": "\xff"}}), "is not UTF-8", usageplan.ErrInvalid},
		{"plan of the future", create(usageplan.Plan{Name: "N", Created: time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)}), "was created in 2300", usageplan.ErrInvalid},
		{"plan that is too large", create(long), "1 plans and members", usageplan.ErrInvalid},
		{"no plan to update", update("x", func(*usageplan.Plan) error { return nil }), `no plan "x"`, usageplan.ErrNoPlan},
		{"edit fails", update("p", func(p *usageplan.Plan) error { p.Throttle = &ratelimit.Limit{}; return errEdit }), "edit", errEdit},
		{"no edit", update("p", nil), "no edit", usageplan.ErrInvalid},
		{"edit makes a mistake", update("p", func(p *usageplan.Plan) error { p.Name = ""; return nil }), "has no name", usageplan.ErrInvalid},
		{"stage that a member has elsewhere", update("r", func(p *usageplan.Plan) error { p.Stages = dev; return nil }), `client "a" is in plan "p" for pets:dev already`, usageplan.ErrConflict},
		{"quota that a member overrides", update("s", func(p *usageplan.Plan) error { p.Quotas = nil; return nil }), "no quota for period DAY", usageplan.ErrConflict},
		{"mistake and conflict", update("r", func(p *usageplan.Plan) error { p.Name, p.Stages = "", dev; return nil }), "has no name", usageplan.ErrInvalid},
		{"no plan to delete", drop("x"), `no plan "x"`, usageplan.ErrNoPlan},
		{"plan with a stage deleted", drop("p"), `plan "p" opens pets:dev: take its stages out first`, usageplan.ErrConflict},
		{"default plan deleted", drop("default"), "default plan", usageplan.ErrConflict},
		{"second plan for a stage", add(of("q", "a")), `is in plan "p" for pets:dev already`, usageplan.ErrConflict},
		{"two plans for a stage at once", add(of("p", "b"), of("q", "b")), `client "b" is in plan`, usageplan.ErrConflict},
		{"member exists", add(of("q", "b"), of("p", "a")), `client "a" is a member of plan "p"`, usageplan.ErrExists},
		{"member given twice", add(of("q", "b"), of("q", "b")), `client "b" is a member of plan "q"`, usageplan.ErrExists},
		{"unknown plan", add(of("q", "b"), of("x", "a")), `member "a": there is no plan "x"`, usageplan.ErrNoPlan},
		{"no client", add(of("p", "")), "a client of 0 bytes", usageplan.ErrInvalid},
		{"client that is too long", add(of("p", strings.Repeat("c", 513))), "a client of 513 bytes", usageplan.ErrInvalid},
		{"limit without quota", add(usageplan.Member{Plan: "p", Client: "b", Limits: limits}), "no quota for period DAY", usageplan.ErrInvalid},
		{"too many members", add(many...), "10001 plans and members", usageplan.ErrInvalid},
		{"nobody to move", moving("p", of("q", "b")), `client "b", plan "p"`, usageplan.ErrNotMember},
		{"move into the unknown", moving("p", of("x", "a")), `no plan "x"`, usageplan.ErrNoPlan},
		{"move to where it is", moving("p", of("r", "a")), `client "a" is a member of plan "r"`, usageplan.ErrExists},
		{"move beside another", moving("r", of("q", "a")), `is in plan "p" for pets:dev already`, usageplan.ErrConflict},
		{"nobody to remove", leaving("p", "b"), `client "b", plan "p"`, usageplan.ErrNotMember},
		{"one of two is no member", func(ctx context.Context, m *usageplan.Meter) error { return m.RemoveMembers(ctx, "a", "p", "q") }, `plan "q"`, usageplan.ErrNotMember},
		{"too large an import", load([]usageplan.Plan{{}}, many[1:]...), "10001 plans and members", usageplan.ErrInvalid},
		{"import of a plan twice", load([]usageplan.Plan{{ID: "n", Name: "N"}, {ID: "n", Name: "N"}}), `"n" is given twice`, usageplan.ErrInvalid},
		{"import of a member twice", load(nil, of("q", "b"), of("q", "b")), `client "b", plan "q": given twice`, usageplan.ErrInvalid},
		{"import with one mistake", load([]usageplan.Plan{{ID: "n", Name: "N"}}, of("n", "b"), of("n", "")), "a client of 0 bytes", usageplan.ErrInvalid},
		{"import beside another", load([]usageplan.Plan{{ID: "n", Name: "N", Stages: dev}}, of("n", "a")), `is in plan "p" for pets:dev already`, usageplan.ErrConflict},
		{"journal fails", add(of("p", "b")), "disk full", journal.ErrUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.change(t.Context(), m)
			require.ErrorContains(t, err, tt.want)
			require.ErrorIs(t, err, tt.cause)
			for _, other := range []error{usageplan.ErrInvalid, usageplan.ErrConflict, usageplan.ErrExists, usageplan.ErrNoPlan, usageplan.ErrNotMember} {
				require.Equal(t, tt.cause == other, errors.Is(err, other), "%v", other)
			}
			if _, is := errors.AsType[*usageplan.Error](err); !is {
				require.Equal(t, errEdit, err, "every other error is an *Error")
			}
			require.Len(t, slices.Collect(m.Plans()), 5)
			require.Equal(t, []usageplan.Member{of("r", "a"), of("p", "a")}, m.Memberships("a"))
			require.Empty(t, m.Memberships("b"))
			p, _ := m.Plan("p")
			require.Nil(t, p.Throttle)
		})
	}
}

// Plans and members are listed newest first, however they came to be and whatever has changed since. A declared member
// is as new as the change that stores it.
func TestNewestFirst(t *testing.T) {
	ctx := t.Context()
	m := meter(t, usageplan.Config{
		Plans:   []usageplan.Plan{{ID: "z", Name: "Z"}, {ID: "y", Name: "Y"}},
		Members: []usageplan.Member{{Plan: "z", Client: "9"}, {Plan: "z", Client: "8"}},
		Journal: journal.Memory(0),
	})
	var ids []string
	for range 3 {
		p, err := m.CreatePlan(ctx, usageplan.Plan{Name: "N"})
		require.NoError(t, err)
		require.Regexp(t, "^[a-z0-9]{6}$", p.ID)
		require.WithinDuration(t, time.Now(), p.Created, time.Minute)
		got, found := m.Plan(p.ID)
		require.True(t, found)
		require.Equal(t, p, got)
		ids = append(ids, p.ID)
	}
	for i := range 5 {
		require.NoError(t, m.AddMembers(ctx, usageplan.Member{Plan: "z", Client: fmt.Sprint(2 * i)}, usageplan.Member{Plan: "z", Client: fmt.Sprint("x", i)}))
		if i == 3 {
			break
		}
	}
	_, err := m.UpdatePlan(ctx, "z", func(p *usageplan.Plan) error { p.Name = "New"; return nil })
	require.NoError(t, err)
	_, err = m.UpdateMember(ctx, "z", "9", func(k *usageplan.Member) error { k.Throttle = &ratelimit.Limit{Burst: 1}; return nil })
	require.NoError(t, err)
	require.NoError(t, m.RemoveMembers(ctx, "2", "z"))
	require.NoError(t, m.AddMembers(ctx, usageplan.Member{Plan: "z", Client: "2"}))

	var got []string
	for p := range m.Plans() {
		got = append(got, p.ID)
	}
	require.Equal(t, []string{ids[2], ids[1], ids[0], "y", "z"}, got)
	want := []string{"2", "9", "x3", "6", "x2", "4", "x1", "x0", "0", "8"}
	for limit := 1; limit < 12; limit++ {
		require.Equal(t, want, paged(m, "z", limit), "pages of %d", limit)
	}
	none, next := m.Members("z", 0, 0)
	require.Empty(t, none)
	require.Zero(t, next)
}

// paged returns the clients of a plan, read by pages.
func paged(m *usageplan.Meter, plan string, limit int) (clients []string) {
	for page, next := m.Members(plan, 0, limit); ; page, next = m.Members(plan, next, limit) {
		for _, k := range page {
			clients = append(clients, k.Client)
		}
		if next == 0 {
			return clients
		}
	}
}

// The meter shares no memory with the caller of a verb, with edit, or with the reader of plans and members.
func TestNothingIsShared(t *testing.T) {
	ctx := t.Context()
	m := meter(t, usageplan.Config{})
	spoil := func(p *usageplan.Plan) {
		p.Throttle.Burst, p.Quotas[0].Limit, p.Stages[0].API, p.Tags["a"] = 1000, 1000, "other", "c"
	}
	p := usageplan.Plan{ID: "p", Name: "P", Stages: slices.Clone(dev), Throttle: &ratelimit.Limit{Burst: 3}, Quotas: daily(2), Tags: map[string]string{"a": "b"}}
	created, err := m.CreatePlan(ctx, p)
	require.NoError(t, err)
	spoil(&p)
	spoil(&created)
	var kept *usageplan.Plan
	updated, err := m.UpdatePlan(ctx, "p", func(p *usageplan.Plan) error { kept = p; return nil })
	require.NoError(t, err)
	spoil(kept)
	spoil(&updated)
	for got := range m.Plans() {
		require.EqualValues(t, 3, got.Throttle.Burst)
		require.EqualValues(t, 2, got.Quotas[0].Limit)
		require.Equal(t, "pets", got.Stages[0].API)
		require.Equal(t, "b", got.Tags["a"])
		spoil(&got)
	}
	k := usageplan.Member{Plan: "p", Client: "a", Limits: map[ledger.Period]int64{ledger.Daily: 1}}
	require.NoError(t, m.AddMembers(ctx, k))
	for range 2 {
		found, _ := m.Member("p", "a")
		for _, k := range []usageplan.Member{k, found, m.Memberships("a")[0], members(m, "p")[0]} {
			k.Limits[ledger.Daily] = 7
		}
		found, _ = m.Member("p", "a")
		require.EqualValues(t, 1, found.Limits[ledger.Daily])
	}
	for range 2 {
		st, err := m.Status(ctx, "a", getCats("a").Route)
		require.NoError(t, err)
		require.EqualValues(t, 3, *st.BurstLimit)
		*st.BurstLimit = 4711
	}
}

// Writers that take a stage out of a plan and put it back in one change take turns, and lose none of each other's
// changes. No request finds the plan without its stage, and the stage keeps its buckets.
func TestConflictingUpdatesTakeTurns(t *testing.T) {
	const writers = 64
	once := []usageplan.Stage{{API: "pets", Name: "dev", Methods: map[string]ratelimit.Limit{"/dogs/GET": {Burst: 1}}}}
	m := meter(t, usageplan.Config{
		Plans:   []usageplan.Plan{{ID: "p", Name: "P", Stages: once, Quotas: daily(1 << 40)}},
		Members: []usageplan.Member{{Plan: "p", Client: "a"}},
		Journal: journal.Memory(0),
	})
	dogs := getCats("a")
	dogs.Route.Resource = "/dogs"
	require.Equal(t, noLayer, layer(t, m, dogs))
	var done atomic.Bool
	var readers, all sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for !done.Load() {
				if _, err := m.Take(t.Context(), getCats("a")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range writers {
		all.Go(func() {
			for j := range 4 {
				_, err := m.UpdatePlan(t.Context(), "p", func(p *usageplan.Plan) error {
					stages := p.Stages
					p.Stages = nil
					if p.Tags == nil {
						p.Tags = make(map[string]string)
					}
					p.Tags[fmt.Sprint(i, ".", j)] = ""
					p.Stages = append(p.Stages, stages...)
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	done.Store(true)
	readers.Wait()
	p, _ := m.Plan("p")
	require.Len(t, p.Tags, 4*writers)
	require.Equal(t, planMethodThrottle, layer(t, m, dogs))
}

// A client may be in thousands of plans for as many stages. A change looks at each of them once, and not at each pair:
// a thousand plans took five seconds of the turn, and the time grew with the third power.
func TestClientInThousandsOfPlans(t *testing.T) {
	m := meter(t, usageplan.Config{Journal: journal.Memory(0)})
	var plans []usageplan.Plan
	var members []usageplan.Member
	for i := range 3000 {
		id := fmt.Sprint("p", i)
		plans = append(plans, usageplan.Plan{ID: id, Name: id, Stages: []usageplan.Stage{{API: "pets", Name: id}}})
		members = append(members, usageplan.Member{Plan: id, Client: "c"})
	}
	for range 2 {
		require.NoError(t, m.Import(t.Context(), plans, members))
	}
	require.Len(t, m.Memberships("c"), len(members))

	again := usageplan.Plan{ID: "again", Name: "again", Stages: plans[2000].Stages}
	for name, change := range map[string]change{
		"both are in the change": func(ctx context.Context, m *usageplan.Meter) error {
			return m.Import(ctx, append(slices.Clone(plans), again), append(slices.Clone(members), usageplan.Member{Plan: "again", Client: "c"}))
		},
		"one was there before": func(ctx context.Context, m *usageplan.Meter) error {
			return m.Import(ctx, []usageplan.Plan{again}, []usageplan.Member{{Plan: "again", Client: "c"}})
		},
	} {
		err := change(t.Context(), m)
		require.ErrorIs(t, err, usageplan.ErrConflict, name)
		require.ErrorContains(t, err, `for pets:p2000 already`, name)
	}
}
