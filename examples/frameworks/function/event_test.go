package function_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

const (
	accessKey = "AKIDEXAMPLE"
	secretKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	apiKey    = "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT"
	client    = "203.0.113.9"
)

// source is what a client calls, and how it makes an event of a request. The events have the shapes of AWS's
// documentation.
type source struct {
	name  string
	host  string
	base  string // what the client puts before the path: the stage, a mapping key, or nothing
	event func(sent) map[string]any
}

// sources are the eight.
var sources = []source{
	{"REST", "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com", "/Prod", ofREST},
	{"REST domain", "api.example.com", "/v1", ofREST},
	{"HTTP 1.0", "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com", "/Prod", ofHTTP1},
	{"HTTP 2.0", "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com", "/Prod", ofHTTP2},
	{"HTTP 2.0 key", "api.example.com", "/v1", ofHTTP2},
	{"URL", "u1v2w3x4y5.lambda-url.eu-west-1.on.aws", "", ofURL},
	{"ALB multi", "loyalty.example.com", "", ofALBMulti},
	{"ALB single", "loyalty.example.com", "", ofALBSingle},
}

// sent is a request as it reaches AWS.
type sent struct {
	*http.Request
	source source
	path   string // as it was sent, without base
	body   []byte
	lines  map[string][]string // the header, with the host and what AWS adds
}

// of makes the event of a request.
func (s source) of(t *testing.T, r *http.Request) []byte {
	t.Helper()
	all := sent{Request: r, source: s, path: strings.TrimPrefix(r.URL.EscapedPath(), s.base), lines: maps.Clone(r.Header)}
	if r.Body != nil {
		var err error
		all.body, err = io.ReadAll(r.Body)
		require.NoError(t, err)
	}
	maps.Copy(all.lines, map[string][]string{
		"Host": {s.host}, "X-Forwarded-For": {client}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Port": {"443"},
		"X-Amzn-Trace-Id": {"Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700"},
	})
	event := s.event(all)
	event["body"], event["isBase64Encoded"] = string(all.body), false
	if !utf8.Valid(all.body) {
		event["body"], event["isBase64Encoded"] = base64.StdEncoding.EncodeToString(all.body), true
	}
	text, err := json.Marshal(event)
	require.NoError(t, err)
	return text
}

// request makes a request that a client of the source sends.
func (s source) request(t *testing.T, method, target string, body []byte) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, "https://"+s.host+s.base+target, nil)
	require.NoError(t, err)
	if body != nil {
		r, err = http.NewRequest(method, r.URL.String(), bytes.NewReader(body))
		require.NoError(t, err)
	}
	return r
}

// signer signs as the client.
func signer(t *testing.T) *sigv4.Signer {
	t.Helper()
	s, err := sigv4.NewSigner(sigv4.SignerConfig{
		Credentials: func(context.Context) (sigv4.Credentials, error) {
			return sigv4.Credentials{AccessKeyID: accessKey, Secret: secretKey}, nil
		},
		Region: "eu-west-1",
	})
	require.NoError(t, err)
	return s
}

// last has the last of several values, as single-value forms do.
func last(all map[string][]string) map[string]string {
	one := make(map[string]string)
	for name, values := range all {
		one[name] = values[len(values)-1]
	}
	return one
}

// joined has the form of payload format 2.0: names in lower case, and values joined with commas.
func joined(all map[string][]string) map[string]string {
	one := make(map[string]string)
	for name, values := range all {
		one[strings.ToLower(name)] = strings.Join(values, ",")
	}
	return one
}

// decoded is the path as HTTP APIs deliver it. AWS also cuts it at a decoded "?", which is not emulated here.
func decoded(path string) string {
	text, err := url.PathUnescape(path)
	if err != nil {
		return path
	}
	return text
}

// ofREST decodes the query. The paths are as they were sent: one without the stage or the mapping key, and one with.
func ofREST(s sent) map[string]any {
	path := s.path
	if s.source.host == "api.example.com" {
		path = s.source.base + path // with the mapping key of a custom domain, but without a stage
	}
	query := map[string][]string(s.URL.Query())
	return map[string]any{
		"resource": "/{proxy+}", "path": path, "httpMethod": s.Method,
		"headers": last(s.lines), "multiValueHeaders": s.lines,
		"queryStringParameters": last(query), "multiValueQueryStringParameters": query,
		"requestContext": map[string]any{
			"accountId": "123456789012", "apiId": "a1b2c3d4e5", "stage": "Prod", "domainName": s.source.host,
			"httpMethod": s.Method, "path": s.source.base + s.path, "protocol": "HTTP/1.1", "requestId": "c6af9ac6",
			"resourceId": "123456", "resourcePath": "/{proxy+}",
			"identity": map[string]any{"sourceIp": client, "userAgent": "test"},
		},
	}
}

// ofHTTP1 is ofREST with a version and decoded paths.
func ofHTTP1(s sent) map[string]any {
	event := ofREST(s)
	event["version"], event["path"] = "1.0", decoded(s.path)
	event["requestContext"].(map[string]any)["path"] = decoded(s.source.base + s.path)
	return event
}

// ofHTTP2 has a decoded path, with the stage whatever the client has sent. Cookies are apart.
func ofHTTP2(s sent) map[string]any {
	return ofFormat2(s, "a1b2c3d4e5", "Prod", decoded("/Prod"+s.path))
}

func ofURL(s sent) map[string]any { return ofFormat2(s, "u1v2w3x4y5", "$default", s.path) }

func ofFormat2(s sent, api, stage, path string) map[string]any {
	headers := joined(s.lines)
	delete(headers, "cookie")
	event := map[string]any{
		"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": s.URL.RawQuery, "headers": headers,
		"requestContext": map[string]any{
			"accountId": "123456789012", "apiId": api, "stage": stage, "domainName": s.source.host, "requestId": "c6af9ac6",
			"routeKey": "$default", "time": "30/Nov/2026:12:00:00 +0000", "timeEpoch": int64(1796040000000),
			"http": map[string]any{
				"method": s.Method, "path": path, "protocol": "HTTP/1.1", "sourceIp": client, "userAgent": "test",
			},
		},
	}
	if cookies := s.Header.Get("Cookie"); cookies != "" {
		event["cookies"] = strings.Split(cookies, "; ")
	}
	return event
}

// ofALBMulti has names in lower case, and a query that is not decoded.
func ofALBMulti(s sent) map[string]any {
	headers, query := albHeader(s), rawQuery(s.URL.RawQuery)
	return ofALB(s, map[string]any{"multiValueHeaders": headers, "multiValueQueryStringParameters": query})
}

func ofALBSingle(s sent) map[string]any {
	return ofALB(s, map[string]any{"headers": last(albHeader(s)), "queryStringParameters": last(rawQuery(s.URL.RawQuery))})
}

func ofALB(s sent, event map[string]any) map[string]any {
	event["httpMethod"], event["path"] = s.Method, s.path
	event["requestContext"] = map[string]any{"elb": map[string]any{
		"targetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/loyalty/6d0ecf831eec9f09",
	}}
	return event
}

func albHeader(s sent) map[string][]string {
	lower := make(map[string][]string)
	for name, values := range s.lines {
		lower[strings.ToLower(name)] = slices.Clone(values)
	}
	return lower
}

// rawQuery splits a query and decodes nothing.
func rawQuery(query string) map[string][]string {
	all := make(map[string][]string)
	for pair := range strings.SplitSeq(query, "&") {
		if name, value, _ := strings.Cut(pair, "="); pair != "" {
			all[name] = append(all[name], value)
		}
	}
	return all
}
