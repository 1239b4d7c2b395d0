package auth_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
)

func TestCognitoTokenIsRead(t *testing.T) {
	v := cognitoVerifier(t, auth.Rules{})
	id := must(poolIssuer().IDToken(julian))
	for _, sight := range []string{"first", "second"} {
		got, err := v.VerifyToken(t.Context(), id)
		require.NoError(t, err, sight)
		require.Equal(t, issURL, got.Issuer)
		require.Equal(t, issURL+" "+got.Subject, got.ID)
		require.Len(t, got.Subject, 36)
		require.Equal(t, "id", got.Use)
		require.Equal(t, "julianwood", got.Username)
		require.Equal(t, client, got.Client)
		require.Equal(t, []string{client}, got.Audience())
		require.Equal(t, []string{"gold", "staff"}, got.Groups())
		require.True(t, got.InGroup("gold"))
		require.False(t, got.InGroup("Gold"))
		require.Empty(t, got.Scopes())
		require.False(t, got.HasScope(""))
		require.Equal(t, "RS256", got.Algorithm)
		require.NotEmpty(t, got.KeyID)
		require.NotEmpty(t, got.JWTID)
		require.Equal(t, got.IssuedAt.Add(time.Hour), got.Expiry)
		require.Equal(t, got.IssuedAt, got.AuthTime)
		require.True(t, got.NotBefore.IsZero())
	}
	u := julian
	u.Scopes = []string{"loyalty/read", "openid"}
	got, err := v.VerifyToken(t.Context(), must(poolIssuer().AccessToken(u)))
	require.NoError(t, err)
	require.Equal(t, "access", got.Use)
	require.Equal(t, client, got.Client)
	require.Empty(t, got.Audience())
	require.Equal(t, "julianwood", got.Username)
	require.Equal(t, []string{"loyalty/read", "openid"}, got.Scopes())
	require.True(t, got.HasScope("openid"))
	require.False(t, got.HasScope("loyalty"))
	require.False(t, got.HasScope(""))
}

// The zero Token and a literal have no claims other than their fields.
func TestTokenWithoutClaims(t *testing.T) {
	for _, token := range []auth.Token{{}, {Subject: "s", Use: "access"}} {
		require.Nil(t, token.Audience())
		require.Nil(t, token.Scopes())
		require.Nil(t, token.Groups())
		require.False(t, token.HasScope(""))
		require.False(t, token.HasScope("openid"))
		require.False(t, token.InGroup(""))
		_, ok := token.AWSPrincipal()
		require.False(t, ok)
		// The check of a route may return such an Error.
		require.NotEmpty(t, (&auth.Error{Err: auth.ErrIssuer, Token: &token}).Error())
	}
}

// Each request gets its own Token. A change to it does not affect the next request with the same token.
func TestTokenIsACopy(t *testing.T) {
	var seen []string
	spoil := func(token *auth.Token) {
		seen = append(seen, token.Subject)
		token.ID, token.Subject, token.Expiry = "mine", "mine", time.Time{}
	}
	c := auth.Config{Issuers: []auth.Issuer{cognito()}}
	c.Revoked = func(_ context.Context, token auth.Token) (bool, error) { spoil(&token); return false, nil }
	c.Rules.Check = func(_ context.Context, token auth.Token) error { spoil(&token); return nil }
	v := newVerifier(t, c)
	refuses := must(v.With(auth.Rules{AnyGroup: []string{"none"}}))
	unscoped := must(v.With(auth.Rules{AnyScope: []string{"none"}}))

	raw := must(poolIssuer().IDToken(julian))
	want := must(v.VerifyToken(t.Context(), raw))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", raw)
	for range 2 {
		for _, refuses := range []*auth.Verifier{refuses, unscoped} {
			e, ok := errors.AsType[*auth.Error](verify(refuses, raw))
			require.True(t, ok)
			spoil(e.Token)
		}
		inner := must(v.Authenticate(r))
		token, _ := auth.FromContext(inner.Context())
		spoil(&token)
		again, _ := auth.FromContext(inner.Context())
		spoil(&again)
		given := auth.NewContext(t.Context(), want)
		token, _ = auth.FromContext(given)
		spoil(&token)
		token, _ = auth.FromContext(given)
		require.Equal(t, want, token)
		token = must(v.Verify(r))
		spoil(&token)
	}
	for _, subject := range seen {
		require.Equal(t, want.Subject, subject)
	}
	require.True(t, want == must(v.VerifyToken(t.Context(), raw)))
}

// A list that one caller changes must not change for the next caller, who may get the same token.
func TestTokenIsReadOnly(t *testing.T) {
	v := cognitoVerifier(t, auth.Rules{})
	u := julian
	u.Scopes = []string{"openid"}
	for _, raw := range []string{must(poolIssuer().IDToken(julian)), must(poolIssuer().AccessToken(u))} {
		first := must(v.VerifyToken(t.Context(), raw))
		for _, list := range [][]string{first.Groups(), first.Audience(), first.Scopes()} {
			for i := range list {
				list[i] = "mine"
			}
		}
		second := must(v.VerifyToken(t.Context(), raw))
		require.True(t, first == second)
		require.Equal(t, []string{"gold", "staff"}, second.Groups())
		require.NotContains(t, second.Audience(), "mine")
		require.NotContains(t, second.Scopes(), "mine")
	}
}

// Each row changes one property of a token that is accepted.
func TestVerifyTokenRefuses(t *testing.T) {
	with := func(name string, value any) authtest.User {
		u := julian
		u.Claims = map[string]any{name: value}
		return u
	}
	other := julian
	other.Client = "another"
	expired := julian
	expired.Lifetime = -time.Second
	for _, row := range []struct {
		name string
		user authtest.User
		want error
	}{
		{"other client", other, auth.ErrOtherAudience},
		{"expired", expired, auth.ErrExpired},
		{"no exp", with("exp", nil), auth.ErrMalformed},
		{"nbf", with("nbf", time.Now().Add(time.Minute).Unix()), auth.ErrNotYetValid},
		{"iat", with("iat", time.Now().Add(time.Minute).Unix()), auth.ErrNotYetValid},
		{"other issuer", with("iss", "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_another"), auth.ErrIssuer},
		{"issuer with a slash", with("iss", issURL+"/"), auth.ErrIssuer},
		{"no issuer", with("iss", nil), auth.ErrIssuer},
		{"no use", with("token_use", nil), auth.ErrTokenUse},
		{"other use", with("token_use", "refresh"), auth.ErrTokenUse},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := cognitoVerifier(t, auth.Rules{})
			for _, issue := range []func(authtest.User) (string, error){poolIssuer().IDToken, poolIssuer().AccessToken} {
				raw := must(issue(row.user))
				for range 2 {
					got, err := v.VerifyToken(t.Context(), raw)
					require.Zero(t, got)
					require.ErrorIs(t, err, row.want)
					require.IsType(t, &auth.Error{}, err)
				}
			}
		})
	}
}

// Both names of a pool are accepted, and a user has the same ID under both.
func TestCognitoAliasIsTheSamePool(t *testing.T) {
	v := cognitoVerifier(t, auth.Rules{})
	u := julian
	u.Subject = "s1"
	u.Claims = map[string]any{"iss": "https://issuer-cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz"}
	got, err := v.VerifyToken(t.Context(), must(poolIssuer().IDToken(u)))
	require.NoError(t, err)
	require.Equal(t, u.Claims["iss"], got.Issuer)
	require.Equal(t, issURL+" s1", got.ID)
}

func TestNewNamesEveryMistake(t *testing.T) {
	_, err := auth.New(auth.Config{
		Leeway: time.Hour,
		Rules:  auth.Rules{TokenUse: "refresh", MaxAge: -1, AnyScope: []string{"a b"}, AnyGroup: []string{""}},
		Issuers: []auth.Issuer{
			auth.Cognito("eu-west-2", pool, client),
			{URL: "", AllowAnyAudience: true, Keys: []byte("{}")},
			{URL: "http://issuer.example", AllowAnyAudience: true},
			{URL: plain, JWKS: "http://keys.example", Algorithms: []string{"HS256"}, AudiencePattern: auth.Matching("(")},
			{URL: "https://nobody.example"},
			{URL: "https://user@password.example", AllowAnyAudience: true},
			{URL: "https://pattern.example", AudiencePattern: auth.Matching("a)|(b")},
			{URL: "https://with space.example", AllowAnyAudience: true},
			{URL: "https://unset.example", AudiencePattern: auth.Matching("")},
			local(), local(),
		},
	})
	require.Error(t, err)
	for _, want := range []string{
		"leeway 1h0m0s", `token use "refresh"`, "maximum age is negative", `"a b" is not a scope`, "a group is empty",
		`is not a user pool of Region "eu-west-2"`, `issuer name ""`, `"http://issuer.example" is not an https URL`,
		`"http://keys.example" is not an https URL`, `algorithm "HS256"`, "missing closing )", "no audience is accepted", "AudiencePattern is empty",
		`issuer "https://issuer.example" is named twice`, "unexpected )", `"https://user@password.example" is not an https URL`, `issuer name "https://with space.example"`,
	} {
		require.ErrorContains(t, err, want)
	}
	require.ErrorContains(t, err, "\nauth: issuer \"https://issuer.example\": algorithm \"HS256\"")
	for line := range strings.Lines(err.Error()) {
		require.True(t, strings.HasPrefix(line, "auth: "), line)
	}
	_, err = auth.New(auth.Config{})
	require.ErrorContains(t, err, "no issuer is accepted")
}

// New copies its configuration: later changes to it have no effect.
func TestNewCopies(t *testing.T) {
	is := local()
	issuers := []auth.Issuer{is}
	rules := auth.Rules{AnyScope: []string{"read"}}
	v := newVerifier(t, auth.Config{Issuers: issuers, Rules: rules})
	issuers[0].URL, is.Audiences[0], rules.AnyScope[0] = "https://x.example", "x", "x"
	clear(is.Keys)
	raw := rs256(goodHeader, goodClaims(map[string]any{"scope": "read"}))
	require.NoError(t, verify(v, raw))
	more := auth.Rules{AllScopes: []string{"read"}}
	route := must(v.With(more))
	more.AllScopes[0] = "x"
	require.NoError(t, verify(route, raw))
}

func TestZeroValueRefuses(t *testing.T) {
	for _, v := range []*auth.Verifier{nil, {}} {
		_, err := v.VerifyToken(t.Context(), must(poolIssuer().IDToken(julian)))
		require.ErrorIs(t, err, auth.ErrNotConfigured)
		_, err = v.With(auth.Rules{})
		require.ErrorIs(t, err, auth.ErrNotConfigured)
		require.ErrorIs(t, v.Prefetch(t.Context()), auth.ErrNotConfigured)
		w := call(v.Handler(ok), "/", "Authorization", "Bearer x")
		require.Equal(t, 500, w.Code)
		require.JSONEq(t, `{"message":"Internal server error"}`, w.Body.String())
		require.Equal(t, "ApiConfigurationException", w.Header().Get("X-Amzn-ErrorType"))
	}
}

// scope is a string (RFC 9068 section 2.2.3). Some issuers write scp instead, as a string or an array. If both are
// there, scope counts.
func TestScopeComesBeforeScp(t *testing.T) {
	v := localVerifier(t)
	for _, row := range []struct {
		claims map[string]any
		want   []string
	}{
		{map[string]any{"scope": "a b"}, []string{"a", "b"}},
		{map[string]any{"scope": []string{"a", "b"}}, []string{"a", "b"}},
		{map[string]any{"scp": "a b"}, []string{"a", "b"}},
		{map[string]any{"scp": []string{"a", "b"}}, []string{"a", "b"}},
		{map[string]any{"scp": "x", "scope": "a"}, []string{"a"}},
		{map[string]any{"scope": ""}, nil},
		{map[string]any{"scp": []string{}}, nil},
		{nil, nil},
	} {
		got, err := v.VerifyToken(t.Context(), rs256(goodHeader, goodClaims(row.claims)))
		require.NoError(t, err)
		require.Equal(t, row.want, got.Scopes())
	}
}

// A long token is remembered too. Its claims do not change while other tokens are verified.
func TestLongTokensAreRemembered(t *testing.T) {
	v := localVerifier(t)
	long := func(text string) string {
		return rs256(goodHeader, goodClaims(map[string]any{"sub": strings.Repeat(text, 9000), "scope": text}))
	}
	first := must(v.VerifyToken(t.Context(), long("a")))
	for _, text := range []string{"b", "c"} {
		raw := long(text)
		second := must(v.VerifyToken(t.Context(), raw))
		require.True(t, second == must(v.VerifyToken(t.Context(), raw)))
		require.ErrorIs(t, verify(v, raw[:len(raw)-4]+"AAAA"), auth.ErrForged)
		require.Equal(t, strings.Repeat(text, 9000), second.Subject)
		require.Equal(t, strings.Repeat("a", 9000), first.Subject)
		require.True(t, first.HasScope("a"))
		claims, err := auth.Claims[map[string]any](first)
		require.NoError(t, err)
		require.Equal(t, "a", claims["scope"])
	}
}

func TestRevokedIsAskedOnEveryRequest(t *testing.T) {
	var answer error
	revoked := false
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{cognito()}, Revoked: func(_ context.Context, got auth.Token) (bool, error) {
		require.Equal(t, "julianwood", got.Username)
		return revoked, answer
	}})
	raw := must(poolIssuer().IDToken(julian))
	_, err := v.VerifyToken(t.Context(), raw)
	require.NoError(t, err)
	revoked = true // the token is in the cache now
	_, err = v.VerifyToken(t.Context(), raw)
	require.ErrorIs(t, err, auth.ErrRevoked)
	answer = errors.New("list is unreachable")
	_, err = v.VerifyToken(t.Context(), raw)
	require.ErrorIs(t, err, auth.ErrUnavailable)
	require.ErrorIs(t, err, answer)
}
