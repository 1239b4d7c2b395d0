//go:build !race

package ratelimit_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
)

func TestTakingDoesNotAllocate(t *testing.T) {
	b := newBucket(t, 1e6, 1e6)
	empty := newBucket(t, 0, 1)
	require.True(t, empty.Allow())
	l := newLimiter(t, ratelimit.Config[string]{Limit: ratelimit.Limit{Rate: 1e6, Burst: 1e6}})
	own := newLimiter(t, ratelimit.Config[string]{Limit: ratelimit.Limit{Rate: 1, Burst: 1}})
	require.NoError(t, own.SetKeyLimit("a", &ratelimit.Limit{Rate: 1e6, Burst: 1e6}))
	type pair struct {
		user string
		path string
	}
	pairs, err := ratelimit.New(ratelimit.Config[pair]{Limit: ratelimit.Limit{Rate: 1e6, Burst: 1e6}})
	require.NoError(t, err)
	for name, call := range map[string]func() bool{
		"bucket":  func() bool { return b.Allow() && b.Take(2).OK },
		"wait":    func() bool { return b.Wait(context.Background(), 1) == nil },
		"refusal": func() bool { return !empty.Allow() && !empty.Take(1).OK },
		"undo": func() bool {
			first, second := b.Ref().Take(time.Now(), 2), l.Ref("a").Take(time.Now(), 2)
			first.Undo(1)
			second.Undo(1)
			return first.Decision().RetryAfter == ratelimit.Never
		},
		"reserve":       func() bool { _, delay := b.Reserve(1); return delay == 0 },
		"peek":          func() bool { return b.Peek().OK && l.Peek("a").OK },
		"limiter":       func() bool { return l.Allow("a") && l.Take("a", 2).OK },
		"own limit":     func() bool { return own.Allow("a") && own.Take("a", 2).OK },
		"composite key": func() bool { return pairs.Allow(pair{"a", "/"}) },
		"take all": func() bool {
			refs := []ratelimit.Ref{b.Ref(), l.Ref("a"), l.Ref("b"), own.Ref("a")}
			_, ok := ratelimit.TakeAll(time.Now(), 1, refs, make([]ratelimit.Receipt, 4))
			return ok
		},
		"take all, the last refuses": func() bool {
			i, ok := ratelimit.TakeAll(time.Now(), 1, []ratelimit.Ref{b.Ref(), l.Ref("a"), empty.Ref()}, make([]ratelimit.Receipt, 3))
			return !ok && i == 2
		},
		"take all, the first refuses": func() bool {
			i, ok := ratelimit.TakeAll(time.Now(), 1, []ratelimit.Ref{empty.Ref(), b.Ref()}, make([]ratelimit.Receipt, 2))
			return !ok && i == 0
		},
	} {
		require.Zero(t, testing.AllocsPerRun(100, func() {
			if !call() {
				t.Error(name)
			}
		}), name)
	}
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

func TestHandlerHardlyAllocates(t *testing.T) {
	steady, falling := ratelimit.Limit{Rate: 1e9, Burst: 4000}, ratelimit.Limit{Rate: 0, Burst: 4000}
	for _, test := range []struct {
		config ratelimit.Config[string]
		atMost float64
	}{
		{ratelimit.Config[string]{Limit: steady}, 0},
		{ratelimit.Config[string]{Limit: steady, Name: "default"}, 1},
		{ratelimit.Config[string]{Limit: falling, Name: "default"}, 1},
		{ratelimit.Config[string]{Limit: steady, XRateLimit: true}, 6}, // three slices, and three texts
		{ratelimit.Config[string]{Limit: falling, XRateLimit: true}, 4},
		{ratelimit.Config[string]{Limit: steady, Name: "default", XRateLimit: true}, 7},
	} {
		test.config.Key = func(r *http.Request) (string, bool) { return r.Host, true }
		h := newLimiter(t, test.config).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		w, r := discard{http.Header{}}, &http.Request{Host: "a"}
		require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
			clear(w.header)
			h.ServeHTTP(w, r)
		}), test.atMost, "%+v", test.config)
	}
}

// An event travels in registers, and all allowed requests share a verdict. With ids, each has a verdict of its own. A
// refusal costs its error and its verdict.
func TestObservingAllowedRequestsDoesNotAllocate(t *testing.T) {
	var cost int64
	c := ratelimit.Config[string]{
		Limit:   ratelimit.Limit{Rate: 1e9, Burst: 4000},
		Key:     func(r *http.Request) (string, bool) { return r.Host, r.Host != "" },
		Observe: func(_ context.Context, e ratelimit.Event) { cost += e.Cost },
	}
	observed := newLimiter(t, c)
	c.RequestID = func(*http.Request) string { return "id" }
	named := newLimiter(t, c)
	w, r := discard{http.Header{}}, &http.Request{Host: "a"}
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for _, test := range []struct {
		limiter *ratelimit.Limiter[string]
		want    float64
	}{{observed, 0}, {named, 1}} {
		h := test.limiter.Handler(next)
		require.Equal(t, test.want, testing.AllocsPerRun(100, func() { h.ServeHTTP(w, r) }))
		require.Equal(t, test.want, testing.AllocsPerRun(100, func() { _, _ = test.limiter.Check(r) }))
	}
	require.Equal(t, int64(4*101), cost)
	keyless := &http.Request{}
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _, _ = named.Check(keyless) }), 2.0)
}

func TestKeysThatAreNoStringsAreNotBoxed(t *testing.T) {
	type pair struct{ user, path string }
	l, err := ratelimit.New(ratelimit.Config[pair]{
		Limit:   ratelimit.Limit{Rate: 1e9, Burst: 4000},
		Key:     func(r *http.Request) (pair, bool) { return pair{r.Host, r.Method}, true },
		Observe: func(context.Context, ratelimit.Event) {},
	})
	require.NoError(t, err)
	r := &http.Request{Host: "a", Method: "GET"}
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = l.Check(r) }))
}

// Of many keys a part is looked at: more than 20 000, so 5 % are seven standard errors. The test is slow under the race
// detector, which learns nothing from one goroutine.
func TestStatsEstimateManyKeys(t *testing.T) {
	const keys = 100_000
	l, err := ratelimit.New(ratelimit.Config[int]{Limit: ratelimit.Limit{Burst: 1}})
	require.NoError(t, err)
	for key := range keys {
		l.Allow(key)
	}
	require.InEpsilon(t, keys, l.Stats().Keys, 0.05)
}

func TestBoundingWhatRunsDoesNotAllocate(t *testing.T) {
	f := inFlight(t, ratelimit.InFlightConfig[string]{Limit: 1, Total: 10, Key: client})
	require.True(t, f.Acquire("busy"))
	ok, refused := of("a"), of("busy")
	nothing := f.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for name, call := range map[string]func() bool{
		"admitted": func() bool { f.Release("busy"); return f.Acquire("busy") },
		"refused":  func() bool { return !f.Acquire("busy") },
		"handler":  func() bool { nothing.ServeHTTP(nil, ok); return f.Running("a") == 0 },
	} {
		require.True(t, call(), name)
		require.Zero(t, testing.AllocsPerRun(1000, func() { call() }), name)
	}
	_, err := f.Check(refused)
	require.ErrorIs(t, err, ratelimit.ErrInFlight)
}
