package bench_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/window"
)

// BenchmarkObserve: what an observer that does nothing adds to a middleware around an empty handler, admitted.
func BenchmarkObserve(b *testing.B) {
	path := func(r *http.Request) (string, bool) { return r.URL.Path, true }
	observers := map[string]func(context.Context, ratelimit.Event){"nil": nil, "empty": func(context.Context, ratelimit.Event) {}}
	b.Run("layer=ratelimit", func(b *testing.B) {
		for _, impl := range []string{"nil", "empty"} {
			c := ratelimit.Config[string]{Limit: ratelimit.Limit{Rate: 1e8, Burst: 4000}, Key: path, Observe: observers[impl]}
			handle(b, impl, limiter(b, c).Handler)
		}
	})
	b.Run("layer=window", func(b *testing.B) {
		for _, impl := range []string{"nil", "empty"} {
			l, err := window.New(window.Config[string]{AtMost: window.AtMost{Limit: 1 << 31, Window: 1000 * time.Hour}, Key: path, Observe: observers[impl]})
			if err != nil {
				b.Fatal(err)
			}
			handle(b, impl, l.Handler)
		}
	})
	b.Run("layer=rule", func(b *testing.B) {
		for _, impl := range []string{"nil", "empty"} {
			rule, err := window.NewRateRule(window.RuleConfig{Limit: 2_000_000_000, Aggregate: []window.Component{window.Path()}, Observe: observers[impl]})
			if err != nil {
				b.Fatal(err)
			}
			handle(b, impl, rule.Handler)
		}
	})
}
