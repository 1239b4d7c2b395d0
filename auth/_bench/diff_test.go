package bench

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	"github.com/lestrrat-go/jwx/v3/jwk"
	jwxjwt "github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/tallygate/tallygate/auth"
)

// judges are ours and two libraries that share no code with it, set up alike over the same keys.
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

// never fails if ours accepts what both others refuse.
func never(t *testing.T, raw string, ours, goJose, jwx func(string) error) {
	if ours(raw) != nil {
		return
	}
	if a, b := goJose(raw), jwx(raw); a != nil && b != nil {
		t.Fatalf("accepted here, refused by go-jose (%v) and jwx (%v): %s", a, b, raw)
	}
}

// FuzzToken: any text as a token.
func FuzzToken(f *testing.F) {
	ours, goJose, jwx := judges(fixtures()["EdDSA"])
	f.Add(fixtures()["EdDSA"].token(1))
	for _, r := range refusals(fixtures()["RS256"]) {
		if len(r.raw) <= 16<<10 {
			f.Add(r.raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw string) { never(t, raw, ours, goJose, jwx) })
}

// FuzzSigned: any header and claims, rightly signed.
func FuzzSigned(f *testing.F) {
	fix := fixtures()["EdDSA"]
	ours, goJose, jwx := judges(fix)
	header := `{"alg":"EdDSA","kid":"` + fix.kid + `"}`
	claims := string(must(json.Marshal(fix.claims(1))))
	f.Add(header, claims)
	f.Add(`{"alg":"EdDSA","kid":"`+fix.kid+`","typ":"JWT","x":[{}]}`, `{"iss":"`+issuer+`","aud":["`+audience+`"],"exp":9e9,"nbf":1.5,"iat":0,"x":{"y":[1,null]}}`)
	f.Fuzz(func(t *testing.T, header, claims string) {
		signed := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
		signature := must(fix.method.Sign(signed, fix.private))
		never(t, signed+"."+base64.RawURLEncoding.EncodeToString(signature), ours, goJose, jwx)
	})
}
