package auth_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
)

func TestEveryRuleIsEnforced(t *testing.T) {
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
		{"check", auth.Rules{Check: func(context.Context, auth.Token) error { return nil }}, id, nil},
		{"check refuses", auth.Rules{Check: func(context.Context, auth.Token) error { return reason }}, id, auth.ErrRefused},
		{"check refuses, its reason", auth.Rules{Check: func(context.Context, auth.Token) error { return reason }}, id, reason},
		{"check answers itself", auth.Rules{Check: func(context.Context, auth.Token) error { return &auth.Error{Err: auth.ErrRevoked} }}, id, auth.ErrRevoked},
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

// Rules add up in any order, and the cache is shared.
func TestWithAddsRules(t *testing.T) {
	v := cognitoVerifier(t, auth.Rules{TokenUse: "id"})
	gold := must(v.With(auth.Rules{AnyGroup: []string{"gold"}}))
	both := must(gold.With(auth.Rules{AnyGroup: []string{"none"}}))
	other := must(gold.With(auth.Rules{AnyGroup: []string{"staff"}}))
	id, access := must(poolIssuer().IDToken(julian)), must(poolIssuer().AccessToken(julian))
	first := must(v.VerifyToken(t.Context(), id))
	require.True(t, first == must(gold.VerifyToken(t.Context(), id)), "verified once")
	require.ErrorIs(t, verify(both, id), auth.ErrGroup)
	require.NoError(t, verify(other, id))
	require.ErrorIs(t, verify(other, access), auth.ErrTokenUse)
	_, err := v.With(auth.Rules{TokenUse: "x"})
	require.Error(t, err)
}

// These are AppSync's iatTTL and authTTL. Both are checked on every request.
func TestMaxAgeIsCheckedOnEveryRequest(t *testing.T) {
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

func TestLeewayWidensEveryTime(t *testing.T) {
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

// AppSync's default action DENY refuses a request unless a rule names groups.
func TestDenyByDefaultNeedsAGroup(t *testing.T) {
	is := cognito()
	is.DenyByDefault = true
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}})
	raw := must(poolIssuer().IDToken(julian))
	require.ErrorIs(t, verify(v, raw), auth.ErrGroup)
	require.NoError(t, verify(must(v.With(auth.Rules{AnyGroup: []string{"gold"}})), raw))
	require.ErrorIs(t, verify(must(v.With(auth.Rules{AnyGroup: []string{"x"}})), raw), auth.ErrGroup)
	require.ErrorIs(t, verify(must(v.With(auth.Rules{TokenUse: "id"})), raw), auth.ErrGroup)
}

func TestCognitoAudienceDependsOnTokenUse(t *testing.T) {
	is := cognito()
	is.Audiences, is.AudiencePattern = nil, auth.Matching("3fe6.*")
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}})
	require.NoError(t, verify(v, must(poolIssuer().IDToken(julian))))
	require.NoError(t, verify(v, must(poolIssuer().AccessToken(julian))))
	// For each use one claim counts. The other one does not help.
	u := authtest.User{Username: "u", Client: "x", Claims: map[string]any{"client_id": client, "azp": client}}
	require.ErrorIs(t, verify(v, must(poolIssuer().IDToken(u))), auth.ErrOtherAudience)
	u.Claims = map[string]any{"aud": client, "azp": client}
	require.ErrorIs(t, verify(v, must(poolIssuer().AccessToken(u))), auth.ErrOtherAudience)
	u.Claims = map[string]any{"aud": nil, "client_id": client}
	require.ErrorIs(t, verify(v, must(poolIssuer().IDToken(u))), auth.ErrOtherAudience, "an ID token has aud")
	u = julian
	u.Claims = map[string]any{"aud": []string{client}}
	require.ErrorIs(t, verify(v, must(poolIssuer().IDToken(u))), auth.ErrOtherAudience, "Cognito writes no array")
	is.AllowAnyAudience = true
	u.Claims = map[string]any{"token_use": nil}
	require.ErrorIs(t, verify(newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}}), must(poolIssuer().IDToken(u))), auth.ErrTokenUse)
}

// OIDC guesses nothing from a pool's URL: its access tokens have no aud, and its groups are in a claim that must be
// named.
func TestOIDCTakesAPoolForAnyProvider(t *testing.T) {
	is := auth.OIDC(cognito().URL, client)
	is.Keys = poolIssuer().JWKS()
	of := func(is auth.Issuer, rules auth.Rules) *auth.Verifier {
		return newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}, Rules: rules})
	}
	id, access := must(poolIssuer().IDToken(julian)), must(poolIssuer().AccessToken(julian))
	require.NoError(t, verify(of(is, auth.Rules{}), id))
	require.ErrorIs(t, verify(of(is, auth.Rules{}), access), auth.ErrOtherAudience)
	require.ErrorIs(t, verify(of(is, auth.Rules{AnyGroup: []string{"gold"}}), id), auth.ErrGroup)
	is.GroupsClaim = "cognito:groups"
	require.NoError(t, verify(of(is, auth.Rules{AnyGroup: []string{"gold"}}), id))
}

// There are N issuers with the same kids. Of the N × N pairs of named issuer and signing issuer, only those verify in
// which both are the same.
func TestIssuersDoNotSignForEachOther(t *testing.T) {
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
	for range 2 { // with an empty cache, and with all good tokens in it
		for i, named := range list {
			for j, signing := range list {
				raw := signed(signing.signer, goodClaims(map[string]any{"iss": named.url}))
				require.Equal(t, i == j, verify(v, raw) == nil, "%s signed by %s", named.url, signing.url)
			}
		}
	}
}
