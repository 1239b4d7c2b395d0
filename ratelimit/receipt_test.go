package ratelimit

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pairOf makes two buckets of exact rates, each alone or of a limiter's key, made at different times.
func pairOf(t *testing.T, r *rand.Rand) (refs [2]Ref, of [2]rule) {
	t.Helper()
	for i := range refs {
		of[i] = rules[r.IntN(len(rules))]
		b, err := NewBucket(of[i].limit())
		require.NoError(t, err)
		refs[i] = b.Ref()
		if r.IntN(2) == 0 {
			l, err := New(Config[int]{Limit: of[i].limit(), MaxKeys: 8})
			require.NoError(t, err)
			refs[i] = l.Ref(r.Int())
		}
	}
	return refs, of
}

// While both buckets refill, TakeAll grants what both hold, takes nothing from either if one does not, and says which:
// at each instant what two models do.
func TestTakeAllDecidesAsTwoModels(t *testing.T) {
	for seed := range uint64(heavy(20_000)) {
		r := rand.New(rand.NewPCG(seed, 21))
		refs, of := pairOf(t, r)
		models := [2]model{{mode: mode{of[0], 0}}, {mode: mode{of[1], 0}}}
		var now int64                                       // of the first bucket
		late := int64(refs[0].epoch().Sub(refs[1].epoch())) // the second bucket's time is ahead by this
		for range 40 {
			now += r.Int64N(12)
			n := 1 + r.Int64N(2)
			times := [2]int64{now, now + late}
			want := -1
			for i := range models {
				clock, cost := models[i].mode.clock(times[i]), n*of[i].b
				if want < 0 && max(models[i].tat, clock) > clock+of[i].burst*of[i].b-cost {
					want = i
				}
			}
			at := refs[0].epoch().Add(time.Duration(now))
			i, ok := takeAll(at, n, refs[:], make([]Receipt, 2), func(r Ref) int64 { return int64(at.Sub(r.epoch())) })
			require.Equal(t, want < 0, ok, "seed %d", seed)
			require.Equal(t, want, i, "seed %d", seed)
			if want < 0 {
				for i := range models {
					models[i].tat = max(models[i].tat, models[i].mode.clock(times[i])) + n*of[i].b
				}
			}
		}
	}
}

// From many goroutines, with readings that have grown stale, what TakeAll admits keeps the bound of each bucket over
// every window of its readings.
func TestTakeAllStaysWithinEveryBound(t *testing.T) {
	type admission struct{ at, n int64 }
	for seed := range uint64(heavy(20_000)) {
		refs, of := pairOf(t, rand.New(rand.NewPCG(seed, 22)))
		epoch := refs[0].epoch()
		var clock atomic.Int64
		var mu sync.Mutex
		var all []admission
		var group sync.WaitGroup
		for id := range 4 {
			group.Go(func() {
				r := rand.New(rand.NewPCG(seed, uint64(id)))
				for range 20 {
					now := clock.Add(1 + r.Int64N(4))
					if r.IntN(2) == 0 {
						runtime.Gosched()
					}
					n := 1 + r.Int64N(2)
					pair := refs
					if r.IntN(2) == 0 {
						pair[0], pair[1] = pair[1], pair[0]
					}
					at := func(now int64) time.Time { return epoch.Add(time.Duration(now)) }
					again := func(r Ref) int64 { return int64(at(clock.Add(1)).Sub(r.epoch())) }
					if _, ok := takeAll(at(now), n, pair[:], make([]Receipt, 2), again); ok {
						mu.Lock()
						all = append(all, admission{now, n})
						mu.Unlock()
					}
				}
			})
		}
		group.Wait()
		require.NotEmpty(t, all)
		slices.SortFunc(all, func(a, b admission) int { return int(a.at - b.at) })
		for i, from := range all {
			for _, to := range all[i:] {
				sum := int64(0)
				for _, a := range all {
					if a.at >= from.at && a.at <= to.at {
						sum += a.n
					}
				}
				for _, rule := range of {
					require.LessOrEqual(t, sum*rule.b, rule.burst*rule.b+(to.at-from.at)*rule.a, "seed %d: %+v", seed, all)
				}
			}
		}
	}
}

// What has flowed back by itself, and was taken again by another, is not given back once more.
func TestLateUndoGivesBackNothingTwice(t *testing.T) {
	b, err := NewBucket(Limit{Rate: 1e9, Burst: 4}) // a token is a nanosecond
	require.NoError(t, err)
	l, err := New(Config[int]{Limit: Limit{Rate: 1e9, Burst: 4}, MaxKeys: 8})
	require.NoError(t, err)
	for _, r := range []Ref{b.Ref(), l.Ref(1)} {
		first := Receipt{r, taken{r.take(0, 3), 3}}
		second := Receipt{r, taken{r.take(2, 3), 3}}
		require.True(t, first.ok() && second.ok())
		secondTAT := second.tat
		first.undo(func() int64 { return 2 }, 3) // two of its three have flowed back
		require.Equal(t, secondTAT-1, r.look(2, 1).tat)
		third := Receipt{r, taken{r.take(20, 4), 4}}
		require.True(t, third.ok())
		thirdTAT := third.tat
		second.undo(func() int64 { return 20 }, 3)
		require.Equal(t, thirdTAT, r.look(20, 1).tat)
		third.undo(func() int64 { return 21 }, 4) // no other call has touched the bucket
		require.Equal(t, thirdTAT-3, r.look(21, 1).tat)
		third.undo(func() int64 { return 21 }, 4)
		require.Equal(t, thirdTAT-3, r.look(21, 1).tat, "a receipt is undone once")
	}
}
