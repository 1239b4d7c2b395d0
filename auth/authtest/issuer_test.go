package authtest_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
)

const url = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz"

func newIssuer(t *testing.T) *authtest.Issuer {
	t.Helper()
	i, err := authtest.New(url)
	require.NoError(t, err)
	return i
}

// parse verifies a token with a library that does not belong to this module.
func parse(t *testing.T, i *authtest.Issuer, token string) *jwt.Token {
	t.Helper()
	keys, err := keyfunc.NewJWKSetJSON(i.JWKS())
	require.NoError(t, err)
	parsed, err := jwt.Parse(token, keys.Keyfunc, jwt.WithoutClaimsValidation())
	require.NoError(t, err)
	return parsed
}

func TestNewRequiresAbsoluteURL(t *testing.T) {
	for _, text := range []string{"", "x", "/x", "https://", ":"} {
		_, err := authtest.New(text)
		require.ErrorContains(t, err, "not an absolute URL", text)
	}
}

func TestTokensHaveCognitosForm(t *testing.T) {
	i := newIssuer(t)
	user := authtest.User{Username: "julianwood", Client: "c", Groups: []string{"gold"}, Claims: map[string]any{"custom:x": "1", "jti": nil}}
	raw, err := i.IDToken(user)
	require.NoError(t, err)
	id := parse(t, i, raw)
	raw, err = i.AccessToken(user)
	require.NoError(t, err)
	access := parse(t, i, raw)

	both := []string{"auth_time", "cognito:groups", "custom:x", "event_id", "exp", "iat", "iss", "origin_jti", "sub", "token_use"}
	require.ElementsMatch(t, append([]string{"aud", "cognito:username"}, both...), names(id))
	require.ElementsMatch(t, append([]string{"client_id", "scope", "username", "version"}, both...), names(access))
	require.Equal(t, id.Claims.(jwt.MapClaims)["sub"], access.Claims.(jwt.MapClaims)["sub"])
	require.Equal(t, "aws.cognito.signin.user.admin", access.Claims.(jwt.MapClaims)["scope"])
	require.NotEqual(t, id.Header["kid"], access.Header["kid"])
	for _, token := range []*jwt.Token{id, access} {
		require.Len(t, token.Header, 2)
		require.Equal(t, "RS256", token.Header["alg"])
		require.True(t, strings.HasSuffix(token.Header["kid"].(string), "="))
	}
}

func names(t *jwt.Token) (list []string) {
	for name := range t.Claims.(jwt.MapClaims) {
		list = append(list, name)
	}
	return list
}

func TestLifetimeSetsExpiry(t *testing.T) { synctest.Test(t, testLifetime) }

func testLifetime(t *testing.T) {
	i := newIssuer(t)
	for lifetime, want := range map[time.Duration]time.Duration{0: time.Hour, time.Minute: time.Minute, -time.Minute: -time.Minute} {
		raw, err := i.IDToken(authtest.User{Username: "u", Lifetime: lifetime})
		require.NoError(t, err)
		claims := parse(t, i, raw).Claims
		exp, err := claims.GetExpirationTime()
		require.NoError(t, err)
		require.Equal(t, time.Now().Add(want).Unix(), exp.Unix())
		iat, err := claims.GetIssuedAt()
		require.NoError(t, err)
		require.Less(t, iat.Unix(), exp.Unix())
		require.LessOrEqual(t, iat.Unix(), time.Now().Unix())
	}
}

func TestSignAddsMissingClaims(t *testing.T) {
	i := newIssuer(t)
	for _, algorithm := range []string{"RS256", "ES256", "EdDSA"} {
		raw, err := i.Sign(algorithm, map[string]any{"exp": nil, "iss": "other"})
		require.NoError(t, err)
		token := parse(t, i, raw)
		require.Equal(t, algorithm, token.Method.Alg())
		require.ElementsMatch(t, []string{"iss", "iat"}, names(token))
	}
	_, err := i.Sign("none", nil)
	require.Error(t, err)
	_, err = i.Sign("RS256", map[string]any{"x": func() {}})
	require.Error(t, err)
}

func get(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

func TestServesKeySetAndDiscovery(t *testing.T) {
	i := newIssuer(t)
	require.Equal(t, i.JWKS(), get(i, "/eu-west-1_aQYCzHwCz/.well-known/jwks.json").Body.Bytes())
	var doc map[string]any
	require.NoError(t, json.Unmarshal(get(i, "/.well-known/openid-configuration").Body.Bytes(), &doc))
	require.Equal(t, url, doc["issuer"])
	require.Equal(t, url+"/.well-known/jwks.json", doc["jwks_uri"])
	require.Equal(t, 404, get(i, "/").Code)
	require.Equal(t, 1, i.Fetches())
}

func TestFailSlowAndRotateChangeAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		before := i.JWKS()
		require.NoError(t, i.Rotate())
		require.NotEqual(t, before, i.JWKS())
		i.Fail(500)
		require.Equal(t, 500, get(i, "/.well-known/jwks.json").Code)
		i.Fail(0)
		i.Slow(time.Minute)
		start := time.Now()
		require.Equal(t, 200, get(i, "/.well-known/jwks.json").Code)
		require.Equal(t, time.Minute, time.Since(start))
		require.Equal(t, 2, i.Fetches())
	})
}

// In a planned rotation, tokens of both generations verify while the key sets overlap, and only the new ones
// afterwards. Time is fake, so the test does not wait for the pause between two fetches.
func TestRotationOverlapsUntilRetire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		v, err := auth.New(auth.Config{Issuers: []auth.Issuer{auth.OIDC(url, "api")}, Transport: i})
		require.NoError(t, err)
		issue := func() string {
			raw, err := i.Sign("EdDSA", map[string]any{"aud": "api"})
			require.NoError(t, err)
			return raw
		}
		verify := func(raw string) error {
			_, err := v.VerifyToken(t.Context(), raw)
			return err
		}
		requireUnknownKey := func(err error) {
			require.ErrorIs(t, err, auth.ErrSignature)
			require.EqualError(t, err, "auth: no key of the issuer fits the token")
		}
		first := issue()
		require.NoError(t, verify(first))

		require.NoError(t, i.RotateWithOverlap())
		second := issue()
		requireUnknownKey(verify(second)) // within the pause
		time.Sleep(10 * time.Second)
		require.NoError(t, verify(second))
		require.NoError(t, verify(first))

		require.NoError(t, i.RotateWithOverlap())
		third := issue()
		time.Sleep(10 * time.Second)
		for _, raw := range []string{third, second, first} {
			require.NoError(t, verify(raw))
		}

		i.Retire()
		time.Sleep(15 * time.Minute)
		require.NoError(t, verify(third)) // starts the fetch that is due
		synctest.Wait()
		require.NoError(t, verify(third))
		requireUnknownKey(verify(first))
		requireUnknownKey(verify(second))

		require.NoError(t, i.RotateWithOverlap())
		require.NoError(t, i.Rotate(), "ends an overlap too")
		time.Sleep(10 * time.Second)
		require.NoError(t, verify(issue()))
		requireUnknownKey(verify(third))
		require.Equal(t, 5, i.Fetches())
	})
}

func TestRoundTripAnswersInFakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		get := func(ctx context.Context) (*http.Response, error) {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/.well-known/jwks.json", nil)
			require.NoError(t, err)
			return i.RoundTrip(r)
		}
		res, err := get(t.Context())
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, i.JWKS(), body)

		i.Slow(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		_, err = get(ctx) //nolint:bodyclose // there is no response
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(start))
	})
}
