package auth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

// Each test tries an attack that succeeded against a JWT library. Its comment says what went wrong there.

func localVerifier(t testing.TB) *auth.Verifier {
	t.Helper()
	return newVerifier(t, auth.Config{Issuers: []auth.Issuer{local()}})
}

// publicForms are the forms of a public key that libraries used as an HMAC secret.
func publicForms(t *testing.T, key *rsa.PublicKey) [][]byte {
	t.Helper()
	spki := must(x509.MarshalPKIXPublicKey(key))
	return [][]byte{
		spki, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}),
		pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(key)}), key.N.Bytes(), local().Keys,
	}
}

func hs256(secret []byte, header string) string {
	signed := b64(header) + "." + b64(goodClaims(nil))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Unsigned tokens were accepted for alg none, in any letter case.
func TestCVE_2015_9235_none(t *testing.T) {
	for _, alg := range []string{"none", "None", "NONE", "nOnE", ""} {
		header := b64(fmt.Sprintf(`{"alg":%q,"kid":"k1"}`, alg))
		for _, signature := range []string{"", "AA", strings.Repeat("A", 342)} {
			require.Error(t, verify(localVerifier(t), header+"."+b64(goodClaims(nil))+"."+signature))
		}
	}
}

// An HMAC with the public key as its secret was accepted because the token chose the algorithm.
func TestCVE_2016_5431_keyConfusion(t *testing.T) { keyConfusion(t) }

func TestCVE_2016_10555_keyConfusion(t *testing.T) { keyConfusion(t) }

func keyConfusion(t *testing.T) {
	t.Helper()
	for _, secret := range publicForms(t, &rsaPrivate().PublicKey) {
		require.ErrorIs(t, verify(localVerifier(t), hs256(secret, `{"alg":"HS256","kid":"k1"}`)), auth.ErrAlgorithm)
		require.ErrorIs(t, verify(localVerifier(t), hs256(secret, goodHeader)), auth.ErrForged)
	}
	// A symmetric key of the set does not verify anything either.
	is := local()
	is.Keys = []byte(`{"keys":[{"kty":"oct","kid":"k1","alg":"HS256","k":"c2VjcmV0"},{"kty":"oct","kid":"k2","k":"c2VjcmV0"}]}`)
	_, err := auth.New(auth.Config{Issuers: []auth.Issuer{is}})
	require.ErrorContains(t, err, "no usable key")
}

// A key in the token's own header was trusted.
func TestCVE_2018_0114_embeddedKey(t *testing.T) {
	mine := must(rsa.GenerateKey(rand.Reader, 2048))
	for _, header := range []string{`{"alg":"RS256","jwk":%s}`, `{"alg":"RS256","kid":"mine","jwk":%s}`, `{"alg":"RS256","kid":"k1","jwk":%s}`} {
		text := must(json.Marshal(jwk(mine.Public(), "mine", "RS256").Marshal()))
		signed := b64(fmt.Sprintf(header, text)) + "." + b64(goodClaims(nil))
		signature := must(jwt.SigningMethodRS256.Sign(signed, mine))
		require.Error(t, verify(localVerifier(t), signed+"."+base64.RawURLEncoding.EncodeToString(signature)))
	}
}

// An aud of [""] was treated as missing, and a missing aud was not checked.
func TestCVE_2020_26160_emptyAudience(t *testing.T) {
	for _, aud := range []any{[]string{}, []string{""}, "", nil, map[string]string{}, []any{nil}} {
		require.Error(t, verify(localVerifier(t), rs256(goodHeader, goodClaims(map[string]any{"aud": aud}))))
	}
}

// A signature of zeros was valid for every message and key.
func TestCVE_2022_21449_psychicSignature(t *testing.T) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	is := local()
	is.Keys = set(jwk(key.Public(), "k1", "ES256"))
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}})
	signed := b64(`{"alg":"ES256","kid":"k1"}`) + "." + b64(goodClaims(nil))
	n := elliptic.P256().Params().N
	for _, r := range []*big.Int{big.NewInt(0), big.NewInt(1), n, new(big.Int).Add(n, big.NewInt(1))} {
		for _, s := range []*big.Int{big.NewInt(0), big.NewInt(1), n} {
			var b [64]byte
			r.FillBytes(b[:32])
			s.FillBytes(b[32:])
			require.ErrorIs(t, verify(v, signed+"."+base64.RawURLEncoding.EncodeToString(b[:])), auth.ErrForged)
		}
	}
	// JWS uses neither the DER form of a signature, nor numbers without their leading zeros or with more of them.
	r, s, _ := ecdsa.Sign(rand.Reader, key, digest(signed))
	der := must(ecdsa.SignASN1(rand.Reader, key, digest(signed)))
	right := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	require.NoError(t, verify(v, signed+"."+base64.RawURLEncoding.EncodeToString(right)))
	for _, wrong := range [][]byte{der, right[:63], append(right[:64:64], 0)} {
		require.ErrorIs(t, verify(v, signed+"."+base64.RawURLEncoding.EncodeToString(wrong)), auth.ErrForged)
	}
}

func digest(s string) []byte {
	d := sha256.Sum256([]byte(s))
	return d[:]
}

// A compressed or encrypted token exhausted memory. This package reads neither.
func TestCVE_2024_28180_compressedJWE(t *testing.T) { compressedJWE(t) }

func TestCVE_2024_28122_compressedJWE(t *testing.T) { compressedJWE(t) }

func compressedJWE(t *testing.T) {
	t.Helper()
	header := b64(`{"alg":"dir","enc":"A256GCM","zip":"DEF"}`)
	bomb := strings.Repeat("A", 15<<10)
	require.ErrorIs(t, verify(localVerifier(t), header+".."+"AAAAAAAAAAAAAAAA."+bomb+".AAAA"), auth.ErrMalformed)
	require.ErrorIs(t, verify(localVerifier(t), header+"."+bomb[:1000]+".AAAA"), auth.ErrAlgorithm)
}

// Callers looked at the first of two joined errors, so an expired token with a bad signature seemed to be only expired.
func TestCVE_2024_51744_expiredAndForged(t *testing.T) {
	raw := rs256(goodHeader, goodClaims(map[string]any{"exp": 1}))
	err := verify(localVerifier(t), raw[:len(raw)-6]+"AAAAAA")
	require.ErrorIs(t, err, auth.ErrForged)
	require.NotErrorIs(t, err, auth.ErrExpired)
	w := call(localVerifier(t).Handler(ok), "/", "Authorization", "Bearer "+raw[:len(raw)-6]+"AAAAAA")
	require.JSONEq(t, `{"message":"Unauthorized"}`, w.Body.String())
}

// A token full of dots was split into as many strings. TestRefusalsAllocateLittle asserts what it allocates here.
func TestCVE_2025_22868_manyDots(t *testing.T) { manyDots(t) }

func TestCVE_2025_27144_manyDots(t *testing.T) { manyDots(t) }

func TestCVE_2025_30204_manyDots(t *testing.T) { manyDots(t) }

func manyDots(t *testing.T) {
	t.Helper()
	v := localVerifier(t)
	for _, raw := range []string{strings.Repeat(".", 16<<10), strings.Repeat("a.", 8<<10), strings.Repeat(".", 1<<20)} {
		require.ErrorIs(t, verify(v, raw), auth.ErrMalformed)
	}
}

// An unknown extension was ignored, although crit demands to refuse it.
func TestCVE_2025_59420_unknownCritical(t *testing.T) { unknownCritical(t) }

func TestCVE_2026_32597_unknownCritical(t *testing.T) { unknownCritical(t) }

func TestCVE_2026_35042_unknownCritical(t *testing.T) { unknownCritical(t) }

func unknownCritical(t *testing.T) {
	t.Helper()
	for _, crit := range []string{`["x-mfa"]`, `["b64"]`, `["exp"]`, `[]`, `null`, `"x"`, `[1]`, `{}`} {
		header := fmt.Sprintf(`{"alg":"RS256","kid":"k1","crit":%s,"x-mfa":true}`, crit)
		require.ErrorIs(t, verify(localVerifier(t), rs256(header, goodClaims(nil))), auth.ErrMalformed)
	}
}

// Two tokens had the same key in the cache, and one got the claims of the other.
func TestCVE_2026_35039_cacheCollision(t *testing.T) {
	for _, raw := range []bool{false, true} {
		v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{local()}, AllowRawCache: raw})
		good := rs256(goodHeader, goodClaims(nil))
		require.NoError(t, verify(v, good))
		dot := strings.IndexByte(good, '.')
		for i := range len(good) {
			if i == dot || good[i] == '.' {
				continue
			}
			changed := []byte(good)
			if changed[i]++; changed[i] == '.' {
				continue
			}
			require.Error(t, verify(v, string(changed)), i)
		}
		root := good[:dot+1] + b64(goodClaims(map[string]any{"sub": "root"})) + good[strings.LastIndexByte(good, '.'):]
		require.ErrorIs(t, verify(v, root), auth.ErrForged)
	}
}

// A cached token was accepted after its exp.
func TestCVE_2026_107719_cachedBeyondExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, raw := range []bool{false, true} {
			v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{local()}, AllowRawCache: raw})
			token := rs256(goodHeader, goodClaims(map[string]any{"exp": time.Now().Unix() + 60}))
			for range 60 {
				require.NoError(t, verify(v, token))
				time.Sleep(time.Second)
			}
			require.ErrorIs(t, verify(v, token), auth.ErrExpired)
		}
	})
}

// Claims that were not an object passed every check of a claim.
func TestCVE_2026_107723_claimsNoObject(t *testing.T) {
	for _, claims := range []string{`[]`, `[{"iss":"https://issuer.example"}]`, `null`, `true`, `0`, `""`, ``} {
		require.ErrorIs(t, verify(localVerifier(t), rs256(goodHeader, claims)), auth.ErrMalformed)
	}
}

// The name of a claim ended its quotes when the token was written. Reading must not confuse names either.
func TestGHSA_4cf7_xm37_g63h_escapedNames(t *testing.T) {
	claims := goodClaims(map[string]any{`x","sub":"root`: 1})
	got, err := localVerifier(t).VerifyToken(t.Context(), rs256(goodHeader, claims))
	require.NoError(t, err)
	require.Equal(t, "s", got.Subject)
}

// RSA keys that the ROCA generator made can be factored.
func TestCVE_2017_15361_ROCA(t *testing.T) {
	// A modulus with the fingerprint of ROCA: two factors 65537^a mod M + k·M, where M is the product of the first 39
	// primes. It need not be valid otherwise.
	m := big.NewInt(1)
	for p := int64(2); p <= 167; p++ {
		if big.NewInt(p).ProbablyPrime(0) {
			m.Mul(m, big.NewInt(p))
		}
	}
	factor := func(a, k int64) *big.Int {
		f := new(big.Int).Exp(big.NewInt(65537), big.NewInt(a), m)
		wide := new(big.Int).Lsh(big.NewInt(k), 1023-uint(m.BitLen()))
		return f.Add(f, wide.Mul(wide, m))
	}
	n := new(big.Int).Mul(factor(12345, 3), factor(67890, 3))
	require.GreaterOrEqual(t, n.BitLen(), 2048)
	is := local()
	is.Keys = fmt.Appendf(nil, `{"keys":[{"kty":"RSA","kid":"k1","e":"AQAB","n":"%s"}]}`, base64.RawURLEncoding.EncodeToString(n.Bytes()))
	_, err := auth.New(auth.Config{Issuers: []auth.Issuer{is}})
	require.ErrorContains(t, err, "no usable key")
}

// The salt of PS256 must be as long as the hash. golang-jwt accepts other lengths.
func TestPSSSaltOfAnotherLengthIsRefused(t *testing.T) {
	is := local()
	is.Keys = set(jwk(rsaPrivate().Public(), "k1", jwkset.AlgPS256))
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}})
	signed := b64(`{"alg":"PS256","kid":"k1"}`) + "." + b64(goodClaims(nil))
	for salt, want := range map[int]error{32: nil, 0 + 20: auth.ErrForged, 64: auth.ErrForged, rsa.PSSSaltLengthAuto: auth.ErrForged} {
		m := &jwt.SigningMethodRSAPSS{SigningMethodRSA: jwt.SigningMethodPS256.SigningMethodRSA, Options: &rsa.PSSOptions{SaltLength: salt}}
		signature := must(m.Sign(signed, rsaPrivate()))
		require.ErrorIs(t, verify(v, signed+"."+base64.RawURLEncoding.EncodeToString(signature)), want, salt)
	}
}
