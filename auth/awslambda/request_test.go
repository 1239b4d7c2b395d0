package awslambda_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/awslambda"
)

const petARN = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/pets/6d0ecf831eec9f09"

// Each kind of event becomes the request that the client has sent.
func TestEventsBecomeRequests(t *testing.T) {
	const (
		gateway = "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com"
		url     = "u1v2w3x4y5.lambda-url.eu-west-1.on.aws"
		rex     = `{"name":"Rex"}`
		sorted  = "?tag=a%2Bb&tag=b%20c&all="
		sent    = "?tag=a%2Bb&tag=b%20c&all"
	)
	for _, tt := range []struct {
		name                     string
		kind                     awslambda.Kind
		uri, path, host, address string
		twice                    []string
		body                     string
		api, stage, resource     string
	}{
		{"rest", awslambda.REST, "/Prod/pets/caf%C3%A9" + sorted, "/pets/café", gateway, "203.0.113.9:0", []string{"one", "two"}, rex, "a1b2c3d4e5", "Prod", "/pets/{id}"},
		{"rest_domain", awslambda.REST, "/v1/pets/caf%C3%A9" + sorted, "/pets/café", "api.example.com", "203.0.113.9:0", []string{"one", "two"}, rex, "a1b2c3d4e5", "Prod", "/pets/{id}"},
		{"http1", awslambda.HTTP1, "/Prod/pets/caf%C3%A9" + sorted, "/pets/café", gateway, "203.0.113.9:0", []string{"one", "two"}, rex, "a1b2c3d4e5", "Prod", "/pets/{id}"},
		{"http2", awslambda.HTTP2, "/Prod/pets/caf%C3%A9" + sent, "/pets/café", gateway, "203.0.113.9:0", []string{"one,two"}, rex, "a1b2c3d4e5", "Prod", "/pets/{id}"},
		{"http2_domain", awslambda.HTTP2, "/v1/pets/caf%C3%A9" + sent, "/pets/café", "api.example.com", "203.0.113.9:0", []string{"one,two"}, rex, "a1b2c3d4e5", "Prod", "/pets/{id}"},
		{"url", awslambda.FunctionURL, "/pets/caf%C3%A9/a%2fb" + sent, "/pets/café/a/b", url, "[2001:db8::9]:0", []string{"one,two"}, "\x00\x01\xff", "u1v2w3x4y5", "$default", ""},
		{"alb", awslambda.ALB, "/pets/caf%C3%A9?tag=b%20c&all=", "/pets/café", "pets.example.com", "203.0.113.9:0", nil, rex, petARN, "", ""},
		{"alb_multi", awslambda.ALB, "/pets/caf%C3%A9" + sorted, "/pets/café", "pets.example.com", "[2001:db8::9]:41000", []string{"one", "two"}, rex, petARN, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := receive(t, golden(t, tt.name))
			require.Equal(t, "POST", got.Method)
			require.Equal(t, tt.uri, got.RequestURI)
			require.Equal(t, tt.path, got.URL.Path)
			_, query, _ := strings.Cut(tt.uri, "?")
			require.Equal(t, query, got.URL.RawQuery)
			require.Equal(t, tt.host, got.Host)
			require.NotContains(t, got.Header, "Host")
			require.Equal(t, tt.address, got.RemoteAddr)
			require.Equal(t, tt.body, got.body)
			require.EqualValues(t, len(tt.body), got.ContentLength)
			require.Equal(t, []string{"text/plain, */*"}, got.Header["Accept"])
			require.Equal(t, []string{"a=1; b=2"}, got.Header["Cookie"])
			require.Equal(t, tt.twice, got.Header["X-Twice"])
			require.Equal(t, "HTTP/1.1", got.Proto)
			e := got.event
			require.Equal(t, []any{tt.kind, tt.api, tt.stage, tt.resource, "POST"}, []any{e.Kind, e.API, e.Stage, e.Resource, e.Method})
		})
	}
}

// A handler gets what API Gateway has verified, unchanged.
func TestEventHasTheAuthorizer(t *testing.T) {
	e := receive(t, golden(t, "rest")).event
	require.JSONEq(t, `{"principalId":"julianwood","integrationLatency":12}`, string(e.Authorizer))
	require.Contains(t, string(e.Identity), `"apiKeyId": "k8t2wqpx4j"`)
	require.Equal(t, "k8t2wqpx4j", e.APIKeyID)
	require.Equal(t, "123456789012", e.AccountID)
	require.Equal(t, "c6af9ac6-7b61-11e6-9a41-93e8deadbeef", e.RequestID)
	require.Nil(t, receive(t, golden(t, "rest_domain")).event.Authorizer)
	require.Contains(t, string(receive(t, golden(t, "url")).event.Authorizer), `"accessKey": "AKIDEXAMPLE"`)
}

// A health check has no host and no address.
func TestHealthChecksOfALBs(t *testing.T) {
	got := receive(t, golden(t, "alb_health"))
	require.Equal(t, []string{"GET", "/health", "", "", "ELB-HealthChecker/2.0"}, []string{got.Method, got.RequestURI, got.Host, got.RemoteAddr, got.UserAgent()})
	require.Equal(t, http.NoBody, got.Body)
}

// An event that holds no request is refused, and the error says what it is.
func TestOtherEventsAreNamed(t *testing.T) {
	want := map[string]string{
		"sqs": `an event of "aws:sqs"`, "sns": `an event of "aws:sns"`, "s3": `an event of "aws:s3"`,
		"eventbridge": `an event of EventBridge from "aws.events"`, "token": `an authorizer's event of type "TOKEN"`,
		"request": `an authorizer's event of type "REQUEST"`, "request2": `an authorizer's event of type "REQUEST"`,
		"websocket": "an event of a WebSocket API", "appsync": "an authorizer's event of AppSync", "lattice": "an event of VPC Lattice",
		"lattice1": "an event of VPC Lattice", "cognito": "a trigger of a Cognito user pool",
		"cloudformation": "a custom resource of CloudFormation", "test": "of no known kind",
	}
	files, err := filepath.Glob(filepath.Join("testdata", "other_*.json"))
	require.NoError(t, err)
	require.Len(t, files, len(want))
	f := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("served") })
	for name, text := range want {
		event, err := os.ReadFile(filepath.Join("testdata", "other_"+name+".json"))
		require.NoError(t, err)
		_, err = f.Invoke(t.Context(), event)
		require.ErrorIs(t, err, awslambda.ErrEvent, name)
		require.Contains(t, err.Error(), "it is "+text, name)
		_, err = f.Stream(t.Context(), event)
		require.ErrorIs(t, err, awslambda.ErrEvent, name)
	}
}

// The members that the documentation names for an event that is written by hand are enough.
func TestEventsByHandAreKnown(t *testing.T) {
	context := `"requestContext": {"apiId": "a", "stage": "Prod", "path": "/Prod/pets", "domainName": "a.execute-api.eu-west-1.amazonaws.com"`
	for event, want := range map[string]awslambda.Kind{
		`{"httpMethod": "GET", "path": "/pets", ` + context + `}}`:                                                                                                                awslambda.REST,
		`{"version": "1.0", "httpMethod": "GET", "path": "/Prod/pets", ` + context + `}}`:                                                                                         awslambda.HTTP1,
		`{"version": "2.0", "rawPath": "/Prod/pets", ` + context + `, "http": {"method": "GET"}}}`:                                                                                awslambda.HTTP2,
		`{"httpMethod": "GET", "path": "/pets", "requestContext": {"elb": {"targetGroupArn": "pets"}}}`:                                                                           awslambda.ALB,
		`{"version": "2.0", "rawPath": "/pets", "requestContext": {"apiId": "a", "stage": "$default", "http": {"method": "GET"}, "domainName": "a.lambda-url.eu-west-1.on.aws"}}`: awslambda.FunctionURL,
	} {
		served := false
		f := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			served = true
			e, _ := awslambda.FromContext(r.Context())
			require.Equal(t, want, e.Kind)
			require.Equal(t, "/pets", r.URL.Path, want)
		})
		_, err := f.Invoke(t.Context(), []byte(event))
		require.NoError(t, err)
		require.True(t, served)
	}
}

// People write events by hand for their tests. The error names the member that such an event lacks.
func TestEventsWithoutAMarkAreToldWhatTheyLack(t *testing.T) {
	f := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("served") })
	for event, want := range map[string]string{
		`{}`:                                 "it has no requestContext",
		`{"httpMethod": "GET", "path": "/"}`: "it has no requestContext",
		`{"requestContext": {"apiId": "a"}, "path": "/"}`:                                "it has neither httpMethod nor requestContext.http.method",
		`{"version": "2.0", "requestContext": {"apiId": "a"}, "httpMethod": "GET"}`:      "version 2.0 needs requestContext.http.method",
		`{"version": "2.0", "requestContext": {"http": {"path": "/"}}}`:                  "it has neither httpMethod nor requestContext.http.method",
		`{"version": "3.0", "requestContext": {"http": {"method": "GET", "path": "/"}}}`: `its version is "3.0"`,
	} {
		_, err := f.Invoke(t.Context(), []byte(event))
		require.EqualError(t, err, "awslambda: the event holds no HTTP request: it is of no known kind: "+want, event)
	}
}

func TestMalformedEventsAreRefused(t *testing.T) {
	f := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("served") })
	for name, event := range map[string]string{
		"empty": "", "no JSON": "{", "two": "{}{}", "large": `"` + strings.Repeat("a", 7<<20) + `"`,
		"body": string(with(t, golden(t, "rest"), map[string]any{"body": "!", "isBase64Encoded": true})),
	} {
		_, err := f.Invoke(t.Context(), []byte(event))
		require.ErrorIs(t, err, awslambda.ErrEvent, name)
	}
	for name, twice := range map[string][2]string{
		"requestContext": {`"requestContext": {`, `"requestContext": {"authorizer": {"principalId": "a"}}, "requestContext": {`},
		"authorizer":     {`"requestContext": {`, `"requestContext": {"authorizer": {"a": "b"}, "authorizer": {"a": "c"}, `},
		"identity":       {`"requestContext": {`, `"requestContext": {"identity": {"apiKeyId": "a"}, `},
	} {
		event := strings.Replace(string(golden(t, "rest")), twice[0], twice[1], 1)
		_, err := f.Invoke(t.Context(), []byte(event))
		require.ErrorIs(t, err, awslambda.ErrEvent, name)
		require.ErrorContains(t, err, "twice", name)
	}
	for _, event := range []string{"null", "[]", `"a"`, "1", "{}", `{"requestContext":null}`, `{"requestContext":[],"httpMethod":"GET"}`} {
		_, err := f.Invoke(t.Context(), []byte(event))
		require.ErrorIs(t, err, awslambda.ErrEvent, event)
	}
}

// What net/http's server refuses is answered with 400. The handler does not see it.
func TestMalformedRequestsAreAnswered(t *testing.T) {
	for name, members := range map[string]map[string]any{
		"escape": {"path": "/%zz"}, "control": {"path": "/a\n"}, "relative": {"path": "a"}, "query in path": {"path": "/a?b"},
		"query": {"queryStringParameters": map[string]any{"a": "b c"}}, "method": {"httpMethod": "GE T"},
		"header name": {"headers": map[string]any{"a b": "c"}}, "header value": {"headers": map[string]any{"a": "b\r\nc"}},
		"two hosts": {"headers": map[string]any{"host": "a", "Host": "b"}},
	} {
		got := call(t, with(t, golden(t, "alb"), members), func(http.ResponseWriter, *http.Request) { t.Error("served: " + name) })
		require.Equal(t, 400, got.StatusCode, name)
	}
}

// The stage is removed from the path if the client has sent it, and only then.
func TestStageInPath(t *testing.T) {
	for _, tt := range []struct{ file, member, sent, stage, uri, path string }{
		{"http2", "rawPath", "/Prod", "Prod", "/Prod", "/"},
		{"http2", "rawPath", "/Product", "Prod", "/Product", "/Product"},
		{"http2", "rawPath", "/Prod/Prod/x", "Prod", "/Prod/Prod/x", "/Prod/x"},
		{"http2", "rawPath", "/Prod/x", "$default", "/Prod/x", "/Prod/x"},
		{"http2_domain", "rawPath", "/Prod/Prod", "Prod", "/v1/Prod", "/Prod"},
		{"rest", "path", "/Prod/x", "Prod", "/Prod/pets/caf%C3%A9", "/Prod/x"}, // a resource with the stage's name
	} {
		event := golden(t, tt.file)
		event = []byte(strings.Replace(string(event), `"stage": "Prod"`, `"stage": "`+tt.stage+`"`, 1))
		got := receive(t, with(t, event, map[string]any{tt.member: tt.sent, "rawQueryString": "", "multiValueQueryStringParameters": nil, "queryStringParameters": nil}))
		require.Equal(t, []string{tt.uri, tt.path}, []string{got.RequestURI, got.URL.Path}, tt)
	}
}

// The mapping key of a custom domain is removed if the path has it: as AWS writes it, path is then the same as
// requestContext.path. A path that has come without the key keeps a first segment of the same name.
func TestMappingKeyInPath(t *testing.T) {
	for _, tt := range []struct{ version, domain, sent, path, want string }{
		{"", "api.example.com", "/v1/pets", "/v1/pets", "/pets"},
		{"", "api.example.com", "/v1", "/v1", "/"},
		{"", "api.example.com", "/v1/v1/pets", "/v1/v1/pets", "/v1/pets"},
		{"", "api.example.com", "/v1/v1/pets", "/v1/pets", "/v1/pets"},
		{"", "api.example.com", "/v10/pets", "/v10/pets", "/v10/pets"},
		{"", "other.example.com", "/v1/pets", "/v1/pets", "/v1/pets"},
		{"", "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com", "/Prod/v1/pets", "/v1/pets", "/v1/pets"},
		{"1.0", "api.example.com", "/v1/pets", "/v1/pets", "/pets"},
		{"1.0", "other.example.com", "/v1/pets", "/v1/pets", "/v1/pets"},
	} {
		event := with(t, golden(t, "rest_domain"), map[string]any{"path": tt.path})
		var all map[string]any
		require.NoError(t, json.Unmarshal(event, &all))
		if tt.version != "" {
			all["version"] = tt.version
		}
		rc := all["requestContext"].(map[string]any)
		rc["domainName"], rc["path"] = tt.domain, tt.sent
		got := receive(t, encode(t, all))
		uri, _, _ := strings.Cut(got.RequestURI, "?")
		require.Equal(t, []string{tt.sent, tt.want}, []string{uri, got.URL.Path}, tt)
	}
}

// An event of an HTTP API is not taken for that of a function URL, whatever its domain is.
func TestFunctionURLsAreKnownByTheirDomain(t *testing.T) {
	for _, domain := range []string{"u1v2w3x4y5.lambda-url.eu-west-1.on.aws.example.com", "other.lambda-url.eu-west-1.on.aws", "on.aws"} {
		event := strings.ReplaceAll(string(golden(t, "url")), "u1v2w3x4y5.lambda-url.eu-west-1.on.aws", domain)
		require.Equal(t, awslambda.HTTP2, receive(t, []byte(event)).event.Kind, domain)
	}
}

// The runtime uses the slice of an event again for the next one.
func TestNothingOfAnEventIsKept(t *testing.T) {
	for _, name := range []string{"rest", "http1", "http2", "url", "alb", "alb_multi"} {
		event := golden(t, name)
		before := receive(t, event)
		header, uri, e := before.Header.Clone(), before.RequestURI, before.event
		want := []string{string(e.Authorizer), string(e.Identity), strings.Clone(e.API), strings.Clone(uri)}
		clear(event)
		require.Equal(t, header, before.Header)
		require.Equal(t, want, []string{string(e.Authorizer), string(e.Identity), e.API, before.RequestURI})
	}
}

func TestRequestHasTheContextOfTheInvocation(t *testing.T) {
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "lambda"))
	f := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		require.Equal(t, "lambda", r.Context().Value(key{}))
		require.NoError(t, r.Context().Err())
		cancel()
		require.ErrorIs(t, r.Context().Err(), context.Canceled)
	})
	_, err := f.Invoke(ctx, golden(t, "rest"))
	require.NoError(t, err)
}

func TestConfigIsChecked(t *testing.T) {
	_, err := awslambda.New(awslambda.Config{BasePaths: map[string]string{"": "v1", "a/b": "x"}})
	require.ErrorContains(t, err, "Handler is nil")
	require.ErrorContains(t, err, `"a/b"`)
	require.ErrorContains(t, err, `""`)
	var zero awslambda.Function
	_, err = zero.Invoke(t.Context(), golden(t, "rest"))
	require.ErrorIs(t, err, awslambda.ErrNotConfigured)
	_, err = zero.Stream(t.Context(), golden(t, "rest"))
	require.ErrorIs(t, err, awslambda.ErrNotConfigured)
	_, ok := awslambda.FromContext(t.Context())
	require.False(t, ok)
}

// Request makes the request of an authorizer's event too, whose context has no event: nothing in it is verified yet.
func TestRequestIsMadeWithoutServing(t *testing.T) {
	f := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("served") })
	r, err := f.Request(t.Context(), golden(t, "rest"))
	require.NoError(t, err)
	want := receive(t, golden(t, "rest"))
	require.Equal(t, want.RequestURI, r.RequestURI)
	require.Equal(t, want.Header, r.Header)
	_, ok := awslambda.FromContext(r.Context())
	require.True(t, ok)
	for _, name := range []string{"other_request", "other_request2"} {
		r, err := f.Request(t.Context(), golden(t, name))
		require.NoError(t, err, name)
		require.NotEmpty(t, r.Header, name)
		_, ok := awslambda.FromContext(r.Context())
		require.False(t, ok, name)
	}
	for _, name := range []string{"other_token", "other_appsync", "other_websocket", "other_sqs"} {
		_, err := f.Request(t.Context(), golden(t, name))
		require.ErrorIs(t, err, awslambda.ErrEvent, name)
	}
	_, err = f.Request(t.Context(), with(t, golden(t, "rest"), map[string]any{"path": "/%zz"}))
	status, ok := err.(interface{ StatusCode() int })
	require.True(t, ok)
	require.Equal(t, http.StatusBadRequest, status.StatusCode())
	_, err = new(awslambda.Function).Request(t.Context(), golden(t, "rest"))
	require.ErrorIs(t, err, awslambda.ErrNotConfigured)
}

// A host is refused if and only if net/http's server refuses it.
func TestHostsAreThoseOfAServer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	hosts := []string{"pets.example.com", "[2001:db8::1]:443", "a:b:c", "xn--caf-dma.example"}
	for c := range byte(0x7f) {
		if c > ' ' { // net/http trims blanks, and an event with control characters is refused anyway
			hosts = append(hosts, "a"+string(rune(c))+"b")
		}
	}
	for _, host := range hosts {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
		require.NoError(t, err)
		status, err := bufio.NewReader(conn).ReadString('\n')
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		got := call(t, with(t, golden(t, "alb"), map[string]any{"headers": map[string]any{"host": host}}), func(http.ResponseWriter, *http.Request) {})
		require.Contains(t, status, strconv.Itoa(got.StatusCode), "%q", host)
	}
}

// What a client writes into one place of a request does not get into another, and of two places one counts.
func TestNothingIsSmuggled(t *testing.T) {
	for name, test := range map[string]struct {
		file    string
		members map[string]any
		header  http.Header // some fields
		path    string
	}{
		"headers that differ": {"rest", map[string]any{
			"headers": map[string]any{"Authorization": "Bearer a", "X-Other": "a"}, "multiValueHeaders": map[string]any{"Authorization": []string{"Bearer b"}},
		}, http.Header{"Authorization": {"Bearer b"}, "X-Other": nil}, ""},
		"two spellings are two values": {"rest", map[string]any{
			"multiValueHeaders": map[string]any{"Authorization": []string{"Bearer a"}, "authorization": []string{"Bearer b"}},
		}, http.Header{"Authorization": {"Bearer a", "Bearer b"}}, ""},
		"lists that format 2.0 does not have": {"http2", map[string]any{
			"headers": map[string]any{"x-api-key": "a"}, "multiValueHeaders": map[string]any{"x-api-key": []string{"b"}},
			"multiValueQueryStringParameters": map[string]any{"a": []string{"evil"}},
		}, http.Header{"X-Api-Key": {"a"}}, ""},
		"cookies in both places": {"http2", map[string]any{
			"headers": map[string]any{"cookie": "a=1"}, "cookies": []string{"b=2", "c=3"},
		}, http.Header{"Cookie": {"a=1", "b=2; c=3"}}, ""},
		"cookies of a REST API":    {"rest", map[string]any{"cookies": []string{"evil=1"}, "multiValueHeaders": map[string]any{}}, http.Header{"Cookie": nil}, ""},
		"values that are no texts": {"rest", map[string]any{"multiValueHeaders": map[string]any{"X-A": 1, "X-B": map[string]any{"X-C": "d"}}}, http.Header{"X-A": nil, "X-B": nil, "X-C": nil}, ""},
		"a host in the path":       {"rest", map[string]any{"path": "//evil.example/a"}, nil, "//evil.example/a"},
		"escaped slashes and dots": {"rest", map[string]any{"path": "/pets/..%2f..%2fadmin"}, nil, "/pets/../../admin"},
		"escaped twice":            {"rest", map[string]any{"path": "/pets/%252e%252e"}, nil, "/pets/%2e%2e"},
	} {
		got := receive(t, with(t, golden(t, test.file), test.members))
		for field, values := range test.header {
			require.Equal(t, values, got.Header[field], "%s: %s", name, field)
		}
		if test.path != "" {
			require.Equal(t, test.path, got.URL.Path, name)
			require.Empty(t, got.URL.Host, name)
		}
		require.NotContains(t, got.URL.RawQuery, "evil", name)
	}
}
