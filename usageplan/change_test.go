package usageplan_test

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

func TestAppliedChangesAreCommittedAndAct(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		var committed []usageplan.Change
		var broken error
		m := meter(t, usageplan.Config{
			Plans:  []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Throttle: &ratelimit.Limit{Burst: 3}, Quotas: daily(10)}},
			Commit: func(_ context.Context, c usageplan.Change) error { committed = append(committed, c); return broken },
		})
		_, err := m.Take(ctx, getCats("a"))
		require.ErrorIs(t, err, usageplan.ErrNoPlan)

		a := &usageplan.Member{Plan: "p", Client: "a"}
		require.NoError(t, m.Apply(ctx, usageplan.Change{PutMember: a}))
		require.Equal(t, noLayer, layer(t, m, getCats("a")))
		require.Equal(t, noLayer, layer(t, m, getCats("a")))

		p := usageplan.Plan{ID: "p", Name: "P", Stages: dev, Throttle: &ratelimit.Limit{Burst: 2}, Quotas: daily(10)}
		require.NoError(t, m.Apply(ctx, usageplan.Change{PutPlan: &p}))
		require.Equal(t, planThrottle, layer(t, m, getCats("a")), "buckets survive, the new limit acts at once")

		p.Throttle, p.Quotas = nil, daily(3)
		require.NoError(t, m.Apply(ctx, usageplan.Change{PutPlan: &p}))
		require.Equal(t, noLayer, layer(t, m, getCats("a")))
		require.Equal(t, planQuota, layer(t, m, getCats("a")), "balances survive, the new limit acts at once")

		broken = errors.New("disk full")
		require.ErrorIs(t, m.Apply(ctx, usageplan.Change{DeleteMember: a}), broken)
		require.Equal(t, planQuota, layer(t, m, getCats("a")), "what was not committed is not visible")
		broken = nil
		require.NoError(t, m.Apply(ctx, usageplan.Change{DeleteMember: a}))
		_, err = m.Take(ctx, getCats("a"))
		require.ErrorIs(t, err, usageplan.ErrNoPlan)
		require.NoError(t, m.Apply(ctx, usageplan.Change{PutMember: a}))
		require.NoError(t, m.Apply(ctx, usageplan.Change{DeletePlan: "p"}))
		_, err = m.Take(ctx, getCats("a"))
		require.ErrorIs(t, err, usageplan.ErrNoPlan)
		require.Len(t, committed, 7)
		require.Equal(t, usageplan.Change{PutMember: a}, committed[0])
		require.Equal(t, usageplan.Change{PutPlan: &p}, committed[2])
		require.Equal(t, usageplan.Change{DeleteMember: a}, committed[4])
		require.Equal(t, usageplan.Change{DeletePlan: "p"}, committed[6])
	})
}

func TestApplyRefusesAndChangesNothing(t *testing.T) {
	m := meter(t, usageplan.Config{
		Plans: []usageplan.Plan{
			{ID: "p", Name: "P", Stages: dev},
			{ID: "q", Name: "Q", Stages: dev},
			{ID: "r", Name: "R", Stages: []usageplan.Stage{{API: "pets", Name: "prod"}}},
			{ID: "s", Name: "S", Quotas: daily(1)},
		},
		Members: []usageplan.Member{{Plan: "p", Client: "a"}, {Plan: "r", Client: "a"}, {Plan: "s", Client: "c", Limits: map[ledger.Period]int64{ledger.Daily: 2}}},
		Default: "q",
	})
	for _, tt := range []struct {
		name   string
		change usageplan.Change
		want   string
		cause  error
	}{
		{"nothing", usageplan.Change{}, "one thing, not 0", usageplan.ErrInvalid},
		{"two things", usageplan.Change{DeletePlan: "p", PutPlan: &usageplan.Plan{}}, "one thing, not 2", usageplan.ErrInvalid},
		{"second plan for a stage", usageplan.Change{PutMember: &usageplan.Member{Plan: "q", Client: "a"}}, `is in plan "p" for pets:dev already`, usageplan.ErrConflict},
		{"stage that a member has elsewhere", usageplan.Change{PutPlan: &usageplan.Plan{ID: "r", Name: "R", Stages: dev}}, `is in plan "p" for pets:dev already`, usageplan.ErrConflict},
		{"unknown plan", usageplan.Change{PutMember: &usageplan.Member{Plan: "x", Client: "a"}}, `no plan "x"`, usageplan.ErrInvalid},
		{"no client", usageplan.Change{PutMember: &usageplan.Member{Plan: "p"}}, "a client of 0 bytes", usageplan.ErrInvalid},
		{"limit without quota", usageplan.Change{PutMember: &usageplan.Member{Plan: "p", Client: "b", Limits: map[ledger.Period]int64{ledger.Daily: 1}}}, "no quota for period DAY", usageplan.ErrInvalid},
		{"nobody deleted", usageplan.Change{DeleteMember: &usageplan.Member{Plan: "p"}}, "needs its plan and its client", usageplan.ErrInvalid},
		{"default plan deleted", usageplan.Change{DeletePlan: "q"}, "default plan", usageplan.ErrConflict},
		{"quota that a member overrides", usageplan.Change{PutPlan: &usageplan.Plan{ID: "s", Name: "S"}}, "no quota for period DAY", usageplan.ErrConflict},
		{"mistake and conflict", usageplan.Change{PutPlan: &usageplan.Plan{ID: "r", Stages: dev}}, "has no name", usageplan.ErrInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := m.Apply(t.Context(), tt.change)
			require.ErrorContains(t, err, tt.want)
			require.ErrorIs(t, err, tt.cause)
			require.Equal(t, tt.cause == usageplan.ErrConflict, errors.Is(err, usageplan.ErrConflict))
			require.Equal(t, tt.cause == usageplan.ErrInvalid, errors.Is(err, usageplan.ErrInvalid))
			e, is := errors.AsType[*usageplan.Error](err)
			require.True(t, is)
			if tt.cause == usageplan.ErrConflict {
				require.Equal(t, []any{409, "ConflictException", "Conflict"}, []any{e.StatusCode(), e.ErrorCode(), e.ErrorMessage()})
			} else {
				require.Equal(t, []any{400, "BadRequestException", "Bad Request"}, []any{e.StatusCode(), e.ErrorCode(), e.ErrorMessage()})
			}
		})
	}
}

// A change may be applied twice, whether or not the first one failed. The deletion of what does not exist is not committed.
func TestApplyMayBeRepeated(t *testing.T) {
	var kept []usageplan.Change
	config := usageplan.Config{
		Plans:   []usageplan.Plan{{ID: "free", Name: "Free", Stages: dev}, {ID: "pro", Name: "Pro", Stages: dev}},
		Members: []usageplan.Member{{Plan: "free", Client: "a"}, {Plan: "free", Client: "b"}, {Plan: "free", Client: "c"}},
		Commit:  func(_ context.Context, c usageplan.Change) error { kept = append(kept, c); return nil },
	}
	m := meter(t, config)
	twice := func(c usageplan.Change, commits int) {
		before := len(kept)
		require.NoError(t, m.Apply(t.Context(), c))
		members := append(m.Members("free"), m.Members("pro")...)
		require.NoError(t, m.Apply(t.Context(), c))
		require.Equal(t, members, append(m.Members("free"), m.Members("pro")...))
		require.Len(t, kept, before+commits)
	}
	of := func(plan, client string) *usageplan.Member { return &usageplan.Member{Plan: plan, Client: client} }
	twice(usageplan.Change{PutPlan: &usageplan.Plan{ID: "new", Name: "New"}}, 2)
	twice(usageplan.Change{PutMember: of("new", "d")}, 2)
	twice(usageplan.Change{DeleteMember: of("free", "a"), PutMember: of("pro", "a")}, 2)
	twice(usageplan.Change{DeleteMember: of("free", "b")}, 1)
	twice(usageplan.Change{DeletePlan: "new"}, 1)
	twice(usageplan.Change{DeletePlan: "never"}, 0)
	twice(usageplan.Change{DeleteMember: of("never", "a")}, 0)
	require.Equal(t, []usageplan.Member{*of("free", "c")}, m.Members("free"))
	require.Equal(t, []usageplan.Member{*of("pro", "a")}, m.Members("pro"))

	// A store may have stored a change twice: restoring it twice works.
	config.Restore = func(yield func(usageplan.Change, error) bool) {
		for _, c := range slices.Concat(kept, kept[len(kept)-2:]) {
			if !yield(c, nil) {
				return
			}
		}
	}
	again := meter(t, config)
	require.Equal(t, m.Members("free"), again.Members("free"))
	require.Equal(t, m.Members("pro"), again.Members("pro"))

	// Repeating a move does not move a client that has moved on to a third plan.
	require.NoError(t, m.Apply(t.Context(), usageplan.Change{PutPlan: &usageplan.Plan{ID: "max", Name: "Max", Stages: dev}}))
	require.NoError(t, m.Apply(t.Context(), usageplan.Change{DeleteMember: of("pro", "a"), PutMember: of("max", "a")}))
	require.ErrorIs(t, m.Apply(t.Context(), usageplan.Change{DeleteMember: of("free", "a"), PutMember: of("pro", "a")}), usageplan.ErrConflict)
}

// The meter shares no memory with the caller of Apply, with Commit, or with the callers of Plans and Members.
func TestNothingIsShared(t *testing.T) {
	var kept usageplan.Change
	m := meter(t, usageplan.Config{Commit: func(_ context.Context, c usageplan.Change) error {
		kept = c
		c.PutPlan.Quotas[0].Limit, c.PutPlan.Throttle.Burst = 1000, 1000
		return nil
	}})
	p := usageplan.Plan{ID: "p", Name: "P", Stages: slices.Clone(dev), Throttle: &ratelimit.Limit{Burst: 3}, Quotas: daily(2)}
	require.NoError(t, m.Apply(t.Context(), usageplan.Change{PutPlan: &p}))
	p.Throttle.Burst, p.Quotas[0].Limit, p.Stages[0].API = 1000, 1000, "other"
	kept.PutPlan.Throttle.Burst = 2000
	for got := range m.Plans() {
		require.EqualValues(t, 3, got.Throttle.Burst)
		require.EqualValues(t, 2, got.Quotas[0].Limit)
		require.Equal(t, "pets", got.Stages[0].API)
		got.Throttle.Burst = 3000
	}
	m = meter(t, usageplan.Config{
		Plans:   []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Throttle: &ratelimit.Limit{Burst: 3}}},
		Members: []usageplan.Member{{Plan: "p", Client: "a"}},
	})
	st, err := m.Status(t.Context(), "a", getCats("a").Route)
	require.NoError(t, err)
	*st.BurstLimit = 4711
	st, err = m.Status(t.Context(), "a", getCats("a").Route)
	require.NoError(t, err)
	require.EqualValues(t, 3, *st.BurstLimit)
}

// A client moves from one plan to another in one step: none of its requests finds it without a plan.
func TestMoveIsOneStep(t *testing.T) {
	m := meter(t, usageplan.Config{
		Plans:   []usageplan.Plan{{ID: "free", Name: "Free", Stages: dev, Quotas: daily(1 << 40)}, {ID: "pro", Name: "Pro", Stages: dev, Quotas: daily(1 << 40)}},
		Members: []usageplan.Member{{Plan: "free", Client: "a"}},
	})
	var moving atomic.Bool
	moving.Store(true)
	var calls sync.WaitGroup
	for range 4 {
		calls.Go(func() {
			for moving.Load() {
				if _, err := m.Take(t.Context(), getCats("a")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	from, to := "free", "pro"
	for range heavy(10_000) {
		require.NoError(t, m.Apply(t.Context(), usageplan.Change{
			DeleteMember: &usageplan.Member{Plan: from, Client: "a"}, PutMember: &usageplan.Member{Plan: to, Client: "a"},
		}))
		from, to = to, from
	}
	moving.Store(false)
	calls.Wait()
	require.Empty(t, m.Members(to))
	require.Equal(t, []usageplan.Member{{Plan: from, Client: "a"}}, m.Members(from))

	for _, c := range []usageplan.Change{
		{DeleteMember: &usageplan.Member{Plan: from, Client: "a"}, PutMember: &usageplan.Member{Plan: from, Client: "a"}},
		{DeleteMember: &usageplan.Member{Plan: from, Client: "a"}, PutMember: &usageplan.Member{Plan: to, Client: "b"}},
	} {
		require.ErrorIs(t, m.Apply(t.Context(), c), usageplan.ErrInvalid)
	}
}

// Changes while requests are decided: in any order, a client is admitted no more often than the highest of its limits
// allows, and never by a limit that was not set.
func TestNoLimitIsExceededDuringChanges(t *testing.T) {
	const most = 500
	m := meter(t, usageplan.Config{
		Plans:   []usageplan.Plan{{ID: "p", Name: "P", Stages: dev}},
		Members: []usageplan.Member{{Plan: "p", Client: "a", Throttle: &ratelimit.Limit{Burst: most}}},
	})
	var admitted atomic.Int64
	var calls sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		calls.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := m.Take(t.Context(), getCats("a")); err == nil {
					admitted.Add(1)
				} else if !errors.Is(err, usageplan.ErrThrottled) {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range heavy(5000) {
		p := usageplan.Plan{ID: "p", Name: "P", Stages: dev}
		if i%2 == 0 {
			p.Throttle = &ratelimit.Limit{Burst: most / 2}
		}
		require.NoError(t, m.Apply(t.Context(), usageplan.Change{PutPlan: &p}))
		k := usageplan.Member{Plan: "p", Client: "a", Throttle: &ratelimit.Limit{Burst: int64(1 + i%most)}}
		require.NoError(t, m.Apply(t.Context(), usageplan.Change{PutMember: &k}))
	}
	close(stop)
	calls.Wait()
	require.LessOrEqual(t, admitted.Load(), int64(most))
}

func TestDeletePlanDuringTake(t *testing.T) {
	m := meter(t, usageplan.Config{})
	p := usageplan.Plan{ID: "p", Name: "P", Stages: dev, Quotas: daily(1 << 40)}
	a := usageplan.Member{Plan: "p", Client: "a"}
	var calls sync.WaitGroup
	stop := make(chan struct{})
	calls.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := m.Take(t.Context(), getCats("a")); err != nil && !errors.Is(err, usageplan.ErrNoPlan) {
				t.Error(err)
				return
			}
			_, _ = m.Balance(t.Context(), usageplan.QuotaKey{Plan: "p", Client: "a"})
		}
	})
	for range heavy(5000) {
		require.NoError(t, m.Apply(t.Context(), usageplan.Change{PutPlan: &p}))
		require.NoError(t, m.Apply(t.Context(), usageplan.Change{PutMember: &a}))
		require.NoError(t, m.Apply(t.Context(), usageplan.Change{DeletePlan: "p"}))
	}
	close(stop)
	calls.Wait()
	require.Empty(t, m.Members("p"))
	_, err := m.Take(t.Context(), getCats("a"))
	require.ErrorIs(t, err, usageplan.ErrNoPlan)
}

// A member's override goes with the member, and a stage keeps its buckets in a new version of its plan.
func TestBucketsSurviveChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		once := []usageplan.Stage{{API: "pets", Name: "dev", Methods: map[string]ratelimit.Limit{"/cats/GET": {Rate: 1, Burst: 1}}}}
		p := usageplan.Plan{ID: "p", Name: "P", Stages: once}
		m := meter(t, usageplan.Config{
			Plans:   []usageplan.Plan{p},
			Members: []usageplan.Member{{Plan: "p", Client: "a"}, {Plan: "p", Client: "b", Throttle: &ratelimit.Limit{Burst: 1}}},
		})
		require.Equal(t, noLayer, layer(t, m, getCats("a")))
		p.Name = "Q"
		require.NoError(t, m.Apply(t.Context(), usageplan.Change{PutPlan: &p}))
		require.Equal(t, planMethodThrottle, layer(t, m, getCats("a")))

		require.Equal(t, noLayer, layer(t, m, getCats("b")))
		time.Sleep(time.Minute)
		require.Equal(t, planThrottle, layer(t, m, getCats("b")), "the member's own throttle never refills")
		b := usageplan.Member{Plan: "p", Client: "b"}
		require.NoError(t, m.Apply(t.Context(), usageplan.Change{PutMember: &b}))
		require.Equal(t, noLayer, layer(t, m, getCats("b")), "the plan has no throttle")
	})
}

func TestExtendWantsAMember(t *testing.T) {
	ctx := t.Context()
	m := meter(t, usageplan.Config{
		Plans: []usageplan.Plan{
			{ID: "p", Name: "P", Stages: dev, Quotas: []ledger.Quota{{Limit: 3, Period: ledger.Daily}, {Limit: 5, Period: ledger.Monthly}}},
			{ID: "free", Name: "Free", Stages: []usageplan.Stage{{API: "pets", Name: "prod"}}, Quotas: daily(1)},
			{ID: "open", Name: "Open", Stages: []usageplan.Stage{{API: "pets", Name: "test"}}},
		},
		Members: []usageplan.Member{{Plan: "p", Client: "a"}, {Plan: "open", Client: "a"}},
		Default: "free",
	})
	for _, tt := range []struct {
		key  usageplan.QuotaKey
		want string
	}{
		{usageplan.QuotaKey{Plan: "p", Client: "a", Period: ledger.Daily}, ""},
		{usageplan.QuotaKey{Plan: "p", Client: "a"}, `plan "p" has 2 quotas, and QuotaKey.Period names none`},
		{usageplan.QuotaKey{Plan: "p", Client: "a", Period: ledger.Weekly}, `plan "p" has none for period WEEK`},
		{usageplan.QuotaKey{Plan: "p", Client: "b", Period: ledger.Daily}, `"b" is no member of plan "p"`},
		{usageplan.QuotaKey{Plan: "free", Client: "anybody"}, ""},
		{usageplan.QuotaKey{Plan: "open", Client: "a"}, `plan "open" has none`},
		{usageplan.QuotaKey{Plan: "x", Client: "a"}, `there is no plan "x"`},
	} {
		_, extend := m.Extend(ctx, tt.key, ledger.Adjustment{Delta: 1})
		_, correct := m.Correct(ctx, tt.key, ledger.Adjustment{Delta: 1})
		_, setRemaining := m.SetRemaining(ctx, tt.key, 3, ledger.Adjustment{})
		for _, err := range []error{extend, correct, setRemaining} {
			if tt.want == "" {
				require.NoError(t, err, "%+v", tt.key)
				continue
			}
			require.ErrorIs(t, err, usageplan.ErrNoQuota, "%+v", tt.key)
			require.ErrorContains(t, err, tt.want, "%+v", tt.key)
		}
	}
	b, err := m.Balance(ctx, usageplan.QuotaKey{Plan: "p", Client: "a", Period: ledger.Daily})
	require.NoError(t, err)
	require.EqualValues(t, 3, b.Remaining, "one more granted, one more used")
}

func TestIDsAreBounded(t *testing.T) {
	m := meter(t, usageplan.Config{Plans: []usageplan.Plan{{ID: strings.Repeat("p", 128), Name: "P", Stages: dev, Quotas: daily(1)}}})
	long := strings.Repeat("c", 512)
	k := usageplan.Member{Plan: strings.Repeat("p", 128), Client: long}
	require.NoError(t, m.Apply(t.Context(), usageplan.Change{PutMember: &k}))
	_, err := m.Take(t.Context(), getCats(long))
	require.NoError(t, err, "whatever is valid can be counted")
	k.Client += "c"
	require.ErrorIs(t, m.Apply(t.Context(), usageplan.Change{PutMember: &k}), usageplan.ErrInvalid)
	p := usageplan.Plan{ID: strings.Repeat("p", 129), Name: "P"}
	require.ErrorIs(t, m.Apply(t.Context(), usageplan.Change{PutPlan: &p}), usageplan.ErrInvalid)
}

// A limit that is lowered under load, or a member that is deleted, acts on every request that begins after Apply returns.
func TestLoweredLimitActsOnceApplyReturns(t *testing.T) {
	open := usageplan.Plan{ID: "p", Name: "P", Stages: dev, Throttle: &ratelimit.Limit{Burst: 1 << 40}, Quotas: daily(1 << 40)}
	throttled, shut, spent := open, open, open
	throttled.Throttle, shut.Throttle, spent.Quotas = &ratelimit.Limit{Burst: 1}, &ratelimit.Limit{Rate: 5}, daily(1)
	for name, change := range map[string]usageplan.Change{
		"throttle": {PutPlan: &throttled},
		"shut":     {PutPlan: &shut},
		"own shut": {PutMember: &usageplan.Member{Plan: "p", Client: "a", Throttle: &ratelimit.Limit{Rate: 5}}},
		"quota":    {PutPlan: &spent},
		"member":   {PutMember: &usageplan.Member{Plan: "p", Client: "a", Limits: map[ledger.Period]int64{ledger.Daily: 1}}},
		"own":      {PutMember: &usageplan.Member{Plan: "p", Client: "a", Throttle: &ratelimit.Limit{Burst: 1}}},
		"leaving":  {DeleteMember: &usageplan.Member{Plan: "p", Client: "a"}},
		"deleted":  {DeletePlan: "p"},
	} {
		t.Run(name, func(t *testing.T) {
			m := meter(t, usageplan.Config{Plans: []usageplan.Plan{open}, Members: []usageplan.Member{{Plan: "p", Client: "a"}}})
			var applied atomic.Bool
			var late, before atomic.Int64
			var group sync.WaitGroup
			for range 4 {
				group.Go(func() {
					for range 3000 {
						after := applied.Load() // before the request begins
						_, err := m.Take(t.Context(), getCats("a"))
						if err == nil && after {
							late.Add(1)
						} else if err == nil {
							before.Add(1)
						}
					}
				})
			}
			for before.Load() < 10 {
				runtime.Gosched()
			}
			require.NoError(t, m.Apply(t.Context(), change))
			applied.Store(true)
			group.Wait()
			require.Zero(t, late.Load(), "of %d", before.Load())
		})
	}
}

func TestAdjustmentsTellWhoAndWhy(t *testing.T) {
	m := meter(t, usageplan.Config{Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Quotas: daily(5)}}, Default: "p", Ledger: memory(t)})
	k := usageplan.QuotaKey{Plan: "p", Client: "a"}
	begin := time.Now()
	for _, delta := range []int64{10, -3} {
		_, err := m.Extend(t.Context(), k, ledger.Adjustment{Delta: delta, Actor: "ann", Reason: "fair"})
		require.NoError(t, err)
	}
	var from, by []int64
	for e, err := range m.Adjustments(t.Context(), k, begin, time.Now()) {
		require.NoError(t, err)
		require.Equal(t, [2]string{"ann", "fair"}, [2]string{e.Actor, e.Reason})
		from, by = append(from, e.Before), append(by, e.Delta)
	}
	require.Equal(t, [][]int64{{0, 10}, {10, -3}}, [][]int64{from, by})
	for _, err := range m.Adjustments(t.Context(), usageplan.QuotaKey{Plan: "q", Client: "a"}, begin, time.Now()) {
		require.ErrorIs(t, err, usageplan.ErrNoQuota)
	}
}

// A meter that restores the changes that Commit was given has the plans and members of the earlier meter.
func TestRestoreGivesTheSamePlans(t *testing.T) {
	var kept [][]byte
	config := usageplan.Config{
		Plans: []usageplan.Plan{{ID: "first", Name: "First", Stages: dev}},
		Commit: func(_ context.Context, c usageplan.Change) error {
			text, err := json.Marshal(c)
			kept = append(kept, text)
			return err
		},
	}
	m := meter(t, config)
	plan := usageplan.Plan{ID: "p", Name: "P", Stages: dev, Quotas: daily(5)}
	for _, c := range []usageplan.Change{
		{PutPlan: &plan},
		{PutMember: &usageplan.Member{Plan: "first", Client: "a"}},
		{DeleteMember: &usageplan.Member{Plan: "first", Client: "a"}, PutMember: &usageplan.Member{Plan: "p", Client: "a", Limits: map[ledger.Period]int64{ledger.Daily: 1}}},
		{DeletePlan: "first"},
	} {
		require.NoError(t, m.Apply(t.Context(), c))
	}
	config.Restore = func(yield func(usageplan.Change, error) bool) {
		for _, text := range kept {
			var c usageplan.Change
			if err := json.Unmarshal(text, &c); !yield(c, err) {
				return
			}
		}
	}
	commits := len(kept)
	again := meter(t, config)
	require.Len(t, kept, commits, "restoring commits nothing")
	require.Equal(t, slices.Collect(m.Plans()), slices.Collect(again.Plans()))
	require.Equal(t, m.Members("p"), again.Members("p"))
	_, err := again.Take(t.Context(), getCats("a"))
	require.NoError(t, err)
	require.Equal(t, planQuota, layer(t, again, getCats("a")))

	kept = append(kept, []byte(`{"putMember": {"usagePlanId": "first", "keyId": "a"}}`))
	config.Client, config.API, config.Stage, config.Ledger = caller, "pets", "dev", memory(t)
	_, err = usageplan.New(config)
	require.ErrorIs(t, err, usageplan.ErrInvalid)
	require.ErrorIs(t, err, usageplan.ErrNoPlan)
	require.EqualError(t, err, `usageplan: restore: invalid: member "a": there is no plan "first"`)
	kept = append(kept[:1], []byte(`{`))
	_, err = usageplan.New(config)
	require.Error(t, err)
}
