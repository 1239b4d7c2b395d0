package sigv4_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

// received is what a verifying server has read of a request.
type received struct {
	err    error
	id     sigv4.Identity
	target string
	cookie []string
	length int64
	body   string
}

// verifying starts a server for one version of HTTP, which verifies requests and keeps the last.
func verifying(tb testing.TB, v *sigv4.Verifier, http2 bool) (*httptest.Server, *received) {
	last := new(received)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*last = received{target: r.RequestURI, cookie: r.Header["Cookie"], length: r.ContentLength}
		last.id, last.err = v.Verify(r)
		body, _ := io.ReadAll(r.Body)
		last.body = string(body)
	}))
	server.EnableHTTP2 = http2
	if http2 {
		server.StartTLS()
	} else {
		server.Start()
	}
	tb.Cleanup(server.Close)
	return server, last
}

// versions runs a test for each version of HTTP, with a signing client.
func versions(t *testing.T, c sigv4.SignerConfig, test func(t *testing.T, base string, client *http.Client, last *received)) {
	v := euWest
	v.AllowUncleanPath = true
	c.Credentials, c.Region = as(iamKeyID, iamSecret), "eu-west-1"
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			server, last := verifying(t, newVerifier(t, v), http2)
			test(t, server.URL, &http.Client{Transport: newSigner(t, c).Transport(server.Client().Transport)}, last)
		})
	}
}

// do sends a request and closes the answer.
func do(t *testing.T, client *http.Client, r *http.Request) {
	t.Helper()
	response, err := client.Do(r)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, 200, response.StatusCode)
}

func request(t *testing.T, method, target string, body io.Reader) *http.Request {
	r, err := http.NewRequest(method, target, body)
	require.NoError(t, err)
	return r
}

// sendable are queries as programs put them together, and what is sent. None means an error.
var sendable = []struct{ raw, sent string }{
	{"", ""},
	{"a=1&b", "a=1&b"},
	{"q=a b", "q=a%20b"},
	{" =1& ", "%20=1&%20"},
	{"q=a+b", "q=a%20b"},
	{"q=a%2Bb", "q=a%2Bb"},
	{"q=a%20b c", "q=a%20b%20c"},
	{"q=é", "q=%C3%A9"},
	{"q=\xff", "q=%FF"},
	{"q=a\tb\r\nc\x00\x7f", "q=a%09b%0D%0Ac%00%7F"},
	{`q=["<>\^{|}` + "`]", "q=%5B%22%3C%3E%5C%5E%7B%7C%7D%60%5D"},
	{"q=!$'()*,-./:?@_~", "q=!$'()*,-./:?@_~"},
	{"a=b=c", "a=b=c"},
	{"a;b", ""},
	{"a=b;c d", ""},
	{"a#b", ""},
	{"a=%", ""},
	{"a=%z0 ", ""},
}

func TestSignMakesQuerySendable(t *testing.T) {
	versions(t, sigv4.SignerConfig{}, func(t *testing.T, base string, client *http.Client, last *received) {
		for _, tt := range sendable {
			r := request(t, "GET", base+"/Prod", nil)
			r.URL.RawQuery = tt.raw
			if tt.sent == "" && tt.raw != "" {
				_, err := client.Do(r)
				require.ErrorIs(t, err, sigv4.ErrAmbiguousQuery, tt.raw)
				continue
			}
			do(t, client, r)
			require.NoError(t, last.err, tt.raw)
			_, query, _ := strings.Cut(last.target, "?")
			require.Equal(t, tt.sent, query)
			require.Equal(t, tt.raw, r.URL.RawQuery) // a RoundTripper leaves the request as it is
			want, _ := url.ParseQuery(tt.raw)
			got, err := url.ParseQuery(query)
			require.NoError(t, err)
			require.Equal(t, want, got) // it means what it meant
		}
	})
}

// The same queries, presigned.
func TestPresignMakesQuerySendable(t *testing.T) {
	s := newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1"})
	for _, http2 := range []bool{false, true} {
		server, last := verifying(t, newVerifier(t, euWest), http2)
		for _, tt := range sendable {
			r := request(t, "GET", server.URL+"/Prod", nil)
			r.URL.RawQuery = tt.raw
			presigned, err := s.Presign(r, time.Minute)
			if tt.sent == "" && tt.raw != "" {
				require.ErrorIs(t, err, sigv4.ErrAmbiguousQuery, tt.raw)
				continue
			}
			require.NoError(t, err)
			do(t, server.Client(), request(t, "GET", presigned, nil))
			require.NoError(t, last.err, presigned)
			require.Equal(t, tt.raw, r.URL.RawQuery)
		}
	}
}

// What net/http would not send as it was signed, or servers would refuse, is an error of Sign and of Presign.
func TestSignRefusesTargetsThatCannotBeSent(t *testing.T) {
	s := newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1"})
	for name, change := range map[string]func(*http.Request){
		"path without a slash":        func(r *http.Request) { r.URL.Path = "Prod/loyalty" },
		"path without a slash, raw":   func(r *http.Request) { r.URL.Path, r.URL.RawPath = "Prod/é", "Prod/%C3%A9" },
		"path with its slash escaped": func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/Prod", "%2FProd" },
		"asterisk":                    func(r *http.Request) { r.Method, r.URL.Path = "OPTIONS", "*" },
		"query in place of the path":  func(r *http.Request) { r.URL.Path = "?a=1" },
		"opaque":                      func(r *http.Request) { r.URL.Opaque = "/Prod" },
		"no URL":                      func(r *http.Request) { r.URL = nil },
		"CONNECT":                     func(r *http.Request) { r.Method, r.URL.Path = "CONNECT", "" },
		"no host":                     func(r *http.Request) { r.Host, r.URL.Host = "", "" },
	} {
		r := request(t, "GET", "https://api.example.com/Prod?a=1", nil)
		change(r)
		require.ErrorIs(t, s.Sign(r), sigv4.ErrMalformedTarget, name)
		require.Empty(t, r.Header.Get("Authorization"))
		_, err := s.Presign(r, time.Minute)
		require.ErrorIs(t, err, sigv4.ErrMalformedTarget, name)
		_, err = s.Transport(nil).RoundTrip(r)
		require.ErrorIs(t, err, sigv4.ErrMalformedTarget, name)
	}
}

func TestEmptyPathIsSignedAsSlash(t *testing.T) {
	versions(t, sigv4.SignerConfig{}, func(t *testing.T, base string, client *http.Client, last *received) {
		for _, target := range []string{base, base + "?a=1", base + "?"} {
			do(t, client, request(t, "GET", target, nil))
			require.NoError(t, last.err, target)
		}
	})
	s := newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1"})
	got, err := s.Presign(request(t, "GET", "https://api.example.com", nil), time.Minute)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(got, "https://api.example.com/?"), got)
}

func TestPresignedHostIsTheOneThatClientsSend(t *testing.T) {
	s := newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1"})
	for _, tt := range []struct{ scheme, urlHost, host, want string }{
		{"https", "api.example.com", "", "https://api.example.com"},
		{"https", "api.example.com", "api.example.com", "https://api.example.com"},
		{"", "", "api.example.com", "https://api.example.com"},
		{"http", "api.example.com:8080", "api.example.com:8080", "http://api.example.com:8080"},
		{"https", "API.example.com", "api.Example.com", "https://api.example.com"}, // browsers send lower case
		{"https", "api.example.com:443", "api.example.com", "https://api.example.com"},
		{"https", "api.example.com", "api.example.com:443", "https://api.example.com"},
		{"http", "api.example.com:80", "", "http://api.example.com"},
		{"http", "api.example.com:443", "", "http://api.example.com:443"},
		{"https", "api.example.com:", "", "https://api.example.com"},
		{"https", "[::1]:443", "", "https://[::1]"},
		{"https", "10.0.0.7", "api.example.com", ""},
		{"https", "api.example.com", "api.example.com:8443", ""},
		{"https", "api.example.com", "api.example.com.", ""},
		{"https", "bücher.example", "api.example.com", ""},
		{"https", "[fe80::1%eth0]", "api.example.com", ""},
		{"https", ":443", "", ""},
	} {
		r := &http.Request{URL: &url.URL{Scheme: tt.scheme, Host: tt.urlHost, Path: "/Prod"}, Host: tt.host}
		got, err := s.PresignAt(r, time.Minute, now)
		if tt.want == "" {
			require.ErrorIs(t, err, sigv4.ErrMalformedTarget, tt)
			continue
		}
		require.NoError(t, err, tt)
		base, _, _ := strings.Cut(got, "/Prod?")
		require.Equal(t, tt.want, base)
		u, err := url.Parse(got)
		require.NoError(t, err)
		follow := get(u.RequestURI())
		follow.Host = u.Host
		_, err = newVerifier(t, euWest).VerifyAt(follow, now)
		require.NoError(t, err, got)
	}
	r := request(t, "GET", "https://10.0.0.7/", nil)
	r.Host = "api.example.com"
	_, err := s.Presign(r, time.Minute)
	require.ErrorContains(t, err, "Host differs from the host of the URL, which the recipient will send")
}

// One Cookie header arrives, in every version of HTTP.
func TestCookiesAreSignedAsTheyArrive(t *testing.T) {
	versions(t, sigv4.SignerConfig{}, func(t *testing.T, base string, client *http.Client, last *received) {
		for _, tt := range []struct{ set, arrives []string }{
			{nil, nil},
			{[]string{"a=1"}, []string{"a=1"}},
			{[]string{"a=1", "b=2"}, []string{"a=1; b=2"}},
			{[]string{"a=1; b=2", "c=3"}, []string{"a=1; b=2; c=3"}},
			{[]string{"a=1;b=2"}, []string{"a=1; b=2"}},
			{[]string{"a=1;", " ;;b=2 ;\tc"}, []string{"a=1; b=2; c"}},
			{[]string{"a=1,x", "b=2,y"}, []string{"a=1,x; b=2,y"}},
			{[]string{""}, nil},
			{[]string{";", " "}, nil},
		} {
			r := request(t, "GET", base, nil)
			if r.Header["Cookie"] = tt.set; tt.set == nil {
				delete(r.Header, "Cookie")
			}
			do(t, client, r)
			require.NoError(t, last.err, tt.set)
			require.Equal(t, tt.arrives, last.cookie, tt.set)
			require.Equal(t, tt.set, r.Header["Cookie"])
		}
	})
}

func TestCookiesArePresignedAsTheyArrive(t *testing.T) {
	s := newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1"})
	server, last := verifying(t, newVerifier(t, euWest), true)
	r := request(t, "GET", server.URL, nil)
	r.Header["Cookie"] = []string{"a=1", "b=2"}
	presigned, err := s.Presign(r, time.Minute)
	require.NoError(t, err)
	require.Equal(t, []string{"a=1", "b=2"}, r.Header["Cookie"])
	follow := request(t, "GET", presigned, nil)
	follow.Header = r.Header
	do(t, server.Client(), follow)
	require.NoError(t, last.err)
	require.Equal(t, []string{"a=1; b=2"}, last.cookie)
}

// What proxies, tracers and clients change is not signed, so that it may change.
func TestHeadersThatHopsChangeAreNotSigned(t *testing.T) {
	r := request(t, "GET", "https://api.example.com/", nil)
	unsigned := []string{
		"Traceparent", "Tracestate", "Baggage", "B3", "X-B3-TraceId", "X-B3-Sampled", "Uber-Trace-Id", "Uberctx-Key", "Ot-Tracer-Spanid",
		"X-Cloud-Trace-Context", "X-Datadog-Trace-Id", "Sentry-Trace", "X-Amzn-Trace-Id", "X-Amzn-Oidc-Data", "X-Request-Id", "X-Correlation-Id",
		"Priority", "Via", "Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Server",
		"X-Forwarded", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Cf-Ray", "Cloudfront-Viewer-Country", "Fastly-Client-Ip",
		"X-Envoy-External-Address", "X-Azure-Clientip", "X-Original-Url", "X-Client-Ip", "X-Cluster-Client-Ip", "Cdn-Loop", "Early-Data",
		"Client-Cert", "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Http2-Settings", "Expect", "Max-Forwards", "User-Agent", "Accept-Encoding", "Cache-Control", "Pragma", "Referer", "From",
		"Sec-Fetch-Site", "Content-Length", "Alt-Used",
	}
	for _, name := range unsigned {
		r.Header.Set(name, "x")
	}
	r.Header.Set("Content-Type", "text/plain")
	signed(t, r, sigv4.SignerConfig{})
	require.Contains(t, r.Header.Get("Authorization"), "SignedHeaders=content-type;host;x-amz-date,")
	for _, name := range unsigned {
		r.Header.Set(name, "changed")
	}
	r.ContentLength = -1
	_, err := newVerifier(t, euWest).VerifyAt(r, now)
	require.NoError(t, err)
}

// SignHeader may name all headers: those that end at the next hop, and those that net/http leaves out, are not signed.
func TestSignHeaderMaySelectEveryHeader(t *testing.T) {
	all := sigv4.SignerConfig{SignHeader: func(string) bool { return true }}
	versions(t, all, func(t *testing.T, base string, client *http.Client, last *received) {
		for name, values := range map[string][]string{
			"Connection": {"keep-alive"}, "Keep-Alive": {"timeout=5"}, "Te": {"trailers"}, "Trailer": {"X"}, "Proxy-Connection": {"keep-alive"},
			"User-Agent": {""}, "X-Nothing": {}, "X-Nil": nil, "X-Empty": {""}, "X-Two": {"a", " b  c "}, "Accept-Encoding": {"gzip"},
			"Content-Length": {"4"}, "Via": {"1.1 a"}, "Cookie": {"a;b"}, "Date": {"yesterday"}, "Host": {"elsewhere"}, "Expect": {"100-continue"},
		} {
			r := request(t, "POST", base, strings.NewReader("body"))
			r.Header[name] = values
			do(t, client, r)
			require.NoError(t, last.err, name)
			require.Equal(t, "body", last.body)
		}
		r := request(t, "GET", base, nil)
		r.Header["User-Agent"] = []string{"first", "second"}
		do(t, client, r)
		require.NoError(t, last.err)
	})
}

func TestSignRefusesHeadersThatChangeOnTheWay(t *testing.T) {
	all := func(string) bool { return true }
	for _, tt := range []struct {
		name   string
		header http.Header
		sign   func(string) bool
	}{
		{"second Authorization", http.Header{"authorization": {"Bearer x"}}, nil},
		{"second Host", http.Header{"HOST": {"b"}}, nil},
		{"second Content-Length", http.Header{"content-length": {"1"}}, nil},
		{"second Transfer-Encoding", http.Header{"transfer-encoding": {"chunked"}}, nil},
		{"Connection in another form", http.Header{"connection": {"X-Amz-Acl"}, "X-Amz-Acl": {"private"}}, nil},
		{"Connection takes a signed header away", http.Header{"Connection": {"X-Amz-Acl"}, "X-Amz-Acl": {"private"}}, nil},
		{"Connection takes X-Amz-Date away", http.Header{"Connection": {"close, x-amz-date"}}, nil},
		{"Connection takes Host away", http.Header{"Connection": {"close", "Host"}}, nil},
		{"underscores for the first dash", http.Header{"X_amz-Acl": {"private"}}, nil},
		{"underscores all over", http.Header{"X_amz_acl": {"private"}}, func(string) bool { return false }},
		{"a twin of a header of the signature", http.Header{"X-Amz-Security_token": {"x"}}, nil},
		{"Content-Length that is not sent", http.Header{"Content-Length": {"4"}}, all},
		{"Content-Length twice", http.Header{"Content-Length": {"0", "0"}}, all},
	} {
		r := request(t, "GET", "https://api.example.com/", nil)
		r.Header = tt.header
		s := newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1", SignHeader: tt.sign})
		require.ErrorIs(t, s.Sign(r), sigv4.ErrAmbiguousHeader, tt.name)
		require.Empty(t, r.Header.Get("Authorization"), tt.name)
	}
	for _, name := range []string{"X-Amz-Acl", "x-amz-acl", "Authorization"} {
		r := request(t, "POST", "https://api.example.com/", nil)
		r.Trailer = http.Header{name: nil}
		s := newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1"})
		require.ErrorIs(t, s.Sign(r), sigv4.ErrUnsignedHeader, name)
		r.Trailer = nil
		r.Header.Set("Trailer", "Grpc-Status, "+name) // which net/http sends by HTTP/2
		require.ErrorIs(t, s.Sign(r), sigv4.ErrUnsignedHeader, name)
	}
	r := request(t, "GET", "https://api.example.com/", nil)
	r.Header = http.Header{"Connection": {"X-Hop, close"}, "Te": {"trailers"}, "x-request-id": {"1"}}
	signed(t, r, sigv4.SignerConfig{}) // what is not signed may end at the next hop, and its key may have any form
}

// A length that the recipient is to send may be signed into a URL.
func TestPresignedContentLengthBindsTheRecipient(t *testing.T) {
	c := sigv4.SignerConfig{SignHeader: func(name string) bool { return name == "content-length" }, UnsignedPayload: true}
	r := request(t, "PUT", "https://api.example.com/a", nil)
	r.Header.Set("Content-Length", "4")
	target := presigned(t, r, c).RequestURI
	v := euWest
	v.AllowUnsignedPayload = true
	for body, want := range map[string]error{"body": nil, "a body": sigv4.ErrSignatureMismatch} {
		follow := httptest.NewRequest("PUT", target, strings.NewReader(body))
		follow.Host = "api.example.com"
		_, err := newVerifier(t, v).VerifyAt(follow, now)
		require.ErrorIs(t, err, want)
	}
}
