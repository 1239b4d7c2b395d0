package sigv4_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

// word returns the reason that a cause must have by its name: "not_current" for ErrNotCurrent.
func word(name string) string {
	capital := regexp.MustCompile(`[A-Z][a-z]*`)
	return strings.ToLower(strings.Join(capital.FindAllString(strings.TrimPrefix(name, "Err"), -1), "_"))
}

func TestReasonIsTheNameOfTheExportedCause(t *testing.T) {
	for name, cause := range exported {
		want := word(name)
		require.Equal(t, want, (&sigv4.Error{Err: fmt.Errorf("wrapped: %w", cause)}).Reason())
		for _, variant := range variants[cause] {
			require.Equal(t, want, (&sigv4.Error{Err: variant}).Reason(), variant)
		}
		require.Equal(t, "canceled", (&sigv4.Error{Err: fmt.Errorf("%w: %w", cause, context.Canceled)}).Reason())
	}
	require.Equal(t, "not_configured", (&sigv4.Error{Err: errors.New("of another package")}).Reason())
	require.Equal(t, "not_configured", new(sigv4.Error).Reason())
}

// A key source may return any error, so that two causes may come together.
func TestReasonOfTwoCausesIsThatOfTheAnswer(t *testing.T) {
	words := make(map[string]error)
	for name, cause := range exported {
		words[word(name)] = cause
	}
	for _, one := range exported {
		for _, other := range exported {
			e := &sigv4.Error{Err: errors.Join(one, other)}
			require.ErrorIs(t, sigv4.CauseOfAnswer(e), words[e.Reason()], e)
		}
	}
}

// watcher is an Observe that keeps what it is told.
type watcher struct {
	events   []sigv4.Event
	contexts []context.Context
}

func (w *watcher) observe(ctx context.Context, e sigv4.Event) {
	w.events, w.contexts = append(w.events, e), append(w.contexts, ctx)
}

// take returns the only event since the last call, and its context.
func (w *watcher) take(t *testing.T) (sigv4.Event, context.Context) {
	t.Helper()
	require.Len(t, w.events, 1)
	e, ctx := w.events[0], w.contexts[0]
	*w = watcher{}
	return e, ctx
}

// verbs are what decides about a request. Each returns the error.
var verbs = map[string]func(*sigv4.Verifier, *http.Request) error{
	"Verify": func(v *sigv4.Verifier, r *http.Request) error {
		_, err := v.Verify(r)
		return err
	},
	"VerifyAt": func(v *sigv4.Verifier, r *http.Request) error {
		_, err := v.VerifyAt(r, time.Now())
		return err
	},
	"Authenticate": func(v *sigv4.Verifier, r *http.Request) error {
		_, err := v.Authenticate(r)
		return err
	},
}

// sources are the key sources of the tests below.
var (
	named = func(context.Context, sigv4.Scope) (sigv4.Key, error) {
		return sigv4.Key{Secret: iamSecret, Principal: "ada"}, nil
	}
	expired = func(context.Context, sigv4.Scope) (sigv4.Key, error) {
		return sigv4.Key{Secret: iamSecret, Principal: "ada", Expires: time.Unix(1, 0)}, nil
	}
	unknown = func(context.Context, sigv4.Scope) (sigv4.Key, error) { return sigv4.Key{}, sigv4.ErrUnknownKey }
	down    = func(context.Context, sigv4.Scope) (sigv4.Key, error) { return sigv4.Key{}, errors.New("down") }
	gone    = func(ctx context.Context, _ sigv4.Scope) (sigv4.Key, error) { return sigv4.Key{}, context.Canceled }
)

// cancel cancels the request's context, as net/http does when the client has gone away.
func cancel(r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	cancel()
	*r = *r.WithContext(ctx)
}

// decisions are requests, and what is told of each.
var decisions = []struct {
	name            string
	keys            func(context.Context, sigv4.Scope) (sigv4.Key, error)
	change          func(*http.Request)
	outcome, reason string
	client          string
}{
	{"signed", named, nil, "allowed", "", "ada"},
	{"unsigned", named, func(r *http.Request) { r.Header.Del("Authorization") }, "refused", "missing", ""},
	{"changed", named, func(r *http.Request) { r.RequestURI += "?a" }, "refused", "signature_mismatch", ""},
	{"another body", named, func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("b")) }, "refused", "signature_mismatch", "ada"},
	{"expired key", expired, nil, "refused", "session_token", "ada"},
	{"unknown key", unknown, nil, "refused", "unknown_key", ""},
	{"key source down", down, nil, "failed", "unavailable", ""},
	{"client gone", gone, cancel, "failed", "canceled", ""},
	{"client gone, which the key source reports in its own way", down, cancel, "failed", "canceled", ""},
	{"key source shut down", gone, nil, "failed", "unavailable", ""},
	{"client gone amid the body", named, func(r *http.Request) {
		cancel(r) // net/http may notice later, and the reason does not depend on that
		r.Body = io.NopCloser(iotest.ErrReader(io.ErrUnexpectedEOF))
	}, "refused", "body", "ada"},
	{"client gone after a decision", named, func(r *http.Request) { cancel(r); r.RequestURI += "?a" }, "refused", "signature_mismatch", ""},
}

// changed returns a request that is signed and then changed, as it arrives inside of a mux.
func changed(t *testing.T, change func(*http.Request)) *http.Request {
	r := signedNow(t, "POST", "/Prod/loyalty/1", "a body")
	r.Pattern = "POST /Prod/loyalty/{id}"
	if change != nil {
		change(r)
	}
	return r
}

func TestEachVerbTellsOnce(t *testing.T) {
	for _, tt := range decisions {
		var w watcher
		v := newVerifier(t, sigv4.VerifierConfig{Keys: tt.keys, Regions: []string{"eu-west-1"}, Observe: w.observe})
		for verb, decide := range verbs {
			r := changed(t, tt.change)
			err := decide(v, r)
			got, ctx := w.take(t)
			require.Equal(t, r.Context(), ctx)
			if err != nil {
				require.Equal(t, err, got.Err)
				require.Equal(t, err.(*sigv4.Error).RequestID, got.RequestID)
				require.Regexp(t, random, got.RequestID)
				got.Err, got.RequestID = nil, ""
			}
			require.Equal(t, sigv4.Event{
				Verdict: &sigv4.Verdict{Layer: "sigv4", Outcome: tt.outcome, Reason: tt.reason},
				Route:   "POST /Prod/loyalty/{id}", Client: tt.client, Remaining: -1,
			}, got, "%s %s", verb, tt.name)
		}
	}
}

// Under OneAnswer the client does not learn that the key is unknown, but Observe does.
func TestObserveIsToldWhatTheClientIsNot(t *testing.T) {
	var w watcher
	v := newVerifier(t, sigv4.VerifierConfig{Keys: unknown, Regions: []string{"eu-west-1"}, OneAnswer: true, Observe: w.observe})
	_, err := v.Verify(changed(t, nil))
	require.Equal(t, invalid, err.(*sigv4.Error).ErrorCode())
	got, _ := w.take(t)
	require.Equal(t, "unknown_key", got.Reason)
	require.Empty(t, got.Client)
}

func TestHandlerTellsOnceBeforeTheRequestGoesOn(t *testing.T) {
	for _, tt := range decisions {
		for _, despite := range []bool{false, true} {
			var w watcher
			var asked error
			c := sigv4.VerifierConfig{
				Keys: tt.keys, Regions: []string{"eu-west-1"}, Observe: w.observe,
				AllowDespite: func(_ *http.Request, err error) bool {
					asked = err
					return despite
				},
			}
			seen := 0
			c.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { seen = len(w.events) }
			next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				seen = len(w.events)
				panic(http.ErrAbortHandler) // changes nothing
			})
			func() {
				defer func() { _ = recover() }()
				newVerifier(t, c).Handler(next).ServeHTTP(httptest.NewRecorder(), changed(t, tt.change))
			}()
			require.Equal(t, 1, seen, tt.name)
			got, _ := w.take(t)
			outcome := tt.outcome
			if despite && tt.outcome != "allowed" {
				outcome = "despite"
			}
			require.Equal(t, outcome, got.Outcome, tt.name)
			require.Equal(t, tt.reason, got.Reason, tt.name)
			require.Equal(t, tt.client, got.Client, tt.name)
			require.Equal(t, asked, got.Err, tt.name)
		}
	}
}

// AllowDespite is not asked about a body that is too large, so that it is told as a refusal.
func TestTooLargeBodyIsToldAsRefused(t *testing.T) {
	var w watcher
	c := euWest
	c.MaxBody, c.AllowDespite, c.Observe = 3, always, w.observe
	newVerifier(t, c).Handler(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), changed(t, nil))
	got, _ := w.take(t)
	require.Equal(t, "refused too_large", got.Outcome+" "+got.Reason)
}

// These verbs decide nothing, and a panic of the application is net/http's to report.
func TestNothingIsToldWithoutADecision(t *testing.T) {
	var w watcher
	c := euWest
	c.Observe = w.observe
	c.Keys = func(context.Context, sigv4.Scope) (sigv4.Key, error) { panic("a bug") }
	v, r := newVerifier(t, c), changed(t, nil)
	v.Present(r)
	v.Anonymous(r)
	_, _ = sigv4.ID(r)
	require.Panics(t, func() { _, _ = v.Verify(r) })
	require.Panics(t, func() { v.Handler(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r) })
	require.Empty(t, w.events)
}

// random is the form of an id that the package makes.
const random = `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`

// The answer's id is that of the outer layer, or else the application's, or else a random one. The event has it too.
func TestEventAndAnswerHaveTheSameRequestID(t *testing.T) {
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
		for style, handler := range map[string]func(http.ResponseWriter, *http.Request, error){
			"ServeHTTP": nil, "S3XML": sigv4.S3XML,
			"plain": func(w http.ResponseWriter, _ *http.Request, err error) {
				http.Error(w, "no", err.(*sigv4.Error).StatusCode())
			},
		} {
			t.Run(tt.name+", "+style, func(t *testing.T) {
				var w watcher
				c := euWest
				c.Observe, c.RequestID, c.ErrorHandler = w.observe, tt.requestID, handler
				v := newVerifier(t, c)
				h := v.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
				serve := func(r *http.Request) (sent, body string) {
					answer := httptest.NewRecorder()
					if tt.outer != "" {
						answer.Header().Set("X-Amzn-RequestId", tt.outer)
					}
					h.ServeHTTP(answer, r)
					return answer.Header().Get("X-Amzn-RequestId"), answer.Body.String()
				}
				sent, body := serve(get("/"))
				got, _ := w.take(t)
				require.Regexp(t, tt.refused, got.RequestID)
				require.Equal(t, sent, got.RequestID)
				require.Equal(t, style == "S3XML", strings.Contains(body, "<RequestId>"+sent+"</RequestId>"))

				sent, _ = serve(changed(t, nil))
				got, _ = w.take(t)
				require.Equal(t, tt.outer, sent)
				require.Equal(t, "allowed", got.Outcome)
				require.Equal(t, tt.allowed, got.RequestID)

				_, err := v.Verify(get("/"))
				got, _ = w.take(t)
				require.Regexp(t, tt.verified, got.RequestID)
				require.Equal(t, err.(*sigv4.Error).RequestID, got.RequestID)
			})
		}
	}
}

// RequestID names refusals even if nobody observes. Without both the error has no id, and its answer a random one.
func TestRequestIDNeedsNoObserve(t *testing.T) {
	c := euWest
	_, err := newVerifier(t, c).Verify(get("/"))
	require.Empty(t, err.(*sigv4.Error).RequestID)
	c.RequestID = func(*http.Request) string { return "application" }
	answer := httptest.NewRecorder()
	newVerifier(t, c).Handler(http.NotFoundHandler()).ServeHTTP(answer, get("/"))
	require.Equal(t, "application", answer.Header().Get("X-Amzn-RequestId"))
}
