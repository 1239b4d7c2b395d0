package ratelimit

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func newStriped(t *testing.T, rate float64, burst int64) *Striped {
	t.Helper()
	s, err := NewStriped(Limit{Rate: rate, Burst: burst})
	require.NoError(t, err)
	return s
}

// held is what all stripes hold.
func (s *Striped) held() int64 { return s.set.Load().stock() }

func TestStripedTakesAllAndNoMore(t *testing.T) {
	for _, burst := range []int64{1, 2, 7, 8, 100, 5000} {
		s := newStriped(t, 0, burst)
		for i := range burst {
			require.True(t, s.Allow(), "%d of %d", i, burst)
			require.Equal(t, burst-i-1, s.Peek().Remaining)
			require.Equal(t, burst, s.Peek().Limit)
		}
		require.False(t, s.Allow())
		require.Equal(t, Decision{Limit: burst, RetryAfter: Never, ResetAfter: Never}, s.Take(1))
		s.Refund(1)
		require.True(t, s.Peek().OK)
		require.True(t, s.Take(1).OK)
	}
}

func TestStripedStripesWhereTheBurstAllows(t *testing.T) {
	procs := int64(1)
	for procs < int64(runtime.GOMAXPROCS(0)) {
		procs *= 2
	}
	for burst, size := range map[int64]int64{1: 0, 4*procs - 1: 0, 4 * procs: 1, 40 * procs: 10, 1 << 20: 64} {
		set := newStriped(t, 1, burst).set.Load()
		require.Equal(t, size, int64(len(set.list))*set.size/procs, "burst %d", burst)
		require.LessOrEqual(t, burst-set.behind().Burst, burst/4)
	}
	unlimited := newStriped(t, math.Inf(1), 0)
	require.Empty(t, unlimited.set.Load().list)
	require.Equal(t, Decision{OK: true, Limit: math.MaxInt64, Remaining: math.MaxInt64}, unlimited.Take(1))
}

// What lies in the stripes serves any call, also one for more than a stripe holds.
func TestStripedCollects(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4)) // several stripes
	s := newStriped(t, 0, 400)
	require.True(t, s.Take(s.bucket.Peek().Remaining).OK)
	left := s.held()
	require.Greater(t, left, s.set.Load().size, "more than one stripe's")
	require.False(t, s.Take(left+1).OK)
	require.True(t, s.Take(left).OK)
	require.False(t, s.Take(1).OK)
}

func TestStripedRefuses(t *testing.T) {
	for _, s := range []*Striped{nil, {}} {
		require.False(t, s.Allow())
		require.Equal(t, Decision{RetryAfter: Never}, s.Take(1))
		require.Equal(t, Decision{RetryAfter: Never}, s.Peek())
		s.Refund(1)
		require.ErrorIs(t, s.SetLimit(Limit{Rate: 1, Burst: 1}), ErrNotConfigured)
		require.Equal(t, Decision{RetryAfter: Never}, s.Ref().Take(1))
	}
	_, err := NewStriped(Limit{})
	require.Error(t, err)
	s := newStriped(t, 1, 100)
	for _, n := range []int64{90, 101} {
		require.Equal(t, Decision{Limit: 100, Remaining: 100, RetryAfter: Never}, s.Take(n), "above three quarters")
	}
	require.Error(t, s.SetLimit(Limit{}))
	require.False(t, s.Take(-1).OK)
	require.True(t, s.Take(0).OK)
	require.Equal(t, Never, s.Take(101).RetryAfter)
}

func TestStripedSetLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStriped(t, 1, 1000)
		for range 900 {
			require.True(t, s.Allow())
		}
		require.NoError(t, s.SetLimit(Limit{Rate: 100, Burst: 2000}))
		n := 0
		for s.Allow() {
			n++
		}
		require.LessOrEqual(t, n, 1100, "900 tokens stay taken")
		require.GreaterOrEqual(t, n, 1100-2000/4)
		time.Sleep(10 * time.Millisecond)
		require.True(t, s.Allow())
		require.False(t, s.Allow())
		require.NoError(t, s.SetLimit(Limit{Rate: 100, Burst: 1}))
		require.False(t, s.Allow())
	})
}

func TestAllOverStriped(t *testing.T) {
	s, empty := newStriped(t, 0, 100), newStriped(t, 0, 1)
	require.True(t, empty.Allow())
	for range 10 {
		d, i := All(3, s.Ref(), empty.Ref())
		require.False(t, d.OK)
		require.Equal(t, 1, i)
		_, ok := AllowAt(time.Now(), 1, []Ref{s.Ref(), empty.Ref()}, make([]Taken, 2))
		require.False(t, ok)
	}
	require.EqualValues(t, 100, s.Peek().Remaining, "a refused call consumes nothing")
	require.EqualValues(t, 100, s.Ref().Peek().Remaining)
	n := 0
	for ok := true; ok; n++ {
		_, ok = AllowAt(time.Now(), 1, []Ref{s.Ref()}, make([]Taken, 1))
	}
	require.Equal(t, 101, n)
}

// What All and Ref say of a striped bucket is what it says itself.
func TestAllTellsOfStriped(t *testing.T) {
	s, wide := newStriped(t, 0, 100), newStriped(t, 0, 1000)
	d, i := All(1, wide.Ref(), s.Ref())
	require.Equal(t, Decision{OK: true, Limit: 100, Remaining: 99, ResetAfter: d.ResetAfter}, d)
	require.Equal(t, 1, i)
	require.True(t, s.Take(70).OK)
	require.True(t, s.Take(28).OK)
	require.Equal(t, s.Peek(), s.Ref().Peek())
	require.True(t, s.Ref().Peek().OK, "what lies in a stripe")
	d, i = All(2, wide.Ref(), s.Ref())
	require.Equal(t, Decision{Limit: 100, Remaining: 1, RetryAfter: Never, ResetAfter: Never}, d)
	require.Equal(t, 1, i)
	require.EqualValues(t, 999, wide.Peek().Remaining)
}

// Who is refused waits for what the bucket lacks, not for what lies in the stripes.
func TestStripedRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStriped(t, 1, 100)
		require.True(t, s.Take(s.bucket.Peek().Remaining).OK)
		stock := s.held()
		d := s.Take(stock + 5)
		require.False(t, d.OK)
		require.Equal(t, stock, d.Remaining)
		require.Equal(t, 5*time.Second, d.RetryAfter)
		time.Sleep(d.RetryAfter)
		require.True(t, s.Take(stock+5).OK)
	})
}

// A decision made while the limit is changed tells of one limit or the other.
func TestStripedDecidesBesideAChange(t *testing.T) {
	s := newStriped(t, 1e9, 1<<30)
	var group sync.WaitGroup
	var done atomic.Bool
	group.Go(func() {
		for !done.Load() {
			require.NoError(t, s.SetLimit(Limit{Rate: math.Inf(1)}))
			require.NoError(t, s.SetLimit(Limit{Rate: 1e9, Burst: 1 << 30}))
		}
	})
	for range 20_000 {
		d := s.Take(1)
		require.True(t, d.OK && d.Remaining >= 0)
		require.Less(t, d.ResetAfter, time.Minute)
		require.LessOrEqual(t, d.Remaining, d.Limit)
	}
	done.Store(true)
	group.Wait()
}

// What was taken stays taken, to the token, from whatever limit to whatever other.
func TestStripedSetLimitModel(t *testing.T) {
	for seed := range uint64(heavy(20_000)) {
		r := rand.New(rand.NewPCG(seed, 9))
		burst := 1 + r.Int64N(1000)
		s := newStriped(t, 0, burst)
		taken := int64(0)
		for range 30 {
			switch n := 1 + r.Int64N(20); r.IntN(8) {
			case 0:
				burst = max(burst-n, 1)
				require.NoError(t, s.SetLimit(Limit{Burst: burst}))
			case 1:
				burst = 1 + r.Int64N(1000)
				require.NoError(t, s.SetLimit(Limit{Burst: burst}))
			default:
				if s.Take(n).OK {
					taken += n
				}
			}
			require.Equal(t, max(burst-taken, 0), s.Peek().Remaining, "seed %d, burst %d, taken %d", seed, burst, taken)
		}
	}
}

// A reading from ahead of the clock brings nothing.
func TestStripedGiveBackFromAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStriped(t, 1000, 1000)
		taken := make([]Taken, 1)
		for range 3 {
			_, ok := AllowAt(time.Now().Add(time.Hour), 1, []Ref{s.Ref()}, taken)
			require.True(t, ok)
		}
		s.Ref().GiveBack(taken[0])
		require.EqualValues(t, 998, s.Peek().Remaining)
	})
}

// What is given back late is less what has flowed in since.
func TestStripedGiveBackLate(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		s := newStriped(t, 1000, 1000)
		taken := make([]Taken, 1)
		_, ok := AllowAt(time.Now(), 50, []Ref{s.Ref()}, taken)
		require.True(t, ok)
		for range 15 {
			require.True(t, s.Allow())
		}
		time.Sleep(time.Minute)
		n := 0
		for s.Allow() {
			n++
		}
		s.Ref().GiveBack(taken[0])
		for s.Allow() {
			n++
		}
		require.LessOrEqual(t, n, 1000)
	})
}

// Over every window the bound holds, whichever processors take, steal and give back in between: the calls are made one
// after another with the stripes of processors chosen at random. A token is a nanosecond.
func TestStripedWindowBound(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	type admission struct{ at, n int64 }
	for seed := range uint64(heavy(5_000)) {
		r := rand.New(rand.NewPCG(seed, 4))
		burst := 1 + r.Int64N(100)
		s := newStriped(t, 1e9, burst)
		var now int64
		s.clock = func() int64 { return now }
		var all []admission
		for range 100 {
			set := s.set.Load()
			if len(set.list) > 1 { // as if the goroutine had been moved
				i, j := r.IntN(len(set.list)), r.IntN(len(set.list))
				a, b := set.list[i].left.Load(), set.list[j].left.Load()
				set.list[i].left.Store(b)
				set.list[j].left.Store(a)
			}
			n := int64(1)
			if r.IntN(4) == 0 {
				n = 1 + r.Int64N(burst)
			}
			switch r.IntN(10) {
			case 0:
				if len(all) > 0 && all[len(all)-1].at == now {
					s.refund(all[len(all)-1].n)
					all = all[:len(all)-1]
				}
			case 1, 2:
				now += r.Int64N(2 * burst)
			default:
				if s.take(now, n).ok() {
					all = append(all, admission{now, n})
				}
			}
			require.LessOrEqual(t, s.held(), int64(len(set.list))*set.size)
		}
		for i := range all {
			sum := int64(0)
			for _, a := range all[i:] {
				sum += a.n
				require.LessOrEqual(t, sum, burst+a.at-all[i].at, "seed %d, burst %d", seed, burst)
			}
		}
	}
}

// Histories of goroutines that take, steal and give back: what was admitted and what is left in the end are the burst, to
// the token.
func TestStripedHistories(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	for seed := range uint64(heavy(20_000)) {
		burst := 16 + rand.New(rand.NewPCG(seed, 8)).Int64N(100)
		s := newStriped(t, 0, burst)
		var admitted atomic.Int64
		var group sync.WaitGroup
		for id := range 4 {
			group.Go(func() {
				r := rand.New(rand.NewPCG(seed, uint64(id)))
				for range 20 {
					n := 1 + r.Int64N(3)
					if r.IntN(2) == 0 {
						n = 1
					}
					o := s.take(s.bucket.now(), n)
					if !o.ok() {
						continue
					}
					if r.IntN(4) == 0 {
						s.Refund(n)
					} else {
						admitted.Add(n)
					}
				}
			})
		}
		group.Wait()
		require.Equal(t, burst-admitted.Load(), s.Peek().Remaining, "seed %d", seed)
		left := admitted.Load()
		for s.Allow() {
			left++
		}
		require.Equal(t, burst, left, "seed %d", seed)
	}
}

// Over every window the bound holds for goroutines that are stopped for long between any two steps, while the others go on
// and tokens flow in. The clock of each stops it: before it is read, and before what was read is used. Time passes in
// jumps, some of them far apart, so that the bucket fills behind who is stopped, and all that there is is taken at once.
func TestStripedOverTime(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for i := range heavy(3_000) {
		runtime.GOMAXPROCS(1 << (i % 3))
		burst := 16 + rand.Int64N(50)
		s := newStriped(t, 1e9, burst) // a token is a nanosecond
		var elapsed, pace atomic.Int64
		pace.Store(100)
		stop := func() {
			if rand.IntN(8) > 0 {
				return
			}
			for from, n := elapsed.Load(), 0; n < 200 && elapsed.Load() == from; n++ {
				runtime.Gosched()
			}
		}
		s.clock = func() int64 {
			stop()
			defer stop()
			return elapsed.Load()
		}
		admitted := make([][]span, 6)
		var group sync.WaitGroup
		for id := range admitted {
			group.Go(func() {
				for range 200 {
					from := elapsed.Load()
					if rand.Int64N(pace.Load()) == 0 {
						from = elapsed.Add(rand.Int64N(2 * burst))
						pace.Store(10 << rand.IntN(6))
					}
					n := int64(1)
					if rand.IntN(8) == 0 {
						n += rand.Int64N(burst / 4)
					}
					o := s.take(s.clock(), n)
					switch {
					case !o.ok():
					case rand.IntN(8) == 0:
						stop()
						ref := s.Ref()
						ref.giveBack(s.clock, Taken{o, n})
					default:
						admitted[id] = append(admitted[id], span{from, elapsed.Load(), n})
					}
					if rand.IntN(100) == 0 {
						require.NoError(t, s.SetLimit(Limit{Rate: 1e9, Burst: burst}))
					}
				}
			})
		}
		group.Wait()
		all := slices.Concat(admitted...)
		require.NotEmpty(t, all)
		require.Empty(t, excess(all, burst), "burst %d", burst)
	}
}

// Calls that have read the clock long ago fill the stripe by what the clock says now: what has flowed in since they have read
// it is there for others too.
func TestStripedFillStopped(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	s := newStriped(t, 1e9, 80)
	s.clock = func() int64 { return 1000 }
	admitted := int64(0)
	for _, now := range []int64{0, 1000} {
		for s.take(now, 1).ok() {
			admitted++
		}
	}
	require.EqualValues(t, 80, admitted)
}

// What was taken under an earlier limit is not given back: what has flowed in since then cannot be told. So it is with a call
// that is stopped between its take and the look at the bucket, while the limit changes.
func TestStripedGiveBackAfterAChange(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	s := newStriped(t, 1e6, 80)
	now := int64(0)
	s.clock = func() int64 { return now }
	taken := Taken{s.take(0, 10), 10}
	cell := s.bucket.cell.Load()
	require.True(t, s.set.Load().spend(10)) // stopped here
	now = 1000
	require.NoError(t, s.SetLimit(Limit{Rate: 1e9, Burst: 80}))
	stopped := Taken{cell.spent(now), 10}
	drain := func() (n int64) {
		for s.take(now, 1).ok() {
			n++
		}
		return n
	}
	drain()
	now = 2000
	require.True(t, s.take(now, 1).ok())
	now = 3000
	admitted := drain()
	ref := s.Ref()
	ref.giveBack(nil, taken)
	ref.giveBack(nil, stopped)
	require.LessOrEqual(t, admitted+drain(), int64(80))
}

// Whoever says that it is later than it is gets nothing of what will flow in, beyond what he takes himself.
func TestStripedReadingFromAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStriped(t, 1, 1000)
		for s.Allow() {
			continue
		}
		for range 5 {
			_, ok := AllowAt(time.Now().Add(time.Hour), 1, []Ref{s.Ref()}, make([]Taken, 1))
			require.True(t, ok)
			require.False(t, s.Allow())
		}
	})
}

// A call that gathers is stopped when it has emptied the stripes. Until it goes on, nothing may fill them, for what it holds
// is going to be used beside.
func TestStripedGatherStopped(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // one stripe
	s := newStriped(t, 1e9, 80)                     // a stripe of 20, before a bucket of 60
	require.True(t, s.take(0, 50).ok())
	now, taken := int64(0), int64(0)
	s.clock = func() int64 {
		if s.held() == 0 && taken == 0 { // stopped, while the bucket fills
			taken, now = 1, 1000
			for ; s.take(now, 1).ok(); taken++ {
				require.Zero(t, s.held())
			}
			require.EqualValues(t, 61, taken)
			return 0
		}
		return now
	}
	require.False(t, s.take(0, 30).ok())
	require.EqualValues(t, 20, s.held(), "a refused call consumes nothing")
}

// What is given back late is counted when it can be used, not before.
func TestStripedGiveBackStopped(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	s := newStriped(t, 1e9, 80)
	taken := Taken{s.take(0, 10), 10}
	require.Equal(t, grantedStripe, taken.verdict)
	locked := 0
	s.clock = func() int64 {
		if st := s.set.Load().mine(); st.mu.TryLock() {
			st.mu.Unlock()
		} else {
			locked++
		}
		return 4
	}
	ref := s.Ref()
	ref.giveBack(nil, taken)
	require.Equal(t, 1, locked, "the clock is read while nobody else can fill the stripe")
	require.EqualValues(t, 16, s.held(), "four have flowed in since")
}

// A span is an admission at some time between two instants, both included.
type span struct{ from, to, n int64 }

// excess returns a window in which more was admitted than the burst and what flows in, a token in a nanosecond.
func excess(all []span, burst int64) (found []span) {
	slices.SortFunc(all, func(a, b span) int { return int(a.to - b.to) })
	for _, first := range all {
		sum := int64(0)
		for _, a := range all {
			if a.from < first.from {
				continue
			}
			if sum += a.n; sum > burst+a.to-first.from {
				return []span{{first.from, a.to, sum}}
			}
		}
	}
	return nil
}

// A limit that is changed under load, to the same.
func TestStripedChangedUnderLoad(t *testing.T) {
	for range heavy(500) {
		s := newStriped(t, 0, 1000)
		var admitted atomic.Int64
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for i := range 200 {
					switch {
					case !s.Allow():
					case i%4 == 0:
						s.Refund(1)
					default:
						admitted.Add(1)
					}
				}
			})
		}
		group.Go(func() {
			for range 20 {
				require.NoError(t, s.SetLimit(Limit{Burst: 1000}))
				runtime.Gosched()
			}
		})
		group.Wait()
		for s.Allow() {
			admitted.Add(1)
		}
		require.EqualValues(t, 1000, admitted.Load(), "none more, and none lost")
	}
}

// TestAuditByALogicalClock for stripes: a thousand goroutines get the burst and what flows in, half a token for each call; not
// more, and hardly less. What is left in the stripes is gathered in the end.
func TestStripedAudit(t *testing.T) {
	const burst = 100_000
	s := newStriped(t, 0.5e9, burst)
	var ticks, admitted atomic.Int64
	s.clock = ticks.Load
	take := func(n int64) bool {
		ok := s.take(ticks.Add(1), n).ok()
		if ok {
			admitted.Add(n)
		}
		return ok
	}
	require.True(t, take(burst/2))
	var group sync.WaitGroup
	for range 1000 {
		group.Go(func() {
			for range 5 * burst / 2000 { // one in five is refused
				take(1)
			}
		})
	}
	group.Wait()
	for take(1) { // what is left
	}
	bound := float64(burst) + 0.5*float64(ticks.Load()-1)
	t.Logf("%d of %d calls, %.6f of the bound", admitted.Load(), ticks.Load(), float64(admitted.Load())/bound)
	require.LessOrEqual(t, float64(admitted.Load()), bound)
	require.GreaterOrEqual(t, float64(admitted.Load()), 0.99*bound)
}

func TestProcessor(t *testing.T) {
	ids := make([]int, 1000)
	for i := range ids {
		ids[i] = processor()
	}
	require.GreaterOrEqual(t, slices.Min(ids), 0)
}
