package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

type bad struct {
	name string
	raw  string
	want error
}

// Each of these tokens must be refused. Except for those of badKeys they are signed with the right key, if they can be
// signed at all: only their form is wrong.
func TestBadTokensAreRefused(t *testing.T) {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{local()}})
	require.NoError(t, verify(v, rs256(goodHeader, goodClaims(nil))), "the token that the others are made of")
	seen := map[string]bool{}
	n := 0
	for _, list := range [][]bad{badForm(), badHeaders(), badClaims(), badKeys()} {
		for _, row := range list {
			t.Run(row.name, func(t *testing.T) {
				require.False(t, seen[row.raw], "the same token twice")
				seen[row.raw] = true
				got, err := v.VerifyToken(t.Context(), row.raw)
				require.Zero(t, got)
				require.ErrorIs(t, err, row.want)
				require.Equal(t, 401, err.(*auth.Error).StatusCode())
			})
			n++
		}
	}
	require.GreaterOrEqual(t, n, 109)
}

// badForm lists mistakes in segments and base64url.
func badForm() []bad {
	good := rs256(goodHeader, goodClaims(nil))
	p := strings.Split(good, ".")
	join := func(parts ...string) string { return strings.Join(parts, ".") }
	loose := func(s string) string { // the last character with one of its unused bits set
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		return s[:len(s)-1] + string(alphabet[strings.IndexByte(alphabet, s[len(s)-1])|1])
	}
	h := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"k1" }`)) // its length leaves unused bits
	for len(h)%4 == 0 {
		h = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"k1"  }`))
	}
	return []bad{
		{"empty", "", auth.ErrMalformed},
		{"one segment", p[0], auth.ErrMalformed},
		{"two segments", join(p[0], p[1]), auth.ErrMalformed},
		{"empty signature", join(p[0], p[1], ""), auth.ErrForged},
		{"four segments", good + ".", auth.ErrMalformed},
		{"five segments, as a JWE", join(p[0], p[1], p[2], p[1], p[2]), auth.ErrMalformed},
		{"dots", strings.Repeat(".", 16<<10), auth.ErrMalformed},
		{"two dots", "..", auth.ErrMalformed},
		{"empty header", join("", p[1], p[2]), auth.ErrMalformed},
		{"empty payload", join(p[0], "", p[2]), auth.ErrMalformed},
		{"too long", join(p[0], strings.Repeat("A", 16<<10), p[2]), auth.ErrMalformed},
		{"header too long", rs256(`{"alg":"RS256","kid":"k1","x":"`+strings.Repeat("x", 2<<10)+`"}`, goodClaims(nil)), auth.ErrMalformed},
		{"signature too long", join(p[0], p[1], strings.Repeat("A", 1400)), auth.ErrMalformed},
		{"space before", " " + good, auth.ErrMalformed},
		{"space after", good + " ", auth.ErrMalformed},
		{"line break after", good + "\n", auth.ErrMalformed},
		{"line break in signature", good[:len(good)-4] + "\n" + good[len(good)-4:], auth.ErrMalformed},
		{"carriage return in signature", good[:len(good)-4] + "\r" + good[len(good)-4:], auth.ErrMalformed},
		{"line break in payload", signRS256(p[0] + "." + p[1][:8] + "\n" + p[1][8:]), auth.ErrMalformed},
		{"line break in header", signRS256(p[0][:8] + "\r\n" + p[0][8:] + "." + p[1]), auth.ErrMalformed},
		{"padded header", signRS256(b64(`{"alg":"RS256","kid":"k1" }`) + "=." + p[1]), auth.ErrMalformed},
		{"padded payload", signRS256(p[0] + "." + base64.URLEncoding.EncodeToString([]byte(pad(goodClaims(nil))))), auth.ErrMalformed},
		{"padded signature", good + "==", auth.ErrMalformed},
		{"standard alphabet", signRS256(p[0] + "." + base64.RawStdEncoding.EncodeToString([]byte(goodClaims(map[string]any{"x": "???>>>"})))), auth.ErrMalformed},
		{"loose bits in header", signRS256(loose(h) + "." + p[1]), auth.ErrMalformed},
		{"loose bits in payload", signRS256(p[0] + "." + loose(base64.RawURLEncoding.EncodeToString([]byte(pad(goodClaims(nil)))))), auth.ErrMalformed},
		{"loose bits in signature", join(p[0], p[1], loose(p[2])), auth.ErrMalformed},
		{"one character of a group", signRS256(p[0] + "AA." + p[1]), auth.ErrMalformed},
		{"percent", strings.Replace(good, ".", "%2e", 1), auth.ErrMalformed},
		{"NUL", good + "\x00", auth.ErrMalformed},
		{"not ASCII", "é" + good, auth.ErrMalformed},
		{"flattened JSON", `{"protected":"` + p[0] + `","payload":"` + p[1] + `","signature":"` + p[2] + `"}`, auth.ErrMalformed},
		{"scheme in the token", "Bearer " + good, auth.ErrMalformed},
		{"detached payload", join(p[0], "", strings.Split(signRS256(p[0]+"."+p[1]), ".")[2]+"A"), auth.ErrMalformed},
	}
}

// pad adds spaces to claims until their base64 has unused bits.
func pad(claims string) string {
	for len(claims)%3 != 1 {
		claims += " "
	}
	return claims
}

// badHeaders lists mistakes in the JOSE header.
func badHeaders() (list []bad) {
	claims := goodClaims(nil)
	for name, header := range map[string]string{
		"not JSON":                    `alg=RS256`,
		"empty object":                `{}`,
		"array":                       `["alg","RS256"]`,
		"string":                      `"RS256"`,
		"null":                        `null`,
		"no alg":                      `{"kid":"k1"}`,
		"alg null":                    `{"alg":null,"kid":"k1"}`,
		"alg number":                  `{"alg":256,"kid":"k1"}`,
		"alg array":                   `{"alg":["RS256"],"kid":"k1"}`,
		"alg empty":                   `{"alg":"","kid":"k1"}`,
		"kid number":                  `{"alg":"RS256","kid":1}`,
		"kid null":                    `{"alg":"RS256","kid":null}`,
		"typ number":                  `{"alg":"RS256","kid":"k1","typ":1}`,
		"typ empty":                   `{"alg":"RS256","kid":"k1","typ":""}`,
		"typ of no media type":        `{"alg":"RS256","kid":"k1","typ":"application/"}`,
		"typ of a type twice":         `{"alg":"RS256","kid":"k1","typ":"application/application/jwt"}`,
		"kid empty":                   `{"alg":"RS256","kid":""}`,
		"typ JOSE":                    `{"alg":"RS256","kid":"k1","typ":"JOSE"}`,
		"typ dpop":                    `{"alg":"RS256","kid":"k1","typ":"dpop+jwt"}`,
		"typ logout":                  `{"alg":"RS256","kid":"k1","typ":"logout+jwt"}`,
		"typ with a space":            `{"alg":"RS256","kid":"k1","typ":"JWT "}`,
		"crit":                        `{"alg":"RS256","kid":"k1","crit":["exp"],"exp":1}`,
		"crit empty":                  `{"alg":"RS256","kid":"k1","crit":[]}`,
		"crit unknown":                `{"alg":"RS256","kid":"k1","crit":["x-policy"],"x-policy":"deny"}`,
		"crit null":                   `{"alg":"RS256","kid":"k1","crit":null}`,
		"b64 false":                   `{"alg":"RS256","kid":"k1","b64":false,"crit":["b64"]}`,
		"b64 true":                    `{"alg":"RS256","kid":"k1","b64":true}`,
		"alg twice":                   `{"alg":"RS256","alg":"RS256","kid":"k1"}`,
		"alg twice, none first":       `{"alg":"none","alg":"RS256","kid":"k1"}`,
		"alg twice, one escaped":      `{"alg":"RS256","\u0061lg":"RS256","kid":"k1"}`,
		"kid twice":                   `{"alg":"RS256","kid":"k0","kid":"k1"}`,
		"member twice, unknown":       `{"alg":"RS256","kid":"k1","x":1,"x":1}`,
		"member twice, letter case":   `{"alg":"RS256","kid":"k1","x":1,"X":1}`,
		"Alg and alg":                 `{"alg":"RS256","Alg":"none","kid":"k1"}`,
		"Crit":                        `{"alg":"RS256","kid":"k1","Crit":["x"]}`,
		"KID with the Kelvin sign":    `{"alg":"RS256","kid":"k1","` + "\u212A" + `id":"k0"}`,
		"ALG alone":                   `{"ALG":"RS256","kid":"k1"}`,
		"trailing object":             goodHeader + `{}`,
		"trailing text":               goodHeader + `x`,
		"trailing NUL":                goodHeader + "\x00",
		"byte order mark":             "\ufeff" + goodHeader,
		"comma at the end":            `{"alg":"RS256","kid":"k1",}`,
		"comma at the start":          `{,"alg":"RS256","kid":"k1"}`,
		"no comma":                    `{"alg":"RS256" "kid":"k1"}`,
		"comment":                     `{"alg":"RS256",/**/"kid":"k1"}`,
		"single quotes":               `{'alg':'RS256','kid':'k1'}`,
		"name without quotes":         `{alg:"RS256",kid:"k1"}`,
		"not UTF-8":                   "{\"alg\":\"RS256\",\"kid\":\"k1\",\"x\":\"\xff\"}",
		"surrogate in UTF-8":          "{\"alg\":\"RS256\",\"kid\":\"k1\",\"x\":\"\xed\xa0\x80\"}",
		"half a surrogate pair":       `{"alg":"RS256","kid":"k1","x":"\ud800"}`,
		"pair of two high surrogates": `{"alg":"RS256","kid":"k1","x":"\ud800\ud800"}`,
		"low surrogate first":         `{"alg":"RS256","kid":"k1","x":"\udc00\ud800"}`,
		"short escape":                `{"alg":"RS256","kid":"k1","x":"\u00"}`,
		"unknown escape":              `{"alg":"RS256","kid":"k1","x":"\x41"}`,
		"control character":           "{\"alg\":\"RS256\",\"kid\":\"k1\",\"x\":\"\t\"}",
		"too deep":                    `{"alg":"RS256","kid":"k1","x":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`,
		"UTF-16":                      "{\x00\"\x00}\x00",
		"cut":                         `{"alg":"RS256","kid":"k1"`,
	} {
		list = append(list, bad{"header: " + name, rs256(header, claims), auth.ErrMalformed})
	}
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "HS256", "HS384", "HS512", "rs256", "RS1", "RS257", "ES256K", "RSA-OAEP", "dir", "Ed448", "EdDSA "} {
		list = append(list, bad{"header: alg " + alg, rs256(fmt.Sprintf(`{"alg":%q,"kid":"k1"}`, alg), claims), auth.ErrAlgorithm})
	}
	return list
}

// badClaims lists mistakes in the claims set.
func badClaims() (list []bad) {
	exp := time.Now().Add(time.Hour).Unix()
	add := func(name, claims string, want error) {
		list = append(list, bad{"claims: " + name, rs256(goodHeader, claims), want})
	}
	set := func(name string, more map[string]any, want error) { add(name, goodClaims(more), want) }
	rest := fmt.Sprintf(`"iss":%q,"sub":"s","aud":%q`, plain, client)
	for name, claims := range map[string]string{
		"array":                      fmt.Sprintf(`[{%s,"exp":%d}]`, rest, exp),
		"number":                     `1`,
		"nothing":                    ` `,
		"exp twice":                  fmt.Sprintf(`{%s,"exp":1,"exp":%d}`, rest, exp),
		"exp twice, one escaped":     fmt.Sprintf(`{%s,"e\u0078p":1,"exp":%d}`, rest, exp),
		"Exp and exp":                fmt.Sprintf(`{%s,"exp":1,"Exp":%d}`, rest, exp),
		"EXP alone":                  fmt.Sprintf(`{%s,"EXP":%d}`, rest, exp),
		"Iss with the long s":        fmt.Sprintf(`{%s,"exp":%d,"i`+"\u017f"+`s":"x"}`, rest, exp),
		"Iat alone":                  fmt.Sprintf(`{%s,"exp":%d,"Iat":1}`, rest, exp),
		"NBF alone":                  fmt.Sprintf(`{%s,"exp":%d,"NBF":1}`, rest, exp),
		"AUD and aud":                fmt.Sprintf(`{%s,"exp":%d,"AUD":"x"}`, rest, exp),
		"sub twice":                  fmt.Sprintf(`{%s,"exp":%d,"sub":"x"}`, rest, exp),
		"unknown member twice":       fmt.Sprintf(`{%s,"exp":%d,"x":1,"\u0078":1}`, rest, exp),
		"aud twice":                  fmt.Sprintf(`{%s,"aud":"x","exp":%d}`, rest, exp),
		"nested member twice":        fmt.Sprintf(`{%s,"exp":%d,"x":{"y":1,"y":2}}`, rest, exp),
		"trailing":                   fmt.Sprintf(`{%s,"exp":%d}{"admin":true}`, rest, exp),
		"exp with a leading zero":    fmt.Sprintf(`{%s,"exp":0%d}`, rest, exp),
		"exp with a plus":            fmt.Sprintf(`{%s,"exp":+%d}`, rest, exp),
		"exp hexadecimal":            fmt.Sprintf(`{%s,"exp":0xffffffffff}`, rest),
		"exp NaN":                    fmt.Sprintf(`{%s,"exp":NaN}`, rest),
		"exp Infinity":               fmt.Sprintf(`{%s,"exp":Infinity}`, rest),
		"exp 1e400":                  fmt.Sprintf(`{%s,"exp":1e400}`, rest),
		"exp 1e20":                   fmt.Sprintf(`{%s,"exp":1e20}`, rest),
		"exp beyond int64":           fmt.Sprintf(`{%s,"exp":18446744073709551616}`, rest),
		"exp beyond the year 9999":   fmt.Sprintf(`{%s,"exp":253402300800}`, rest),
		"exp negative":               fmt.Sprintf(`{%s,"exp":-1}`, rest),
		"exp of many digits":         fmt.Sprintf(`{%s,"exp":%d.%s}`, rest, exp, strings.Repeat("0", 40)),
		"exp with nothing after dot": fmt.Sprintf(`{%s,"exp":%d.}`, rest, exp),
		"number out of range":        fmt.Sprintf(`{%s,"exp":%d,"x":1e999}`, rest, exp),
		"number of many digits":      fmt.Sprintf(`{%s,"exp":%d,"x":%s}`, rest, exp, strings.Repeat("9", 33)),
		"too many members":           fmt.Sprintf(`{%s,"exp":%d%s}`, rest, exp, numbered(300, `,"m%d":0`)),
		"too many nested members":    fmt.Sprintf(`{%s,"exp":%d,"x":{"a":0%s}}`, rest, exp, numbered(300, `,"m%d":0`)),
		"too many values":            fmt.Sprintf(`{%s,"exp":%d,"x":[0%s]}`, rest, exp, strings.Repeat(",0", 3000)),
		"too many escapes":           fmt.Sprintf(`{%s,"exp":%d,"x":"%s"}`, rest, exp, strings.Repeat(`\u00e9`, 1500)),
		"name too long":              fmt.Sprintf(`{%s,"exp":%d,"%s":0}`, rest, exp, strings.Repeat("n", 300)),
		"too deep":                   fmt.Sprintf(`{%s,"exp":%d,"x":%s0%s}`, rest, exp, strings.Repeat(`{"x":`, 9), strings.Repeat("}", 9)),
		"control character":          fmt.Sprintf("{%s,\"exp\":%d,\"x\":\"\n\"}", rest, exp),
		"not UTF-8":                  fmt.Sprintf("{%s,\"exp\":%d,\"x\":\"\xc3\x28\"}", rest, exp),
		"overlong UTF-8":             fmt.Sprintf("{%s,\"exp\":%d,\"x\":\"\xc0\xaf\"}", rest, exp),
	} {
		add(name, claims, auth.ErrMalformed)
	}
	for _, name := range []string{"exp", "nbf", "iat"} {
		for kind, value := range map[string]any{"string": "1", "null": 0, "boolean": true, "array": []int{1}, "object": map[string]int{}} {
			if kind == "null" {
				add(name+" null", fmt.Sprintf(`{%s%s,%q:null}`, rest, map[bool]string{true: fmt.Sprintf(`,"exp":%d`, exp)}[name != "exp"], name), auth.ErrMalformed)
				continue
			}
			set(name+" "+kind, map[string]any{name: value}, auth.ErrMalformed)
		}
	}
	set("iss number", map[string]any{"iss": 1}, auth.ErrMalformed)
	set("iss array", map[string]any{"iss": []string{plain}}, auth.ErrMalformed)
	set("aud number", map[string]any{"aud": 1}, auth.ErrMalformed)
	set("aud boolean", map[string]any{"aud": true}, auth.ErrMalformed)
	set("aud object", map[string]any{"aud": map[string]string{client: client}}, auth.ErrMalformed)
	set("aud array with a number", map[string]any{"aud": []any{client, 1}}, auth.ErrMalformed)
	set("aud array with a null", map[string]any{"aud": []any{client, nil}}, auth.ErrMalformed)
	set("aud array in an array", map[string]any{"aud": []any{[]string{client}}}, auth.ErrMalformed)
	set("no exp", map[string]any{"exp": nil}, auth.ErrMalformed)
	set("no iss", map[string]any{"iss": nil}, auth.ErrIssuer)
	set("iss with a slash", map[string]any{"iss": plain + "/"}, auth.ErrIssuer)
	set("iss in another case", map[string]any{"iss": strings.ToUpper(plain)}, auth.ErrIssuer)
	set("iss a prefix", map[string]any{"iss": plain[:len(plain)-1]}, auth.ErrIssuer)
	set("no aud", map[string]any{"aud": nil}, auth.ErrOtherAudience)
	set("aud empty", map[string]any{"aud": ""}, auth.ErrOtherAudience)
	set("aud empty array", map[string]any{"aud": []string{}}, auth.ErrOtherAudience)
	set("aud empty array with client_id", map[string]any{"aud": []string{}, "client_id": client}, auth.ErrOtherAudience)
	set("aud empty with client_id", map[string]any{"aud": "", "client_id": client}, auth.ErrOtherAudience)
	add("aud null", fmt.Sprintf(`{"iss":%q,"aud":null,"client_id":%q,"exp":%d}`, plain, client, exp), auth.ErrMalformed)
	set("aud array of one empty string", map[string]any{"aud": []string{""}}, auth.ErrOtherAudience) // CVE-2020-26160
	set("aud other", map[string]any{"aud": client + "x"}, auth.ErrOtherAudience)
	set("aud in another case", map[string]any{"aud": strings.ToUpper(client)}, auth.ErrOtherAudience)
	set("aud other with client_id", map[string]any{"aud": "x", "client_id": client}, auth.ErrOtherAudience)
	set("expired", map[string]any{"exp": time.Now().Unix() - 1}, auth.ErrExpired)
	set("expired in 1970", map[string]any{"exp": 0}, auth.ErrExpired)
	set("expired by a fraction", map[string]any{"exp": float64(time.Now().UnixMilli()-1) / 1000}, auth.ErrExpired)
	set("nbf ahead", map[string]any{"nbf": time.Now().Unix() + 60}, auth.ErrNotYetValid)
	set("auth_time ahead", map[string]any{"auth_time": time.Now().Unix() + 60}, auth.ErrNotYetValid)
	set("iat ahead", map[string]any{"iat": time.Now().Unix() + 60}, auth.ErrNotYetValid)
	return list
}

func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// badKeys lists tokens with a wrong signer or signature.
func badKeys() []bad {
	claims := b64(goodClaims(nil))
	sign := func(header string, key any, m jwt.SigningMethod) string {
		signed := b64(header) + "." + claims
		return signed + "." + base64.RawURLEncoding.EncodeToString(must(m.Sign(signed, key)))
	}
	stranger := must(rsa.GenerateKey(rand.Reader, 2048))
	ec := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	good := rs256(goodHeader, goodClaims(nil))
	dot := strings.LastIndexByte(good, '.')
	public := rsaPrivate().PublicKey
	own := fmt.Sprintf(`{"kty":"RSA","n":"%s","e":"AQAB"}`, base64.RawURLEncoding.EncodeToString(stranger.N.Bytes()))
	hmacOf := func(secret []byte) string {
		signed := b64(`{"alg":"HS256","kid":"k1"}`) + "." + claims
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(signed))
		return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	raw := must(base64.RawURLEncoding.DecodeString(good[dot+1:]))
	return []bad{
		{"stranger's key", sign(goodHeader, stranger, jwt.SigningMethodRS256), auth.ErrForged},
		{"stranger's key embedded as jwk", sign(`{"alg":"RS256","kid":"k1","jwk":`+own+`}`, stranger, jwt.SigningMethodRS256), auth.ErrForged},
		{"stranger's key embedded, no kid", sign(`{"alg":"RS256","jwk":`+own+`}`, stranger, jwt.SigningMethodRS256), auth.ErrForged},
		{"stranger's key behind jku", sign(`{"alg":"RS256","kid":"k1","jku":"https://evil.example/k"}`, stranger, jwt.SigningMethodRS256), auth.ErrForged},
		{"stranger's key behind x5u", sign(`{"alg":"RS256","kid":"k1","x5u":"https://evil.example/c"}`, stranger, jwt.SigningMethodRS256), auth.ErrForged},
		{"unknown kid", sign(`{"alg":"RS256","kid":"k2"}`, rsaPrivate(), jwt.SigningMethodRS256), auth.ErrKey},
		{"kid with a slash", sign(`{"alg":"RS256","kid":"../k1"}`, rsaPrivate(), jwt.SigningMethodRS256), auth.ErrKey},
		{"kid in another case", sign(`{"alg":"RS256","kid":"K1"}`, rsaPrivate(), jwt.SigningMethodRS256), auth.ErrKey},
		{"kid an SQL injection", sign(`{"alg":"RS256","kid":"k1' or '1'='1"}`, rsaPrivate(), jwt.SigningMethodRS256), auth.ErrKey},
		{"RS512 with a key for RS256", sign(`{"alg":"RS512","kid":"k1"}`, rsaPrivate(), jwt.SigningMethodRS512), auth.ErrKey},
		{"PS256 with a key for RS256", sign(`{"alg":"PS256","kid":"k1"}`, rsaPrivate(), jwt.SigningMethodPS256), auth.ErrKey},
		{"ES256 under an RSA key's kid", sign(`{"alg":"ES256","kid":"k1"}`, ec, jwt.SigningMethodES256), auth.ErrKey},
		{"EdDSA under an RSA key's kid", sign(`{"alg":"EdDSA","kid":"k1"}`, ed, jwt.SigningMethodEdDSA), auth.ErrKey},
		{"HMAC with the public key's modulus", hmacOf(public.N.Bytes()), auth.ErrAlgorithm},
		{"HMAC with an empty secret", hmacOf(nil) + "", auth.ErrAlgorithm},
		{"bit flipped", flip(good, dot+1, raw), auth.ErrForged},
		{"signature of zeros", good[:dot+1] + base64.RawURLEncoding.EncodeToString(make([]byte, 256)), auth.ErrForged},
		{"signature short", good[:dot+1] + base64.RawURLEncoding.EncodeToString(raw[:255]), auth.ErrForged},
		{"signature with a zero before", good[:dot+1] + base64.RawURLEncoding.EncodeToString(append([]byte{0}, raw...)), auth.ErrForged},
		{"signature plus modulus", good[:dot+1] + base64.RawURLEncoding.EncodeToString(new(big.Int).Add(new(big.Int).SetBytes(raw), public.N).Bytes()), auth.ErrForged},
		{"claims exchanged", good[:strings.IndexByte(good, '.')+1] + b64(goodClaims(map[string]any{"sub": "root"})) + good[dot:], auth.ErrForged},
		{"header exchanged", b64(`{"kid":"k1","alg":"RS256"}`) + good[strings.IndexByte(good, '.'):], auth.ErrForged},
		{"PKCS #1 over SHA-1", sha1Signed(), auth.ErrForged},
	}
}

func flip(token string, at int, signature []byte) string {
	b := append([]byte(nil), signature...)
	b[100] ^= 1
	return token[:at] + base64.RawURLEncoding.EncodeToString(b)
}

func sha1Signed() string {
	signed := b64(goodHeader) + "." + b64(goodClaims(nil))
	digest := sha256.Sum256([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(must(rsa.SignPKCS1v15(nil, rsaPrivate(), crypto.SHA1, digest[:20])))
}

// Tokens that are unusual but valid are accepted.
func TestUnusualTokensAreAccepted(t *testing.T) {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{local()}})
	exp := time.Now().Add(time.Hour).Unix()
	for name, raw := range map[string]string{
		"typ":                      rs256(`{"alg":"RS256","kid":"k1","typ":"JWT"}`, goodClaims(nil)),
		"typ in lower case":        rs256(`{"alg":"RS256","kid":"k1","typ":"jwt"}`, goodClaims(nil)),
		"typ a media type":         rs256(`{"alg":"RS256","kid":"k1","typ":"application/jwt"}`, goodClaims(nil)),
		"no kid, one key":          rs256(`{"alg":"RS256"}`, goodClaims(nil)),
		"unknown header members":   rs256(`{"alg":"RS256","kid":"k1","x5t":"AA","cty":"x","jku":"https://x.example","x5c":["AA"]}`, goodClaims(nil)),
		"white space":              rs256(" \t\r\n{ \"alg\" : \"RS256\" , \"kid\" : \"k1\" } ", goodClaims(nil)),
		"escaped names":            rs256(`{"\u0061lg":"RS256","kid":"\u006b1"}`, goodClaims(nil)),
		"several audiences":        rs256(goodHeader, goodClaims(map[string]any{"aud": []string{"x", client}})),
		"no subject":               rs256(goodHeader, goodClaims(map[string]any{"sub": nil})),
		"exp with a fraction":      rs256(goodHeader, goodClaims(map[string]any{"exp": float64(exp) + 0.5})),
		"exp with an exponent":     rs256(goodHeader, fmt.Sprintf(`{"iss":%q,"aud":%q,"exp":2.5e11}`, plain, client)),
		"nested claims":            rs256(goodHeader, goodClaims(map[string]any{"a": map[string]any{"b": []any{1, "x", nil, true, 1.5e-3, map[string]any{"b": 1}}, "a": 1}})),
		"a name in two objects":    rs256(goodHeader, goodClaims(map[string]any{"a": map[string]any{"sub": "x"}, "b": map[string]any{"sub": "y"}})),
		"names beyond ASCII":       rs256(goodHeader, goodClaims(map[string]any{"naïve": "é", "日本": "語", "https://x.example/roles": []string{"a"}})),
		"escapes":                  rs256(goodHeader, fmt.Sprintf(`{"iss":"https:\/\/issuer.example","aud":%q,"exp":%d,"x":"\ud83d\ude00\"\\\b\f\n\r\t"}`, client, exp)),
		"no groups and scopes":     rs256(goodHeader, strings.TrimSuffix(goodClaims(nil), "}")+`,"groups":null,"cognito:groups":null,"scope":null,"scp":null}`),
		"other claims of any type": rs256(goodHeader, goodClaims(map[string]any{"Role": 1, "version": 2, "email_verified": true, "nonce": nil})),
		"a hundred groups":         rs256(goodHeader, goodClaims(map[string]any{"groups": strings.Split(numbered(100, "group%d "), " ")[:100]})),
	} {
		require.NoError(t, verify(v, raw), name)
	}
}
