package bench_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	xtime "golang.org/x/time/rate"

	"github.com/tallygate/tallygate/ratelimit"
)

// TestAudit prints (-v) what a thousand goroutines get in one second, as a share of burst + rate × Δ.
func TestAudit(t *testing.T) {
	for _, limit := range []ratelimit.Limit{{Rate: 1000, Burst: 1000}, {Rate: 100_000, Burst: 100_000}, {Rate: 1e6, Burst: 100_000}} {
		start := time.Now()
		b, err := ratelimit.NewBucket(limit)
		if err != nil {
			t.Fatal(err)
		}
		ours := share(limit, start, b.Allow)
		if ours > 1 {
			t.Errorf("%v: ours admits %.4f of the bound", limit, ours)
		}
		start = time.Now()
		theirs := share(limit, start, xtime.NewLimiter(xtime.Limit(limit.Rate), int(limit.Burst)).Allow)
		t.Logf("%v: ours %.4f, x-time %.4f", limit, ours, theirs)
	}
}

func share(limit ratelimit.Limit, start time.Time, allow func() bool) float64 {
	var admitted atomic.Int64
	var group sync.WaitGroup
	for range 1000 {
		group.Go(func() {
			for time.Since(start) < time.Second {
				if allow() {
					admitted.Add(1)
				}
			}
		})
	}
	group.Wait()
	return float64(admitted.Load()) / (float64(limit.Burst) + limit.Rate*time.Since(start).Seconds())
}
