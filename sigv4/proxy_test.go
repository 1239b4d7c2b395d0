package sigv4_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

// Each header of a request that names a signed one in its Connection is refused.
func TestConnectionOptionMustNotNameSignedHeader(t *testing.T) {
	v := newVerifier(t, euWest)
	for _, tt := range []struct {
		values  []string
		refused bool
	}{
		{[]string{"X-Amz-Acl"}, true},
		{[]string{"x-amz-acl"}, true},
		{[]string{"X-AMZ-ACL"}, true},
		{[]string{"x_amz_acl"}, true},
		{[]string{"keep-alive, X-Amz-Acl"}, true},
		{[]string{"close,\tX-Amz-Acl ,"}, true},
		{[]string{"keep-alive", "x-amz-acl"}, true},
		{[]string{"x-amz-meta-absent"}, true},
		{[]string{"X-Amz-Date"}, true},
		{[]string{"host"}, true},
		{[]string{"Content-Type"}, true},
		{[]string{"authorization"}, true},
		{[]string{"te", "content-type"}, true},
		{[]string{"keep-alive"}, false},
		{[]string{"Keep-Alive, Upgrade, HTTP2-Settings"}, false},
		{[]string{"close", "TE", "", ",,"}, false},
		{[]string{"x-api-key"}, false}, // it is not signed
		{[]string{"content-typ", "content-type2", "x-amzn-trace-id"}, false},
		{[]string{strings.Repeat("o", 100)}, false},
	} {
		for _, name := range []string{"Connection", "Proxy-Connection"} {
			for _, query := range []bool{false, true} {
				r := get("/Prod")
				r.Header.Set("X-Amz-Acl", "private")
				r.Header.Set("Content-Type", "text/plain")
				sign := sigv4.SignerConfig{SignHeader: func(name string) bool { return name == "content-type" }}
				if query {
					header := r.Header
					r = presigned(t, r, sign)
					r.Header = header
				} else {
					signed(t, r, sign)
				}
				r.Header[name] = tt.values
				if query && tt.values[0] == "X-Amz-Date" {
					tt.refused = true // beginning with X-Amz- is enough
				}
				_, err := v.VerifyAt(r, now)
				if tt.refused {
					require.ErrorIs(t, err, sigv4.ErrAmbiguousHeader, "%s: %q", name, tt.values)
				} else {
					require.NoError(t, err, "%s: %q", name, tt.values)
				}
			}
		}
	}
	r := signed(t, get("/"), sigv4.SignerConfig{})
	r.Header.Set("Connection", strings.Repeat("a,", 300))
	_, err := v.VerifyAt(r, now)
	require.ErrorIs(t, err, sigv4.ErrHeaderTooLarge)
}

// In HTTP/2 net/http leaves a Host header next to :authority, which may be another.
func TestHostMustEqualAuthority(t *testing.T) {
	v := newVerifier(t, euWest)
	for host, want := range map[string]error{
		"example.com": nil, "EXAMPLE.com": nil, "evil.example.com": sigv4.ErrAmbiguousHeader, "": sigv4.ErrAmbiguousHeader,
		"example.com:443": sigv4.ErrAmbiguousHeader,
	} {
		r := signed(t, get("/"), sigv4.SignerConfig{})
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
		r.Header["Host"] = []string{host}
		_, err := v.VerifyAt(r, now)
		require.ErrorIs(t, err, want, host)
		r.Header["Host"] = []string{"example.com", host}
		_, err = v.VerifyAt(r, now)
		require.ErrorIs(t, err, want, host)
	}
}

// HTTP/2 repeats a header of 4 KiB for two bytes each time. A verifier does not write what it repeats.
func TestRepeatedHeaderIsNotWritten(t *testing.T) {
	refused := make(chan error, 1)
	c := euWest
	c.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
		refused <- err
		err.(http.Handler).ServeHTTP(w, r)
	}
	server := httptest.NewUnstartedServer(newVerifier(t, c).Handler(http.NotFoundHandler()))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	r, err := http.NewRequest("GET", server.URL+"/Prod", nil)
	require.NoError(t, err)
	r.Header = repeated(4<<10, 200).Header
	signer := newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1"})
	response, err := (&http.Client{Transport: signer.Transport(server.Client().Transport)}).Do(r)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, 2, response.ProtoMajor)
	require.Equal(t, 431, response.StatusCode)
	require.ErrorIs(t, <-refused, sigv4.ErrHeaderTooLarge)
}
