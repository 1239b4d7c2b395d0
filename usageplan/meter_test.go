package usageplan_test

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// What [usageplan.Error].Layer names, and "" where no limit has refused.
const (
	noLayer             = ""
	planMethodThrottle  = "plan method throttle"
	planThrottle        = "plan throttle"
	planQuota           = "plan quota"
	stageMethodThrottle = "stage method throttle"
	accountThrottle     = "account throttle"
)

func memory(t *testing.T) *ledger.Ledger {
	t.Helper()
	quotas, err := ledger.New(ledger.Config{Engine: ledger.NewMemory()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, quotas.Close()) })
	return quotas
}

// meter completes c by what every test needs.
func meter(t *testing.T, c usageplan.Config) *usageplan.Meter {
	t.Helper()
	c.Client = caller
	if c.API == "" {
		c.API, c.Stage = "pets", "dev"
	}
	if c.Ledger == nil {
		c.Ledger = memory(t)
	}
	m, err := usageplan.New(c)
	require.NoError(t, err)
	return m
}

var dev = []usageplan.Stage{{API: "pets", Name: "dev"}}

func daily(limit int64) []ledger.Quota {
	return []ledger.Quota{{Limit: limit, Period: ledger.Daily}}
}

func getCats(client string) usageplan.Request {
	return usageplan.Request{Client: client, Route: usageplan.Route{API: "pets", Stage: "dev", Resource: "/cats", Method: "GET"}, Cost: 1}
}

// layer takes once and tells which layer refused.
func layer(t *testing.T, m *usageplan.Meter, q usageplan.Request) string {
	t.Helper()
	_, err := m.Take(t.Context(), q)
	if err == nil {
		return noLayer
	}
	e, is := errors.AsType[*usageplan.Error](err)
	require.True(t, is)
	require.NotZero(t, e.Layer, "%v", err)
	return e.Layer
}

func used(t *testing.T, m *usageplan.Meter, plan, client string) int64 {
	t.Helper()
	b, err := m.Balance(t.Context(), usageplan.QuotaKey{Plan: plan, Client: client})
	require.NoError(t, err)
	return b.Used
}

func TestLayersRefuseInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := func(burst int64) ratelimit.Limit { return ratelimit.Limit{Burst: burst} } // never refills
		throttle := limit(3)
		account := limit(6)
		m := meter(t, usageplan.Config{
			Plans: []usageplan.Plan{{
				ID: "p", Name: "P", Throttle: &throttle, Quotas: daily(4),
				Stages: []usageplan.Stage{{API: "pets", Name: "dev", Methods: map[string]ratelimit.Limit{"/cats/GET": limit(1)}}},
			}},
			Members:         []usageplan.Member{{Plan: "p", Client: "a"}, {Plan: "p", Client: "b"}, {Plan: "p", Client: "c"}},
			StageThrottles:  []usageplan.Stage{{API: "pets", Name: "dev", Methods: map[string]ratelimit.Limit{"/dogs/GET": limit(5)}}},
			AccountThrottle: &account,
		})
		cats, dogs := getCats("a"), getCats("a")
		dogs.Route.Resource = "/dogs"
		require.Equal(t, noLayer, layer(t, m, cats))
		require.Equal(t, planMethodThrottle, layer(t, m, cats))
		require.Equal(t, noLayer, layer(t, m, dogs))
		require.Equal(t, noLayer, layer(t, m, dogs))
		require.Equal(t, planThrottle, layer(t, m, dogs))
		require.EqualValues(t, 3, used(t, m, "p", "a"), "refusals consume nothing")

		dogs.Client = "b"
		dogs.Cost = 4
		require.Equal(t, noLayer, layer(t, m, dogs)) // the whole quota at once
		dogs.Cost = 1
		require.Equal(t, planQuota, layer(t, m, dogs))

		dogs.Client = "c"
		require.Equal(t, noLayer, layer(t, m, dogs))
		require.Equal(t, noLayer, layer(t, m, dogs)) // the account's sixth
		cats.Client = "c"
		require.Equal(t, accountThrottle, layer(t, m, cats))
		dogs.Client = "b"
		require.Equal(t, planQuota, layer(t, m, dogs), "the quota answers before the account's throttle")
	})
}

func TestStageMethodThrottleIsSharedByAllCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := meter(t, usageplan.Config{
			Plans:          []usageplan.Plan{{ID: "p", Name: "P", Quotas: daily(100), Stages: dev}},
			Members:        []usageplan.Member{{Plan: "p", Client: "a"}, {Plan: "p", Client: "b"}},
			StageThrottles: []usageplan.Stage{{API: "pets", Name: "dev", Methods: map[string]ratelimit.Limit{"/*/*": {Rate: 1, Burst: 1}}}},
		})
		require.Equal(t, noLayer, layer(t, m, getCats("a")))
		require.Equal(t, stageMethodThrottle, layer(t, m, getCats("b")))
		other := getCats("b")
		other.Route.Resource = "/dogs"
		require.Equal(t, noLayer, layer(t, m, other), "each method has a bucket of its own")
		require.EqualValues(t, 1, used(t, m, "p", "b"))
		time.Sleep(time.Second)
		require.Equal(t, noLayer, layer(t, m, getCats("b")))
	})
}

func TestPlanOfTheStageApplies(t *testing.T) {
	one := ratelimit.Limit{Burst: 1}
	m := meter(t, usageplan.Config{
		Plans: []usageplan.Plan{
			{ID: "dev", Name: "Dev", Stages: dev, Quotas: daily(5)},
			{ID: "prod", Name: "Prod", Stages: []usageplan.Stage{{API: "pets", Name: "prod"}}, Quotas: daily(5)},
			{ID: "free", Name: "Free", Stages: dev, Quotas: daily(1)},
		},
		Members: []usageplan.Member{
			{Plan: "dev", Client: "both"},
			{Plan: "prod", Client: "both"},
			{Plan: "dev", Client: "slow", Throttle: &one, Limits: map[ledger.Period]int64{ledger.Daily: 3}},
		},
		Default: "free",
	})
	prod := getCats("both")
	prod.Route.Stage = "prod"
	c, err := m.Take(t.Context(), prod)
	require.NoError(t, err)
	require.Equal(t, "prod", c.Plan)
	c, err = m.Take(t.Context(), getCats("both"))
	require.NoError(t, err)
	require.Equal(t, "dev", c.Plan)

	require.Equal(t, noLayer, layer(t, m, getCats("slow")))
	require.Equal(t, planThrottle, layer(t, m, getCats("slow")), "the member's own throttle")
	b, err := m.Balance(t.Context(), usageplan.QuotaKey{Plan: "dev", Client: "slow"})
	require.NoError(t, err)
	require.EqualValues(t, 3, b.Limit, "the member's own limit")

	c, err = m.Take(t.Context(), getCats("stranger"))
	require.NoError(t, err)
	require.Equal(t, "free", c.Plan, "the default plan")
	require.Equal(t, planQuota, layer(t, m, getCats("stranger")))

	prod.Client = "stranger"
	_, err = m.Take(t.Context(), prod)
	require.ErrorIs(t, err, usageplan.ErrNoPlan, "the default plan does not open this stage")
}

func TestNewReportsEveryMistake(t *testing.T) {
	_, err := usageplan.New(usageplan.Config{
		Plans: []usageplan.Plan{
			{ID: "p", Name: "P", Quotas: daily(10), Stages: []usageplan.Stage{{API: "pets"}}},
			{Quotas: []ledger.Quota{{Period: ledger.Daily}, {Period: ledger.Daily}}, Throttle: &ratelimit.Limit{Rate: -1}},
		},
		Members:         []usageplan.Member{{Plan: "nowhere", Client: "a"}},
		Default:         "gone",
		Client:          caller,
		StageThrottles:  []usageplan.Stage{{API: "a", Name: "b"}, {API: "a", Name: "b"}},
		AccountThrottle: &ratelimit.Limit{Rate: -1},
	})
	require.ErrorIs(t, err, usageplan.ErrInvalid)
	for _, want := range []string{
		"Config.Route, or API and Stage, is required", "there is no ledger", "Config.AccountThrottle: ratelimit: rate -1",
		`plan "p": stages[0]: api and name are required`, `plan "": has an id of 0 bytes`, `plan "": has no name`,
		`plan "": quotas[1]: a second quota for period DAY`, `plan "": throttle: ratelimit: rate -1`,
		"Config.StageThrottles: stages[1]: a:b is listed twice",
		`no plan "nowhere"`, `default plan "gone"`,
	} {
		require.ErrorContains(t, err, want)
	}
	for line := range strings.Lines(err.Error()) {
		require.True(t, strings.HasPrefix(line, "usageplan: invalid: "), line)
	}
}

func TestZeroMeterRefuses(t *testing.T) {
	for name, m := range map[string]*usageplan.Meter{"zero": {}, "nil": nil} {
		t.Run(name, func(t *testing.T) {
			_, take := m.Take(t.Context(), getCats("a"))
			_, stand := m.Status(t.Context(), "a", getCats("a").Route)
			_, balance := m.Balance(t.Context(), usageplan.QuotaKey{})
			_, extend := m.Extend(t.Context(), usageplan.QuotaKey{}, ledger.Adjustment{})
			_, correct := m.Correct(t.Context(), usageplan.QuotaKey{}, ledger.Adjustment{})
			_, remaining := m.SetRemaining(t.Context(), usageplan.QuotaKey{}, 1, ledger.Adjustment{})
			put := putting(usageplan.Plan{ID: "p", Name: "P"})(t.Context(), m)
			for _, err := range []error{take, stand, balance, extend, correct, remaining, put, m.Refresh(t.Context())} {
				require.ErrorIs(t, err, usageplan.ErrNotConfigured)
			}
			for _, err := range m.Usage(t.Context(), usageplan.QuotaKey{}, time.Now(), time.Now()) {
				require.ErrorIs(t, err, usageplan.ErrNotConfigured)
			}
			require.Empty(t, slices.Collect(m.Plans()))
			require.Empty(t, members(m, "p"))
			require.Empty(t, m.Memberships("a"))
			require.Empty(t, m.Default())
			for _, h := range []http.Handler{m.Handler(http.NotFoundHandler()), m.StatusHandler()} {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
				require.Equal(t, http.StatusInternalServerError, w.Code)
				require.JSONEq(t, `{"message":"Internal server error"}`, w.Body.String())
			}
		})
	}
	require.NotPanics(t, func() { _ = (&usageplan.Error{}).Error() })
}

func TestFieldsTellOwnLimitsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serve := func(strict bool) (admitted, refused http.Header) {
			m := meter(t, usageplan.Config{
				Plans: []usageplan.Plan{{
					ID: "p", Name: "P", Throttle: &ratelimit.Limit{Rate: 0.5, Burst: 1}, Quotas: daily(2),
					Stages: []usageplan.Stage{{API: "pets", Name: "dev", Methods: map[string]ratelimit.Limit{"/cats/GET": {Burst: 9}}}},
				}},
				Members:   []usageplan.Member{{Plan: "p", Client: "a"}},
				AWSStrict: strict,
			})
			mux := http.NewServeMux()
			mux.Handle("GET /dev/cats", m.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
			return call(mux, "a", "/dev/cats").Header, call(mux, "a", "/dev/cats").Header
		}
		admitted, refused := serve(false)
		require.Equal(t, `"throttle-method";q=9, "throttle";q=1;w=2, "quota-day";q=2;w=86400`, admitted.Get("RateLimit-Policy"))
		require.Equal(t, `"throttle-method";r=8, "throttle";r=0;t=2, "quota-day";r=1;t=86400`, admitted.Get("RateLimit"))
		require.Equal(t, "2", refused.Get("Retry-After"))
		require.Equal(t, `"throttle";r=0;t=2`, refused.Get("RateLimit"))
		admitted, refused = serve(true)
		for _, name := range []string{"RateLimit", "RateLimit-Policy", "Retry-After"} {
			require.Empty(t, admitted.Get(name)+refused.Get(name))
		}
	})
}

func TestSeveralQuotasAreOneDecision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := meter(t, usageplan.Config{
			Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Quotas: []ledger.Quota{
				{Limit: 3, Period: ledger.Daily}, {Limit: 5, Period: ledger.Monthly},
			}}},
			Members: []usageplan.Member{{Plan: "p", Client: "a"}},
		})
		for range 3 {
			require.Equal(t, noLayer, layer(t, m, getCats("a")))
		}
		require.Equal(t, planQuota, layer(t, m, getCats("a")))
		time.Sleep(24 * time.Hour)
		charge, err := m.Take(t.Context(), getCats("a"))
		require.NoError(t, err)
		month, found := charge.Balance(ledger.Monthly)
		require.True(t, found)
		require.EqualValues(t, 1, month.Remaining)
		require.Equal(t, noLayer, layer(t, m, getCats("a")))
		require.Equal(t, planQuota, layer(t, m, getCats("a")), "the month is used up")
		day, err := m.Balance(t.Context(), usageplan.QuotaKey{Plan: "p", Client: "a", Period: ledger.Daily})
		require.NoError(t, err)
		require.EqualValues(t, 2, day.Used, "the day was given back")

		require.NoError(t, charge.Settle(t.Context(), 0))
		st, err := m.Status(t.Context(), "a", getCats("a").Route)
		require.NoError(t, err)
		require.Len(t, st.Quotas, 2)
		require.Equal(t, ledger.Monthly, st.Period, "the quota that runs out first")
		require.EqualValues(t, 1, st.Remaining)
	})
}

// If the quota does not count requests, a client must not read its numbers as requests.
func TestQuotaWithoutUnitIsNotTold(t *testing.T) {
	cost := func(*http.Request) int64 { return 3 }
	free := func(*http.Request) int64 { return 0 }
	for _, tt := range []struct {
		name            string
		config          usageplan.Config
		policy, refused string
	}{
		{"requests", usageplan.Config{}, `"throttle";q=9;w=9, "quota-day";q=5;w=86400`, `"quota-day";q=5;w=86400`},
		{"a cost without a name", usageplan.Config{Cost: cost}, `"throttle";q=9;w=9`, ""},
		{"a cost of nothing, without a name", usageplan.Config{Cost: free}, `"throttle";q=9;w=9`, ""},
		{"a cost in bytes", usageplan.Config{Cost: cost, Unit: "content-bytes"}, `"throttle";q=9;w=9, "quota-day";qu="content-bytes";q=5;w=86400`, `"quota-day";qu="content-bytes";q=5;w=86400`},
		{"a cost in requests", usageplan.Config{Cost: cost, Unit: "requests"}, `"throttle";q=9;w=9, "quota-day";q=5;w=86400`, `"quota-day";q=5;w=86400`},
		{"settled in tokens", usageplan.Config{Unit: "tokens"}, `"throttle";q=9;w=9, "quota-day";qu="tokens";q=5;w=86400`, `"quota-day";qu="tokens";q=5;w=86400`},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := tt.config
			c.Plans = []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Throttle: &ratelimit.Limit{Rate: 1, Burst: 9}, Quotas: daily(5)}}
			c.Default = "p"
			m := meter(t, c)
			mux := http.NewServeMux()
			mux.Handle("GET /dev/cats", m.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
			require.Equal(t, parts(tt.policy), parts(call(mux, "a", "/dev/cats").Header.Get("RateLimit-Policy")), tt.name)
			var last *http.Response
			for range 5 {
				last = call(mux, "a", "/dev/cats")
			}
			if tt.name != "a cost of nothing, without a name" {
				require.Equal(t, http.StatusTooManyRequests, last.StatusCode)
				require.Equal(t, parts(tt.refused), parts(last.Header.Get("RateLimit-Policy")), tt.name)
				require.Equal(t, tt.refused == "", last.Header.Get("RateLimit") == "", tt.name)
				require.NotEmpty(t, last.Header.Get("Retry-After"))
			}
		})
	}
	m := meter(t, usageplan.Config{Default: "p", Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Quotas: daily(5)}}})
	require.Equal(t, "p", m.Default())
	q := getCats("a")
	q.Cost = 2
	charge, err := m.Take(t.Context(), q)
	require.NoError(t, err)
	h := http.Header{}
	charge.SetHeader(h)
	require.Empty(t, h, "a cost that the caller of Take names, without a unit")

	_, err = usageplan.New(usageplan.Config{Unit: "bytes\n"})
	require.ErrorContains(t, err, "Config.Unit")
}

// parts are the items and parameters of a field, in an order of their own: the order of parameters says nothing.
func parts(field string) []string {
	p := strings.FieldsFunc(field, func(r rune) bool { return r == ';' || r == ',' })
	slices.Sort(p)
	return p
}

// With ChargeInContext, the handler finds its charge, and outer layers find the pattern of a mux inside.
func TestHandlerGetsItsCharge(t *testing.T) {
	for _, asked := range []bool{false, true} {
		m := meter(t, usageplan.Config{
			ChargeInContext: asked, Cost: func(*http.Request) int64 { return 10 },
			Route:   func(*http.Request) (usageplan.Route, bool) { return getCats("a").Route, true },
			Plans:   []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Quotas: daily(100)}},
			Members: []usageplan.Member{{Plan: "p", Client: "a"}},
		})
		mux := http.NewServeMux()
		mux.HandleFunc("GET /dev/cats", func(_ http.ResponseWriter, r *http.Request) {
			charge, found := usageplan.FromContext(r.Context())
			require.Equal(t, asked, found)
			if !found {
				return
			}
			require.Equal(t, []string{"a", "p"}, []string{charge.Client, charge.Plan})
			require.NoError(t, charge.Settle(r.Context(), 3))
			require.NoError(t, r.Context().Err())
			require.Equal(t, "outer", r.Context().Value(outerKey{}), "the rest of the context is there")
		})
		r := httptest.NewRequest(http.MethodGet, "/dev/cats", nil)
		r = r.WithContext(context.WithValue(r.Context(), outerKey{}, "outer"))
		r.Header.Set("Verified-Client", "a")
		w := httptest.NewRecorder()
		m.Handler(mux).ServeHTTP(w, r)
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, "GET /dev/cats", r.Pattern)
		want := int64(10)
		if asked {
			want = 3
		}
		require.Equal(t, want, used(t, m, "p", "a"))
	}
	_, found := usageplan.FromContext(t.Context())
	require.False(t, found)
}

type outerKey struct{}

// A request that AllowDespite admitted has no charge, not even that of an outer meter.
func TestNoChargeForARequestAdmittedDespite(t *testing.T) {
	route := func(*http.Request) (usageplan.Route, bool) { return getCats("a").Route, true }
	outer := meter(t, usageplan.Config{ChargeInContext: true, Route: route, Default: "p", Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev}}})
	inner := meter(t, usageplan.Config{ChargeInContext: true, Route: route, AllowDespite: func(*http.Request, error) bool { return true }})
	served := false
	h := outer.Handler(inner.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, found := usageplan.FromContext(r.Context())
		require.False(t, found)
		served = true
	})))
	call(h, "a", "/dev/cats")
	require.True(t, served)
}

// No response shares its header values with another.
func TestHeaderValuesBelongToTheResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := meter(t, usageplan.Config{Default: "p", Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Throttle: &ratelimit.Limit{Burst: 9}, Quotas: daily(2)}}})
		mux := http.NewServeMux()
		mux.Handle("GET /dev/cats", m.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
		spoil := func(h http.Header) http.Header {
			was := h.Clone()
			for _, values := range h {
				for i := range values {
					values[i] = "spoilt"
				}
			}
			return was
		}
		first, second := spoil(call(mux, "a", "/dev/cats").Header), spoil(call(mux, "a", "/dev/cats").Header)
		require.Equal(t, first.Get("RateLimit-Policy"), second.Get("RateLimit-Policy"))
		first, second = spoil(call(mux, "a", "/dev/cats").Header), call(mux, "a", "/dev/cats").Header
		first.Del("X-Amzn-RequestId")
		second.Del("X-Amzn-RequestId")
		require.Equal(t, first, second)
		_, err := m.Take(t.Context(), getCats("a"))
		a, b := http.Header{}, http.Header{}
		err.(*usageplan.Error).SetHeader(a)
		was := spoil(a)
		err.(*usageplan.Error).SetHeader(b)
		require.Equal(t, was, b, "the same error answers twice")
	})
}

// The error of a 500 says what is missing, and what to do.
func TestMisconfigurationSaysWhatToDo(t *testing.T) {
	var told error
	log := func(w http.ResponseWriter, r *http.Request, err error) {
		told = err
		err.(http.Handler).ServeHTTP(w, r)
	}
	for _, tt := range []struct {
		name   string
		config usageplan.Config
		cause  error
		want   string
	}{
		{"around a mux", usageplan.Config{Client: caller, API: "pets", Stage: "dev"}, usageplan.ErrNotConfigured, "wrap the handlers that are given to the mux, not the mux, or set Config.Route"},
		{"a route source that does not know", usageplan.Config{Client: caller, Route: func(*http.Request) (usageplan.Route, bool) { return usageplan.Route{}, false }}, usageplan.ErrNotConfigured, "Config.Route does not know it"},
		{"no client", usageplan.Config{}, usageplan.ErrNotConfigured, "Config.Client is nil"},
	} {
		tt.config.ErrorHandler = log
		m, err := usageplan.New(tt.config)
		require.NoError(t, err)
		require.Equal(t, http.StatusInternalServerError, call(m.Handler(http.NewServeMux()), "a", "/dev/cats").StatusCode, tt.name)
		require.ErrorIs(t, told, tt.cause, tt.name)
		require.ErrorContains(t, told, tt.want, tt.name)
	}
	_, err := new(usageplan.Meter).Take(t.Context(), getCats("a"))
	require.ErrorContains(t, err, "New has not made it")
}

// The status handler answers GET and HEAD, and refuses other methods.
func TestStatusHandlerAnswersGetAndHead(t *testing.T) {
	m := meter(t, usageplan.Config{AWSStrict: true, Default: "p", Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev}}})
	mux := http.NewServeMux()
	mux.Handle("/dev/usage", m.StatusHandler())
	for method, want := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405, "PUT": 405, "DELETE": 405, "OPTIONS": 405, "BREW": 405} {
		r := httptest.NewRequest(method, "/dev/usage", nil)
		r.Header.Set("Verified-Client", "a")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		require.Equal(t, want, w.Code, method)
		if want == 405 {
			require.Equal(t, "GET, HEAD", w.Header().Get("Allow"), method)
			require.Equal(t, "MethodNotAllowedException", w.Header().Get("X-Amzn-ErrorType"))
			require.JSONEq(t, `{"message":"Method Not Allowed"}`, w.Body.String())
		}
	}
	require.Equal(t, http.StatusForbidden, call(mux, "", "/dev/usage").StatusCode)
}

func TestPatternIsReadAsARoute(t *testing.T) {
	for _, tt := range []struct {
		pattern, method string
		want            usageplan.Route
		ok              bool
	}{
		{"GET /Prod/loyalty/{customerId}", "GET", usageplan.Route{Resource: "/loyalty/{customerId}", Method: "GET"}, true},
		{"GET /Prod/loyalty/{customerId}", "HEAD", usageplan.Route{Resource: "/loyalty/{customerId}", Method: "GET"}, true},
		{"GET\t/Prod/pets", "HEAD", usageplan.Route{Resource: "/pets", Method: "GET"}, true},
		{"GET \t api.example/Prod/pets", "HEAD", usageplan.Route{Resource: "/pets", Method: "GET"}, true},
		{"/Prod/{my id}/{$}", "HEAD", usageplan.Route{Resource: "/{my id}", Method: "HEAD"}, true},
		{"/Prod/pets", "FROBNICATE", usageplan.Route{Resource: "/pets", Method: "ANY"}, true},
		{"/Prod/pets", "POST", usageplan.Route{Resource: "/pets", Method: "POST"}, true},
		{"PUT api.example/Prod/pets", "PUT", usageplan.Route{Resource: "/pets", Method: "PUT"}, true},
		{"/Prod", "GET", usageplan.Route{Resource: "/", Method: "GET"}, true},
		{"/Prod/{$}", "GET", usageplan.Route{Resource: "/", Method: "GET"}, true},
		{"/Production/pets", "GET", usageplan.Route{Resource: "/Production/pets", Method: "GET"}, true},
		{"/pets/{id}", "GET", usageplan.Route{Resource: "/pets/{id}", Method: "GET"}, true},
		{"", "GET", usageplan.Route{}, false},
	} {
		r := httptest.NewRequest(tt.method, "/x", nil)
		r.Pattern = tt.pattern
		got, ok := usageplan.Pattern("a", "Prod")(r)
		require.Equal(t, tt.ok, ok, tt.pattern)
		if ok {
			tt.want.API, tt.want.Stage = "a", "Prod"
		}
		require.Equal(t, tt.want, got, tt.pattern)
	}
}

// A throttle of ANY is one limit for all methods that have none of their own.
func TestAnyCoversUnlistedMethods(t *testing.T) {
	limits := map[string]ratelimit.Limit{"/cats/ANY": {Burst: 2}, "/cats/PUT": {Burst: 1}, "/*/*": {Burst: 3}}
	take := func(m *usageplan.Meter, client, resource, verb string) bool {
		q := getCats(client)
		q.Route.Resource, q.Route.Method = resource, verb
		_, err := m.Take(t.Context(), q)
		return err == nil
	}
	stages := []usageplan.Stage{{API: "pets", Name: "dev", Methods: limits}}
	for name, c := range map[string]usageplan.Config{
		"plan":  {Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: stages}}, Default: "p"},
		"stage": {Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev}}, Default: "p", StageThrottles: stages},
	} {
		m := meter(t, c)
		require.True(t, take(m, "a", "/cats", "PUT"), name)
		require.False(t, take(m, "a", "/cats", "PUT"), name)
		require.True(t, take(m, "a", "/cats", "GET"), name)
		require.True(t, take(m, "a", "/cats", "POST"), name)
		require.False(t, take(m, "a", "/cats", "DELETE"), name)
		require.False(t, take(m, "a", "/cats", "GET"), name)
		for range 3 {
			require.True(t, take(m, "a", "/dogs", "GET"), name)
		}
		require.False(t, take(m, "a", "/dogs", "GET"), name)
		require.True(t, take(m, "a", "/dogs", "POST"), name)
	}
}

func TestAccountThrottleIsALimit(t *testing.T) {
	_, err := usageplan.New(usageplan.Config{Client: caller, API: "a", Stage: "s", AccountThrottle: &ratelimit.Limit{Rate: math.Inf(1)}})
	require.ErrorContains(t, err, "Config.AccountThrottle: an infinite rate is no throttle")
}
