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

// A thousand goroutines take what they can. What they get, together with what is left in the end, is the burst and what
// has flowed in; never more, and hardly less. (The same audit of golang.org/x/time/rate is in _bench.)
func TestAudit(t *testing.T) {
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
		start := time.Now()
		b, err := ratelimit.NewBucket(limit)
		require.NoError(t, err)
		audit(t, fmt.Sprint("bucket ", limit), limit, start, long, b.Allow)

		start = time.Now()
		s, err := ratelimit.NewStriped(limit)
		require.NoError(t, err)
		audit(t, fmt.Sprint("striped ", limit), limit, start, long, s.Allow)

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
	before := time.Since(start)
	for range 2 * limit.Burst { // what nobody came for
		calls.Add(1)
		if !allow() {
			break
		}
		admitted.Add(1)
	}
	bound := float64(limit.Burst) + limit.Rate*time.Since(start).Seconds()
	ratio := float64(admitted.Load()) / bound
	t.Logf("%s: %d of %d calls admitted, %.6f of the bound", name, admitted.Load(), calls.Load(), ratio)
	require.LessOrEqual(t, float64(admitted.Load()), bound, name)
	if admitted.Load() < calls.Load() {
		// All that had flowed in before the last goroutine was done has been taken.
		require.GreaterOrEqual(t, float64(admitted.Load()), 0.99*(float64(limit.Burst)+limit.Rate*before.Seconds())-1, name)
	}
}
