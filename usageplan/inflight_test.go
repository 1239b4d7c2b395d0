package usageplan_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/journal"
)

const inFlight = "in flight"

// atOnce is a plan with the bounds, a throttle and a quota.
func atOnce(client, total int) usageplan.Plan {
	return usageplan.Plan{
		ID: "p", Name: "P", Stages: dev, Throttle: &ratelimit.Limit{Burst: 100}, Quotas: daily(100),
		InFlight: usageplan.InFlight{Client: client, Total: total},
	}
}

func admitted(t *testing.T, m *usageplan.Meter, client string) usageplan.Charge {
	t.Helper()
	c, err := m.Take(t.Context(), getCats(client))
	require.NoError(t, err)
	return c
}

// Each bound refuses by itself, says which it is, and takes nothing else.
func TestInFlightRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		config usageplan.Config
		second string // the client of the request that is refused
		want   string
	}{
		"client":            {usageplan.Config{Plans: []usageplan.Plan{atOnce(1, 0)}}, "a", "of the client"},
		"plan":              {usageplan.Config{Plans: []usageplan.Plan{atOnce(0, 1)}}, "b", "of all clients of the plan"},
		"meter":             {usageplan.Config{Plans: []usageplan.Plan{atOnce(0, 0)}, InFlight: 1}, "b", "of the whole meter"},
		"client before all": {usageplan.Config{Plans: []usageplan.Plan{atOnce(1, 1)}, InFlight: 1}, "a", "of the client"},
		"member": {usageplan.Config{
			Plans: []usageplan.Plan{atOnce(5, 0)}, Members: []usageplan.Member{{Plan: "p", Client: "a", InFlight: 1}},
		}, "a", "of the client"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.config.Default = "p"
			m := meter(t, tt.config)
			first := admitted(t, m, "a")
			_, err := m.Take(t.Context(), getCats(tt.second))
			require.ErrorIs(t, err, usageplan.ErrInFlight)
			require.NotErrorIs(t, err, usageplan.ErrThrottled)
			e, _ := errors.AsType[*usageplan.Error](err)
			require.Equal(t, []string{inFlight, "p", "in_flight"}, []string{e.Layer, e.Plan, e.Reason()})
			require.ErrorContains(t, err, `in flight of "p": too many requests run at once: `+tt.want)
			require.Equal(t, 1, m.Stats().InFlight)
			require.EqualValues(t, 1, m.Stats().NoPlace)
			first.Release()
			require.Zero(t, m.Stats().InFlight)
			second := admitted(t, m, tt.second)
			want := map[string]int64{"a": 2, "b": 1}[tt.second] // the first request is a's
			require.Equal(t, want, used(t, m, "p", tt.second), "the refused one took none")
			second.Release()
		})
	}
}

// The answer has no Retry-After and no fields: nobody knows when a request ends.
func TestInFlightAnswer(t *testing.T) {
	m := meter(t, usageplan.Config{Plans: []usageplan.Plan{atOnce(1, 0)}, Default: "p"})
	held, err := m.Check(catsOf("a"))
	require.NoError(t, err)
	w := httptest.NewRecorder()
	m.Handler(http.NotFoundHandler()).ServeHTTP(w, catsOf("a"))
	require.Equal(t, http.StatusTooManyRequests, w.Code)
	require.Equal(t, "TooManyRequestsException", w.Header().Get("X-Amzn-ErrorType"))
	require.JSONEq(t, `{"message":"Too Many Requests"}`, w.Body.String())
	for _, name := range []string{"Retry-After", "RateLimit", "RateLimit-Policy"} {
		require.Empty(t, w.Header().Get(name), name)
	}
	held.Release()
	st, err := m.Status(t.Context(), "a", getCats("a").Route)
	require.NoError(t, err)
	require.Equal(t, 1, st.InFlight)
	r := catsOf("a")
	r.Header.Set("Accept", "text/html")
	w = httptest.NewRecorder()
	m.StatusHandler().ServeHTTP(w, r)
	require.Contains(t, w.Body.String(), `<dt>In flight</dt><dd class="figure">1</dd>`)
}

// A place is given back if a later limit refuses, or cannot decide.
func TestLaterRefusalGivesThePlaceBack(t *testing.T) {
	throttle := atOnce(1, 1)
	throttle.Throttle = &ratelimit.Limit{}
	quota := atOnce(1, 1)
	quota.Quotas = daily(0)
	for layer, c := range map[string]usageplan.Config{
		planThrottle:         {Plans: []usageplan.Plan{throttle}},
		planQuota:            {Plans: []usageplan.Plan{quota}},
		stageMethodThrottle:  {Plans: []usageplan.Plan{atOnce(1, 1)}, StageThrottles: []usageplan.Stage{{API: "pets", Name: "dev", Methods: map[string]ratelimit.Limit{"/cats/GET": {}}}}},
		"plan throttle, 503": {Plans: []usageplan.Plan{atOnce(1, 1)}, Throttle: &script{err: errors.New("down")}},
	} {
		c.Default, c.InFlight = "p", 1
		m := meter(t, c)
		for range 3 {
			_, err := m.Take(t.Context(), getCats("a"))
			e, _ := errors.AsType[*usageplan.Error](err)
			require.Contains(t, layer, e.Layer)
			require.NotEqual(t, inFlight, e.Layer)
		}
		require.Zero(t, m.Stats().InFlight, layer)
	}
}

// panicking is a throttle of several processes that has a fault.
type panicking struct{ script }

func (*panicking) Take(context.Context, string, []string, []ratelimit.Limit, []ratelimit.Decision) (int, error) {
	panic("a fault")
}

// Code of others that panics or ends the goroutine holds no place, wherever it is called.
func TestPanicsGiveThePlaceBack(t *testing.T) {
	none := func(http.ResponseWriter, *http.Request) {}
	for name, tt := range map[string]struct {
		config usageplan.Config
		next   http.HandlerFunc
	}{
		"throttle":        {usageplan.Config{Throttle: new(panicking)}, none},
		"observer":        {usageplan.Config{Observe: func(context.Context, usageplan.Event) { panic("a fault") }}, none},
		"observer exits":  {usageplan.Config{Observe: func(context.Context, usageplan.Event) { runtime.Goexit() }}, none},
		"request id":      {usageplan.Config{Observe: func(context.Context, usageplan.Event) {}, RequestID: func(*http.Request) string { panic("a fault") }}, none},
		"handler":         {usageplan.Config{}, func(http.ResponseWriter, *http.Request) { panic("a fault") }},
		"handler aborts":  {usageplan.Config{}, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		"handler exits":   {usageplan.Config{}, func(http.ResponseWriter, *http.Request) { runtime.Goexit() }},
		"handler frees":   {usageplan.Config{ChargeInContext: true}, releaseTwice},
		"handler returns": {usageplan.Config{}, none},
	} {
		tt.config.Plans, tt.config.Default, tt.config.InFlight = []usageplan.Plan{atOnce(1, 1)}, "p", 1
		m := meter(t, tt.config)
		h := m.Handler(tt.next)
		for range 3 {
			done := make(chan struct{})
			go func() {
				defer close(done)
				defer func() { _ = recover() }()
				h.ServeHTTP(httptest.NewRecorder(), catsOf("a"))
			}()
			<-done
			require.Zero(t, m.Stats().InFlight, name)
			require.Zero(t, m.Stats().NoPlace, name)
		}
	}
}

func releaseTwice(_ http.ResponseWriter, r *http.Request) {
	c, found := usageplan.FromContext(r.Context())
	if !found {
		panic("no charge")
	}
	c.Release()
	c.Release()
}

// All copies of a charge are one place, also if several goroutines release it at once.
func TestReleaseIsIdempotentOverCopies(t *testing.T) {
	m := meter(t, usageplan.Config{Plans: []usageplan.Plan{atOnce(2, 2)}, Default: "p", InFlight: 2})
	kept, given := admitted(t, m, "a"), admitted(t, m, "a")
	inner, _ := usageplan.FromContext(usageplan.NewContext(t.Context(), given))
	var all sync.WaitGroup
	for _, c := range []usageplan.Charge{given, given, inner, inner} {
		all.Go(c.Release)
	}
	all.Wait()
	require.Equal(t, 1, m.Stats().InFlight)
	require.NoError(t, given.Settle(t.Context(), 0))
	again := admitted(t, m, "a")
	require.Equal(t, inFlight, layer(t, m, getCats("a")))
	given.Release()
	require.Equal(t, inFlight, layer(t, m, getCats("a")), "the place is another request's now")
	kept.Release()
	again.Release()
	require.Zero(t, m.Stats().InFlight)
	usageplan.Charge{}.Release()
}

// What AllowDespite admits has no place, and gives none back.
func TestInFlightDespite(t *testing.T) {
	m := meter(t, usageplan.Config{
		Plans: []usageplan.Plan{atOnce(1, 0)}, Default: "p",
		AllowDespite: func(_ *http.Request, err error) bool { return errors.Is(err, usageplan.ErrInFlight) },
	})
	held, err := m.Check(catsOf("a"))
	require.NoError(t, err)
	despite, err := m.Check(catsOf("a"))
	require.NoError(t, err)
	despite.Release()
	require.Equal(t, 1, m.Stats().InFlight)
	require.EqualValues(t, 1, m.Stats().NoPlace)
	held.Release()
	require.Zero(t, m.Stats().InFlight)
}

// A change acts on the next request of every meter that follows. What runs stays counted, also over a plan that is
// deleted and created again.
func TestInFlightChangesAtRunTime(t *testing.T) {
	log := journal.Memory(0)
	m, other := meter(t, usageplan.Config{Journal: log}), meter(t, usageplan.Config{Journal: log})
	set := func(client, total int) {
		putPlan(t, other, atOnce(client, total))
		require.NoError(t, m.Refresh(t.Context()))
	}
	set(3, 0)
	for _, client := range []string{"a", "b"} {
		require.NoError(t, m.AddMembers(t.Context(), usageplan.Member{Plan: "p", Client: client}))
	}
	require.NoError(t, other.Refresh(t.Context()))
	running := []usageplan.Charge{admitted(t, m, "a"), admitted(t, m, "a"), admitted(t, m, "a")}
	require.Equal(t, inFlight, layer(t, m, getCats("a")))
	set(2, 0)
	running[0].Release()
	require.Equal(t, inFlight, layer(t, m, getCats("a")), "2 run")
	set(4, 0)
	running[0] = admitted(t, m, "a")
	_, err := m.UpdateMember(t.Context(), "p", "a", func(k *usageplan.Member) error { k.InFlight = 3; return nil })
	require.NoError(t, err)
	require.Equal(t, inFlight, layer(t, m, getCats("a")), "its own bound")
	require.NoError(t, other.Refresh(t.Context()))

	dropPlan(t, other, "p")
	require.NoError(t, m.Refresh(t.Context()))
	putPlan(t, other, atOnce(3, 0))
	require.NoError(t, other.AddMembers(t.Context(), usageplan.Member{Plan: "p", Client: "a"}))
	require.NoError(t, m.Refresh(t.Context()))
	require.Equal(t, inFlight, layer(t, m, getCats("a")), "3 still run")
	for _, c := range running {
		c.Release()
	}
	admitted(t, m, "a").Release()
	require.Zero(t, m.Stats().InFlight)
}

// A bound says in the history what it was and what it is.
func TestInFlightIsInTheHistory(t *testing.T) {
	m := meter(t, usageplan.Config{Journal: journal.Memory(0)})
	putPlan(t, m, atOnce(0, 0))
	putMember(t, m, usageplan.Member{Plan: "p", Client: "a"})
	for _, f := range []usageplan.InFlight{{Client: 4, Total: 100}, {Total: 9}, {}} {
		_, err := m.UpdatePlan(t.Context(), "p", func(p *usageplan.Plan) error { p.InFlight = f; return nil })
		require.NoError(t, err)
	}
	require.Equal(t, []string{
		"UpdateUsagePlan: in flight: 9 in all → none", "UpdateUsagePlan: in flight: 4 a client, 100 in all → 9 in all",
		"UpdateUsagePlan: in flight: none → 4 a client, 100 in all",
	}, operations(t, m, "p", "")[:3])
	for _, n := range []int{2, 0} {
		_, err := m.UpdateMember(t.Context(), "p", "a", func(k *usageplan.Member) error { k.InFlight = n; return nil })
		require.NoError(t, err)
	}
	require.Equal(t, []string{"UpdateUsagePlanKey: in flight: 2 → the plan's", "UpdateUsagePlanKey: in flight: the plan's → 2"},
		operations(t, m, "p", "a")[:2])
}

func TestInFlightOutOfBounds(t *testing.T) {
	for want, f := range map[string]usageplan.InFlight{
		`plan "p": inFlight: client: -1 is not within 0 to 65535`:   {Client: -1},
		`plan "p": inFlight: total: 65536 is not within 0 to 65535`: {Total: 65_536},
	} {
		require.ErrorContains(t, usageplan.ValidatePlan(atOnce(f.Client, f.Total)), want)
	}
	_, err := usageplan.New(usageplan.Config{InFlight: -1, Ledger: memory(t), Plans: []usageplan.Plan{atOnce(1, 0)}, Members: []usageplan.Member{
		{Plan: "p", Client: "a", InFlight: -1},
	}})
	require.ErrorContains(t, err, "Config.InFlight -1 is not within 0 to 2147483647")
	require.ErrorContains(t, err, `plan "p": member "a": inFlight: -1 is not within 0 to 65535`)
	for text, want := range map[string]string{
		`{"name": "a", "inFlight": 4}`:                        "$.inFlight is not an object",
		`{"name": "a", "inFlight": {"client": 1.5}}`:          "$.inFlight.client is not a whole number",
		`{"name": "a", "inFlight": {"client": 65536}}`:        "$.inFlight.client 65536 is not within 0 to 65535",
		`{"name": "a", "inFlight": {"total": -1}}`:            "$.inFlight.total -1 is not within",
		`{"name": "a", "inFlight": {"all": 1}}`:               "$.inFlight.all is not a field",
		`{"name": "a", "inFlight": {"client": 4294967297}}`:   "$.inFlight.client 4294967297 is not within",
		`{"name": "a", "inFlight": {"Total": 1, "total": 1}}`: "$.inFlight.Total is not a field of API Gateway's, but total is",
	} {
		_, err := usageplan.Load(strings.NewReader(text))
		require.ErrorContains(t, err, want, text)
	}
}

func TestInFlightInJSON(t *testing.T) {
	for f, want := range map[usageplan.InFlight]string{
		{}:                     `{"id": "p", "name": "P", "apiStages": []}`,
		{Client: 4}:            `{"id": "p", "name": "P", "apiStages": [], "inFlight": {"client": 4}}`,
		{Client: 4, Total: 99}: `{"id": "p", "name": "P", "apiStages": [], "inFlight": {"client": 4, "total": 99}}`,
	} {
		p := usageplan.Plan{ID: "p", Name: "P", InFlight: f}
		text, err := p.MarshalJSON()
		require.NoError(t, err)
		require.JSONEq(t, want, string(text))
		var again usageplan.Plan
		require.NoError(t, again.UnmarshalJSON(text))
		require.Equal(t, p, again)
	}
	plans, err := usageplan.Load(strings.NewReader(`{"name": "a", "inFlight": null}`))
	require.NoError(t, err)
	require.Zero(t, plans[0].InFlight)
}

// A crowd is the naive model of what runs. A request counts where a bound has applied to it when it was admitted.
type crowd struct {
	plans   map[string]usageplan.InFlight
	own     map[string]int    // by client
	of      map[string]string // the plan of a client
	running map[[2]string]int // by plan and client; "" is the whole plan
	all     int
}

// take decides about a request, and returns what counts it.
func (c *crowd) take(client string, most int) (held [][2]string, ok bool) {
	plan := c.of[client]
	f := c.plans[plan]
	if c.own[client] > 0 {
		f.Client = c.own[client]
	}
	for _, by := range []struct {
		key   [2]string
		limit int
	}{{[2]string{plan, client}, f.Client}, {[2]string{plan, ""}, f.Total}} {
		if by.limit > 0 && c.running[by.key] >= by.limit {
			return nil, false
		}
		if by.limit > 0 {
			held = append(held, by.key)
		}
	}
	if c.all >= most {
		return nil, false
	}
	for _, key := range held {
		c.running[key]++
	}
	c.all++
	return held, true
}

func (c *crowd) release(held [][2]string) {
	for _, key := range held {
		c.running[key]--
	}
	c.all--
}

// Whatever changes and ends in between, the meter admits exactly what the model does, and units are taken for nothing
// else.
func TestInFlightDecidesAsTheModel(t *testing.T) {
	type running struct {
		charge usageplan.Charge
		held   [][2]string
	}
	for seed := range uint64(heavy(200)) {
		r := rand.New(rand.NewPCG(seed, 25))
		names := []string{"a", "b", "c"}
		model := crowd{
			plans: map[string]usageplan.InFlight{"p": {Client: 2}, "q": {Total: 3}}, own: map[string]int{},
			of: map[string]string{"a": "p", "b": "p", "c": "q"}, running: map[[2]string]int{},
		}
		most := 4 + r.IntN(4)
		config := usageplan.Config{InFlight: most, Journal: journal.Memory(0)}
		for id, f := range model.plans {
			config.Plans = append(config.Plans, usageplan.Plan{ID: id, Name: id, Stages: dev, InFlight: f})
		}
		for client, plan := range model.of {
			config.Members = append(config.Members, usageplan.Member{Plan: plan, Client: client})
		}
		m := meter(t, config)
		var all []running
		for range 200 {
			client := names[r.IntN(3)]
			switch n := r.IntN(10); {
			case n < 5:
				held, ok := model.take(client, most)
				c, err := m.Take(t.Context(), getCats(client))
				require.Equal(t, ok, err == nil, "seed %d: %v", seed, err)
				if ok {
					all = append(all, running{c, held})
				} else {
					require.ErrorIs(t, err, usageplan.ErrInFlight)
				}
			case n < 8 && len(all) > 0:
				i := r.IntN(len(all))
				for range 1 + r.IntN(2) {
					all[i].charge.Release()
				}
				model.release(all[i].held)
				all = append(all[:i], all[i+1:]...)
			case n == 8:
				id, f := []string{"p", "q"}[r.IntN(2)], usageplan.InFlight{Client: r.IntN(4), Total: r.IntN(5)}
				model.plans[id] = f
				_, err := m.UpdatePlan(t.Context(), id, func(p *usageplan.Plan) error { p.InFlight = f; return nil })
				require.NoError(t, err)
			default:
				own, to := r.IntN(3), []string{"p", "q"}[r.IntN(2)]
				_, err := m.UpdateMember(t.Context(), model.of[client], client, func(k *usageplan.Member) error {
					k.InFlight, k.Plan = own, to
					return nil
				})
				require.NoError(t, err)
				model.own[client], model.of[client] = own, to
			}
			require.Equal(t, model.all, m.Stats().InFlight)
		}
	}
}

// Requests that come and end at once never exceed any bound, while the bounds change.
func TestInFlightNeverExceedsUnderLoad(t *testing.T) {
	const most, perPlan, perClient = 6, 5, 3
	m := meter(t, usageplan.Config{
		Plans: []usageplan.Plan{atOnce(perClient, perPlan), {ID: "q", Name: "Q", Stages: dev, InFlight: usageplan.InFlight{Client: perClient}}},
		Members: []usageplan.Member{
			{Plan: "p", Client: "a"}, {Plan: "p", Client: "b"}, {Plan: "q", Client: "c"}, {Plan: "q", Client: "d"},
		},
		InFlight: most,
	})
	_, err := m.UpdatePlan(t.Context(), "p", func(p *usageplan.Plan) error { p.Throttle, p.Quotas = nil, nil; return nil })
	require.NoError(t, err)
	var running [4]atomic.Int64 // by client
	var ofPlan [2]atomic.Int64
	var all, admissions atomic.Int64
	var work sync.WaitGroup
	for i := range 8 {
		client := i % 4
		work.Go(func() {
			for range heavy(20_000) {
				c, err := m.Take(context.Background(), getCats(string(rune('a'+client))))
				if err != nil {
					if !errors.Is(err, usageplan.ErrInFlight) {
						t.Error(err)
					}
					continue
				}
				admissions.Add(1)
				mine, ours, n := running[client].Add(1), ofPlan[client/2].Add(1), all.Add(1)
				if mine > perClient || client < 2 && ours > perPlan || n > most {
					t.Errorf("%d of the client run, %d of its plan, %d in all", mine, ours, n)
				}
				runtime.Gosched()
				all.Add(-1)
				ofPlan[client/2].Add(-1)
				running[client].Add(-1)
				c.Release()
			}
		})
	}
	for i := range heavy(2_000) {
		n := 1 + i%perClient
		_, err := m.UpdatePlan(t.Context(), "p", func(p *usageplan.Plan) error {
			p.InFlight = usageplan.InFlight{Client: n, Total: n + 2}
			return nil
		})
		require.NoError(t, err)
	}
	work.Wait()
	require.Positive(t, admissions.Load())
	require.Zero(t, m.Stats().InFlight)
}
