package examples_test

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/window"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// check is the verb of a limit.
func check[D any](verb func(*http.Request) (D, error)) map[string]func(*http.Request) error {
	return map[string]func(*http.Request) error{
		"Check": func(r *http.Request) error { _, err := verb(r); return err },
	}
}

// client is whom the limits charge.
func client(r *http.Request) (string, bool) {
	name := r.Header.Get("X-Client")
	return name, name != ""
}

func costs(n int64) func(*http.Request) int64 { return func(*http.Request) int64 { return n } }

func limitSituations() []situation {
	byRate := func(change func(*ratelimit.Config[string])) func(*testing.T, wishes) guard {
		return func(t *testing.T, w wishes) guard {
			c := ratelimit.Config[string]{
				Limit: ratelimit.Limit{Rate: 1e-3, Burst: 1}, Key: client, Name: "calls",
				Observe: w.tell, AllowDespite: w.despite, RequestID: w.id, ErrorHandler: w.answer,
			}
			change(&c)
			l, err := ratelimit.New(c)
			require.NoError(t, err)
			return guard{l.Handler, check(l.Check)}
		}
	}
	inWindow := func(key func(*http.Request) (string, bool)) func(*testing.T, wishes) guard {
		return func(t *testing.T, w wishes) guard {
			l, err := window.New(window.Config[string]{
				AtMost: window.AtMost{Limit: 1, Window: 3600e9}, Key: key, Name: "logins",
				Observe: w.tell, AllowDespite: w.despite, RequestID: w.id, ErrorHandler: w.answer,
			})
			require.NoError(t, err)
			return guard{l.Handler, check(l.Check)}
		}
	}
	rule := func(t *testing.T, w wishes) guard {
		rule, err := window.NewRateRule(window.RuleConfig{
			Limit: 10, Aggregate: []window.Component{window.IP()},
			Observe: w.tell, AllowDespite: w.despite, RequestID: w.id, ErrorHandler: w.answer,
		})
		require.NoError(t, err)
		return guard{rule.Handler, check(rule.Check)}
	}
	named := []func(*http.Request){with("X-Client", "c")}
	usual := byRate(func(*ratelimit.Config[string]) {})
	limiter := complete([]situation{
		{name: "allowed", edits: named},
		{name: "allowed, free", edits: named, spent: 5, guard: byRate(func(c *ratelimit.Config[string]) { c.Cost = costs(0) })},
		{name: "limited", edits: named, spent: 1, cause: ratelimit.ErrLimited},
		{name: "no_key", cause: ratelimit.ErrNoKey},
		{name: "not_configured", edits: named, cause: ratelimit.ErrNotConfigured, guard: byRate(func(c *ratelimit.Config[string]) { c.Cost = costs(-1) })},
		{name: "not_configured, no Key", cause: ratelimit.ErrNotConfigured, strict: true, guard: byRate(func(c *ratelimit.Config[string]) { c.Key = nil })},
	}, "ratelimit", usual, "not_configured", "not_configured, no Key")
	atOnce := func(run int, key func(*http.Request) (string, bool)) func(*testing.T, wishes) guard {
		return func(t *testing.T, w wishes) guard {
			f, err := ratelimit.NewInFlight(ratelimit.InFlightConfig[string]{
				Limit: 1, Key: key, Name: "streams",
				Observe: w.tell, AllowDespite: w.despite, RequestID: w.id, ErrorHandler: w.answer,
			})
			require.NoError(t, err)
			for range run {
				require.True(t, f.Acquire("c"))
			}
			return guard{f.Handler, check(f.Check)}
		}
	}
	running := complete([]situation{
		{name: "allowed", edits: named},
		{name: "in_flight", edits: named, cause: ratelimit.ErrInFlight, guard: atOnce(1, client)},
		{name: "no_key", cause: ratelimit.ErrNoKey},
		{name: "not_configured", cause: ratelimit.ErrNotConfigured, strict: true, guard: atOnce(0, nil)},
	}, "in flight", atOnce(0, client), "not_configured")
	windows := complete([]situation{
		{name: "allowed", edits: named},
		{name: "limited", edits: named, spent: 1, cause: ratelimit.ErrLimited},
		{name: "no_key", cause: ratelimit.ErrNoKey},
		{name: "not_configured", cause: ratelimit.ErrNotConfigured, strict: true, guard: inWindow(nil)},
	}, "window", inWindow(client), "not_configured")
	rules := complete([]situation{
		{name: "allowed"}, {name: "blocked", spent: 10, cause: ratelimit.ErrBlocked},
	}, "rate rule", rule)
	return slices.Concat(
		proven(limiter, "c", "allowed", "allowed, free", "limited", "not_configured"),
		proven(running, "c", "allowed", "in_flight"), proven(windows, "c", "allowed", "limited"), proven(rules, "192.0.2.1", "blocked"),
	)
}

// plans is a guard by a plan with two requests at once and a quota of ten units.
func plans(change func(*usageplan.Config)) func(*testing.T, wishes) guard {
	return func(t *testing.T, w wishes) guard {
		m, err := usageplan.New(planConfig(t, w, change))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, m.Close()) })
		return guard{m.Handler, check(m.Check)}
	}
}

func planConfig(t *testing.T, w wishes, change func(*usageplan.Config)) usageplan.Config {
	t.Helper()
	c := usageplan.Config{
		Client: client, API: "a", Stage: "Prod", Ledger: unitsIn(t, ledger.NewMemory()),
		Plans: []usageplan.Plan{{
			ID: "p", Name: "P", Throttle: &ratelimit.Limit{Rate: 1e-3, Burst: 2}, Quotas: []ledger.Quota{{Limit: 10, Period: ledger.Daily}},
			Stages: []usageplan.Stage{{API: "a", Name: "Prod"}},
		}},
		Members: []usageplan.Member{{Plan: "p", Client: "c"}},
		Observe: w.tell, AllowDespite: w.despite, RequestID: w.id, ErrorHandler: w.answer,
	}
	if change != nil {
		change(&c)
	}
	return c
}

func unitsIn(t *testing.T, engine ledger.Engine) *ledger.Ledger {
	t.Helper()
	l, err := ledger.New(ledger.Config{Engine: engine})
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() }) // a broken engine cannot take back what is left
	return l
}

// lost is an engine that does not answer.
type lost struct{ ledger.Engine }

func (lost) Update(ctx context.Context, _ []string, _ func(int, []byte) ([]byte, error)) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errDown
}

// unreachable is a throttle of several processes that does not answer.
type unreachable struct{}

func (unreachable) Take(ctx context.Context, _ string, _ []string, _ []ratelimit.Limit, _ []ratelimit.Decision) (int, error) {
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return 0, errDown
}

func (unreachable) GiveBack(string, []string, []ratelimit.Limit) {}

func planSituations() []situation {
	named := []func(*http.Request){with("X-Client", "c")}
	charging := func(n int64) func(*testing.T, wishes) guard {
		return plans(func(c *usageplan.Config) { c.Cost = costs(n) })
	}
	over := func(t *testing.T, w wishes) guard {
		return plans(func(c *usageplan.Config) { c.Ledger = unitsIn(t, lost{ledger.NewMemory()}) })(t, w)
	}
	away := plans(func(c *usageplan.Config) { c.Throttle = unreachable{} })
	stale := func(t *testing.T, w wishes) guard {
		log := &losable{Journal: journal.Memory(0)}
		guard := plans(func(c *usageplan.Config) { c.Journal, c.MaxStale = log, 1 })(t, w)
		log.lost = true
		return guard
	}
	meters := complete([]situation{
		{name: "allowed", edits: named},
		{name: "allowed, free", edits: named, guard: charging(0)},
		{name: "no_client", cause: usageplan.ErrNoClient},
		{name: "no_plan", edits: []func(*http.Request){with("X-Client", "other")}, cause: usageplan.ErrNoPlan},
		{name: "not_configured", edits: named, cause: usageplan.ErrNotConfigured, guard: charging(-1)},
		{name: "stale", edits: named, cause: usageplan.ErrStale, guard: stale},
	}, "usageplan", plans(nil), "not_configured", "stale")
	full := func(t *testing.T, w wishes) guard { // another request runs, and holds the only place
		c := planConfig(t, w, func(c *usageplan.Config) { c.InFlight = 1 })
		m, err := usageplan.New(c)
		require.NoError(t, err)
		_, err = m.Take(t.Context(), usageplan.Request{
			Client: "c", Route: usageplan.Route{API: "a", Stage: "Prod", Resource: "/{id}", Method: "GET"},
		})
		require.NoError(t, err)
		return guard{m.Handler, check(m.Check)}
	}
	running := complete([]situation{
		{name: "in_flight", edits: named, cause: usageplan.ErrInFlight, guard: full},
	}, "in flight", full)
	throttled := complete([]situation{
		{name: "throttled", edits: named, spent: 2, cause: usageplan.ErrThrottled},
		{name: "throttle_unavailable", edits: named, cause: usageplan.ErrThrottleUnavailable, guard: away},
		{name: "canceled", edits: append([]func(*http.Request){canceled}, named...), cause: context.Canceled, guard: away},
	}, "plan throttle", plans(nil), "throttle_unavailable", "canceled")
	used := complete([]situation{
		{name: "quota_exceeded", edits: named, spent: 1, cause: usageplan.ErrQuotaExceeded},
		{name: "unavailable", edits: named, cause: ledger.ErrUnavailable, guard: over},
		{name: "canceled", edits: append([]func(*http.Request){canceled}, named...), cause: context.Canceled, guard: over},
	}, "plan quota", charging(6), "unavailable", "canceled")
	all := slices.Concat(meters, running, throttled, used, statusSituations(named))
	for i := range all {
		for _, edit := range all[i].edits {
			r := get(edit)
			all[i].client = cmp.Or(r.Header.Get("X-Client"), all[i].client)
		}
	}
	return all
}

// statusSituations ask for what is left. It is answered without a next handler, and AllowDespite is not asked.
func statusSituations(named []func(*http.Request)) []situation {
	all := complete([]situation{
		{name: "allowed", edits: named},
		{name: "no_client", cause: usageplan.ErrNoClient},
		{name: "no_plan", edits: []func(*http.Request){with("X-Client", "other")}, cause: usageplan.ErrNoPlan},
	}, "status", func(t *testing.T, w wishes) guard {
		m, err := usageplan.New(planConfig(t, w, nil))
		require.NoError(t, err)
		return guard{func(http.Handler) http.Handler { return m.StatusHandler() }, nil}
	})
	for i := range all {
		all[i].strict = true
	}
	return all
}

// The verbs below HTTP tell once too. They have no request, so the route is what they are told, and no id comes from one.
func TestVerbsBelowHTTPTellOnce(t *testing.T) {
	ctx := t.Context()
	var told heard
	w := wishes{tell: told.tell}
	p := newPool(t)
	users, token := p.verifier(t, w, nil), p.token(t, "sub", "s")
	keys := keyVerifier(t, w)
	m, err := usageplan.New(planConfig(t, w, nil))
	require.NoError(t, err)
	route := usageplan.Route{API: "a", Stage: "Prod", Resource: "/{id}", Method: "GET"}
	take := func(client string, cost int64) error {
		_, err := m.Take(ctx, usageplan.Request{Client: client, Route: route, Cost: cost})
		return err
	}
	for _, tt := range []struct {
		ask          func() error
		layer        string
		reason, plan string
		route        string
		client       string
		cost         int64
	}{
		{func() error { _, err := users.VerifyToken(ctx, token); return err }, "auth", "", "", "", "https://issuer.example s", 0},
		{func() error { _, err := users.VerifyToken(ctx, "a.b.c"); return err }, "auth", "malformed", "", "", "", 0},
		{func() error { _, err := keys.VerifyKey(ctx, keyValue); return err }, "apikey", "", "", "", "fr92a5qpbj", 0},
		{func() error { _, err := keys.VerifyKey(ctx, ""); return err }, "apikey", "missing", "", "", "", 0},
		{func() error { _, err := keys.VerifyKey(ctx, "no key has this value"); return err }, "apikey", "unknown", "", "", "", 0},
		{func() error { return take("c", 4) }, "usageplan", "", "p", "/{id}", "c", 4},
		{func() error { return take("c", 7) }, "plan quota", "quota_exceeded", "p", "/{id}", "c", 7},
		{func() error { return take("c", 0) }, "usageplan", "", "p", "/{id}", "c", 0},
		{func() error { return take("c", 1) }, "plan throttle", "throttled", "p", "/{id}", "c", 1},
		{func() error { return take("other", 1) }, "usageplan", "no_plan", "", "/{id}", "other", 1},
		{func() error { return take("", 1) }, "usageplan", "no_client", "", "/{id}", "", 1},
	} {
		told = nil
		err := tt.ask()
		require.Len(t, told, 1, "%s %s", tt.layer, tt.reason)
		e := told[0]
		require.Equal(t, []string{tt.layer, tt.reason, tt.plan, tt.route, tt.client}, []string{e.Layer, e.Reason, e.Plan, e.Route, e.Client})
		require.Equal(t, tt.cost, e.Cost, "%s %s", tt.layer, tt.reason)
		require.Equal(t, err, e.Err)
		require.Equal(t, err == nil, e.Outcome == "allowed")
	}
}

// What only looks, or has no context, tells nothing.
func TestVerbsThatDoNotDecideTellNothing(t *testing.T) {
	var told heard
	w := wishes{tell: told.tell}
	users := newPool(t).verifier(t, w, nil)
	keys := keyVerifier(t, w)
	limit, err := ratelimit.New(ratelimit.Config[string]{Limit: ratelimit.Limit{Rate: 1.0 / 3600, Burst: 1}, Key: client, Observe: w.tell})
	require.NoError(t, err)
	m, err := usageplan.New(planConfig(t, w, nil))
	require.NoError(t, err)
	_, err = m.Status(t.Context(), "c", usageplan.Route{API: "a", Stage: "Prod", Resource: "/{id}", Method: "GET"})
	require.NoError(t, err)
	r := get(with("X-Client", "c"), with("x-api-key", "bad"), with("Authorization", "Bearer bad"))
	for _, verifier := range []interface {
		Present(*http.Request) bool
		Anonymous(*http.Request) *http.Request
	}{users, keys} {
		require.True(t, verifier.Present(r))
		verifier.Anonymous(r)
	}
	require.True(t, limit.Allow("c"))
	require.False(t, limit.Take("c", 1).OK)
	limit.Peek("c")
	require.Empty(t, told)
}
