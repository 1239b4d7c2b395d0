package bench

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	"github.com/lestrrat-go/jwx/v3/jwk"
	jwxjwt "github.com/lestrrat-go/jwx/v3/jwt"
	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

// judges are ours and two libraries that share no code with it. All have the same keys and settings.
func judges(f *fixture) (ours, goJose, jwx func(string) error) {
	v := f.ours(auth.Config{CacheBytes: -1})
	ours = func(raw string) error { _, err := v.VerifyToken(context.Background(), raw); return err }
	var keys jose.JSONWebKeySet
	must(0, json.Unmarshal(f.jwks, &keys))
	algorithms := []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA}
	goJose = func(raw string) error {
		t, err := josejwt.ParseSigned(raw, algorithms)
		if err != nil {
			return err
		}
		var c josejwt.Claims
		if err := t.Claims(keys, &c); err != nil {
			return err
		}
		if c.Expiry == nil {
			return errors.New("no exp")
		}
		return c.ValidateWithLeeway(josejwt.Expected{Issuer: issuer, Time: time.Now()}, 0)
	}
	set := must(jwk.Parse(f.jwks))
	jwx = func(raw string) error {
		_, err := jwxjwt.ParseString(raw, jwxjwt.WithKeySet(set), jwxjwt.WithIssuer(issuer))
		return err
	}
	return ours, goJose, jwx
}

// never fails if ours accepts what both others refuse. The others also check the types of claims that do not decide,
// which ours ignores. So the token is reduced to the decisive claims, signed again, and judged again.
func never(t *testing.T, f *fixture, raw string, ours, goJose, jwx func(string) error) {
	if ours(raw) != nil || goJose(raw) == nil || jwx(raw) == nil {
		return
	}
	parts := strings.Split(raw, ".")
	require.Len(t, parts, 3)
	require.NoError(t, f.method.Verify(parts[0]+"."+parts[1], must(base64.RawURLEncoding.DecodeString(parts[2])), f.private.Public()))
	var claims map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(must(base64.RawURLEncoding.DecodeString(parts[1])), &claims))
	maps.DeleteFunc(claims, func(name string, _ json.RawMessage) bool {
		return !slices.Contains([]string{"iss", "aud", "exp", "nbf", "iat"}, name)
	})
	signed := parts[0] + "." + base64.RawURLEncoding.EncodeToString(must(json.Marshal(claims)))
	again := signed + "." + base64.RawURLEncoding.EncodeToString(must(f.method.Sign(signed, f.private)))
	if a, b := goJose(again), jwx(again); a != nil && b != nil {
		t.Fatalf("accepted here, refused by go-jose (%v) and jwx (%v): %s", a, b, raw)
	}
}

// FuzzToken tries any text as a token.
func FuzzToken(f *testing.F) {
	fix := fixtures()["EdDSA"]
	ours, goJose, jwx := judges(fix)
	f.Add(fix.token(1))
	for _, r := range refusals(fixtures()["RS256"]) {
		if len(r.raw) <= 16<<10 {
			f.Add(r.raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw string) { never(t, fix, raw, ours, goJose, jwx) })
}

// FuzzSigned tries any header and claims, signed with the right key.
func FuzzSigned(f *testing.F) {
	fix := fixtures()["EdDSA"]
	ours, goJose, jwx := judges(fix)
	header := `{"alg":"EdDSA","kid":"` + fix.kid + `"}`
	claims := string(must(json.Marshal(fix.claims(1))))
	f.Add(header, claims)
	f.Add(`{"alg":"EdDSA","kid":"`+fix.kid+`","typ":"JWT","x":[{}]}`, `{"iss":"`+issuer+`","aud":["`+audience+`"],"exp":9e9,"nbf":1.5,"iat":0,"x":{"y":[1,null]}}`)
	f.Add(header, strings.TrimSuffix(claims, "}")+`,"x":{"a":1,"A":2},"sub2":null,"userName":"ada","nonce":[1]}`)
	f.Add(header, `{"iss":"`+issuer+`","aud":"`+audience+`","exp":9e9,"sub":5,"jti":[],"auth_time":"2026-11-28T12:00:00.000Z","groups":{"a":1}}`)
	f.Fuzz(func(t *testing.T, header, claims string) {
		signed := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
		signature := must(fix.method.Sign(signed, fix.private))
		never(t, fix, signed+"."+base64.RawURLEncoding.EncodeToString(signature), ours, goJose, jwx)
	})
}
