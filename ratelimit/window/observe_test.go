package window_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/window"
)

// told collects the events that an observer is told.
type told []ratelimit.Event

func (t *told) observe(_ context.Context, e ratelimit.Event) { *t = append(*t, e) }

func always(*http.Request, error) bool { return true }

// byUser is false for a request without a user.
func byUser(r *http.Request) (string, bool) {
	user := r.Header.Get("User")
	return user, user != ""
}

func ofUser(user string) *http.Request {
	r := from("192.0.2.1:1")
	r.Header.Set("User", user)
	return r
}

// decider is what a Limiter and a RateRule have in common.
type decider interface {
	Check(*http.Request) (ratelimit.Decision, error)
	Handler(http.Handler) http.Handler
}

// One decision is one event, with the answer that the client gets. Handler and Check tell the same, but for the route.
func TestEachDecisionIsToldOnce(t *testing.T) {
	var events told
	limiter := func(key func(*http.Request) (string, bool), despite func(*http.Request, error) bool) decider {
		return newLimiter(t, window.Config[string]{
			AtMost: window.AtMost{Limit: 2, Window: time.Hour}, Key: key, Name: "logins", AllowDespite: despite, Observe: events.observe,
		})
	}
	rule := func(despite func(*http.Request, error) bool, by ...window.Component) decider {
		return newRule(t, window.RuleConfig{Limit: 10, Aggregate: by, Name: "flood", AllowDespite: despite, Observe: events.observe})
	}
	header, ip := window.Header("User"), window.IP()
	for _, test := range []struct {
		name    string
		decider decider
		user    string
		before  int // requests of the same user that come before
		status  int
		want    ratelimit.Event
	}{
		{
			"allowed", limiter(byUser, nil), "a", 1, 204,
			ratelimit.Event{&ratelimit.Verdict{Layer: "window", Outcome: "allowed", Plan: "logins"}, "GET /", "a", 1, -1},
		},
		{
			"limited", limiter(byUser, nil), "a", 2, 429,
			ratelimit.Event{&ratelimit.Verdict{"window", "refused", "limited", ratelimit.ErrLimited, "logins", ""}, "GET /", "a", 1, 0},
		},
		{
			"limited, in a dry run", limiter(byUser, always), "a", 2, 204,
			ratelimit.Event{&ratelimit.Verdict{"window", "despite", "limited", ratelimit.ErrLimited, "logins", ""}, "GET /", "a", 1, 0},
		},
		{
			"no key", limiter(byUser, nil), "", 0, 403,
			ratelimit.Event{&ratelimit.Verdict{"window", "refused", "no_key", ratelimit.ErrNoKey, "logins", ""}, "GET /", "", 1, -1},
		},
		{
			"no key function", limiter(nil, always), "a", 0, 500,
			ratelimit.Event{&ratelimit.Verdict{"window", "failed", "not_configured", ratelimit.ErrNotConfigured, "logins", ""}, "GET /", "", 1, -1},
		},
		{
			"rule, allowed", rule(nil, ip), "", 9, 204,
			ratelimit.Event{&ratelimit.Verdict{Layer: "rate rule", Outcome: "allowed", Plan: "flood"}, "GET /", "", 1, -1},
		},
		{
			"rule, blocked by address", rule(nil, header, ip), "a", 10, 403,
			ratelimit.Event{&ratelimit.Verdict{"rate rule", "refused", "blocked", ratelimit.ErrBlocked, "flood", ""}, "GET /", "192.0.2.1", 1, 0},
		},
		{
			"rule, blocked by what the client says", rule(nil, header), "a", 10, 403,
			ratelimit.Event{&ratelimit.Verdict{"rate rule", "refused", "blocked", ratelimit.ErrBlocked, "flood", ""}, "GET /", "", 1, 0},
		},
		{
			"rule, with the action Count", rule(always, ip), "", 10, 204,
			ratelimit.Event{&ratelimit.Verdict{"rate rule", "despite", "blocked", ratelimit.ErrBlocked, "flood", ""}, "GET /", "192.0.2.1", 1, 0},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			for range test.before {
				_, _ = test.decider.Check(ofUser(test.user))
			}
			mux := http.NewServeMux()
			mux.Handle("GET /", test.decider.Handler(passed))
			events = nil
			_, err := test.decider.Check(ofUser(test.user))
			require.Len(t, events, 1)
			want := test.want
			want.Route = "" // no mux has seen the request
			requireEvent(t, want, events[0])
			if err != nil {
				require.Same(t, events[0].Err, err)
			}
			if test.status == 204 && err == nil && test.want.Outcome == "allowed" {
				return // the next request is another decision
			}
			w := serve(mux, ofUser(test.user))
			require.Equal(t, test.status, w.Code)
			require.Len(t, events, 2)
			requireEvent(t, test.want, events[1])
			if test.status != 204 {
				require.Equal(t, w.Header().Get("X-Amzn-RequestId"), events[1].RequestID)
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

// A rule that is not about a request decides nothing.
func TestWhatIsNotToldToObserve(t *testing.T) {
	var events told
	get := func(r *http.Request) bool { return r.Method == "GET" }
	c := window.RuleConfig{Limit: 10, Aggregate: []window.Component{window.Header("User")}, ScopeDown: get, Observe: events.observe}
	h := newRule(t, c).Handler(passed)
	require.Equal(t, 204, serve(h, httptest.NewRequest("POST", "/", nil)).Code)
	require.Equal(t, 204, serve(h, httptest.NewRequest("GET", "/", nil)).Code, "without a user")
	require.Empty(t, events)
	serve(h, ofUser("a"))
	require.Len(t, events, 1)

	l := newLimiter(t, window.Config[string]{AtMost: window.AtMost{Limit: 1, Window: time.Hour}, Observe: events.observe})
	for range 2 {
		l.Allow("a")
		l.Take("a", 1)
		l.Peek("a")
	}
	require.Len(t, events, 1)
	for _, d := range []decider{(*window.Limiter[string])(nil), &window.Limiter[string]{}, (*window.RateRule)(nil), &window.RateRule{}} {
		require.Equal(t, 500, serve(d.Handler(passed), ofUser("a")).Code)
	}
}

// The id comes from an outer layer, the application, or chance, in this order. Allowed requests get none by chance.
func TestAnswerAndEventHaveOneID(t *testing.T) {
	for _, test := range []struct {
		outer     string
		requestID func(*http.Request) string
		want      string // "" is a random one
	}{
		{"outer", func(*http.Request) string { return "named" }, "outer"},
		{"", func(*http.Request) string { return "named" }, "named"},
		{"", func(*http.Request) string { return "" }, ""},
		{"", nil, ""},
	} {
		var events told
		h := newLimiter(t, window.Config[string]{
			AtMost: window.AtMost{Limit: 1, Window: time.Hour}, Key: byUser, Observe: events.observe, RequestID: test.requestID,
		}).Handler(passed)
		answer := func() *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			if test.outer != "" {
				w.Header().Set("X-Amzn-RequestId", test.outer)
			}
			h.ServeHTTP(w, ofUser("a"))
			return w
		}
		answer()
		require.Equal(t, test.want, events[0].RequestID)
		got := answer().Header().Get("X-Amzn-RequestId")
		require.Equal(t, got, events[1].RequestID)
		if test.want == "" {
			require.Len(t, got, 36)
		} else {
			require.Equal(t, test.want, got)
		}
	}
}

// A key with a String method is named only if the request was not allowed.
func TestClientIsTheTextOfTheKey(t *testing.T) {
	var events told
	l, err := window.New(window.Config[netip.Addr]{
		AtMost: window.AtMost{Limit: 1, Window: time.Hour}, Observe: events.observe,
		Key: func(*http.Request) (netip.Addr, bool) { return netip.MustParseAddr("192.0.2.1"), true },
	})
	require.NoError(t, err)
	h := l.Handler(passed)
	serve(h, ofUser("a"))
	serve(h, ofUser("a"))
	require.Equal(t, "", events[0].Client)
	require.Equal(t, "192.0.2.1", events[1].Client)
}
