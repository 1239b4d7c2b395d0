package bench_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/didip/tollbooth/v7"
	"github.com/go-chi/httprate"
	"github.com/puzpuzpuz/xsync/v4"
	"github.com/sethvargo/go-limiter/memorystore"
	"github.com/throttled/throttled/v2"
	"github.com/throttled/throttled/v2/store/memstore"
	ulule "github.com/ulule/limiter/v3"
	ululememory "github.com/ulule/limiter/v3/drivers/store/memory"
	xtime "golang.org/x/time/rate"

	"github.com/tallygate/tallygate/ratelimit"
)

// million is a million, or with -short ten thousand, which shows that a benchmark runs and measures nothing.
var million = 1_000_000

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		million /= 100
	}
	os.Exit(m.Run())
}

// limit lets every key owe something for as long as a run takes, so that all of them stand in the table.
var limit = ratelimit.Limit{Rate: 0.01, Burst: 1 << 23}

func limiter[K comparable](b *testing.B, c ratelimit.Config[K]) *ratelimit.Limiter[K] {
	l, err := ratelimit.New(c)
	if err != nil {
		b.Fatal(err)
	}
	return l
}

func newXTime() *xtime.Limiter { return xtime.NewLimiter(100_000, 1<<31-1) }

// A keyedAllower is a keyed limiter under test that always admits.
type keyedAllower struct {
	impl string
	make func(b *testing.B) func(key string) bool
}

var keyedAllowers = []keyedAllower{
	{"ours", func(b *testing.B) func(string) bool {
		return limiter(b, ratelimit.Config[string]{Limit: limit, MaxKeys: million}).Allow
	}},
	{"x-time-xsync", func(*testing.B) func(string) bool {
		m := xsync.NewMap[string, *xtime.Limiter]()
		return func(key string) bool {
			l, ok := m.Load(key)
			if !ok {
				l, _ = m.LoadOrStore(key, newXTime())
			}
			return l.Allow()
		}
	}},
	{"x-time-syncmap", func(*testing.B) func(string) bool {
		var m sync.Map
		return func(key string) bool {
			l, ok := m.Load(key)
			if !ok {
				l, _ = m.LoadOrStore(key, newXTime())
			}
			return l.(*xtime.Limiter).Allow()
		}
	}},
	{"go-limiter", func(b *testing.B) func(string) bool {
		ctx := context.Background()
		s, err := memorystore.New(&memorystore.Config{Tokens: most, Interval: 1000 * time.Hour})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = s.Close(ctx) })
		return func(key string) bool { _, _, _, ok, _ := s.Take(ctx, key); return ok }
	}},
	{"throttled", func(b *testing.B) func(string) bool {
		store, err := memstore.NewCtx(0)
		if err != nil {
			b.Fatal(err)
		}
		l, err := throttled.NewGCRARateLimiterCtx(store, throttled.RateQuota{MaxRate: throttled.PerSec(1e9), MaxBurst: 1 << 30})
		if err != nil {
			b.Fatal(err)
		}
		return func(key string) bool { limited, _, _ := l.RateLimitCtx(context.Background(), key, 1); return !limited }
	}},
	{"ulule", func(*testing.B) func(string) bool {
		l := ulule.New(ululememory.NewStore(), ulule.Rate{Period: time.Hour, Limit: most})
		ctx := context.Background()
		return func(key string) bool { c, _ := l.Get(ctx, key); return !c.Reached }
	}},
	{"httprate", func(*testing.B) func(string) bool {
		l := httprate.NewRateLimiter(1<<31-1, 1000*time.Hour, httprate.WithResponseHeaders(httprate.ResponseHeaders{}))
		w, r := newDiscard(), request()
		return func(key string) bool { return !l.OnLimit(w, r, key) }
	}},
	{"tollbooth", func(*testing.B) func(string) bool {
		l := tollbooth.NewLimiter(1e9, nil).SetBurst(1<<31 - 1)
		return func(key string) bool { return tollbooth.LimitByKeys(l, []string{key}) == nil }
	}},
}

func keyNames(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = "client-" + strconv.Itoa(i*7919)
	}
	return keys
}

// asked are keys as requests bring them: few of them are frequent (Zipf, s = 1.07), as clients are, and each text has
// just been read and is not the one that a limiter may have kept.
func asked(keys []string, seed uint64) []string {
	index := func() uint64 { return 0 }
	if n := len(keys); n > 1 {
		index = rand.NewZipf(rand.New(rand.NewPCG(seed, 2)), 1.07, 1, uint64(n-1)).Uint64
	}
	a := make([]string, askedLen)
	for i := range a {
		a[i] = strings.Clone(keys[index()])
	}
	return a
}

const askedLen = 1 << 18

// BenchmarkKeyed: all processors, string keys that have all been seen, all admitted. The floor is the clock.
func BenchmarkKeyed(b *testing.B) {
	for _, size := range []struct {
		name string
		keys int
	}{{"1", 1}, {"1k", 1000}, {"1M", million}} {
		b.Run("keys="+size.name, func(b *testing.B) {
			keys := keyNames(size.keys)
			texts := [][]string{asked(keys, 1), asked(keys, 2)}
			limit.Rate, limit.Burst = 0.01, 1<<23
			if size.keys == 1 {
				limit.Rate, limit.Burst = exactRate, most
			}
			for _, k := range append([]keyedAllower{{"floor", func(*testing.B) func(string) bool {
				now := clock()
				return func(string) bool { return now() }
			}}}, keyedAllowers...) {
				full := sync.OnceValue(func() func(string) bool {
					allow := k.make(b)
					for _, key := range keys {
						allow(key)
					}
					return allow
				})
				b.Run("impl="+k.impl, func(b *testing.B) {
					allow := full()
					var worker sync.Mutex
					workers := 0
					b.ReportAllocs()
					b.ResetTimer()
					b.RunParallel(func(pb *testing.PB) {
						worker.Lock()
						mine := texts[workers%len(texts)]
						workers++
						worker.Unlock()
						for i := 0; pb.Next(); i++ {
							allow(mine[i%askedLen])
						}
					})
				})
			}
		})
	}
}

// BenchmarkMemory: what a million keys take on the heap, key texts excluded, and the most they take at any moment on
// the way from 100 000.
func BenchmarkMemory(b *testing.B) {
	keys := keyNames(million)
	limit.Rate, limit.Burst = 0.01, 1<<23
	for _, k := range keyedAllowers {
		b.Run("impl="+k.impl, func(b *testing.B) {
			for b.Loop() {
				bytes, objects, growing := memory(b, k, keys)
				b.ReportMetric(bytes, "B/key")
				b.ReportMetric(objects, "objects/key")
				b.ReportMetric(growing, "growing-B/key")
			}
		})
	}
}

func memory(b *testing.B, k keyedAllower, keys []string) (bytes, objects, growing float64) {
	var before, after runtime.MemStats
	live := func(m *runtime.MemStats) {
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(m)
	}
	live(&before)
	allow := k.make(b)
	for i, key := range keys {
		allow(key)
		if n := i + 1; n >= million/10 && n%(million/20) == 0 {
			live(&after)
			growing = max(growing, float64(after.HeapAlloc-before.HeapAlloc)/float64(n))
		}
	}
	n := float64(len(keys))
	bytes, objects = float64(after.HeapAlloc-before.HeapAlloc)/n, float64(after.HeapObjects-before.HeapObjects)/n
	runtime.KeepAlive(allow)
	return bytes, objects, growing
}

// BenchmarkStall: how long single calls take while a million keys expire and others come: quantiles over two million
// calls. The floor calls the clock alone: what it shows is the machine's.
func BenchmarkStall(b *testing.B) {
	keys, fresh := keyNames(million), make([]string, million)
	for i := range fresh {
		fresh[i] = "other-" + strconv.Itoa(i)
	}
	for _, k := range []keyedAllower{
		{"floor", func(*testing.B) func(string) bool {
			now := clock()
			return func(string) bool { return now() }
		}},
		{"ours", func(b *testing.B) func(string) bool {
			l := limiter(b, ratelimit.Config[string]{Limit: ratelimit.Limit{Rate: 2, Burst: 2}, MaxKeys: million})
			return l.Allow
		}},
		{"go-limiter", func(b *testing.B) func(string) bool {
			ctx := context.Background()
			s, err := memorystore.New(&memorystore.Config{
				Tokens: 2, Interval: time.Second, SweepInterval: time.Second / 2, SweepMinTTL: time.Second / 2,
			})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = s.Close(ctx) })
			return func(key string) bool { _, _, _, ok, _ := s.Take(ctx, key); return ok }
		}},
		{"httprate", func(*testing.B) func(string) bool {
			l := httprate.NewRateLimiter(2, time.Second/2, httprate.WithResponseHeaders(httprate.ResponseHeaders{}))
			w, r := newDiscard(), request()
			return func(key string) bool { return !l.OnLimit(w, r, key) }
		}},
	} {
		b.Run("impl="+k.impl, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				took := stall(k.make(b), keys, fresh)
				b.StartTimer()
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2]), "p50-ns")
				b.ReportMetric(float64(took[len(took)-len(took)/1000]), "p99.9-ns")
				b.ReportMetric(float64(took[len(took)-max(1, len(took)/100_000)]), "p99.999-ns")
				b.ReportMetric(float64(took[len(took)-1]), "max-ns")
			}
		})
	}
}

// stall fills a limiter and then calls it for as long as its keys expire, for old and new keys in turn.
func stall(allow func(string) bool, keys, fresh []string) []time.Duration {
	for _, key := range keys {
		allow(key)
	}
	runtime.GC()
	took := make([]time.Duration, 0, 2*len(keys))
	at := time.Now()
	for i := range keys {
		for _, key := range [...]string{keys[i], fresh[i]} {
			allow(key)
			now := time.Now()
			took = append(took, now.Sub(at))
			at = now
		}
	}
	return took
}

// BenchmarkReconfigure1M: another rate for a million keys. After it, each key is called once: the metrics tell what
// those calls took on average and at worst, as carrying over what the keys owe is left to them.
func BenchmarkReconfigure1M(b *testing.B) {
	keys := keyNames(million)
	b.Run("impl=ours", func(b *testing.B) {
		full := func() *ratelimit.Limiter[string] {
			l := limiter(b, ratelimit.Config[string]{Limit: ratelimit.Limit{Rate: 1, Burst: 1000}, MaxKeys: million})
			for _, key := range keys {
				l.Take(key, 1000)
			}
			return l
		}
		l := full()
		rates := []float64{2, 100, 1e5, 3.7}
		n := 0
		for b.Loop() {
			if err := l.SetLimit(ratelimit.Limit{Rate: rates[n%len(rates)], Burst: 1000}); err != nil {
				b.Fatal(err)
			}
			n++
		}
		settle := func() (worst, total time.Duration) {
			for _, key := range keys {
				start := time.Now()
				l.Allow(key)
				took := time.Since(start)
				worst, total = max(worst, took), total+took
			}
			return worst, total
		}
		l = full() // a shard pays a little for each change since it was last asked, and that were many
		if err := l.SetLimit(ratelimit.Limit{Rate: 2, Burst: 1000}); err != nil {
			b.Fatal(err)
		}
		worst, total := settle()
		b.ReportMetric(float64(total)/float64(million), "settle-mean-ns")
		b.ReportMetric(float64(worst), "settle-max-ns")
	})
	b.Run("impl=x-time", func(b *testing.B) {
		all := make([]*xtime.Limiter, million)
		for i := range all {
			all[i] = newXTime()
		}
		n := 0
		for b.Loop() {
			for _, l := range all {
				l.SetLimit(xtime.Limit(1 + n%2))
			}
			n++
		}
	})
}

func Example_keyNames() {
	fmt.Println(keyNames(2))
	// Output: [client-0 client-7919]
}
