package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate/auth"
)

// forgeable is a public key, the alg it is for, and the bytes of its signatures.
type forgeable struct {
	name, alg, jwk string
	size           int
}

func forgeables() (all []forgeable) {
	number := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	for _, bits := range []int{2048, 3072, 4096, 8192} {
		// Any odd modulus costs as much as a product of two primes, which would take minutes to find.
		n := must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(bits-1))))
		n.SetBit(n, bits-1, 1).SetBit(n, 0, 1)
		all = append(all, forgeable{fmt.Sprintf("RS256-%d", bits), "RS256", fmt.Sprintf(`{"kty":"RSA","n":%q,"e":"AQAB"}`, number(n.Bytes())), bits / 8})
	}
	for alg, curve := range map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()} {
		point := must(must(ecdsa.GenerateKey(curve, rand.Reader)).PublicKey.Bytes())
		half := len(point) / 2
		crv := map[string]string{"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[alg]
		jwk := fmt.Sprintf(`{"kty":"EC","crv":%q,"x":%q,"y":%q}`, crv, number(point[1:1+half]), number(point[1+half:]))
		all = append(all, forgeable{alg, alg, jwk, 2 * half})
	}
	four := forgeable{name: "RS256-2048x4", alg: "RS256", size: 256}
	for i := range 4 { // without kid: each is tried
		four.jwk += strings.Replace(all[0].jwk, "{", fmt.Sprintf(`{"x5t":"%d",`, i), 1) + ","
	}
	four.jwk = strings.TrimSuffix(four.jwk, ",")
	ed := fixtures()["EdDSA"].private.Public().(ed25519.PublicKey)
	return append(all, four, forgeable{"EdDSA", "EdDSA", fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":%q}`, number(ed)), 64})
}

// BenchmarkForged measures a token with a forged signature, by type and size of the key that refuses it.
func BenchmarkForged(b *testing.B) {
	for _, f := range forgeables() {
		b.Run("key="+f.name, func(b *testing.B) {
			v := must(auth.New(auth.Config{Issuers: []auth.Issuer{{
				URL: issuer, Audiences: []string{audience}, AllowLongRSA: true, Keys: []byte(`{"keys":[` + f.jwk + `]}`),
			}}}))
			part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
			claims := fmt.Sprintf(`{"iss":%q,"aud":%q,"exp":%d,"x":%q}`, issuer, audience, time.Now().Add(time.Hour).Unix(), strings.Repeat("x", 600))
			signature := []byte(strings.Repeat("\x01", f.size)) // below the modulus or the order of every key
			if f.alg == "ES512" {
				signature[0], signature[f.size/2] = 0, 0
			}
			raw := part(`{"alg":"`+f.alg+`"}`) + "." + part(claims) + "." + part(string(signature))
			for b.Loop() {
				if _, err := v.VerifyToken(context.Background(), raw); err == nil {
					b.Fatal("a forged token was accepted")
				}
			}
		})
	}
}
