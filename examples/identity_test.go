package examples_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/identitypool"
	"github.com/tallygate/tallygate/auth/sts"
	"github.com/tallygate/tallygate/sigv4"
)

// Cognito's classic flow: an identity pool names the caller in a token, and STS gives credentials for it. The trust
// policy says which pool, and whether its users must have signed in.
func TestClassicFlow(t *testing.T) {
	const issuer, role = "https://api.example/pool", "arn:aws:iam::123456789012:role/Member"
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	users, sessions := newPool(t), newSessions(t, nil)
	pool, err := identitypool.New(identitypool.Config{
		ID: identities, IdentityKey: sigv4.Secret(strings.Repeat("i", 32)), Sessions: sessions,
		Tokens: users.verifier(t, wishes{}, nil), Authenticated: role, Unauthenticated: role,
		OpenID: issuer, SigningKeys: []crypto.Signer{key},
	})
	require.NoError(t, err)
	of := auth.OIDC(issuer, identities)
	w := httptest.NewRecorder()
	pool.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/pool/.well-known/jwks_uri", nil))
	of.Keys = w.Body.Bytes()
	tokens, err := auth.New(auth.Config{Issuers: []auth.Issuer{of}})
	require.NoError(t, err)
	v, err := sigv4.NewVerifier(sigv4.VerifierConfig{Keys: sessions.Key, Regions: []string{"eu-west-1"}, Services: []string{"sts"}})
	require.NoError(t, err)
	service, err := sts.New(sts.Config{Verifier: v, Sessions: sessions, Tokens: tokens, Roles: []sts.Role{{ARN: role, Trust: `{
		"Version": "2012-10-17",
		"Statement": {
			"Effect": "Allow",
			"Principal": {"Federated": "api.example/pool"},
			"Action": "sts:AssumeRoleWithWebIdentity",
			"Condition": {
				"StringEquals": {"api.example/pool:aud": "` + identities + `"},
				"ForAnyValue:StringEquals": {"api.example/pool:amr": "authenticated"}
			}
		}
	}`}}})
	require.NoError(t, err)

	ask := func(operation, body string) (got struct{ IdentityId, Token string }) {
		r := httptest.NewRequest(http.MethodPost, "/pool", strings.NewReader(body))
		r.Header.Set("X-Amz-Target", "AWSCognitoIdentityService."+operation)
		w := httptest.NewRecorder()
		pool.ServeHTTP(w, r)
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
		return got
	}
	for logins, want := range map[string]int{`{"issuer.example":"` + users.token(t, "sub", "s") + `"}`: 200, "{}": 403} {
		id := ask("GetId", `{"IdentityPoolId":"`+identities+`","Logins":`+logins+`}`).IdentityId
		token := ask("GetOpenIdToken", `{"IdentityId":"`+id+`","Logins":`+logins+`}`).Token
		form := url.Values{
			"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"},
			"RoleArn": {role}, "RoleSessionName": {"mobile"}, "WebIdentityToken": {token},
		}
		w := httptest.NewRecorder()
		service.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/sts", strings.NewReader(form.Encode())))
		require.Equal(t, want, w.Code, w.Body)
		var answer struct {
			Subject string `xml:"AssumeRoleWithWebIdentityResult>SubjectFromWebIdentityToken"`
		}
		require.NoError(t, xml.Unmarshal(w.Body.Bytes(), &answer))
		require.Equal(t, want == 200, answer.Subject == id)
	}
}
