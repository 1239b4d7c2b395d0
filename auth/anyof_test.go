package auth_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

// foreign is a mode of another package. Its credential is the value "good" in a header field.
type foreign struct{ header string }

type foreignError struct{ header string }

func (e foreignError) Error() string           { return "no " + e.header }
func (e foreignError) StatusCode() int         { return http.StatusForbidden }
func (e foreignError) ErrorCode() string       { return "ForbiddenException" }
func (e foreignError) ErrorMessage() string    { return "Forbidden" }
func (e foreignError) SetHeader(h http.Header) { h.Set("X-Foreign", e.header) }
func (e foreignError) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	e.SetHeader(w.Header())
	http.Error(w, "foreign", e.StatusCode())
}

func (m foreign) Present(r *http.Request) bool { return r.Header.Get(m.header) != "" }

func (m foreign) Authenticate(r *http.Request) (*http.Request, error) {
	if r.Header.Get(m.header) != "good" {
		return nil, foreignError(m)
	}
	return r.WithContext(context.WithValue(r.Context(), m, true)), nil
}

// A request may have the credentials of two modes, each of them good, bad or missing. Every one that is there must
// verify.
func TestAnyOfVerifiesEveryCredential(t *testing.T) {
	key := foreign{"X-Api-Key"}
	tokens := cognitoVerifier(t, auth.Rules{})
	good := must(poolIssuer().IDToken(julian))
	proofs := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, token := auth.FromContext(r.Context())
		w.WriteHeader(200)
		_ = must(w.Write([]byte{'0' + byte(len(r.Header)), map[bool]byte{true: 'k', false: '-'}[r.Context().Value(key) != nil], map[bool]byte{true: 't', false: '-'}[token]}))
	})
	for _, row := range []struct {
		name   string
		header []string
		status int
		body   string
	}{
		{"key", []string{"X-Api-Key", "good"}, 200, "1k-"},
		{"token", []string{"Authorization", good}, 200, "1-t"},
		{"both", []string{"X-Api-Key", "good", "Authorization", good}, 200, "2kt"},
		{"bad token with a good key", []string{"X-Api-Key", "good", "Authorization", "Bearer x"}, 401, `{"message":"Unauthorized"}`},
		{"bad key with a good token", []string{"X-Api-Key", "x", "Authorization", good}, 403, "foreign\n"},
		{"both bad: the first answers", []string{"X-Api-Key", "x", "Authorization", "x"}, 403, "foreign\n"},
		{"none: the first answers", nil, 403, "foreign\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := auth.AnyOf(key, tokens)
			w := call(m.Handler(proofs), "/", row.header...)
			require.Equal(t, row.status, w.Code)
			require.Equal(t, row.body, w.Body.String())
			// Within another AnyOf the decision is the same.
			require.Equal(t, row.status, call(auth.AnyOf(auth.AnyOf(m)).Handler(proofs), "/", row.header...).Code)
		})
	}
	require.Equal(t, 401, call(auth.AnyOf(tokens, key).Handler(proofs), "/").Code)
}

func TestAnyOfErrorHandlerAnswersForEveryMode(t *testing.T) {
	m := auth.AnyOf(foreign{"X-Api-Key"}, cognitoVerifier(t, auth.Rules{}))
	m.ErrorHandler = auth.AppSync
	w := call(m.Handler(ok), "/")
	require.Equal(t, 401, w.Code)
	require.JSONEq(t, `{"errors":[{"errorType":"UnauthorizedException","message":"You are not authorized to make this call."}]}`, w.Body.String())
	require.Equal(t, "X-Api-Key", w.Header().Get("X-Foreign"), "the error's own header")
}

func TestAnyOfRefusesWithoutModes(t *testing.T) {
	for name, m := range map[string]*auth.Modes{
		"nil": nil, "zero": {}, "nil mode": auth.AnyOf(nil), "second nil": auth.AnyOf(foreign{"X"}, nil),
		"zero verifier": auth.AnyOf(&auth.Verifier{}),
	} {
		w := call(m.Handler(ok), "/", "Authorization", "Bearer x", "X", "good")
		require.Equal(t, 500, w.Code, name)
		require.JSONEq(t, `{"message":"Internal server error"}`, w.Body.String(), name)
	}
}

type silent struct{ error }

func (m silent) Present(*http.Request) bool                        { return true }
func (m silent) Authenticate(*http.Request) (*http.Request, error) { return nil, m.error }

func TestAnyOfAnswersForAPlainError(t *testing.T) {
	w := call(auth.AnyOf(silent{errors.New("secret")}).Handler(ok), "/")
	require.Equal(t, 500, w.Code)
	require.NotContains(t, w.Body.String(), "secret")
}
