package sigv4_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

func TestNewSignerReportsEveryMistake(t *testing.T) {
	_, err := sigv4.NewSigner(sigv4.SignerConfig{Service: "a/b", MaxSpool: -1})
	require.EqualError(t, err, "sigv4: Credentials is nil\nsigv4: Region is empty or names no region\n"+
		"sigv4: Service names no service\nsigv4: MaxSpool is negative")
}

func TestZeroSignerRefuses(t *testing.T) {
	for _, s := range []*sigv4.Signer{nil, {}} {
		require.ErrorIs(t, s.Sign(get("/")), sigv4.ErrNotConfigured)
		_, err := s.Presign(get("/"), time.Minute)
		require.ErrorIs(t, err, sigv4.ErrNotConfigured)
	}
}

// What cannot be signed carries no signature, an old one neither.
func TestRefusedRequestCarriesNoSignature(t *testing.T) {
	once := struct{ io.Reader }{strings.NewReader("body")}
	down := errors.New("no route to host")
	for _, tt := range []struct {
		name   string
		r      *http.Request
		change func(*http.Request)
		c      sigv4.SignerConfig
		want   error
	}{
		{"credentials fail", get("/"), nil, sigv4.SignerConfig{Credentials: func(context.Context) (sigv4.Credentials, error) { return sigv4.Credentials{}, down }}, down},
		{"no secret", get("/"), nil, sigv4.SignerConfig{Credentials: as(iamKeyID, "")}, sigv4.ErrMalformedCredential},
		{"key id with a slash", get("/"), nil, sigv4.SignerConfig{Credentials: as("a/b", iamSecret)}, sigv4.ErrMalformedCredential},
		{"bad escape in the query", get("/?a=%zz"), nil, sigv4.SignerConfig{}, sigv4.ErrAmbiguousQuery},
		{"semicolon in the query", get("/?a;b"), nil, sigv4.SignerConfig{}, sigv4.ErrAmbiguousQuery},
		{"65 parameters named X-Amz-", amzParameters(65), nil, sigv4.SignerConfig{}, sigv4.ErrHeaderTooLarge},
		{"presigned already", get("/?X-Amz-Signature=0"), nil, sigv4.SignerConfig{}, sigv4.ErrTwoMechanisms},
		{"opaque URL", get("/"), func(r *http.Request) { r.URL.Opaque = "//x/y" }, sigv4.SignerConfig{}, sigv4.ErrMalformedTarget},
		{"line break in the method", get("/"), func(r *http.Request) { r.Method = "GET\n" }, sigv4.SignerConfig{}, sigv4.ErrMalformedTarget},
		{"line break in a header", get("/"), func(r *http.Request) { r.Header.Set("A", "b\nc") }, sigv4.SignerConfig{}, sigv4.ErrAmbiguousHeader},
		{"header twice in two cases of letters", get("/"), func(r *http.Request) { r.Header["a"], r.Header["A"] = []string{"1"}, []string{"2"} }, sigv4.SignerConfig{}, sigv4.ErrAmbiguousHeader},
		{"header with a key out of form", get("/"), func(r *http.Request) { r.Header["x-api-key"] = []string{"1"} }, sigv4.SignerConfig{}, sigv4.ErrAmbiguousHeader},
		{"host that is not ASCII", get("/"), func(r *http.Request) { r.Host = "bücher.example" }, sigv4.SignerConfig{}, sigv4.ErrMalformedTarget},
		{"host of the URL that is not ASCII", get("/"), func(r *http.Request) { r.Host, r.URL.Host = "", "bücher.example" }, sigv4.SignerConfig{}, sigv4.ErrMalformedTarget},
		{"IPv6 zone", get("/"), func(r *http.Request) { r.Host = "[fe80::1%eth0]" }, sigv4.SignerConfig{}, sigv4.ErrMalformedTarget},
		{"space in the host", get("/"), func(r *http.Request) { r.Host = "a b" }, sigv4.SignerConfig{}, sigv4.ErrMalformedTarget},
		{"payload hash that is none", get("/"), func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "foo") }, sigv4.SignerConfig{}, sigv4.ErrMalformedPayloadHash},
		{"empty payload hash", get("/"), func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "") }, sigv4.SignerConfig{}, sigv4.ErrMalformedPayloadHash},
		{"two payload hashes", get("/"), func(r *http.Request) { r.Header["X-Amz-Content-Sha256"] = []string{"1", "2"} }, sigv4.SignerConfig{}, sigv4.ErrAmbiguousHeader},
		{"body that can be read only once", httptest.NewRequest("POST", "/", once), nil, sigv4.SignerConfig{}, sigv4.ErrBody},
		{"GetBody fails", httptest.NewRequest("POST", "/", once), func(r *http.Request) {
			r.GetBody = func() (io.ReadCloser, error) { return nil, down }
		}, sigv4.SignerConfig{}, down},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.change != nil {
				tt.change(tt.r)
			}
			if tt.c.Credentials == nil {
				tt.c.Credentials = as(iamKeyID, iamSecret)
			}
			tt.c.Region = "eu-west-1"
			tt.r.Header.Set("Authorization", "old")
			require.ErrorIs(t, newSigner(t, tt.c).Sign(tt.r), tt.want)
			require.Empty(t, tt.r.Header.Get("Authorization"))
		})
	}
}

func TestSignHashesBodyAndLeavesItWhole(t *testing.T) {
	const text = "a body"
	for name, r := range map[string]func() *http.Request{
		"GetBody": func() *http.Request {
			r, err := http.NewRequest("POST", "https://api.example.com/", strings.NewReader(text))
			require.NoError(t, err)
			return r
		},
		"Seek": func() *http.Request {
			seeker := strings.NewReader("skip" + text)
			_, err := seeker.Seek(4, io.SeekStart)
			require.NoError(t, err)
			r := httptest.NewRequest("POST", "/", nil)
			r.Body = struct {
				io.ReadSeeker
				io.Closer
			}{seeker, io.NopCloser(nil)}
			return r
		},
		"given": func() *http.Request {
			r := httptest.NewRequest("POST", "/", struct{ io.Reader }{strings.NewReader(text)})
			r.Header.Set("X-Amz-Content-Sha256", hash(text))
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := signed(t, r(), sigv4.SignerConfig{})
			require.Equal(t, hash(text), r.Header.Get("X-Amz-Content-Sha256"))
			body, err := io.ReadAll(r.Body) // nothing of it is gone
			require.NoError(t, err)
			require.Equal(t, text, string(body))
			r.Body = io.NopCloser(bytes.NewReader(body))
			_, err = newVerifier(t, euWest).VerifyAt(r, now)
			require.NoError(t, err)
		})
	}
}

func TestUnsignedPayloadIsDeclared(t *testing.T) {
	c := euWest
	c.AllowUnsignedPayload = true
	v := newVerifier(t, c)
	r := httptest.NewRequest("POST", "/", struct{ io.Reader }{strings.NewReader("any")})
	r = signed(t, r, sigv4.SignerConfig{UnsignedPayload: true})
	require.Equal(t, "UNSIGNED-PAYLOAD", r.Header.Get("X-Amz-Content-Sha256"))
	id, err := v.VerifyAt(r, now)
	require.NoError(t, err)
	require.True(t, id.UnsignedPayload)

	r = presigned(t, httptest.NewRequest("POST", "/", strings.NewReader("x")), sigv4.SignerConfig{UnsignedPayload: true})
	r.Body = io.NopCloser(strings.NewReader("other"))
	id, err = v.VerifyAt(r, now)
	require.NoError(t, err)
	require.True(t, id.UnsignedPayload && id.Presigned)
}

func TestSignedHeadersAreSortedAndSelected(t *testing.T) {
	r := get("/")
	for _, name := range []string{
		"Accept", "Content-Type", "X-Api-Key", "X-Amz-Meta-A", "Range", "User-Agent", "Connection", "X-Forwarded-For",
		"Accept-Encoding", "Proxy-Authorization", "Sec-Fetch-Site", "Expect", "X-Amzn-Trace-Id", "Cache-Control",
	} {
		r.Header.Set(name, "x")
	}
	list := func(r *http.Request) string {
		_, list, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
		list, _, _ = strings.Cut(list, ",")
		return list
	}
	require.Equal(t, "accept;content-type;host;range;x-amz-date;x-amz-meta-a;x-api-key", list(signed(t, r, sigv4.SignerConfig{})))
	none := func(string) bool { return false }
	require.Equal(t, "host;x-amz-date;x-amz-meta-a", list(signed(t, r, sigv4.SignerConfig{SignHeader: none})))
}

func TestSignReplacesWhatWasSigned(t *testing.T) {
	v := newVerifier(t, euWest)
	r := signed(t, get("/?a=1+2"), sigv4.SignerConfig{Credentials: temporary("ASIATEMP", "token==")})
	require.Equal(t, "a=1%202", r.URL.RawQuery)
	r = signed(t, r, sigv4.SignerConfig{})
	require.Empty(t, r.Header.Get("X-Amz-Security-Token"))
	_, err := v.VerifyAt(r, now)
	require.NoError(t, err)
}

// What a caller has set before does not contradict the signature.
func TestSignReplacesDate(t *testing.T) {
	r := get("/")
	r.Header.Set("Date", "Mon, 02 Jan 2006 15:04:05 GMT")
	_, err := newVerifier(t, euWest).VerifyAt(signed(t, r, sigv4.SignerConfig{}), now)
	require.NoError(t, err)
	require.Equal(t, "Tue, 24 Nov 2026 06:00:00 GMT", r.Header.Get("Date"))
}

func TestSignRefusesYearsThatDoNotFit(t *testing.T) {
	s := newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1"})
	for year, want := range map[int]error{-1: sigv4.ErrMalformedDate, 0: sigv4.ErrMalformedDate, 1: nil, 9999: nil, 10000: sigv4.ErrMalformedDate} {
		at := time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC)
		err := s.SignAt(get("/"), at)
		require.ErrorIs(t, err, want, year)
		_, err = s.PresignAt(get("/"), time.Minute, at)
		require.ErrorIs(t, err, want, year)
	}
}

// A hash in the query of a URL that is to be presigned is the declared one.
func TestPresignTakesTheHashFromTheQuery(t *testing.T) {
	s := newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1"})
	r := httptest.NewRequest("POST", "/?X-Amz-Content-Sha256="+hash("good"), nil)
	text, err := s.PresignAt(r, time.Minute, now)
	require.NoError(t, err)
	u, err := url.Parse(text)
	require.NoError(t, err)
	for body, want := range map[string]error{"good": nil, "evil": sigv4.ErrPayloadMismatch} {
		follow := httptest.NewRequest("POST", u.RequestURI(), strings.NewReader(body))
		_, err = newVerifier(t, euWest).VerifyAt(follow, now)
		require.ErrorIs(t, err, want)
	}
	r.Header.Set("X-Amz-Content-Sha256", hash("good"))
	_, err = s.PresignAt(r, time.Minute, now)
	require.ErrorIs(t, err, sigv4.ErrAmbiguousHeader)
	_, err = s.PresignAt(get("/?X-Amz-Content-Sha256=foo"), time.Minute, now)
	require.ErrorIs(t, err, sigv4.ErrMalformedPayloadHash)
}

func TestTraceTellsWhatWasSigned(t *testing.T) {
	var got sigv4.Trace
	r := signed(t, get("/a%20b?x"), sigv4.SignerConfig{Trace: func(_ *http.Request, trace sigv4.Trace) { got = trace }})
	require.Equal(t, "GET\n/a%2520b\nx=\nhost:example.com\nx-amz-date:20261124T060000Z\n\nhost;x-amz-date\n"+emptyHash, got.CanonicalRequest)
	require.Equal(t, "AWS4-HMAC-SHA256\n20261124T060000Z\n20261124/eu-west-1/execute-api/aws4_request\n"+hash(got.CanonicalRequest), got.StringToSign)

	// The verifier's trace of a mismatch is to be compared with it.
	r.Method = "PUT"
	_, err := newVerifier(t, euWest).VerifyAt(r, now)
	e, _ := errors.AsType[*sigv4.Error](err)
	require.Equal(t, "PUT"+strings.TrimPrefix(got.CanonicalRequest, "GET"), e.Trace.CanonicalRequest)
}

func TestPresignRefusesOtherExpiries(t *testing.T) {
	s := newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1"})
	for _, expires := range []time.Duration{0, -time.Second, time.Millisecond, 1500 * time.Millisecond, 7*24*time.Hour + time.Second} {
		_, err := s.Presign(get("/"), expires)
		require.ErrorIs(t, err, sigv4.ErrExpires)
	}
	_, err := s.Presign(get("/?X-Amz-Date=x"), time.Minute)
	require.ErrorIs(t, err, sigv4.ErrTwoMechanisms)
}

func TestPresignLeavesRequestUnchanged(t *testing.T) {
	r := get("/Prod?a=1+2")
	r.Header.Set("X-Amz-Meta", "x")
	before := r.Clone(t.Context())
	s := newSigner(t, sigv4.SignerConfig{Credentials: temporary("ASIATEMP", "token=="), Region: "eu-west-1"})
	got, err := s.PresignAt(r, time.Minute, now)
	require.NoError(t, err)
	require.Equal(t, before.Header, r.Header)
	require.Equal(t, before.URL, r.URL)
	require.True(t, strings.HasPrefix(got, "https://example.com/Prod?X-Amz-Algorithm=AWS4-HMAC-SHA256&"), got)
	require.Contains(t, got, "X-Amz-SignedHeaders=host%3Bx-amz-meta&a=1%202&X-Amz-Signature=")
	require.Contains(t, got, "X-Amz-Security-Token=token%3D%3D")
}

func TestUnsignedTokenComesLastInTheURL(t *testing.T) {
	c := euWest
	c.UnsignedToken = true
	r := presigned(t, get("/"), sigv4.SignerConfig{Credentials: temporary("ASIATEMP", "token=="), UnsignedToken: true})
	require.True(t, strings.HasSuffix(r.RequestURI, "&X-Amz-Security-Token=token%3D%3D"))
	_, err := newVerifier(t, c).VerifyAt(r, now)
	require.NoError(t, err)
	_, err = newVerifier(t, euWest).VerifyAt(r, now)
	require.ErrorIs(t, err, sigv4.ErrSignatureMismatch)
}

func TestTransportSignsACopy(t *testing.T) {
	var closed bool
	served := httptest.NewServer(newVerifier(t, euWest).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})))
	defer served.Close()
	s := newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1"})
	client := &http.Client{Transport: s.Transport(served.Client().Transport)}

	r, err := http.NewRequest("POST", served.URL+"/Prod?b=2&a=1+2", strings.NewReader("body"))
	require.NoError(t, err)
	before := r.Clone(t.Context())
	response, err := client.Do(r)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, "200 body", fmt.Sprint(response.StatusCode, " ", string(body)))
	require.Equal(t, before.Header, r.Header)
	require.Equal(t, before.URL, r.URL)

	r, err = http.NewRequest("POST", served.URL, closer{strings.NewReader("once"), &closed})
	require.NoError(t, err)
	response, err = client.Do(r)
	require.ErrorIs(t, err, sigv4.ErrBody)
	require.Nil(t, response)
	require.True(t, closed)
}

func TestTransportClosesIdleConnections(t *testing.T) {
	base := &idle{}
	s := newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1"})
	(&http.Client{Transport: s.Transport(base)}).CloseIdleConnections()
	require.True(t, base.closed)
	(&http.Client{Transport: s.Transport(struct{ http.RoundTripper }{base})}).CloseIdleConnections() // has nothing to close
}

type idle struct {
	http.RoundTripper
	closed bool
}

func (i *idle) CloseIdleConnections() { i.closed = true }

// A context that has ended does not sign: the source of the credentials says so.
func TestTransportEndsWithTheContext(t *testing.T) {
	s := newSigner(t, sigv4.SignerConfig{Region: "eu-west-1", Credentials: func(ctx context.Context) (sigv4.Credentials, error) {
		return sigv4.Credentials{AccessKeyID: iamKeyID, Secret: iamSecret}, ctx.Err()
	}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Transport(nil).RoundTrip(request(t, "GET", "https://api.example.com/", nil).WithContext(ctx))
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, sigv4.ErrUnavailable)
}

// The credentials stay with the server that they were for.
func TestTransportRefusesRedirects(t *testing.T) {
	var reached atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer other.Close()
	var signed atomic.Int64
	mux := http.NewServeMux()
	mux.Handle("/away", http.RedirectHandler(other.URL, http.StatusFound))
	mux.Handle("/within", http.RedirectHandler("/end", http.StatusTemporaryRedirect))
	mux.HandleFunc("/end", func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Security-Token") != "" {
			signed.Add(1)
		}
	})
	first := httptest.NewServer(mux)
	defer first.Close()
	s := newSigner(t, sigv4.SignerConfig{Credentials: temporary("ASIATEMP", "token=="), Region: "eu-west-1"})
	client := &http.Client{Transport: s.Transport(nil)}

	_, err := client.Get(first.URL + "/away")
	require.ErrorIs(t, err, sigv4.ErrRedirect)
	require.ErrorContains(t, err, other.Listener.Addr().String())
	require.Zero(t, reached.Load())

	response, err := client.Get(first.URL + "/within")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, int64(1), signed.Load())

	secure, plain := httptest.NewRequest("GET", "https://a/", nil), httptest.NewRequest("GET", "http://a/", nil)
	plain.Response = &http.Response{Request: secure}
	_, err = s.Transport(nil).RoundTrip(plain)
	require.ErrorIs(t, err, sigv4.ErrRedirect)
}

type closer struct {
	io.Reader
	closed *bool
}

func (c closer) Close() error {
	*c.closed = true
	return nil
}

// The same access key ID with another secret, or on another day, never gets an earlier key.
func TestCachedKeyBelongsToItsSecretAndDay(t *testing.T) {
	secret := sigv4.Secret(iamSecret)
	s := newSigner(t, sigv4.SignerConfig{Region: "eu-west-1", Credentials: func(context.Context) (sigv4.Credentials, error) {
		return sigv4.Credentials{AccessKeyID: iamKeyID, Secret: secret}, nil
	}})
	signature := func(at time.Time) string {
		r := get("/")
		require.NoError(t, s.SignAt(r, at))
		fresh := get("/")
		require.NoError(t, newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, secret), Region: "eu-west-1"}).SignAt(fresh, at))
		require.Equal(t, fresh.Header, r.Header)
		return r.Header.Get("Authorization")
	}
	first := signature(now)
	secret = "another"
	require.NotEqual(t, first, signature(now))
	secret = iamSecret
	require.Equal(t, first, signature(now))
	require.NotEqual(t, first, signature(now.AddDate(0, 0, 1)))
	require.Equal(t, first, signature(now))
}

func TestCachedKeysAreBounded(t *testing.T) {
	n := 0
	s := newSigner(t, sigv4.SignerConfig{Region: "eu-west-1", Credentials: func(context.Context) (sigv4.Credentials, error) {
		n++
		return sigv4.Credentials{AccessKeyID: iamKeyID, Secret: sigv4.Secret(fmt.Sprint("secret", n))}, nil
	}})
	r := get("/")
	for range 5000 {
		require.NoError(t, s.SignAt(r, now))
	}
	held, most := s.CachedKeys()
	require.Equal(t, 5000, held) // none has displaced another
	if heavy {
		for range most {
			require.NoError(t, s.SignAt(r, now))
		}
		held, _ = s.CachedKeys()
		require.LessOrEqual(t, held, most)
		require.Greater(t, held, most/2)
	}
	for range held { // the next day's keys take the place of this day's
		require.NoError(t, s.SignAt(r, now.AddDate(0, 0, 1)))
	}
	after, _ := s.CachedKeys()
	require.LessOrEqual(t, after, held)
}

// Of keys whose hashes are the same, none is taken for another.
func TestKeysOfOneHashAreToldApart(t *testing.T) {
	derived := sigv4.Key{SigningKey: sigv4.DeriveKey("sesame", "20261124", "eu-west-1", "execute-api")}
	other := sigv4.Key{SigningKey: sigv4.DeriveKey("another", "20261124", "eu-west-1", "execute-api")}
	bytes := sigv4.Key{Secret: derived.SigningKey}
	const date, scope = "20261124", "/eu-west-1/execute-api/aws4_request"
	for _, test := range []struct {
		name                  string
		held, asked           sigv4.Key
		askedDate, askedScope string
		want                  bool
	}{
		{"the same secret", sigv4.Key{Secret: "sesame"}, sigv4.Key{Secret: "sesame"}, date, scope, true},
		{"another secret", sigv4.Key{Secret: "sesame"}, sigv4.Key{Secret: "sesamf"}, date, scope, false},
		{"another day", sigv4.Key{Secret: "sesame"}, sigv4.Key{Secret: "sesame"}, "20261125", scope, false},
		{"another region", sigv4.Key{Secret: "sesame"}, sigv4.Key{Secret: "sesame"}, date, "/eu-west-2/execute-api/aws4_request", false},
		{"the same signing key", derived, derived, date, scope, true},
		{"another signing key", derived, other, date, scope, false},
		{"a secret for a signing key of its bytes", derived, bytes, date, scope, false},
		{"a signing key for a secret of its bytes", bytes, derived, date, scope, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, sigv4.FoundByHash(&test.held, date, scope, &test.asked, test.askedDate, test.askedScope))
		})
	}
}

func TestConcurrentSignaturesVerify(t *testing.T) {
	v := newVerifier(t, euWest)
	s := newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1"})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 100 {
				r := get(fmt.Sprintf("/%d/%d", i, j))
				if err := s.SignAt(r, now); err != nil {
					t.Error(err)
				}
				if _, err := v.VerifyAt(r, now); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// Goroutines that use the same new keys at once, while the tables grow, get the right ones and add each once.
func TestConcurrentNewKeysAreAddedOnce(t *testing.T) {
	const keys = 300
	v, err := sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys: func(_ context.Context, s sigv4.Scope) (sigv4.Key, error) {
			return sigv4.Key{Secret: sigv4.Secret("secret of " + s.AccessKeyID)}, nil
		},
		Regions: []string{"eu-west-1"},
	})
	require.NoError(t, err)
	type id struct{}
	s := newSigner(t, sigv4.SignerConfig{Region: "eu-west-1", Credentials: func(ctx context.Context) (sigv4.Credentials, error) {
		id := ctx.Value(id{}).(string)
		return sigv4.Credentials{AccessKeyID: id, Secret: sigv4.Secret("secret of " + id)}, nil
	}})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range keys {
				r := get("/").WithContext(context.WithValue(t.Context(), id{}, fmt.Sprint("AKIA", i)))
				if err := s.SignAt(r, now); err != nil {
					t.Error(err)
				}
				if _, err := v.VerifyAt(r, now); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	held, _ := s.CachedKeys()
	require.Equal(t, keys, held)
	require.Equal(t, keys, v.CachedKeys())
}

func TestSecretsPrintRedacted(t *testing.T) {
	c := sigv4.Credentials{AccessKeyID: iamKeyID, Secret: "sesame", SessionToken: "sesame"}
	key := sigv4.Key{Secret: "sesame", SessionToken: "sesame", SigningKey: sigv4.DeriveKey("sesame", "20261124", "eu-west-1", "execute-api")}
	signer := newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, "sesame"), Region: "eu-west-1"})
	require.NoError(t, signer.Sign(get("/")))
	ring := sigv4.Keyring{iamKeyID: {Secret: "sesame"}, "AKIABARE": {SigningKey: key.SigningKey}}
	verifier := newVerifier(t, sigv4.VerifierConfig{Keys: ring.Key, Regions: []string{"eu-west-1"}})
	var out strings.Builder
	for _, value := range []any{c, &c, key, &key, c.Secret, key.SigningKey, ring, signer, verifier} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(h).Info("message", "value", value)
		}
	}
	for _, value := range []any{c, key, c.Secret, key.SigningKey, []sigv4.Secret{"sesame"}, map[sigv4.Secret]bool{"sesame": true}} {
		require.NoError(t, gob.NewEncoder(&out).Encode(value))
	}
	text, err := json.Marshal([]any{c, key, key.SigningKey})
	require.NoError(t, err)
	out.Write(text)
	for _, secret := range []string{"sesame", "736573616d65", "115 101 115 97 109 101"} {
		require.NotContains(t, strings.ToLower(out.String()), secret)
	}
	derived := sigv4.DeriveKey("sesame", "20261124", "eu-west-1", "execute-api")
	require.NotContains(t, strings.ToLower(out.String()), fmt.Sprintf("%x", string(derived)))
	require.NotContains(t, out.String(), string(derived))
	require.NotContains(t, out.String(), fmt.Sprint([]byte(derived)))
	require.Contains(t, out.String(), "REDACTED")
	require.Equal(t, []string{"REDACTED", "REDACTED"}, []string{fmt.Sprint(c.Secret), fmt.Sprint(derived)})

	var read sigv4.Credentials // a configuration file may hold it
	require.NoError(t, json.Unmarshal([]byte(`{"Secret":"sesame"}`), &read))
	require.True(t, slices.Equal([]byte("sesame"), []byte(read.Secret)))
}

// What gob has written must not pass for a secret.
func TestRedactedSecretIsNotRead(t *testing.T) {
	var stored bytes.Buffer
	require.NoError(t, gob.NewEncoder(&stored).Encode(sigv4.Credentials{AccessKeyID: iamKeyID, Secret: "sesame"}))
	var read sigv4.Credentials
	require.Error(t, gob.NewDecoder(&stored).Decode(&read))
	require.Empty(t, string(read.Secret))
}

// The text says what the caller must change, because the cause is worded for the verifier.
func TestSignerSaysWhatToChange(t *testing.T) {
	secret := as(iamKeyID, iamSecret)
	none := func(context.Context) (sigv4.Credentials, error) { return sigv4.Credentials{}, nil }
	for _, tt := range []struct {
		name        string
		credentials func(context.Context) (sigv4.Credentials, error)
		edit        func(*http.Request)
		cause       error
		want        string
	}{
		{"no credentials", none, func(*http.Request) {}, sigv4.ErrMalformedCredential, "Credentials returned no secret"},
		{"host", secret, func(r *http.Request) { r.Host, r.URL.Host = "", "b\u00fccher.example" }, sigv4.ErrMalformedTarget, "Punycode"},
		{"key", secret, func(r *http.Request) { r.Header["x-customer"] = []string{"7"} }, sigv4.ErrAmbiguousHeader, "http.Header.Set"},
	} {
		s := newSigner(t, sigv4.SignerConfig{Credentials: tt.credentials, Region: "eu-west-1"})
		r := request(t, "GET", "https://api.example.com/", nil)
		tt.edit(r)
		err := s.SignAt(r, now)
		require.ErrorIs(t, err, tt.cause, tt.name)
		require.ErrorContains(t, err, tt.want, tt.name)
	}
	_, err := newSigner(t, sigv4.SignerConfig{Credentials: secret, Region: "eu-west-1"}).
		PresignAt(request(t, "GET", "https://api.example.com/", nil), 1500*time.Millisecond, now)
	require.ErrorIs(t, err, sigv4.ErrExpires)
	require.ErrorContains(t, err, "whole seconds")
}
