package function_test

import (
	"encoding/json"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/authtest"
)

const methodARN = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/me"

// API Gateway asks the authorizer, and invokes the API's function if the policy allows it. Both are processes.
func TestAuthorizerLetsUsersIn(t *testing.T) {
	issuer, jwks := served(t)
	f := start(t, build(t, "authorizer"), "ISSUER="+pool, "CLIENT="+appClient, jwks)
	api := start(t, build(t, "loyalty"), "ISSUER="+pool, "CLIENT="+appClient, jwks)
	token, err := issuer.IDToken(authtest.User{Username: "julianwood", Client: appClient, Groups: []string{"a", "b"}})
	require.NoError(t, err)

	got, err := f.invoke(t.Context(), tokenEvent(t, "Bearer "+token))
	require.NoError(t, err)
	require.Nil(t, got.fault)
	var response events.APIGatewayCustomAuthorizerResponse // as API Gateway reads it
	require.NoError(t, json.Unmarshal(got.body, &response))
	require.Contains(t, response.PrincipalID, pool)
	require.Equal(t, map[string]any{"groups": "a b"}, response.Context)
	require.Equal(t, []events.IAMPolicyStatement{{
		Action: []string{"execute-api:Invoke"}, Effect: "Allow",
		Resource: []string{"arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/*"},
	}}, response.PolicyDocument.Statement)

	r := sources[0].request(t, "GET", "/me", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	got, err = api.invoke(t.Context(), sources[0].of(t, r))
	require.NoError(t, err)
	a := answerOf(t, got)
	require.Equal(t, 200, a.StatusCode)
	require.Contains(t, a.Body, `"sub"`)
}

// API Gateway answers the error "Unauthorized" with 401 and any other with 500, which it does not keep.
func TestAuthorizerKeepsOthersOut(t *testing.T) {
	issuer, jwks := served(t)
	f := start(t, build(t, "authorizer"), "ISSUER="+pool, "CLIENT="+appClient, jwks)
	expired, err := issuer.IDToken(authtest.User{Username: "julianwood", Client: appClient, Lifetime: -time.Hour})
	require.NoError(t, err)
	foreign, err := issuer.IDToken(authtest.User{Username: "julianwood", Client: "another"})
	require.NoError(t, err)
	for name, value := range map[string]string{
		"none": "", "no token": "Bearer a.b.c", "expired": "Bearer " + expired, "foreign": "Bearer " + foreign,
	} {
		got, err := f.invoke(t.Context(), tokenEvent(t, value))
		require.NoError(t, err)
		require.NotNil(t, got.fault, name)
		require.Equal(t, "Unauthorized", got.fault.Message, name)
	}

	issuer.Fail(503)
	f = start(t, build(t, "authorizer"), "ISSUER="+pool, "CLIENT="+appClient, jwks)
	good, err := issuer.IDToken(authtest.User{Username: "julianwood", Client: appClient})
	require.NoError(t, err)
	got, err := f.invoke(t.Context(), tokenEvent(t, "Bearer "+good))
	require.NoError(t, err)
	require.NotNil(t, got.fault)
	require.NotEqual(t, "Unauthorized", got.fault.Message, "the issuer is down: the token may be good")
}

// A function that is not configured ends in its init phase and says why.
func TestFunctionsWithoutConfigurationEnd(t *testing.T) {
	for _, name := range []string{"loyalty", "authorizer"} {
		f := start(t, build(t, name), "ISSUER=", "CLIENT=")
		<-f.ended
		require.Equal(t, 1, f.ProcessState.ExitCode())
		require.Contains(t, f.log.String(), name+": auth: ")
	}
}

// served is an issuer and the variable of the environment that says where its key set is.
func served(t *testing.T) (*authtest.Issuer, string) {
	t.Helper()
	issuer, err := authtest.New(pool)
	require.NoError(t, err)
	server := httptest.NewServer(issuer)
	t.Cleanup(server.Close)
	return issuer, "JWKS=" + server.URL + "/.well-known/jwks.json"
}

func tokenEvent(t *testing.T, value string) []byte {
	t.Helper()
	event := events.APIGatewayCustomAuthorizerRequest{Type: "TOKEN", AuthorizationToken: value, MethodArn: methodARN}
	text, err := json.Marshal(event)
	require.NoError(t, err)
	return text
}
