package authorizer_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
	"github.com/tallygate/tallygate/auth/awslambda/authorizer"
	"github.com/tallygate/tallygate/auth/custom"
	"github.com/tallygate/tallygate/auth/policy"
	"github.com/tallygate/tallygate/sigv4"
)

// resource is the one resource of a policy answer, and its effect.
func resource(t *testing.T, answer []byte) (effect, resource string) {
	t.Helper()
	var response struct{ PolicyDocument policy.Document }
	require.NoError(t, json.Unmarshal(answer, &response))
	require.Len(t, response.PolicyDocument.Statement, 1)
	s := response.PolicyDocument.Statement[0]
	require.Len(t, s.Resource, 1)
	return s.Effect, s.Resource[0]
}

// API Gateway keeps the answer under the credential and evaluates it for the caller's next methods.
func TestCachedAllowIsForTheWholeStageAndNoOther(t *testing.T) {
	got, err := newAuthorizer(t, authorizer.Config{}).Invoke(t.Context(), golden(t, "token"))
	require.NoError(t, err)
	var response struct{ PolicyDocument json.RawMessage }
	require.NoError(t, json.Unmarshal(got, &response))
	p, err := policy.Parse(response.PolicyDocument)
	require.NoError(t, err)
	for arn, want := range map[string]policy.Decision{
		prod + "/GET/loyalty/1": policy.Allow,
		prod + "/DELETE/admin":  policy.Allow,
		strings.Replace(prod, "/Prod", "/Prod2", 1) + "/GET/loyalty/1":    policy.NoMatch,
		strings.Replace(prod, "/Prod", "/Dev", 1) + "/GET/loyalty/1":      policy.NoMatch,
		strings.Replace(prod, "a1b2c3d4e5", "other", 1) + "/GET/1":        policy.NoMatch,
		strings.Replace(prod, "123456789012", "210987654321", 1) + "/GET": policy.NoMatch,
	} {
		require.Equal(t, want, p.Evaluate(&policy.Request{Resource: arn}), arn)
	}
}

// The client chooses the path. If its wildcard came into the policy, a request for one path would allow others.
func TestPathWithAWildcardIsNotAllowedAlone(t *testing.T) {
	uncached := newAuthorizer(t, authorizer.Config{Uncached: true})
	for _, path := range []string{"/GET/*", "/GET/loyalty/*", "/GET/loyalty/?", "/GET/${aws:userid}", "/*/loyalty", "/GET/a\n*", "/GET/a\nb", "/GET/a\u007f", "/GET/\uFFFD"} {
		got, err := uncached.Invoke(t.Context(), edited(t, "token", map[string]any{"methodArn": prod + path}))
		require.NoError(t, err)
		effect, _ := resource(t, got)
		require.Equal(t, "Deny", effect, path)
	}
	got, err := newAuthorizer(t, authorizer.Config{}).Invoke(t.Context(), edited(t, "token", map[string]any{"methodArn": prod + "/GET/*"}))
	require.NoError(t, err)
	effect, what := resource(t, got)
	require.Equal(t, []string{"Allow", prod + "/*"}, []string{effect, what}, "the stage has no wildcard")
}

func TestEventsThatAreNoneOfAnAuthorizerAreRefused(t *testing.T) {
	a := newAuthorizer(t, authorizer.Config{})
	for name, event := range map[string][]byte{
		"nothing":                nil,
		"not JSON":               []byte(`{"type":`),
		"null":                   []byte(`null`),
		"an empty object":        []byte(`{}`),
		"a list":                 []byte(`[]`),
		"a REST request":         edited(t, "request", map[string]any{"type": "", "methodArn": ""}),
		"an HTTP request":        edited(t, "http2", map[string]any{"type": "", "routeArn": ""}),
		"two ARNs":               edited(t, "token", map[string]any{"routeArn": prod + "/GET/a"}),
		"version 3":              edited(t, "http2", map[string]any{"version": "3.0"}),
		"2.0 with a methodArn":   edited(t, "request", map[string]any{"version": "2.0"}),
		"1.0 with a routeArn":    edited(t, "http2", map[string]any{"version": "1.0"}),
		"an unknown type":        edited(t, "token", map[string]any{"type": "BEARER"}),
		"AppSync without a type": edited(t, "appsync", map[string]any{"authorizationToken": ""}),
		"AppSync with a version": edited(t, "appsync", map[string]any{"version": "2.0"}),
		"AppSync without an API": edited(t, "appsync", map[string]any{"requestContext": map[string]any{}}),
		"a stage with a *":       edited(t, "token", map[string]any{"methodArn": strings.Replace(prod, "/Prod", "/*", 1) + "/GET/a"}),
		"an API with a *":        edited(t, "token", map[string]any{"methodArn": strings.Replace(prod, "a1b2c3d4e5", "*", 1) + "/GET/a"}),
		"an account with a *":    edited(t, "token", map[string]any{"methodArn": strings.Replace(prod, "123456789012", "*", 1) + "/GET/a"}),
		"another service":        edited(t, "token", map[string]any{"methodArn": strings.Replace(prod, "execute-api", "lambda", 1) + "/GET/a"}),
		"no ARN":                 edited(t, "token", map[string]any{"methodArn": "*"}),
		"a long ARN":             edited(t, "token", map[string]any{"methodArn": prod + "/GET/" + strings.Repeat("a", 1600)}),
		"too large":              append([]byte(`{"a":"`), make([]byte, 7<<20)...),
	} {
		got, err := a.Invoke(t.Context(), event)
		require.ErrorIs(t, err, authorizer.ErrEvent, name)
		require.Nil(t, got, name)
	}
}

// The text names the trigger to remove, or the member that an event written by hand lacks.
func TestEventsThatAreNoneOfAnAuthorizerAreNamed(t *testing.T) {
	a := newAuthorizer(t, authorizer.Config{})
	for want, event := range map[string][]byte{
		"it is a request to the API itself: use package awslambda": edited(t, "request", map[string]any{"type": "", "methodArn": ""}),
		"it has both methodArn and routeArn":                       edited(t, "token", map[string]any{"routeArn": prod + "/GET/a"}),
		"it has neither a type nor the members of AppSync's":       []byte(`{"Records": []}`),
		`its type "TOKEN" in version "" needs a methodArn`:         edited(t, "token", map[string]any{"methodArn": ""}),
		`its type "REQUEST" in version "2.0" needs a routeArn`:     edited(t, "http2", map[string]any{"routeArn": ""}),
		`its type "REQUEST" in version "1.0" needs a methodArn`:    edited(t, "http2", map[string]any{"version": "1.0"}),
		`no authorizer has the type "BEARER" in version ""`:        edited(t, "token", map[string]any{"type": "BEARER"}),
		`no authorizer has the type "TOKEN" in version "2.0"`:      edited(t, "token", map[string]any{"version": "2.0", "methodArn": ""}),
	} {
		_, err := a.Invoke(t.Context(), event)
		require.EqualError(t, err, "authorizer: not an event of an authorizer: "+want)
	}
	_, err := a.Invoke(t.Context(), edited(t, "http2", map[string]any{"type": "", "routeArn": ""}))
	require.ErrorContains(t, err, "use package awslambda")
}

// signedEvent is the REQUEST event of a request that was signed with the key AKIDEXAMPLE.
func signedEvent(t *testing.T, edit func(*http.Request)) []byte {
	t.Helper()
	signer, err := sigv4.NewSigner(sigv4.SignerConfig{
		Credentials: func(context.Context) (sigv4.Credentials, error) {
			return sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", Secret: "secret"}, nil
		},
		Region: "eu-west-1", Service: "execute-api",
	})
	require.NoError(t, err)
	r, err := http.NewRequest(http.MethodGet, "https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/Prod/loyalty/caf%C3%A9?tag=b%20c&page=2&tag=a%2Bb", nil)
	require.NoError(t, err)
	edit(r)
	require.NoError(t, signer.Sign(r))
	fields := r.Header.Clone()
	fields.Set("Host", r.URL.Host)
	return edited(t, "request", map[string]any{"httpMethod": r.Method, "multiValueHeaders": fields})
}

func newSignature(t *testing.T, c sigv4.VerifierConfig) *sigv4.Verifier {
	t.Helper()
	c.Keys, c.Regions = sigv4.Keyring{"AKIDEXAMPLE": {Secret: "secret", Principal: "julianwood"}}.Key, []string{"eu-west-1"}
	v, err := sigv4.NewVerifier(c)
	require.NoError(t, err)
	return v
}

func TestSignatureIsVerifiedThroughAnEvent(t *testing.T) {
	a := newAuthorizer(t, authorizer.Config{Mode: newSignature(t, sigv4.VerifierConfig{}), Principal: sigv4.ID, Uncached: true})
	got, err := a.Invoke(t.Context(), signedEvent(t, func(*http.Request) {}))
	require.NoError(t, err)
	require.Equal(t, `{"principalId":"julianwood",`+statement("Allow", prod+"/GET/loyalty/caf%C3%A9")+`}`, string(got))

	// A signature for no body must not let in a request that may have one.
	for name, edit := range map[string]func(*http.Request){
		"POST":                          func(r *http.Request) { r.Method = http.MethodPost },
		"POST with the hash of no body": func(r *http.Request) { r.Method = http.MethodPost; r.Header.Set("X-Amz-Content-Sha256", emptyHash) },
		"DELETE":                        func(r *http.Request) { r.Method = http.MethodDelete },
		"unsigned POST": func(r *http.Request) {
			r.Method = http.MethodPost
			r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
		},
	} {
		got, err := a.Invoke(t.Context(), signedEvent(t, edit))
		require.NoError(t, err, name)
		effect, _ := resource(t, got)
		require.Equal(t, "Deny", effect, name)
	}
}

// A GET whose signature covers a body is refused, since the body is not in the event. Chunks that are signed one by one
// are a body too.
func TestSignatureOverABodyIsRefused(t *testing.T) {
	a := newAuthorizer(t, authorizer.Config{
		Mode: newSignature(t, sigv4.VerifierConfig{AllowUnsignedPayload: true}), Principal: sigv4.ID, Uncached: true,
	})
	for _, hash := range []string{
		strings.Repeat("ab", 32), "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
	} {
		got, err := a.Invoke(t.Context(), signedEvent(t, func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", hash) }))
		require.NoError(t, err, hash)
		effect, _ := resource(t, got)
		require.Equal(t, "Deny", effect, hash)
	}
}

// UNSIGNED-PAYLOAD says that the signature does not cover the body, and the configuration may accept that.
func TestUnsignedPayloadNeedsNoBody(t *testing.T) {
	a := newAuthorizer(t, authorizer.Config{
		Mode: newSignature(t, sigv4.VerifierConfig{AllowUnsignedPayload: true}), Principal: sigv4.ID, Uncached: true,
	})
	got, err := a.Invoke(t.Context(), signedEvent(t, func(r *http.Request) {
		r.Method = http.MethodPost
		r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	}))
	require.NoError(t, err)
	effect, _ := resource(t, got)
	require.Equal(t, "Allow", effect)
}

const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// A signature is for one method, path and query, and a policy was evaluated for one method. If the answer were kept
// under the Authorization header, the same header would be good for every other request.
func TestDecisionAboutOneRequestIsNotCached(t *testing.T) {
	limited, err := custom.New(custom.Config{
		StageARN: prod,
		Authorize: func(context.Context, custom.Event) (custom.Result, error) {
			p, err := policy.New(policy.Document{Statement: []policy.Statement{{
				Effect: "Allow", Action: []string{policy.Invoke}, Resource: []string{prod + "/GET/loyalty/1"},
			}}})
			return custom.Result{PrincipalID: "julianwood", Policy: p}, err
		},
	})
	require.NoError(t, err)
	signature := newSignature(t, sigv4.VerifierConfig{})
	for name, test := range map[string]struct {
		event []byte
		mode  auth.Mode
	}{
		"a signature": {signedEvent(t, func(*http.Request) {}), signature},
		"one of two":  {signedEvent(t, func(*http.Request) {}), auth.AnyOf(limited, signature)},
		"a policy":    {golden(t, "token"), limited},
	} {
		config := authorizer.Config{Mode: test.mode, Principal: named("julianwood")}
		got, err := newAuthorizer(t, config).Invoke(t.Context(), test.event)
		require.ErrorIs(t, err, authorizer.ErrResult, name)
		require.ErrorContains(t, err, "set the result's TTL to 0, and Uncached", name)
		require.Nil(t, got, name)

		config.Uncached = true
		got, err = newAuthorizer(t, config).Invoke(t.Context(), test.event)
		require.NoError(t, err, name)
		effect, what := resource(t, got)
		require.Equal(t, "Allow", effect, name)
		require.NotContains(t, what, "*", name)
	}
}

func TestTokensOfAnIssuerAreVerified(t *testing.T) {
	issuer, err := authtest.New("https://login.example")
	require.NoError(t, err)
	server := httptest.NewServer(issuer)
	defer server.Close()
	trusted := auth.OIDC("https://login.example", "loyalty")
	trusted.JWKS, trusted.Algorithms = server.URL+"/.well-known/jwks.json", []string{"ES256"}
	users, err := auth.New(auth.Config{Issuers: []auth.Issuer{trusted}, AllowHTTP: true, Rules: auth.Rules{AnyGroup: []string{"staff"}}})
	require.NoError(t, err)
	a := newAuthorizer(t, authorizer.Config{Mode: users, Principal: auth.ID})
	sign := func(claims map[string]any) []byte {
		token, err := issuer.Sign("ES256", claims)
		require.NoError(t, err)
		return edited(t, "token", map[string]any{"authorizationToken": "Bearer " + token})
	}

	got, err := a.Invoke(t.Context(), sign(map[string]any{"sub": "u-17", "aud": "loyalty", "groups": []string{"staff"}}))
	require.NoError(t, err)
	require.Equal(t, `{"principalId":"https://login.example u-17",`+statement("Allow", prod+"/*")+`}`, string(got))

	got, err = a.Invoke(t.Context(), sign(map[string]any{"sub": "u-17", "aud": "loyalty", "groups": []string{"guests"}}))
	require.NoError(t, err)
	require.Equal(t, `{"principalId":"https://login.example u-17",`+statement("Deny", prod+"/*")+`}`, string(got))

	for name, claims := range map[string]map[string]any{
		"another audience": {"sub": "u-17", "aud": "payroll", "groups": []string{"staff"}},
		"another issuer":   {"sub": "u-17", "aud": "loyalty", "iss": "https://stranger.example"},
		"expired":          {"sub": "u-17", "aud": "loyalty", "exp": time.Now().Add(-time.Hour).Unix()},
	} {
		_, err = a.Invoke(t.Context(), sign(claims))
		require.EqualError(t, err, "Unauthorized", name)
	}
	_, err = a.Invoke(t.Context(), golden(t, "token"))
	require.ErrorIs(t, err, custom.ErrUnauthorized)
	require.ErrorIs(t, err, auth.ErrMalformed)
}

// A client throws a good token away on 401, so that a key source that is down must not be one.
func TestFailureOfADependencyIsNoRefusal(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	issuer, err := authtest.New("https://login.example")
	require.NoError(t, err)
	trusted := auth.OIDC("https://login.example", "loyalty")
	trusted.JWKS, trusted.Algorithms = server.URL, []string{"ES256"}
	users, err := auth.New(auth.Config{Issuers: []auth.Issuer{trusted}, AllowHTTP: true})
	require.NoError(t, err)
	token, err := issuer.Sign("ES256", map[string]any{"sub": "u-17", "aud": "loyalty"})
	require.NoError(t, err)
	a := newAuthorizer(t, authorizer.Config{Mode: users, Principal: auth.ID})
	for _, event := range []string{"token", "appsync"} {
		got, err := a.Invoke(t.Context(), edited(t, event, map[string]any{"authorizationToken": token}))
		require.ErrorIs(t, err, auth.ErrUnavailable, event)
		require.NotErrorIs(t, err, custom.ErrUnauthorized)
		require.Nil(t, got)
	}
}
