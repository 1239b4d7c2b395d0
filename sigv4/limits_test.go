package sigv4_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

func parameters(n int) *http.Request { return get("/?" + strings.Repeat("a&", n-1) + "a") }

// amzParameters differ in nothing but a number.
func amzParameters(n int) *http.Request {
	names := make([]string, n)
	for i := range names {
		names[i] = "x-amz-" + itoa(i) + "="
	}
	return get("/?" + strings.Join(names, "&"))
}

func withValues(n int) *http.Request {
	r := get("/")
	for range n {
		r.Header.Add("X-Amz-Meta", "v")
	}
	return r
}

func withNames(n int) *http.Request {
	r := get("/")
	for i := range n {
		r.Header.Set("X-Amz-Meta-"+itoa(i), "")
	}
	return r
}

func withBytes(n int) *http.Request {
	r := get("/")
	r.Header.Set("X-Amz-Meta", strings.Repeat("v", n))
	return r
}

var withinLimits = []struct {
	name string
	most int
	r    *http.Request
}{
	{"256 parameters", 0, parameters(256)},
	{"1000 parameters, allowed", 40_000, parameters(1000)},
	{"32000 parameters, no limit", -1, parameters(32_000)},
	{"64 parameters named X-Amz-", 0, amzParameters(64)},
	{"254 values, host and date", 0, withValues(254)},
	{"200 names", 0, withNames(200)},
	{"2000 names, no limit", -1, withNames(2000)},
	{"9000 bytes", 0, withBytes(9000)},
	{"10240 bytes, allowed", 20_000, withBytes(10_240)},
	{"100000 bytes, no limit", -1, withBytes(100_000)},
	{"5000 bytes of the query that are escaped to 15000", 0, get("/?q=" + strings.Repeat("!", 5000))},
	{"9600 bytes that are escaped, no limit", -1, get("/?q=" + strings.Repeat("!", 9600))},
	{"path of 9000 bytes", 0, get("/" + strings.Repeat("p", 9000))},
}

func TestRequestWithinLimitsIsAccepted(t *testing.T) {
	for _, tt := range withinLimits {
		c := euWest
		c.MaxHeaderBytes = tt.most
		_, err := newVerifier(t, c).VerifyAt(signed(t, tt.r, sigv4.SignerConfig{}), now)
		require.NoError(t, err, tt.name)
	}
	for _, r := range []*http.Request{parameters(249), amzParameters(64)} { // 7 more are the signature's
		_, err := newVerifier(t, euWest).VerifyAt(presigned(t, r, sigv4.SignerConfig{}), now)
		require.NoError(t, err)
	}
}

var beyondLimits = []struct {
	name string
	most int
	r    *http.Request
}{
	{"257 parameters", 0, parameters(257)},
	{"1001 parameters", 40_000, parameters(1001)},
	{"32000 parameters", 0, parameters(32_000)},
	{"65 parameters named X-Amz-", 0, amzParameters(65)},
	{"query of 10240 bytes", 0, get("/?" + strings.Repeat("q", 10_240))},
	{"9000 bytes of the query that are escaped to 27000", 0, get("/?q=" + strings.Repeat("+", 4000) + strings.Repeat("!", 5000))},
	{"5130 bytes of names that are escaped to 15390", 0, get("/?" + strings.Repeat(strings.Repeat("!", 1710)+"&", 3))},
	{"path of 10240 bytes", 0, get("/" + strings.Repeat("p", 10_240))},
	{"255 values, host and date", 0, withValues(255)},
	{"255 names, host and date", 0, withNames(255)},
	{"10240 bytes", 0, withBytes(10_240)},
	{"a header of 4 KiB, repeated by HTTP/2 250 times", 0, repeated(4<<10, 250)},
}

func repeated(size, n int) *http.Request {
	r := get("/")
	value := strings.Repeat("v", size)
	for range n {
		r.Header["X-Amz-Meta"] = append(r.Header["X-Amz-Meta"], value)
	}
	return r
}

// What is beyond the bounds is refused before it is parsed, in the header and in the query.
func TestRequestBeyondLimitsIsRefused(t *testing.T) {
	for _, tt := range beyondLimits {
		c := euWest
		c.MaxHeaderBytes = tt.most
		v := newVerifier(t, c)
		header := get("/")
		header.Header = tt.r.Header.Clone()
		signed(t, header, sigv4.SignerConfig{})
		header.RequestURI = tt.r.RequestURI

		bare := get("/")
		bare.Header = tt.r.Header.Clone()
		query := presigned(t, bare, sigv4.SignerConfig{})
		query.Header = tt.r.Header.Clone()
		path, params, _ := strings.Cut(tt.r.RequestURI, "?")
		if params != "" {
			params = "&" + params
		}
		query.RequestURI = path + "?" + query.URL.RawQuery + params

		for _, r := range []*http.Request{header, query} {
			if r == query && strings.HasPrefix(tt.name, "255") {
				continue // which it may: it does not sign a date
			}
			_, err := v.VerifyAt(r, now)
			require.ErrorIs(t, err, sigv4.ErrHeaderTooLarge, tt.name)
			e, _ := errors.AsType[*sigv4.Error](err)
			require.Equal(t, 431, e.StatusCode())
			require.Equal(t, "Request Header Fields Too Large", e.ErrorMessage())
			w := httptest.NewRecorder()
			sigv4.S3XML(w, r, err)
			require.Equal(t, 400, w.Code)
			require.Contains(t, w.Body.String(), "RequestHeaderSectionTooLarge")
		}
	}
}

// What a request says of itself beyond the bounds is not parsed; a request without a signature is only that.
func TestLargeQueryIsRefusedOnlyWithSignature(t *testing.T) {
	v := newVerifier(t, euWest)
	long := "/?" + strings.Repeat("a&", 40_000)
	_, err := v.VerifyAt(get(long), now)
	require.ErrorIs(t, err, sigv4.ErrMissing)
	require.False(t, v.Present(get(long)))
	mentioned := get(long + "X-Amz-Signature=x")
	_, err = v.VerifyAt(mentioned, now)
	require.ErrorIs(t, err, sigv4.ErrHeaderTooLarge)
	require.True(t, v.Present(mentioned))
	bearer := get(long)
	bearer.Header.Set("Authorization", "Bearer eyJ")
	_, err = v.VerifyAt(bearer, now)
	require.ErrorIs(t, err, sigv4.ErrHeaderTooLarge)
}

// Scans of a query are linear. A scan that is not would take minutes here.
func TestPresentIsLinear(t *testing.T) {
	v := newVerifier(t, euWest)
	for _, unit := range []string{";", "&", "&;", "x;", "x&", "%;", "%7;", "x-", "%78;", "a&;;;;", "AWSAccessKeyId="} {
		r := get("/")
		r.RequestURI = "/?" + strings.Repeat(unit, 2<<20/len(unit))
		require.False(t, v.Present(r), unit)
		_, err := v.VerifyAt(r, now)
		require.ErrorIs(t, err, sigv4.ErrMissing, unit)
		r.RequestURI += "&X-Amz-Signature=x"
		require.True(t, v.Present(r), unit)
	}
	for _, unit := range []string{"x-am;;;;;;", "%78-am&;;", "x-amz-;;;;", "%78-amz-;", "X-Amz-Signatur=;"} { // so many are taken for what they resemble
		few, many := get("/?"+strings.Repeat(unit, 1000)+strings.Repeat(";", 10_240)), get("/?"+strings.Repeat(unit, 1001)+strings.Repeat(";", 10_240))
		require.False(t, v.Present(few), unit)
		require.True(t, v.Present(many), unit)
		_, err := v.VerifyAt(few, now)
		require.ErrorIs(t, err, sigv4.ErrMissing)
		_, err = v.VerifyAt(many, now)
		require.Error(t, err)
		require.NotErrorIs(t, err, sigv4.ErrMissing)
	}
}
