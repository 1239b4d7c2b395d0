//go:build !race

package window_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/clientip"
	"github.com/tallygate/tallygate/ratelimit/window"
)

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

func TestDecidingDoesNotAllocate(t *testing.T) {
	at := window.AtMost{Limit: 1 << 31, Window: time.Hour}
	byKey := newLimiter(t, window.Config[string]{AtMost: at, Key: byHost})
	full := newLimiter(t, window.Config[string]{AtMost: window.AtMost{Limit: 1, Window: time.Hour}})
	byNet, err := window.New(window.Config[netip.Prefix]{AtMost: at})
	require.NoError(t, err)
	network := netip.MustParsePrefix("192.0.2.0/24")
	client, err := clientip.New(clientip.Config{Header: "X-Forwarded-For", Hops: 1})
	require.NoError(t, err)
	rule := newRule(t, window.RuleConfig{Limit: 2_000_000_000, Aggregate: []window.Component{
		window.ForwardedIP(client), window.Header("User-Agent"), window.Cookie("s"), window.QueryArgument("q"), window.Path(),
	}})
	r := httptest.NewRequest("GET", "http://a/b?p=1&%71=a%20b+c", nil)
	r.Header.Set("X-Forwarded-For", "192.0.2.1")
	r.Header.Set("User-Agent", "curl")
	r.Header.Set("Cookie", "a=1; s=2")
	limiterHandler, ruleHandler := byKey.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})), rule.Handler(passed)
	w := discard{http.Header{}}
	for name, call := range map[string]func() bool{
		"take":            func() bool { return byKey.Take("a", 2).OK && byKey.Allow("b") },
		"refusal":         func() bool { full.Allow("a"); return !full.Take("a", 1).OK },
		"peek":            func() bool { return byKey.Peek("a").OK },
		"network":         func() bool { return byNet.Allow(network) },
		"limiter handler": func() bool { limiterHandler.ServeHTTP(w, r); return true },
		"rule":            func() bool { d, err := rule.Check(r); return err == nil && d.Limit > 0 },
		"rule handler":    func() bool { ruleHandler.ServeHTTP(w, r); return true },
	} {
		require.Zero(t, testing.AllocsPerRun(100, func() {
			if !call() {
				t.Error(name)
			}
		}), name)
	}
}

// A blocked request costs its Error, and nothing else.
func TestBlockingAllocatesTheErrorOnly(t *testing.T) {
	rule := newRule(t, byIP())
	r := from("192.0.2.1:1")
	for range 20 {
		_, _ = rule.Check(r)
	}
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _, _ = rule.Check(r) }), 1.0)
}

// A million limited addresses take 64 MB at most, and each has a place of its own, but for one or two in ten million.
func TestAMillionKeysFitIn64MB(t *testing.T) {
	const keys = 1_000_000
	rule := func() window.Engine { return window.NewEngine(window.AtMost{Limit: 10, Window: time.Minute}, 0, true) }
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	e := rule()
	for i := range uint64(keys) {
		for range 11 {
			e.TakeAt(0, name(i), 1)
		}
	}
	used := heap() - before
	for i := range uint64(keys) {
		require.False(t, e.LookAt(time.Minute, name(i), 1).OK)
	}
	t.Logf("%.1f bytes a key, %d of 512 shards share cells", float64(used)/keys, e.Shared())
	require.LessOrEqual(t, used, uint64(64_000_000))
	require.LessOrEqual(t, e.Shared(), 5)
	runtime.KeepAlive(e)
}

// An event travels in registers, and all allowed requests share a verdict.
func TestObservingAllowedRequestsDoesNotAllocate(t *testing.T) {
	var told int64
	observe := func(_ context.Context, e ratelimit.Event) { told += e.Cost }
	l := newLimiter(t, window.Config[string]{AtMost: window.AtMost{Limit: 1 << 31, Window: time.Hour}, Key: byHost, Observe: observe})
	rule := newRule(t, window.RuleConfig{Limit: 2_000_000_000, Aggregate: []window.Component{window.IP()}, Observe: observe})
	w, r := discard{http.Header{}}, from("192.0.2.1:1")
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for name, h := range map[string]http.Handler{"limiter": l.Handler(next), "rule": rule.Handler(next)} {
		require.Zero(t, testing.AllocsPerRun(100, func() { h.ServeHTTP(w, r) }), name)
	}
	require.Equal(t, int64(2*101), told)
}

// Of many keys a part is looked at: more than 20 000, so 5 % are seven standard errors. The test is slow under the race
// detector, which learns nothing from one goroutine.
func TestStatsEstimateManyKeys(t *testing.T) {
	const keys = 100_000
	l, err := window.New(window.Config[int]{AtMost: window.AtMost{Limit: 1, Window: time.Hour}})
	require.NoError(t, err)
	for key := range keys {
		l.Allow(key)
	}
	require.InEpsilon(t, keys, l.Stats().Keys, 0.05)
}
