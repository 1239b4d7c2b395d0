package sigv4_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

func TestNewVerifierReportsEveryMistake(t *testing.T) {
	_, err := sigv4.NewVerifier(sigv4.VerifierConfig{
		Regions: []string{"a/b"}, Services: []string{""}, MaxAge: -1, MaxExpires: 8 * 24 * time.Hour, PathPrefix: "/Prod/",
	})
	for _, want := range []string{"Keys", "Regions", "Services", "MaxAge", "MaxExpires", "PathPrefix"} {
		require.ErrorContains(t, err, want)
	}
}

func TestNewVerifierRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		c    sigv4.VerifierConfig
		want string
	}{
		"host with a scheme":      {sigv4.VerifierConfig{ExternalHost: "https://api.example.com"}, "ExternalHost"},
		"host with a path":        {sigv4.VerifierConfig{ExternalHost: "api.example.com/Prod"}, "ExternalHost"},
		"host not ASCII":          {sigv4.VerifierConfig{ExternalHost: "bücher.example"}, "ExternalHost"},
		"prefix with dots":        {sigv4.VerifierConfig{PathPrefix: "/a/../b"}, "PathPrefix"},
		"prefix empty segment":    {sigv4.VerifierConfig{PathPrefix: "/a//b"}, "PathPrefix"},
		"prefix with a query":     {sigv4.VerifierConfig{PathPrefix: "/a?x"}, "PathPrefix"},
		"prefix not escaped":      {sigv4.VerifierConfig{PathPrefix: "/é"}, "PathPrefix"},
		"prefix with bad escape":  {sigv4.VerifierConfig{PathPrefix: "/a%2"}, "PathPrefix"},
		"prefix without a slash":  {sigv4.VerifierConfig{PathPrefix: "a"}, "PathPrefix"},
		"prefix ends in a slash":  {sigv4.VerifierConfig{PathPrefix: "/a/"}, "PathPrefix"},
		"no header name":          {sigv4.VerifierConfig{SignedHeaders: []string{"content type"}}, "SignedHeaders"},
		"empty header name":       {sigv4.VerifierConfig{SignedHeaders: []string{""}}, "SignedHeaders"},
		"exempt without effect":   {sigv4.VerifierConfig{AllowUnsignedHeaders: []string{"X-Amz-A", "Content-Type"}}, `AllowUnsignedHeaders has "Content-Type"`},
		"exempt no name":          {sigv4.VerifierConfig{AllowUnsignedHeaders: []string{"X-Amz-*: x"}}, "AllowUnsignedHeaders"},
		"age below a second":      {sigv4.VerifierConfig{MaxAge: time.Millisecond}, "below a second"},
		"ahead below a second":    {sigv4.VerifierConfig{MaxAhead: time.Millisecond}, "below a second"},
		"expires below a second":  {sigv4.VerifierConfig{MaxExpires: time.Millisecond}, "below a second"},
		"":                        {sigv4.VerifierConfig{}, ""},
		"host with a port":        {sigv4.VerifierConfig{ExternalHost: "[::1]:8443"}, ""},
		"prefix of two, escaped":  {sigv4.VerifierConfig{PathPrefix: "/Prod/caf%C3%A9"}, ""},
		"names in any case":       {sigv4.VerifierConfig{SignedHeaders: []string{"content-type"}, AllowUnsignedHeaders: []string{"x-amz-cf-id"}}, ""},
		"window of one second":    {sigv4.VerifierConfig{MaxAge: time.Second, MaxAhead: time.Second, MaxExpires: time.Second}, ""},
		"window of a second more": {sigv4.VerifierConfig{MaxAge: 301 * time.Second}, ""},
	} {
		tt.c.Keys, tt.c.Regions = keyring.Key, []string{"eu-west-1"}
		_, err := sigv4.NewVerifier(tt.c)
		if tt.want == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, err, tt.want, name)
	}
}

func TestS3PathIsDecodedAndEscapedOnce(t *testing.T) {
	for path, want := range map[string]string{
		"/a%7Eb": "/a~b", "/%c3%a9": "/%C3%A9", "/é": "/%C3%A9", "/a+b": "/a%2Bb", "/a%2bb": "/a%2Bb", "/%41": "/A", "/a!b": "/a%21b",
		"/a%2Fb": "/a%2Fb", "/a%2fb": "/a%2Fb", "/a%20b": "/a%20b", "/a b": "/a%20b", "//a/../b/.": "//a/../b/.", "/%25": "/%25", "/%": "/%25", "/%zz": "/%25zz",
	} {
		require.Equal(t, want, sigv4.CanonicalPath(path, true), path)
	}
}

func TestConfigIsCopied(t *testing.T) {
	c := euWest
	c.Regions = []string{"eu-west-1"}
	v := newVerifier(t, c)
	c.Regions[0] = "us-east-1"
	_, err := v.VerifyAt(signed(t, get("/"), sigv4.SignerConfig{}), now)
	require.NoError(t, err)
}

// exported are the causes that callers can match, by name.
var exported = map[string]error{
	"ErrNotConfigured": sigv4.ErrNotConfigured, "ErrUnavailable": sigv4.ErrUnavailable, "ErrRedirect": sigv4.ErrRedirect,
	"ErrMissing": sigv4.ErrMissing, "ErrMalformed": sigv4.ErrMalformed, "ErrAmbiguous": sigv4.ErrAmbiguous,
	"ErrUnsigned": sigv4.ErrUnsigned, "ErrTooLarge": sigv4.ErrTooLarge, "ErrBody": sigv4.ErrBody,
	"ErrNotCurrent": sigv4.ErrNotCurrent, "ErrScope": sigv4.ErrScope, "ErrUnknownKey": sigv4.ErrUnknownKey,
	"ErrSignatureMismatch": sigv4.ErrSignatureMismatch, "ErrSessionToken": sigv4.ErrSessionToken,
}

// variants are the private causes that callers see as an exported one.
var variants = map[error][]error{
	sigv4.ErrMalformed: {
		sigv4.ErrMalformedAuthorization, sigv4.ErrMissingParameter, sigv4.ErrMalformedDate, sigv4.ErrAlgorithm,
		sigv4.ErrMalformedCredential, sigv4.ErrMalformedSignature, sigv4.ErrSignedHeaders, sigv4.ErrExpires,
		sigv4.ErrMalformedPayloadHash,
	},
	sigv4.ErrAmbiguous: {
		sigv4.ErrTwoMechanisms, sigv4.ErrAmbiguousHeader, sigv4.ErrAmbiguousQuery, sigv4.ErrMalformedTarget, sigv4.ErrUncleanPath,
	},
	sigv4.ErrUnsigned:          {sigv4.ErrUnsignedHeader, sigv4.ErrUnsignedPayload, sigv4.ErrStreamingPayload},
	sigv4.ErrTooLarge:          {sigv4.ErrHeaderTooLarge, sigv4.ErrBodyTooLarge},
	sigv4.ErrNotCurrent:        {sigv4.ErrExpired, sigv4.ErrNotYetValid},
	sigv4.ErrSignatureMismatch: {sigv4.ErrAbsentHeader, sigv4.ErrPayloadMismatch},
	sigv4.ErrSessionToken:      {sigv4.ErrCredentialExpired},
}

func TestEveryCauseHasAnAnswer(t *testing.T) {
	answered := sigv4.Answered()
	for name, cause := range exported {
		require.Contains(t, answered, cause, name)
	}
	require.Empty(t, sigv4.S3CodesWithoutText())
	require.Equal(t, 500, (&sigv4.Error{Err: errors.New("of another package")}).StatusCode())
}

// A variant is matched by its exported cause and by no other, and so is what wraps it.
func TestVariantsAreTheirExportedCause(t *testing.T) {
	for of, list := range variants {
		for _, variant := range list {
			for name, cause := range exported {
				require.Equal(t, cause == of, errors.Is(&sigv4.Error{Err: variant}, cause), "%v is %s", variant, name)
			}
		}
	}
}

// A cause that is wrapped, or joined to another package's, has the answer of the cause.
func TestWrappedCauseKeepsItsAnswer(t *testing.T) {
	for _, cause := range sigv4.Answered() {
		want := &sigv4.Error{Err: cause}
		for _, wrapped := range []error{
			fmt.Errorf("of the caller: %w", cause), errors.Join(io.ErrUnexpectedEOF, cause), fmt.Errorf("%w: %w", io.EOF, &sigv4.Error{Err: cause}),
		} {
			got := &sigv4.Error{Err: wrapped}
			require.Equal(t, want.StatusCode(), got.StatusCode(), wrapped)
			require.Equal(t, want.ErrorCode(), got.ErrorCode(), wrapped)
			require.Equal(t, want.ErrorMessage(), got.ErrorMessage(), wrapped)
			header, wantHeader := http.Header{}, http.Header{}
			got.SetHeader(header)
			want.SetHeader(wantHeader)
			require.Equal(t, wantHeader, header, wrapped)
			s3, wantS3 := httptest.NewRecorder(), httptest.NewRecorder()
			for _, w := range []*httptest.ResponseRecorder{s3, wantS3} {
				w.Header().Set("X-Amzn-RequestId", "the same")
			}
			sigv4.S3XML(s3, get("/"), got)
			sigv4.S3XML(wantS3, get("/"), want)
			require.Equal(t, wantS3.Code, s3.Code, wrapped)
			require.Equal(t, wantS3.Body.String(), s3.Body.String(), wrapped)
		}
	}
}

// API Gateway's window, to the second.
func TestSignatureIsValidForFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVerifier(t, euWest)
		s := newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1"})
		r := get("/")
		require.NoError(t, s.Sign(r))
		presignedURL, err := s.Presign(get("/"), time.Hour)
		require.NoError(t, err)
		verify := func(want error) {
			_, err := v.Verify(r)
			require.ErrorIs(t, err, want)
			_, err = v.Verify(follow(t, presignedURL))
			require.ErrorIs(t, err, want)
		}
		verify(nil)
		time.Sleep(5 * time.Minute)
		verify(nil)
		time.Sleep(time.Second)
		verify(sigv4.ErrExpired)

		require.NoError(t, s.SignAt(r, time.Now().Add(5*time.Minute+time.Second)))
		_, err = v.Verify(r)
		require.ErrorIs(t, err, sigv4.ErrNotYetValid)
		time.Sleep(time.Second)
		_, err = v.Verify(r)
		require.NoError(t, err)
	})
}

func follow(t *testing.T, presigned string) *http.Request {
	u, err := url.Parse(presigned)
	require.NoError(t, err)
	r := get(u.RequestURI())
	r.Host = u.Host
	return r
}

func TestExplainAddsTheTrace(t *testing.T) {
	c := euWest
	c.Explain = true
	r := signed(t, get("/Prod/loyalty?b=2&a=1"), sigv4.SignerConfig{Credentials: as(iamKeyID, "wrong")})
	_, err := newVerifier(t, c).VerifyAt(r, now)
	e, _ := errors.AsType[*sigv4.Error](err)
	canonical := "GET\n/Prod/loyalty\na=1&b=2\nhost:example.com\nx-amz-date:20261124T060000Z\n\nhost;x-amz-date\n" + emptyHash
	require.Equal(t, mismatch+"\n\nThe Canonical String for this request should have been\n'"+canonical+"'\n\n"+
		"The String-to-Sign should have been\n'AWS4-HMAC-SHA256\n20261124T060000Z\n20261124/eu-west-1/execute-api/aws4_request\n"+
		hash(canonical)+"'\n", e.ErrorMessage())
}

// One answer for an unknown key and a wrong signature, with or without the explanation.
func TestOneAnswerHidesUnknownKey(t *testing.T) {
	for _, explain := range []bool{false, true} {
		c := euWest
		c.OneAnswer, c.Explain = true, explain
		v := newVerifier(t, c)
		var answers []string
		for _, r := range []*http.Request{
			signed(t, get("/"), sigv4.SignerConfig{Credentials: as(iamKeyID, "wrong")}),
			signed(t, get("/"), sigv4.SignerConfig{Credentials: as("AKIDUNKNOWN", iamSecret)}),
		} {
			_, err := v.VerifyAt(r, now)
			w := httptest.NewRecorder()
			w.Header().Set("X-Amzn-RequestId", "the same")
			err.(http.Handler).ServeHTTP(w, r)
			var text strings.Builder
			require.NoError(t, w.Result().Write(&text))
			answers = append(answers, text.String())
		}
		require.Equal(t, answers[0], answers[1])
	}
}

// With one answer an unknown key costs what a wrong signature costs: the body is read, the same keys are derived, as
// much is allocated.
func TestUnknownKeyDoesTheSameWork(t *testing.T) {
	c := euWest
	c.OneAnswer = true
	v := newVerifier(t, c)
	cost := func(id string, secret sigv4.Secret) (read int) {
		r := httptest.NewRequest("POST", "/", strings.NewReader("a body"))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("a body")), nil }
		signed(t, r, sigv4.SignerConfig{Credentials: as(id, secret), SignHeader: func(string) bool { return false }})
		body := &counter{Reader: strings.NewReader("a body")}
		r.Body = body
		_, err := v.VerifyAt(r, now)
		require.Error(t, err)
		return body.read
	}
	require.Equal(t, cost(iamKeyID, "wrong"), cost("AKIDUNKNOWN", "wrong"))
	require.Equal(t, 2, v.CachedKeys()) // of the known key, and of the dummy
}

type counter struct {
	io.Reader
	read int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += n
	return n, err
}

func (*counter) Close() error { return nil }

// With a declared hash nothing of the body is read before the signature has been verified.
func TestDeclaredBodyIsReadLast(t *testing.T) {
	v := newVerifier(t, euWest)
	r := httptest.NewRequest("POST", "/", nil)
	r.Header.Set("X-Amz-Content-Sha256", hash("a body"))
	signed(t, r, sigv4.SignerConfig{})
	body := &counter{Reader: strings.NewReader("a body")}
	r.Body = body

	r.Header.Set("X-Amz-Content-Sha256", hash("other"))
	_, err := v.VerifyAt(r, now)
	require.ErrorIs(t, err, sigv4.ErrSignatureMismatch)
	require.Zero(t, body.read)

	r.Header.Set("X-Amz-Content-Sha256", hash("a body"))
	_, err = v.VerifyAt(r, now)
	require.NoError(t, err)
	got, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.Equal(t, "a body", string(got))
}

// A declared length may be wrong: it neither allocates memory nor ends the body.
func TestBodyIsReadWhateverLengthIsDeclared(t *testing.T) {
	c := euWest
	c.MaxBody = 1 << 20
	v := newVerifier(t, c)
	text := bytes.Repeat([]byte("x"), 1<<20)
	for _, length := range []int64{-1, 0, 1, 1 << 20} {
		r := httptest.NewRequest("PUT", "/", bytes.NewReader(text))
		r.Header.Set("X-Amz-Content-Sha256", hash(string(text)))
		r.ContentLength = length
		_, err := v.VerifyAt(signed(t, r, sigv4.SignerConfig{}), now)
		require.NoError(t, err)
		got, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.True(t, bytes.Equal(text, got))
	}
	r := httptest.NewRequest("PUT", "/", strings.NewReader("short"))
	r.Header.Set("X-Amz-Content-Sha256", hash("short"))
	r.ContentLength = 1 << 20
	require.NoError(t, newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1"}).SignAt(r, now))
	_, err := v.VerifyAt(r, now) // net/http would report the missing bytes
	require.NoError(t, err)

	r = httptest.NewRequest("PUT", "/", bytes.NewReader(append(text, 'x')))
	r.ContentLength = -1
	r.Header.Set("X-Amz-Content-Sha256", hash(string(text)))
	_, err = v.VerifyAt(signed(t, r, sigv4.SignerConfig{}), now)
	require.ErrorIs(t, err, sigv4.ErrBodyTooLarge)
}

func TestOuterBodyLimitIsTooLarge(t *testing.T) {
	r := httptest.NewRequest("PUT", "/", strings.NewReader("a body"))
	r.Header.Set("X-Amz-Content-Sha256", hash("a body"))
	signed(t, r, sigv4.SignerConfig{})
	r.Body = http.MaxBytesReader(httptest.NewRecorder(), r.Body, 3)
	_, err := newVerifier(t, euWest).VerifyAt(r, now)
	require.ErrorIs(t, err, sigv4.ErrBodyTooLarge)
}

// The verifier may be inside http.StripPrefix: RequestURI is what the client signed.
func TestPathIsReadAsItWasSent(t *testing.T) {
	v := newVerifier(t, euWest)
	s := newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1"})
	var path string
	h := http.StripPrefix("/Prod", v.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { path = r.URL.Path })))
	r := get("/Prod/loyalty")
	require.NoError(t, s.Sign(r))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, 200, w.Code)
	require.Equal(t, "/loyalty", path)
}

// Requests in the shape of a Lambda function URL's have no RequestURI, no port and no length.
func TestRequestMadeOfLambdaEventVerifies(t *testing.T) {
	v := newVerifier(t, euWest)
	r := httptest.NewRequest("POST", "/Prod/caf%C3%A9?b=2&a=1", strings.NewReader("a body"))
	r.Header.Set("X-Amz-Content-Sha256", hash("a body"))
	signed(t, r, sigv4.SignerConfig{})
	shaped := &http.Request{
		Method: "POST", URL: &url.URL{Scheme: "https", Host: r.Host, Path: "/Prod/café", RawPath: "/Prod/caf%C3%A9", RawQuery: "b=2&a=1"},
		Header: r.Header, Body: io.NopCloser(strings.NewReader("a body")), Host: r.Host, RemoteAddr: "203.0.113.9",
	}
	_, err := v.VerifyAt(shaped, now)
	require.NoError(t, err)
	w := newWire("POST", "/Prod", "Content-Length: 6").withBody("a body").sign() // an adapter may drop the header
	lengthless := read([]byte(w.String()))
	lengthless.Header.Del("Content-Length")
	_, err = v.Verify(lengthless)
	require.NoError(t, err)

	shaped.Body = io.NopCloser(strings.NewReader("another"))
	_, err = v.VerifyAt(shaped, now)
	require.ErrorIs(t, err, sigv4.ErrPayloadMismatch)
	opaque := shaped.Clone(t.Context())
	opaque.URL = &url.URL{Opaque: "//api.example.com/"}
	_, err = v.VerifyAt(opaque, now)
	require.ErrorIs(t, err, sigv4.ErrMalformedTarget)
	shaped.URL.RawQuery = "b=2&a=2"
	_, err = v.VerifyAt(shaped, now)
	require.ErrorIs(t, err, sigv4.ErrSignatureMismatch)
}

func TestHTTP2RequestVerifies(t *testing.T) {
	server := httptest.NewUnstartedServer(newVerifier(t, euWest).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
		_, _ = io.Copy(w, r.Body)
	})))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	s := newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1"})

	// Signed with host, as SDKs do.
	client := &http.Client{Transport: s.Transport(server.Client().Transport)}
	response, err := client.Post(server.URL+"/Prod?b=2&a=1", "text/plain", strings.NewReader(" body"))
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, "HTTP/2.0 body", string(body))

	// Signed with :authority.
	host := strings.TrimPrefix(server.URL, "https://")
	w := &wire{method: "GET", target: "/Prod", header: []string{"Host: " + host}}
	w.sign(func(s *spec) { s.signed = ":authority;x-amz-date" })
	r, err := http.NewRequest("GET", server.URL+"/Prod", nil)
	require.NoError(t, err)
	for _, line := range w.header[1:] {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	response, err = server.Client().Do(r)
	require.NoError(t, err)
	body, err = io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, "HTTP/2.0", string(body))
}

func TestPresentFindsEverySignature(t *testing.T) {
	v := newVerifier(t, euWest)
	for target, want := range map[string]bool{
		"/": false, "/?a=1": false, "/?X-Amz-Signature=": true, "/?x-amz-Signature=1": true, "/?X%2DAmz-Date=1": true,
		"/?x-amz-acl=private": false, "/?X-Amz-Date=%zz": true, "/?a=%zz": false, "/?X-Amz-Security-Token=1": true,
	} {
		require.Equal(t, want, v.Present(get(target)), target)
	}
	for header, want := range map[string]bool{
		"Bearer x": false, "AWS4-HMAC-SHA256 x": true, "aws4-hmac-sha256 x": true, "AWS4-ECDSA-P256-SHA256 x": true, "AWS": false,
	} {
		r := get("/")
		r.Header.Add("Authorization", "Bearer other")
		r.Header.Add("Authorization", header)
		require.Equal(t, want, v.Present(r), header)
	}
	odd := get("/")
	odd.Header["authorization"] = []string{"AWS4-HMAC-SHA256 x"}
	require.True(t, v.Present(odd))
	require.True(t, v.Present(&http.Request{URL: &url.URL{Opaque: "//x/y", RawQuery: "X-Amz-Signature=x"}}))
	require.False(t, v.Present(&http.Request{}))
	for _, none := range []*sigv4.Verifier{nil, {}} {
		require.True(t, none.Present(get("/?X-Amz-Signature=")))
		require.False(t, none.Present(get("/")))
	}
}

// What mentions a signature in its query is present, and refused for what is wrong with it rather than as unsigned.
func TestMentionedIsPresent(t *testing.T) {
	v := newVerifier(t, euWest)
	for target, want := range map[string]error{
		"http://a/?X-Amz-Signature=x":     sigv4.ErrMalformedTarget,
		"/a#?X-Amz-Signature=x":           sigv4.ErrMalformedTarget,
		"*?X-Amz-Signature=x":             sigv4.ErrMalformedTarget,
		"/?X%2DAmz-Signature=x":           sigv4.ErrMissingParameter,
		"/?X%2dAmz-Signature=x&b=%zz":     sigv4.ErrAmbiguousQuery,
		"/?b=%zz&%58-amz-%53ignature=x":   sigv4.ErrAmbiguousQuery,
		"/?X-Amz-Signature=x&b=%zz":       sigv4.ErrAmbiguousQuery,
		"/?x=1;X-Amz-Signature=x":         sigv4.ErrAmbiguousQuery,
		"/?x=1;y&a;X-Amz-Signature=x":     sigv4.ErrAmbiguousQuery,
		"/?a&x-amz-signature":             sigv4.ErrAmbiguousQuery,
		"/?X-Amz-Security-Token=x":        sigv4.ErrMissingParameter,
		"/?a=1&&X-Amz-Credential=":        sigv4.ErrMissingParameter,
		"/?X-Amz-Content-Sha256=x":        nil,
		"/?X-Amz-Security-Tokens=x&b=%zz": nil,
		"/?a=X-Amz-Signature&b=%zz":       nil,
		"/?%":                             nil,
		"/?x-%":                           nil,
		"/?X-Amz-Signature%=x":            nil,
	} {
		r := get("/")
		r.RequestURI = target
		require.Equal(t, want != nil, v.Present(r), target)
		if want == nil {
			want = sigv4.ErrMissing
		}
		_, err := v.VerifyAt(r, now)
		require.ErrorIs(t, err, want, target)
	}
}

// A key of http.Header in another form than the canonical one is out of the sight of Header.Get, yet some read it.
func TestHeaderKeyInAnotherFormIsRefused(t *testing.T) {
	v := newVerifier(t, euWest)
	for _, key := range []string{"x-amz-meta-a", "X-AMZ-META-A", "x-amz-date", "X-Amz-Meta-a", "authorization", "AUTHORIZATION", "x_amz_date"} {
		for _, r := range []*http.Request{presigned(t, get("/"), sigv4.SignerConfig{}), get("/")} {
			if r.URL.RawQuery == "" {
				r.Header.Set("X-Amz-Meta-A", "good")
				signed(t, r, sigv4.SignerConfig{})
			}
			r.Header[key] = []string{"AWS4-HMAC-SHA256 evil"}
			_, err := v.VerifyAt(r, now)
			require.ErrorIs(t, err, sigv4.ErrAmbiguousHeader, key)
			require.ErrorContains(t, err, strconv.Quote(key))
		}
	}
}

// Whatever Verify takes for a signature, Present reports, or nothing would verify it in a chain of mechanisms.
func TestVerifiedIsPresent(t *testing.T) {
	v := newVerifier(t, euWest)
	require.True(t, v.Present(signed(t, get("/"), sigv4.SignerConfig{})))
	require.True(t, v.Present(presigned(t, get("/"), sigv4.SignerConfig{})))
}

func TestErrorHandlerGetsHeaders(t *testing.T) {
	c := euWest
	c.Keys = func(context.Context, sigv4.Scope) (sigv4.Key, error) { return sigv4.Key{}, errors.New("down") }
	c.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
		require.Equal(t, "1", w.Header().Get("Retry-After"))
		w.WriteHeader(err.(*sigv4.Error).StatusCode())
	}
	r := get("/")
	require.NoError(t, newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1"}).Sign(r))
	w := httptest.NewRecorder()
	newVerifier(t, c).Handler(http.NotFoundHandler()).ServeHTTP(w, r)
	require.Equal(t, 503, w.Code)
}

func TestS3XMLAnswersAsS3Does(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		code   string
	}{
		{&sigv4.Error{Err: sigv4.ErrSignatureMismatch}, 403, "SignatureDoesNotMatch"},
		{&sigv4.Error{Err: sigv4.ErrUnknownKey}, 403, "InvalidAccessKeyId"},
		{&sigv4.Error{Err: sigv4.ErrExpired}, 403, "RequestTimeTooSkewed"},
		{&sigv4.Error{Err: sigv4.ErrPayloadMismatch}, 400, "XAmzContentSHA256Mismatch"},
		{&sigv4.Error{Err: sigv4.ErrUnsignedHeader, Detail: "x-amz-acl"}, 403, "AccessDenied"},
		{&sigv4.Error{Err: sigv4.ErrUnavailable}, 503, "ServiceUnavailable"},
		{errors.New("of another package"), 500, "InternalError"},
	} {
		w := httptest.NewRecorder()
		sigv4.S3XML(w, get("/bucket/a%3Cb"), tt.err)
		require.Equal(t, tt.status, w.Code)
		require.Equal(t, "application/xml", w.Header().Get("Content-Type"))
		require.True(t, strings.HasPrefix(w.Body.String(), `<?xml version="1.0" encoding="UTF-8"?>`))
		var got struct{ Code, Message, HeadersNotSigned, Resource, RequestId string }
		require.NoError(t, xml.Unmarshal(w.Body.Bytes(), &got))
		require.Equal(t, tt.code, got.Code)
		require.NotEmpty(t, got.Message)
		require.Equal(t, "/bucket/a<b", got.Resource)
		require.Equal(t, w.Header().Get("X-Amz-Request-Id"), got.RequestId)
		require.Regexp(t, `^[0-9A-Z]{16}$`, got.RequestId)
		require.Equal(t, tt.code == "AccessDenied", got.HeadersNotSigned == "x-amz-acl")
	}
	c := euWest
	c.S3, c.ErrorHandler = true, sigv4.S3XML // its shape fits
	newVerifier(t, c)
}

// Every change of one bit of a signed request is refused, unless the request still means the same.
func TestEveryChangedBitIsRefused(t *testing.T) {
	r := signed(t, get("/Prod/caf%C3%A9?b=2&a=%2B1&c"), sigv4.SignerConfig{})
	var wire bytes.Buffer
	require.NoError(t, r.Write(&wire))
	v := newVerifier(t, euWest)
	sent := read(wire.Bytes())
	_, err := v.VerifyAt(sent, now)
	require.NoError(t, err)
	refused := 0
	for i := range 8 * wire.Len() {
		changed := bytes.Clone(wire.Bytes())
		changed[i/8] ^= 1 << (i % 8)
		other := read(changed)
		if other == nil {
			continue
		}
		if _, err := v.VerifyAt(other, now); err != nil {
			refused++
			continue
		}
		require.Equal(t, meaning(t, sent, false), meaning(t, other, false), "%s", changed)
	}
	require.Greater(t, refused, 8*200)
}

func TestPathIsNormalised(t *testing.T) {
	for _, tt := range []struct{ path, normal string }{
		{"/", "/"},
		{"/a/b/", "/a/b/"},
		{"//", "/"},
		{"/a/..", "/"},
		{"/a/../", "/"},
		{"/a/.", "/a"},
		{"/../a", "/a"},
		{"/a//b", "/a/b"},
		{"/a/./b/../../c/", "/c/"},
		{"/.../..a/a.", "/.../..a/a."},
	} {
		require.Equal(t, tt.normal, sigv4.NormalizePath(tt.path))
		require.Equal(t, tt.path == tt.normal, sigv4.IsCleanPath(tt.path), tt.path)
	}
	for path, clean := range map[string]bool{"/%2e": false, "/%2E%2e/a": false, "/a/.%2e": false, "/%2e%2e%2e": true, "/%2ea": true, "/%2f": true} {
		require.Equal(t, clean, sigv4.IsCleanPath(path), path)
	}
	require.Equal(t, "/a%2520b/%C3%BC/%24~", sigv4.CanonicalPath("/a%20b/ü/$~", false))
	require.Equal(t, "/a%20b/%C3%BC/%24~", sigv4.CanonicalPath("/a%20b/ü/$~", true))
}

// Reading and writing dates agrees with package time, which is slower, and refuses what that normalises.
func TestDatesAgreeWithPackageTime(t *testing.T) {
	for day := time.Date(1, 1, 1, 23, 59, 59, 0, time.UTC); day.Year() < 10000; day = day.AddDate(0, 0, 97) {
		text := day.Format("20060102T150405Z")
		got, ok := sigv4.ParseDate(text)
		require.True(t, ok && got.Equal(day), text)
		require.Equal(t, text, sigv4.FormatDate(day.In(time.FixedZone("", 3600))))
	}
	for _, text := range []string{
		"", "20261124T060000", "20261124T060000z", "20261124 060000Z", "2026112４060000Z", "00000101T000000Z", "20260229T000000Z", "21000229T000000Z",
		"20261131T000000Z", "20261301T000000Z", "20260001T000000Z", "20260100T000000Z", "20261124T240000Z", "20261124T006000Z", "20261124T000060Z", "20261124T-10000Z",
	} {
		_, ok := sigv4.ParseDate(text)
		require.False(t, ok, text)
	}
	_, ok := sigv4.ParseDate("20240229T000000Z")
	require.True(t, ok)
}
