package auth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

// always lets every refused request pass, and records why it was refused.
type always struct{ errs []error }

func (a *always) ask(_ *http.Request, err error) bool {
	a.errs = append(a.errs, err)
	return true
}

// witness answers with what a handler finds in its request.
func witness(w http.ResponseWriter, r *http.Request) {
	id, proven := auth.ID(r)
	_, token := auth.FromContext(r.Context())
	body, err := io.ReadAll(r.Body)
	_, _ = fmt.Fprintf(w, "%q %v %v %s %v", id, proven, token, body, err)
}

const unproven = `"" false false body <nil>`

func post(pairs ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "http://api.example/orders", strings.NewReader("body"))
	for i := 0; i < len(pairs); i += 2 {
		r.Header.Add(pairs[i], pairs[i+1])
	}
	return r
}

func TestAllowDespiteServesWithoutProof(t *testing.T) {
	good := must(poolIssuer().IDToken(julian))
	var asked always
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{cognito()}, AllowDespite: asked.ask})
	for name, row := range map[string]struct {
		pairs []string
		want  error
	}{
		"none":      {nil, auth.ErrMissing},
		"malformed": {[]string{"Authorization", "Bearer x"}, auth.ErrMalformed},
		"two":       {[]string{"Authorization", good, "Authorization", good}, auth.ErrAmbiguous},
		"forged":    {[]string{"Authorization", good[:len(good)-8] + "AAAAAAAA"}, auth.ErrForged},
	} {
		asked.errs = nil
		w := httptest.NewRecorder()
		v.Handler(http.HandlerFunc(witness)).ServeHTTP(w, post(row.pairs...))
		require.Equal(t, unproven, w.Body.String(), name)
		require.Equal(t, 200, w.Code)
		for field := range w.Header() {
			require.Equal(t, "Content-Type", field, "net/http's own alone")
		}
		require.Len(t, asked.errs, 1)
		require.ErrorIs(t, asked.errs[0], row.want)
		_, err := v.Verify(post(row.pairs...))
		require.ErrorIs(t, err, row.want, "Verify still refuses")
		got, err := v.Authenticate(post(row.pairs...))
		require.ErrorIs(t, err, row.want)
		require.Nil(t, got)
	}
	asked.errs = nil
	w := httptest.NewRecorder()
	v.Handler(http.HandlerFunc(witness)).ServeHTTP(w, post("Authorization", good))
	require.Contains(t, w.Body.String(), " true true body")
	require.Empty(t, asked.errs, "a good token is no refusal")

	// A route's verifier asks the same function. If that returns false, or the verifier is not configured, it refuses.
	route := must(v.With(auth.Rules{AnyGroup: []string{"none"}}))
	w = httptest.NewRecorder()
	route.Handler(http.HandlerFunc(witness)).ServeHTTP(w, post("Authorization", good))
	require.Equal(t, unproven, w.Body.String())
	require.ErrorIs(t, asked.errs[0], auth.ErrGroup)
	closed := newVerifier(t, auth.Config{Issuers: []auth.Issuer{cognito()}, AllowDespite: func(*http.Request, error) bool { return false }})
	require.Equal(t, 401, call(closed.Handler(ok), "/").Code)
	require.Equal(t, 500, call((&auth.Verifier{}).Handler(ok), "/").Code)
	require.Equal(t, 500, call((*auth.Verifier)(nil).Handler(ok), "/").Code)
}

// If the inner verifier refuses a request, the handler does not see the proof of the outer one either.
func TestAllowDespiteRemovesTheOuterProof(t *testing.T) {
	outer := cognitoVerifier(t, auth.Rules{})
	var asked always
	inner := newVerifier(t, auth.Config{Issuers: []auth.Issuer{local()}, AllowDespite: asked.ask})
	good := must(poolIssuer().IDToken(julian))
	either := auth.AnyOf(inner)
	either.AllowDespite = asked.ask
	for _, layer := range []func(http.Handler) http.Handler{inner.Handler, either.Handler} {
		w := httptest.NewRecorder()
		outer.Handler(layer(http.HandlerFunc(witness))).ServeHTTP(w, post("Authorization", good))
		require.Equal(t, unproven, w.Body.String())
	}
	require.Len(t, asked.errs, 2)

	r := post()
	require.Same(t, r, inner.Anonymous(r), "nothing to take out")
	require.Same(t, r, (*auth.Modes)(nil).Anonymous(r))
}

// reading is a mode that reads the body, as the check of a signature would, and then accepts or refuses.
type reading struct{ err error }

func (reading) Present(*http.Request) bool { return true }

func (m reading) Authenticate(r *http.Request) (*http.Request, error) {
	text, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(text))
	if m.err != nil {
		return nil, m.err
	}
	return r.WithContext(context.WithValue(r.Context(), m, true)), nil
}

func (m reading) Anonymous(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), m, false))
}

// status is an error with a status and a code.
type status struct {
	foreignError
	code int
	name string
}

func (s status) StatusCode() int   { return s.code }
func (s status) ErrorCode() string { return s.name }

// bare is an error that has a status, but no other part of an answer.
type bare int

func (b bare) Error() string   { return http.StatusText(int(b)) }
func (b bare) StatusCode() int { return int(b) }

func TestAnyOfAllowDespiteServesWithoutProof(t *testing.T) {
	good := must(poolIssuer().IDToken(julian))
	tokens := cognitoVerifier(t, auth.Rules{})
	key := foreign{"X-Api-Key"}
	refused := status{code: 403, name: "InvalidSignatureException"}
	large := status{code: 413, name: "RequestTooLargeException"}
	for name, row := range map[string]struct {
		mode  auth.Mode
		more  []auth.Mode
		pairs []string
		asked bool
	}{
		"none":                              {tokens, nil, nil, true},
		"bad token after a mode that reads": {reading{}, []auth.Mode{tokens}, []string{"Authorization", "Bearer x"}, true},
		"good token, bad signature":         {tokens, []auth.Mode{reading{refused}}, []string{"Authorization", good}, true},
		"good token and key, bad signature": {tokens, []auth.Mode{key, reading{refused}}, []string{"Authorization", good, "X-Api-Key", "good"}, true},
		"two that read, a bad key":          {reading{}, []auth.Mode{reading{}, key}, []string{"X-Api-Key", "bad"}, true},
		"an error of no package":            {reading{errors.New("x")}, nil, nil, true},
		"too large":                         {reading{large}, nil, nil, false},
		"too large, wrapped":                {reading{fmt.Errorf("mode: %w", large)}, nil, nil, false},
		"too large, nothing else known":     {reading{bare(413)}, nil, nil, false},
		"refused, nothing else known":       {reading{bare(403)}, nil, nil, true},
		"not configured":                    {&auth.Verifier{}, nil, nil, false},
		"not configured, another package":   {reading{status{code: 500, name: "ApiConfigurationException"}}, nil, nil, false},
		"nil mode":                          {nil, nil, nil, false},
	} {
		var asked always
		m := auth.AnyOf(row.mode, row.more...)
		m.AllowDespite = asked.ask
		w := httptest.NewRecorder()
		r := post(row.pairs...)
		m.Handler(http.HandlerFunc(witness)).ServeHTTP(w, r)
		if row.asked {
			require.Len(t, asked.errs, 1, name)
			require.Equal(t, 200, w.Code, name)
			require.Equal(t, unproven, w.Body.String(), name)
		} else {
			require.Empty(t, asked.errs, name)
			require.GreaterOrEqual(t, w.Code, 400, name)
		}
		r = post(row.pairs...)
		got, err := m.Authenticate(r)
		require.Error(t, err, name)
		require.Nil(t, got, name)
		require.Equal(t, "body", string(must(io.ReadAll(r.Body))), "%s: callers of Authenticate get the whole body too", name)
	}
}

// A mux inside sets the pattern on the request that it gets. The layers outside must see it in theirs.
func TestPatternReachesOuterLayers(t *testing.T) {
	good := must(poolIssuer().IDToken(julian))
	var asked always
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{cognito()}, AllowDespite: asked.ask})
	either := auth.AnyOf(foreign{"X-Api-Key"}, v)
	either.AllowDespite = asked.ask
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", witness)
	outer := cognitoVerifier(t, auth.Rules{})
	for name, h := range map[string]http.Handler{
		"verifier": v.Handler(mux), "any of": either.Handler(mux), "one in the other": v.Handler(either.Handler(v.Handler(mux))),
		"below a proof": outer.Handler(v.Handler(mux)),
	} {
		for _, pairs := range [][]string{{"Authorization", good}, {"Authorization", good, "X-Api-Key", "good"}, {"Authorization", good, "X-Api-Key", "bad"}, {"X-Api-Key", "bad"}, nil} {
			r := post(pairs...)
			h.ServeHTTP(httptest.NewRecorder(), r)
			if name == "below a proof" && (len(pairs) == 0 || pairs[0] != "Authorization") {
				require.Empty(t, r.Pattern, "refused by the outer layer")
				continue
			}
			require.Equal(t, "POST /orders", r.Pattern, "%s %v", name, pairs)
		}
	}
}

// An error that a mode wraps keeps its answer.
func TestWrappedErrorsKeepTheirAnswer(t *testing.T) {
	for name, row := range map[string]struct {
		err    error
		status int
	}{
		"of this package": {&auth.Error{Err: fmt.Errorf("%w", auth.ErrGroup)}, 403},
		"wrapped":         {fmt.Errorf("mode: %w", &auth.Error{Err: auth.ErrUnavailable}), 503},
		"of another":      {fmt.Errorf("mode: %w", foreignError{"k"}), 403},
		"joined":          {errors.Join(errors.New("x"), &auth.Error{Err: auth.ErrExpired}), 401},
	} {
		require.Equal(t, row.status, call(auth.AnyOf(silent{row.err}).Handler(ok), "/").Code, name)
		for _, style := range []func(http.ResponseWriter, *http.Request, error){auth.AppSync, auth.Bearer, auth.HTTPAPI} {
			m := auth.AnyOf(silent{row.err})
			m.ErrorHandler = style
			require.NotEqual(t, 500, call(m.Handler(ok), "/").Code, name)
		}
	}
}

// An answer consists of fixed words. It holds nothing that the client sent.
func TestAnswersAreBounded(t *testing.T) {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{cognito()}, Foreign: opaque})
	big := strings.Repeat("\xff<é", 300_000)
	for _, value := range []string{big, "Bearer " + big, "Bearer a," + big, "opaque-" + big, b64(big) + "." + b64(big) + "." + b64(big), b64(`{"alg":"`+strings.Repeat("x", 1000)+`"}`) + ".e30."} {
		for _, style := range []func(http.ResponseWriter, *http.Request, error){rest, auth.HTTPAPI, auth.AppSync, auth.Bearer} {
			m := auth.AnyOf(v)
			m.ErrorHandler = style
			w := call(m.Handler(ok), "/", "Authorization", value)
			require.GreaterOrEqual(t, w.Code, 400)
			require.Less(t, w.Body.Len(), 300)
			var header bytes.Buffer
			require.NoError(t, w.Header().Write(&header))
			require.Less(t, header.Len(), 600)
			require.NotContains(t, header.String()+w.Body.String(), "xxxx")
		}
	}
}
