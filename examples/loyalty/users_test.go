package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A user signs up in the demo pool, signs in, and calls the API with the token.
func TestUserSignsUpAndCalls(t *testing.T) {
	h, given := api(t)
	h = withUsers(given.users, h)
	call := func(operation, body string) map[string]any {
		r := httptest.NewRequest(http.MethodPost, base+"/", strings.NewReader(body))
		r.Header.Set("X-Amz-Target", "AWSCognitoIdentityProviderService."+operation)
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=…")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		var answer map[string]any
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
		return answer
	}
	const ferry = `"ClientId":"` + demoClient + `","Username":"ferry"`
	sub := call("SignUp", `{`+ferry+`,"Password":"Correct-horse-9"}`)["UserSub"]
	mail, err := io.ReadAll(send(h, http.MethodGet, "/"+demoPool+"/mail/ferry").Body)
	require.NoError(t, err)
	call("ConfirmSignUp", `{`+ferry+`,"ConfirmationCode":"`+strings.TrimSpace(string(mail))+`"}`)
	me := func() *http.Response {
		result := call("InitiateAuth", `{"ClientId":"`+demoClient+`","AuthFlow":"USER_PASSWORD_AUTH","AuthParameters":{"USERNAME":"ferry","PASSWORD":"Correct-horse-9"}}`)
		return send(h, http.MethodGet, "/Prod/me", bearer(result["AuthenticationResult"].(map[string]any)["IdToken"].(string)))
	}
	requireAnswer(t, me(), 200, "", `{"sub":"`+sub.(string)+`","groups":[],"token_use":"id"}`)
	call("AdminAddUserToGroup", `{"UserPoolId":"`+demoPool+`","Username":"ferry","GroupName":"loyalty"}`)
	requireAnswer(t, me(), 200, "", `{"sub":"`+sub.(string)+`","groups":["loyalty"],"token_use":"id"}`)

	keys := send(h, http.MethodGet, "/"+demoPool+"/.well-known/jwks.json")
	require.Equal(t, http.StatusOK, keys.StatusCode)
}

// What is not for the pool is for the API, and with a real pool everything is.
func TestPoolHidesNothingOfTheAPI(t *testing.T) {
	h, given := api(t)
	target := func(r *http.Request) { r.Header.Set("X-Amz-Target", "AWSCognitoIdentityProviderService.SignUp") }
	const missing = `{"message":"Missing Authentication Token"}`
	for _, tt := range []struct {
		method, path string
		edits        []edit
	}{
		{http.MethodGet, "/", nil},
		{http.MethodPost, "/", nil},
		{http.MethodPost, "/Prod/me", []edit{target}},
		{http.MethodGet, "//Prod/me", nil},
		{http.MethodPost, "/" + demoPool + "/mail/ferry", []edit{target}},
		{http.MethodGet, "/" + demoPool, nil},
	} {
		requireAnswer(t, send(withUsers(given.users, h), tt.method, tt.path, tt.edits...), 403, "MissingAuthenticationTokenException", missing)
	}
	requireAnswer(t, send(withUsers(nil, h), http.MethodPost, "/", target), 403, "MissingAuthenticationTokenException", missing)
}
