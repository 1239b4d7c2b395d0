package bench_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	"github.com/throttled/throttled/v2"
	goredisstore "github.com/throttled/throttled/v2/store/goredisstore.v9"
	ulule "github.com/ulule/limiter/v3"
	ululeredis "github.com/ulule/limiter/v3/drivers/store/redis"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/redislimit"
)

// redisServer starts a Redis server that keeps nothing on disk, and returns its address and its process. A benchmark is
// skipped where there is none.
func redisServer(b *testing.B) (string, *exec.Cmd) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		b.Skip("redis-server is not installed")
	}
	addr := freeAddr(b)
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", b.TempDir(), "--save", "",
		"--appendonly", "no", "--logfile", filepath.Join(b.TempDir(), "log"))
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	c := redisClient(b, addr)
	for begun := time.Now(); c.Ping(context.Background()).Err() != nil; time.Sleep(time.Millisecond) {
		if time.Since(begun) > time.Minute {
			b.Fatal("the server does not answer")
		}
	}
	return addr, cmd
}

// freeAddr returns an address on which nobody listens. It has a random port below those that a system chooses itself,
// for connections and for listeners. So no program is given it before the server has it.
func freeAddr(b *testing.B) string {
	b.Helper()
	for range 100 {
		addr := fmt.Sprint("127.0.0.1:", 10_000+rand.IntN(20_000))
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = l.Close()
			return addr
		}
	}
	b.Fatal("no port is free")
	return ""
}

func redisClient(b *testing.B, addr string) *redis.Client {
	c := redis.NewClient(&redis.Options{
		Addr: addr, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1, PoolSize: goroutines,
	})
	b.Cleanup(func() { _ = c.Close() })
	return c
}

// goroutines is how many ask at a time.
const goroutines = 64

// A sharedTaker takes a token by way of a server, and reports an error. It must never be refused.
type sharedTaker struct {
	impl string
	make func(b *testing.B, c *redis.Client, limit ratelimit.Limit) func(key string) error
}

var sharedTakers = []sharedTaker{
	{"ours", func(b *testing.B, c *redis.Client, limit ratelimit.Limit) func(string) error {
		l := sharedLimiter(b, redislimit.Config{Client: c, Budget: time.Second})
		return func(key string) error { return takeShared(l, key, limit) }
	}},
	{"redis-rate", func(_ *testing.B, c *redis.Client, _ ratelimit.Limit) func(string) error {
		l := redis_rate.NewLimiter(c)
		return func(key string) error {
			_, err := l.Allow(context.Background(), key, redis_rate.Limit{Rate: 1e6, Burst: 1 << 30, Period: time.Second})
			return err
		}
	}},
	{"throttled", func(b *testing.B, c *redis.Client, _ ratelimit.Limit) func(string) error {
		store, err := goredisstore.NewCtx(c, "throttled:")
		if err != nil {
			b.Fatal(err)
		}
		l, err := throttled.NewGCRARateLimiterCtx(store, throttled.RateQuota{MaxRate: throttled.PerSec(1e6), MaxBurst: 1 << 30})
		if err != nil {
			b.Fatal(err)
		}
		return func(key string) error { _, _, err := l.RateLimitCtx(context.Background(), key, 1); return err }
	}},
	{"ulule", func(b *testing.B, c *redis.Client, _ ratelimit.Limit) func(string) error {
		store, err := ululeredis.NewStore(c)
		if err != nil {
			b.Fatal(err)
		}
		l := ulule.New(store, ulule.Rate{Period: time.Hour, Limit: 1 << 40})
		return func(key string) error { _, err := l.Get(context.Background(), key); return err }
	}},
}

func sharedLimiter(b *testing.B, c redislimit.Config) *redislimit.Limiter {
	c.Namespace, c.Nodes = "bench", 8
	l, err := redislimit.New(c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	return l
}

var bucketName = []string{""}

func takeShared(l *redislimit.Limiter, key string, limit ratelimit.Limit) error {
	limits, d := [1]ratelimit.Limit{limit}, [1]ratelimit.Decision{}
	_, err := l.Take(context.Background(), key, bucketName, limits[:], d[:])
	return err
}

// BenchmarkShared: one token by way of a server, taken by 64 goroutines from 64 buckets or from one. The peers have one
// mode, so they appear with each of ours. errors is the share of calls that failed; p99-ns is the time of a call.
func BenchmarkShared(b *testing.B) {
	for _, mode := range []struct {
		name  string
		limit ratelimit.Limit
	}{
		{"strict", ratelimit.Limit{Rate: 700, Burst: 1 << 38}},
		{"leased", ratelimit.Limit{Rate: 1e8, Burst: 1 << 40}},
	} {
		for _, keys := range []int{1, 64} {
			b.Run("mode="+mode.name+"/keys="+strconv.Itoa(keys), func(b *testing.B) {
				addr, _ := redisServer(b)
				for _, s := range sharedTakers {
					b.Run("impl="+s.impl, func(b *testing.B) {
						takeAtOnce(b, s.make(b, redisClient(b, addr), mode.limit), keyNames(keys))
					})
				}
			})
		}
	}
}

// takeAtOnce calls take by 64 goroutines.
func takeAtOnce(b *testing.B, take func(string) error, keys []string) {
	var failed, worker atomic.Int64
	var mu sync.Mutex
	var took []time.Duration
	procs := max(goroutines/max(testingProcs(), 1), 1)
	b.SetParallelism(procs)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		key := keys[int(worker.Add(1))%len(keys)]
		var mine []time.Duration
		for i := 0; pb.Next(); i++ {
			if i%16 != 0 { // a sample, as reading the clock takes as long as a local decision
				if take(key) != nil {
					failed.Add(1)
				}
				continue
			}
			start := time.Now()
			if take(key) != nil {
				failed.Add(1)
			}
			mine = append(mine, time.Since(start))
		}
		mu.Lock()
		defer mu.Unlock()
		took = append(took, mine...)
	})
	b.StopTimer()
	b.ReportMetric(float64(failed.Load())/float64(b.N), "errors")
	reportQuantiles(b, took)
}

func reportQuantiles(b *testing.B, took []time.Duration) {
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2]), "p50-ns")
	b.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
}
