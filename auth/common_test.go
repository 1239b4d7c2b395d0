package auth_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
)

const (
	region = "eu-west-1"
	pool   = "eu-west-1_aQYCzHwCz"
	client = "3fe6quse1kki13s6nebi0ncnin"
	issURL = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz"
	plain  = "https://issuer.example"
)

var (
	heavy      = os.Getenv("TALLYGATE_HEAVY") != ""
	julian     = authtest.User{Username: "julianwood", Client: client, Groups: []string{"gold", "staff"}}
	poolIssuer = sync.OnceValue(func() *authtest.Issuer { return must(authtest.New(issURL)) })
	rsaPrivate = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
)

// must returns v and panics on an error, which only a mistake in the test can cause.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// newVerifier makes a verifier. The config must be valid.
func newVerifier(t testing.TB, c auth.Config) *auth.Verifier {
	t.Helper()
	v, err := auth.New(c)
	require.NoError(t, err)
	return v
}

// cognito is the user pool with fixed keys.
func cognito() auth.Issuer {
	is := auth.Cognito(region, pool, client)
	is.Keys = poolIssuer().JWKS()
	return is
}

func cognitoVerifier(t testing.TB, rules auth.Rules) *auth.Verifier {
	t.Helper()
	return newVerifier(t, auth.Config{Issuers: []auth.Issuer{cognito()}, Rules: rules})
}

// set is a JWK Set of keys with their metadata.
func set(keys ...jwkset.JWK) []byte {
	var s jwkset.JWKSMarshal
	for _, k := range keys {
		s.Keys = append(s.Keys, k.Marshal())
	}
	return must(json.Marshal(s))
}

func jwk(public crypto.PublicKey, kid string, alg jwkset.ALG) jwkset.JWK {
	return must(jwkset.NewJWKFromKey(public, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: kid, ALG: alg, USE: jwkset.UseSig}}))
}

// local is an issuer whose only key is rsaPrivate, with the kid k1.
func local() auth.Issuer {
	return auth.Issuer{URL: plain, Audiences: []string{client}, Keys: set(jwk(rsaPrivate().Public(), "k1", "RS256"))}
}

func b64(b string) string { return base64.RawURLEncoding.EncodeToString([]byte(b)) }

const goodHeader = `{"alg":"RS256","kid":"k1"}`

// goodClaims is a claims set that local's verifier accepts. more sets members, or removes them if nil.
func goodClaims(more map[string]any) string {
	c := map[string]any{"iss": plain, "sub": "s", "aud": client, "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(c, more)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return string(must(json.Marshal(c)))
}

// rs256 signs any two texts with rsaPrivate.
func rs256(header, payload string) string {
	return signRS256(b64(header) + "." + b64(payload))
}

func signRS256(signed string) string {
	digest := sha256.Sum256([]byte(signed))
	signature := must(rsa.SignPKCS1v15(nil, rsaPrivate(), crypto.SHA256, digest[:]))
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// call sends a request to a handler. The header fields are given in pairs.
func call(h http.Handler, target string, pairs ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i < len(pairs); i += 2 {
		r.Header.Add(pairs[i], pairs[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// ok is a handler that answers with the caller's ID.
var ok = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	id, _ := auth.ID(r)
	_, _ = w.Write([]byte(id))
})
