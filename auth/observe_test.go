package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

// events records what Observe is told.
type events []auth.Event

func (e *events) observe(_ context.Context, event auth.Event) { *e = append(*e, event) }

// only returns the one event since the last call, and fails if there were none or several.
func (e *events) only(t *testing.T) auth.Event {
	t.Helper()
	require.Len(t, *e, 1, "exactly one event")
	event := (*e)[0]
	*e = nil
	return event
}

// randomID is the form of API Gateway's request ids.
const randomID = `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`

// observedVerifier accepts the user pool's tokens of the group gold.
func observedVerifier(t testing.TB, c auth.Config) (*auth.Verifier, *events) {
	t.Helper()
	var told events
	c.Issuers, c.Observe = []auth.Issuer{cognito()}, told.observe
	c.Rules.AnyGroup = []string{"gold"}
	return newVerifier(t, c), &told
}

// outsider is a user who is in no group.
func outsider(t testing.TB) (token, id string) {
	t.Helper()
	user := julian
	user.Groups = nil
	token = must(poolIssuer().IDToken(user))
	return token, must(cognitoVerifier(t, auth.Rules{}).VerifyToken(context.Background(), token)).ID
}

func TestEachVerbTellsOnce(t *testing.T) {
	v, told := observedVerifier(t, auth.Config{})
	good := must(poolIssuer().IDToken(julian))
	lacking, outsiderID := outsider(t)
	goodID := must(cognitoVerifier(t, auth.Rules{}).VerifyToken(context.Background(), good)).ID
	route := must(v.With(auth.Rules{AnyScope: []string{"x"}}))
	mux := func(v *auth.Verifier) http.Handler {
		m := http.NewServeMux()
		m.Handle("POST /orders", v.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			require.Len(t, *told, 1, "Observe is told before the next handler is called")
		})))
		return m
	}
	for name, row := range map[string]struct {
		v                       *auth.Verifier
		raw                     string
		outcome, reason, client string
	}{
		"allowed":       {v, good, "allowed", "", goodID},
		"malformed":     {v, "x", "refused", "malformed", ""},
		"forged":        {v, good[:len(good)-8] + "AAAAAAAA", "refused", "signature", ""},
		"of no group":   {v, lacking, "refused", "refused", outsiderID},
		"of no scope":   {route, good, "refused", "scope", goodID},
		"empty":         {v, "", "refused", "malformed", ""},
		"of a stranger": {v, rs256(goodHeader, goodClaims(nil)), "refused", "issuer", ""},
	} {
		for verb, decide := range map[string]func() error{
			"VerifyToken":  func() error { return verify(row.v, row.raw) },
			"Verify":       func() error { _, err := row.v.Verify(post("Authorization", "Bearer "+row.raw)); return err },
			"Authenticate": func() error { _, err := row.v.Authenticate(post("Authorization", "Bearer "+row.raw)); return err },
			"Handler": func() error {
				mux(row.v).ServeHTTP(httptest.NewRecorder(), post("Authorization", "Bearer "+row.raw))
				return nil
			},
		} {
			name := name + " " + verb
			err := decide()
			got := told.only(t)
			require.Equal(t, "auth", got.Layer, name)
			require.Equal(t, row.outcome, got.Outcome, name)
			require.Equal(t, row.reason, got.Reason, name)
			require.Equal(t, row.client, got.Client, name)
			require.Equal(t, verb == "Handler", got.Route == "POST /orders", name)
			require.Empty(t, got.Plan, name)
			require.Zero(t, got.Cost, name)
			require.EqualValues(t, -1, got.Remaining, name)
			if row.outcome == "allowed" {
				require.NoError(t, got.Err, name)
				require.Empty(t, got.RequestID, name)
				continue
			}
			require.True(t, isA[*auth.Error](got.Err), name)
			require.Regexp(t, randomID, got.RequestID, name)
			if verb != "Handler" {
				require.Equal(t, err, got.Err, name)
			}
		}
	}
}

// Verbs that decide nothing tell nothing, and a verifier that New did not make has nobody to tell.
func TestOtherVerbsTellNobody(t *testing.T) {
	v, told := observedVerifier(t, auth.Config{RequestID: func(*http.Request) string { panic("not called") }})
	r := post("Authorization", "Bearer x")
	v.Present(r)
	v.Anonymous(r)
	require.NoError(t, v.Prefetch(r.Context()))
	m := auth.AnyOf(v)
	m.Observe = told.observe
	m.Present(r)
	m.Anonymous(r)
	require.Empty(t, *told)
	for _, zero := range []*auth.Verifier{nil, {}} {
		require.Equal(t, 500, call(zero.Handler(ok), "/").Code)
		require.ErrorIs(t, verify(zero, "x"), auth.ErrNotConfigured)
	}
	require.Equal(t, 500, call((*auth.Modes)(nil).Handler(ok), "/").Code)
}

func TestObserveIsToldWhoPassedDespite(t *testing.T) {
	var despite bool
	v, told := observedVerifier(t, auth.Config{AllowDespite: func(_ *http.Request, err error) bool {
		e, _ := errors.AsType[*auth.Error](err)
		require.Regexp(t, randomID, e.RequestID, "a dry run can log the id")
		return despite
	}})
	lacking, id := outsider(t)
	for _, despite = range []bool{true, false} {
		w := httptest.NewRecorder()
		v.Handler(http.HandlerFunc(witness)).ServeHTTP(w, post("Authorization", lacking))
		got := told.only(t)
		require.Equal(t, map[bool]string{true: "despite", false: "refused"}[despite], got.Outcome)
		require.Equal(t, "refused", got.Reason)
		require.Equal(t, id, got.Client)
		require.ErrorIs(t, got.Err, auth.ErrGroup)
		require.Equal(t, !despite, w.Header().Get("X-Amzn-RequestId") == got.RequestID, "who passed has no answer of ours")
	}
}

// Failures are told apart from refusals. A canceled request is not counted as a failure of the key server.
func TestFailuresAreTold(t *testing.T) {
	down := errors.New("down")
	gone, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("the client has gone"))
	good := must(poolIssuer().IDToken(julian))
	for name, row := range map[string]struct {
		ctx             context.Context
		revoked         error
		outcome, reason string
	}{
		"the revocation list is down":      {context.Background(), down, "failed", "unavailable"},
		"canceled there":                   {gone, context.Canceled, "failed", "canceled"},
		"canceled, but reported otherwise": {gone, down, "failed", "canceled"},
		"the revocation list is shut down": {context.Background(), context.Canceled, "failed", "unavailable"},
	} {
		v, told := observedVerifier(t, auth.Config{Revoked: func(context.Context, auth.Token) (bool, error) { return false, row.revoked }})
		v.Handler(ok).ServeHTTP(httptest.NewRecorder(), post("Authorization", good).WithContext(row.ctx))
		got := told.only(t)
		require.Equal(t, row.outcome, got.Outcome, name)
		require.Equal(t, row.reason, got.Reason, name)
		require.NotEmpty(t, got.Client, name)
	}

	for ctx, reason := range map[context.Context]string{context.Background(): "refused", gone: "canceled"} {
		v, told := observedVerifier(t, auth.Config{Rules: auth.Rules{Check: func(context.Context, auth.Token) error { return context.Canceled }}})
		_, err := v.VerifyToken(ctx, good)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, reason, told.only(t).Reason)
	}

	var told events
	stuck := make(chan struct{})
	defer close(stuck)
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{auth.OIDC(plain, client)}, Observe: told.observe, Transport: wire{
		"issuer.example": http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stuck }),
	}})
	_, err := v.VerifyToken(gone, rs256(goodHeader, goodClaims(nil)))
	require.ErrorIs(t, err, auth.ErrUnavailable)
	require.ErrorContains(t, err, "the client has gone")
	require.Equal(t, "canceled", told.only(t).Reason)

	shut := newVerifier(t, auth.Config{Issuers: []auth.Issuer{auth.OIDC(plain, client)}, Observe: told.observe, Transport: shutDown{}})
	require.ErrorIs(t, verify(shut, rs256(goodHeader, goodClaims(nil))), context.Canceled)
	require.Equal(t, "unavailable", told.only(t).Reason)
}

// shutDown is a transport that was canceled by itself.
type shutDown struct{}

func (shutDown) RoundTrip(*http.Request) (*http.Response, error) { return nil, context.Canceled }

// Observe gets the context of the request, with what outer layers have put into it.
func TestObserveGetsTheContext(t *testing.T) {
	type mark struct{}
	ctx := context.WithValue(context.Background(), mark{}, true)
	seen := 0
	observe := func(ctx context.Context, _ auth.Event) {
		require.Equal(t, true, ctx.Value(mark{}))
		_, proven := auth.FromContext(ctx)
		require.False(t, proven, "the context as it came in")
		seen++
	}
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{cognito()}, Observe: observe})
	m := auth.AnyOf(v)
	m.Observe = observe
	for _, raw := range []string{must(poolIssuer().IDToken(julian)), "x"} {
		v.Handler(ok).ServeHTTP(httptest.NewRecorder(), post("Authorization", raw).WithContext(ctx))
		m.Handler(ok).ServeHTTP(httptest.NewRecorder(), post("Authorization", raw).WithContext(ctx))
		_, _ = v.VerifyToken(ctx, raw)
	}
	require.Equal(t, 8, seen)
}

// The next handler's panic comes after the event and adds none.
func TestPanicOfTheNextHandlerTellsNothingMore(t *testing.T) {
	v, told := observedVerifier(t, auth.Config{})
	h := v.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("next") }))
	require.Panics(t, func() { call(h, "/", "Authorization", must(poolIssuer().IDToken(julian))) })
	require.Equal(t, "allowed", told.only(t).Outcome)
}

func TestReasons(t *testing.T) {
	for want, causes := range map[string][]error{
		"not_configured": {auth.ErrNotConfigured, nil}, "missing": {auth.ErrMissing}, "ambiguous": {auth.ErrAmbiguous},
		"malformed": {auth.ErrMalformed}, "issuer": {auth.ErrIssuer}, "unavailable": {auth.ErrUnavailable, errors.Join(auth.ErrUnavailable, auth.ErrRefused)},
		"signature": {auth.ErrSignature, auth.ErrAlgorithm, auth.ErrKey, auth.ErrForged}, "audience": {auth.ErrAudience, auth.ErrOtherAudience, auth.ErrTokenUse},
		"not_current": {auth.ErrNotCurrent, auth.ErrExpired, auth.ErrNotYetValid, auth.ErrRevoked}, "too_old": {auth.ErrTooOld},
		"scope": {auth.ErrScope, errors.Join(auth.ErrRefused, auth.ErrScope)}, "refused": {auth.ErrRefused, auth.ErrGroup, errors.New("of a check")},
		"canceled": {context.Canceled, fmt.Errorf("%w: %w", auth.ErrUnavailable, context.Canceled)},
	} {
		for _, cause := range causes {
			require.Equal(t, want, (&auth.Error{Err: cause}).Reason(), "%v", cause)
		}
	}
	require.Equal(t, "not_configured", (*auth.Error)(nil).Reason())
}

// The id in the event is that of the answer, no matter which layer made it, and in every style of answer.
func TestAnswerCarriesTheIDOfTheEvent(t *testing.T) {
	names := func(r *http.Request) string { return r.Header.Get("X-Named") }
	for _, named := range []string{"", "n-1"} {
		for _, outer := range []string{"", "o-1"} {
			for style, handler := range map[string]func(http.ResponseWriter, *http.Request, error){
				"default": nil, "HTTPAPI": auth.HTTPAPI, "AppSync": auth.AppSync, "Bearer": auth.Bearer,
				"own": func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusTeapot) },
			} {
				v, told := observedVerifier(t, auth.Config{RequestID: names, ErrorHandler: handler})
				quiet := newVerifier(t, auth.Config{Issuers: []auth.Issuer{cognito()}, RequestID: names, ErrorHandler: handler})
				one, other := auth.AnyOf(quiet), auth.AnyOf(cognitoVerifier(t, auth.Rules{}))
				one.Observe, other.Observe, other.RequestID = told.observe, told.observe, names
				one.ErrorHandler, other.ErrorHandler = handler, handler
				for layer, h := range map[string]http.Handler{"verifier": v.Handler(ok), "modes": one.Handler(ok), "bare mode": other.Handler(ok)} {
					name := fmt.Sprintf("%s, style %s, named %q, outer %q", layer, style, named, outer)
					w := httptest.NewRecorder()
					if outer != "" {
						w.Header().Set("X-Amzn-RequestId", outer)
					}
					h.ServeHTTP(w, post("X-Named", named))
					got := told.only(t)
					require.Equal(t, w.Header().Get("X-Amzn-RequestId"), got.RequestID, name)
					switch {
					case outer != "":
						require.Equal(t, outer, got.RequestID, name)
					case named != "":
						require.Equal(t, named, got.RequestID, name)
					default:
						require.Regexp(t, randomID, got.RequestID, name)
					}
				}
			}
		}
	}
}

// An allowed request has an id only if the application names its requests. Nobody's verdict is changed by that.
func TestAllowedRequestIsNamedByTheApplication(t *testing.T) {
	good := must(poolIssuer().IDToken(julian))
	names := func(r *http.Request) string { return r.Header.Get("X-Named") }
	v, told := observedVerifier(t, auth.Config{RequestID: names})
	m := auth.AnyOf(cognitoVerifier(t, auth.Rules{}))
	m.Observe, m.RequestID = told.observe, names
	for _, h := range []http.Handler{v.Handler(ok), m.Handler(ok)} {
		w := call(h, "/", "Authorization", good, "X-Named", "n-1")
		require.Equal(t, "n-1", told.only(t).RequestID)
		require.Empty(t, w.Header().Get("X-Amzn-RequestId"), "the next handler answers")
		call(h, "/", "Authorization", good)
		require.Empty(t, told.only(t).RequestID, "a random one would stand in no answer")
	}
	require.NoError(t, verify(v, good))
	require.Empty(t, told.only(t).RequestID, "there is no request to name")
}

// A check of a route may return the same Error to all requests. Each gets its own id in a copy.
func TestSharedErrorsAreNotChanged(t *testing.T) {
	good := must(poolIssuer().IDToken(julian))
	shared := &auth.Error{Err: auth.ErrTooOld}
	for _, returned := range []*auth.Error{shared, nil} {
		v, told := observedVerifier(t, auth.Config{Rules: auth.Rules{Check: func(context.Context, auth.Token) error { return returned }}})
		err := verify(v, good)
		first := told.only(t)
		require.Equal(t, err, first.Err)
		require.Error(t, verify(v, good))
		require.NotEqual(t, first.RequestID, told.only(t).RequestID)
	}
	require.Empty(t, shared.RequestID)
}

// A check of a route refuses an authentic token, whose owner is known, whatever error it returns.
func TestCheckNamesTheClient(t *testing.T) {
	id := must(cognitoVerifier(t, auth.Rules{}).VerifyToken(context.Background(), must(poolIssuer().IDToken(julian)))).ID
	shared := &auth.Error{Err: auth.ErrScope}
	for _, row := range []struct {
		returned error
		client   string
	}{
		{shared, id},
		{fmt.Errorf("check: %w", shared), id},
		{errors.New("of the application"), id},
		{&auth.Error{Err: auth.ErrScope, Token: &auth.Token{ID: "of the check"}}, "of the check"},
	} {
		v, told := observedVerifier(t, auth.Config{Rules: auth.Rules{Check: func(context.Context, auth.Token) error { return row.returned }}})
		e, ok := errors.AsType[*auth.Error](verify(v, must(poolIssuer().IDToken(julian))))
		require.True(t, ok)
		require.Equal(t, row.client, told.only(t).Client, row.returned)
		require.Equal(t, row.client, e.Token.ID, row.returned)
	}
	require.Nil(t, shared.Token, "it may be returned to other requests at the same time")
}

// One function on both gets the decision of each layer. If the mode refuses, both events and the answer have one id.
func TestModesTellTheirOwnDecision(t *testing.T) {
	good := must(poolIssuer().IDToken(julian))
	v, told := observedVerifier(t, auth.Config{})
	for name, row := range map[string]struct {
		pairs   []string
		despite bool
		want    [][3]string // layer, outcome and reason
	}{
		"allowed":           {[]string{"Authorization", good}, false, [][3]string{{"auth", "allowed", ""}, {"anyof", "allowed", ""}}},
		"missing":           {nil, false, [][3]string{{"auth", "refused", "missing"}, {"anyof", "refused", "missing"}}},
		"despite":           {nil, true, [][3]string{{"auth", "refused", "missing"}, {"anyof", "despite", "missing"}}},
		"the second":        {[]string{"Authorization", good, "X-Api-Key", "bad"}, false, [][3]string{{"auth", "allowed", ""}, {"anyof", "refused", "refused"}}},
		"without the first": {[]string{"X-Api-Key", "good"}, false, [][3]string{{"anyof", "allowed", ""}}},
	} {
		m := auth.AnyOf(v, foreign{"X-Api-Key"})
		m.Observe = told.observe
		m.AllowDespite = func(*http.Request, error) bool { return row.despite }
		mux := http.NewServeMux()
		mux.Handle("POST /orders", m.Handler(ok))
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, post(row.pairs...))
		require.Len(t, *told, len(row.want), name)
		for i, got := range *told {
			require.Equal(t, row.want[i], [3]string{got.Layer, got.Outcome, got.Reason}, name)
			require.Equal(t, "POST /orders", got.Route, name)
			if got.Outcome != "allowed" && !row.despite {
				require.Equal(t, w.Header().Get("X-Amzn-RequestId"), got.RequestID, name)
			}
		}
		last := (*told)[len(*told)-1]
		require.Equal(t, (*told)[0].RequestID == last.RequestID, last.Reason != "refused", "%s: one id of both layers", name)
		*told = nil

		_, err := m.Authenticate(post(row.pairs...))
		require.Len(t, *told, len(row.want), name)
		last = (*told)[len(*told)-1]
		require.Equal(t, err, last.Err, name)
		requireAnswersWithID(t, err, last.RequestID)
		require.NotEqual(t, "despite", last.Outcome, "%s: Authenticate still refuses", name)
		*told = nil
	}
}

// requireAnswersWithID checks the answers of a caller of Authenticate.
func requireAnswersWithID(t *testing.T, err error, id string) {
	t.Helper()
	if err == nil {
		return
	}
	own, ok := err.(http.Handler)
	require.True(t, ok)
	for _, answer := range []func(http.ResponseWriter, *http.Request, error){
		func(w http.ResponseWriter, r *http.Request, _ error) { own.ServeHTTP(w, r) }, auth.HTTPAPI, auth.AppSync, auth.Bearer,
	} {
		w := httptest.NewRecorder()
		answer(w, post(), err)
		require.Equal(t, []string{id}, w.Header().Values("X-Amzn-RequestId"))
	}
}

// The error of Authenticate is that of the mode, and has the id that RequestID or the event has.
func TestErrorOfModesHasAnID(t *testing.T) {
	refusal := &auth.Error{Err: auth.ErrExpired}
	m := auth.AnyOf(silent{fmt.Errorf("mode: %w", refusal)})
	m.RequestID = func(*http.Request) string { return "n-1" }
	_, err := m.Authenticate(post())
	require.EqualError(t, err, "mode: auth: token has expired")
	inner, _ := errors.AsType[*auth.Error](err)
	require.Same(t, refusal, inner)
	requireAnswersWithID(t, err, "n-1")
	require.Empty(t, refusal.RequestID, "it may be shared")
	w := httptest.NewRecorder()
	err.(http.Handler).ServeHTTP(w, post())
	require.Equal(t, 401, w.Code)
	require.Contains(t, w.Body.String(), "The incoming token has expired")

	m = auth.AnyOf(silent{refusal})
	_, err = m.Authenticate(post())
	require.Same(t, refusal, err, "nobody observes or names")
}

// ofServer is an error whose reason another server has written.
type ofServer struct{ error }

func (ofServer) Reason() string { return "anything" }

// The error of a mode may be of any type.
func TestModesTellOfAnyError(t *testing.T) {
	for name, row := range map[string]struct {
		err             error
		outcome, reason string
	}{
		"of this package":      {&auth.Error{Err: auth.ErrExpired}, "refused", "not_current"},
		"wrapped":              {fmt.Errorf("mode: %w", &auth.Error{Err: auth.ErrUnavailable}), "failed", "unavailable"},
		"without a reason":     {foreignError{"X"}, "refused", "refused"},
		"a reason and no more": {fmt.Errorf("mode: %w", ofServer{errors.New("x")}), "failed", "not_configured"},
		"a status and no more": {bare(403), "failed", "not_configured"},
		"unknown":              {errors.New("x"), "failed", "not_configured"},
		"canceled":             {fmt.Errorf("mode: %w", context.Canceled), "failed", "canceled"},
	} {
		var told events
		m := auth.AnyOf(silent{row.err})
		m.Observe = told.observe
		w := call(m.Handler(ok), "/")
		got := told.only(t)
		require.Equal(t, "anyof", got.Layer, name)
		require.Equal(t, row.outcome, got.Outcome, name)
		require.Equal(t, row.reason, got.Reason, name)
		require.Equal(t, row.err, got.Err, name)
		require.Equal(t, w.Header().Get("X-Amzn-RequestId"), got.RequestID, name)
		require.Equal(t, w.Code >= 500, got.Outcome == "failed", name)
	}
	var told events
	call((&auth.Modes{Observe: told.observe}).Handler(ok), "/")
	require.Equal(t, "not_configured", told.only(t).Reason)
}
