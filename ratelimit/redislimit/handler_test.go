package redislimit_test

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/redislimit"
)

func byUser(r *http.Request) (string, bool) {
	user := r.Header.Get("User")
	return user, user != ""
}

// get asks a handler as a user, and returns the answer.
func get(h http.Handler, user string) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
	if user != "" {
		r.Header.Set("User", user)
	}
	h.ServeHTTP(w, r)
	return w
}

var hello = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) })

// TestHandler: the answers, the header fields and the events of requests that pass and of others.
func TestHandler(t *testing.T) {
	var events []ratelimit.Event
	l := limiter(t, redislimit.Config{
		Client: client(t, start(t).addr), Limit: ratelimit.Limit{Rate: 0.001, Burst: 3}, Key: byUser,
		Name: "fleet", XRateLimit: true,
		Observe: func(_ context.Context, e ratelimit.Event) { events = append(events, e) },
	})
	h := l.Handler(hello)
	for range 2 {
		w := get(h, "ann")
		require.Equal(t, 200, w.Code)
		require.Equal(t, `"fleet";q=3;w=3000`, w.Header().Get("RateLimit-Policy"))
		require.Equal(t, "3", w.Header().Get("X-RateLimit-Limit"))
	}
	w := get(h, "ann")
	require.Equal(t, 429, w.Code)
	require.Equal(t, `{"message":"Too Many Requests"}`, w.Body.String())
	require.Equal(t, "0", w.Header().Get("X-RateLimit-Remaining"))
	require.NotEmpty(t, w.Header().Get("Retry-After"))
	require.NotEmpty(t, w.Header().Get("X-Amzn-RequestId"))
	require.Equal(t, 403, get(h, "").Code)
	require.Equal(t, 200, get(h, "bob").Code)
	var got []string
	for _, e := range events {
		require.Equal(t, "redislimit", e.Layer)
		require.Equal(t, "fleet", e.Plan)
		got = append(got, e.Outcome+" "+e.Reason+" "+e.Client)
	}
	require.Equal(t, []string{"allowed  ann", "allowed  ann", "refused limited ann", "refused no_key ", "allowed  bob"}, got)
}

// TestDespite: AllowDespite lets a request pass that the limit refuses.
func TestDespite(t *testing.T) {
	l := limiter(t, redislimit.Config{
		Client: client(t, start(t).addr), Limit: ratelimit.Limit{Rate: 0, Burst: 1}, Key: byUser,
		AllowDespite: func(_ *http.Request, err error) bool { return errors.Is(err, ratelimit.ErrLimited) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(418) },
	})
	for range 3 {
		require.Equal(t, 200, get(l.Handler(hello), "ann").Code)
	}
	require.Equal(t, 418, get(l.Handler(hello), "").Code)
}

// TestNotConfigured: what New did not make refuses with 500, and so does a limiter without Key.
func TestNotConfigured(t *testing.T) {
	var zero redislimit.Limiter
	for _, l := range []*redislimit.Limiter{nil, &zero, limiter(t, redislimit.Config{Client: client(t, freeAddr(t))})} {
		require.Equal(t, 500, get(l.Handler(hello), "ann").Code)
		_, err := l.Check(httptest.NewRequest("GET", "/", nil))
		require.ErrorIs(t, err, ratelimit.ErrNotConfigured)
		_, err = l.Take(t.Context(), "g", []string{""}, nil, nil)
		require.ErrorIs(t, err, ratelimit.ErrNotConfigured)
		_, err = l.Take(t.Context(), "g", []string{""}, []ratelimit.Limit{{Rate: math.NaN()}}, make([]ratelimit.Decision, 1))
		require.ErrorIs(t, err, ratelimit.ErrNotConfigured)
		l.GiveBack("g", []string{""}, nil)
		require.NoError(t, l.Close())
		_ = l.Stats()
	}
}

// TestCanceledRequest: a request that was canceled is not decided, and takes nothing.
func TestCanceledRequest(t *testing.T) {
	l := limiter(t, redislimit.Config{Client: client(t, start(t).addr)})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := l.Take(ctx, "g", []string{""}, []ratelimit.Limit{{Rate: 1, Burst: 1}}, make([]ratelimit.Decision, 1))
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, ratelimit.ErrUnavailable)
	require.Zero(t, l.Stats().Calls)
}

// TestNewReportsEachMistake: New joins the mistakes of the configuration and of the client's options.
func TestNewReportsEachMistake(t *testing.T) {
	c := redis.NewClient(&redis.Options{Addr: freeAddr(t), ReadTimeout: -1})
	defer c.Close()
	_, err := redislimit.New(redislimit.Config{
		Client: c, Namespace: "{api}", Budget: -1, Away: 7, MaxGroups: -1, Key: byUser, Name: "é",
	})
	for _, want := range []string{
		`redislimit: namespace "{api}" is not 1 to 64 letters, digits and .-_: signs`,
		"redislimit: Nodes 0 is not within 1 to 65536",
		"redislimit: Budget -1ns is not within 0 to 1 minute",
		"redislimit: Away is 7, which is no policy",
		"redislimit: MaxGroups -1 is negative",
		"redislimit: limit: ratelimit: burst 0 is not within 1 to 2^60 tokens",
		`redislimit: Name "é" is not printable ASCII`,
		"redislimit: the client ignores contexts: set ContextTimeoutEnabled",
		"redislimit: the client waits forever: ReadTimeout or WriteTimeout is negative",
		"redislimit: the client dials a server that is gone again and again: set DialerRetries to 1",
	} {
		require.ErrorContains(t, err, want)
	}
	cluster := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: []string{freeAddr(t)}, RouteRandomly: true, MaxRedirects: -1, ContextTimeoutEnabled: true,
	})
	defer cluster.Close()
	ring := redis.NewRing(&redis.RingOptions{})
	defer ring.Close()
	for want, c := range map[string]redis.UniversalClient{
		"redislimit: no client":            nil,
		"the client is a *redis.Ring, not": ring,
		"the client asks replicas":         cluster,
		"MaxRedirects is negative":         cluster,
	} {
		_, err := redislimit.New(redislimit.Config{Client: c, Namespace: "api", Nodes: 1})
		require.ErrorContains(t, err, want)
	}
	_, err = redislimit.New(redislimit.Config{Client: (*redis.Client)(nil), Namespace: "api", Nodes: 1})
	require.ErrorContains(t, err, "redislimit: no client")
}

// TestGroupsAreBounded: a client that changes its key all the time does not fill the memory.
func TestGroupsAreBounded(t *testing.T) {
	l := limiter(t, redislimit.Config{Client: client(t, start(t).addr), MaxGroups: 128})
	limits := map[string]ratelimit.Limit{"": {Rate: 1, Burst: 5}}
	for i := range 2000 {
		take(t, l, string(rune(i+1)), limits, "")
	}
	require.LessOrEqual(t, l.Stats().Groups, 128)
}
