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
	require.NoError(t, own.SetKeyLimit("a", ratelimit.Limit{Rate: 1e6, Burst: 1e6}))
	type pair struct {
		user string
		path string
	}
	pairs, err := ratelimit.New(ratelimit.Config[pair]{Limit: ratelimit.Limit{Rate: 1e6, Burst: 1e6}})
	require.NoError(t, err)
	for name, call := range map[string]func() bool{
		"bucket":        func() bool { return b.Allow() && b.Take(2).OK },
		"wait":          func() bool { return b.Wait(context.Background(), 1) == nil },
		"refusal":       func() bool { return !empty.Allow() && !empty.Take(1).OK },
		"refund":        func() bool { b.Refund(1); l.Refund("a", 1); return true },
		"peek":          func() bool { return b.Peek().OK && l.Peek("a").OK },
		"limiter":       func() bool { return l.Allow("a") && l.Take("a", 2).OK },
		"own limit":     func() bool { return own.Allow("a") && own.Take("a", 2).OK },
		"composite key": func() bool { return pairs.Allow(pair{"a", "/"}) },
		"all":           func() bool { d, _ := ratelimit.All(1, b.Ref(), l.Ref("a"), l.Ref("b"), own.Ref("a")); return d.OK },
		"allow at": func() bool {
			_, ok := ratelimit.AllowAt(time.Now(), 1, []ratelimit.Ref{b.Ref(), l.Ref("a"), l.Ref("b")}, make([]ratelimit.Taken, 3))
			return ok
		},
		"all, refusing":  func() bool { d, i := ratelimit.All(1, b.Ref(), l.Ref("a"), empty.Ref()); return !d.OK && i == 2 },
		"all, giving up": func() bool { d, i := ratelimit.All(1, empty.Ref(), b.Ref()); return !d.OK && i == 0 },
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

func TestHandlerAllocations(t *testing.T) {
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
