package sigv4_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

// onceBody is a body that can be read once, and records whether it was closed.
type onceBody struct {
	io.Reader
	closed int
}

func (b *onceBody) Close() error {
	b.closed++
	return nil
}

// The text names the setting: the body that is too large is the client's, and the limit is the signer's.
func TestMaxSpoolIsNamed(t *testing.T) {
	s := newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1", MaxSpool: 5})
	for _, length := range []int64{-1, 6} {
		r := request(t, "POST", "https://api.example.com/", &onceBody{Reader: strings.NewReader("a body")})
		r.ContentLength = length
		require.ErrorContains(t, s.SignAt(r, now), "longer than MaxSpool")
	}
}

func TestBodyUpToMaxSpoolIsSigned(t *testing.T) {
	spooling := func(most int64) *sigv4.Signer {
		return newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1", MaxSpool: most})
	}
	down := errors.New("connection reset")
	for _, tt := range []struct {
		name   string
		body   io.Reader
		length int64
		most   int64
		want   error
	}{
		{"at the limit", strings.NewReader("a body"), 6, 6, nil},
		{"of unknown length", strings.NewReader("a body"), -1, 6, nil},
		{"of unknown length, as http.NewRequest has it", strings.NewReader("a body"), 0, 6, nil},
		{"longer than the limit", strings.NewReader("a body"), -1, 5, sigv4.ErrBodyTooLarge},
		{"longer than the limit, as it says", strings.NewReader("a body"), 6, 5, sigv4.ErrBodyTooLarge},
		{"no limit configured", strings.NewReader("a body"), 6, 0, sigv4.ErrBody},
		{"as long as a number goes", strings.NewReader("a body"), -1, 1<<63 - 1, nil},
		{"breaks off", io.MultiReader(strings.NewReader("a b"), failing{down}), -1, 6, down},
		{"too large for an outer limit", http.MaxBytesReader(nil, io.NopCloser(strings.NewReader("a body")), 3), -1, 6, sigv4.ErrBodyTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := &onceBody{Reader: tt.body}
			r := request(t, "POST", "https://api.example.com/", body)
			r.ContentLength = tt.length
			require.ErrorIs(t, spooling(tt.most).SignAt(r, now), tt.want)
			if tt.want != nil {
				require.Zero(t, body.closed) // it is the caller's
				left, err := io.ReadAll(r.Body)
				if tt.want == down {
					require.ErrorIs(t, err, down)
					require.Equal(t, "a b", string(left))
				} else if tt.name != "too large for an outer limit" {
					require.Equal(t, "a body", string(left))
				}
				require.NoError(t, r.Body.Close())
				require.Equal(t, 1, body.closed)
				return
			}
			require.Equal(t, 1, body.closed)
			require.Equal(t, int64(6), r.ContentLength)
			require.Equal(t, hash("a body"), r.Header.Get("X-Amz-Content-Sha256"))
			for range 2 {
				again, err := r.GetBody()
				require.NoError(t, err)
				text, err := io.ReadAll(again)
				require.NoError(t, err)
				require.Equal(t, "a body", string(text))
			}
			_, err := newVerifier(t, euWest).VerifyAt(r, now)
			require.NoError(t, err)
		})
	}

	_, err := sigv4.NewSigner(sigv4.SignerConfig{MaxSpool: -1})
	require.ErrorContains(t, err, "MaxSpool")
	body := &onceBody{Reader: strings.NewReader("a body")}
	_, err = spooling(6).PresignAt(request(t, "POST", "https://api.example.com/", body), time.Minute, now) // leaves the request as it is
	require.ErrorIs(t, err, sigv4.ErrBody)
	left, err := io.ReadAll(body)
	require.NoError(t, err)
	require.Equal(t, "a body", string(left))

	empty := request(t, "POST", "https://api.example.com/", &onceBody{Reader: strings.NewReader("")})
	require.NoError(t, spooling(6).SignAt(empty, now))
	require.Equal(t, http.NoBody, empty.Body)
	require.Empty(t, empty.Header.Get("X-Amz-Content-Sha256"))
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

// A pipe is an os.File and so has a Seek, which fails.
func TestPipeIsSpooled(t *testing.T) {
	from, to, err := os.Pipe()
	require.NoError(t, err)
	_, err = to.WriteString("a body")
	require.NoError(t, err)
	require.NoError(t, to.Close())
	r := signed(t, request(t, "POST", "https://api.example.com/", from), sigv4.SignerConfig{MaxSpool: 6})
	require.Equal(t, hash("a body"), r.Header.Get("X-Amz-Content-Sha256"))
}

// A body whose hash is declared, or is not signed, or can be read again, is not read into memory.
func TestSpoolsOnlyWhatItMust(t *testing.T) {
	for name, change := range map[string]func(*http.Request, *sigv4.SignerConfig){
		"declared": func(r *http.Request, _ *sigv4.SignerConfig) { r.Header.Set("X-Amz-Content-Sha256", hash("a body")) },
		"unsigned": func(_ *http.Request, c *sigv4.SignerConfig) { c.UnsignedPayload = true },
		"again": func(r *http.Request, _ *sigv4.SignerConfig) {
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("a body")), nil }
		},
	} {
		body := &onceBody{Reader: strings.NewReader("a body")}
		r, c := request(t, "POST", "https://api.example.com/", body), sigv4.SignerConfig{MaxSpool: 3}
		change(r, &c)
		signed(t, r, c)
		require.Same(t, body, r.Body, name)
	}
}

// A reverse proxy that signs what it passes on, to a server that verifies it.
func TestReverseProxySignsWhatItPassesOn(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		server, last := verifying(t, newVerifier(t, euWest), http2)
		target, err := url.Parse(server.URL)
		require.NoError(t, err)
		s := newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1", MaxSpool: 1 << 10})
		proxy := &httputil.ReverseProxy{
			Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(target); p.SetXForwarded() },
			Transport: s.Transport(server.Client().Transport),
			ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
				if refused, ok := errors.AsType[*sigv4.Error](err); ok {
					refused.ServeHTTP(w, r)
					return
				}
				w.WriteHeader(http.StatusBadGateway)
			},
		}
		front := httptest.NewServer(proxy)
		defer front.Close()
		send := func(body io.Reader, length int64) int {
			r := request(t, "POST", front.URL+"/Prod/caf%C3%A9?q=a+b", body)
			r.ContentLength = length
			r.Header["Cookie"] = []string{"a=1", "b=2"}
			r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
			response, err := http.DefaultClient.Do(r)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			return response.StatusCode
		}
		text := bytes.Repeat([]byte("x"), 1<<10)
		for _, length := range []int64{1 << 10, -1} {
			*last = received{}
			require.Equal(t, 200, send(bytes.NewReader(text), length))
			require.NoError(t, last.err)
			require.Equal(t, iamKeyID, last.id.AccessKeyID)
			require.Equal(t, string(text), last.body)
			require.Equal(t, int64(1<<10), last.length)
			if length > 0 {
				length++
			}
			require.Equal(t, 413, send(bytes.NewReader(append(bytes.Clone(text), 'x')), length))
		}
		require.Equal(t, 200, send(nil, 0))
		require.NoError(t, last.err)
	}
}
