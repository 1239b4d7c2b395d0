package custom_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/custom"
)

// words are the reasons by cause.
var words = map[error]string{
	custom.ErrUnauthorized: "unauthorized", custom.ErrNotConfigured: "not_configured", custom.ErrMissing: "missing",
	custom.ErrMalformed: "malformed", custom.ErrDenied: "denied", custom.ErrFailed: "failed", custom.ErrPath: "path",
}

func TestReasonIsTheNameOfTheExportedCause(t *testing.T) {
	for cause, want := range words {
		require.Equal(t, want, (&custom.Error{Err: fmt.Errorf("wrapped: %w", cause)}).Reason())
		require.Equal(t, "canceled", (&custom.Error{Err: fmt.Errorf("%w: %w", cause, context.Canceled)}).Reason())
		both := &custom.Error{Err: errors.Join(cause, custom.ErrFailed)} // answered as a failure
		require.Equal(t, "failed", both.Reason())
		require.Equal(t, 500, both.StatusCode())
	}
	require.Equal(t, "denied", (&custom.Error{Err: custom.ErrExplicitDeny}).Reason())
	require.Equal(t, "path", (&custom.Error{Err: custom.ErrURITooLong}).Reason())
	require.Equal(t, "not_configured", (&custom.Error{Err: errors.New("of another package")}).Reason())
	require.Equal(t, "not_configured", new(custom.Error).Reason())
}

// watcher is an Observe that keeps what it is told.
type watcher struct {
	decisions []custom.Decision
	contexts  []context.Context
}

func (w *watcher) observe(ctx context.Context, d custom.Decision) {
	w.decisions, w.contexts = append(w.decisions, d), append(w.contexts, ctx)
}

// take returns the only decision since the last call, and its context.
func (w *watcher) take(t *testing.T) (custom.Decision, context.Context) {
	t.Helper()
	require.Len(t, w.decisions, 1)
	d, ctx := w.decisions[0], w.contexts[0]
	*w = watcher{}
	return d, ctx
}

// canceled returns a request whose client has gone away.
func canceled(cause error) *http.Request {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	return withToken("slow").WithContext(ctx)
}

// decided are requests, and what is told of each. The function is decide.
var decided = []struct {
	name            string
	r               *http.Request
	outcome, reason string
	client          string
}{
	{"allowed", withToken("yes"), "allowed", "", "ada"},
	{"allowed by a policy", withToken("policy"), "allowed", "", "ada"},
	{"allowed without a name", withToken("nameless"), "allowed", "", ""},
	{"denied by a policy", withToken("deny"), "refused", "denied", "ada"},
	{"a plain no proves no caller", withToken("no"), "refused", "denied", ""},
	{"unauthorized", withToken("bad"), "refused", "unauthorized", ""},
	{"missing", withToken(), "refused", "missing", ""},
	{"malformed", withToken("a", "b"), "refused", "malformed", ""},
	{"path", func() *http.Request {
		r := withToken("yes")
		r.URL.Path = "/a/../b"
		return r
	}(), "refused", "path", ""},
	{"failed", withToken("down"), "failed", "failed", ""},
	{"function shut down", withToken("shut"), "failed", "failed", ""},
	{"client gone", canceled(nil), "failed", "canceled", ""},
	{"client gone, for a reason", canceled(errors.New("the connection was reset")), "failed", "canceled", ""},
}

// decide returns the function of the requests in decided.
func decide(t *testing.T) func(context.Context, custom.Event) (custom.Result, error) {
	results := map[string]custom.Result{
		"yes":      {PrincipalID: "ada", Authorized: true},
		"nameless": {Authorized: true},
		"no":       {PrincipalID: "ada"},
		"policy":   {PrincipalID: "ada", Policy: statements(t, "Allow", "*")},
		"deny":     {PrincipalID: "ada", Policy: statements(t, "Deny", "*")},
	}
	return func(ctx context.Context, e custom.Event) (custom.Result, error) {
		switch e.AuthorizationToken {
		case "slow":
			<-ctx.Done()
			return custom.Result{}, ctx.Err()
		case "bad":
			return custom.Result{}, custom.ErrUnauthorized
		case "down":
			return custom.Result{}, errors.New("down")
		case "shut":
			return custom.Result{}, fmt.Errorf("store: %w", context.Canceled)
		}
		return results[e.AuthorizationToken], nil
	}
}

// random is the form of an id that the package makes.
const random = `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`

func TestEachVerbTellsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w watcher
		a := newAuthorizer(t, custom.Config{Authorize: decide(t), StageARN: stage, Timeout: time.Second, Observe: w.observe})
		for verb, decide := range map[string]func(*http.Request) error{
			"Verify": func(r *http.Request) error {
				_, err := a.Verify(r)
				return err
			},
			"Authenticate": func(r *http.Request) error {
				_, err := a.Authenticate(r)
				return err
			},
		} {
			for _, tt := range decided {
				r := tt.r.WithContext(tt.r.Context())
				r.Pattern = "GET /loyalty/{id}"
				err := decide(r)
				got, ctx := w.take(t)
				require.Equal(t, r.Context(), ctx)
				if err != nil {
					require.Equal(t, err, got.Err)
					require.Equal(t, err.(*custom.Error).RequestID, got.RequestID)
					require.Regexp(t, random, got.RequestID)
					got.Err, got.RequestID = nil, ""
				}
				require.Equal(t, custom.Decision{
					Verdict: &custom.Verdict{Layer: "custom", Outcome: tt.outcome, Reason: tt.reason},
					Route:   "GET /loyalty/{id}", Client: tt.client, Remaining: -1,
				}, got, "%s %s", verb, tt.name)
			}
		}
		time.Sleep(2 * time.Second) // the slow calls end
	})
}

func TestHandlerTellsOnceBeforeTheRequestGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, despite := range []bool{false, true} {
			var w watcher
			var asked error
			seen := 0
			h := newAuthorizer(t, custom.Config{
				Authorize: decide(t), StageARN: stage, Timeout: time.Second, Observe: w.observe,
				AllowDespite: func(_ *http.Request, err error) bool {
					asked = err
					return despite
				},
				ErrorHandler: func(http.ResponseWriter, *http.Request, error) { seen = len(w.decisions) },
			}).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				seen = len(w.decisions)
				panic(http.ErrAbortHandler) // changes nothing
			}))
			for _, tt := range decided {
				asked, seen = nil, 0
				func() {
					defer func() { _ = recover() }()
					h.ServeHTTP(httptest.NewRecorder(), tt.r)
				}()
				require.Equal(t, 1, seen, tt.name)
				got, _ := w.take(t)
				outcome := tt.outcome
				if despite && outcome != "allowed" {
					outcome = "despite"
				}
				require.Equal(t, []string{outcome, tt.reason, tt.client}, []string{got.Outcome, got.Reason, got.Client}, tt.name)
				require.Equal(t, asked, got.Err, tt.name)
			}
		}
		time.Sleep(2 * time.Second) // the slow calls end
	})
}

// The answer's id is that of the outer layer, or else the application's, or else a random one. The decision has it too.
func TestDecisionAndAnswerHaveTheSameRequestID(t *testing.T) {
	application := func(*http.Request) string { return "application" }
	for _, tt := range []struct {
		name      string
		outer     string
		requestID func(*http.Request) string
		refused   string // the id of a request that Handler refuses, as a regular expression
		allowed   string // the id of a request that Handler allows
		verified  string // the id of a request that Verify refuses, as a regular expression
	}{
		{"nothing", "", nil, random, "", random},
		{"outer", "outer", nil, "^outer$", "", random},
		{"application", "", application, "^application$", "application", "^application$"},
		{"both", "outer", application, "^outer$", "outer", "^application$"},
		{"empty", "", func(*http.Request) string { return "" }, random, "", random},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var w watcher
			calls := 0
			a := newAuthorizer(t, custom.Config{Authorize: yes(&calls), Observe: w.observe, RequestID: tt.requestID})
			h := a.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			serve := func(r *http.Request) string {
				answer := httptest.NewRecorder()
				if tt.outer != "" {
					answer.Header().Set("X-Amzn-RequestId", tt.outer)
				}
				h.ServeHTTP(answer, r)
				return answer.Header().Get("X-Amzn-RequestId")
			}
			sent := serve(withToken())
			got, _ := w.take(t)
			require.Regexp(t, tt.refused, sent)
			require.Equal(t, sent, got.RequestID)

			require.Equal(t, tt.outer, serve(withToken("t")))
			got, _ = w.take(t)
			require.Equal(t, "allowed", got.Outcome)
			require.Equal(t, tt.allowed, got.RequestID)

			_, err := a.Verify(withToken())
			got, _ = w.take(t)
			require.Regexp(t, tt.verified, got.RequestID)
			require.Equal(t, err.(*custom.Error).RequestID, got.RequestID)
		})
	}
}

// RequestID names refusals even if nobody observes. Without both the error has no id, and its answer a random one.
func TestRequestIDNeedsNoObserve(t *testing.T) {
	calls := 0
	c := custom.Config{Authorize: yes(&calls)}
	_, err := newAuthorizer(t, c).Verify(withToken())
	require.Empty(t, err.(*custom.Error).RequestID)
	c.RequestID = func(*http.Request) string { return "application" }
	answer := httptest.NewRecorder()
	newAuthorizer(t, c).Handler(http.NotFoundHandler()).ServeHTTP(answer, withToken())
	require.Equal(t, "application", answer.Header().Get("X-Amzn-RequestId"))
}

func TestStatsCountWhatIsKept(t *testing.T) {
	a := newAuthorizer(t, custom.Config{Authorize: decide(t), StageARN: stage, RefusalTTL: time.Minute})
	require.Equal(t, custom.Stats{}, a.Stats())
	for _, token := range []string{"yes", "yes", "no", "deny", "bad", "down"} {
		_, _ = a.Verify(withToken(token))
	}
	require.Equal(t, custom.Stats{Results: 3, Refusals: 1}, a.Stats())
	require.Equal(t, custom.Stats{}, (*custom.Authorizer)(nil).Stats())
	require.Equal(t, custom.Stats{}, new(custom.Authorizer).Stats())
}

func BenchmarkObserve(b *testing.B) {
	for _, impl := range []struct {
		name    string
		observe func(context.Context, custom.Decision)
	}{{"nil", nil}, {"empty", func(context.Context, custom.Decision) {}}} {
		b.Run("impl="+impl.name, func(b *testing.B) {
			calls := 0
			a, err := custom.New(custom.Config{Authorize: yes(&calls), Observe: impl.observe})
			require.NoError(b, err)
			r := withToken("Bearer 0123456789abcdef")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Verify(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
