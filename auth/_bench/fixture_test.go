package bench

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/tallygate/tallygate/auth"
)

const (
	issuer   = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz"
	audience = "3fe6quse1kki13s6nebi0ncnin"
	size     = 1260 // bytes of a token: what Cognito's access tokens have
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// fixture is an issuer with four keys. The one for its algorithm signs.
type fixture struct {
	algorithm string
	method    jwt.SigningMethod
	private   crypto.Signer
	kid       string
	jwks      []byte
	exp       time.Time
}

var fixtures = sync.OnceValue(func() map[string]*fixture {
	all := []*fixture{
		{algorithm: "RS256", method: jwt.SigningMethodRS256, private: must(rsa.GenerateKey(rand.Reader, 2048))},
		{algorithm: "ES256", method: jwt.SigningMethodES256, private: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))},
		{algorithm: "EdDSA", method: jwt.SigningMethodEdDSA, private: ed25519.NewKeyFromSeed(make([]byte, 32))}, // the same in every process that fuzzes
		{algorithm: "RS256", method: jwt.SigningMethodRS256, private: must(rsa.GenerateKey(rand.Reader, 2048))},
	}
	var set jwkset.JWKSMarshal
	for i, f := range all {
		f.kid = fmt.Sprintf("1YgAWSjHVxGZbVTdm4Yl2SfYXnPnsTQO1ynHQx3rD%d=", i)
		k := must(jwkset.NewJWKFromKey(f.private.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{
			ALG: jwkset.ALG(f.algorithm), KID: f.kid, USE: jwkset.UseSig,
		}}))
		set.Keys = append(set.Keys, k.Marshal())
	}
	m := map[string]*fixture{}
	for _, f := range all[:3] {
		f.jwks, f.exp = must(json.Marshal(set)), time.Now().Add(24*time.Hour)
		m[f.algorithm] = f
	}
	return m
})

// claims are those of a Cognito access token, with an audience in addition, which some of the peers demand.
func (f *fixture) claims(n int) jwt.MapClaims {
	return jwt.MapClaims{
		"iss": issuer, "sub": fmt.Sprintf("9ba6f8a6-2f2e-4ec9-8dc1-%012d", n), "aud": audience, "client_id": audience,
		"cognito:groups": []string{"gold", "eu-west-1_aQYCzHwCz_Google"}, "origin_jti": "a9d9e0b4-4a47-4c3a-9a41-3ec0a3b9c1a2",
		"event_id": "5d1ab2c3-2f2e-4ec9-8dc1-3c7c4c0c2d0e", "token_use": "access", "scope": "openid loyalty/read loyalty/write",
		"auth_time": f.exp.Add(-25 * time.Hour).Unix(), "exp": f.exp.Unix(), "iat": f.exp.Add(-25 * time.Hour).Unix(),
		"jti": fmt.Sprintf("6f1c3a52-7d33-4a64-9a57-%012d", n), "username": "julianwood", "version": 2,
	}
}

// token is the n-th token. A further claim pads it to the usual size.
func (f *fixture) token(n int) string {
	claims := f.claims(n)
	claims["custom:pad"] = ""
	missing := size - len(f.sign(claims))
	for pad := missing * 3 / 4; ; pad-- { // base64 makes four characters of three bytes
		claims["custom:pad"] = strings.Repeat("x", max(pad, 0))
		if raw := f.sign(claims); len(raw) <= size {
			return raw
		}
	}
}

func (f *fixture) sign(claims jwt.MapClaims) string {
	t := jwt.NewWithClaims(f.method, claims)
	t.Header = map[string]any{"alg": f.algorithm, "kid": f.kid}
	return must(t.SignedString(f.private))
}

// tokens returns n different tokens.
func (f *fixture) tokens(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = f.token(i)
	}
	return list
}

// ours makes a verifier with the same settings as the peers.
func (f *fixture) ours(c auth.Config) *auth.Verifier {
	c.Issuers = []auth.Issuer{{URL: issuer, Audiences: []string{audience}, Keys: f.jwks, GroupsClaim: "cognito:groups"}}
	return must(auth.New(c))
}
