package bench

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	jwtmiddleware "github.com/auth0/go-jwt-middleware/v3"
	"github.com/auth0/go-jwt-middleware/v3/validator"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v3/jwk"
	jwxjwt "github.com/lestrrat-go/jwx/v3/jwt"
	"github.com/stretchr/testify/require"
)

// impl is one verifier. It checks signature, issuer, audience and expiry, and returns the claims.
type impl struct {
	name   string
	verify func(string) error
}

// claims is the struct into which the peers decode.
type claims struct {
	jwt.RegisteredClaims

	ClientID string   `json:"client_id"`
	TokenUse string   `json:"token_use"`
	Scope    string   `json:"scope"`
	Username string   `json:"username"`
	Groups   []string `json:"cognito:groups"`
}

func peers(b testing.TB, f *fixture) []impl {
	return []impl{
		{"golang-jwt", golangJWT(f)}, {"go-oidc", goOIDC(b, f)}, {"jwx", jwx(f)}, {"go-jose", goJose(f)}, {"auth0", auth0(f)},
	}
}

func golangJWT(f *fixture) func(string) error {
	keys := must(keyfunc.NewJWKSetJSON(f.jwks))
	parser := jwt.NewParser(jwt.WithValidMethods([]string{f.algorithm}), jwt.WithIssuer(issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired())
	return func(raw string) error {
		_, err := parser.ParseWithClaims(raw, &claims{}, keys.Keyfunc)
		return err
	}
}

// goOIDC has its key set fetched once and cached.
func goOIDC(b testing.TB, f *fixture) func(string) error {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "max-age=3600")
		_, _ = w.Write(f.jwks)
	}))
	b.Cleanup(s.Close)
	v := oidc.NewVerifier(issuer, oidc.NewRemoteKeySet(context.Background(), s.URL), &oidc.Config{
		ClientID: audience, SupportedSigningAlgs: []string{f.algorithm},
	})
	return func(raw string) error {
		t, err := v.Verify(context.Background(), raw)
		if err != nil {
			return err
		}
		return t.Claims(&claims{})
	}
}

func jwx(f *fixture) func(string) error {
	set := must(jwk.Parse(f.jwks))
	return func(raw string) error {
		_, err := jwxjwt.ParseString(raw, jwxjwt.WithKeySet(set), jwxjwt.WithIssuer(issuer), jwxjwt.WithAudience(audience))
		return err
	}
}

func goJose(f *fixture) func(string) error {
	var set jose.JSONWebKeySet
	must(0, json.Unmarshal(f.jwks, &set))
	algorithms := []jose.SignatureAlgorithm{jose.SignatureAlgorithm(f.algorithm)}
	return func(raw string) error {
		t, err := josejwt.ParseSigned(raw, algorithms)
		if err != nil {
			return err
		}
		var c struct {
			josejwt.Claims

			ClientID string   `json:"client_id"`
			TokenUse string   `json:"token_use"`
			Scope    string   `json:"scope"`
			Username string   `json:"username"`
			Groups   []string `json:"cognito:groups"`
		}
		if err := t.Claims(set, &c); err != nil {
			return err
		}
		if c.Expiry == nil {
			return errors.New("no exp")
		}
		return c.ValidateWithLeeway(josejwt.Expected{Issuer: issuer, AnyAudience: josejwt.Audience{audience}, Time: time.Now()}, 0)
	}
}

func newValidator(f *fixture) *validator.Validator {
	set := must(jwk.Parse(f.jwks))
	return must(validator.New(
		validator.WithKeyFunc(func(context.Context) (any, error) { return set, nil }),
		validator.WithAlgorithm(validator.SignatureAlgorithm(f.algorithm)),
		validator.WithIssuer(issuer), validator.WithAudience(audience),
	))
}

func auth0(f *fixture) func(string) error {
	v := newValidator(f)
	return func(raw string) error {
		_, err := v.ValidateToken(context.Background(), raw)
		return err
	}
}

func auth0Middleware(f *fixture) func(http.Handler) http.Handler {
	return must(jwtmiddleware.New(jwtmiddleware.WithValidator(newValidator(f)))).CheckJWT
}

// golangJWTMiddleware is a middleware as a user of golang-jwt would write it.
func golangJWTMiddleware(f *fixture) func(http.Handler) http.Handler {
	keys := must(keyfunc.NewJWKSetJSON(f.jwks))
	parser := jwt.NewParser(jwt.WithValidMethods([]string{f.algorithm}), jwt.WithIssuer(issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired())
	type contextKey struct{}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			raw, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			var c claims
			if _, err := parser.ParseWithClaims(raw, &c, keys.Keyfunc); err != nil {
				http.Error(w, "Unauthorized", http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, &c)))
		})
	}
}

// floor is what every verifier must do: compute the hash of each token, and check the signature.
func floor(f *fixture, tokens []string) func(string) error {
	type work struct{ token, signed, digest, signature, der []byte }
	list := make([]work, len(tokens))
	for i, raw := range tokens {
		dot := strings.LastIndexByte(raw, '.')
		digest := sha256.Sum256([]byte(raw[:dot]))
		list[i] = work{[]byte(raw), []byte(raw[:dot]), digest[:], must(base64.RawURLEncoding.DecodeString(raw[dot+1:])), nil}
		if f.algorithm == "ES256" {
			list[i].der = der(list[i].signature)
		}
	}
	var check func(work) bool
	switch key := f.private.Public().(type) {
	case *rsa.PublicKey:
		check = func(w work) bool { return rsa.VerifyPKCS1v15(key, crypto.SHA256, w.digest, w.signature) == nil }
	case *ecdsa.PublicKey:
		check = func(w work) bool { return ecdsa.VerifyASN1(key, w.digest, w.der) }
	case ed25519.PublicKey:
		check = func(w work) bool { return ed25519.Verify(key, w.signed, w.signature) }
	}
	n := 0
	return func(string) error {
		w := list[n%len(list)]
		n++
		_ = sha256.Sum256(w.token)
		if !check(w) {
			return errors.New("signature")
		}
		return nil
	}
}

// der is an ECDSA signature in the form that the standard library accepts.
func der(signature []byte) []byte {
	half := len(signature) / 2
	return must(asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])}))
}

// The peers must accept the tokens that are measured and refuse those that are not valid. Otherwise the comparison
// would not be fair.
func TestPeersAcceptAndRefuseAlike(t *testing.T) {
	for algorithm, f := range fixtures() {
		raw := f.token(1)
		require.Len(t, raw, size)
		late, other := f.claims(1), f.claims(1)
		late["exp"], other["aud"] = time.Now().Unix()-3600, "other"
		all := slices.Concat(peers(t, f), []impl{{"ours", ours(f)}})
		for _, p := range all {
			require.NoError(t, p.verify(raw), "%s %s", p.name, algorithm)
			require.Error(t, p.verify(raw[:len(raw)-8]+"AAAAAAAA"), "%s %s", p.name, algorithm)
			require.Error(t, p.verify(f.sign(late)), "%s %s", p.name, algorithm)
			require.Error(t, p.verify(f.sign(other)), "%s %s", p.name, algorithm)
		}
		require.NoError(t, floor(f, []string{raw})(""))
	}
}
