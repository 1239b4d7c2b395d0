package main

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/sigv4/session"
	"github.com/tallygate/tallygate/usageplan"
)

// exchange sends a request to the identity pool.
func exchange(t *testing.T, h http.Handler, operation, body string, to any) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, base+"/identities", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", "AWSCognitoIdentityService."+operation)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), to))
}

func signedBy(t *testing.T, c sigv4.Credentials) edit {
	t.Helper()
	signer, err := sigv4.NewSigner(sigv4.SignerConfig{
		Region: region, Credentials: func(context.Context) (sigv4.Credentials, error) { return c, nil },
	})
	require.NoError(t, err)
	return func(r *http.Request) { require.NoError(t, signer.Sign(r)) }
}

// A user who has signed in exchanges the token for temporary credentials, and calls the IAM route with them.
func TestUserCallsTheIAMRoute(t *testing.T) {
	h, given := api(t)
	o := defaults()
	logins := `"Logins":{"` + o.provider() + `":"` + given.valid + `"}`
	var id struct{ IdentityId string }
	exchange(t, h, "GetId", `{"IdentityPoolId":"`+o.identityPool()+`",`+logins+`}`, &id)
	var got struct {
		Credentials struct{ AccessKeyId, SecretKey, SessionToken string }
	}
	exchange(t, h, "GetCredentialsForIdentity", `{"IdentityId":"`+id.IdentityId+`",`+logins+`}`, &got)
	c := sigv4.Credentials{
		AccessKeyID: got.Credentials.AccessKeyId, Secret: sigv4.Secret(got.Credentials.SecretKey),
		SessionToken: sigv4.Secret(got.Credentials.SessionToken),
	}
	requireAnswer(t, send(h, http.MethodGet, route, signedBy(t, c)), 403, "ForbiddenException", `{"message":"Forbidden"}`)
	requireAnswer(t, send(h, http.MethodGet, route, withKey(apiKey), signedBy(t, c)), 200, "", ok)
	c.SessionToken = ""
	requireAnswer(t, send(h, http.MethodGet, route, withKey(apiKey), signedBy(t, c)), 403, "UnrecognizedClientException",
		`{"message":"The security token included in the request is invalid."}`)
}

// sessionsOf returns another node's sessions, which have the same keys because the store is the same.
func sessionsOf(t *testing.T, s store) *session.Keys {
	t.Helper()
	sealing, err := hkdf.Key(sha256.New, []byte(s.pepper), nil, "sessions", 32)
	require.NoError(t, err)
	keys, err := session.New(session.Config{SealingKeys: []sigv4.Secret{sigv4.Secret(sealing)}})
	require.NoError(t, err)
	return keys
}

// The credentials of a role without a policy sign, and may do nothing; those of Member may call the points only.
func TestPolicyOfTheRoleDecides(t *testing.T) {
	o, s := defaults(), inMemory(t)
	pool, _, err := userPool(o)
	require.NoError(t, err)
	c, err := newCallers(o, s, pool)
	require.NoError(t, err)
	guard, err := c.guard(o, usageplan.Stage{API: apiID, Name: stage})
	require.NoError(t, err)
	h := guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, tt := range []struct {
		role, method, path string
		want               int
	}{
		{memberRole, http.MethodGet, route, 200},
		{memberRole, http.MethodGet, "/Prod/other", 403},
		{memberRole, http.MethodDelete, route, 403},
		{"arn:aws:iam::123456789012:role/Other", http.MethodGet, route, 403},
		{"", http.MethodDelete, route, 200}, // as the customer may
	} {
		temporary, err := sessionsOf(t, s).Issue(session.Session{
			Principal: "arn:aws:sts::123456789012:assumed-role/x/y", Role: tt.role, Expires: time.Now().Add(time.Hour),
		})
		require.NoError(t, err)
		if tt.role == "" {
			temporary = sigv4.Credentials{AccessKeyID: accessKey, Secret: secretKey}
		}
		require.Equal(t, tt.want, send(h, tt.method, tt.path, signedBy(t, temporary)).StatusCode, "%s %s %s", tt.role, tt.method, tt.path)
	}
	without, err := sessionsOf(t, s).Issue(session.Session{Principal: "arn:aws:sts::123456789012:assumed-role/x/y", Expires: time.Now().Add(time.Hour)})
	require.NoError(t, err)
	require.Equal(t, 403, send(h, http.MethodGet, route, signedBy(t, without)).StatusCode)
}
