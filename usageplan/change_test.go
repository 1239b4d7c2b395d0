package usageplan_test

import (
	"context"
	"errors"
	"math"
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
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A change is one change of a meter in a table of tests.
type change func(context.Context, *usageplan.Meter) error

// putting creates the plan or replaces it.
func putting(p usageplan.Plan) change {
	return func(ctx context.Context, m *usageplan.Meter) error { return m.Import(ctx, []usageplan.Plan{p}, nil) }
}

// joining creates the membership or replaces it.
func joining(k usageplan.Member) change {
	return func(ctx context.Context, m *usageplan.Meter) error {
		return m.Import(ctx, nil, []usageplan.Member{k})
	}
}

func moving(from string, to usageplan.Member) change {
	return func(ctx context.Context, m *usageplan.Meter) error {
		_, err := m.UpdateMember(ctx, from, to.Client, func(k *usageplan.Member) error { *k = to; return nil })
		return err
	}
}

func leaving(plan, client string) change {
	return func(ctx context.Context, m *usageplan.Meter) error { return m.RemoveMembers(ctx, client, plan) }
}

// deleting takes the stages out of the plan and deletes it.
func deleting(id string) change {
	return func(ctx context.Context, m *usageplan.Meter) error {
		_, err := m.UpdatePlan(ctx, id, func(p *usageplan.Plan) error { p.Stages = nil; return nil })
		return errors.Join(err, m.DeletePlan(ctx, id))
	}
}

func putPlan(t *testing.T, m *usageplan.Meter, p usageplan.Plan) {
	t.Helper()
	require.NoError(t, putting(p)(t.Context(), m))
}

func putMember(t *testing.T, m *usageplan.Meter, k usageplan.Member) {
	t.Helper()
	require.NoError(t, joining(k)(t.Context(), m))
}

func dropPlan(t *testing.T, m *usageplan.Meter, id string) {
	t.Helper()
	require.NoError(t, deleting(id)(t.Context(), m))
}

// members returns all members of a plan, newest first.
func members(m *usageplan.Meter, plan string) []usageplan.Member {
	all, _ := m.Members(plan, 0, math.MaxInt)
	return all
}

func TestChangesAreStoredAndAct(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		j := journal.Memory(0)
		m := meter(t, usageplan.Config{
			Plans:   []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Throttle: &ratelimit.Limit{Burst: 3}, Quotas: daily(10)}},
			Journal: j,
		})
		_, err := m.Take(ctx, getCats("a"))
		require.ErrorIs(t, err, usageplan.ErrNoPlan)

		require.NoError(t, m.AddMembers(ctx, usageplan.Member{Plan: "p", Client: "a"}))
		require.Equal(t, noLayer, layer(t, m, getCats("a")))
		require.Equal(t, noLayer, layer(t, m, getCats("a")))

		_, err = m.UpdatePlan(ctx, "p", func(p *usageplan.Plan) error { p.Throttle.Burst = 2; return nil })
		require.NoError(t, err)
		require.Equal(t, planThrottle, layer(t, m, getCats("a")), "buckets survive, the new limit acts at once")

		_, err = m.UpdatePlan(ctx, "p", func(p *usageplan.Plan) error { p.Throttle, p.Quotas = nil, daily(3); return nil })
		require.NoError(t, err)
		require.Equal(t, noLayer, layer(t, m, getCats("a")))
		require.Equal(t, planQuota, layer(t, m, getCats("a")), "balances survive, the new limit acts at once")

		require.NoError(t, m.RemoveMembers(ctx, "a", "p"))
		_, err = m.Take(ctx, getCats("a"))
		require.ErrorIs(t, err, usageplan.ErrNoPlan)
		require.NoError(t, m.AddMembers(ctx, usageplan.Member{Plan: "p", Client: "a"}))
		dropPlan(t, m, "p")
		_, err = m.Take(ctx, getCats("a"))
		require.ErrorIs(t, err, usageplan.ErrNoPlan)
		require.Empty(t, m.Memberships("a"))

		require.Equal(t, []string{
			"DeleteUsagePlan", "UpdateUsagePlan: stages: pets:dev → none",
			"UpdateUsagePlan: throttle: 0 a second, burst 2 → none; quota: 10 a DAY → 3 a DAY",
			"UpdateUsagePlan: throttle: 0 a second, burst 3 → 0 a second, burst 2",
		}, operations(t, m, "p", ""))
		require.Equal(t, []string{"DeleteUsagePlan", "CreateUsagePlanKey", "DeleteUsagePlanKey", "CreateUsagePlanKey"}, operations(t, m, "p", "a"))
	})
}

// operations returns what the history of a plan or a membership tells.
func operations(t *testing.T, m *usageplan.Meter, plan, client string) (names []string) {
	t.Helper()
	for c, err := range m.History(t.Context(), plan, client) {
		require.NoError(t, err)
		names = append(names, c.Operation)
	}
	return names
}

// An adjustment without an actor is made by the one of the context, as a change of plans is.
func TestAdjustmentsHaveTheActorOfTheContext(t *testing.T) {
	m := meter(t, usageplan.Config{Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Quotas: daily(5)}}, Default: "p", Ledger: memory(t)})
	k := usageplan.QuotaKey{Plan: "p", Client: "a"}
	begin := time.Now()
	adjust := func(ctx context.Context, actor string) (errs []error) {
		adj := ledger.Adjustment{Delta: 1, Actor: actor}
		_, extended := m.Extend(ctx, k, adj)
		_, corrected := m.Correct(ctx, k, adj)
		_, set := m.SetRemaining(ctx, k, 3, adj)
		return []error{extended, corrected, set}
	}
	ann := journal.NewContext(t.Context(), journal.Origin{Actor: "ann", Source: "192.0.2.1"})
	for _, err := range slices.Concat(adjust(ann, ""), adjust(ann, "bo"), adjust(t.Context(), "")) {
		require.NoError(t, err)
	}
	for _, err := range adjust(journal.NewContext(t.Context(), journal.Origin{Actor: strings.Repeat("a", 513)}), "") {
		require.ErrorIs(t, err, ledger.ErrAdjustment)
	}
	var actors []string
	for c, err := range m.Adjustments(t.Context(), k, begin, time.Now()) {
		require.NoError(t, err)
		actors = append(actors, c.Actor)
	}
	require.Equal(t, []string{"ann", "ann", "ann", "bo", "bo", "bo", "", "", ""}, actors)
}

// A client moves from one plan to another in one step: none of its requests finds it without a plan.
func TestMoveIsOneStep(t *testing.T) {
	m := meter(t, usageplan.Config{
		Plans:   []usageplan.Plan{{ID: "free", Name: "Free", Stages: dev, Quotas: daily(1 << 40)}, {ID: "pro", Name: "Pro", Stages: dev, Quotas: daily(1 << 40)}},
		Members: []usageplan.Member{{Plan: "free", Client: "a"}},
	})
	var done atomic.Bool
	var calls sync.WaitGroup
	for range 4 {
		calls.Go(func() {
			for !done.Load() {
				if _, err := m.Take(t.Context(), getCats("a")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	from, to := "free", "pro"
	for range heavy(10_000) {
		require.NoError(t, moving(from, usageplan.Member{Plan: to, Client: "a"})(t.Context(), m))
		from, to = to, from
	}
	done.Store(true)
	calls.Wait()
	require.Empty(t, members(m, to))
	require.Equal(t, []usageplan.Member{{Plan: from, Client: "a"}}, members(m, from))
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
		putPlan(t, m, p)
		k := usageplan.Member{Plan: "p", Client: "a", Throttle: &ratelimit.Limit{Burst: int64(1 + i%most)}}
		putMember(t, m, k)
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
		putPlan(t, m, p)
		putMember(t, m, a)
		dropPlan(t, m, "p")
	}
	close(stop)
	calls.Wait()
	require.Empty(t, members(m, "p"))
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
		putPlan(t, m, p)
		require.Equal(t, planMethodThrottle, layer(t, m, getCats("a")))

		require.Equal(t, noLayer, layer(t, m, getCats("b")))
		time.Sleep(time.Minute)
		require.Equal(t, planThrottle, layer(t, m, getCats("b")), "the member's own throttle never refills")
		b := usageplan.Member{Plan: "p", Client: "b"}
		putMember(t, m, b)
		require.Equal(t, noLayer, layer(t, m, getCats("b")), "the plan has no throttle")
	})
}

// A member whose own limit is taken away is under the plan's again, however that happens: here the plan's burst of 3 less
// the request under the member's own.
func TestOwnLimitGoes(t *testing.T) {
	for name, change := range map[string][]change{
		"updated":  {moving("p", usageplan.Member{Plan: "p", Client: "a"})},
		"imported": {joining(usageplan.Member{Plan: "p", Client: "a"})},
		"removed":  {leaving("p", "a"), joining(usageplan.Member{Plan: "p", Client: "a"})},
		"moved":    {moving("p", usageplan.Member{Plan: "q", Client: "a"}), moving("q", usageplan.Member{Plan: "p", Client: "a"})},
	} {
		t.Run(name, func(t *testing.T) {
			m := meter(t, usageplan.Config{
				Plans:   []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Throttle: &ratelimit.Limit{Burst: 3}}, {ID: "q", Name: "Q", Stages: dev}},
				Members: []usageplan.Member{{Plan: "p", Client: "a", Throttle: &ratelimit.Limit{Burst: 1}}},
			})
			require.Equal(t, noLayer, layer(t, m, getCats("a")))
			require.Equal(t, planThrottle, layer(t, m, getCats("a")))
			for _, c := range change {
				require.NoError(t, c(t.Context(), m))
			}
			require.Equal(t, noLayer, layer(t, m, getCats("a")))
			require.Equal(t, noLayer, layer(t, m, getCats("a")))
			require.Equal(t, planThrottle, layer(t, m, getCats("a")))
		})
	}
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
	putMember(t, m, k)
	_, err := m.Take(t.Context(), getCats(long))
	require.NoError(t, err, "whatever is valid can be counted")
	k.Client += "c"
	require.ErrorIs(t, joining(k)(t.Context(), m), usageplan.ErrInvalid)
	p := usageplan.Plan{ID: strings.Repeat("p", 129), Name: "P"}
	require.ErrorIs(t, putting(p)(t.Context(), m), usageplan.ErrInvalid)
}

// A limit that is lowered under load, or a member that is removed, acts on every request that begins after the change
// has returned.
func TestLoweredLimitActsOnceTheChangeReturns(t *testing.T) {
	open := usageplan.Plan{ID: "p", Name: "P", Stages: dev, Throttle: &ratelimit.Limit{Burst: 1 << 40}, Quotas: daily(1 << 40)}
	throttled, shut, spent := open, open, open
	throttled.Throttle, shut.Throttle, spent.Quotas = &ratelimit.Limit{Burst: 1}, &ratelimit.Limit{Rate: 5}, daily(1)
	for name, change := range map[string]change{
		"throttle": putting(throttled),
		"shut":     putting(shut),
		"own shut": joining(usageplan.Member{Plan: "p", Client: "a", Throttle: &ratelimit.Limit{Rate: 5}}),
		"quota":    putting(spent),
		"member":   joining(usageplan.Member{Plan: "p", Client: "a", Limits: map[ledger.Period]int64{ledger.Daily: 1}}),
		"own":      joining(usageplan.Member{Plan: "p", Client: "a", Throttle: &ratelimit.Limit{Burst: 1}}),
		"leaving":  leaving("p", "a"),
		"deleted":  deleting("p"),
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
			require.NoError(t, change(t.Context(), m))
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

// The history says what an update has changed of a plan or a membership.
func TestHistoryTellsWhatAnUpdateHasChanged(t *testing.T) {
	quotas, err := ledger.New(ledger.Config{Engine: ledger.NewMemory()})
	require.NoError(t, err)
	m, err := usageplan.New(usageplan.Config{
		Journal: journal.Memory(0), API: "pets", Stage: "dev", Ledger: quotas,
		Plans: []usageplan.Plan{
			{ID: "p", Name: "P", Quotas: []ledger.Quota{{Limit: 10, Period: ledger.Daily}}, Stages: []usageplan.Stage{{API: "pets", Name: "dev"}}},
			{ID: "q", Name: "Q", Quotas: []ledger.Quota{{Limit: 10, Period: ledger.Daily}}},
		},
		Members: []usageplan.Member{{Plan: "p", Client: "a"}},
	})
	require.NoError(t, err)
	ctx := t.Context()
	for _, tt := range []struct {
		edit func(*usageplan.Plan)
		want string
	}{
		{func(p *usageplan.Plan) { p.Name, p.Description = "R", "d" }, `UpdateUsagePlan: name: "P" → "R"; description`},
		{func(p *usageplan.Plan) { p.Throttle = &ratelimit.Limit{Rate: 2.5, Burst: 3} }, "UpdateUsagePlan: throttle: none → 2.5 a second, burst 3"},
		{func(p *usageplan.Plan) { p.Quotas[0] = ledger.Quota{Limit: 70, Period: ledger.Weekly, Offset: 1} }, "UpdateUsagePlan: quota: 10 a DAY → 70 a WEEK from day 1"},
		{func(p *usageplan.Plan) {
			p.Stages[0].Methods = map[string]ratelimit.Limit{"/cats/GET": {Rate: 1, Burst: 1}}
		}, "UpdateUsagePlan: method throttles"},
		{func(p *usageplan.Plan) { p.Tags, p.ProductCode = map[string]string{"a": "b"}, "c" }, "UpdateUsagePlan: productCode; tags"},
		{func(*usageplan.Plan) {}, "UpdateUsagePlan"},
	} {
		_, err := m.UpdatePlan(ctx, "p", func(p *usageplan.Plan) error { tt.edit(p); return nil })
		require.NoError(t, err)
		require.Equal(t, tt.want, operations(t, m, "p", "")[0])
	}
	_, err = m.UpdateMember(ctx, "p", "a", func(k *usageplan.Member) error {
		k.Throttle, k.Limits = &ratelimit.Limit{Rate: 1, Burst: 2}, map[ledger.Period]int64{ledger.Weekly: 5}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, "UpdateUsagePlanKey: throttle: none → 1 a second, burst 2; limit of a WEEK: the plan's → 5", operations(t, m, "p", "a")[0])
	_, err = m.UpdateMember(ctx, "p", "a", func(k *usageplan.Member) error { k.Plan, k.Limits = "q", nil; return nil })
	require.NoError(t, err)
	require.Equal(t, `UpdateUsagePlanKey: plan: "p" → "q"; limit of a WEEK: 5 → the plan's`, operations(t, m, "q", "a")[0])
}
