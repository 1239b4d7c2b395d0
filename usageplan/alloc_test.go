//go:build !race

package usageplan_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// busy is a meter that never refuses: two throttles and a quota.
func busy(t testing.TB, edits ...func(*usageplan.Config)) *usageplan.Meter {
	quotas, err := ledger.New(ledger.Config{Engine: ledger.NewMemory()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, quotas.Close()) })
	c := usageplan.Config{
		Client: caller, API: "pets", Stage: "dev", Ledger: quotas,
		Plans: []usageplan.Plan{{
			ID: "p", Name: "P", Throttle: &ratelimit.Limit{Rate: 1e9, Burst: 1e9}, Quotas: daily(1 << 50),
			Stages: []usageplan.Stage{{API: "pets", Name: "dev", Methods: map[string]ratelimit.Limit{"/cats/GET": {Rate: 1e9, Burst: 1e9}}}},
		}},
		Members: []usageplan.Member{{Plan: "p", Client: "a"}},
	}
	for _, edit := range edits {
		edit(&c)
	}
	m, err := usageplan.New(c)
	require.NoError(t, err)
	return m
}

func TestTakeDoesNotAllocate(t *testing.T) {
	for name, quotas := range map[string][]ledger.Quota{"a quota": daily(1 << 50), "no quota": nil} {
		m, q, ctx := busy(t, func(c *usageplan.Config) {
			c.Plans[0].Quotas, c.Journal, c.MaxStale = quotas, journal.Memory(0), time.Hour
		}), getCats("a"), t.Context()
		require.Zero(t, testing.AllocsPerRun(1000, func() {
			if _, err := m.Take(ctx, q); err != nil {
				panic(err)
			}
		}), name)
	}
}

// A place is one object. It costs nothing where nothing bounds what runs.
func TestPlaceAllocations(t *testing.T) {
	m, q, ctx := busy(t, func(c *usageplan.Config) {
		c.InFlight, c.Plans[0].InFlight = 9, usageplan.InFlight{Client: 9, Total: 9}
	}), getCats("a"), t.Context()
	require.EqualValues(t, 1, testing.AllocsPerRun(1000, func() {
		c, err := m.Take(ctx, q)
		if err != nil {
			panic(err)
		}
		c.Release()
	}))
	plain, w, r := busy(t).Handler(http.NotFoundHandler()), &fields{http.Header{}}, catsOf("a")
	require.Equal(t, 1+allocs(w, plain, r), allocs(w, m.Handler(http.NotFoundHandler()), r))
}

// free is a throttle that grants everything.
type free struct{}

func (free) Take(_ context.Context, _ string, _ []string, _ []ratelimit.Limit, decisions []ratelimit.Decision) (int, error) {
	granting(decisions)
	return -1, nil
}

func (free) GiveBack(string, []string, []ratelimit.Limit) {}

// What a request takes from Config.Throttle is one object, and the name of the group is another. The throttle "/*/*" has
// a name for each route, which is a third.
func TestSharedThrottleAllocations(t *testing.T) {
	m, ctx := busy(t, func(c *usageplan.Config) {
		c.Throttle, c.Plans[0].Stages[0].Methods["/*/*"] = free{}, ratelimit.Limit{Rate: 1e9, Burst: 1e9}
	}), t.Context()
	for resource, want := range map[string]float64{"/cats": 2, "/dogs": 3} {
		q := getCats("a")
		q.Route.Resource = resource
		require.Equal(t, want, testing.AllocsPerRun(1000, func() {
			if _, err := m.Take(ctx, q); err != nil {
				panic(err)
			}
		}), resource)
	}
}

// A route that is spelled differently from its throttle does not allocate either.
func TestMatchDoesNotAllocate(t *testing.T) {
	m, ctx := busy(t, func(c *usageplan.Config) {
		for _, key := range []string{"/cats/{id}/GET", "/dogs/{proxy+}/ANY", "~1birds/GET"} {
			c.Plans[0].Stages[0].Methods[key] = ratelimit.Limit{Rate: 1e9, Burst: 1e9}
		}
	}), t.Context()
	for _, resource := range []string{"/cats/{catId}", "/dogs/{rest...}", "/dogs/", "/dogs/*", "/birds/{$}", "/", "/{...}", "/fish/{id}"} {
		q := getCats("a")
		q.Route.Resource = resource
		require.Zero(t, testing.AllocsPerRun(1000, func() {
			if _, err := m.Take(ctx, q); err != nil {
				panic(err)
			}
		}), resource)
	}
}

// Without ChargeInContext, the handler gets the very request that the meter got.
func TestHandlerAllocations(t *testing.T) {
	for _, tt := range []struct {
		asked bool
		more  float64 // than a decision and its header fields take
	}{{false, 0}, {true, 2}} { // a context and a request
		m := busy(t, func(c *usageplan.Config) { c.ChargeInContext = tt.asked })
		r := httptest.NewRequest(http.MethodGet, "/dev/cats", nil)
		r.Header.Set("Verified-Client", "a")
		r.Pattern = "GET /dev/cats"
		h := m.Handler(http.HandlerFunc(func(_ http.ResponseWriter, inner *http.Request) {
			charge, found := usageplan.FromContext(inner.Context())
			if found != tt.asked || (inner == r) == tt.asked || tt.asked && charge.Client != "a" {
				panic("charge")
			}
		}))
		w := &fields{http.Header{}}
		least := testing.AllocsPerRun(1000, func() {
			clear(w.header)
			charge, err := m.Check(r)
			if err != nil {
				panic(err)
			}
			charge.SetHeader(w.header)
		})
		require.Equal(t, least+tt.more, testing.AllocsPerRun(1000, func() {
			clear(w.header)
			h.ServeHTTP(w, r)
		}))
	}
}

// fields is a writer that keeps its header alone.
type fields struct{ header http.Header }

func (f *fields) Header() http.Header          { return f.header }
func (*fields) Write(text []byte) (int, error) { return len(text), nil }
func (*fields) WriteHeader(int)                {}

func TestCheckDoesNotAllocate(t *testing.T) {
	m := busy(t)
	r := httptest.NewRequest(http.MethodGet, "/dev/cats", nil)
	r.Header.Set("Verified-Client", "a")
	r.Pattern = "GET /dev/cats"
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		if _, err := m.Check(r); err != nil {
			panic(err)
		}
	}))
}

// A request that is allowed is told without an allocation, unless the application names it: then it has a verdict of
// its own.
func TestObserveAllocations(t *testing.T) {
	events := 0
	observe := func(_ context.Context, e usageplan.Event) {
		if e.Outcome != "allowed" {
			panic(e.Reason)
		}
		events++
	}
	for _, tt := range []struct {
		name      string
		requestID func(*http.Request) string
		take      float64
		check     float64
	}{
		{"without ids", nil, 0, 0},
		{"with ids", func(*http.Request) string { return "id" }, 0, 1},
	} {
		m, q, ctx, r := busy(t, func(c *usageplan.Config) { c.Observe, c.RequestID = observe, tt.requestID }), getCats("a"), t.Context(), catsOf("a")
		least := busy(t)
		h, plain, w := m.Handler(http.NotFoundHandler()), least.Handler(http.NotFoundHandler()), &fields{http.Header{}}
		for name, call := range map[string]struct {
			want float64
			call func()
		}{
			"Take":    {tt.take, func() { _, _ = m.Take(ctx, q) }},
			"Check":   {tt.check, func() { _, _ = m.Check(r) }},
			"Handler": {tt.check + allocs(w, plain, r), func() { clear(w.header); h.ServeHTTP(w, r) }},
		} {
			events = 0
			require.Equal(t, call.want, testing.AllocsPerRun(1000, call.call), "%s, %s", tt.name, name)
			require.Equal(t, 1001, events, "AllocsPerRun calls once more to warm up")
		}
	}
}

func allocs(w *fields, h http.Handler, r *http.Request) float64 {
	return testing.AllocsPerRun(1000, func() { clear(w.header); h.ServeHTTP(w, r) })
}

func TestAcceptIsReadWithoutAllocatingIfThereIsNone(t *testing.T) {
	h := http.Header{"User-Agent": {"curl/8"}}
	require.Zero(t, testing.AllocsPerRun(100, func() { usageplan.PrefersHTML(h) }))
}
