package auth_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

const (
	albARN = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/my-load-balancer/50dc6c495c0c9188"
	albKID = "e38c2a2d-bf84-4c42-ba20-ad9eedfa9a47"
	albURL = "https://public-keys.auth.elb.eu-west-1.amazonaws.com/"
)

// albToken is what a load balancer sends in X-Amzn-Oidc-Data. Its segments are padded, its header has more members than
// others, and its claims are the answer of the user info endpoint. A nil value leaves a member out.
func albToken(header, claims map[string]any) string { return albSigned("ES256", header, claims, true) }

func albSigned(name string, header, claims map[string]any, padded bool) string {
	exp := time.Now().Add(time.Hour).Unix() // minutes in reality, which a slow machine may need
	h := map[string]any{
		"typ": "JWT", "kid": albKID, "alg": name, "iss": issURL, "client": client, "signer": albARN, "exp": exp,
	}
	c := map[string]any{
		"sub": "1234567890", "name": "name", "email": "alias@example.com", "email_verified": "true", "username": "julianwood",
		"exp": exp, "iss": issURL,
	}
	maps.Copy(h, header)
	maps.Copy(c, claims)
	encode := base64.RawURLEncoding.EncodeToString
	if padded {
		encode = base64.URLEncoding.EncodeToString
	}
	text := func(m map[string]any) string {
		maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
		return encode(must(json.Marshal(m)))
	}
	s := signers()[name]
	signed := text(h) + "." + text(c)
	return signed + "." + encode(must(s.method.Sign(signed, s.key)))
}

// balancer is a load balancer with a fixed key.
func balancer() auth.Issuer {
	is := auth.ALB(albARN, issURL, client)
	is.Keys = set(jwk(signers()["ES256"].key.Public(), albKID, ""), jwk(rsaPrivate().Public(), albKID, "RS256"))
	return is
}

// The header of a load balancer's token decides whose it is, and padding is accepted if it is complete.
func TestALBAcceptsOnlyItsOwnTokens(t *testing.T) {
	now := time.Now()
	padding := func(edit func(segments []string)) string {
		segments := strings.Split(albToken(nil, nil), ".")
		edit(segments)
		return strings.Join(segments, ".")
	}
	for _, row := range []struct {
		name, raw string
		want      error
	}{
		{"as sent", albToken(nil, nil), nil},
		{"without padding", albSigned("ES256", nil, nil, false), nil},
		{"claims without iss and exp", albToken(nil, map[string]any{"iss": nil, "exp": nil}), nil},
		{"a signature without its padding", padding(func(s []string) { s[2] = strings.TrimRight(s[2], "=") }), nil},

		{"another load balancer", albToken(map[string]any{"signer": strings.Replace(albARN, "123456789012", "210987654321", 1)}, nil), auth.ErrIssuer},
		{"a longer ARN", albToken(map[string]any{"signer": albARN + "0"}, nil), auth.ErrIssuer},
		{"no signer", albToken(map[string]any{"signer": nil}, nil), auth.ErrIssuer},
		{"a signer among claims", albToken(map[string]any{"signer": nil}, map[string]any{"signer": albARN}), auth.ErrIssuer},
		{"a signer that is not a string", albToken(map[string]any{"signer": []string{albARN}}, nil), auth.ErrIssuer},
		{"another issuer", albToken(map[string]any{"iss": plain}, map[string]any{"iss": plain}), auth.ErrIssuer},
		{"another issuer in the header", albToken(map[string]any{"iss": plain}, nil), auth.ErrIssuer},
		{"another issuer in the claims", albToken(nil, map[string]any{"iss": plain}), auth.ErrIssuer},
		{"no issuer in the header", albToken(map[string]any{"iss": nil}, nil), auth.ErrIssuer},
		{"another client", albToken(map[string]any{"client": "x"}, nil), auth.ErrOtherAudience},
		{"no client", albToken(map[string]any{"client": nil}, nil), auth.ErrOtherAudience},
		{"a client among claims", albToken(map[string]any{"client": nil}, map[string]any{"client": client, "client_id": client, "aud": client, "azp": client}), auth.ErrOtherAudience},
		{"no exp in the header", albToken(map[string]any{"exp": nil}, nil), auth.ErrMalformed},
		{"an exp that is no number", albToken(map[string]any{"exp": "4102444800"}, nil), auth.ErrMalformed},
		{"expired", albToken(map[string]any{"exp": now.Add(-time.Minute).Unix()}, map[string]any{"exp": nil}), auth.ErrExpired},
		{"expired by the header", albToken(map[string]any{"exp": now.Add(-time.Minute).Unix()}, nil), auth.ErrExpired},
		{"expired by the claims", albToken(nil, map[string]any{"exp": now.Add(-time.Minute).Unix()}), auth.ErrExpired},
		{"another algorithm", albSigned("RS256", nil, nil, true), auth.ErrAlgorithm},
		{"another kid", albToken(map[string]any{"kid": "00000000-bf84-4c42-ba20-ad9eedfa9a47"}, nil), auth.ErrKey},

		{"half the padding", padding(func(s []string) { s[2] = strings.TrimSuffix(s[2], "=") }), auth.ErrMalformed},
		{"more padding", padding(func(s []string) { s[2] += "==" }), auth.ErrMalformed},
		{"a group of padding", padding(func(s []string) { s[2] += "====" }), auth.ErrMalformed},
		{"padding within", padding(func(s []string) { s[2] = s[2][:4] + "==" + s[2][4:] }), auth.ErrMalformed},
		{"padding alone", padding(func(s []string) { s[2] = "==" }), auth.ErrMalformed},
		{"another alphabet", padding(func(s []string) { s[2] = "+/" + s[2][2:] }), auth.ErrMalformed},
		{"a line break", padding(func(s []string) { s[2] += "\n" }), auth.ErrMalformed},
		{"another signature", padding(func(s []string) { s[2] = base64.URLEncoding.EncodeToString(make([]byte, 64)) }), auth.ErrForged},
		{"claims changed", padding(func(s []string) { s[1] = base64.URLEncoding.EncodeToString([]byte(`{"sub":"x"}`)) }), auth.ErrForged},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{balancer()}})
			for range 2 {
				require.ErrorIs(t, verify(v, row.raw), row.want)
			}
		})
	}
	got := must(newVerifier(t, auth.Config{Issuers: []auth.Issuer{balancer()}}).VerifyToken(t.Context(), albToken(map[string]any{"exp": int64(4102444800)}, map[string]any{"iss": nil, "exp": nil})))
	require.Equal(t, []string{issURL + " 1234567890", issURL, client, "julianwood", ""}, []string{got.ID, got.Issuer, got.Client, got.Username, got.Use})
	require.Equal(t, time.Unix(4102444800, 0).UTC(), got.Expiry)
}

// One verifier may accept a load balancer and the issuer behind it. Padding is accepted only from the load balancer,
// and the issuer's own tokens are not accepted as the load balancer's.
func TestALBAndItsIssuerAreToldApart(t *testing.T) {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{balancer(), cognito(), local()}})
	require.NoError(t, verify(v, albToken(nil, nil)))
	require.NoError(t, verify(v, must(poolIssuer().AccessToken(julian))))
	require.NoError(t, verify(v, rs256(`{"alg":"RS256","kid":"k1","signer":1,"iss":[],"client":{},"exp":"x"}`, goodClaims(nil))), "members that another issuer may use as it likes")
	require.ErrorIs(t, verify(v, albToken(map[string]any{"signer": nil}, nil)), auth.ErrMalformed)
	digestless := base64.URLEncoding.EncodeToString([]byte(goodHeader+"  ")) + "." + base64.URLEncoding.EncodeToString([]byte(goodClaims(nil)+" "))
	require.Contains(t, digestless, "=")
	require.ErrorIs(t, verify(v, signRS256(digestless)), auth.ErrMalformed, "padding of another issuer")
	require.ErrorIs(t, verify(localVerifier(t), signRS256(digestless)), auth.ErrMalformed)
}

func TestALBSettingsAreChecked(t *testing.T) {
	for region, want := range map[string]string{
		"eu-west-1":      "https://public-keys.auth.elb.eu-west-1.amazonaws.com",
		"us-gov-west-1":  "https://s3-us-gov-west-1.amazonaws.com/aws-elb-public-keys-prod-us-gov-west-1",
		"us-gov-east-1":  "https://s3-us-gov-east-1.amazonaws.com/aws-elb-public-keys-prod-us-gov-east-1",
		"cn-north-1":     "https://public-keys.auth.elb.cn-north-1.amazonaws.com.cn",
		"eusc-de-east-1": "https://public-keys.auth.elb.eusc-de-east-1.amazonaws.eu",
		"xx-east-1":      "",
	} {
		is := auth.ALB(strings.Replace(albARN, "eu-west-1", region, 1), issURL, client)
		_, err := auth.New(auth.Config{Issuers: []auth.Issuer{is}})
		if want == "" {
			require.ErrorContains(t, err, "no partition")
			continue
		}
		require.NoError(t, err)
		require.Equal(t, want, is.JWKS)
	}
	for _, arn := range []string{"", "x", albARN + "/", "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/net/x/50dc6c495c0c9188", "arn:aws:s3:eu-west-1:123456789012:loadbalancer/app/x/50dc6c495c0c9188", "arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/x/50dc6c495c0c9188", "arn:aws:elasticloadbalancing:evil.example/:123456789012:loadbalancer/app/x/50dc6c495c0c9188"} {
		_, err := auth.New(auth.Config{Issuers: []auth.Issuer{auth.ALB(arn, issURL, client)}})
		require.ErrorContains(t, err, "is not the ARN", arn)
	}
	_, err := auth.New(auth.Config{Issuers: []auth.Issuer{balancer(), balancer()}})
	require.ErrorContains(t, err, "is named twice")
	other := balancer()
	other.URL = plain
	newVerifier(t, auth.Config{Issuers: []auth.Issuer{balancer(), other}}) // one load balancer, two listeners
	_, err = auth.New(auth.Config{Issuers: []auth.Issuer{auth.ALB(albARN, issURL)}})
	require.ErrorContains(t, err, "no audience is accepted")
}

// albKeys answers like the host of the load balancers' public keys.
type albKeys struct {
	mu    sync.Mutex
	known map[string]string // by URL
	asked []string
}

func (k *albKeys) RoundTrip(r *http.Request) (*http.Response, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked = append(k.asked, r.URL.String())
	text, ok := k.known[r.URL.String()]
	status := http.StatusOK
	if !ok {
		status = http.StatusForbidden // as S3 answers if there is no such object
	}
	return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Body: io.NopCloser(strings.NewReader(text)), Header: http.Header{}}, nil
}

func spki(public any) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(public))}))
}

// The key of a kid is fetched once, as PEM, from the host of the load balancer's Region.
func TestALBKeyIsFetchedOnce(t *testing.T) {
	key := signers()["ES256"].key.Public().(*ecdsa.PublicKey)
	const other = "00000000-0000-4000-8000-000000000000"
	keys := &albKeys{known: map[string]string{albURL + albKID: spki(key), albURL + other: spki(key)}}
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{auth.ALB(albARN, issURL, client)}, Transport: keys, Source: func(r *http.Request) (string, bool) {
		token := r.Header.Get("X-Amzn-Oidc-Data")
		return token, token != ""
	}})
	require.NoError(t, v.Prefetch(t.Context()), "which key will be needed is not known before")
	require.Empty(t, keys.asked)
	for _, kid := range []string{albKID, other, albKID, other} {
		raw := albToken(map[string]any{"kid": kid}, nil)
		for range 2 {
			require.Equal(t, 200, call(v.Handler(ok), "/", "X-Amzn-Oidc-Data", raw).Code)
		}
	}
	require.Equal(t, []string{albURL + albKID, albURL + other}, keys.asked)
	for _, kid := range []string{"x", "../" + albKID, strings.ToUpper(albKID), albKID + "/", albKID + "?"} {
		require.ErrorIs(t, verify(v, albToken(map[string]any{"kid": kid}, nil)), auth.ErrKey, kid)
	}
	require.ErrorIs(t, verify(v, albToken(map[string]any{"kid": nil}, nil)), auth.ErrKey)
	require.ErrorIs(t, verify(v, albToken(map[string]any{"signer": albARN + "0", "kid": "11111111-0000-4000-8000-000000000000"}, nil)), auth.ErrIssuer)
	require.Len(t, keys.asked, 2, "what may not become a URL, or is not the load balancer's, is not fetched")
}

// Only a public key of P-256 in PEM is a key.
func TestALBKeyMustBeP256InPEM(t *testing.T) {
	key := signers()["ES256"].key.Public()
	for name, text := range map[string]string{
		"empty": "", "JSON": string(set(jwk(key, albKID, ""))), "RSA": spki(rsaPrivate().Public()), "P-384": spki(signers()["ES384"].key.Public()),
		"another type": strings.ReplaceAll(spki(key), "PUBLIC KEY", "CERTIFICATE"), "two": spki(key) + spki(key), "broken": spki(key)[:80] + "\n-----END PUBLIC KEY-----\n",
	} {
		v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{auth.ALB(albARN, issURL, client)}, Transport: &albKeys{known: map[string]string{albURL + albKID: text}}})
		require.ErrorIs(t, verify(v, albToken(nil, nil)), auth.ErrUnavailable, name)
	}
}

// A flood of forged kids costs at most eight fetches a second, and does not drop the keys in use.
func TestALBFloodOfForgedKidsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := &albKeys{known: map[string]string{albURL + albKID: spki(signers()["ES256"].key.Public())}}
		v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{auth.ALB(albARN, issURL, client)}, Transport: keys, CacheBytes: -1})
		require.NoError(t, verify(v, albToken(nil, nil)))
		forged := func(n int) string {
			return albToken(map[string]any{"kid": fmt.Sprintf("%08x-0000-4000-8000-000000000000", n)}, nil)
		}
		for n := range 100 {
			require.ErrorIs(t, verify(v, forged(n)), auth.ErrUnavailable)
		}
		require.Len(t, keys.asked, 8)
		require.NoError(t, verify(v, albToken(nil, nil)))
		time.Sleep(time.Second)
		const late = "ffffffff-0000-4000-8000-000000000000"
		keys.known[albURL+late] = keys.known[albURL+albKID]
		require.NoError(t, verify(v, albToken(map[string]any{"kid": late}, nil)), "a new key takes the place of one that is none")
		for n := range 100 {
			require.ErrorIs(t, verify(v, forged(n)), auth.ErrUnavailable)
		}
		require.LessOrEqual(t, len(keys.asked), 16)
		for _, kid := range []string{albKID, late} {
			require.NoError(t, verify(v, albToken(map[string]any{"kid": kid}, nil)))
		}
	})
}

// Keys that are due are still in use. A flood of forged kids that arrives first does not take their place.
func TestALBFloodKeepsKeysThatAreDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := &albKeys{known: map[string]string{albURL + albKID: spki(signers()["ES256"].key.Public())}}
		v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{auth.ALB(albARN, issURL, client)}, Transport: keys, CacheBytes: -1})
		require.NoError(t, verify(v, albToken(nil, nil)))
		for _, pause := range []time.Duration{0, 15 * time.Minute, time.Hour} {
			time.Sleep(pause)
			forgedKIDs(t, v)
			require.NoError(t, verify(v, albToken(nil, nil)), "after %v", pause)
			time.Sleep(2 * time.Second)
		}
	})
}

// forgedKIDs presents more unknown keys than there is room for.
func forgedKIDs(t *testing.T, v *auth.Verifier) {
	t.Helper()
	for n := range 20 {
		raw := albToken(map[string]any{"kid": fmt.Sprintf("%08x-0000-4000-8000-000000000000", n)}, nil)
		require.ErrorIs(t, verify(v, raw), auth.ErrUnavailable)
	}
}

// When a key is dropped to make room, the tokens that it signed are forgotten too: the key may have changed when it is
// fetched again.
func TestALBDroppedKeyInvalidatesItsTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := &albKeys{known: map[string]string{albURL + albKID: spki(signers()["ES256"].key.Public())}}
		v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{auth.ALB(albARN, issURL, client)}, Transport: keys})
		long := map[string]any{"exp": time.Now().Add(100 * time.Hour).Unix()}
		raw := albToken(long, long)
		require.NoError(t, verify(v, raw))
		time.Sleep(5 * time.Hour)
		forgedKIDs(t, v)
		time.Sleep(2 * time.Second)
		keys.known[albURL+albKID] = spki(fresh("ES256").Public())
		require.ErrorIs(t, verify(v, raw), auth.ErrForged)
	})
}

func ExampleALB() {
	balancer := auth.ALB("arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/my-load-balancer/50dc6c495c0c9188",
		"https://login.example", "3fe6quse1kki13s6nebi0ncnin")
	v, err := auth.New(auth.Config{
		Issuers: []auth.Issuer{balancer},
		Source: func(r *http.Request) (string, bool) {
			token := r.Header.Get("X-Amzn-Oidc-Data")
			return token, token != ""
		},
	})
	fmt.Println(balancer.JWKS, err)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	fmt.Println(v.Present(r))
	r.Header.Set("X-Amzn-Oidc-Data", "eyJ0eXAiOiJKV1Qi…")
	fmt.Println(v.Present(r))
	// Output:
	// https://public-keys.auth.elb.eu-west-1.amazonaws.com <nil>
	// false
	// true
}

// FuzzPEM checks that a text gives one key or an error.
func FuzzPEM(f *testing.F) {
	f.Add(spki(signers()["ES256"].key.Public()))
	f.Add(spki(rsaPrivate().Public()))
	f.Add("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n")
	f.Fuzz(func(t *testing.T, text string) {
		n, err := auth.ParsePEM(text)
		require.Equal(t, err == nil, n == 1)
	})
}
