package usageplan_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A told is an event without what differs from run to run.
type told struct {
	layer, outcome, reason, plan, route, client string
	cost, remaining                             int64
}

// A witness keeps the events that it is told.
type witness struct{ events []usageplan.Event }

func (w *witness) observe(_ context.Context, e usageplan.Event) { w.events = append(w.events, e) }

// last returns the only event since the last call.
func (w *witness) last(t *testing.T) usageplan.Event {
	t.Helper()
	require.Len(t, w.events, 1)
	e := w.events[0]
	w.events = nil
	return e
}

func (w *witness) told(t *testing.T) told {
	t.Helper()
	e := w.last(t)
	return told{e.Layer, e.Outcome, e.Reason, e.Plan, e.Route, e.Client, e.Cost, e.Remaining}
}

// stopped is an engine that was shut down: its calls end because its own context was canceled.
type stopped struct{ down }

func (stopped) Update(context.Context, []string, func(int, []byte) ([]byte, error)) error {
	return fmt.Errorf("update: %w", context.Canceled)
}

func stoppedLedger(t *testing.T) *ledger.Ledger {
	quotas, err := ledger.New(ledger.Config{Engine: stopped{}, Exact: true})
	require.NoError(t, err)
	return quotas
}

const catsPattern = "GET /dev/cats"

// catsOf returns a request of the client that the mux has matched.
func catsOf(client string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/dev/cats", nil)
	r.Header.Set("Verified-Client", client)
	r.Pattern = catsPattern
	return r
}

// throttled are the stages of a plan that lets each client get its cats once.
func throttled() []usageplan.Stage {
	return []usageplan.Stage{{API: "pets", Name: "dev", Methods: map[string]ratelimit.Limit{"/cats/GET": {Burst: 1}}}}
}

// Each decision is told once, with what is known of the request, whichever verb makes it.
func TestEachDecisionIsToldOnce(t *testing.T) {
	type config = usageplan.Config
	type plan = usageplan.Plan
	costs := func(n int64) config { return config{Cost: func(*http.Request) int64 { return n }} }
	one := &ratelimit.Limit{Burst: 1}
	for _, tt := range []struct {
		name   string
		config config
		plan   plan
		client string
		passes int // how many requests pass before the one that is told
		want   told
	}{
		{"allowed", config{}, plan{Quotas: daily(9)}, "a", 1, told{"usageplan", "allowed", "", "p", catsPattern, "a", 1, -1}},
		{"cost", costs(3), plan{Quotas: daily(9)}, "a", 0, told{"usageplan", "allowed", "", "p", catsPattern, "a", 3, -1}},
		{"no cost", costs(0), plan{Quotas: daily(9)}, "a", 1, told{"usageplan", "allowed", "", "p", catsPattern, "a", 0, -1}},
		{"invalid cost", costs(-1), plan{}, "a", 0, told{"usageplan", "failed", "not_configured", "", catsPattern, "a", 0, -1}},
		{"no client", config{}, plan{}, "", 0, told{"usageplan", "refused", "no_client", "", catsPattern, "", 0, -1}},
		{"no possible client", config{}, plan{}, strings.Repeat("a", 513), 0, told{"usageplan", "refused", "no_client", "", catsPattern, "", 1, -1}},
		{"no plan", config{}, plan{}, "b", 0, told{"usageplan", "refused", "no_plan", "", catsPattern, "b", 1, -1}},
		{"method", config{}, plan{Stages: throttled()}, "a", 1, told{planMethodThrottle, "refused", "throttled", "p", catsPattern, "a", 1, -1}},
		{"plan", config{}, plan{Throttle: one}, "a", 1, told{planThrottle, "refused", "throttled", "p", catsPattern, "a", 1, -1}},
		{"quota", costs(3), plan{Quotas: daily(5)}, "a", 1, told{planQuota, "refused", "quota_exceeded", "p", catsPattern, "a", 3, 2}},
		{"no quota", costs(ledger.MaxUnits), plan{}, "a", 1, told{"usageplan", "refused", "quota_exceeded", "p", catsPattern, "a", ledger.MaxUnits, -1}},
		{"stage", config{StageThrottles: throttled()}, plan{}, "a", 1, told{stageMethodThrottle, "refused", "throttled", "p", catsPattern, "a", 1, -1}},
		{"account", config{AccountThrottle: one}, plan{}, "a", 1, told{accountThrottle, "refused", "throttled", "p", catsPattern, "a", 1, -1}},
		{"throttle not asked", config{Throttle: &script{err: errors.New("down")}}, plan{Throttle: one}, "a", 0, told{planThrottle, "failed", "throttle_unavailable", "p", catsPattern, "a", 1, -1}},
		{"method's throttle not asked", config{Throttle: &script{err: errors.New("down")}}, plan{Throttle: one, Stages: throttled()}, "a", 0, told{planMethodThrottle, "failed", "throttle_unavailable", "p", catsPattern, "a", 1, -1}},
		{"the throttle is canceled and the request is not", config{Throttle: &script{err: context.Canceled}}, plan{Throttle: one}, "a", 0, told{planThrottle, "failed", "throttle_unavailable", "p", catsPattern, "a", 1, -1}},
		{"quota not counted", config{Ledger: brokenLedger(t)}, plan{Quotas: daily(5)}, "a", 0, told{planQuota, "failed", "unavailable", "p", catsPattern, "a", 1, -1}},
		{"usage not counted", config{Ledger: brokenLedger(t)}, plan{}, "a", 0, told{"usageplan", "failed", "unavailable", "p", catsPattern, "a", 1, -1}},
		{"the engine is canceled and the request is not", config{Ledger: stoppedLedger(t)}, plan{Quotas: daily(5)}, "a", 0, told{planQuota, "failed", "unavailable", "p", catsPattern, "a", 1, -1}},
	} {
		for verb, passes := range verbs {
			t.Run(tt.name+"/"+verb, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var w witness
					m, want := observed(t, &w, tt.config, tt.plan), tt.want
					for range tt.passes {
						require.True(t, passes(m, catsOf(tt.client), tt.config.Cost))
						require.Equal(t, "allowed", w.last(t).Outcome)
					}
					if verb == "Take" {
						want.route = "/cats" // there is no mux
					}
					require.Equal(t, want.outcome == "allowed", passes(m, catsOf(tt.client), tt.config.Cost))
					require.Equal(t, want, w.told(t))
				})
			})
		}
	}
}

// observed returns a meter that w observes, of the plan with the id "p", whose only member is "a".
func observed(t *testing.T, w *witness, c usageplan.Config, p usageplan.Plan) *usageplan.Meter {
	if p.ID, p.Name = "p", "P"; p.Stages == nil {
		p.Stages = dev
	}
	c.Plans, c.Members = []usageplan.Plan{p}, []usageplan.Member{{Plan: "p", Client: "a"}}
	c.Observe = w.observe
	return meter(t, c)
}

// verbs are the ways to have a request decided. Each reports whether the request passed.
var verbs = map[string]func(m *usageplan.Meter, r *http.Request, cost func(*http.Request) int64) bool{
	"Handler": func(m *usageplan.Meter, r *http.Request, _ func(*http.Request) int64) (passed bool) {
		m.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed = true })).ServeHTTP(httptest.NewRecorder(), r)
		return passed
	},
	"Check": func(m *usageplan.Meter, r *http.Request, _ func(*http.Request) int64) bool {
		_, err := m.Check(r)
		return err == nil
	},
	"Take": func(m *usageplan.Meter, r *http.Request, cost func(*http.Request) int64) bool {
		q := getCats(r.Header.Get("Verified-Client"))
		if q.Client == "" {
			q.Cost = 0 // Check does not ask for the cost then
		} else if cost != nil {
			q.Cost = cost(r)
		}
		_, err := m.Take(r.Context(), q)
		return err == nil
	},
}

// AllowDespite turns a refusal into one event, and is not asked where it does not act.
func TestDespiteIsToldOnce(t *testing.T) {
	var w witness
	m := observed(t, &w, usageplan.Config{AllowDespite: func(*http.Request, error) bool { return true }}, usageplan.Plan{})
	refused := told{"usageplan", "refused", "no_plan", "", "/cats", "b", 1, -1}
	despite := told{"usageplan", "despite", "no_plan", "", catsPattern, "b", 1, -1}
	for verb, want := range map[string]told{"Handler": despite, "Check": despite, "Take": refused} {
		require.Equal(t, verb != "Take", verbs[verb](m, catsOf("b"), nil), verb)
		e := w.events[0]
		require.Equal(t, want, w.told(t), verb)
		require.ErrorIs(t, e.Err, usageplan.ErrNoPlan, verb)
		require.NotEmpty(t, e.RequestID, verb)
	}
	m.StatusHandler().ServeHTTP(httptest.NewRecorder(), catsOf("b"))
	require.Equal(t, told{"status", "refused", "no_plan", "", catsPattern, "b", 0, -1}, w.told(t))
}

// In front of a mux there is no pattern. The resource that Config.Route finds stands for it, and never the path.
func TestRouteInFrontOfAMuxIsTheResource(t *testing.T) {
	for name, tt := range map[string]struct {
		found bool
		want  told
	}{
		"found":   {true, told{"usageplan", "allowed", "", "p", "/cats", "a", 1, -1}},
		"unknown": {false, told{"usageplan", "failed", "not_configured", "", "", "a", 0, -1}},
	} {
		var w witness
		m := observed(t, &w, usageplan.Config{
			Route: func(*http.Request) (usageplan.Route, bool) { return getCats("a").Route, tt.found },
		}, usageplan.Plan{})
		r := catsOf("a")
		r.Pattern, r.URL.Path = "", "/dev/cats/7"
		m.Handler(http.NewServeMux()).ServeHTTP(httptest.NewRecorder(), r)
		require.Equal(t, tt.want, w.told(t), name)
	}
}

// The handler behind the meter changes nothing of what is told: its request was allowed.
func TestPanicOfTheNextHandlerIsNoDecision(t *testing.T) {
	var w witness
	m := observed(t, &w, usageplan.Config{}, usageplan.Plan{})
	h := m.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	require.Panics(t, func() { h.ServeHTTP(httptest.NewRecorder(), catsOf("a")) })
	require.Equal(t, told{"usageplan", "allowed", "", "p", catsPattern, "a", 1, -1}, w.told(t))
}

// Observe gets the context of the request, or that which Take was given.
func TestObserveGetsTheContext(t *testing.T) {
	type key struct{}
	var got []any
	c := usageplan.Config{Observe: func(ctx context.Context, _ usageplan.Event) { got = append(got, ctx.Value(key{})) }}
	m := meter(t, c)
	ctx := context.WithValue(t.Context(), key{}, "outer")
	for _, passes := range verbs {
		passes(m, catsOf("a").WithContext(ctx), nil)
	}
	m.StatusHandler().ServeHTTP(httptest.NewRecorder(), catsOf("a").WithContext(ctx))
	require.Equal(t, []any{"outer", "outer", "outer", "outer"}, got)
}

// What reads and decides about no request tells nothing, and neither does a change or a settlement.
func TestReadsAndChangesAreNotTold(t *testing.T) {
	var w witness
	m := observed(t, &w, usageplan.Config{}, usageplan.Plan{Quotas: daily(5)})
	charge, err := m.Take(t.Context(), getCats("a"))
	require.NoError(t, err)
	w.events = nil
	require.NoError(t, charge.Settle(t.Context(), 3))
	_, err = m.Status(t.Context(), "b", getCats("b").Route)
	require.ErrorIs(t, err, usageplan.ErrNoPlan)
	require.ErrorIs(t, m.AddMembers(t.Context(), usageplan.Member{Plan: "p", Client: "a"}), usageplan.ErrExists)
	require.Empty(t, w.events)
}

// A client that is too long for any plan is not told, also if something else is found wrong first.
func TestClientThatIsTooLongIsNotTold(t *testing.T) {
	var w witness
	m := observed(t, &w, usageplan.Config{}, usageplan.Plan{})
	unrouted, put := catsOf(strings.Repeat("a", 513)), catsOf(strings.Repeat("a", 513))
	unrouted.Pattern, put.Method = "", http.MethodPut
	m.Handler(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), unrouted)
	require.Equal(t, told{"usageplan", "failed", "not_configured", "", "", "", 0, -1}, w.told(t))
	m.StatusHandler().ServeHTTP(httptest.NewRecorder(), put)
	require.Equal(t, told{"status", "refused", "method", "", catsPattern, "", 0, -1}, w.told(t))
}

// The decisions of a StatusHandler are in a layer of their own, so that they are not counted as calls.
func TestStatusIsToldInItsOwnLayer(t *testing.T) {
	for _, tt := range []struct {
		name, client, method string
		config               usageplan.Config
		want                 told
	}{
		{"allowed", "a", "GET", usageplan.Config{}, told{"status", "allowed", "", "p", catsPattern, "a", 0, -1}},
		{"stranger", "", "GET", usageplan.Config{}, told{"status", "refused", "no_client", "", catsPattern, "", 0, -1}},
		{"method", "a", "PUT", usageplan.Config{}, told{"status", "refused", "method", "", catsPattern, "a", 0, -1}},
		{"no plan", "b", "GET", usageplan.Config{}, told{"status", "refused", "no_plan", "", catsPattern, "b", 0, -1}},
		{"ledger down", "a", "GET", usageplan.Config{Ledger: brokenLedger(t)}, told{"status", "failed", "unavailable", "p", catsPattern, "a", 0, -1}},
	} {
		var w witness
		r, answer := catsOf(tt.client), httptest.NewRecorder()
		r.Method = tt.method
		observed(t, &w, tt.config, usageplan.Plan{Quotas: daily(5)}).StatusHandler().ServeHTTP(answer, r)
		require.Equal(t, tt.want.outcome == "allowed", answer.Code == http.StatusOK, tt.name)
		require.Equal(t, tt.want, w.told(t), tt.name)
	}
}

// The id of an event is that of the answer: an outer layer's, else the application's, else a random one.
func TestRequestIDIsThatOfTheAnswer(t *testing.T) {
	const random = `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`
	ours := func(id string) func(*http.Request) string { return func(*http.Request) string { return id } }
	for _, tt := range []struct {
		name    string
		of      func(*http.Request) string
		outer   string
		answer  string // a regular expression
		allowed string // of the event of a request that passes
	}{
		{"random", nil, "", random, ""},
		{"the application's", ours("ours-1"), "", "^ours-1$", "ours-1"},
		{"the application has none", ours(""), "", random, ""},
		{"an outer layer's", nil, "outer-1", "^outer-1$", ""},
		{"an outer layer's before the application's", ours("ours-1"), "outer-1", "^outer-1$", "outer-1"},
	} {
		var w witness
		m := observed(t, &w, usageplan.Config{RequestID: tt.of}, usageplan.Plan{})
		serve := func(h http.Handler, client string) http.Header {
			answer := httptest.NewRecorder()
			if tt.outer != "" {
				answer.Header().Set("X-Amzn-RequestId", tt.outer)
			}
			h.ServeHTTP(answer, catsOf(client))
			return answer.Header()
		}
		for _, h := range []http.Handler{m.Handler(http.NotFoundHandler()), m.StatusHandler()} {
			id := serve(h, "b").Get("X-Amzn-RequestId")
			require.Regexp(t, tt.answer, id, tt.name)
			e := w.last(t)
			require.Equal(t, id, e.RequestID, tt.name)
			require.Equal(t, id, e.Err.(*usageplan.Error).RequestID, tt.name)
		}
		serve(m.Handler(http.NotFoundHandler()), "a")
		require.Equal(t, tt.allowed, w.last(t).RequestID, tt.name)
		id := serve(m.StatusHandler(), "a").Get("X-Amzn-RequestId")
		require.Regexp(t, tt.answer, id, tt.name)
		require.Equal(t, id, w.last(t).RequestID, tt.name)
	}
}

// A request has its id before AllowDespite and ErrorHandler see the refusal, also if nobody observes.
func TestRefusalIsNamedBeforeItIsSeen(t *testing.T) {
	var seen []string
	m := meter(t, usageplan.Config{
		RequestID: func(*http.Request) string { return "ours-1" },
		AllowDespite: func(_ *http.Request, err error) bool {
			seen = append(seen, err.(*usageplan.Error).RequestID)
			return false
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			seen = append(seen, err.(*usageplan.Error).RequestID, w.Header().Get("X-Amzn-RequestId"))
		},
	})
	m.Handler(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), catsOf("a"))
	require.Equal(t, []string{"ours-1", "ours-1", "ours-1"}, seen)
	_, err := m.Check(catsOf("a"))
	require.Equal(t, "ours-1", err.(*usageplan.Error).RequestID)
}

// Each cause has its own word, in the order of the answers. A cause of another package stands for a mistake of the
// operator's, as its answer does.
func TestReasonNamesTheCause(t *testing.T) {
	for want, causes := range map[string][]error{
		"not_configured": {usageplan.ErrNotConfigured, ledger.ErrNotConfigured, ledger.ErrInvalid, nil},
		"no_client":      {usageplan.ErrNoClient},
		"no_plan":        {usageplan.ErrNoPlan},
		"throttled":      {usageplan.ErrThrottled, errors.Join(usageplan.ErrThrottled, ledger.ErrUnavailable)},
		"in_flight":      {usageplan.ErrInFlight},
		"quota_exceeded": {usageplan.ErrQuotaExceeded},
		"no_quota":       {usageplan.ErrNoQuota},
		"invalid":        {usageplan.ErrInvalid},
		"conflict":       {usageplan.ErrConflict},
		"exists":         {usageplan.ErrExists},
		"not_member":     {usageplan.ErrNotMember},
		"unavailable":    {ledger.ErrUnavailable, journal.ErrUnavailable, context.DeadlineExceeded},
		"throttle_unavailable": {
			usageplan.ErrThrottleUnavailable, fmt.Errorf("%w: %w", usageplan.ErrThrottleUnavailable, context.DeadlineExceeded),
		},
		"canceled": {context.Canceled, errors.Join(usageplan.ErrThrottled, context.Canceled)},
	} {
		for _, cause := range causes {
			require.Equal(t, want, (&usageplan.Error{Err: cause}).Reason(), cause)
		}
	}
}
