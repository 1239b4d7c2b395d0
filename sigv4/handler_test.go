package sigv4_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

// always is an AllowDespite that lets all through.
func always(*http.Request, error) bool { return true }

// signedNow returns a request that verifies at the time of the test.
func signedNow(t *testing.T, method, target, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
	require.NoError(t, newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1"}).Sign(r))
	return r
}

// A layer outside the verifier sees the route that a mux inside has found, as otelhttp does to name its spans.
func TestHandlerReturnsPattern(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /Prod/{rest...}", func(http.ResponseWriter, *http.Request) {})
	c := euWest
	c.AllowDespite = always
	for name, r := range map[string]*http.Request{
		"verified": signedNow(t, "GET", "/Prod/loyalty", ""),
		"despite":  get("/Prod/loyalty"),
		"despite, inside an outer verifier": get("/Prod/loyalty").WithContext(
			sigv4.NewContext(t.Context(), sigv4.Identity{Principal: "outer"})),
	} {
		newVerifier(t, c).Handler(mux).ServeHTTP(httptest.NewRecorder(), r)
		require.Equal(t, "GET /Prod/{rest...}", r.Pattern, name)
	}
}

// served is what the next handler and the client have seen.
type served struct {
	called, identified bool
	body               string
	bodyErr            error
	answer             *httptest.ResponseRecorder
}

// serve sends a request that an outer verifier has identified.
func serve(v *sigv4.Verifier, r *http.Request) (s served) {
	s.answer = httptest.NewRecorder()
	v.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s.called = true
		_, inContext := sigv4.FromContext(r.Context())
		_, named := sigv4.ID(r)
		s.identified = inContext || named
		body, err := io.ReadAll(r.Body)
		s.body, s.bodyErr = string(body), err
	})).ServeHTTP(s.answer, r.WithContext(sigv4.NewContext(r.Context(), sigv4.Identity{Principal: "outer"})))
	return s
}

func TestAllowDespitePassesRequestWithoutIdentity(t *testing.T) {
	down := func(context.Context, sigv4.Scope) (sigv4.Key, error) { return sigv4.Key{}, errors.New("down") }
	unsigned := func() *http.Request { return httptest.NewRequest("POST", "/", strings.NewReader("a body")) }
	for _, tt := range []struct {
		name   string
		change func(*sigv4.VerifierConfig)
		r      *http.Request
		asked  error // nil: not asked
	}{
		{"unsigned", nil, unsigned(), sigv4.ErrMissing},
		{"key source down", func(c *sigv4.VerifierConfig) { c.Keys = down }, signedNow(t, "POST", "/", "a body"), sigv4.ErrUnavailable},
		{"wrong secret, the body read", nil, func() *http.Request {
			r := signedNow(t, "POST", "/", "a body")
			r.Header.Del("X-Amz-Content-Sha256") // so that the body is read before the signature is compared
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "x-amz-content-sha256;", "", 1))
			return r
		}(), sigv4.ErrSignatureMismatch},
		{"another body", nil, func() *http.Request {
			r := signedNow(t, "POST", "/", "another body")
			r.Body = io.NopCloser(strings.NewReader("a body"))
			return r
		}(), sigv4.ErrPayloadMismatch},
		{"body too large", func(c *sigv4.VerifierConfig) { c.MaxBody = 3 }, signedNow(t, "POST", "/", "a body"), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := euWest
			if tt.change != nil {
				tt.change(&c)
			}
			var asked error
			c.AllowDespite = func(_ *http.Request, err error) bool {
				asked = err
				return true
			}
			s := serve(newVerifier(t, c), tt.r)
			require.Equal(t, tt.asked != nil, s.called)
			require.False(t, s.identified)
			require.ErrorIs(t, asked, tt.asked)
			if tt.asked == nil {
				require.Equal(t, 413, s.answer.Code)
				return
			}
			require.IsType(t, &sigv4.Error{}, asked)
			require.NoError(t, s.bodyErr)
			require.Equal(t, "a body", s.body)
			require.Empty(t, s.answer.Header())
		})
	}
}

// AllowDespite changes nothing for a good request, and nothing where it says no or where nothing was configured.
func TestAllowDespiteChangesNothingElse(t *testing.T) {
	c := euWest
	c.AllowDespite = func(*http.Request, error) bool { return false }
	s := serve(newVerifier(t, c), get("/"))
	require.Equal(t, []any{false, 403}, []any{s.called, s.answer.Code})

	for _, v := range []*sigv4.Verifier{nil, {}} {
		s = serve(v, get("/"))
		require.Equal(t, []any{false, 500}, []any{s.called, s.answer.Code})
	}

	c.AllowDespite = always
	v := newVerifier(t, c)
	s = serve(v, signedNow(t, "POST", "/", "a body"))
	require.Equal(t, []any{true, true, "a body"}, []any{s.called, s.identified, s.body})
	_, err := v.Verify(get("/"))
	require.ErrorIs(t, err, sigv4.ErrMissing)
	r, err := v.Authenticate(get("/"))
	require.ErrorIs(t, err, sigv4.ErrMissing)
	require.Nil(t, r)
}

// A body that was not read has the same limit as in a verified request.
func TestAllowDespiteLimitsBody(t *testing.T) {
	c := euWest
	c.AllowDespite, c.MaxBody = always, 5
	v := newVerifier(t, c)
	for body, whole := range map[string]bool{"12345": true, "123456": false} {
		s := serve(v, httptest.NewRequest("POST", "/", struct{ io.Reader }{strings.NewReader(body)}))
		require.Equal(t, "12345", s.body)
		_, limited := errors.AsType[*http.MaxBytesError](s.bodyErr)
		require.Equal(t, whole, !limited)
	}
}

func TestAnonymousHidesIdentity(t *testing.T) {
	v := newVerifier(t, euWest)
	r := get("/")
	require.Same(t, r, v.Anonymous(r)) // nothing to hide
	type key struct{}
	ctx := context.WithValue(sigv4.NewContext(t.Context(), sigv4.Identity{Principal: "outer"}), key{}, "kept")
	hidden := v.Anonymous(r.WithContext(ctx))
	_, ok := sigv4.ID(hidden)
	require.False(t, ok)
	id, ok := sigv4.FromContext(hidden.Context())
	require.False(t, ok)
	require.Zero(t, id)
	require.Equal(t, "kept", hidden.Context().Value(key{}))
	again := hidden.WithContext(sigv4.NewContext(hidden.Context(), sigv4.Identity{Principal: "inner"}))
	name, ok := sigv4.ID(again)
	require.Equal(t, "inner true", name+map[bool]string{true: " true"}[ok])
}
