package ratelimit_test

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
)

// A thousand goroutines take what they can, by the machine's clock. They never get more than the burst and what has
// flowed in. How much less they get depends on the machine; TestAThousandGoroutinesGetAllThatFlowsIn holds that. (The
// same audit of golang.org/x/time/rate is in _bench.)
func TestAThousandGoroutinesGetNoMoreThanTheBound(t *testing.T) {
	long := 100 * time.Millisecond
	if os.Getenv("TALLYGATE_HEAVY") != "" {
		long = time.Second
	}
	for _, limit := range []ratelimit.Limit{
		{Rate: 1000, Burst: 1000},
		{Rate: 100_000, Burst: 100_000},
		{Rate: 1e6, Burst: 1e6},
		{Rate: 12_345.678, Burst: 50_000},
	} {
		start := time.Now() // before New, so that nothing flows in that the bound leaves out
		b, err := ratelimit.NewBucket(limit)
		require.NoError(t, err)
		audit(t, fmt.Sprint("bucket ", limit), limit, start, long, b.Allow)

		start = time.Now()
		l := newLimiter(t, ratelimit.Config[string]{Limit: limit})
		audit(t, fmt.Sprint("limiter ", limit), limit, start, long, func() bool { return l.Allow("a") })
	}
}

func audit(t *testing.T, name string, limit ratelimit.Limit, start time.Time, long time.Duration, allow func() bool) {
	var admitted, calls atomic.Int64
	var group sync.WaitGroup
	for range 1000 {
		group.Go(func() {
			for time.Since(start) < long {
				for range 50 {
					calls.Add(1)
					if allow() {
						admitted.Add(1)
					}
				}
			}
		})
	}
	group.Wait()
	bound := float64(limit.Burst) + limit.Rate*time.Since(start).Seconds()
	t.Logf("%s: %d of %d calls admitted, %.6f of the bound", name, admitted.Load(), calls.Load(), float64(admitted.Load())/bound)
	require.LessOrEqual(t, float64(admitted.Load()), bound, name)
}

// A thousand goroutines take what they can, and a counter that all share is the clock, so the result does not depend on
// the machine. They get the burst and what flows in between the first instant and the last: not more, and hardly less.
//
// Half of the burst, 500 tokens or more, is taken at the first instant, and half a token flows in for each call. A call
// that is stopped between its reading of the clock and its take lets that flow in and takes nothing yet. There are at
// most a thousand such calls at a time, so what they let in is at most 500 tokens, and none of it finds the bucket
// full.
func TestAThousandGoroutinesGetAllThatFlowsIn(t *testing.T) {
	for _, limit := range []ratelimit.Limit{
		{Rate: 1000, Burst: 1000},
		{Rate: 1e6, Burst: 100_000},
		{Rate: 12_345.678, Burst: 50_000},
	} {
		b, err := ratelimit.NewBucket(limit)
		require.NoError(t, err)
		auditByALogicalClock(t, fmt.Sprint("bucket ", limit), limit, b.Ref())
		auditByALogicalClock(t, fmt.Sprint("limiter ", limit), limit, newLimiter(t, ratelimit.Config[string]{Limit: limit}).Ref("a"))
	}
}

func auditByALogicalClock(t *testing.T, name string, limit ratelimit.Limit, ref ratelimit.Ref) {
	start, step := time.Now(), time.Duration(0.5/limit.Rate*1e9)
	var ticks, admitted atomic.Int64
	take := func(n int64) bool {
		at := start.Add(time.Duration(ticks.Add(1)) * step)
		_, ok := ratelimit.TakeAll(at, n, []ratelimit.Ref{ref}, make([]ratelimit.Receipt, 1))
		if ok {
			admitted.Add(n)
		}
		return ok
	}
	require.True(t, take(limit.Burst/2))
	var group sync.WaitGroup
	for range 1000 {
		group.Go(func() {
			for range 5 * limit.Burst / 2000 { // one in five is refused
				take(1)
			}
		})
	}
	group.Wait()
	for take(1) { // what is left
	}
	bound := float64(limit.Burst) + limit.Rate*(time.Duration(ticks.Load()-1)*step).Seconds()
	t.Logf("%s: %d of %d calls, %.6f of the bound", name, admitted.Load(), ticks.Load(), float64(admitted.Load())/bound)
	require.LessOrEqual(t, float64(admitted.Load()), bound, name)
	require.GreaterOrEqual(t, float64(admitted.Load()), 0.99*bound-1, name)
}
