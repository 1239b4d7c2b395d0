package sigv4_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

// mustAnswer checks that a refusal can be answered.
func mustAnswer(t *testing.T, err error) {
	t.Helper()
	e, ok := err.(*sigv4.Error)
	require.True(t, ok, "%T", err)
	require.GreaterOrEqual(t, e.StatusCode(), 400)
	require.NotEmpty(t, e.ErrorCode())
	require.NotEmpty(t, e.ErrorMessage())
	require.NotEmpty(t, e.Error())
}

func FuzzAuthorization(f *testing.F) {
	good := signed(f, get("/Prod/loyalty"), sigv4.SignerConfig{}).Header.Get("Authorization")
	for _, seed := range []string{
		good, "", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 ", "Bearer abc", good + ",", strings.ReplaceAll(good, ", ", ","),
		strings.Replace(good, "host;", ";host;", 1), "AWS4-HMAC-SHA256 Credential=/////, SignedHeaders=;, Signature==",
	} {
		f.Add(seed)
	}
	v := newVerifier(f, euWest)
	f.Fuzz(func(t *testing.T, header string) {
		r := get("/Prod/loyalty")
		r.Header.Set("X-Amz-Date", "20261124T060000Z")
		r.Header.Set("Authorization", header)
		id, err := v.VerifyAt(r, now)
		if err != nil {
			mustAnswer(t, err)
			return
		}
		// What verifies is the good header, but for its spaces and the order of its parameters.
		require.Equal(t, iamKeyID, id.AccessKeyID)
		require.Equal(t, parts(good), parts(header))
	})
}

// parts are the sorted parts of an Authorization header.
func parts(header string) []string {
	_, rest, _ := strings.Cut(header, " ")
	parts := strings.Split(rest, ",")
	for i := range parts {
		parts[i] = strings.TrimLeft(parts[i], " ")
	}
	slices.Sort(parts)
	return parts
}

func FuzzPresignedQuery(f *testing.F) {
	good := presigned(f, get("/Prod/loyalty?a=1"), sigv4.SignerConfig{}).URL.RawQuery
	f.Add("", "")
	f.Add("X-Amz-Expires=300", "X-Amz-Expires=600")
	f.Add("%2F", "/")
	f.Add("X-Amz-Date", "x-amz-date")
	f.Add("&a=1", "&a=1&a=1")
	f.Add("&a=1", "&a=1;")
	f.Add("X-Amz-Signature", "X%2DAmz-Signature")
	v := newVerifier(f, euWest)
	want, err := url.ParseQuery(good)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, old, with string) {
		raw := strings.Replace(good, old, with, 1)
		r := get("/Prod/loyalty")
		r.RequestURI = "/Prod/loyalty?" + raw
		if _, err := v.VerifyAt(r, now); err != nil {
			require.Equal(t, !v.Present(r), errors.Is(err, sigv4.ErrMissing), raw)
			mustAnswer(t, err)
			return
		}
		got, err := url.ParseQuery(raw)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

// sortedQuery is what a program reads of a query. The order of values is lost: no signature covers it.
func sortedQuery(t *testing.T, raw string) url.Values {
	values, err := url.ParseQuery(raw)
	require.NoError(t, err)
	for name := range values {
		slices.Sort(values[name])
	}
	return values
}

func FuzzCanonicalQuery(f *testing.F) {
	for _, seed := range []string{
		"", "&", "=", "a", "a=", "a=1&a=0&b", "b=2&a=1", "%61=%7e&%C3%BC=ü", "a=%zz", "a;b=1", "a+b", "a=b=c", "a=%3d%26%3B", "Param-3=1&Param=2",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		canonical, ok := sigv4.CanonicalQuery(raw)
		if !ok {
			return
		}
		read := sortedQuery(t, canonical)
		delete(read, "") // an empty parameter has the canonical form "="
		require.Equal(t, sortedQuery(t, raw), read)
		if !strings.Contains("&"+raw+"&", "&&") {
			again, ok := sigv4.CanonicalQuery(canonical)
			require.True(t, ok)
			require.Equal(t, canonical, again)
		}
	})
}

// FuzzRoundTrip signs a request, sends it as bytes and verifies it; then it changes one byte. If the changed request
// verifies too, it must mean the same.
func FuzzRoundTrip(f *testing.F) {
	f.Add(false, "/Prod/loyalty", "a=1", "X-Amz-Meta", "a  b", "", uint16(8), byte('x'))
	f.Add(false, "/a b/ü/$", "b=2&a=1&a=0&c", "Content-Type", " text/plain ", "body", uint16(200), byte(1))
	f.Add(true, "/bucket/a//../b", "list-type=2&prefix=%2F", "X-Amz-Acl", "private", "body", uint16(15), byte(10))
	f.Add(false, "/./a//b/..", "x=%2B+%20", "My-Header", "\"a   b\"", "", uint16(20), byte(0x20))
	f.Fuzz(func(t *testing.T, s3 bool, path, query, name, value, body string, at uint16, change byte) {
		r := &http.Request{
			Method: "POST", URL: &url.URL{Scheme: "http", Host: "api.example.com", Path: "/" + path, RawQuery: query},
			Header: http.Header{http.CanonicalHeaderKey(name): {value}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
			GetBody: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil },
		}
		c := sigv4.SignerConfig{
			Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1", Service: "any", S3: s3,
		}
		if newSigner(t, c).SignAt(r, now) != nil {
			return // not a request that a client can sign
		}
		var wire bytes.Buffer
		if r.Write(&wire) != nil {
			return // nor one that it can send
		}
		v := newVerifier(t, sigv4.VerifierConfig{
			Keys: keyring.Key, Regions: []string{"eu-west-1"}, Services: []string{"any"}, S3: s3, AllowUncleanPath: true,
		})
		sent := read(wire.Bytes())
		if sent == nil || !strings.HasPrefix(sent.RequestURI, "/") {
			return
		}
		_, err := v.VerifyAt(sent, now)
		require.NoError(t, err, "%s", wire.Bytes())

		changed := bytes.Clone(wire.Bytes())
		changed[int(at)%len(changed)] ^= change
		other := read(changed)
		if other == nil {
			return
		}
		if _, err := v.VerifyAt(other, now); err != nil {
			mustAnswer(t, err)
			return
		}
		require.Equal(t, meaning(t, sent, s3), meaning(t, other, s3), "%s", changed)
	})
}

// read makes the request that net/http's server would make, or nil.
func read(wire []byte) *http.Request {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire)))
	if err != nil || r.Host == "" {
		return nil
	}
	return r
}

// meaning is what a signature covers, as a program reads it.
func meaning(t *testing.T, r *http.Request, s3 bool) []any {
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	path := r.URL.Path
	if !s3 {
		path = sigv4.NormalizePath(r.URL.EscapedPath())
	}
	headers := map[string]string{}
	_, list, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	list, _, _ = strings.Cut(list, ",")
	for name := range strings.SplitSeq(list, ";") {
		headers[name] = strings.Join(strings.Fields(strings.Join(r.Header.Values(name), ",")), " ")
	}
	return []any{r.Method, r.Host, path, sortedQuery(t, r.URL.RawQuery), headers, string(body)}
}

// FuzzVerify throws requests of any form at the verifier.
func FuzzVerify(f *testing.F) {
	f.Add("GET", "/Prod?x=1", "X-Amz-Date", "20261124T060000Z", "AWS4-HMAC-SHA256 Credential=a/20261124/eu-west-1/execute-api/aws4_request, SignedHeaders=host, Signature=0")
	f.Add("GET", "*", "x_amz_date", "", "")
	v := newVerifier(f, euWest)
	f.Fuzz(func(t *testing.T, method, target, name, value, authorization string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Method, r.RequestURI = method, target
		r.Header.Add(name, value)
		r.Header.Add("Authorization", authorization)
		v.Present(r)
		_, err := v.VerifyAt(r, now)
		mustAnswer(t, err)
	})
}

// FuzzPresent holds the scan of a query against the plainest way of reading one.
func FuzzPresent(f *testing.F) {
	for _, seed := range []string{
		"", "a=1", "X-Amz-Signature=x", "a;x-amz-date", "&&%58%2dAmz-%44ate=;", "x-amz-signature%", "X-Amz-Signature%3Dx", "%7", "X-Amz-Dat=&e",
		"X-Amz-Content-Sha256=x", "X-Amz-Security-Tokens", "x\r-amz-date", "%58-Amz-Security-Token&", ";x;X-Amz-Expires",
	} {
		f.Add(seed)
	}
	v := newVerifier(f, euWest)
	f.Fuzz(func(t *testing.T, raw string) {
		want := false
		for _, pair := range strings.FieldsFunc(raw, func(c rune) bool { return c == '&' || c == ';' }) {
			name, _, _ := strings.Cut(pair, "=")
			name = unescape(name)
			for _, known := range []string{
				"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date", "X-Amz-Expires", "X-Amz-Security-Token",
			} {
				want = want || len(name) == len(known) && strings.EqualFold(name, known)
			}
		}
		r := get("/")
		r.RequestURI = "/?" + raw
		require.Equal(t, want, v.Present(r), "%q", raw)
	})
}

// unescape decodes the escapes that are good and leaves the others.
func unescape(s string) string {
	var b strings.Builder
	for ; s != ""; s = s[1:] {
		if len(s) > 2 {
			if c, err := url.PathUnescape(s[:3]); err == nil && s[0] == '%' {
				b.WriteString(c)
				s = s[2:]
				continue
			}
		}
		b.WriteByte(s[0])
	}
	return b.String()
}

func FuzzClip(f *testing.F) {
	f.Add(strings.Repeat("a", 255)+"é", 1)
	f.Add("\xff\xc3", 200)
	f.Fuzz(func(t *testing.T, unit string, n int) {
		text := strings.Repeat(unit, min(max(n, 0), 1000))
		got := sigv4.Clip(text)
		require.True(t, utf8.ValidString(got))
		if len(text) > 256 {
			require.True(t, strings.HasSuffix(got, "… (cut)"))
			require.LessOrEqual(t, len(got), 256+len("… (cut)"))
		} else if utf8.ValidString(text) {
			require.Equal(t, text, got)
		}
	})
}

// FuzzConnection reads the options of a connection as net/http/httputil's ReverseProxy does, which takes away what they
// name.
func FuzzConnection(f *testing.F) {
	for _, seed := range []string{"", "close", "keep-alive, X-Amz-Acl", " x-amz-acl\t", ",,Content-Type", "content-type;q=1", "HOST", "x_amz_acl", "te"} {
		f.Add(seed)
	}
	v := newVerifier(f, euWest)
	good := get("/")
	good.Header.Set("X-Amz-Acl", "private")
	good.Header.Set("Content-Type", "text/plain")
	signed(f, good, sigv4.SignerConfig{})
	f.Fuzz(func(t *testing.T, value string) {
		r := get("/")
		r.Header = good.Header.Clone()
		r.Header["Connection"] = []string{value}
		before := r.Header.Clone()
		_, err := v.VerifyAt(r, now)
		for option := range strings.SplitSeq(value, ",") {
			r.Header.Del(textproto.TrimString(option))
		}
		for _, name := range []string{"X-Amz-Acl", "Content-Type", "X-Amz-Date", "Authorization"} {
			if r.Header.Get(name) != before.Get(name) {
				require.Error(t, err, "%q takes away %s", value, name)
			}
		}
	})
}
