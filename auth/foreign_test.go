package auth_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/custom"
)

// opaque reports whether a word has the form that the authorizer of these tests looks up.
func opaque(word string) bool { return strings.HasPrefix(word, "opaque-") }

// composition is a verifier that leaves opaque words to others, a TOKEN authorizer that accepts some of them, and API
// keys.
func composition(t *testing.T) (verifier, authorizer, keys auth.Mode) {
	verifier = newVerifier(t, auth.Config{Issuers: []auth.Issuer{cognito()}, Foreign: opaque})
	authorizer = must(custom.New(custom.Config{
		ValidationExpression: "(?:Bearer )?opaque-[a-z]+",
		Authorize: func(_ context.Context, e custom.Event) (custom.Result, error) {
			if !strings.HasSuffix(e.AuthorizationToken, "-right") {
				return custom.Result{}, custom.ErrUnauthorized
			}
			return custom.Result{Authorized: true, PrincipalID: "p"}, nil
		},
	}))
	keys = must(apikey.New(apikey.Config{Keys: []apikey.Entry{{Key: apikey.Key{ID: "fr92a5qpbj", Enabled: true}, Value: goodKey}}}))
	return verifier, authorizer, keys
}

const goodKey = "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT"

// A TOKEN authorizer and a JWT verifier read the same header. Each gets its own words in either order. A word that
// neither claims is refused, with or without a good credential of a third kind.
func TestEachModeGetsItsOwnWords(t *testing.T) {
	verifier, authorizer, keys := composition(t)
	jwt := must(poolIssuer().IDToken(julian))
	jwe := strings.Join([]string{b64(`{"alg":"RSA-OAEP","enc":"A256GCM"}`), "key", "iv", "text", "tag"}, ".")
	orders := map[string]auth.Mode{
		"verifier first":    auth.AnyOf(verifier, authorizer, keys),
		"authorizer first":  auth.AnyOf(authorizer, verifier, keys),
		"keys first":        auth.AnyOf(keys, authorizer, verifier),
		"keys in between":   auth.AnyOf(verifier, keys, authorizer),
		"verifier nested":   auth.AnyOf(auth.AnyOf(verifier, keys), authorizer),
		"authorizer nested": auth.AnyOf(verifier, auth.AnyOf(authorizer, keys)),
		"both nested":       auth.AnyOf(auth.AnyOf(keys), auth.AnyOf(auth.AnyOf(verifier, authorizer))),
	}
	for order, m := range orders {
		for _, row := range []struct {
			name, word      string
			token, customer bool // the proofs that are wanted; without any, 401
		}{
			{"JWT", jwt, true, false},
			{"opaque word", "opaque-right", false, true},
			{"opaque word that is not known", "opaque-wrong", false, false},
			{"opaque word that no mode claims", "opaque-0", false, false},
			{"opaque word of 16 KiB", "opaque-" + strings.Repeat("0", 16<<10), false, false},
			{"garbage", "garbage", false, false},
			{"empty", "", false, false},
			{"JWE", jwe, false, false},
			{"forged JWT", jwt[:len(jwt)-8] + "AAAAAAAA", false, false},
			{"opaque word in a JWT's form", "opaque-right.x.y", false, false},
		} {
			for _, key := range []string{"", goodKey} {
				for _, scheme := range []string{"Bearer ", ""} {
					if scheme+row.word == "" {
						continue
					}
					r := httptest.NewRequest(http.MethodGet, "/", nil)
					r.Header.Set("Authorization", scheme+row.word)
					if key != "" {
						r.Header.Set("X-Api-Key", key)
					}
					require.True(t, m.Present(r), "%s, %s", order, row.name)
					got, err := m.Authenticate(r)
					if !row.token && !row.customer {
						require.Error(t, err, "%s, %s, key %q", order, row.name, key)
						require.Equal(t, 401, err.(interface{ StatusCode() int }).StatusCode(), "%s, %s", order, row.name)
						continue
					}
					require.NoError(t, err, "%s, %s", order, row.name)
					_, token := auth.ID(got)
					_, customer := custom.ID(got)
					_, known := apikey.ID(got)
					require.Equal(t, []bool{row.token, row.customer, key != ""}, []bool{token, customer, known}, "%s, %s", order, row.name)
				}
			}
		}
	}
}

// A word that the verifier leaves to others is accepted only if another mode claims it. A REQUEST authorizer that reads
// the header does; an API key does not.
func TestForeignWordNeedsAModeThatClaimsIt(t *testing.T) {
	verifier, _, keys := composition(t)
	sourced := must(custom.New(custom.Config{
		ByRequest: true, IdentitySources: []func(*http.Request) (string, bool){custom.Header("Authorization"), custom.Header("X-Tenant")},
		Authorize: func(context.Context, custom.Event) (custom.Result, error) {
			return custom.Result{Authorized: true, PrincipalID: "p"}, nil
		},
	}))
	header := []string{"Authorization", "Bearer opaque-x", "X-Tenant", "t", "X-Api-Key", goodKey}
	require.Equal(t, 200, call(auth.AnyOf(verifier, sourced).Handler(ok), "/", header...).Code)
	require.Equal(t, 401, call(auth.AnyOf(verifier, keys).Handler(ok), "/", header...).Code)
	wrapped := struct{ *auth.Verifier }{verifier.(*auth.Verifier)}
	require.Equal(t, 401, call(auth.AnyOf(wrapped, keys).Handler(ok), "/", header...).Code, "a wrapper that embeds the verifier")
	require.Equal(t, 401, call(auth.AnyOf(keys, verifier).Handler(ok), "/", header[:2]...).Code, "without the key")
	require.Equal(t, 400, call(auth.AnyOf(keys, verifier).Handler(ok), "/?access_token=x", header...).Code, "two tokens")
	other := newVerifier(t, auth.Config{Issuers: []auth.Issuer{cognito()}})
	w := call(auth.AnyOf(verifier, other).Handler(ok), "/", header...)
	require.Equal(t, 401, w.Code, "the other verifier claims every word")
}

// Without other modes, a verifier refuses the words that it would leave to them.
func TestForeignWordIsRefusedByTheVerifierAlone(t *testing.T) {
	verifier, _, _ := composition(t)
	v := verifier.(*auth.Verifier)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer opaque-right")
	require.False(t, v.Present(r))
	require.True(t, v.Leaves(r))
	_, err := v.Verify(r)
	require.ErrorIs(t, err, auth.ErrMalformed)
	w := call(v.Handler(ok), "/", "Authorization", "opaque-right")
	require.Equal(t, 401, w.Code)
	require.Contains(t, w.Header().Get("WWW-Authenticate"), "invalid_token")
	r.Header.Set("Authorization", "Bearer x")
	require.True(t, v.Present(r))
	require.False(t, v.Leaves(r))
	_, err = auth.New(auth.Config{Issuers: []auth.Issuer{cognito()}, Foreign: opaque, Source: custom.Header("X-Token")})
	require.ErrorContains(t, err, "Foreign")
}

// A header without a word has nothing to leave to other modes. The verifier refuses it even if Foreign accepts all.
func TestForeignIsNotAskedWithoutAWord(t *testing.T) {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{cognito()}, Foreign: func(word string) bool { return !strings.Contains(word, ".") }})
	every := must(custom.New(custom.Config{Authorize: func(context.Context, custom.Event) (custom.Result, error) {
		return custom.Result{Authorized: true, PrincipalID: "p"}, nil
	}}))
	for _, value := range []string{"Bearer", "Bearer ", "bearer   "} {
		for _, m := range []auth.Mode{auth.AnyOf(v, every), auth.AnyOf(every, v)} {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("Authorization", value)
			require.True(t, v.Present(r), "%q", value)
			_, err := m.Authenticate(r)
			require.ErrorIs(t, err, auth.ErrMalformed, "%q", value)
			r.Header.Set("Authorization", "Bearer word")
			require.False(t, v.Present(r))
			_, err = m.Authenticate(r)
			require.NoError(t, err)
		}
	}
}

// This is the composition in the documentation of auth/custom. The expression takes the scheme in any letter case. An
// authorizer without an expression claims JWTs too.
func TestForeignWorksAsDocumented(t *testing.T) {
	session := regexp.MustCompile(`^session-[0-9a-f]+$`)
	tokens := newVerifier(t, auth.Config{Issuers: []auth.Issuer{cognito()}, Foreign: session.MatchString})
	authorizer := func(expression string, accept bool) auth.Mode {
		return must(custom.New(custom.Config{ValidationExpression: expression, Authorize: func(context.Context, custom.Event) (custom.Result, error) {
			return custom.Result{Authorized: accept, PrincipalID: "p"}, nil
		}}))
	}
	jwt := must(poolIssuer().IDToken(julian))
	narrow := authorizer(`(?i:Bearer )session-[0-9a-f]+`, true)
	for value, want := range map[string]int{
		"Bearer session-0f": 200, "bearer session-0f": 200, "BEARER session-0f": 200, "Bearer " + jwt: 200, "bearer " + jwt: 200, jwt: 200,
		"session-0f": 401, "Bearer session-x": 401, "Bearer session-": 401, "Bearer garbage": 401, "Bearer session-0f,session-0f": 400,
	} {
		require.Equal(t, want, call(auth.AnyOf(tokens, narrow).Handler(ok), "/", "Authorization", value).Code, value)
		require.Equal(t, want, call(auth.AnyOf(narrow, tokens).Handler(ok), "/", "Authorization", value).Code, value)
	}
	for _, pair := range [][2]string{{"Bearer session-0f", "Bearer session-0f"}, {"Bearer session-0f", jwt}, {jwt, "Bearer session-0f"}, {"Bearer session-0f", "Basic eDp5"}} {
		got := call(auth.AnyOf(narrow, tokens).Handler(ok), "/", "Authorization", pair[0], "Authorization", pair[1]).Code
		require.Contains(t, []int{400, 401}, got, "%.30q", pair)
	}
	require.Equal(t, 200, call(auth.AnyOf(tokens, authorizer("", true)).Handler(ok), "/", "Authorization", jwt).Code)
	require.Equal(t, 403, call(auth.AnyOf(tokens, authorizer("", false)).Handler(ok), "/", "Authorization", jwt).Code)
}
