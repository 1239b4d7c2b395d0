package bench_test

import (
	"context"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/didip/tollbooth/v7"
	"github.com/go-chi/httprate"
	"github.com/sethvargo/go-limiter/httplimit"
	"github.com/sethvargo/go-limiter/memorystore"
	"github.com/throttled/throttled/v2"
	"github.com/throttled/throttled/v2/store/memstore"
	ulule "github.com/ulule/limiter/v3"
	ululehttp "github.com/ulule/limiter/v3/drivers/middleware/stdlib"
	ululememory "github.com/ulule/limiter/v3/drivers/store/memory"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/clientip"
)

// A discard is a ResponseWriter that costs next to nothing.
type discard struct{ header http.Header }

func newDiscard() *discard                     { return &discard{http.Header{}} }
func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

func request() *http.Request {
	r, err := http.NewRequest("GET", "/", nil)
	if err != nil {
		panic(err)
	}
	r.RemoteAddr = "192.0.2.1:4711"
	return r
}

// ours limits by client address. The burst is in the range of what services grant, and never used up.
func ours(b *testing.B, c ratelimit.Config[netip.Prefix]) func(http.Handler) http.Handler {
	ip, err := clientip.New(clientip.Config{})
	if err != nil {
		b.Fatal(err)
	}
	c.Limit, c.Key = ratelimit.Limit{Rate: 1e8, Burst: 4000}, ip.Prefix
	return limiter(b, c).Handler
}

func byHTTPRate(options ...httprate.Option) func(http.Handler) http.Handler {
	key := httprate.WithKeyFuncs(func(r *http.Request) (string, error) {
		return httprate.CanonicalizeIP(hostOf(r.RemoteAddr)), nil
	})
	return httprate.NewRateLimiter(1<<31-1, time.Hour, append(options, key)...).Handler
}

func hostOf(addr string) string {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return addr
	}
	return a.Addr().String()
}

// BenchmarkHandler: one caller, a middleware keyed by the client's address around an empty handler, admitted. The floor
// is the handler alone.
func BenchmarkHandler(b *testing.B) {
	bare := func(h http.Handler) http.Handler { return h }
	noFields := httprate.WithResponseHeaders(httprate.ResponseHeaders{})
	b.Run("headers=none", func(b *testing.B) {
		handle(b, "floor", bare)
		handle(b, "ours", ours(b, ratelimit.Config[netip.Prefix]{}))
		handle(b, "httprate", byHTTPRate(noFields))
	})
	b.Run("headers=x", func(b *testing.B) {
		handle(b, "floor", bare)
		handle(b, "ours", ours(b, ratelimit.Config[netip.Prefix]{XRateLimit: true}))
		handle(b, "httprate", byHTTPRate())
		handle(b, "go-limiter", byGoLimiter(b))
		handle(b, "throttled", byThrottled(b))
		handle(b, "ulule", ululehttp.NewMiddleware(ulule.New(ululememory.NewStore(), ulule.Rate{Period: time.Hour, Limit: most})).Handler)
		handle(b, "tollbooth", func(h http.Handler) http.Handler {
			l := tollbooth.NewLimiter(1e9, nil).SetBurst(1<<31 - 1).SetIPLookups([]string{"RemoteAddr"})
			return tollbooth.LimitHandler(l, h)
		})
	})
	b.Run("headers=ietf", func(b *testing.B) {
		handle(b, "floor", bare)
		handle(b, "ours", ours(b, ratelimit.Config[netip.Prefix]{Name: "default"}))
		handle(b, "httprate", byHTTPRate(httprate.WithResponseHeaders(httprate.ResponseHeaders{
			Limit: "RateLimit-Limit", Remaining: "RateLimit-Remaining", Reset: "RateLimit-Reset",
		})))
	})
}

func byGoLimiter(b *testing.B) func(http.Handler) http.Handler {
	s, err := memorystore.New(&memorystore.Config{Tokens: most, Interval: 1000 * time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close(context.Background()) })
	m, err := httplimit.NewMiddleware(s, httplimit.IPKeyFunc())
	if err != nil {
		b.Fatal(err)
	}
	return m.Handle
}

func byThrottled(b *testing.B) func(http.Handler) http.Handler {
	store, err := memstore.NewCtx(0)
	if err != nil {
		b.Fatal(err)
	}
	l, err := throttled.NewGCRARateLimiterCtx(store, throttled.RateQuota{MaxRate: throttled.PerSec(1e9), MaxBurst: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	m := throttled.HTTPRateLimiterCtx{RateLimiter: l, VaryBy: &throttled.VaryBy{RemoteAddr: true}}
	return m.RateLimit
}

func handle(b *testing.B, impl string, middleware func(http.Handler) http.Handler) {
	b.Run("impl="+impl, func(b *testing.B) {
		admitted := 0
		h := middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { admitted++ }))
		w, r := newDiscard(), request()
		calls := 0
		b.ReportAllocs()
		for b.Loop() {
			clear(w.header)
			h.ServeHTTP(w, r)
			calls++
		}
		if admitted != calls {
			b.Fatal(impl, "refused", calls-admitted, "of", calls)
		}
	})
}
