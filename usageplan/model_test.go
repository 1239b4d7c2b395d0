package usageplan_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
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

// heavy is n where the environment asks for full counts, else a tenth of it.
func heavy(n int) int {
	if os.Getenv("TALLYGATE_HEAVY") != "" {
		return n
	}
	return n / 10
}

// modelBucket is a token bucket counted naively, in thousandths of a token; its rate is in tokens per second, which are
// thousandths per millisecond.
type modelBucket struct {
	rate, burst int64
	level       int64
	at          time.Time
}

func newModelBucket(l ratelimit.Limit, now time.Time) *modelBucket {
	return &modelBucket{int64(l.Rate), l.Burst, l.Burst * 1000, now}
}

func (b *modelBucket) refill(now time.Time) {
	b.level = min(b.level+b.rate*now.Sub(b.at).Milliseconds(), b.burst*1000)
	b.at = now
}

func (b *modelBucket) has(now time.Time) bool {
	b.refill(now)
	return b.level >= 1000
}

// model decides as the documentation of API Gateway reads, one request after the other.
type model struct {
	plans   map[string]usageplan.Plan
	places  map[string]usageplan.Member // by client
	stages  []usageplan.Stage
	account *modelBucket
	buckets map[string]*modelBucket
	used    map[string]int64 // plan, client, period and its start
}

func methodLimit(limits map[string]ratelimit.Limit, r usageplan.Route) (ratelimit.Limit, bool) {
	if l, ok := limits[r.Resource+"/"+r.Method]; ok {
		return l, true
	}
	l, ok := limits["/*/*"]
	return l, ok
}

func (m *model) bucket(now time.Time, l ratelimit.Limit, name string) *modelBucket {
	b := m.buckets[name]
	if b == nil {
		b = newModelBucket(l, now)
		m.buckets[name] = b
	}
	return b
}

// putPlan changes a plan's limits at this instant: what its buckets owe stays.
func (m *model) putPlan(now time.Time, p usageplan.Plan) {
	m.plans[p.ID] = p
	for name, b := range m.buckets {
		if p.Throttle != nil && strings.HasPrefix(name, "plan "+p.ID) {
			b.refill(now)
			b.level = p.Throttle.Burst*1000 - (b.burst*1000 - b.level)
			b.rate, b.burst = int64(p.Throttle.Rate), p.Throttle.Burst
		}
	}
}

// drops reports whether a new version of a plan lacks a quota that a member has its own limit for.
func (m *model) drops(p usageplan.Plan) bool {
	for _, member := range m.places {
		for period := range member.Limits {
			if member.Plan == p.ID && !slices.ContainsFunc(p.Quotas, func(q ledger.Quota) bool { return q.Period == period }) {
				return true
			}
		}
	}
	return false
}

// wander decides at random where the client goes: into a plan, to another one, or out of its plan.
func (m *model) wander(r *rand.Rand, client string) change {
	old, in := m.places[client]
	delete(m.places, client)
	if !in || r.IntN(2) == 0 {
		to := usageplan.Member{Plan: "p", Client: client}
		if old.Plan == "p" || !in && r.IntN(2) == 0 {
			to.Plan = "q"
		}
		if quotas := m.plans[to.Plan].Quotas; len(quotas) > 0 && r.IntN(2) == 0 {
			to.Limits = map[ledger.Period]int64{quotas[0].Period: int64(r.IntN(40))}
		}
		m.places[client] = to
		if !in {
			return func(ctx context.Context, m *usageplan.Meter) error { return m.AddMembers(ctx, to) }
		}
		return moving(old.Plan, to)
	}
	return leaving(old.Plan, client)
}

// counted are the quotas that count a plan's usage. That of a plan without a quota is one per day that never refuses.
func counted(p usageplan.Plan) []ledger.Quota {
	if len(p.Quotas) == 0 {
		return daily(math.MaxInt64)
	}
	return p.Quotas
}

// giveBack undoes what q has counted against the quotas.
func (m *model) giveBack(now time.Time, q usageplan.Request) {
	p := m.plans[m.places[q.Client].Plan]
	for _, quota := range counted(p) {
		m.used[fmt.Sprint(p.ID, q.Client, quota.Period, periodStart(quota.Period, now))] -= q.Cost
	}
}

// periodStart is when the period of now began: today, on Sunday or on the first of the month.
func periodStart(p ledger.Period, now time.Time) time.Time {
	y, m, d := now.UTC().Date()
	switch p {
	case ledger.Weekly:
		d -= int(now.UTC().Weekday())
	case ledger.Monthly:
		d = 1
	}
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// noPlan stands for a refusal for want of a plan.
const noPlan = "no plan"

// take returns the layer that refuses, or NoLayer, or noPlan.
func (m *model) take(now time.Time, q usageplan.Request) string {
	member, in := m.places[q.Client]
	if !in {
		return noPlan
	}
	p := m.plans[member.Plan]
	var own, shared []*modelBucket
	var names []string
	if l, ok := methodLimit(p.Stages[0].Methods, q.Route); ok {
		own = append(own, m.bucket(now, l, "method "+p.ID+q.Client+q.Route.Resource))
		names = append(names, planMethodThrottle)
	}
	if p.Throttle != nil {
		own = append(own, m.bucket(now, *p.Throttle, "plan "+p.ID+q.Client))
		names = append(names, planThrottle)
	}
	for i, b := range own {
		if !b.has(now) {
			return names[i]
		}
	}
	var counters []string
	for _, quota := range counted(p) {
		key := fmt.Sprint(p.ID, q.Client, quota.Period, periodStart(quota.Period, now))
		limit, own := member.Limits[quota.Period]
		if !own {
			limit = quota.Limit
		}
		if q.Cost > 0 && m.used[key]+q.Cost > limit {
			return planQuota
		}
		counters = append(counters, key)
	}
	if l, ok := methodLimit(m.stages[0].Methods, q.Route); ok {
		b := m.bucket(now, l, "stage "+q.Route.Resource)
		if shared = append(shared, b); !b.has(now) {
			return stageMethodThrottle
		}
	}
	if shared = append(shared, m.account); !m.account.has(now) {
		return accountThrottle
	}
	for _, b := range append(own, shared...) {
		b.level -= 1000
	}
	for _, key := range counters {
		m.used[key] += q.Cost
	}
	return noLayer
}

func randomLimit(r *rand.Rand) ratelimit.Limit {
	return ratelimit.Limit{Rate: float64(r.IntN(6)), Burst: int64(1 + r.IntN(6))}
}

func randomMethods(r *rand.Rand) map[string]ratelimit.Limit {
	methods := map[string]ratelimit.Limit{}
	for _, key := range []string{"/cats/GET", "/*/*"} {
		if r.IntN(2) == 0 {
			methods[key] = randomLimit(r)
		}
	}
	return methods
}

func randomPlan(r *rand.Rand, id string) usageplan.Plan {
	p := usageplan.Plan{ID: id, Name: id, Stages: []usageplan.Stage{{API: "pets", Name: "dev", Methods: randomMethods(r)}}}
	if r.IntN(4) > 0 {
		l := randomLimit(r)
		p.Throttle = &l
	}
	for _, period := range []ledger.Period{ledger.Daily, ledger.Monthly} {
		if r.IntN(3) > 0 {
			p.Quotas = append(p.Quotas, ledger.Quota{Limit: int64(r.IntN(40)), Period: period})
		}
	}
	return p
}

// The whole decision against a simple model: random plans, layers, costs, pauses and changes of plans and members.
func TestMeterIsItsModel(t *testing.T) {
	for seed := range uint64(heavy(1000)) {
		synctest.Test(t, func(t *testing.T) { runModel(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func runModel(t *testing.T, r *rand.Rand) {
	account := ratelimit.Limit{Rate: 20, Burst: 20}
	stages := []usageplan.Stage{{API: "pets", Name: "dev", Methods: randomMethods(r)}}
	real := meter(t, usageplan.Config{StageThrottles: stages, AccountThrottle: &account})
	naive := &model{
		plans: map[string]usageplan.Plan{}, places: map[string]usageplan.Member{}, stages: stages,
		account: newModelBucket(account, time.Now()), buckets: map[string]*modelBucket{}, used: map[string]int64{},
	}
	apply := func(c change) { require.NoError(t, c(t.Context(), real)) }
	for _, id := range []string{"p", "q"} {
		p := randomPlan(r, id)
		naive.plans[id] = p
		apply(putting(p))
	}
	clients, began := []string{"a", "b", "c"}, time.Now()
	var history []string
	for range 60 {
		client := clients[r.IntN(len(clients))]
		switch r.IntN(12) {
		case 0: // another version of a plan; bursts of a bucket that is there stay comparable
			p := randomPlan(r, []string{"p", "q"}[r.IntN(2)])
			p.Stages = naive.plans[p.ID].Stages
			if p.Throttle == nil || naive.plans[p.ID].Throttle == nil {
				p.Throttle = naive.plans[p.ID].Throttle
			}
			if naive.drops(p) {
				require.ErrorIs(t, putting(p)(t.Context(), real), usageplan.ErrConflict)
				continue
			}
			naive.putPlan(time.Now(), p)
			apply(putting(p))
		case 1: // the client enters a plan, with limits of its own or without, moves to the other, or leaves
			change := naive.wander(r, client)
			apply(change)
		case 2:
			time.Sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
		case 3:
			time.Sleep(time.Duration(r.IntN(10)) * time.Hour)
		default:
			q := getCats(client)
			q.Route.Resource = []string{"/cats", "/dogs"}[r.IntN(2)]
			q.Cost = int64(r.IntN(4))
			want := naive.take(time.Now(), q)
			charge, got := takeLayer(t, real, q)
			history = append(history, fmt.Sprintf("%v %+v: %v", time.Now(), q, got))
			require.Equal(t, want, got, "%v", history)
			if r.IntN(3) == 0 && got == noLayer {
				require.NoError(t, charge.Settle(t.Context(), 0))
				naive.giveBack(time.Now(), q)
			}
		}
	}
	for _, plan := range []string{"p", "q"} {
		for _, client := range clients {
			for _, period := range []ledger.Period{ledger.Daily, ledger.Monthly} {
				want := int64(0)
				for key, used := range naive.used {
					if strings.HasPrefix(key, fmt.Sprint(plan, client, period)) {
						want += used
					}
				}
				k := usageplan.QuotaKey{Plan: plan, Client: client, Period: period}
				require.Equal(t, want, usedSince(t, real, k, began), "%+v: %v", k, history)
			}
		}
	}
}

func takeLayer(t *testing.T, m *usageplan.Meter, q usageplan.Request) (usageplan.Charge, string) {
	c, err := m.Take(t.Context(), q)
	if errors.Is(err, usageplan.ErrNoPlan) {
		return c, noPlan
	}
	if err == nil {
		return c, noLayer
	}
	e, is := errors.AsType[*usageplan.Error](err)
	require.True(t, is)
	return c, e.Layer
}

// The tutorial's plan under 64 clients at once admits exactly burst + rate × Δ, and exactly its quota a day.
func TestConcurrentRequestsGetExactlyTheLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const quota = 10
		m := meter(t, usageplan.Config{
			Plans:   []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Throttle: &ratelimit.Limit{Rate: 1, Burst: 2}, Quotas: daily(quota)}},
			Members: []usageplan.Member{{Plan: "p", Client: "a"}},
		})
		var admitted atomic.Int64
		storm := func() int64 {
			before := admitted.Load()
			var all sync.WaitGroup
			for range 64 {
				all.Go(func() {
					if _, err := m.Take(t.Context(), getCats("a")); err == nil {
						admitted.Add(1)
					}
				})
			}
			all.Wait()
			return admitted.Load() - before
		}
		require.EqualValues(t, 2, storm(), "the burst")
		for second := range 8 {
			time.Sleep(time.Second)
			require.EqualValues(t, 1, storm(), "second %d", second)
		}
		for range 3 {
			time.Sleep(time.Second)
			require.EqualValues(t, 0, storm(), "the quota is used up")
		}
		require.EqualValues(t, quota, used(t, m, "p", "a"))
		time.Sleep(24 * time.Hour)
		require.EqualValues(t, 2, storm(), "a new day")
	})
}
