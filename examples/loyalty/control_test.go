package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

// controlled returns the API and the control plane over one store, without a plan and keys.
func controlled(t *testing.T) (api, control http.Handler) {
	t.Helper()
	pool, _, err := userPool(options{})
	require.NoError(t, err)
	o := defaults()
	o.empty = true
	svc, err := newService(o, pool, inMemory(t), accountLimit)
	require.NoError(t, err)
	return svc.api, svc.owner
}

// by signs for the control plane.
func by(t *testing.T, id, secret string) edit {
	signer := signerOf(t, id, secret, "apigateway")
	return func(r *http.Request) { require.NoError(t, signer.Sign(r)) }
}

func signerOf(t *testing.T, id, secret, service string) *sigv4.Signer {
	t.Helper()
	signer, err := sigv4.NewSigner(sigv4.SignerConfig{
		Credentials: func(context.Context) (sigv4.Credentials, error) {
			return sigv4.Credentials{AccessKeyID: id, Secret: sigv4.Secret(secret)}, nil
		},
		Region: region, Service: service,
	})
	require.NoError(t, err)
	return signer
}

func withBody(text string) edit {
	return func(r *http.Request) {
		if text != "" {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
		}
	}
}

// manage sends a request of the owner and returns the answer, which must have the status.
func manage(t *testing.T, control http.Handler, status int, method, target, body string) map[string]any {
	t.Helper()
	res := send(control, method, target, withBody(body), by(t, ownerAccessKey, ownerSecretKey))
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, status, res.StatusCode, string(text))
	var answer map[string]any
	if len(text) > 0 {
		require.NoError(t, json.Unmarshal(text, &answer))
	}
	return answer
}

// The tutorial from nothing: the owner makes a plan and a key, the client uses the day's quota, the owner reads the
// usage and grants an extension.
func TestTutorialFromNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, control := controlled(t)
		plan := manage(t, control, 201, "POST", "/usageplans", `{"name":"RestrictUsage","throttle":{"rateLimit":1,"burstLimit":2},`+
			`"quota":{"limit":10,"offset":0,"period":"DAY"},"apiStages":[{"apiId":"airline-loyalty","stage":"Prod"}]}`)["id"].(string)
		key := manage(t, control, 201, "POST", "/apikeys", `{"name":"partner","enabled":true}`)
		id := key["id"].(string)
		get := func() *http.Response {
			return send(api, http.MethodGet, route, withKey(key["value"].(string)), signed(t, accessKey, secretKey, 0))
		}
		requireAnswer(t, get(), 403, "ForbiddenException", `{"message":"Forbidden"}`)
		manage(t, control, 201, "POST", "/usageplans/"+plan+"/keys", `{"keyId":"`+id+`","keyType":"API_KEY"}`)
		for range 10 {
			requireAnswer(t, get(), 200, "", ok)
			time.Sleep(time.Second)
		}
		requireAnswer(t, get(), 429, "LimitExceededException", `{"message":"Limit Exceeded"}`)

		today := time.Now().UTC().Format(time.DateOnly)
		usage := manage(t, control, 200, "GET", "/usageplans/"+plan+"/usage?keyId="+id+"&startDate="+today+"&endDate="+today, "")
		require.Equal(t, map[string]any{id: []any{[]any{10.0, 0.0}}}, usage["values"])
		patch := `{"patchOperations":[{"op":"replace","path":"/remaining","value":"5"}]}`
		usage = manage(t, control, 200, "PATCH", "/usageplans/"+plan+"/keys/"+id+"/usage", patch)
		require.Equal(t, map[string]any{id: []any{[]any{10.0, 5.0}}}, usage["values"])
		requireAnswer(t, get(), 200, "", ok)

		disable := `{"patchOperations":[{"op":"replace","path":"/enabled","value":"false"}]}`
		manage(t, control, 200, "PATCH", "/apikeys/"+id, disable)
		requireAnswer(t, get(), 403, "ForbiddenException", `{"message":"Forbidden"}`)
	})
}

// The customer's access key is good for the API, and no owner's.
func TestOnlyTheOwnerManages(t *testing.T) {
	_, control := controlled(t)
	for _, tt := range []struct {
		name      string
		edits     []edit
		errorType string
	}{
		{"customer", []edit{by(t, accessKey, secretKey)}, "AccessDeniedException"},
		{"unknown access key", []edit{by(t, "AKIDUNKNOWN", ownerSecretKey)}, "UnrecognizedClientException"},
		{"wrong secret", []edit{by(t, ownerAccessKey, secretKey)}, "InvalidSignatureException"},
		{"signed for the API", []edit{signed(t, ownerAccessKey, ownerSecretKey, 0)}, "InvalidSignatureException"},
		{"unsigned", nil, "MissingAuthenticationTokenException"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res := send(control, http.MethodPost, "/apikeys", append([]edit{withBody(`{"name":"x"}`)}, tt.edits...)...)
			require.Equal(t, http.StatusForbidden, res.StatusCode)
			require.Equal(t, tt.errorType, res.Header.Get("x-amzn-ErrorType"))
		})
	}
	require.Empty(t, manage(t, control, 200, "GET", "/apikeys", "")["item"])
}

// The rate rule's list is for the owner too, on the address of the API.
func TestOnlyTheOwnerReadsWhatIsBlocked(t *testing.T) {
	h, _ := api(t)
	requireAnswer(t, send(h, http.MethodGet, "/owner/limited", signed(t, ownerAccessKey, ownerSecretKey, 0)), 200, "", `[]`)
	res := send(h, http.MethodGet, "/owner/limited", signed(t, accessKey, secretKey, 0))
	require.Equal(t, "UnrecognizedClientException", res.Header.Get("x-amzn-ErrorType"))
}
