package identitypool_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/identitypool"
)

// FuzzWire: whatever is sent, the answer is AWS's, and without a token nobody gets more than the guests' role.
func FuzzWire(f *testing.F) {
	w := newWorld(f, func(c *identitypool.Config) {
		c.Unauthenticated = guest
		c.Mappings = map[string]identitypool.Mapping{userPool: {TokenRoles: []string{admin}}}
	})
	id := w.getID(f).IdentityId
	for _, body := range []string{
		"", "{}", "null", `{"IdentityPoolId":"` + poolID + `"}`, `{"IdentityId":"` + id + `"}`,
		`{"IdentityId":"` + poolID + `","Logins":{"` + userPool + `":"a.b.c"}}`,
		`{"IdentityId":"` + id + `","Logins":{"a":"b","a":"c"},"CustomRoleArn":"` + admin + `"}`,
		"{\"IdentityId\":\"\xff\"}", `{"IdentityId":"\ud800"}`, `{"Logins":null,"Logins":{}}`, strings.Repeat("[", 100),
	} {
		for _, operation := range []string{"GetId", "GetCredentialsForIdentity", "GetOpenIdToken", "UnlinkIdentity", "x"} {
			f.Add(operation, body)
		}
	}
	f.Fuzz(func(t *testing.T, operation, body string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header["X-Amz-Target"] = []string{"AWSCognitoIdentityService." + operation}
		recorder := httptest.NewRecorder()
		w.pool.ServeHTTP(recorder, r)
		require.LessOrEqual(t, recorder.Body.Len(), 4096)
		var got result
		require.NoError(t, json.Unmarshal(recorder.Body.Bytes(), &got))
		require.NotEmpty(t, recorder.Header().Get("X-Amzn-RequestId"))
		if recorder.Code != http.StatusOK {
			require.Contains(t, []int{400, 413}, recorder.Code)
			require.Regexp(t, `^\w+Exception$`, got.Type)
			return
		}
		require.Regexp(t, `^eu-west-1:[0-9a-f-]{36}$`, got.IdentityId)
		if got.Credentials.AccessKeyId != "" {
			s, err := verify(t, w.sessions, got)
			require.NoError(t, err)
			require.Equal(t, guest, s.Role)
		}
	})
}
