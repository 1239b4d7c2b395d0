package ratelimit_test

import (
	"context"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
)

func client(r *http.Request) (string, bool) {
	key := r.Header.Get("Client")
	return key, key != ""
}

func inFlight(t *testing.T, c ratelimit.InFlightConfig[string]) *ratelimit.InFlight[string] {
	t.Helper()
	f, err := ratelimit.NewInFlight(c)
	require.NoError(t, err)
	return f
}

func of(name string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Client", name)
	return r
}

func TestInFlightBoundsEachKeyAndAll(t *testing.T) {
	f := inFlight(t, ratelimit.InFlightConfig[string]{Limit: 2, Total: 3})
	require.True(t, f.Acquire("a"))
	require.True(t, f.Acquire("a"))
	require.False(t, f.Acquire("a"), "its limit")
	require.True(t, f.Acquire("b"))
	require.False(t, f.Acquire("b"), "the total")
	require.Equal(t, 1, f.Running("b"), "a refused request holds no place")
	f.Release("a")
	require.True(t, f.Acquire("b"))
	f.Release("a")
	f.Release("b")
	f.Release("b")
	for _, key := range []string{"a", "b"} {
		require.Zero(t, f.Running(key))
		require.PanicsWithValue(t, "ratelimit: Release without Acquire", func() { f.Release(key) })
	}
}

func TestInFlightBoundsTheTotalAlone(t *testing.T) {
	f := inFlight(t, ratelimit.InFlightConfig[string]{Total: 1})
	require.True(t, f.Acquire("a"))
	require.False(t, f.Acquire("b"))
	f.Release("a")
	require.True(t, f.Acquire("b"))
	f.Release("b")
	for range 2 { // a server recovers from the panic, and goes on
		require.PanicsWithValue(t, "ratelimit: Release without Acquire", func() { f.Release("b") })
	}
	require.True(t, f.Acquire("a"))
	require.False(t, f.Acquire("b"), "the total still holds")
}

func TestAcquireWithinBoundsByTheLimitOfEachCall(t *testing.T) {
	f := inFlight(t, ratelimit.InFlightConfig[string]{Limit: 1, Total: 6})
	for range 5 {
		require.True(t, f.AcquireWithin("a", 5))
	}
	require.False(t, f.AcquireWithin("a", 5))
	require.False(t, f.Acquire("a"), "the limit of the configuration")
	for range 2 {
		require.False(t, f.AcquireWithin("a", 3), "the limit was lowered")
		f.Release("a")
	}
	require.False(t, f.AcquireWithin("a", 3), "3 still run")
	f.Release("a")
	require.True(t, f.AcquireWithin("a", 3))
	require.True(t, f.AcquireWithin("a", math.MaxInt))
	require.True(t, f.AcquireWithin("b", 3))
	require.True(t, f.AcquireWithin("c", 3))
	require.False(t, f.AcquireWithin("d", 3), "the total")
	for _, limit := range []int{0, -1, math.MinInt} {
		require.False(t, f.AcquireWithin("b", limit), limit)
	}
	require.Equal(t, []int{4, 1, 1, 0}, []int{f.Running("a"), f.Running("b"), f.Running("c"), f.Running("d")})
	without := inFlight(t, ratelimit.InFlightConfig[string]{Total: 1})
	require.False(t, without.AcquireWithin("a", 1), "it counts no keys")
	require.True(t, without.Acquire("a"))
}

// What runs in the handler never exceeds the bounds, over handlers that return, panic or abort, and clients that leave.
func TestHandlerNeverRunsMoreThanMay(t *testing.T) {
	const limit, total = 3, 5
	var running, most, served atomic.Int64
	var byKey [2]atomic.Int64
	f := inFlight(t, ratelimit.InFlightConfig[string]{Limit: limit, Total: total, Key: client})
	server := httptest.NewServer(f.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := int(r.Header.Get("Client")[0] - 'a')
		n := running.Add(1)
		defer running.Add(-1)
		if mine := byKey[i].Add(1); mine > limit || n > total {
			most.Store(max(mine, n))
		}
		defer byKey[i].Add(-1)
		switch served.Add(1) % 4 {
		case 0:
			panic(http.ErrAbortHandler)
		case 1:
			time.Sleep(5 * time.Millisecond) // longer than some clients wait
		}
	})))
	defer server.Close()
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for n := range 40 {
				patience := 3 * time.Millisecond
				if n%4 == 0 {
					patience = time.Minute // of a client that is served on a busy machine too
				}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				r, _ := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
				r.Header.Set("Client", string(rune('a'+i%2)))
				if res, err := server.Client().Do(r); err == nil {
					_ = res.Body.Close()
				}
				cancel()
			}
		})
	}
	wg.Wait()
	server.Close() // waits for the handlers
	require.Zero(t, most.Load())
	require.Positive(t, served.Load())
	require.Zero(t, f.Running("a")+f.Running("b"))
	for range total {
		require.True(t, f.Acquire("a") || f.Acquire("b"), "all places are free again")
	}
}

func TestInFlightAnswers(t *testing.T) {
	f := inFlight(t, ratelimit.InFlightConfig[string]{Limit: 1, Key: client})
	release, err := f.Check(of("a"))
	require.NoError(t, err)
	w := httptest.NewRecorder()
	f.Handler(http.NotFoundHandler()).ServeHTTP(w, of("a"))
	require.Equal(t, http.StatusTooManyRequests, w.Code)
	require.Equal(t, "TooManyRequestsException", w.Header().Get("X-Amzn-ErrorType"))
	require.JSONEq(t, `{"message":"Too Many Requests"}`, w.Body.String())
	require.Empty(t, w.Header().Get("Retry-After"), "nobody knows when a request ends")
	none, err := f.Check(of("a"))
	require.ErrorIs(t, err, ratelimit.ErrInFlight)
	none()
	release()
	release()
	require.Zero(t, f.Running("a"))
	_, err = f.Check(of(""))
	require.ErrorIs(t, err, ratelimit.ErrNoKey)
}

func TestInFlightDespite(t *testing.T) {
	var events []string
	f := inFlight(t, ratelimit.InFlightConfig[string]{
		Limit: 1, Key: client, Name: "streams",
		AllowDespite: func(*http.Request, error) bool { return true },
		Observe: func(_ context.Context, e ratelimit.Event) {
			events = append(events, e.Layer+" "+e.Outcome+" "+e.Reason+" "+e.Plan+" "+e.Client)
		},
	})
	release, err := f.Check(of("a"))
	require.NoError(t, err)
	despite, err := f.Check(of("a"))
	require.NoError(t, err)
	require.Equal(t, 1, f.Running("a"), "it does not count")
	despite()
	require.Equal(t, 1, f.Running("a"))
	release()
	require.Equal(t, []string{"in flight allowed  streams a", "in flight despite in_flight streams a"}, events)
}

// A server recovers from a panic of the application's functions, so the request must leave no place taken.
func TestInFlightAfterAPanicOfTheApplication(t *testing.T) {
	for name, c := range map[string]ratelimit.InFlightConfig[string]{
		"Observe":                  {Observe: func(context.Context, ratelimit.Event) { panic("of the application") }},
		"RequestID":                {Observe: func(context.Context, ratelimit.Event) {}, RequestID: func(*http.Request) string { panic("of the application") }},
		"the end of the goroutine": {Observe: func(context.Context, ratelimit.Event) { runtime.Goexit() }},
	} {
		t.Run(name, func(t *testing.T) {
			c.Limit, c.Total, c.Key = 1, 1, client
			f := inFlight(t, c)
			for _, call := range []func(){
				func() { _, _ = f.Check(of("a")) },
				func() { f.Handler(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), of("a")) },
			} {
				done := make(chan struct{})
				go func() {
					defer close(done)
					defer func() { _ = recover() }()
					call()
				}()
				<-done
				require.Zero(t, f.Running("a"))
				require.True(t, f.Acquire("b"), "of all")
				f.Release("b")
			}
		})
	}
}

func TestNewInFlightReportsAllMistakes(t *testing.T) {
	_, err := ratelimit.NewInFlight(ratelimit.InFlightConfig[string]{Limit: 65_536, Total: -1})
	require.ErrorContains(t, err, "Limit 65536")
	require.ErrorContains(t, err, "Total -1")
	_, err = ratelimit.NewInFlight(ratelimit.InFlightConfig[string]{})
	require.ErrorContains(t, err, "Limit or Total is required")
}

func TestZeroInFlightRefuses(t *testing.T) {
	for _, f := range []*ratelimit.InFlight[string]{nil, {}} {
		require.False(t, f.Acquire("a"))
		require.False(t, f.AcquireWithin("a", 1))
		require.Zero(t, f.Running("a"))
		_, err := f.Check(of("a"))
		require.ErrorIs(t, err, ratelimit.ErrNotConfigured)
		w := httptest.NewRecorder()
		f.Handler(http.NotFoundHandler()).ServeHTTP(w, of("a"))
		require.Equal(t, http.StatusInternalServerError, w.Code)
		require.Panics(t, func() { f.Release("a") })
	}
	f := inFlight(t, ratelimit.InFlightConfig[string]{Limit: 1})
	_, err := f.Check(of("a"))
	require.ErrorIs(t, err, ratelimit.ErrNotConfigured)
}
