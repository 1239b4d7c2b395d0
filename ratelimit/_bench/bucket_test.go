package bench_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/didip/tollbooth/v7"
	"github.com/go-chi/httprate"
	juju "github.com/juju/ratelimit"
	"github.com/sethvargo/go-limiter/memorystore"
	"github.com/throttled/throttled/v2"
	"github.com/throttled/throttled/v2/store/memstore"
	ulule "github.com/ulule/limiter/v3"
	ululememory "github.com/ulule/limiter/v3/drivers/store/memory"
	uber "go.uber.org/ratelimit"
	xtime "golang.org/x/time/rate"

	"github.com/tallygate/tallygate/ratelimit"
)

// An allower is one limiter under test, set up so that it always or never admits.
type allower struct {
	impl  string
	allow func() bool
}

const (
	most       = 1 << 40 // a burst that no run uses up
	exactRate  = 1e6     // a token is 1000 ns
	anyRate    = 1234567.89
	never      = 1.0 / (365 * 86400)
	neverBurst = 1
)

func bucket(b *testing.B, rate float64, burst int64) *ratelimit.Bucket {
	bucket, err := ratelimit.NewBucket(ratelimit.Limit{Rate: rate, Burst: burst})
	if err != nil {
		b.Fatal(err)
	}
	return bucket
}

func admitting(b *testing.B) []allower {
	ctx := context.Background()
	ub := uber.New(1_000_000_000)
	jb := juju.NewBucketWithRate(1e9, most)
	xt := xtime.NewLimiter(exactRate, 1<<31-1)
	return []allower{
		{"floor", clock()},
		{"ours", bucket(b, exactRate, most).Allow},
		{"x-time", xt.Allow},
		{"uber", func() bool { ub.Take(); return true }},
		{"juju", func() bool { return jb.TakeAvailable(1) == 1 }},
		{"go-limiter", goLimiter(b, most, ctx)},
		{"throttled", throttledLimiter(b, 1_000_000_000, 1<<30)},
		{"ulule", ululeLimiter(ulule.Rate{Period: time.Hour, Limit: most}, ctx)},
		{"httprate", httprateLimiter(1<<31 - 1)},
		{"tollbooth", tollboothLimiter(1e9, 1<<31-1)},
	}
}

// refusing leaves out uber, which waits instead.
func refusing(b *testing.B) []allower {
	ctx := context.Background()
	jb := juju.NewBucket(1000*time.Hour, 1)
	xt := xtime.NewLimiter(never, neverBurst)
	all := []allower{
		{"floor", clock()},
		{"ours", bucket(b, never, neverBurst).Allow},
		{"x-time", xt.Allow},
		{"juju", func() bool { return jb.TakeAvailable(1) == 1 }},
		{"go-limiter", goLimiter(b, 1, ctx)},
		{"throttled", throttledLimiter(b, 1, 0)},
		{"ulule", ululeLimiter(ulule.Rate{Period: 1000 * time.Hour, Limit: 1}, ctx)},
		{"httprate", httprateLimiter(1)},
		{"tollbooth", tollboothLimiter(never, 1)},
	}
	for _, a := range all[1:] {
		a.allow()
		if a.allow() {
			b.Fatal(a.impl, "admits")
		}
	}
	return all
}

func clock() func() bool {
	start := time.Now()
	return func() bool { return time.Since(start) > 0 }
}

func goLimiter(b *testing.B, tokens uint64, ctx context.Context) func() bool {
	s, err := memorystore.New(&memorystore.Config{Tokens: tokens, Interval: 1000 * time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close(ctx) })
	return func() bool { _, _, _, ok, _ := s.Take(ctx, "a"); return ok }
}

func throttledLimiter(b *testing.B, perSecond, burst int) func() bool {
	store, err := memstore.NewCtx(0)
	if err != nil {
		b.Fatal(err)
	}
	l, err := throttled.NewGCRARateLimiterCtx(store, throttled.RateQuota{MaxRate: throttled.PerSec(perSecond), MaxBurst: burst})
	if err != nil {
		b.Fatal(err)
	}
	if perSecond == 1 {
		if l, err = throttled.NewGCRARateLimiterCtx(store, throttled.RateQuota{MaxRate: throttled.PerDay(1), MaxBurst: burst}); err != nil {
			b.Fatal(err)
		}
	}
	return func() bool { limited, _, _ := l.RateLimitCtx(context.Background(), "a", 1); return !limited }
}

func ululeLimiter(rate ulule.Rate, ctx context.Context) func() bool {
	l := ulule.New(ululememory.NewStore(), rate)
	return func() bool { c, _ := l.Get(ctx, "a"); return !c.Reached }
}

func httprateLimiter(n int) func() bool {
	l := httprate.NewRateLimiter(n, 1000*time.Hour, httprate.WithResponseHeaders(httprate.ResponseHeaders{}))
	w, r := newDiscard(), request()
	return func() bool { return !l.OnLimit(w, r, "a") }
}

func tollboothLimiter(perSecond float64, burst int) func() bool {
	l := tollbooth.NewLimiter(perSecond, nil).SetBurst(burst)
	keys := []string{"a"}
	return func() bool { return tollbooth.LimitByKeys(l, keys) == nil }
}

func serial(b *testing.B, all []allower) {
	for _, a := range all {
		b.Run("impl="+a.impl, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				a.allow()
			}
		})
	}
}

func parallel(b *testing.B, all []allower) {
	for _, a := range all {
		b.Run("impl="+a.impl, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					a.allow()
				}
			})
		})
	}
}

// BenchmarkAllow: one caller, one bucket, admitted. The floor is one reading of the clock.
func BenchmarkAllow(b *testing.B) {
	b.Run("rate=exact", func(b *testing.B) { serial(b, admitting(b)) })
	b.Run("rate=any", func(b *testing.B) {
		serial(b, []allower{
			{"floor", clock()},
			{"ours", bucket(b, anyRate, most).Allow},
			{"x-time", xtime.NewLimiter(anyRate, 1<<31-1).Allow},
		})
	})
}

// BenchmarkDeny: one caller, one empty bucket.
func BenchmarkDeny(b *testing.B) { serial(b, refusing(b)) }

// BenchmarkAllowParallel: all processors, one bucket, admitted. The floor is a bare compare-and-swap loop on one word;
// where a processor can keep the word's cache line for as long as it does nothing else, that hardly contends. clock-cas
// reads the clock before each swap, as no limiter can help doing.
func BenchmarkAllowParallel(b *testing.B) {
	all := admitting(b)
	var word struct {
		_ [128]byte
		atomic.Int64
		_ [128]byte
	}
	swap := func() bool {
		for {
			if u := word.Load(); word.CompareAndSwap(u, u+1) {
				return true
			}
		}
	}
	now := clock()
	all[0].allow = swap
	parallel(b, append(all, allower{"clock-cas", func() bool { return now() && swap() }}))
}

// BenchmarkDenyParallel: all processors, one empty bucket. The floor is a reading of the clock.
func BenchmarkDenyParallel(b *testing.B) { parallel(b, refusing(b)) }
