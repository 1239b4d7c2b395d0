package auth_test

import (
	"context"
	"errors"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
)

func TestRules(t *testing.T) {
	u := julian
	u.Scopes = []string{"loyalty/read", "loyalty/write"}
	access, id := must(poolIssuer().AccessToken(u)), must(poolIssuer().IDToken(u))
	v := cognitoVerifier(t, auth.Rules{})
	reason := errors.New("not today")
	for _, row := range []struct {
		name  string
		rules auth.Rules
		raw   string
		want  error
	}{
		{"none", auth.Rules{}, id, nil},
		{"id", auth.Rules{TokenUse: "id"}, id, nil},
		{"id for access", auth.Rules{TokenUse: "access"}, id, auth.ErrTokenUse},
		{"access for id", auth.Rules{TokenUse: "id"}, access, auth.ErrTokenUse},
		{"one of the scopes", auth.Rules{AnyScope: []string{"x", "loyalty/read"}}, access, nil},
		{"none of the scopes", auth.Rules{AnyScope: []string{"x", "loyalty"}}, access, auth.ErrScope},
		{"scope of an ID token", auth.Rules{AnyScope: []string{"loyalty/read"}}, id, auth.ErrScope},
		{"all scopes", auth.Rules{AllScopes: []string{"loyalty/write", "loyalty/read"}}, access, nil},
		{"not all scopes", auth.Rules{AllScopes: []string{"loyalty/write", "x"}}, access, auth.ErrScope},
		{"any and all", auth.Rules{AnyScope: []string{"loyalty/read"}, AllScopes: []string{"x"}}, access, auth.ErrScope},
		{"group", auth.Rules{AnyGroup: []string{"x", "gold"}}, id, nil},
		{"no group", auth.Rules{AnyGroup: []string{"x"}}, id, auth.ErrGroup},
		{"age", auth.Rules{MaxAge: time.Hour, MaxAuthAge: time.Hour}, id, nil},
		{"check", auth.Rules{Check: func(context.Context, *auth.Token) error { return nil }}, id, nil},
		{"check refuses", auth.Rules{Check: func(context.Context, *auth.Token) error { return reason }}, id, auth.ErrRefused},
		{"check refuses, its reason", auth.Rules{Check: func(context.Context, *auth.Token) error { return reason }}, id, reason},
		{"check answers itself", auth.Rules{Check: func(context.Context, *auth.Token) error { return &auth.Error{Err: auth.ErrRevoked} }}, id, auth.ErrRevoked},
	} {
		t.Run(row.name, func(t *testing.T) {
			route, err := v.With(row.rules)
			require.NoError(t, err)
			require.ErrorIs(t, verify(route, row.raw), row.want)
			require.ErrorIs(t, verify(cognitoVerifier(t, row.rules), row.raw), row.want, "as the verifier's own rules")
			require.NoError(t, verify(v, row.raw), "the verifier that With was called on")
		})
	}
}

// Rules add up, whatever the order, and share what was verified before.
func TestWithAdds(t *testing.T) {
	v := cognitoVerifier(t, auth.Rules{TokenUse: "id"})
	gold := must(v.With(auth.Rules{AnyGroup: []string{"gold"}}))
	both := must(gold.With(auth.Rules{AnyGroup: []string{"none"}}))
	other := must(gold.With(auth.Rules{AnyGroup: []string{"staff"}}))
	id, access := must(poolIssuer().IDToken(julian)), must(poolIssuer().AccessToken(julian))
	first := must(v.VerifyToken(t.Context(), id))
	require.Same(t, first, must(gold.VerifyToken(t.Context(), id)), "verified once")
	require.ErrorIs(t, verify(both, id), auth.ErrGroup)
	require.NoError(t, verify(other, id))
	require.ErrorIs(t, verify(other, access), auth.ErrTokenUse)
	_, err := v.With(auth.Rules{TokenUse: "x"})
	require.Error(t, err)
}

// AppSync's iatTTL and authTTL, looked at on every request.
func TestAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, rules := range []auth.Rules{{MaxAge: time.Minute}, {MaxAuthAge: time.Minute}} {
			v := must(localVerifier(t).With(rules))
			now := time.Now().Unix()
			raw := rs256(goodHeader, goodClaims(map[string]any{"iat": now, "auth_time": now}))
			require.NoError(t, verify(v, raw))
			time.Sleep(time.Minute)
			require.NoError(t, verify(v, raw))
			time.Sleep(time.Nanosecond)
			require.ErrorIs(t, verify(v, raw), auth.ErrTooOld)
			require.ErrorIs(t, verify(v, rs256(goodHeader, goodClaims(nil))), auth.ErrTooOld, "without the claim")
			ahead := rs256(goodHeader, goodClaims(map[string]any{"iat": now, "auth_time": int64(4102444800)}))
			require.Error(t, verify(v, ahead), "a sign-in that has not happened yet is never too old")
			time.Sleep(time.Minute - time.Nanosecond) // whole seconds again
		}
	})
}

func TestLeeway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		exact := localVerifier(t)
		loose := newVerifier(t, auth.Config{Issuers: []auth.Issuer{local()}, Leeway: 30 * time.Second})
		now := time.Now().Unix()
		raw := rs256(goodHeader, goodClaims(map[string]any{"iat": now + 30, "nbf": now + 30, "auth_time": now + 30, "exp": now + 60}))
		for second := range 120 {
			require.Equal(t, second >= 30 && second < 60, verify(exact, raw) == nil, second)
			require.Equal(t, second < 90, verify(loose, raw) == nil, second)
			time.Sleep(time.Second)
		}
	})
}

// AppSync's default action: DENY refuses where no group is named.
func TestDenyByDefault(t *testing.T) {
	is := cognito()
	is.DenyByDefault = true
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}})
	raw := must(poolIssuer().IDToken(julian))
	require.ErrorIs(t, verify(v, raw), auth.ErrGroup)
	require.NoError(t, verify(must(v.With(auth.Rules{AnyGroup: []string{"gold"}})), raw))
	require.ErrorIs(t, verify(must(v.With(auth.Rules{AnyGroup: []string{"x"}})), raw), auth.ErrGroup)
	require.ErrorIs(t, verify(must(v.With(auth.Rules{TokenUse: "id"})), raw), auth.ErrGroup)
}

// For whom a token was issued: Cognito by token_use, others by aud, else client_id; patterns match whole.
func TestAudience(t *testing.T) {
	for _, row := range []struct {
		name    string
		issuer  auth.Issuer
		claims  map[string]any
		allowed bool
	}{
		{"aud", auth.Issuer{Audiences: []string{"a", "b"}}, map[string]any{"aud": "b"}, true},
		{"one of several aud", auth.Issuer{Audiences: []string{"a"}}, map[string]any{"aud": []string{"x", "a"}}, true},
		{"azp is not compared", auth.Issuer{Audiences: []string{"a"}}, map[string]any{"aud": "x", "azp": "a"}, false},
		{"client_id without aud", auth.Issuer{Audiences: []string{"a"}}, map[string]any{"client_id": "a"}, true},
		{"client_id beside aud", auth.Issuer{Audiences: []string{"a"}}, map[string]any{"aud": "x", "client_id": "a"}, false},
		{"anybody", auth.Issuer{AllowAnyAudience: true}, map[string]any{"aud": "x"}, true},
		{"anybody without aud", auth.Issuer{AllowAnyAudience: true}, nil, true},
		{"pattern", auth.Issuer{AudiencePattern: "ABCD|CDEF"}, map[string]any{"aud": "CDEF"}, true},
		{"pattern of azp", auth.Issuer{AudiencePattern: "ABCD|CDEF"}, map[string]any{"aud": "x", "azp": "ABCD"}, true},
		{"pattern in the middle", auth.Issuer{AudiencePattern: "ABCD|CDEF"}, map[string]any{"aud": "xABCDx"}, false},
		{"pattern before a line break", auth.Issuer{AudiencePattern: "ABCD"}, map[string]any{"aud": "ABCD\n"}, false},
		{"pattern that matches nothing much", auth.Issuer{AudiencePattern: ".*"}, map[string]any{"aud": ""}, false},
	} {
		is := local()
		is.Audiences, is.AudiencePattern, is.AllowAnyAudience = row.issuer.Audiences, row.issuer.AudiencePattern, row.issuer.AllowAnyAudience
		claims := map[string]any{"aud": nil}
		maps.Copy(claims, row.claims)
		err := verify(newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}}), rs256(goodHeader, goodClaims(claims)))
		if row.allowed {
			require.NoError(t, err, row.name)
		} else {
			require.ErrorIs(t, err, auth.ErrAudience, row.name)
		}
	}
}

func TestCognitoAudience(t *testing.T) {
	is := cognito()
	is.Audiences, is.AudiencePattern = nil, "3fe6.*"
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}})
	require.NoError(t, verify(v, must(poolIssuer().IDToken(julian))))
	require.NoError(t, verify(v, must(poolIssuer().AccessToken(julian))))
	// Each use has one claim that counts; the other does not help.
	u := authtest.User{Username: "u", Client: "x", Claims: map[string]any{"client_id": client, "azp": client}}
	require.ErrorIs(t, verify(v, must(poolIssuer().IDToken(u))), auth.ErrAudience)
	u.Claims = map[string]any{"aud": client, "azp": client}
	require.ErrorIs(t, verify(v, must(poolIssuer().AccessToken(u))), auth.ErrAudience)
	u.Claims = map[string]any{"aud": nil, "client_id": client}
	require.ErrorIs(t, verify(v, must(poolIssuer().IDToken(u))), auth.ErrAudience, "an ID token has aud")
	u = julian
	u.Claims = map[string]any{"aud": []string{client}}
	require.ErrorIs(t, verify(v, must(poolIssuer().IDToken(u))), auth.ErrAudience, "Cognito writes no array")
	is.AllowAnyAudience = true
	u.Claims = map[string]any{"token_use": nil}
	require.ErrorIs(t, verify(newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}}), must(poolIssuer().IDToken(u))), auth.ErrTokenUse)
}

func TestGroupsClaim(t *testing.T) {
	claims := map[string]any{"groups": []string{"g"}, "cognito:groups": []string{"c"}, "https://x.example/roles": []string{"r"}, "n": 1}
	for name, want := range map[string]string{"": "g", "groups": "g", "cognito:groups": "c", "https://x.example/roles": "r"} {
		is := local()
		is.GroupsClaim = name
		got, err := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}}).VerifyToken(t.Context(), rs256(goodHeader, goodClaims(claims)))
		require.NoError(t, err)
		require.Equal(t, []string{want}, got.Groups(), name)
	}
	is := local()
	is.GroupsClaim = "n"
	require.ErrorIs(t, verify(newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}}), rs256(goodHeader, goodClaims(claims))), auth.ErrMalformed)
}

// The pool's Region must be the one given; partitions have domains of their own.
func TestCognitoPools(t *testing.T) {
	for _, row := range []struct{ region, pool, url string }{
		{"eu-west-1", "eu-west-1_aQYCzHwCz", "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz"},
		{"us-gov-west-1", "us-gov-west-1_abc", "https://cognito-idp.us-gov-west-1.amazonaws.com/us-gov-west-1_abc"},
		{"eusc-de-east-1", "eusc-de-east-1_abc", "https://cognito-idp.eusc-de-east-1.amazonaws.com/eusc-de-east-1_abc"},
		{"cn-north-1", "cn-north-1_abc", "https://cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_abc"},
		{"eu-west-2", "eu-west-1_aQYCzHwCz", ""},
		{"eu-west-1", "eu-west-1", ""},
		{"", "_x", ""},
		{"eu-west-1", "eu-west-1_a/../b", ""},
		{"evil.example/", "evil.example/_x", ""},
	} {
		is := auth.Cognito(row.region, row.pool, client)
		_, err := auth.New(auth.Config{Issuers: []auth.Issuer{is}})
		if row.url == "" {
			require.ErrorContains(t, err, "is not a user pool", row.pool)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, row.url, is.URL)
		require.Equal(t, row.url+"/.well-known/jwks.json", is.JWKS)
	}
}

// N issuers with the same kids, N × N pairs of who is named and who signs: only the diagonal verifies.
func TestIssuerIsolation(t *testing.T) {
	n := 6
	if heavy {
		n = 24
	}
	all := signers()
	names := []string{"ES256", "EdDSA", "ES384"}
	type one struct {
		url    string
		signer signerOf
	}
	var list []one
	var c auth.Config
	for i := range n {
		name := names[i%len(names)]
		s := signerOf{all[name].method, fresh(name)}
		url := plain + "/" + string(rune('a'+i))
		list = append(list, one{url, s})
		c.Issuers = append(c.Issuers, auth.Issuer{URL: url, Audiences: []string{client}, Keys: set(jwk(s.key.Public(), "k1", ""))})
	}
	v := newVerifier(t, c)
	for range 2 { // with nothing remembered, and with all that is right remembered
		for i, named := range list {
			for j, signing := range list {
				raw := signed(signing.signer, goodClaims(map[string]any{"iss": named.url}))
				require.Equal(t, i == j, verify(v, raw) == nil, "%s signed by %s", named.url, signing.url)
			}
		}
	}
}
