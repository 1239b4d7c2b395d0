package bench_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/RussellLuo/slidingwindow"
	"github.com/go-chi/httprate"

	"github.com/tallygate/tallygate/ratelimit/window"
)

func atMost(b *testing.B, n int64) func() bool {
	l, err := window.New(window.Config[string]{AtMost: window.AtMost{Limit: n, Window: 1000 * time.Hour}})
	if err != nil {
		b.Fatal(err)
	}
	return func() bool { return l.Allow("a") }
}

// slidingWindow has no keys: it is one limiter.
func slidingWindow(n int64) func() bool {
	l, _ := slidingwindow.NewLimiter(1000*time.Hour, n, func() (slidingwindow.Window, slidingwindow.StopFunc) {
		return slidingwindow.NewLocalWindow()
	})
	return l.Allow
}

// BenchmarkWindow: at most N in W, one key; the floor is the clock.
func BenchmarkWindow(b *testing.B) {
	all := func(n int64) []allower {
		return []allower{
			{"floor", clock()},
			{"ours", atMost(b, n)},
			{"httprate", httprateLimiter(int(n))},
			{"slidingwindow", slidingWindow(n)},
		}
	}
	b.Run("verdict=allow", func(b *testing.B) { serial(b, all(1<<31-1)) })
	b.Run("verdict=deny", func(b *testing.B) {
		refusing := all(1)
		for _, a := range refusing {
			a.allow()
		}
		serial(b, refusing)
	})
	b.Run("verdict=allow/parallel", func(b *testing.B) { parallel(b, all(1<<31-1)) })
}

func rateRule(b *testing.B, by ...window.Component) func(http.Handler) http.Handler {
	rule, err := window.NewRateRule(window.RuleConfig{Limit: 2_000_000_000, Aggregate: by})
	if err != nil {
		b.Fatal(err)
	}
	return rule.Handler
}

// BenchmarkRateRule: one caller, a middleware around an empty handler, admitted: by the client's address, and by a
// header, a query argument and the path as well. The floor is the handler alone.
func BenchmarkRateRule(b *testing.B) {
	bare := func(h http.Handler) http.Handler { return h }
	noFields := httprate.WithResponseHeaders(httprate.ResponseHeaders{})
	b.Run("by=ip", func(b *testing.B) {
		handle(b, "floor", bare)
		handle(b, "ours", rateRule(b, window.IP()))
		handle(b, "httprate", byHTTPRate(noFields))
	})
	b.Run("by=four", func(b *testing.B) {
		// The request that handle sends has neither; what it lacks is put in before the rule sees it.
		dress := func(rule func(http.Handler) http.Handler) func(http.Handler) http.Handler {
			return func(next http.Handler) http.Handler {
				h := rule(next)
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.RawQuery == "" {
						r.URL.RawQuery = "page=2&q=shoes"
						r.Header.Set("X-Tenant", "acme")
					}
					h.ServeHTTP(w, r)
				})
			}
		}
		handle(b, "floor", dress(bare))
		handle(b, "ours", dress(rateRule(b, window.IP(), window.Header("X-Tenant"), window.QueryArgument("q"), window.Path())))
		handle(b, "httprate", dress(httprate.NewRateLimiter(1<<31-1, time.Hour, noFields, httprate.WithKeyFuncs(
			func(r *http.Request) (string, error) { return httprate.CanonicalizeIP(hostOf(r.RemoteAddr)), nil },
			func(r *http.Request) (string, error) { return r.Header.Get("X-Tenant"), nil },
			func(r *http.Request) (string, error) { return r.URL.Query().Get("q"), nil },
			httprate.KeyByEndpoint,
		)).Handler))
	})
}
