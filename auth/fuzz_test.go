package auth_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

// FuzzToken: whatever comes, an error of this package or a token that golang-jwt accepts too.
func FuzzToken(f *testing.F) {
	is := local()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) // the same in every process that fuzzes
	is.Keys = set(jwk(key.Public(), "k1", ""))
	v := newVerifier(f, auth.Config{Issuers: []auth.Issuer{is}})
	f.Add(signed(signerOf{jwt.SigningMethodEdDSA, key}, goodClaims(nil)))
	for _, list := range [][]bad{badForm(), badHeaders(), badKeys()} {
		for _, row := range list {
			f.Add(row.raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := v.VerifyToken(t.Context(), raw)
		if err != nil {
			_, own := errors.AsType[*auth.Error](err)
			require.True(t, own)
			require.Nil(t, got)
			return
		}
		_, err = jwt.Parse(raw, func(*jwt.Token) (any, error) { return key.Public(), nil }, jwt.WithStrictDecoding())
		require.NoError(t, err)
	})
}

// FuzzSigned: claims of any text, rightly signed. What is accepted reads the same by encoding/json.
func FuzzSigned(f *testing.F) {
	v := newVerifier(f, auth.Config{Issuers: []auth.Issuer{ecIssuer()}})
	f.Add(goodClaims(nil))
	f.Add(goodClaims(map[string]any{"aud": []string{"x", client}, "exp": 9e9 + 0.5, "scope": "a b", "groups": []string{"g"}}))
	f.Fuzz(func(t *testing.T, claims string) {
		got, err := v.VerifyToken(t.Context(), signed(signers()["EdDSA"], claims))
		if err != nil {
			return
		}
		var c struct {
			Iss string
			Sub string
			Aud jwt.ClaimStrings
			Exp float64
		}
		require.NoError(t, json.Unmarshal([]byte(claims), &c))
		require.Equal(t, plain, c.Iss)
		require.Equal(t, c.Sub, got.Subject())
		require.ElementsMatch(t, []string(c.Aud), got.Audience())
		require.InDelta(t, c.Exp, float64(got.Expiry().UnixNano())/1e9, 1e-3)
		require.True(t, got.Expiry().After(time.Now()))
	})
}

// FuzzHeader: what is read is what encoding/json reads, and nothing that it refuses.
func FuzzHeader(f *testing.F) {
	f.Add(goodHeader)
	f.Add(`{"alg":"RS256","kid":"k1","typ":"at+jwt","x":[1,{"y":null}],"z":"\ud83d\ude00"}`)
	for _, row := range badHeaders() {
		text, _, _ := strings.Cut(row.raw, ".")
		f.Add(string(must(base64.RawURLEncoding.DecodeString(text))))
	}
	f.Fuzz(func(t *testing.T, text string) {
		algorithm, keyID, typ, err := auth.ParseHeader(text)
		if err != nil {
			require.ErrorIs(t, err, auth.ErrMalformed)
			return
		}
		var h map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &h))
		require.Equal(t, h["alg"], algorithm)
		if keyID != "" {
			require.Equal(t, h["kid"], keyID)
		}
		if typ != "" {
			require.Contains(t, strings.ToLower(h["typ"].(string)), typ)
		}
		for _, name := range []string{"crit", "b64"} {
			require.NotContains(t, h, name)
		}
	})
}

// FuzzClaims: the same for claims. Letter case must not matter to a reader that ignores it.
func FuzzClaims(f *testing.F) {
	f.Add(goodClaims(nil))
	f.Add(`{"aud":[],"exp":1e3,"nbf":0.5,"scp":["a","b"],"cognito:groups":[""],"a":{"b":{"c":[[],{}]}}}`)
	for _, row := range badClaims() {
		f.Add(string(must(base64.RawURLEncoding.DecodeString(strings.Split(row.raw, ".")[1]))))
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := auth.ParseClaims(text)
		if err != nil {
			require.ErrorIs(t, err, auth.ErrMalformed)
			return
		}
		var exact map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &exact))
		var folding struct{ Iss, Sub, Jti string } // encoding/json matches these in any letter case
		require.NoError(t, json.Unmarshal([]byte(text), &folding))
		require.Equal(t, got.Issuer(), folding.Iss)
		require.Equal(t, got.Subject(), folding.Sub)
		require.Equal(t, got.JWTID(), folding.Jti)
		for name := range exact {
			require.True(t, name == strings.ToLower(name) || !strings.EqualFold(name, "exp"), name)
		}
	})
}

// FuzzKeySet: no panic, and nothing accepted that is no JSON.
func FuzzKeySet(f *testing.F) {
	f.Add(string(local().Keys))
	f.Add(string(set(jwk(signers()["ES256"].key.Public(), "k1", "ES256"), jwk(signers()["EdDSA"].key.Public(), "k2", "EdDSA"))))
	f.Add(`{"keys":[{"kty":"oct","k":"AA"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		n, err := auth.ParseKeySet(text)
		require.Equal(t, err == nil, n > 0)
		if err == nil {
			require.True(t, json.Valid([]byte(text)))
		}
	})
}

// FuzzAuthorization: a credential is part of its value, and never SigV4's.
func FuzzAuthorization(f *testing.F) {
	for _, text := range []string{"", "Bearer", "bearer  x", "Bearer\tx", "x", "AWS4-HMAC-SHA256 Credential=x", "Basic eDp5", "Bearer a,Bearer b", " Bearer x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token, ok := auth.Credential(text)
		require.True(t, strings.HasSuffix(text, token))
		if strings.HasPrefix(text, "AWS4-") || text == "" {
			require.False(t, ok)
		}
		if !ok {
			require.Empty(t, token)
		}
	})
}
