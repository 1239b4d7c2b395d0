package auth_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

// The log shows what was compared with the configuration. In a new deployment most refusals come from a slash at the
// end of an issuer, or from a tenant or an audience that is not configured.
func TestErrorTellsWhatTheTokenSays(t *testing.T) {
	v := localVerifier(t)
	for _, row := range []struct {
		name   string
		claims map[string]any
		want   string
	}{
		{"iss", map[string]any{"iss": plain + "/"}, `auth: issuer is not accepted: iss "` + plain + `/"`},
		{"iss of two lines", map[string]any{"iss": "é\n"}, `auth: issuer is not accepted: iss "\u00e9\n"`},
		{"no iss", map[string]any{"iss": nil}, `auth: issuer is not accepted: iss ""`},
		{"aud", map[string]any{"aud": []string{"account", "x"}, "azp": "web"}, `auth: audience is not accepted: aud ["account" "x"], client "web"`},
	} {
		require.EqualError(t, verify(v, rs256(goodHeader, goodClaims(row.claims))), row.want, row.name)
	}
	strict, err := v.With(auth.Rules{AllScopes: []string{"a", "b"}})
	require.NoError(t, err)
	require.EqualError(t, verify(strict, rs256(goodHeader, goodClaims(map[string]any{"scope": "a c"}))),
		`auth: scope is not sufficient: the token has ["a" "c"], the route demands ["a" "b"]`)
	strict, err = v.With(auth.Rules{AnyGroup: []string{"admin"}})
	require.NoError(t, err)
	require.EqualError(t, verify(strict, rs256(goodHeader, goodClaims(nil))), `auth: user is not in a permitted group: the token has []`)
	strict, err = v.With(auth.Rules{TokenUse: "id"})
	require.NoError(t, err)
	require.EqualError(t, verify(strict, rs256(goodHeader, goodClaims(map[string]any{"token_use": "access"}))),
		`auth: token use is not accepted: it is "access"`)
	require.EqualError(t, verify(strict, rs256(goodHeader, goodClaims(nil))),
		`auth: token use is not accepted: it has no mark of its use, or contradictory ones`)
	for _, claims := range []map[string]any{{"iss": strings.Repeat("é", 3000)}, {"aud": strings.Repeat("é", 3000)}} {
		text := verify(v, rs256(goodHeader, goodClaims(claims))).Error()
		require.Less(t, len(text), 400)
		require.Contains(t, text, "… (cut)")
	}
}

// A Token in a log shows its fields, but no part of the bearer token and no other claims. One that is decoded again has
// no more than these fields.
func TestPrintedTokenShowsItsFieldsOnly(t *testing.T) {
	raw := rs256(goodHeader, goodClaims(map[string]any{"sub": "u-17", "email": "secret@example.com"}))
	token, err := localVerifier(t).VerifyToken(t.Context(), raw)
	require.NoError(t, err)
	text := string(must(json.Marshal(token)))
	require.NotContains(t, text, "shared")
	for _, text := range []string{text, fmt.Sprint(token), fmt.Sprintf("%+v", token), fmt.Sprintf("%#v", token)} {
		require.Contains(t, text, "u-17")
		require.NotContains(t, text, "secret")
		for part := range strings.SplitSeq(raw, ".") {
			require.NotContains(t, text, part)
		}
	}
	var decoded auth.Token
	require.NoError(t, json.Unmarshal([]byte(text), &decoded))
	require.Equal(t, token.Subject, decoded.Subject)
	require.Nil(t, decoded.Audience())
	_, err = auth.Claims[map[string]any](decoded)
	require.ErrorIs(t, err, auth.ErrNotConfigured)
}
