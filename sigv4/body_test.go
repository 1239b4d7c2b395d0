package sigv4_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

// An unknown key is refused before a byte of the body is read, unless there is to be one answer.
func TestUnknownKeyLeavesBodyUnread(t *testing.T) {
	for _, one := range []bool{false, true} {
		c := euWest
		c.OneAnswer = one
		r := post("/", "a body")
		r.Header.Set("Content-Type", "text/plain")
		signed(t, r, sigv4.SignerConfig{Credentials: as("AKIDUNKNOWN", "x"), SignHeader: func(string) bool { return false }})
		r.Header.Del("X-Amz-Content-Sha256")
		body := &counter{Reader: strings.NewReader("a body")}
		replace(";x-amz-content-sha256", "")(r)
		r.Body = body
		_, err := newVerifier(t, c).VerifyAt(r, now)
		require.ErrorIs(t, err, sigv4.ErrUnknownKey)
		require.Equal(t, one, body.read > 0)
		left, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.Equal(t, "a body", string(left))
	}
}

// errBroken is an error of a connection.
var errBroken = errors.New("broken")

// Whenever a request is refused, its body is as whole as it was.
func TestRefusedBodyIsWhole(t *testing.T) {
	big := strings.Repeat("x", 100_000)
	for name, tt := range map[string]struct {
		body    io.Reader
		change  func(*http.Request, *sigv4.VerifierConfig)
		want    error
		left    string
		leftErr error
	}{
		"wrong secret": {strings.NewReader("a body"), func(r *http.Request, _ *sigv4.VerifierConfig) {
			r.RequestURI = "/other"
		}, sigv4.ErrSignatureMismatch, "a body", nil},
		"wrong secret, byte by byte": {iotest.OneByteReader(strings.NewReader(big)), func(r *http.Request, _ *sigv4.VerifierConfig) {
			r.RequestURI = "/other"
		}, sigv4.ErrSignatureMismatch, big, nil},
		"one answer": {strings.NewReader("a body"), func(r *http.Request, c *sigv4.VerifierConfig) {
			c.OneAnswer = true
			replace("AKIDEXAMPLE", "AKIDUNKNOWN")(r)
		}, sigv4.ErrUnknownKey, "a body", nil},
		"too large": {iotest.OneByteReader(strings.NewReader(big)), func(_ *http.Request, c *sigv4.VerifierConfig) {
			c.MaxBody = 2000
		}, sigv4.ErrBodyTooLarge, big, nil},
		"too large by one byte": {strings.NewReader("12345"), func(_ *http.Request, c *sigv4.VerifierConfig) {
			c.MaxBody = 4
		}, sigv4.ErrBodyTooLarge, "12345", nil},
		"broken": {io.MultiReader(strings.NewReader("a bo"), iotest.ErrReader(errBroken)), func(*http.Request, *sigv4.VerifierConfig) {
		}, sigv4.ErrBody, "a bo", errBroken},
		"trailer": {strings.NewReader("a body"), func(r *http.Request, _ *sigv4.VerifierConfig) {
			r.Body = &trailing{r.Body, r, "X-Amz-Acl"}
		}, sigv4.ErrUnsignedHeader, "a body", nil},
		"declared": {strings.NewReader("another"), func(r *http.Request, _ *sigv4.VerifierConfig) {
			r.Header.Set("X-Amz-Content-Sha256", hash("a body"))
			signed(t, r, sigv4.SignerConfig{})
		}, sigv4.ErrPayloadMismatch, "another", nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := euWest
			r := httptest.NewRequest("POST", "/", nil)
			signed(t, r, sigv4.SignerConfig{})
			r.Body, r.ContentLength = io.NopCloser(tt.body), -1
			tt.change(r, &c)
			_, err := newVerifier(t, c).VerifyAt(r, now)
			require.ErrorIs(t, err, tt.want)
			left, err := io.ReadAll(r.Body)
			require.ErrorIs(t, err, tt.leftErr)
			require.Equal(t, tt.left, string(left))
			require.NotContains(t, r.Trailer, "X-Amz-Acl")
			require.NoError(t, r.Body.Close())
		})
	}
}

// trailing is a body that brings a trailer when it ends or is closed, as net/http's does.
type trailing struct {
	io.ReadCloser
	r    *http.Request
	name string
}

func (b *trailing) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.bring()
	}
	return n, err
}

func (b *trailing) bring() {
	if b.r.Trailer == nil {
		b.r.Trailer = http.Header{}
	}
	b.r.Trailer[b.name], b.r.Trailer["Note"] = []string{"x"}, []string{"x"}
}

func (b *trailing) Close() error { b.bring(); return b.ReadCloser.Close() }

// The handler of an unsigned payload never gets a forbidden trailer, however it ends the body. Its read fails instead.
func TestStreamDropsForbiddenTrailers(t *testing.T) {
	c := euWest
	c.AllowUnsignedPayload = true
	v := newVerifier(t, c)
	for _, name := range []string{"X-Amz-Acl", "x-amz-acl", "X_amz_acl", "Authorization", "authorization"} {
		for _, announced := range []bool{false, true} {
			for _, early := range []bool{false, true} {
				r := post("/", "a body")
				r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
				signed(t, r, sigv4.SignerConfig{})
				r.Body = &trailing{io.NopCloser(strings.NewReader("a body")), r, name}
				if announced {
					r.Trailer = http.Header{"Note": nil}
				}
				_, err := v.VerifyAt(r, now)
				require.NoError(t, err)
				handled := r.WithContext(context.Background()) // as Authenticate makes it
				if early {
					_, err = handled.Body.Read(make([]byte, 1))
					require.NoError(t, err)
				} else {
					text, err := io.ReadAll(handled.Body)
					require.ErrorIs(t, err, sigv4.ErrUnsignedHeader)
					require.Equal(t, "a body", string(text))
					_, err = handled.Body.Read(make([]byte, 1))
					require.ErrorIs(t, err, sigv4.ErrUnsignedHeader) // again
				}
				require.NoError(t, handled.Body.Close())
				require.NotContains(t, r.Trailer, name)
				require.NotContains(t, handled.Trailer, name)
				require.Equal(t, announced, handled.Trailer.Get("Note") == "x")
			}
		}
	}
}

// Who serves a request that Verify has refused before it read the body, as a chain of mechanisms may, sees no forbidden
// trailer either.
func TestRefusedRequestDropsForbiddenTrailers(t *testing.T) {
	v := newVerifier(t, euWest)
	for _, announced := range []bool{false, true} {
		for _, length := range []int64{-1, 6} {
			r := post("/", "a body")
			r.Body, r.ContentLength = &trailing{io.NopCloser(strings.NewReader("a body")), r, "X-Amz-Acl"}, length
			if announced || length >= 0 {
				r.Trailer = http.Header{"Note": nil, "X-Amz-Acl": nil}
			}
			for range 3 {
				_, err := v.VerifyAt(r, now)
				require.ErrorIs(t, err, sigv4.ErrMissing)
			}
			text, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			require.Equal(t, "a body", string(text))
			require.NoError(t, r.Body.Close())
			require.Equal(t, http.Header{"Note": {"x"}}, r.Trailer)
		}
	}
}

// A body of any length arrives whole, in pieces of any size, with a length that is known, unknown or wrong.
func TestBodyOfAnySizeArrivesWhole(t *testing.T) {
	v := newVerifier(t, euWest)
	for _, size := range []int{0, 1, 1023, 1024, 1025, 2047, 2048, 2049, 5000, 70_000} {
		text := bytes.Repeat([]byte("x"), size)
		for _, length := range []int64{-1, int64(size), 3, 1 << 20} {
			for _, read := range []func(io.Reader) io.Reader{
				func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader,
			} {
				r := post("/", string(text))
				signed(t, r, sigv4.SignerConfig{SignHeader: func(string) bool { return false }})
				r.Body, r.ContentLength = io.NopCloser(read(bytes.NewReader(text))), length
				_, err := v.VerifyAt(r, now)
				require.NoError(t, err)
				require.NoError(t, iotest.TestReader(r.Body, text), "%d bytes, length %d", size, length) // and goes back, for Signer
				got, err := io.ReadAll(r.Body)
				require.NoError(t, err)
				require.Empty(t, got)
				_, err = r.Body.(io.Seeker).Seek(-int64(size)/2, io.SeekEnd)
				require.NoError(t, err)
				var rest bytes.Buffer
				_, err = io.Copy(&rest, r.Body)
				require.NoError(t, err)
				require.True(t, bytes.Equal(text[size-size/2:], rest.Bytes()), "%d bytes, length %d", size, length)
			}
		}
	}
}

// The same over a connection: net/http fills the map of an announced trailer with those that were not announced.
func TestServerDropsForbiddenTrailers(t *testing.T) {
	for name, tt := range map[string]struct {
		raw     *wire
		despite bool
		want    error
	}{
		"streamed": {unsignedChunks("4\r\ngood\r\n0\r\nNote: x\r\nX-Amz-Acl: x\r\nAuthorization: x\r\n\r\n").with("Trailer: Note"), false, sigv4.ErrUnsignedHeader},
		"despite a refusal": {
			newWire("POST", loyalty, "Transfer-Encoding: chunked", "Trailer: Note, X-Amz-Acl").
				withBody("4\r\ngood\r\n0\r\nNote: x\r\nX-Amz-Acl: x\r\nAuthorization: x\r\n\r\n"), true, nil,
		},
		"despite a refusal, the body read": {
			newWire("POST", loyalty).withBody("evil").sign().with("Transfer-Encoding: chunked", "Trailer: Note").
				withBody("4\r\ngood\r\n0\r\nNote: x\r\nX-Amz-Acl: x\r\n\r\n"), true, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			type reading struct {
				text    string
				err     error
				trailer http.Header
			}
			read := make(chan reading, 1)
			c := sigv4.VerifierConfig{
				Keys: tempKeyring().Key, Regions: []string{"eu-west-1"}, AllowUnsignedPayload: true,
				AllowDespite: func(*http.Request, error) bool { return tt.despite },
			}
			server := httptest.NewServer(newVerifier(t, c).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				text, err := io.ReadAll(r.Body)
				read <- reading{string(text), err, r.Trailer}
			})))
			defer server.Close()
			require.Equal(t, 200, send(t, server.Listener.Addr().String(), tt.raw.String()).StatusCode)
			got := <-read
			require.Equal(t, "good", got.text)
			require.ErrorIs(t, got.err, tt.want)
			require.Equal(t, http.Header{"Note": {"x"}}, got.trailer)
		})
	}
}
