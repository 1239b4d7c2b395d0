package auth_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

// chain is an x5c as issuers write it: certificates in base64 with padding.
var chain = []string{"MIIC5zCCAc+gAwIBAgIBADANBgkqhkiG9w0BAQsFADA=", "MIIC+w=="}

// The members of key sets as issuers publish them, according to their documentation or software, with keys of other
// kinds among them. Each key verifies the token that names it.
func TestPublishedKeySetsVerifyTokens(t *testing.T) {
	signer := signers()
	rs, es256, es384, ed := signer["RS256"], signer["ES256"], signer["ES384"], signer["EdDSA"]
	const encryption = `{"kty":"RSA","use":"enc","alg":"RSA-OAEP","kid":"enc","n":"AQAB","e":"AQAB"}`
	for _, row := range []struct {
		issuer string
		signer signerOf
		alg    string
		key    m
		header m      // in addition to alg and the key's kid
		more   string // other keys of the set
		set    string // members of the set other than keys
	}{
		{"Google", rs, "RS256", m{"use": "sig", "kid": "8bbe81b30fca6f32d1d4a5c2b1d0dc8e3f90ae77", "alg": "RS256"}, m{"typ": "JWT"}, "", ""},
		{"Apple", rs, "RS256", m{"use": "sig", "kid": "FftONTxoEg", "alg": "RS256"}, nil, "", ""},
		{"Microsoft Entra", rs, "RS256", m{"use": "sig", "kid": "jS1Xo1OWDj_52vbwGNgvQO2VzMc", "x5t": "jS1Xo1OWDj_52vbwGNgvQO2VzMc", "cloud_instance_name": "microsoftonline.com", "x5c": chain, "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"}, m{"typ": "JWT", "x5t": "jS1Xo1OWDj_52vbwGNgvQO2VzMc"}, "", ""},
		{"Azure AD B2C", rs, "RS256", m{"use": "sig", "kid": "X5eXk4xyojNFum1kl2Ytv8dlNP4-c57dO6QGTVBwaNk", "nbf": 1493763266}, m{"typ": "JWT"}, "", ""},
		{"Okta", rs, "RS256", m{"use": "sig", "kid": "U5R8cHbGw445Qbq8zVO1PcCpXL8yG6IcovVa3laCoxM", "alg": "RS256", "status": "ACTIVE", "created": "2026-01-01T00:00:00.000Z", "_links": m{"self": m{"href": "https://x"}}}, nil, "", ""},
		{"Auth0", rs, "RS256", m{"use": "sig", "kid": "NkJCQzIyQzRBMEU4NjhGNUU4MzU4RkY0M0ZDQzkwOUQ0Q0VGNUMwQg", "alg": "RS256", "x5t": "NkJCQzIyQzRBMEU4NjhGNUU4MzU4RkY0M0ZDQzkwOUQ0Q0VGNUMwQg", "x5c": chain}, m{"typ": "JWT"}, "", ""},
		{"Cognito", rs, "RS256", m{"use": "sig", "kid": "1234example=", "alg": "RS256"}, nil, "", ""},
		{"Keycloak", rs, "RS256", m{"use": "sig", "kid": "FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE", "alg": "RS256", "x5c": chain, "x5t": "d9wbuuI", "x5t#S256": "8VgHZzjb"}, m{"typ": "JWT"}, encryption, ""},
		{"Keycloak, one kid for both", rs, "RS256", m{"use": "sig", "kid": "enc", "alg": "RS256", "x5c": chain}, m{"typ": "JWT"}, encryption, ""},
		{"Keycloak, ES256", es256, "ES256", m{"use": "sig", "kid": "ec", "alg": "ES256", "x5c": []string{}, "x5t": nil}, m{"typ": "JWT"}, encryption, ""},
		{"AD FS", rs, "RS256", m{"use": "sig", "kid": "bVfzzoHPlZZ5vWZ6-Sl0yVkoXIg", "alg": "RS256", "x5t": "bVfzzoHPlZZ5vWZ6-Sl0yVkoXIg", "x5c": chain}, m{"typ": "JWT", "x5t": "bVfzzoHPlZZ5vWZ6-Sl0yVkoXIg"}, "", ""},
		{"PingFederate", rs, "RS256", m{"use": "sig", "kid": "oTgHqC8tXOmLXOa1", "x5t": "abc", "x5c": chain, "key_ops": null}, m{"pi.atm": "1"}, `{"kty":"EC","kid":"p521","use":"sig","crv":"P-521","x":"AA","y":"AA"}`, ""},
		{"ForgeRock AM", rs, "RS256", m{"use": "sig", "kid": "wU3ifIIaLOUAReRB/FG6eM1P1QM=", "alg": "RS256", "x5t": "5eOfy1Nn2MMIKVRRkq0OgFAw348"}, m{"typ": "JWT", "zip": "NONE", "cty": "JWT"}, `{"kty":"RSA","kid":"wU3ifIIaLOUAReRB/FG6eM1P1QM=","use":"sig","alg":"PS256","n":"AQAB","e":"AQAB"},{"kty":"oct","kid":"h","k":"AQAB","alg":"HS256"},` + encryption, ""},
		{"Zitadel", rs, "RS256", m{"use": "sig", "kid": "317523523523523523", "alg": "RS256"}, nil, "", ""},
		{"Kubernetes", rs, "RS256", m{"use": "sig", "kid": "1Ynx6-Zs5j8lyKnZmtKKzs2rSEbk2Nm4aLaGN8bbW0U", "alg": "RS256"}, nil, `{"use":"sig","kty":"EC","kid":"old","crv":"P-256","alg":"ES256","x":"AA","y":"AA"}`, ""},
		{"GitHub Actions", rs, "RS256", m{"use": "sig", "kid": "cc413527-173f-5a05-976e-9c52b1d7b431", "alg": "RS256", "x5c": chain, "x5t": "NTI"}, m{"typ": "JWT", "x5t": "NTI"}, "", ""},
		{"GitLab", rs, "RS256", m{"use": "sig", "kid": "kewiQq9jiC84CvSsJYOB-N6A8WFLSV20Mb-y7IlWDSQ", "alg": "RS256"}, m{"typ": "JWT"}, "", ""},
		{"Firebase", rs, "RS256", m{"use": "sig", "kid": "a9a1", "alg": "RS256"}, m{"typ": "JWT"}, "", ""},
		{"Salesforce", rs, "RS256", m{"use": "sig", "kid": "218", "alg": "RS256"}, m{"typ": "JWT", "tnk": "core/prod/00D", "ver": "1.0", "tty": "sfdc-core-token"}, "", ""},
		{"LINE", es256, "ES256", m{"use": "sig", "kid": "a2a459aec5b65fa4ddc5b1d5b4a5f1d1", "alg": "ES256"}, m{"typ": "JWT"}, "", ""},
		{"Yahoo", es256, "ES256", m{"use": "sig", "kid": "3466d51f7dd0c780565688c183921816c45889ad", "alg": "ES256"}, nil, `{"alg":"RS256","kid":"x","kty":"RSA","use":"sig","e":"AQAB","n":"AQAB"}`, ""},
		{"Twitch", rs, "RS256", m{"use": "sig", "kid": "1", "alg": "RS256"}, m{"typ": "JWT"}, "", ""},
		{"Curity", rs, "RS256", m{"use": "sig", "kid": "-38074812", "alg": "RS256", "x5t": "MR-pGTa866RdZLjN6Vwrfay907g"}, m{"x5t": "MR-pGTa866RdZLjN6Vwrfay907g"}, "", ""},
		{"IdentityServer", rs, "RS256", m{"use": "sig", "kid": "91DE4EFBB0C6CB1CE1A1FEEC9BF6B0E3RS256", "alg": "RS256", "x5t": "kd5O-7DGyxzhof7sm_aw4w", "x5c": chain}, m{"typ": "at+jwt", "x5t": "kd5O-7DGyxzhof7sm_aw4w"}, "", ""},
		{"IdentityServer, members null", rs, "RS256", m{"use": "sig", "kid": "D", "alg": "RS256", "x5t": null, "x5c": null, "x": null, "y": null, "crv": null}, m{"typ": "at+jwt"}, "", ""},
		{"Ory Hydra", rs, "RS256", m{"use": "sig", "kid": "public:hydra.openid.id-token", "alg": "RS256"}, m{"typ": "JWT"}, "", ""},
		{"FusionAuth", rs, "RS256", m{"use": "sig", "kid": "fuQS6GAlyz7AT9Ch", "alg": "RS256", "x5c": chain, "x5t": "fuQ", "x5t#S256": "Zr4", "x5t_s256": "Zr4"}, m{"typ": "JWT", "gty": []string{"password"}}, "", ""},
		{"AWS STS", es384, "ES384", m{"use": "sig", "kid": "EC384_0", "alg": "ES384"}, m{"typ": "JWT"}, "", ""},
		{"EKS", rs, "RS256", m{"use": "sig", "kid": "d1b5a3", "alg": "RS256"}, nil, "", ""},
		{"Cloudflare Access", rs, "RS256", m{"use": "sig", "kid": "1a1c3986a44ce6390be42ec772b031df8f433fdc71716db821dc0c39af3bce49", "alg": "RS256"}, nil, "", `,"public_cert":{"kid":"x","cert":"-----BEGIN CERTIFICATE-----\n"},"public_certs":[{"kid":"x"}]`},
		{"Google IAP", es256, "ES256", m{"use": "sig", "kid": "f9R3yg", "alg": "ES256"}, nil, "", ""},
		{"Supabase", es256, "ES256", m{"use": "sig", "kid": "8f8f", "alg": "ES256", "key_ops": []string{"verify"}, "ext": true}, m{"typ": "JWT"}, "", ""},
		{"Clerk", rs, "RS256", m{"use": "sig", "kid": "ins_2", "alg": "RS256"}, m{"typ": "JWT", "cat": "cl_B7d4PD111AAA"}, "", ""},
		{"Better Auth", ed, "EdDSA", m{"kid": "c5c7995d-0037-4553-8aee-b5b620b89b23", "alg": "EdDSA"}, nil, "", ""},
		{"authentik", rs, "RS256", m{"use": "sig", "kid": "b4", "alg": "RS256", "x5c": chain, "x5t": "T1", "x5t#S256": "T2"}, m{"typ": "JWT"}, "", ""},
		{"Dex", rs, "RS256", m{"use": "sig", "kid": "6d8e", "alg": "RS256"}, nil, "", ""},
		{"Spring Authorization Server", rs, "RS256", m{"kid": "0e4e"}, nil, "", ""},
		{"Nimbus", rs, "RS256", m{"use": "sig", "kid": "n", "alg": "RS256", "exp": int64(4102444800), "nbf": 1, "iat": 1, "key_ops": []string{"verify", "sign"}, "revoked": null}, nil, "", ""},
		{"PingOne", rs, "RS256", m{"use": "sig", "kid": "default", "x5t": "q", "x5c": chain}, m{}, "", ""},
		{"a kid of many bytes", rs, "RS256", m{"kid": strings.Repeat("k", 1000)}, nil, "", ""},
		{"a kid beyond ASCII", rs, "RS256", m{"kid": "schlüssel 🔑 \"1\" \\ \u0000"}, nil, "", ""},
		{"a kid that is a URL", rs, "RS256", m{"kid": "https://x.example/keys/1?a=b#c"}, nil, "", ""},
	} {
		if row.more != "" {
			row.more = "," + row.more
		}
		keys := fmt.Sprintf(`{"keys":[%s%s]%s}`, member(row.signer.key.Public(), row.key), row.more, row.set)
		header := m{"alg": row.alg, "kid": row.key["kid"]}
		maps.Copy(header, row.header)
		raw := signedAs(row.signer, string(must(json.Marshal(header))), goodClaims(m{"exp": int64(4102444800)}))
		v, err := auth.New(auth.Config{Issuers: []auth.Issuer{keyed([]byte(keys))}})
		require.NoError(t, err, row.issuer)
		require.NoError(t, verify(v, raw), row.issuer)
		synctest.Test(t, func(t *testing.T) {
			v := over(t, wire{"issuer.example": serving(func() []byte { return []byte(keys) })})
			require.NoError(t, verify(v, raw), row.issuer)
		})
	}
}
