package awslambda_test

import (
	"context"
	"encoding/base64"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/auth/awslambda"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

const accessKey, secretKey, keyValue = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT"

// signed is a request as a client sends it.
func signed(t *testing.T, method, target, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "https://"+target, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("X-Api-Key", keyValue)
	signer, err := sigv4.NewSigner(sigv4.SignerConfig{
		Credentials: func(context.Context) (sigv4.Credentials, error) {
			return sigv4.Credentials{AccessKeyID: accessKey, Secret: secretKey}, nil
		},
		Region: "eu-west-1", Service: "execute-api",
	})
	require.NoError(t, err)
	require.NoError(t, signer.Sign(r))
	return r
}

// asAWS makes the event that AWS makes of a request: a golden one, with what the request says.
func asAWS(t *testing.T, file string, r *http.Request, members map[string]any) []byte {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	one, many := map[string]string{"host": r.Host, "x-forwarded-for": "203.0.113.9"}, map[string][]string{"Host": {r.Host}, "X-Forwarded-For": {"203.0.113.9"}}
	for name, values := range r.Header {
		one[strings.ToLower(name)], many[name] = strings.Join(values, ","), values
	}
	event := map[string]any{
		"body": base64.StdEncoding.EncodeToString(body), "isBase64Encoded": true, "headers": one, "httpMethod": r.Method,
		"multiValueHeaders": many, "cookies": nil, "rawQueryString": r.URL.RawQuery,
		"multiValueQueryStringParameters": r.URL.Query(), "queryStringParameters": nil,
	}
	maps.Copy(event, members)
	text := string(with(t, golden(t, file), event))
	for _, path := range []string{"/Prod/pets/caf%C3%A9", "/v1/pets/caf%C3%A9"} { // requestContext.path
		text = strings.ReplaceAll(text, `"path":"`+path+`"`, `"path":"`+r.URL.EscapedPath()+`"`)
	}
	text = strings.ReplaceAll(text, `"path":"/Prod/pets/café"`, `"path":"`+r.URL.Path+`"`)
	return []byte(strings.ReplaceAll(text, `"method":"POST"`, `"method":"`+r.Method+`"`))
}

// rawQuery is the query as an ALB delivers it, which decodes nothing.
func rawQuery(r *http.Request) url.Values {
	values := url.Values{}
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if name, value, _ := strings.Cut(pair, "="); name != "" {
			values.Add(name, value)
		}
	}
	return values
}

// What a client has signed verifies behind every kind of event, whose path the mux then routes without a prefix. The
// plan finds the route that API Gateway knows.
func TestSignedRequestsVerifyInEveryKind(t *testing.T) {
	const (
		gateway = "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/Prod"
		mapped  = "api.example.com/v1"
		ofURL   = "u1v2w3x4y5.lambda-url.eu-west-1.on.aws"
		ofALB   = "pets.example.com"
	)
	kinds := map[string]struct {
		base    string
		members func(r *http.Request, path string) map[string]any
	}{
		"rest":        {gateway, func(_ *http.Request, path string) map[string]any { return map[string]any{"path": path} }},
		"rest_domain": {mapped, func(_ *http.Request, path string) map[string]any { return map[string]any{"path": "/v1" + path} }},
		"http1":       {gateway, func(_ *http.Request, path string) map[string]any { return map[string]any{"path": unescaped(path)} }},
		"http2": {gateway, func(_ *http.Request, path string) map[string]any {
			return map[string]any{"rawPath": "/Prod" + unescaped(path)}
		}},
		"http2_domain": {mapped, func(_ *http.Request, path string) map[string]any {
			return map[string]any{"rawPath": "/Prod" + unescaped(path)}
		}},
		"url": {ofURL, func(_ *http.Request, path string) map[string]any { return map[string]any{"rawPath": path} }},
		"alb_multi": {ofALB, func(r *http.Request, path string) map[string]any {
			return map[string]any{"path": path, "multiValueQueryStringParameters": rawQuery(r)}
		}},
	}
	for file, kind := range kinds {
		f := chain(t)
		for _, tt := range []struct{ method, path, body string }{
			{"GET", "/pets/rex", ""},
			{"GET", "/pets/caf%C3%A9%20noir", ""},
			{"GET", "/pets/rex?b=2&a=1&a=0&q=x%20y%2B&empty=", ""},
			{"POST", "/pets/rex?a=1", "a body \x00\xff"},
			{"DELETE", "/pets/a@b,c", ""},
		} {
			r := signed(t, tt.method, kind.base+tt.path, tt.body)
			path, _, _ := strings.Cut(tt.path, "?")
			out, err := f.Invoke(t.Context(), asAWS(t, file, r, kind.members(r, path)))
			require.NoError(t, err)
			require.Contains(t, string(out), `"statusCode":200`, "%s %s: %s", file, tt.path, out)
			require.Contains(t, string(out), "julianwood "+strings.TrimPrefix(unescaped(path), "/pets/"), "%s %s", file, tt.path)
		}
		r := signed(t, "GET", kind.base+"/pets/rex", "")
		r.Header.Set("X-Amz-Date", "20200101T000000Z")
		out, err := f.Invoke(t.Context(), asAWS(t, file, r, kind.members(r, "/pets/rex")))
		require.NoError(t, err)
		require.Contains(t, string(out), `"statusCode":403`, "%s: a changed request", file)
	}
}

func unescaped(path string) string {
	text, err := url.PathUnescape(path)
	if err != nil {
		return path
	}
	return text
}

// chain is a function behind a signature, an API key and a plan, before a mux without prefixes.
func chain(t *testing.T) *awslambda.Function {
	t.Helper()
	verifier, err := sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys: sigv4.Keyring{accessKey: {Secret: secretKey, Principal: "julianwood"}}.Key, Regions: []string{"eu-west-1"},
	})
	require.NoError(t, err)
	keys, err := apikey.New(apikey.Config{Keys: []apikey.Entry{{Key: apikey.Key{ID: "k8t2wqpx4j", Enabled: true}, Value: keyValue}}})
	require.NoError(t, err)
	quotas, err := ledger.New(ledger.Config{Engine: ledger.NewMemory()})
	require.NoError(t, err)
	t.Cleanup(func() { _ = quotas.Close() })
	meter, err := usageplan.New(usageplan.Config{
		Client: apikey.ID, Ledger: quotas, Members: []usageplan.Member{{Plan: "p1", Client: "k8t2wqpx4j"}},
		Plans: []usageplan.Plan{{
			ID: "p1", Name: "p1", Quotas: []ledger.Quota{{Limit: 100, Period: ledger.Daily}}, Stages: []usageplan.Stage{
				{API: "a1b2c3d4e5", Name: "Prod"}, {API: "u1v2w3x4y5", Name: "$default"}, {API: "pets", Name: "$default"},
			},
		}},
		Route: func(r *http.Request) (usageplan.Route, bool) {
			e, ok := awslambda.FromContext(r.Context())
			if !ok {
				return usageplan.Route{}, false
			}
			if e.Kind == awslambda.ALB { // which has neither API nor stage
				return usageplan.Route{API: "pets", Stage: "$default", Resource: "/pets/{id}", Method: e.Method}, true
			}
			return usageplan.Route{API: e.API, Stage: e.Stage, Resource: e.Resource, Method: e.Method}, true
		},
	})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("/pets/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, _ := sigv4.ID(r)
		_, _ = io.WriteString(w, id+" "+r.PathValue("id"))
	})
	f, err := awslambda.New(awslambda.Config{
		Handler: verifier.Handler(keys.Handler(meter.Handler(mux))), BasePaths: map[string]string{"api.example.com": "v1"},
	})
	require.NoError(t, err)
	return f
}
