package apikey_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan/journal"
)

var greetNobody = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

const requestIDField = "X-Amzn-RequestId"

// randomID is the form of API Gateway's request ids.
const randomID = `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`

// An audience collects what it is told.
type audience struct {
	events   []apikey.Event
	contexts []context.Context
}

func (a *audience) observe(ctx context.Context, e apikey.Event) {
	a.events, a.contexts = append(a.events, e), append(a.contexts, ctx)
}

// one returns the only event since the last call.
func (a *audience) one(t *testing.T) apikey.Event {
	t.Helper()
	require.Len(t, a.events, 1)
	e := a.events[0]
	a.events = nil
	return e
}

// routed is a request with the given values that a mux has matched.
func routed(values ...string) *http.Request {
	r := request(values...)
	r.Pattern = "GET /Prod/loyalty/{id}"
	return r
}

func TestEachDecisionIsToldOnce(t *testing.T) {
	a := &audience{}
	v := newVerifier(t, apikey.Config{Observe: a.observe, Keys: []apikey.Entry{
		julian, entry("disabled00", func(k *apikey.Key) { k.Enabled = false }),
	}})
	h := v.Handler(greetNobody)
	verbs := []struct {
		name string
		call func(r *http.Request) error
	}{
		{"VerifyKey", func(r *http.Request) error {
			_, err := v.VerifyKey(r.Context(), r.Header.Get("X-Api-Key"))
			return err
		}},
		{"Verify", func(r *http.Request) error { _, err := v.Verify(r); return err }},
		{"Authenticate", func(r *http.Request) error { _, err := v.Authenticate(r); return err }},
		{"Handler", func(r *http.Request) error { h.ServeHTTP(httptest.NewRecorder(), r); return nil }},
	}
	for _, tt := range []struct {
		name            string
		values          []string
		outcome, reason string
		client          string
	}{
		{"good", []string{value}, "allowed", "", "fr92a5qpbj"},
		{"missing", nil, "refused", "missing", ""},
		{"unknown", []string{other}, "refused", "unknown", ""},
		{"malformed", []string{"x"}, "refused", "unknown", ""},
		{"disabled", []string{valueOf("disabled00")}, "refused", "inactive", "disabled00"},
	} {
		for _, verb := range verbs {
			name := tt.name + ", " + verb.name
			r := routed(tt.values...)
			err := verb.call(r)
			e := a.one(t)
			require.Equal(t, r.Context(), a.contexts[len(a.contexts)-1], name)
			require.Equal(t, []any{"apikey", tt.outcome, tt.reason, ""}, []any{e.Layer, e.Outcome, e.Reason, e.Plan}, name)
			require.Equal(t, []any{tt.client, int64(0), int64(-1)}, []any{e.Client, e.Cost, e.Remaining}, name)
			require.Equal(t, map[bool]string{true: "", false: r.Pattern}[verb.name == "VerifyKey"], e.Route, name)
			if tt.reason == "" {
				require.NoError(t, e.Err, name)
				require.Empty(t, e.RequestID, name)
				continue
			}
			require.Regexp(t, randomID, e.RequestID, name)
			require.NotContains(t, e.Err.Error(), other, name)
			if verb.name != "Handler" {
				require.Same(t, err, e.Err, name)
			}
		}
	}
}

// The methods that decide nothing about a request, and changes of keys, are silent.
func TestWhatIsNoDecisionIsNotTold(t *testing.T) {
	a := &audience{}
	v := newVerifier(t, apikey.Config{Observe: a.observe, Keys: []apikey.Entry{julian}})
	r := request(value)
	v.Present(r)
	v.Anonymous(r)
	_, err := v.Create(t.Context(), julian.Key, value)
	require.ErrorIs(t, err, apikey.ErrExists)
	require.ErrorIs(t, v.Delete(t.Context(), "another000"), apikey.ErrNotFound)
	require.Empty(t, a.events)
}

func TestDespiteIsToldOnce(t *testing.T) {
	a := &audience{}
	var asked error
	v := newVerifier(t, apikey.Config{
		Observe: a.observe, AllowDespite: func(_ *http.Request, err error) bool { asked = err; return true },
	})
	w := httptest.NewRecorder()
	v.Handler(greetNobody).ServeHTTP(w, routed(other))
	e := a.one(t)
	require.Equal(t, []string{"despite", "unknown", "", "GET /Prod/loyalty/{id}"}, []string{e.Outcome, e.Reason, e.Client, e.Route})
	require.Same(t, asked, e.Err)
	require.Regexp(t, randomID, e.RequestID)
	require.Empty(t, w.Header(), "the next handler answers")
	_, err := v.Verify(routed(other))
	require.Error(t, err)
	require.Equal(t, "refused", a.one(t).Outcome, "Verify does not ask AllowDespite")
}

// The decision was made before the next handler runs, so its panic changes nothing.
func TestPanicOfTheNextHandlerChangesNothing(t *testing.T) {
	a := &audience{}
	v := newVerifier(t, apikey.Config{Observe: a.observe, Keys: []apikey.Entry{julian}})
	h := v.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		require.Len(t, a.events, 1, "told before")
		panic(http.ErrAbortHandler)
	}))
	require.Panics(t, func() { h.ServeHTTP(httptest.NewRecorder(), request(value)) })
	require.Equal(t, "allowed", a.one(t).Outcome)
}

// The answer and the event have the same id: that of an outer layer, else the application's, else a random one.
func TestEventHasTheIDOfTheAnswer(t *testing.T) {
	mine := func(*http.Request) string { return "mine" }
	none := func(*http.Request) string { return "" }
	answer := func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusTeapot) }
	for _, tt := range []struct {
		name   string
		config apikey.Config
		outer  string
		want   string
	}{
		{"random", apikey.Config{}, "", randomID},
		{"the application's", apikey.Config{RequestID: mine}, "", "^mine$"},
		{"the application has none", apikey.Config{RequestID: none}, "", randomID},
		{"of an outer layer", apikey.Config{RequestID: mine}, "outer", "^outer$"},
		{"with an ErrorHandler", apikey.Config{ErrorHandler: answer}, "", randomID},
		{"the application's, with an ErrorHandler", apikey.Config{RequestID: mine, ErrorHandler: answer}, "", "^mine$"},
	} {
		a := &audience{}
		tt.config.Observe = a.observe
		v := newVerifier(t, tt.config)
		w := httptest.NewRecorder()
		if tt.outer != "" {
			w.Header().Set(requestIDField, tt.outer)
		}
		v.Handler(greetNobody).ServeHTTP(w, request(other))
		e := a.one(t)
		require.Regexp(t, tt.want, e.RequestID, tt.name)
		require.Equal(t, e.RequestID, w.Header().Get(requestIDField), tt.name)
	}
}

func TestRequestIDNamesRequestsWithoutObserve(t *testing.T) {
	v := newVerifier(t, apikey.Config{
		Keys: []apikey.Entry{julian}, RequestID: func(r *http.Request) string { return "of " + r.URL.Path },
	})
	w := httptest.NewRecorder()
	v.Handler(greetNobody).ServeHTTP(w, request(other))
	require.Equal(t, "of /Prod/loyalty/1", w.Header().Get(requestIDField))
	_, err := v.Verify(request(other))
	e, ok := errors.AsType[*apikey.Error](err)
	require.True(t, ok)
	require.Equal(t, "of /Prod/loyalty/1", e.RequestID)
	w = httptest.NewRecorder()
	e.ServeHTTP(w, nil)
	require.Equal(t, e.RequestID, w.Header().Get(requestIDField))
	_, err = v.VerifyKey(t.Context(), other) // without a request, there is nothing to name
	e, ok = errors.AsType[*apikey.Error](err)
	require.True(t, ok)
	require.Regexp(t, randomID, e.RequestID)
}

// An allowed request has the application's id in its event. Its answer belongs to the next handler.
func TestAllowedRequestHasTheApplicationsID(t *testing.T) {
	a := &audience{}
	v := newVerifier(t, apikey.Config{
		Observe: a.observe, Keys: []apikey.Entry{julian}, RequestID: func(*http.Request) string { return "mine" },
	})
	w := httptest.NewRecorder()
	v.Handler(greetNobody).ServeHTTP(w, request(value))
	require.Equal(t, "mine", a.one(t).RequestID)
	require.Empty(t, w.Header())
	_, err := v.VerifyKey(t.Context(), value)
	require.NoError(t, err)
	require.Empty(t, a.one(t).RequestID, "there is no request")
}

func TestReasonIsTheNameOfTheCause(t *testing.T) {
	for want, err := range map[string]error{
		"missing": apikey.ErrMissing, "unknown": apikey.ErrUnknown, "inactive": apikey.ErrInactive,
		"not_configured": apikey.ErrNotConfigured, "invalid": apikey.ErrInvalid, "not_found": apikey.ErrNotFound,
		"exists": apikey.ErrExists, "unavailable": apikey.ErrUnavailable,
		"canceled": fmt.Errorf("%w: %w", apikey.ErrUnavailable, context.Canceled),
	} {
		require.Equal(t, want, (&apikey.Error{Err: err}).Reason())
		require.Equal(t, want, (&apikey.Error{Err: fmt.Errorf("more: %w", err)}).Reason())
	}
	for want, err := range map[string]error{
		"unknown": apikey.ErrMalformed, "inactive": apikey.ErrDisabled, "not_configured": errors.New("another"),
	} {
		require.Equal(t, want, (&apikey.Error{Err: err}).Reason())
	}
	require.Equal(t, "not_configured", (&apikey.Error{}).Reason())
}

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var none *apikey.Verifier
		require.Zero(t, none.Stats())
		require.Zero(t, new(apikey.Verifier).Stats())

		v := newVerifier(t, apikey.Config{Keys: []apikey.Entry{julian}})
		require.Equal(t, apikey.Stats{Keys: 1, Values: 1}, v.Stats())
		k, err := v.Create(t.Context(), apikey.Key{Enabled: true}, v.Generate())
		require.NoError(t, err)
		require.Equal(t, apikey.Stats{Keys: 2, Values: 2, Revision: 1}, v.Stats())
		_, err = v.Rotate(t.Context(), k.ID, v.Generate(), time.Hour)
		require.NoError(t, err)
		require.Equal(t, apikey.Stats{Keys: 2, Values: 3, Revision: 2}, v.Stats())
		time.Sleep(2 * time.Hour)
		require.Equal(t, 3, v.Stats().Values, "nothing has looked at it")
		_, err = v.Update(t.Context(), k.ID, func(*apikey.Key) error { return nil })
		require.NoError(t, err)
		require.Equal(t, apikey.Stats{Keys: 2, Values: 2, Revision: 3}, v.Stats())
		require.NoError(t, v.Delete(t.Context(), k.ID))
		require.Equal(t, apikey.Stats{Keys: 1, Values: 1, Revision: 4}, v.Stats())
	})
}

// A node whose store has not answered may be behind, until it has read on.
func TestStatsSayThatAChangeIsUnknown(t *testing.T) {
	synctest.Test(t, statsSayThatAChangeIsUnknown) // so that the age is 0
}

func statsSayThatAChangeIsUnknown(t *testing.T) {
	store := &losing{Journal: journal.Memory(0)}
	v := newVerifier(t, apikey.Config{Pepper: apikey.Secret(strings.Repeat("p", 32)), Journal: store})
	require.Equal(t, apikey.Stats{}, v.Stats())
	store.lose = true
	_, err := v.Create(t.Context(), apikey.Key{Enabled: true}, value)
	require.ErrorIs(t, err, apikey.ErrUnavailable)
	require.Equal(t, apikey.Stats{Behind: true}, v.Stats())
	require.NoError(t, v.Refresh(t.Context()))
	require.Equal(t, apikey.Stats{Keys: 1, Values: 1, Revision: 1}, v.Stats())
}

// losing is a journal that stores a change and loses the answer, if lose is set.
type losing struct {
	journal.Journal
	lose bool
}

func (l *losing) Append(ctx context.Context, after uint64, c journal.Change) (uint64, error) {
	revision, err := l.Journal.Append(ctx, after, c)
	if l.lose {
		return 0, errors.New("connection reset")
	}
	return revision, err
}
