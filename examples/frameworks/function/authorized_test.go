package function_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/authtest"
)

// inContext is an event with other members of requestContext.
func inContext(t *testing.T, event []byte, members map[string]any) []byte {
	t.Helper()
	var all map[string]any
	require.NoError(t, json.Unmarshal(event, &all))
	maps.Copy(all["requestContext"].(map[string]any), members)
	text, err := json.Marshal(all)
	require.NoError(t, err)
	return text
}

// proofs are what the function authorized says about the caller of an event: package by package.
func proofs(t *testing.T, f *process, event []byte) (status int, who map[string]string) {
	t.Helper()
	got, err := f.invoke(t.Context(), event)
	require.NoError(t, err)
	a := answerOf(t, got)
	who = map[string]string{}
	for _, name := range []string{"Auth", "Custom", "Sigv4", "Apikey"} {
		if id := a.header("X-" + name); id != "" {
			who[name] = id
		}
	}
	return a.StatusCode, who
}

// What API Gateway or Lambda has verified is the proof of the package that would have verified it.
func TestEventProvesTheCaller(t *testing.T) {
	const arn = "arn:aws:iam::123456789012:user/julianwood"
	f := serve(t, "authorized")
	expiry := time.Now().Add(time.Hour).UTC()
	claims := map[string]string{
		"iss": pool, "sub": "u-17", "aud": appClient, "token_use": "id", "exp": expiry.Format("Mon Jan 02 15:04:05 UTC 2006"),
	}
	seconds := maps.Clone(claims)
	text, err := json.Marshal(float64(expiry.Unix()))
	require.NoError(t, err)
	seconds["exp"] = string(text)
	signer := map[string]any{"accessKey": "AKIDEXAMPLE", "userArn": arn}
	for name, test := range map[string]struct {
		source  int
		members map[string]any
		who     map[string]string
	}{
		"a user pool":         {0, map[string]any{"authorizer": map[string]any{"claims": claims}}, map[string]string{"Auth": pool + " u-17"}},
		"a JWT authorizer":    {3, map[string]any{"authorizer": map[string]any{"jwt": map[string]any{"claims": seconds}}}, map[string]string{"Auth": pool + " u-17"}},
		"a Lambda authorizer": {0, map[string]any{"authorizer": map[string]any{"principalId": "u-17", "level": "3"}}, map[string]string{"Custom": "u-17"}},
		"IAM, REST API":       {0, map[string]any{"identity": signer}, map[string]string{"Sigv4": arn}},
		"IAM, HTTP API":       {3, map[string]any{"authorizer": map[string]any{"iam": signer}}, map[string]string{"Sigv4": arn}},
		"IAM, function URL":   {5, map[string]any{"authorizer": map[string]any{"iam": signer}}, map[string]string{"Sigv4": arn}},
		"an API key":          {0, map[string]any{"identity": map[string]any{"apiKeyId": "k8t2wqpx4j"}}, map[string]string{"Apikey": "k8t2wqpx4j"}},
	} {
		s := sources[test.source]
		status, who := proofs(t, f, inContext(t, s.of(t, s.request(t, "GET", "/", nil)), test.members))
		require.Equal(t, 200, status, name)
		require.Equal(t, test.who, who, name)

		test.members["apiId"] = "zzzzzzzzzz"
		status, who = proofs(t, f, inContext(t, s.of(t, s.request(t, "GET", "/", nil)), test.members))
		require.Equal(t, 403, status, "%s of another API", name)
		require.Empty(t, who, name)
	}
	for _, s := range sources { // a client can write every header, and no event
		r := s.request(t, "GET", "/?authorizer=claims", nil)
		for _, header := range []string{"X-Amzn-Request-Context", "Authorizer", "Requestcontext", "X-Api-Key"} {
			r.Header.Set(header, `{"authorizer":{"iam":{"accessKey":"AKIDEXAMPLE","userArn":"`+arn+`"}}}`)
		}
		status, who := proofs(t, f, s.of(t, r))
		require.Contains(t, []int{401, 403}, status, s.name)
		require.Empty(t, who, s.name)
	}
}

// The answers of an HTTP API's authorizer, in both forms. What the simple one says is the proof in the API's function.
func TestAuthorizerOfAnHTTPAPI(t *testing.T) {
	issuer, jwks := served(t)
	token, err := issuer.IDToken(authtest.User{Username: "julianwood", Client: appClient})
	require.NoError(t, err)
	for _, name := range []string{"authorizer, simple", "authorizer, policy"} {
		f := serve(t, name, jwks)
		decide := func(value string) outcome {
			s := sources[3]
			r := s.request(t, "GET", "/me", nil)
			r.Header.Set("Authorization", value)
			var event map[string]any
			require.NoError(t, json.Unmarshal(s.of(t, r), &event))
			delete(event, "body")
			delete(event, "isBase64Encoded")
			event["type"], event["identitySource"] = "REQUEST", []string{value}
			event["routeArn"] = methodARN
			text, err := json.Marshal(event)
			require.NoError(t, err)
			got, err := f.invoke(t.Context(), text)
			require.NoError(t, err)
			require.Nil(t, got.fault)
			return got
		}
		good, bad := decide("Bearer "+token), decide("Bearer a.b.c")
		if name == "authorizer, policy" {
			var allowed, denied events.APIGatewayV2CustomAuthorizerIAMPolicyResponse
			require.NoError(t, json.Unmarshal(good.body, &allowed))
			require.NoError(t, json.Unmarshal(bad.body, &denied))
			const stage = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/*"
			require.Equal(t, []events.IAMPolicyStatement{{
				Action: []string{"execute-api:Invoke"}, Effect: "Allow", Resource: []string{stage},
			}}, allowed.PolicyDocument.Statement)
			require.Equal(t, []events.IAMPolicyStatement{{
				Action: []string{"execute-api:Invoke"}, Effect: "Deny", Resource: []string{stage},
			}}, denied.PolicyDocument.Statement)
			continue
		}
		require.JSONEq(t, `{"isAuthorized":false}`, string(bad.body))
		var allowed events.APIGatewayV2CustomAuthorizerSimpleResponse
		require.NoError(t, json.Unmarshal(good.body, &allowed))
		require.True(t, allowed.IsAuthorized)
		require.EqualValues(t, 3, allowed.Context["level"])

		s := sources[3] // API Gateway passes the context on to the API's function
		status, who := proofs(t, serve(t, "authorized"), inContext(t, s.of(t, s.request(t, "GET", "/me", nil)),
			map[string]any{"authorizer": map[string]any{"lambda": allowed.Context}}))
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, map[string]string{"Custom": allowed.Context["principalId"].(string)}, who)
		require.Contains(t, who["Custom"], pool)
	}
}

// AppSync is told the fields that the caller must not see, and keeps the answer for a minute.
func TestAuthorizerOfAppSync(t *testing.T) {
	issuer, jwks := served(t)
	token, err := issuer.IDToken(authtest.User{Username: "julianwood", Client: appClient})
	require.NoError(t, err)
	f := serve(t, "authorizer, graph", jwks)
	decide := func(token string) (outcome, events.AppSyncLambdaAuthorizerResponse) {
		event, err := json.Marshal(events.AppSyncLambdaAuthorizerRequest{
			AuthorizationToken: token, RequestContext: events.AppSyncLambdaAuthorizerRequestContext{
				APIID: "giy7kumfmvcqvbedntjwjvagii", AccountID: "123456789012", RequestID: "b80ed838",
				QueryString: "query { points }", Variables: map[string]any{},
			},
		})
		require.NoError(t, err)
		got, err := f.invoke(t.Context(), event)
		require.NoError(t, err)
		var response events.AppSyncLambdaAuthorizerResponse
		if got.fault == nil {
			require.NoError(t, json.Unmarshal(got.body, &response))
		}
		return got, response
	}
	_, allowed := decide(token)
	require.True(t, allowed.IsAuthorized)
	require.Equal(t, []string{"Mutation.closeAccount"}, allowed.DeniedFields)
	require.Equal(t, 60, *allowed.TTLOverride)
	require.EqualValues(t, 3, allowed.ResolverContext["level"])
	require.Contains(t, allowed.ResolverContext["principalId"], pool)

	refused, _ := decide("a.b.c")
	require.JSONEq(t, `{"isAuthorized":false}`, string(refused.body))

	issuer.Fail(503) // a good token must not be refused for that
	f = serve(t, "authorizer, graph", jwks)
	failed, _ := decide(token)
	require.NotNil(t, failed.fault)
	require.NotContains(t, failed.fault.Message, "Unauthorized")
}
