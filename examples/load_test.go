package examples_test

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// heavy is n where the environment asks for full counts, else a tenth of it.
func heavy(n int) int {
	if os.Getenv("TALLYGATE_HEAVY") != "" {
		return n
	}
	return n / 10
}

// metered is a keyed and metered handler, and what may be changed behind it.
type metered struct {
	keys  *apikey.Verifier
	meter *usageplan.Meter
	http.Handler
}

func newMetered(t *testing.T, quota int64) metered {
	t.Helper()
	keys, err := apikey.New(apikey.Config{Keys: []apikey.Entry{
		{Key: apikey.Key{ID: "fr92a5qpbj", Enabled: true}, Value: keyValue},
	}})
	require.NoError(t, err)
	quotas, err := ledger.New(ledger.Config{Engine: ledger.NewMemory()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, quotas.Close()) })
	meter, err := usageplan.New(usageplan.Config{
		Client: apikey.ID, API: "a", Stage: "Prod", Ledger: quotas,
		Plans:   []usageplan.Plan{limited(quota)},
		Members: []usageplan.Member{{Plan: "p", Client: "fr92a5qpbj"}},
	})
	require.NoError(t, err)
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	return metered{keys, meter, keys.Handler(meter.Handler(ok))}
}

func limited(quota int64) usageplan.Plan {
	return usageplan.Plan{
		ID: "p", Name: "P", Throttle: &ratelimit.Limit{Rate: 1e9, Burst: 1e9},
		Quotas: []ledger.Quota{{Limit: quota, Period: ledger.Monthly}},
		Stages: []usageplan.Stage{{API: "a", Name: "Prod"}},
	}
}

func putPlan(t *testing.T, m *usageplan.Meter, p usageplan.Plan) {
	t.Helper()
	_, err := m.UpdatePlan(t.Context(), p.ID, func(now *usageplan.Plan) error { *now = p; return nil })
	require.NoError(t, err)
}

// status is a response writer that keeps nothing but the status.
type status struct {
	header http.Header
	code   int
}

func (s *status) Header() http.Header            { return s.header }
func (s *status) Write(text []byte) (int, error) { return len(text), nil }
func (s *status) WriteHeader(code int)           { s.code = code }

// callers serves requests from so many goroutines until each has had n, or until one says stop.
func callers(goroutines, n int, one func(worker, i int) (stop bool)) {
	var all sync.WaitGroup
	for worker := range goroutines {
		all.Go(func() {
			for i := range n {
				if one(worker, i) {
					return
				}
			}
		})
	}
	all.Wait()
}

// Millions of unknown keys leave no memory and no goroutines behind.
func TestUnknownKeysLeaveNothing(t *testing.T) {
	n := heavy(2_000_000)
	m := newMetered(t, 1<<40)
	serve := func(n int) {
		callers(2, n/2, func(worker, i int) bool {
			r := get()
			r.Pattern = "GET /Prod/x"
			w := &status{header: make(http.Header)}
			for j := range 1000 {
				r.Header["X-Api-Key"] = []string{fmt.Sprintf("unknown-key-%d-%d-%d-of-forty", worker, i, j)}
				if m.ServeHTTP(w, r); w.code != http.StatusForbidden {
					t.Errorf("got %d", w.code)
					return true
				}
				clear(w.header)
			}
			return false
		})
	}
	serve(10)
	before := footprint()
	goroutines := runtime.NumGoroutine()
	serve(n / 1000)
	require.Less(t, footprint(), before+1<<20, "bytes of heap")
	for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > goroutines; time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(end), "goroutines stay") // the last callers may be about to end
	}
}

// footprint is the live heap in bytes.
func footprint() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools held at the first
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// A change acts on the very next request, in the middle of load.
func TestChangesActOnTheNextRequest(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, m metered)
		want   int
	}{
		{"key disabled", func(t *testing.T, m metered) {
			_, err := m.keys.Update(t.Context(), "fr92a5qpbj", func(k *apikey.Key) error { k.Enabled = false; return nil })
			require.NoError(t, err)
		}, http.StatusForbidden},
		{"quota lowered", func(t *testing.T, m metered) {
			p := limited(1)
			putPlan(t, m.meter, p)
		}, http.StatusTooManyRequests},
		{"throttle lowered", func(t *testing.T, m metered) {
			p := limited(1 << 40)
			p.Throttle = &ratelimit.Limit{Burst: 1}
			putPlan(t, m.meter, p)
			_, _ = m.meter.Take(t.Context(), usageplan.Request{Client: "fr92a5qpbj", Route: usageplan.Route{API: "a", Stage: "Prod"}}) // the one token
		}, http.StatusTooManyRequests},
		{"member taken out", func(t *testing.T, m metered) {
			require.NoError(t, m.meter.RemoveMembers(t.Context(), "fr92a5qpbj", "p"))
		}, http.StatusForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMetered(t, 1<<40)
			var served atomic.Int64
			var changed atomic.Bool
			done := make(chan struct{})
			go func() {
				defer close(done)
				callers(8, 1<<30, func(int, int) bool {
					r := get()
					r.Pattern, r.Header["X-Api-Key"] = "GET /Prod/x", []string{keyValue}
					w := &status{header: make(http.Header)}
					after := changed.Load()
					m.ServeHTTP(w, r)
					served.Add(1)
					if after && w.code != tt.want {
						t.Errorf("%d after the change", w.code)
					}
					return after
				})
			}()
			for served.Load() < 1000 {
				runtime.Gosched()
			}
			tt.change(t, m)
			changed.Store(true)
			<-done
		})
	}
}
