package usageplan_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// down is an engine that always fails.
type down struct{ ledger.Engine }

var errDown = errors.New("connection refused")

func (down) Update(context.Context, []string, func(int, []byte) ([]byte, error)) error {
	return errDown
}
func (down) Load(context.Context, string) ([]byte, error) { return nil, errDown }

func brokenLedger(t *testing.T) *ledger.Ledger {
	t.Helper()
	quotas, err := ledger.New(ledger.Config{Engine: down{}, Exact: true})
	require.NoError(t, err)
	return quotas
}

// The exact answers: status, error type, body and, for 429 and 503, how long to wait.
func TestAnswersAreAPIGateways(t *testing.T) {
	for _, tt := range []struct {
		name      string
		config    usageplan.Config
		client    string
		status    int
		errorType string
		body      string
		retry     string
		cause     error
	}{
		{"no client", usageplan.Config{}, "", 403, "ForbiddenException", `{"message":"Forbidden"}`, "", usageplan.ErrNoClient},
		{"no plan", usageplan.Config{}, "b", 403, "ForbiddenException", `{"message":"Forbidden"}`, "", usageplan.ErrNoPlan},
		{"throttled", usageplan.Config{AccountThrottle: &ratelimit.Limit{Rate: 0.25, Burst: 1}}, "a", 429, "TooManyRequestsException", `{"message":"Too Many Requests"}`, "4", usageplan.ErrThrottled},
		{"quota", usageplan.Config{Cost: func(*http.Request) int64 { return 2 }}, "a", 429, "LimitExceededException", `{"message":"Limit Exceeded"}`, "86400", usageplan.ErrQuotaExceeded},
		{"more than any day allows", usageplan.Config{Cost: func(*http.Request) int64 { return 9 }}, "a", 429, "LimitExceededException", `{"message":"Limit Exceeded"}`, "", usageplan.ErrQuotaExceeded},
		{"ledger down", usageplan.Config{Ledger: brokenLedger(t)}, "a", 503, "ServiceUnavailableException", `{"message":"Service Unavailable"}`, "1", ledger.ErrUnavailable},
		{"negative cost", usageplan.Config{Cost: func(*http.Request) int64 { return -1 }}, "a", 500, "ApiConfigurationException", `{"message":"Internal server error"}`, "", usageplan.ErrNotConfigured},
	} {
		for _, strict := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := tt.config
					c.AWSStrict = strict
					c.Plans = []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Quotas: daily(3)}}
					c.Members = []usageplan.Member{{Plan: "p", Client: "a"}}
					var told error
					c.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
						told = err
						require.Equal(t, tt.retry != "" && !strict, w.Header().Get("Retry-After") != "", "the fields are set before")
						err.(http.Handler).ServeHTTP(w, r)
					}
					m := meter(t, c)
					mux := http.NewServeMux()
					mux.Handle("GET /dev/cats", m.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
					call(mux, tt.client, "/dev/cats") // the first may pass
					w := httptest.NewRecorder()
					r := httptest.NewRequest(http.MethodGet, "/dev/cats", nil)
					r.Header.Set("Verified-Client", tt.client)
					mux.ServeHTTP(w, r)
					require.ErrorIs(t, told, tt.cause)
					require.Equal(t, tt.status, w.Code)
					require.Equal(t, tt.errorType, w.Header().Get("x-amzn-ErrorType"))
					require.Equal(t, tt.body, w.Body.String())
					require.NotEmpty(t, w.Header().Get("x-amzn-RequestId"))
					want := tt.retry
					if strict {
						want = ""
						require.Empty(t, w.Header().Get("RateLimit"))
					}
					require.Equal(t, want, w.Header().Get("Retry-After"))
				})
			})
		}
	}
}

// AllowDespite may admit a request for one cause and refuse it for others. The charge of an admitted one is the zero Charge.
func TestAllowDespiteDecidesByCause(t *testing.T) {
	failOpen := func(_ *http.Request, err error) bool { return errors.Is(err, ledger.ErrUnavailable) }
	m := meter(t, usageplan.Config{
		Ledger: brokenLedger(t), AllowDespite: failOpen,
		Plans:   []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Quotas: daily(3)}},
		Members: []usageplan.Member{{Plan: "p", Client: "a"}},
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /dev/cats", func(_ http.ResponseWriter, r *http.Request) {
		charge, err := m.Check(r)
		require.NoError(t, err)
		require.Equal(t, usageplan.Charge{}, charge)
		require.NoError(t, charge.Settle(r.Context(), 5))
		require.Empty(t, charge.Client+charge.Plan)
	})
	mux.Handle("GET /dev/dogs", m.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	require.Equal(t, http.StatusOK, call(mux, "a", "/dev/cats").StatusCode)
	require.Equal(t, http.StatusOK, call(mux, "a", "/dev/dogs").StatusCode)
	require.Equal(t, http.StatusForbidden, call(mux, "stranger", "/dev/dogs").StatusCode)
}

// ending is an engine that makes a number of updates and then fails.
type ending struct {
	ledger.Engine
	left int
}

func (e *ending) Update(ctx context.Context, keys []string, f func(int, []byte) ([]byte, error)) error {
	if e.left--; e.left < 0 {
		return errDown
	}
	return e.Engine.Update(ctx, keys, f)
}

// A refusal is told by its own cause, also if the engine then fails to take back the units. So AllowDespite that fails
// open does not admit what a limit has refused. The ledger tells of the failure.
func TestARefusalStaysOneIfItsUnitsCannotBeGivenBack(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config usageplan.Config
		quotas []ledger.Quota
		status int
		cause  error
	}{
		{"account throttle", usageplan.Config{AccountThrottle: &ratelimit.Limit{Burst: 1}}, daily(99), 429, usageplan.ErrThrottled},
		{
			"second quota",
			usageplan.Config{},
			[]ledger.Quota{{Limit: 99, Period: ledger.Daily}, {Limit: 1, Period: ledger.Monthly}},
			429, usageplan.ErrQuotaExceeded,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			engine, failures := &ending{ledger.NewMemory(), 99}, 0
			quotas, err := ledger.New(ledger.Config{
				Engine: engine, Exact: true,
				Observe: func(_ context.Context, e ledger.Event) {
					if e.Operation == "commit" && e.Reason == "failed" {
						failures++
					}
				},
			})
			require.NoError(t, err)
			c := tt.config
			c.Ledger, c.AllowDespite = quotas, func(_ *http.Request, err error) bool { return errors.Is(err, ledger.ErrUnavailable) }
			c.Plans = []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Quotas: tt.quotas}}
			c.Members = []usageplan.Member{{Plan: "p", Client: "a"}}
			m, served := meter(t, c), 0
			var refusal error
			mux := http.NewServeMux()
			mux.HandleFunc("GET /dev/cats", func(w http.ResponseWriter, r *http.Request) {
				if _, refusal = m.Check(r); refusal != nil {
					refusal.(http.Handler).ServeHTTP(w, r)
					return
				}
				served++
			})
			require.Equal(t, http.StatusOK, call(mux, "a", "/dev/cats").StatusCode)
			engine.left = 1 // the first quota is taken, and cannot be given back
			require.Equal(t, tt.status, call(mux, "a", "/dev/cats").StatusCode)
			require.Equal(t, 1, served)
			require.ErrorIs(t, refusal, tt.cause)
			require.NotErrorIs(t, refusal, ledger.ErrUnavailable)
			require.ErrorContains(t, refusal, errDown.Error(), "an operator still reads of it")
			require.Equal(t, 1, failures)
		})
	}
}

// If several quotas refuse, Retry-After is the longest of their waits.
func TestRetryAfterIsTheLongestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := meter(t, usageplan.Config{
			Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Quotas: []ledger.Quota{
				{Limit: 2, Period: ledger.Daily}, {Limit: 2, Period: ledger.Monthly},
			}}},
			Members: []usageplan.Member{{Plan: "p", Client: "a"}},
		})
		q := getCats("a")
		q.Cost = 2
		require.Equal(t, noLayer, layer(t, m, q))
		_, err := m.Take(t.Context(), q)
		e, is := errors.AsType[*usageplan.Error](err)
		require.True(t, is)
		require.Equal(t, 31*24*time.Hour, e.RetryAfter)
		require.Equal(t, ledger.Daily, e.Period)
	})
}

// A client whose own limits refuse takes nothing from the limits that all clients share, even if the ledger is slow.
func TestExhaustedClientTakesNothingFromOthers(t *testing.T) {
	m := meter(t, usageplan.Config{
		Plans:           []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Quotas: daily(3)}},
		Members:         []usageplan.Member{{Plan: "p", Client: "a"}, {Plan: "p", Client: "b", Limits: map[ledger.Period]int64{ledger.Daily: 0}}},
		AccountThrottle: &ratelimit.Limit{Burst: 3},
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range heavy(100_000) {
			_, err := m.Take(t.Context(), getCats("b"))
			if !errors.Is(err, usageplan.ErrQuotaExceeded) {
				t.Error(err)
				return
			}
		}
	}()
	for range 3 {
		require.Equal(t, noLayer, layer(t, m, getCats("a")))
	}
	<-done
	require.Equal(t, planQuota, layer(t, m, getCats("a")))
}

// Callers cannot invent methods to get buckets of their own.
func TestInventedMethodsShareABucket(t *testing.T) {
	m := meter(t, usageplan.Config{
		Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: []usageplan.Stage{
			{API: "pets", Name: "dev", Methods: map[string]ratelimit.Limit{"/*/*": {Burst: 1}}},
		}}},
		Members: []usageplan.Member{{Plan: "p", Client: "a"}},
	})
	mux := http.NewServeMux()
	mux.Handle("/dev/cats", m.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	admitted := 0
	for _, method := range []string{"X1", "X2", "BREW", "PROPFIND"} {
		r := httptest.NewRequest(method, "/dev/cats", nil)
		r.Header.Set("Verified-Client", "a")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			admitted++
		}
	}
	require.Equal(t, 1, admitted)
}

// A text for logs names what is known of a request, and leaves no gaps for what is not.
func TestErrorTextNamesWhatIsKnown(t *testing.T) {
	route := usageplan.Route{API: "pets", Stage: "dev", Resource: "/cats", Method: "GET"}
	for _, tt := range []struct {
		err  usageplan.Error
		want string
	}{
		{usageplan.Error{}, "usageplan: "},
		{usageplan.Error{Client: "a"}, `usageplan: client "a": `},
		{usageplan.Error{Route: route}, "usageplan: GET /cats of pets:dev: "},
		{usageplan.Error{Route: usageplan.Route{API: "pets", Stage: "dev"}}, "usageplan: pets:dev: "},
		{usageplan.Error{Plan: "p", Layer: planQuota}, `usageplan: plan quota of "p": `},
		{usageplan.Error{Plan: "p", Layer: "account throttle"}, "usageplan: account throttle: "},
	} {
		tt.err.Err = usageplan.ErrNoPlan
		require.EqualError(t, &tt.err, tt.want+"client has no usage plan for the api stage")
	}
	long := strings.Repeat("a", 1<<20)
	bounded := &usageplan.Error{Err: usageplan.ErrNoClient, Client: long, Route: usageplan.Route{Resource: long, Method: "GET"}}
	require.Less(t, len(bounded.Error()), 1000, "a log line is bounded")
}
