package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

// The examples of RFC 7515 appendix A, RFC 7520 section 4, RFC 8037 appendix A and RFC 7797 section 4. If the payload
// is not a claims set, only the signature is checked.
func TestRFCExamplesVerify(t *testing.T) {
	var vectors []struct {
		Name  string          `json:"name"`
		Key   json.RawMessage `json:"key"`
		Token string          `json:"token"`
		Want  string          `json:"want"`
	}
	require.NoError(t, json.Unmarshal(must(os.ReadFile("testdata/rfc.json")), &vectors))
	require.Len(t, vectors, 12)
	wants := map[string]error{"algorithm": auth.ErrAlgorithm, "malformed": auth.ErrMalformed, "key": auth.ErrKey}
	for _, vector := range vectors {
		t.Run(vector.Name, func(t *testing.T) {
			keys := fmt.Appendf(nil, `{"keys":[%s]}`, vector.Key)
			require.ErrorIs(t, auth.VerifySignature(keys, vector.Token), wants[vector.Want])
			if vector.Want != "claims" && vector.Want != "signature" {
				return
			}
			last := strings.LastIndexByte(vector.Token, '.')
			signature := must(base64.RawURLEncoding.DecodeString(vector.Token[last+1:]))
			signature[0] ^= 1
			forged := vector.Token[:last+1] + base64.RawURLEncoding.EncodeToString(signature)
			require.ErrorIs(t, auth.VerifySignature(keys, forged), auth.ErrForged)

			synctest.Test(t, func(t *testing.T) { // the fake time is in the year 2000, before the example expires
				v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{{URL: "joe", Keys: keys, AllowAnyAudience: true}}})
				got, err := v.VerifyToken(t.Context(), vector.Token)
				if vector.Want == "signature" {
					require.ErrorIs(t, err, auth.ErrMalformed)
					return
				}
				require.NoError(t, err)
				require.EqualValues(t, 1300819380, got.Expiry.Unix())
				claims, err := auth.Claims[map[string]any](got)
				require.NoError(t, err)
				require.Equal(t, true, claims["http://example.com/is_root"])
				time.Sleep(time.Until(got.Expiry))
				require.ErrorIs(t, verify(v, vector.Token), auth.ErrExpired)
			})
		})
	}
}

// RFC 7515 appendix A.6 and A.7 and RFC 7519 section 6.1: other serialisations and unsecured JWTs are refused.
func TestOtherSerialisationsAreRefused(t *testing.T) {
	for _, raw := range []string{
		`{"payload":"eyJpc3MiOiJqb2UifQ","signatures":[{"protected":"eyJhbGciOiJSUzI1NiJ9","signature":"AA"}]}`,
		`{"payload":"eyJpc3MiOiJqb2UifQ","protected":"eyJhbGciOiJFUzI1NiJ9","header":{"kid":"e"},"signature":"AA"}`,
		"eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.",
	} {
		require.Error(t, verify(localVerifier(t), raw))
	}
}

// RFC 9068 sections 2.2 and 4: an access token of type at+jwt. It is the example of section 3, from the issuer of these
// tests.
func TestRFC9068AccessTokenIsAccepted(t *testing.T) {
	is := local()
	is.URL, is.Audiences = "https://authorization-server.example.com/", []string{"https://rs.example.com/"}
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}, Rules: auth.Rules{TokenUse: "access", AnyScope: []string{"reademail"}}})
	example := map[string]any{
		"iss": is.URL, "sub": "5ba552d67", "aud": is.Audiences[0], "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(),
		"jti": "dbe39bf3a3ba4238a513f51d6e1691c4", "client_id": "s6BhdRkqt3", "scope": "openid profile reademail",
	}
	for _, typ := range []string{"at+jwt", "at+JWT", "application/at+jwt"} {
		got, err := v.VerifyToken(t.Context(), rs256(fmt.Sprintf(`{"typ":%q,"alg":"RS256","kid":"k1"}`, typ), goodClaims(example)))
		require.NoError(t, err)
		require.Equal(t, "access", got.Use)
		require.Equal(t, "s6BhdRkqt3", got.Client)
	}
	header := `{"typ":"at+jwt","alg":"RS256","kid":"k1"}`
	for _, name := range []string{"sub", "iat", "jti", "client_id"} { // RFC 9068 requires these of issuers, not of verifiers
		require.NoError(t, verify(v, rs256(header, goodClaims(with(example, map[string]any{name: nil})))), name)
	}
	for _, aud := range []any{nil, "", []string{}} { // section 4
		err := verify(v, rs256(header, goodClaims(with(example, map[string]any{"aud": aud}))))
		require.ErrorIs(t, err, auth.ErrOtherAudience, "%v", aud)
	}
	// Some issuers leave aud out. AllowClientID, which takes the client in its place, works for this type too.
	is.AllowClientID, is.Audiences = true, []string{"s6BhdRkqt3"}
	byClient := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}})
	require.NoError(t, verify(byClient, rs256(header, goodClaims(with(example, map[string]any{"aud": nil})))))
	require.NoError(t, verify(byClient, rs256(header, goodClaims(with(example, map[string]any{"aud": nil, "sub": nil})))))
	for _, more := range []map[string]any{{"aud": nil, "client_id": "x"}, {"aud": []string{}}, {"aud": ""}, {"aud": "https://rs.example.com/"}} {
		require.ErrorIs(t, verify(byClient, rs256(header, goodClaims(with(example, more)))), auth.ErrOtherAudience, "%v", more)
	}
	// An ID token of the same issuer is not an access token.
	require.ErrorIs(t, verify(v, rs256(`{"typ":"JWT","alg":"RS256","kid":"k1"}`, goodClaims(example))), auth.ErrTokenUse)
}

// with is a copy of claims in which others are set.
func with(claims, more map[string]any) map[string]any {
	all := maps.Clone(claims)
	maps.Copy(all, more)
	return all
}

// Every algorithm is tried with every kind of key. A key verifies only its own algorithms.
func TestKeyVerifiesOnlyItsOwnAlgorithms(t *testing.T) {
	for name, signer := range signers() {
		for other := range signers() {
			is := local()
			public := signers()[other]
			is.Keys = set(jwk(public.key.Public(), "k1", ""))
			v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}})
			raw := signed(signer, goodClaims(nil))
			err := verify(v, raw)
			switch {
			case public.key == signer.key:
				require.NoError(t, err, "%s by the key of %s", name, other)
			default:
				require.Error(t, err, "%s by the key of %s", name, other)
			}
			is.Algorithms = []string{name}
			if other != name {
				is.Algorithms = []string{other}
				v = newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}})
				require.ErrorIs(t, verify(v, raw), auth.ErrAlgorithm)
			}
		}
	}
}

type signerOf struct {
	method jwt.SigningMethod
	key    crypto.Signer
}

// signers has a key for each algorithm. The RSA algorithms share one.
var signers = sync.OnceValue(func() map[string]signerOf {
	all := map[string]signerOf{}
	for _, m := range []jwt.SigningMethod{
		jwt.SigningMethodRS256, jwt.SigningMethodRS384, jwt.SigningMethodRS512, jwt.SigningMethodPS256, jwt.SigningMethodPS384, jwt.SigningMethodPS512,
	} {
		all[m.Alg()] = signerOf{m, rsaPrivate()}
	}
	all["ES256"] = signerOf{jwt.SigningMethodES256, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
	all["ES384"] = signerOf{jwt.SigningMethodES384, must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))}
	all["ES512"] = signerOf{jwt.SigningMethodES512, must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	all["EdDSA"] = signerOf{jwt.SigningMethodEdDSA, &boxed{must(ed, err)}}
	return all
})

// fresh returns a new key for an algorithm.
func fresh(name string) crypto.Signer {
	switch name {
	case "ES256":
		return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	case "ES384":
		return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	case "EdDSA":
		_, ed, err := ed25519.GenerateKey(rand.Reader)
		return &boxed{must(ed, err)}
	}
	return must(rsa.GenerateKey(rand.Reader, 2048))
}

// signed is a token of a signer, with the kid k1.
func signed(s signerOf, claims string) string {
	return signedAs(s, fmt.Sprintf(`{"alg":%q,"kid":"k1"}`, s.method.Alg()), claims)
}

func signedAs(s signerOf, header, claims string) string {
	text := b64(header) + "." + b64(claims)
	return text + "." + base64.RawURLEncoding.EncodeToString(must(s.method.Sign(text, s.key)))
}

// boxed holds a key so that keys of bytes can be compared.
type boxed struct{ ed25519.PrivateKey }
