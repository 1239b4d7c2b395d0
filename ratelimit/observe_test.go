package ratelimit_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
)

// told collects the events that an observer is told.
type told []ratelimit.Event

func (t *told) observe(_ context.Context, e ratelimit.Event) { *t = append(*t, e) }

func always(*http.Request, error) bool { return true }

func mux(pattern string, h http.Handler) http.Handler {
	m := http.NewServeMux()
	m.Handle(pattern, h)
	return m
}

// One decision is one event, with the answer that the client gets.
func TestEachDecisionIsToldOnce(t *testing.T) {
	for _, test := range []struct {
		name   string
		config ratelimit.Config[string]
		user   string
		cost   string
		taken  int64 // before the request
		status int
		want   ratelimit.Event
	}{
		{
			"allowed",
			ratelimit.Config[string]{Key: byUser},
			"a", "1", 0, 204,
			ratelimit.Event{&ratelimit.Verdict{Outcome: "allowed"}, "GET /", "a", 1, -1},
		},
		{
			"a cost, allowed",
			ratelimit.Config[string]{Key: byUser, Cost: byCost},
			"a", "2", 0, 204,
			ratelimit.Event{&ratelimit.Verdict{Outcome: "allowed"}, "GET /", "a", 2, -1},
		},
		{
			"limited",
			ratelimit.Config[string]{Key: byUser, Cost: byCost},
			"a", "2", 1, 429,
			ratelimit.Event{&ratelimit.Verdict{Outcome: "refused", Reason: "limited", Err: ratelimit.ErrLimited}, "GET /", "a", 2, 1},
		},
		{
			"limited, in a dry run",
			ratelimit.Config[string]{Key: byUser, AllowDespite: always},
			"a", "1", 2, 204,
			ratelimit.Event{&ratelimit.Verdict{Outcome: "despite", Reason: "limited", Err: ratelimit.ErrLimited}, "GET /", "a", 1, 0},
		},
		{
			"no key",
			ratelimit.Config[string]{Key: byUser},
			"", "1", 0, 403,
			ratelimit.Event{&ratelimit.Verdict{Outcome: "refused", Reason: "no_key", Err: ratelimit.ErrNoKey}, "GET /", "", 1, -1},
		},
		{
			"no key, in a dry run",
			ratelimit.Config[string]{Key: byUser, AllowDespite: always},
			"", "1", 0, 204,
			ratelimit.Event{&ratelimit.Verdict{Outcome: "despite", Reason: "no_key", Err: ratelimit.ErrNoKey}, "GET /", "", 1, -1},
		},
		{
			"negative cost",
			ratelimit.Config[string]{Key: byUser, Cost: byCost},
			"a", "-1", 0, 500,
			ratelimit.Event{&ratelimit.Verdict{Outcome: "failed", Reason: "not_configured", Err: ratelimit.ErrNotConfigured}, "GET /", "a", 0, -1},
		},
		{
			"negative cost, in a dry run",
			ratelimit.Config[string]{Key: byUser, Cost: byCost, AllowDespite: always},
			"a", "-1", 0, 204,
			ratelimit.Event{&ratelimit.Verdict{Outcome: "despite", Reason: "not_configured", Err: ratelimit.ErrNotConfigured}, "GET /", "a", 0, -1},
		},
		{
			"no key function",
			ratelimit.Config[string]{AllowDespite: always},
			"a", "1", 0, 500,
			ratelimit.Event{&ratelimit.Verdict{Outcome: "failed", Reason: "not_configured", Err: ratelimit.ErrNotConfigured}, "GET /", "", 0, -1},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var events told
			test.config.Limit, test.config.Name, test.config.Observe = ratelimit.Limit{Burst: 2}, "plan", events.observe
			test.want.Layer, test.want.Plan = "ratelimit", "plan"
			l := newLimiter(t, test.config)
			l.Take("a", test.taken)
			w := serve(mux("GET /", l.Handler(ok)), test.user, test.cost)
			require.Equal(t, test.status, w.Code)
			require.Len(t, events, 1)
			requireEvent(t, test.want, events[0])
			if test.status != 204 {
				require.Equal(t, w.Header().Get("X-Amzn-RequestId"), events[0].RequestID)
			}

			l = newLimiter(t, test.config)
			l.Take("a", test.taken)
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("User", test.user)
			r.Header.Set("Cost", test.cost)
			_, err := l.Check(r)
			require.Len(t, events, 2)
			test.want.Route = "" // no mux has seen the request
			requireEvent(t, test.want, events[1])
			if err != nil {
				require.Same(t, events[1].Err, err)
			}
		})
	}
}

// requireEvent compares an event with the one that is wanted. Of its error, only the cause is wanted.
func requireEvent(t *testing.T, want, got ratelimit.Event) {
	t.Helper()
	require.ErrorIs(t, got.Err, want.Err)
	if want.Err != nil {
		require.Equal(t, got.RequestID, got.Err.(*ratelimit.Error).RequestID)
		require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`, got.RequestID)
	} else {
		require.Empty(t, got.RequestID)
	}
	verdict := *got.Verdict
	verdict.Err, verdict.RequestID = want.Err, ""
	got.Verdict = &verdict
	require.Equal(t, want, got)
}

func TestObserveIsToldBeforeTheRequestGoesOn(t *testing.T) {
	var order []string
	note := func(s string) { order = append(order, s) }
	h := newLimiter(t, ratelimit.Config[string]{
		Limit: ratelimit.Limit{Burst: 1}, Key: byUser,
		Observe:      func(_ context.Context, e ratelimit.Event) { note(e.Outcome) },
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { note("answer") },
	}).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { note("next") }))
	serve(h, "a", "1")
	serve(h, "a", "1")
	require.Equal(t, []string{"allowed", "next", "refused", "answer"}, order)
}

func TestObserveGetsTheContextOfTheRequest(t *testing.T) {
	type key struct{}
	var got []any
	l := newLimiter(t, ratelimit.Config[string]{
		Limit: ratelimit.Limit{Burst: 1}, Key: byUser,
		Observe: func(ctx context.Context, _ ratelimit.Event) { got = append(got, ctx.Value(key{})) },
	})
	r := httptest.NewRequest("GET", "/", nil).WithContext(context.WithValue(t.Context(), key{}, "trace"))
	r.Header.Set("User", "a")
	_, _ = l.Check(r)
	l.Handler(ok).ServeHTTP(httptest.NewRecorder(), r)
	require.Equal(t, []any{"trace", "trace"}, got)
}

// Methods that are given a key have no request to tell of, and a limiter that New did not make has nobody to tell.
func TestWhatIsNotToldToObserve(t *testing.T) {
	var events told
	l := newLimiter(t, ratelimit.Config[string]{Limit: ratelimit.Limit{Burst: 1}, Key: byUser, Observe: events.observe})
	for range 2 {
		l.Allow("a")
		l.Take("a", 1)
		l.Peek("a")
		r := l.Ref("a").Take(time.Now(), 1)
		r.Undo(1)
	}
	require.Empty(t, events)
	for _, l := range []*ratelimit.Limiter[string]{nil, {}} {
		require.Equal(t, 500, serve(l.Handler(ok), "a", "1").Code)
	}
}

// The id comes from an outer layer, the application, or chance, in this order. The answer, the error and the event have
// the same.
func TestRefusalHasOneID(t *testing.T) {
	named := func(*http.Request) string { return "named" }
	unnamed := func(*http.Request) string { return "" }
	for _, test := range []struct {
		outer     string
		requestID func(*http.Request) string
		observed  bool
		want      string
	}{
		{"outer", named, true, "outer"},
		{"outer", nil, true, "outer"},
		{"outer", named, false, "outer"},
		{"outer", nil, false, "outer"},
		{"", named, true, "named"},
		{"", named, false, "named"},
		{"", unnamed, true, ""},
		{"", nil, true, ""},
		{"", nil, false, ""},
	} {
		var events told
		var refusal *ratelimit.Error
		c := ratelimit.Config[string]{Limit: limit, Key: byUser, RequestID: test.requestID}
		c.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
			refusal = err.(*ratelimit.Error)
			refusal.ServeHTTP(w, r)
		}
		if test.observed {
			c.Observe = events.observe
		}
		h := newLimiter(t, c).Handler(ok)
		w := httptest.NewRecorder()
		if test.outer != "" {
			w.Header().Set("X-Amzn-RequestId", test.outer)
		}
		h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil)) // without a key
		got := w.Header().Get("X-Amzn-RequestId")
		if test.want == "" {
			require.Len(t, got, 36, "%+v", test)
		} else {
			require.Equal(t, test.want, got, "%+v", test)
		}
		if test.observed {
			require.Equal(t, got, events[0].RequestID, "%+v", test)
		}
		if test.observed || test.requestID != nil {
			require.Equal(t, got, refusal.RequestID, "%+v", test)
		}
	}
}

// An allowed request has the id that the application gave it, also if an outer layer has set it, and no other.
func TestAllowedRequestHasTheIDOfTheApplication(t *testing.T) {
	var events told
	c := ratelimit.Config[string]{Limit: limit, Key: byUser, Observe: events.observe}
	serve(newLimiter(t, c).Handler(ok), "a", "1")
	c.RequestID = func(r *http.Request) string { return "id of " + r.Header.Get("User") }
	h := newLimiter(t, c).Handler(ok)
	serve(h, "a", "1")
	serve(h, "b", "1")
	outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Amzn-RequestId", "outer")
		h.ServeHTTP(w, r)
	})
	serve(outer, "a", "1")
	var got []string
	for _, e := range events {
		require.Equal(t, "allowed", e.Outcome)
		got = append(got, e.RequestID)
	}
	require.Equal(t, []string{"", "id of a", "id of b", "outer"}, got)
}

// A key with a String method is named only if the request was not allowed, and a key without one never.
func TestClientIsTheTextOfTheKey(t *testing.T) {
	var events told
	address, err := ratelimit.New(ratelimit.Config[netip.Addr]{
		Limit: ratelimit.Limit{Burst: 1}, Observe: events.observe,
		Key: func(*http.Request) (netip.Addr, bool) { return netip.MustParseAddr("192.0.2.1"), true },
	})
	require.NoError(t, err)
	number, err := ratelimit.New(ratelimit.Config[int]{
		Limit: ratelimit.Limit{Burst: 1}, Observe: events.observe,
		Key: func(*http.Request) (int, bool) { return 7, true },
	})
	require.NoError(t, err)
	for _, h := range []http.Handler{address.Handler(ok), number.Handler(ok)} {
		serve(h, "", "")
		serve(h, "", "")
	}
	var got []string
	for _, e := range events {
		got = append(got, e.Outcome+" "+e.Client)
	}
	require.Equal(t, []string{"allowed ", "refused 192.0.2.1", "allowed ", "refused "}, got)
}

// A name that the header fields must leave out, because the tokens are no requests, is a Plan nevertheless.
func TestPlanIsTheNameAlsoWithoutFields(t *testing.T) {
	var events told
	h := newLimiter(t, ratelimit.Config[string]{
		Limit: limit, Key: byUser, Cost: byCost, Name: "bytes", Observe: events.observe,
	}).Handler(ok)
	require.Empty(t, serve(h, "a", "1").Header())
	require.Equal(t, "bytes", events[0].Plan)
}

// The verdict on allowed requests is made once.
func TestAllowedRequestsShareTheirVerdict(t *testing.T) {
	var events told
	h := newLimiter(t, ratelimit.Config[string]{Limit: limit, Key: byUser, Observe: events.observe}).Handler(ok)
	for _, user := range []string{"a", "b", "", "c"} {
		serve(h, user, "1")
	}
	require.Same(t, events[0].Verdict, events[1].Verdict)
	require.Same(t, events[0].Verdict, events[3].Verdict)
	require.Equal(t, "allowed", events[3].Outcome)
}

// If a function of the application panics, there was no decision, so nothing is told.
func TestPanicOfTheApplicationIsNotTold(t *testing.T) {
	var events told
	h := newLimiter(t, ratelimit.Config[string]{
		Limit: limit, Key: byUser, Observe: events.observe,
		AllowDespite: func(*http.Request, error) bool { panic("despite") },
	}).Handler(ok)
	require.PanicsWithValue(t, "despite", func() { serve(h, "", "1") })
	require.Empty(t, events)
}
