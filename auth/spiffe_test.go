package auth_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/MicahParks/jwkset"
	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

const (
	trustDomain = "spiffe://example.org"
	workload    = "spiffe://example.org/ns/payments/sa/api"
)

// bundleKey is a key with a use, as in a SPIFFE bundle.
func bundleKey(s signerOf, kid, use string) map[string]any {
	key := map[string]any{}
	marshal := must(jwkset.NewJWKFromKey(s.key.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: kid}})).Marshal()
	if err := json.Unmarshal(must(json.Marshal(marshal)), &key); err != nil {
		panic(err)
	}
	if use != "" {
		key["use"] = use
	}
	return key
}

// bundle is a trust domain's bundle as SPIRE serves it: it has a key for each type of SVID and members of its own.
func bundle() []byte {
	all := signers()
	return must(json.Marshal(map[string]any{
		"keys": []any{
			bundleKey(all["ES384"], "", "x509-svid"),
			bundleKey(all["ES256"], "C6vs25welZOx6WksNYfbMfiw9l96pMnD", "jwt-svid"),
			bundleKey(all["EdDSA"], "ed", "jwt-svid"),
			bundleKey(all["ES512"], "plain", ""),
			bundleKey(all["ES384"], "sig", "sig"),
		},
		"spiffe_sequence": 12035488, "spiffe_refresh_hint": 2419200,
	}))
}

func spiffe() auth.Issuer {
	return auth.Issuer{URL: trustDomain, Audiences: []string{"reports"}, Keys: bundle()}
}

// svid is a JWT-SVID as SPIRE makes it: sub, aud, exp and iat, no iss.
func svid(header string, claims map[string]any) string {
	all := map[string]any{"iss": nil, "sub": workload, "aud": []string{"reports"}, "iat": 1_700_000_000}
	maps.Copy(all, claims)
	return signedAs(signers()["ES256"], header, goodClaims(all))
}

const svidHeader = `{"alg":"ES256","kid":"C6vs25welZOx6WksNYfbMfiw9l96pMnD","typ":"JWT"}`

func TestJWTSVIDMustFitItsTrustDomain(t *testing.T) {
	all := signers()
	sub := func(id string) string { return svid(svidHeader, map[string]any{"sub": id}) }
	for _, row := range []struct {
		name, raw string
		want      error
	}{
		{"as made", svid(svidHeader, nil), nil},
		{"typ JOSE", svid(strings.Replace(svidHeader, "JWT", "JOSE", 1), nil), nil},
		{"no typ", svid(`{"alg":"ES256","kid":"C6vs25welZOx6WksNYfbMfiw9l96pMnD"}`, nil), nil},
		{"no kid", svid(`{"alg":"ES256","typ":"JOSE"}`, nil), nil},
		{"one audience as text", svid(svidHeader, map[string]any{"aud": "reports"}), nil},
		{"one of two audiences", svid(svidHeader, map[string]any{"aud": []string{"x", "reports"}}), nil},
		{"iss of the trust domain", svid(svidHeader, map[string]any{"iss": trustDomain}), nil},
		{"a workload of one segment", sub(trustDomain + "/w"), nil},
		{"a workload with capitals", sub(trustDomain + "/Ns/A-b_c.d"), nil},

		{"at+jwt", svid(strings.Replace(svidHeader, "JWT", "at+jwt", 1), map[string]any{"client_id": "c", "jti": "j"}), auth.ErrMalformed},
		{"a type unknown", svid(strings.Replace(svidHeader, "JWT", "wit+jwt", 1), nil), auth.ErrMalformed},
		{"no aud", svid(svidHeader, map[string]any{"aud": nil}), auth.ErrOtherAudience},
		{"an empty aud", svid(svidHeader, map[string]any{"aud": []string{}}), auth.ErrOtherAudience},
		{"another aud", svid(svidHeader, map[string]any{"aud": "x"}), auth.ErrOtherAudience},
		{"no aud, a client", svid(svidHeader, map[string]any{"aud": nil, "client_id": "reports", "azp": "reports"}), auth.ErrOtherAudience},
		{"no exp", svid(svidHeader, map[string]any{"exp": nil}), auth.ErrMalformed},
		{"expired", svid(svidHeader, map[string]any{"exp": 1_700_000_300}), auth.ErrExpired},
		{"no sub", svid(svidHeader, map[string]any{"sub": nil}), auth.ErrIssuer},
		{"an iss that is not known", svid(svidHeader, map[string]any{"iss": "https://oidc.example.org"}), auth.ErrIssuer},
		{"another trust domain", sub("spiffe://other.org/w"), auth.ErrIssuer},
		{"a longer trust domain", sub("spiffe://example.org.evil/w"), auth.ErrIssuer},
		{"a user of the trust domain", sub("spiffe://evil@example.org/w"), auth.ErrIssuer},
		{"a port of the trust domain", sub("spiffe://example.org:443/w"), auth.ErrIssuer},
		{"a trust domain in capitals", sub("spiffe://Example.org/w"), auth.ErrIssuer},
		{"a scheme in capitals", sub("SPIFFE://example.org/w"), auth.ErrIssuer},
		{"https", sub("https://example.org/w"), auth.ErrIssuer},
		{"iss of the trust domain, sub of another", svid(svidHeader, map[string]any{"iss": trustDomain, "sub": "spiffe://other.org/w"}), auth.ErrIssuer},
		{"iss of the trust domain, a plain sub", svid(svidHeader, map[string]any{"iss": trustDomain, "sub": "w"}), auth.ErrIssuer},
		{"the trust domain itself", sub(trustDomain), auth.ErrMalformed},
		{"a slash alone", sub(trustDomain + "/"), auth.ErrMalformed},
		{"a slash at the end", sub(workload + "/"), auth.ErrMalformed},
		{"an empty segment", sub(trustDomain + "/a//b"), auth.ErrMalformed},
		{"a segment of one dot", sub(trustDomain + "/a/./b"), auth.ErrMalformed},
		{"a segment of two dots", sub(trustDomain + "/a/../b"), auth.ErrMalformed},
		{"an escape", sub(trustDomain + "/a%2Fb"), auth.ErrMalformed},
		{"a query", sub(trustDomain + "/a?b"), auth.ErrMalformed},
		{"a space", sub(trustDomain + "/a b"), auth.ErrMalformed},
		{"too long", sub(trustDomain + "/" + strings.Repeat("a", 2048)), auth.ErrMalformed},

		{"EdDSA is none of the algorithms", signedAs(all["EdDSA"], `{"alg":"EdDSA","kid":"ed"}`, goodClaims(map[string]any{"iss": nil, "sub": workload, "aud": "reports"})), auth.ErrAlgorithm},
		{"a key for X.509", signedAs(all["ES384"], `{"alg":"ES384"}`, goodClaims(map[string]any{"iss": nil, "sub": workload, "aud": "reports"})), auth.ErrKey},
		{"a key for signatures", signedAs(all["ES384"], `{"alg":"ES384","kid":"sig"}`, goodClaims(map[string]any{"iss": nil, "sub": workload, "aud": "reports"})), auth.ErrKey},
		{"a key without use", signedAs(all["ES512"], `{"alg":"ES512","kid":"plain"}`, goodClaims(map[string]any{"iss": nil, "sub": workload, "aud": "reports"})), auth.ErrKey},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{spiffe()}})
			for range 2 {
				require.ErrorIs(t, verify(v, row.raw), row.want)
			}
		})
	}
	got := must(newVerifier(t, auth.Config{Issuers: []auth.Issuer{spiffe()}}).VerifyToken(t.Context(), svid(svidHeader, nil)))
	require.Equal(t, trustDomain+" "+workload, got.ID)
	require.Empty(t, got.Issuer)
}

// SPIRE can write an iss of its own, which is then an alias. AllowAnyAudience still demands an audience.
func TestSPIFFEOptionsKeepTheTrustDomain(t *testing.T) {
	is := spiffe()
	is.Aliases = []string{"https://oidc.example.org"}
	is.AllowAnyAudience = true
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}})
	got := must(v.VerifyToken(t.Context(), svid(svidHeader, map[string]any{"iss": "https://oidc.example.org", "aud": "x"})))
	require.Equal(t, trustDomain+" "+workload, got.ID, "one user under either name")
	require.ErrorIs(t, verify(v, svid(svidHeader, map[string]any{"iss": "https://oidc.example.org", "sub": "spiffe://other.org/w"})), auth.ErrIssuer)
	require.ErrorIs(t, verify(v, svid(svidHeader, map[string]any{"aud": nil})), auth.ErrOtherAudience)
}

// Each of two trust domains has its own bundle, and neither signs for the other. The tokens of other issuers are not
// affected.
func TestTrustDomainsDoNotSignForEachOther(t *testing.T) {
	other := auth.Issuer{URL: "spiffe://other.org", Audiences: []string{"reports"}}
	other.Keys = must(json.Marshal(map[string]any{"keys": []any{bundleKey(signerOf{signers()["ES256"].method, fresh("ES256")}, "C6vs25welZOx6WksNYfbMfiw9l96pMnD", "jwt-svid")}}))
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{spiffe(), other, local()}})
	require.NoError(t, verify(v, svid(svidHeader, nil)))
	require.ErrorIs(t, verify(v, svid(svidHeader, map[string]any{"sub": "spiffe://other.org/w"})), auth.ErrForged)
	require.NoError(t, verify(v, rs256(goodHeader, goodClaims(map[string]any{"sub": workload}))), "an issuer may have such subjects")
	require.ErrorIs(t, verify(v, rs256(`{"alg":"RS256","kid":"k1","typ":"JOSE"}`, goodClaims(nil))), auth.ErrMalformed)
	require.ErrorIs(t, verify(v, rs256(goodHeader, goodClaims(map[string]any{"iss": nil}))), auth.ErrIssuer)
	is := local() // a key of a bundle is only for SVIDs
	is.Keys = bundle()
	v = newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}})
	require.ErrorIs(t, verify(v, svid(svidHeader, map[string]any{"iss": plain, "aud": client})), auth.ErrKey)
}

func TestSPIFFESettingsAreChecked(t *testing.T) {
	for _, row := range []struct {
		name string
		edit func(*auth.Issuer)
		want string
	}{
		{"as it should be", func(*auth.Issuer) {}, ""},
		{"a bundle endpoint", func(is *auth.Issuer) { is.Keys, is.JWKS = nil, "https://bundle.example.org/" }, ""},
		{"an http endpoint", func(is *auth.Issuer) { is.Keys, is.JWKS = nil, "http://bundle.example.org/" }, "https"},
		{"neither", func(is *auth.Issuer) { is.Keys = nil }, "no discovery"},
		{"a workload", func(is *auth.Issuer) { is.URL = workload }, "not a SPIFFE trust domain"},
		{"a slash", func(is *auth.Issuer) { is.URL += "/" }, "not a SPIFFE trust domain"},
		{"capitals", func(is *auth.Issuer) { is.URL = "spiffe://Example.org" }, "not a SPIFFE trust domain"},
		{"nothing", func(is *auth.Issuer) { is.URL = "spiffe://" }, "not a SPIFFE trust domain"},
		{"no audience", func(is *auth.Issuer) { is.Audiences = nil }, "no audience is accepted"},
		{"client_id for aud", func(is *auth.Issuer) { is.AllowClientID = true }, "AllowClientID"},
		{"EdDSA", func(is *auth.Issuer) { is.Algorithms = []string{"ES256", "EdDSA"} }, "does not sign JWT-SVIDs"},
		{"keys for other uses", func(is *auth.Issuer) { is.Keys = local().Keys }, "no usable key"},
	} {
		is := spiffe()
		row.edit(&is)
		_, err := auth.New(auth.Config{Issuers: []auth.Issuer{is}})
		if row.want == "" {
			require.NoError(t, err, row.name)
		} else {
			require.ErrorContains(t, err, row.want, row.name)
		}
	}
	_, err := auth.New(auth.Config{Issuers: []auth.Issuer{auth.OIDC(trustDomain, "reports")}})
	require.Error(t, err, "a trust domain is no OpenID provider")
}

type bundleServer struct{}

func (bundleServer) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(string(bundle()))), Header: http.Header{}}, nil
}

func TestSPIFFEBundleIsFetched(t *testing.T) {
	is := spiffe()
	is.Keys, is.JWKS = nil, "https://bundle.example.org/"
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}, Transport: bundleServer{}})
	require.NoError(t, verify(v, svid(svidHeader, nil)))
}

// sub names the trust domain, so it must not occur in another letter case as well.
func TestSPIFFESubjectInAnotherCaseIsRefused(t *testing.T) {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{spiffe(), local()}})
	header := `{"alg":"ES256","kid":"C6vs25welZOx6WksNYfbMfiw9l96pMnD","typ":"JWT"}`
	require.NoError(t, verify(v, svid(header, nil)))
	for _, name := range []string{"Sub", "SUB", "\u017fub"} {
		err := verify(v, svid(header, map[string]any{name: "spiffe://other.example/x"}))
		require.ErrorIs(t, err, auth.ErrMalformed, name)
		require.ErrorContains(t, err, "wrong case")
		require.NoError(t, verify(v, rs256(goodHeader, goodClaims(map[string]any{name: "x"}))), "no issuer's setting looks at it")
	}
}
