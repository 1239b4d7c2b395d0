package auth_test

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
)

// profile has the claims that RFC 9068 section 2.2 requires of an access token and goodClaims lacks.
func profile(more map[string]any) string {
	claims := map[string]any{"client_id": "c", "jti": "j", "iat": 1_700_000_000}
	maps.Copy(claims, more)
	return goodClaims(claims)
}

// A rule can demand the use that an issuer marks. A token without a mark is neither an ID token nor an access token.
func TestTokenUseIsWhatTheIssuerMarks(t *testing.T) {
	const jwt, access = `{"alg":"RS256","kid":"k1","typ":"JWT"}`, `{"alg":"RS256","kid":"k1","typ":"at+jwt"}`
	for _, row := range []struct {
		name, header string
		claims       map[string]any
		want         string
	}{
		{"no mark", goodHeader, nil, ""},
		{"header JWT", jwt, nil, ""},
		{"OpenID Connect's ID token", jwt, map[string]any{"nonce": "n", "at_hash": "h", "azp": client, "auth_time": 1_700_000_000}, ""},
		{"an access token's scope", jwt, map[string]any{"scope": "a b", "client_id": "c"}, ""},
		{"RFC 9068", access, nil, "access"},
		{"RFC 9068, a media type", `{"alg":"RS256","kid":"k1","typ":"application/AT+JWT"}`, nil, "access"},
		{"RFC 9068 with claims of ID tokens", access, map[string]any{"nonce": "n", "at_hash": "h"}, "access"},
		{"token_use id", jwt, map[string]any{"token_use": "id"}, "id"},
		{"token_use access", jwt, map[string]any{"token_use": "access"}, "access"},
		{"token_use of neither", jwt, map[string]any{"token_use": "refresh"}, ""},
		{"token_use in another case", jwt, map[string]any{"token_use": "ID"}, ""},
		{"Keycloak's access token", jwt, map[string]any{"typ": "Bearer", "azp": "c"}, "access"},
		{"Keycloak's bound access token", jwt, map[string]any{"typ": "DPoP"}, "access"},
		{"Keycloak's ID token", jwt, map[string]any{"typ": "ID", "at_hash": "h"}, "id"},
		{"Keycloak's refresh token", jwt, map[string]any{"typ": "Refresh"}, ""},
		{"Keycloak's offline token", jwt, map[string]any{"typ": "Offline"}, ""},
		{"Keycloak's logout token", jwt, map[string]any{"typ": "Logout"}, ""},
		{"Keycloak with RFC 9068", access, map[string]any{"typ": "Bearer"}, "access"},
		{"another issuer's claim typ", jwt, map[string]any{"typ": "id"}, ""},
		{"a claim typ JWT", access, map[string]any{"typ": "JWT"}, "access"},
		{"a claim typ that is not a string", access, map[string]any{"typ": 1}, "access"},
		{"at+jwt and token_use id", access, map[string]any{"token_use": "id"}, ""},
		{"at+jwt and Keycloak's ID", access, map[string]any{"typ": "ID"}, ""},
		{"at+jwt and Keycloak's Refresh", access, map[string]any{"typ": "Refresh"}, ""},
		{"token_use access and Keycloak's ID", jwt, map[string]any{"token_use": "access", "typ": "ID"}, ""},
		{"token_use id and Keycloak's ID", jwt, map[string]any{"token_use": "id", "typ": "ID"}, "id"},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := localVerifier(t)
			raw := rs256(row.header, profile(row.claims))
			got, err := v.VerifyToken(t.Context(), raw)
			require.NoError(t, err)
			require.Equal(t, row.want, got.Use)
			for _, use := range []string{"id", "access"} {
				err := verify(must(v.With(auth.Rules{TokenUse: use})), raw)
				if use == row.want {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, auth.ErrTokenUse)
				}
			}
		})
	}
}

// In a user pool's token only token_use decides, whatever claims a Lambda trigger has added.
func TestCognitoTokenUseIgnoresOtherClaims(t *testing.T) {
	u := julian
	u.Claims = map[string]any{"typ": "ID"}
	require.NoError(t, verify(cognitoVerifier(t, auth.Rules{TokenUse: "access"}), must(poolIssuer().AccessToken(u))))
	u.Claims = map[string]any{"Typ": "ID"}
	require.NoError(t, verify(cognitoVerifier(t, auth.Rules{}), must(poolIssuer().AccessToken(u))))
	u.Claims = map[string]any{"token_use": nil, "typ": "ID"}
	require.ErrorIs(t, verify(cognitoVerifier(t, auth.Rules{}), must(poolIssuer().IDToken(u))), auth.ErrTokenUse)
}

// A token may have both claims. The user name is the one that belongs to its use.
func TestUsernameFollowsTokenUse(t *testing.T) {
	v := cognitoVerifier(t, auth.Rules{})
	name := func(raw string, err error) string {
		require.NoError(t, err)
		return must(v.VerifyToken(t.Context(), raw)).Username
	}
	both := authtest.User{Username: "julianwood", Client: client, Claims: map[string]any{"username": "u", "cognito:username": "c"}}
	require.Equal(t, "c", name(poolIssuer().IDToken(both)))
	require.Equal(t, "u", name(poolIssuer().AccessToken(both)))
	require.Equal(t, "julianwood", name(poolIssuer().IDToken(julian)))
	require.Equal(t, "julianwood", name(poolIssuer().AccessToken(julian)))
	other := authtest.User{Username: "julianwood", Client: client, Claims: map[string]any{"username": "u", "cognito:username": nil}}
	require.Equal(t, "u", name(poolIssuer().IDToken(other)))
	for text, want := range map[string]string{
		`{"token_use":"id","cognito:username":"c","username":"u"}`:     "c",
		`{"token_use":"id","username":"u","cognito:username":"c"}`:     "c",
		`{"token_use":"access","cognito:username":"c","username":"u"}`: "u",
		`{"token_use":"access","username":"u","cognito:username":"c"}`: "u",
		`{"username":"u"}`:         "u",
		`{"cognito:username":"c"}`: "c",
		`{}`:                       "",
	} {
		require.Equal(t, want, must(auth.InsecureToken([]byte(text))).Username, text)
	}
}
