package sigv4_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

// peer is a signing client of one kind and the server that verifies what it sends.
type peer struct {
	base   *url.URL
	signer http.RoundTripper
	last   *received
}

// The bits that choose a peer and the form of the body.
const (
	asS3 = 1 << iota
	overHTTP2
	signAll
	withBody
	readOnce
)

// newPeer starts a server that reads paths and speaks HTTP as the bits say, and makes a client for it.
func newPeer(tb testing.TB, bits uint8) peer {
	v := newVerifier(tb, sigv4.VerifierConfig{
		Keys: keyring.Key, Regions: []string{"eu-west-1"}, Services: []string{"any"}, S3: bits&asS3 != 0, AllowUncleanPath: true,
		MaxHeaderBytes: -1,
	})
	server, last := verifying(tb, v, bits&overHTTP2 != 0)
	base, err := url.Parse(server.URL)
	require.NoError(tb, err)
	c := sigv4.SignerConfig{
		Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1", Service: "any", S3: bits&asS3 != 0, MaxSpool: 1 << 20,
	}
	if bits&signAll != 0 {
		c.SignHeader = func(string) bool { return true }
	}
	return peer{base, newSigner(tb, c).Transport(server.Client().Transport), last}
}

// request makes the request that the bits and the texts describe.
func (p *peer) request(tb testing.TB, bits uint8, method, host, path, rawPath, query string, header http.Header, body string) *http.Request {
	u := *p.base
	u.Path, u.RawPath, u.RawQuery = path, rawPath, query
	r := &http.Request{Method: method, Host: host, URL: &u, Header: header}
	if bits&withBody != 0 {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		if bits&readOnce == 0 {
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
		}
	}
	return r.WithContext(tb.Context())
}

// FuzzSent sends requests of any form by a signing client of net/http to its server. A request that is signed and sent
// must verify. For any other request the client must return an error that names what cannot be sent.
func FuzzSent(f *testing.F) {
	const header, header2 = "My-Header", "X-Amz-Meta"
	f.Add(uint8(0), "GET", "", "/Prod/loyalty", "", "a=1&b", header, "a  b", "c", "")
	f.Add(uint8(0), "GET", "api.example.com:443", "/a b/ü", "", "q=a b+c é", header2, " x ", "", "")
	f.Add(uint8(withBody), "POST", "API.example.com", "", "", "a;b", "Cookie", "a=1;b=2", "c=3", "body")
	f.Add(uint8(asS3|withBody|readOnce), "PUT", "", "/b//a/../c%2Fd", "/b//a/../c%252Fd", "list-type=2&&prefix=/", "Content-Type", "text/plain", "", "body")
	f.Add(uint8(overHTTP2), "GET", "", "/./a//b/..", "", "x=%2B+%20", "Cookie", "a=1;b=2; c", "", "")
	f.Add(uint8(overHTTP2|withBody|signAll), "POST", "", "/a", "%2Fa", "#", "Expect", "100-continue", "", "body")
	f.Add(uint8(signAll), "DELETE", "", "a", "", "%", "Connection", "X-Amz-Date", "close", "")
	f.Add(uint8(signAll|withBody|readOnce), "get", "", "*", "", "\x00\r\n", "authorization", "Bearer x", "", "")
	f.Add(uint8(signAll|overHTTP2|asS3), "CONNECT", "b c", "/a?b#c", "", `"<>[]`, "X_amz_date", "1", "", "")
	f.Add(uint8(signAll), "OPTIONS", "[::1]", "//a", "", "a=%41%zz", "User-Agent", "", "x", "")
	f.Add(uint8(signAll|withBody), "POST", "", "/", "", "X-Amz-Meta=1&x-amz-acl", "Content-Length", "4", "", "body")
	f.Add(uint8(signAll|withBody|overHTTP2|asS3), "POST", "a,b", "/", "", "=&", "Trailer", "X-Amz-Meta", "", "")
	peers := make(map[uint8]peer)
	for kind := range uint8(withBody) { // each mix of the bits below
		peers[kind] = newPeer(f, kind)
	}
	f.Fuzz(func(t *testing.T, bits uint8, method, host, path, rawPath, query, key, value, second, body string) {
		if strings.EqualFold(key, "X-Amz-Content-Sha256") || len(host+path+query+key+value+second) > 4<<10 {
			return // a hash that is declared is the caller's word; a limit is the server's
		}
		p := peers[bits%withBody]
		values := []string{value}
		if second != "" {
			values = append(values, second)
		}
		*p.last = received{err: errNotReached}
		response, err := p.signer.RoundTrip(p.request(t, bits, method, host, path, rawPath, query, http.Header{key: values}, body))
		if err != nil {
			requireOwnError(t, err)
			return
		}
		require.NoError(t, response.Body.Close())
		if response.StatusCode == http.StatusExpectationFailed {
			return // RFC 9110 10.1.1: an expectation of the test's own making
		}
		require.Equal(t, http.StatusOK, response.StatusCode)
		require.NoError(t, p.last.err)
		if bits&withBody != 0 {
			require.Equal(t, body, p.last.body)
		}
	})
}

var errNotReached = errors.New("the server has not called its handler")

// requireOwnError checks that it was the client that refused to send a request, not the server to take it.
func requireOwnError(t *testing.T, err error) {
	t.Helper()
	if _, ok := errors.AsType[*sigv4.Error](err); ok {
		return
	}
	for _, theirs := range []string{"stream error", "GOAWAY", "EOF", "reset", "broken pipe", "malformed", "closed"} {
		require.NotContains(t, err.Error(), theirs)
	}
}
