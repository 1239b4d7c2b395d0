package bench_test

import (
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/redislimit"
)

func testingProcs() int { return runtime.GOMAXPROCS(0) }

// BenchmarkAway: requests while the server hangs or is gone, by each policy. first-ns is the request that finds out; it
// waits for a Budget of 5 ms at most. p99-ns is of those after it, which never wait.
func BenchmarkAway(b *testing.B) {
	for _, fault := range []string{"hangs", "killed"} {
		for _, policy := range []redislimit.Policy{redislimit.Refuse, redislimit.Allow, redislimit.LocalShare} {
			b.Run("fault="+fault+"/policy="+policy.String()+"/impl=ours", func(b *testing.B) {
				addr, server := redisServer(b)
				l := sharedLimiter(b, redislimit.Config{Client: redisClient(b, addr), Away: policy})
				limit := ratelimit.Limit{Rate: 700, Burst: 1 << 38}
				for range 100 {
					_ = takeShared(l, "key", limit)
				}
				if fault == "hangs" {
					_ = server.Process.Signal(syscall.SIGSTOP)
				} else {
					_, _ = server.Process.Kill(), server.Wait()
				}
				start := time.Now()
				_ = takeShared(l, "key", limit)
				first := time.Since(start)
				took := make([]time.Duration, 0, 1<<16)
				for b.Loop() {
					start := time.Now()
					_ = takeShared(l, "key", limit)
					if len(took) < cap(took) {
						took = append(took, time.Since(start))
					}
				}
				b.ReportMetric(float64(first), "first-ns")
				reportQuantiles(b, took)
				b.ReportMetric(float64(l.Stats().Failures), "failures")
			})
		}
	}
}
