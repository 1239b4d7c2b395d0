package auth_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

// FuzzToken checks that a token either gets an error of this package or is accepted by golang-jwt too.
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
			require.Zero(t, got)
			return
		}
		_, err = jwt.Parse(raw, func(*jwt.Token) (any, error) { return key.Public(), nil }, jwt.WithStrictDecoding())
		require.NoError(t, err)
	})
}

// FuzzSigned signs arbitrary claims with the right key. encoding/json must read what is accepted in the same way.
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
			Aud jwt.ClaimStrings
			Exp float64
		}
		require.NoError(t, json.Unmarshal([]byte(claims), &c))
		require.Equal(t, plain, c.Iss)
		require.ElementsMatch(t, []string(c.Aud), got.Audience())
		require.InDelta(t, c.Exp, float64(got.Expiry.UnixNano())/1e9, 1e-3)
		require.True(t, got.Expiry.After(time.Now()))
	})
}

// FuzzHeader checks that an accepted header is read as encoding/json reads it.
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

// FuzzClaims checks that accepted claims are JSON by encoding/json, and that every reader sees the same decisive claims
// in them, even one that ignores letter case. Claims that are refused must break a rule.
func FuzzClaims(f *testing.F) {
	f.Add(goodClaims(nil))
	for _, text := range []string{
		`{"aud":[],"exp":1e3,"nbf":0.5,"scp":["a","b"],"cognito:groups":[""],"a":{"b":{"c":[[],{}]}}}`,
		`{"iss":"i","sub":5,"client_id":null,"auth_time":"2026-11-28T12:00:00.000Z","groups":{"a":1},"scope":" a\t b","scp":[1]}`,
		`{"iss":"i","userName":"a","username":"b","role":1,"ROLE":2,"aud":"a"}`, `{"iss":"i","i\u017fs":"j"}`,
		`{ "iss" :\r\n"i" , "exp" : 253402300799 , "x" : [ -0.0e+00 , 1e299 , 1E400 , "\ud83d\ude00" ] }`,
	} {
		f.Add(text)
	}
	for _, row := range badClaims() {
		f.Add(string(must(base64.RawURLEncoding.DecodeString(strings.Split(row.raw, ".")[1]))))
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := auth.ParseClaims(text)
		if err != nil {
			require.ErrorIs(t, err, auth.ErrMalformed)
			require.True(t, len(text) > 4000 || !unremarkable(text), "%v: %s", err, text)
			return
		}
		var exact map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &exact))
		var folding struct { // encoding/json ignores the letter case of these names
			Iss           string
			Aud           jwt.ClaimStrings
			Exp, Nbf, Iat float64
		}
		require.NoError(t, json.Unmarshal([]byte(text), &folding))
		require.Equal(t, got.Issuer, folding.Iss)
		require.ElementsMatch(t, got.Audience(), []string(folding.Aud))
		for _, pair := range []struct {
			got  time.Time
			want float64
		}{{got.Expiry, folding.Exp}, {got.NotBefore, folding.Nbf}, {got.IssuedAt, folding.Iat}} {
			if !pair.got.IsZero() || pair.want != 0 {
				require.InDelta(t, pair.want, float64(pair.got.Unix())+float64(pair.got.Nanosecond())/1e9, 1e-3)
			}
		}
		for name, value := range map[string]string{"sub": got.Subject, "jti": got.JWTID} {
			text, _ := exact[name].(string)
			require.Equal(t, text, value)
		}
		if scope, ok := exact["scope"].(string); ok && strings.Trim(scope, " \t\r\n") != "" {
			require.Equal(t, strings.FieldsFunc(scope, func(r rune) bool { return strings.ContainsRune(" \t\r\n", r) }), got.Scopes())
		}
	})
}

// unremarkable reports whether no rule can refuse a claims set. It must be JSON without escapes and without a name that
// occurs twice in an object, of at most three levels and with short numbers. The five decisive claims must have the
// right type and a value in range.
func unremarkable(text string) bool {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if !utf8.ValidString(text) || strings.Contains(text, `\`) || !plainValue(d, 0) {
		return false
	}
	if _, err := d.Token(); err != io.EOF {
		return false
	}
	var c map[string]any
	if json.Unmarshal([]byte(text), &c) != nil {
		return false
	}
	for name, value := range c {
		switch {
		case name == "iss":
			if _, ok := value.(string); !ok {
				return false
			}
		case name == "aud":
			if json.Unmarshal(must(json.Marshal(value)), new(jwt.ClaimStrings)) != nil || value == nil {
				return false
			}
		case name == "exp" || name == "nbf" || name == "iat":
			if n, ok := value.(float64); !ok || n < 0 || n > 253402300799 {
				return false
			}
		case slices.ContainsFunc([]string{"iss", "aud", "exp", "nbf", "iat"}, func(s string) bool { return strings.EqualFold(s, name) }):
			return false
		}
	}
	return c != nil
}

// plainValue reads one value and reports whether it fits unremarkable.
func plainValue(d *json.Decoder, depth int) bool {
	token, err := d.Token()
	if err != nil || depth > 3 {
		return false
	}
	switch v := token.(type) {
	case json.Number:
		return len(v) < 20
	case json.Delim:
		seen, n := map[string]bool{}, 0
		for ; d.More() && n < 50; n++ {
			if v == '{' {
				name, err := d.Token()
				if err != nil || seen[name.(string)] || len(name.(string)) > 200 {
					return false
				}
				seen[name.(string)] = true
			}
			if !plainValue(d, depth+1) {
				return false
			}
		}
		_, err := d.Token()
		return err == nil && n < 50
	}
	return true
}

// FuzzBase64 compares the decoder with the strict one of encoding/base64. Line breaks must be refused.
func FuzzBase64(f *testing.F) {
	for _, text := range []string{"", "A", "AA", "AB", "AAA", "AAAA", "AAAAA", "eyJhbGciOiJSUzI1NiJ9", "eyJh\nbGci", "ey+/", "ey-_AA==", strings.Repeat("QUJD", 20) + "\r"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := auth.Decode(text)
		want, other := base64.RawURLEncoding.Strict().DecodeString(text)
		if strings.ContainsAny(text, "\r\n") {
			require.Error(t, err)
			return
		}
		require.Equal(t, other == nil, err == nil, "%v, %v", other, err)
		if err == nil {
			require.Equal(t, string(want), string(got))
		}
	})
}

// FuzzKeySet checks that an accepted set is valid JSON, and that each of its keys is accepted alone too.
func FuzzKeySet(f *testing.F) {
	f.Add(string(local().Keys))
	f.Add(string(set(jwk(signers()["ES256"].key.Public(), "k1", "ES256"), jwk(signers()["EdDSA"].key.Public(), "k2", "EdDSA"))))
	f.Add(`{"keys":[{"kty":"oct","k":"AA"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{}]}`)
	for _, text := range smallOrder {
		f.Add(okp(must(hex.DecodeString(text))))
	}
	f.Add(string(keySet(member(signers()["EdDSA"].key.Public(), m{"key_ops": null, "alg": "", "n": 7, "x5c": []string{"AA=="}}), `{"kid":1,"kid":2}`, `[[[[[[[[[]]]]]]]]]`)))
	f.Add("\ufeff" + string(local().Keys))
	f.Add(string(keySet(string(must(json.Marshal(jwk(signers()["EdDSA"].key.Public(), "k1", "").Marshal()))), `{"x":`+strings.Repeat(`["]",`, 5100)+strings.Repeat(`{"":[`, 2550)+strings.Repeat("]}", 2550)+strings.Repeat("]", 5100)+`}`)))
	f.Add(string(keySet(member(signers()["EdDSA"].key.Public(), nil), `{"x":`+strings.Repeat("[", 101)+"nul"+strings.Repeat("]", 101)+`}`)))
	f.Add(string(keySet(member(signers()["EdDSA"].key.Public(), nil), `{"x":`+strings.Repeat("[", 10_001)+`01,{]"\x"`+strings.Repeat("]", 10_001)+`}`)))
	f.Fuzz(func(t *testing.T, text string) {
		n, err := auth.ParseKeySet(text)
		require.Equal(t, err == nil, n > 0)
		if err != nil {
			require.Less(t, len(err.Error()), 5000)
			return
		}
		text = strings.TrimPrefix(text, "\ufeff")
		require.True(t, balanced(text))
		var whole struct{ Keys []json.RawMessage }
		if err := json.Unmarshal([]byte(text), &whole); err != nil {
			require.ErrorContains(t, err, "max depth", "encoding/json reads no deeper")
			return
		}
		alone := 0
		for _, key := range whole.Keys {
			if n, _ := auth.ParseKeySet(`{"keys":[` + string(key) + `]}`); n > 0 {
				alone++
			}
		}
		require.LessOrEqual(t, n, alone, "a key that is there twice counts once")
	})
}

// balanced reports whether a text is one JSON value, of any depth. Unlike json.Valid, the reader of tokens has no
// limit.
func balanced(text string) bool {
	d, depth := json.NewDecoder(strings.NewReader(text)), 0
	for d.UseNumber(); ; {
		token, err := d.Token()
		if err != nil {
			return err == io.EOF && depth == 0
		}
		switch token {
		case json.Delim('['), json.Delim('{'):
			depth++
		case json.Delim(']'), json.Delim('}'):
			depth--
		}
	}
}

// FuzzDiscovery checks that an accepted document is read as encoding/json reads it.
func FuzzDiscovery(f *testing.F) {
	f.Add(`{"issuer":"https://issuer.example","jwks_uri":"https://issuer.example/keys","scopes_supported":["openid"],"x":{"y":null}}`)
	f.Add(`{"issuer":"https://issuer.example","jwks_uri":"https:\/\/issuer.example\/keys"}`)
	f.Add(`{"issuer":"a","issuer":"b","jwks_uri":"c"}`)
	f.Add(`{"Issuer":"a","issuer":"b","jwks_uri":null}`)
	f.Add("\ufeff" + `{"issuer":"a","jwks_uri":"b"}`)
	f.Fuzz(func(t *testing.T, text string) {
		issuer, jwksURI, err := auth.ParseDiscovery(text)
		if err != nil {
			require.Empty(t, issuer+jwksURI)
			return
		}
		var doc struct {
			Issuer string
			JWKS   string `json:"jwks_uri"`
		}
		require.NoError(t, json.Unmarshal([]byte(strings.TrimPrefix(text, "\ufeff")), &doc))
		require.Equal(t, doc.Issuer, issuer)
		require.Equal(t, doc.JWKS, jwksURI)
		require.NotEmpty(t, issuer)
		require.NotEmpty(t, jwksURI)
	})
}

// FuzzAuthorization checks that a credential is the end of its header value, and never one of SigV4.
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
