//go:build !race

package sigv4_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

// allocates measures f, which must succeed.
func allocates(t *testing.T, most float64, f func() error) {
	t.Helper()
	require.NoError(t, f())
	require.LessOrEqual(t, testing.AllocsPerRun(200, func() { _ = f() }), most)
}

func TestVerifyAllocatesWithinBudget(t *testing.T) {
	token := sigv4.Secret(strings.Repeat("Token+/4", 50))
	c := euWest
	c.Keys = sigv4.Keyring{
		iamKeyID:   {Secret: iamSecret},
		"ASIATEMP": {Secret: iamSecret, SessionToken: token},
		"AKIABARE": {SigningKey: sigv4.DeriveKey(iamSecret, "20261124", "eu-west-1", "execute-api")},
	}.Key
	v := newVerifier(t, c)
	verify := func(r *http.Request) func() error {
		return func() error {
			_, err := v.VerifyAt(r, now)
			return err
		}
	}
	t.Run("header", func(t *testing.T) {
		allocates(t, 0, verify(signed(t, get("/Prod/loyalty?b=2&a=1&%C3%A9=x%20y"), sigv4.SignerConfig{})))
	})
	t.Run("many headers", func(t *testing.T) {
		r := get("/Prod/loyalty")
		for _, name := range []string{"Accept", "Content-Type", "X-Api-Key", "X-Amz-Meta-A", "X-Amz-Meta-B"} {
			r.Header.Set(name, "a  value, with  spaces")
		}
		allocates(t, 0, verify(signed(t, r, sigv4.SignerConfig{})))
	})
	t.Run("token of 400 bytes", func(t *testing.T) {
		allocates(t, 0, verify(signed(t, get("/Prod/loyalty"), sigv4.SignerConfig{Credentials: temporary("ASIATEMP", token)})))
	})
	t.Run("signing key", func(t *testing.T) {
		allocates(t, 0, verify(signed(t, get("/Prod/loyalty"), sigv4.SignerConfig{Credentials: as("AKIABARE", iamSecret)})))
	})
	t.Run("presigned", func(t *testing.T) {
		allocates(t, 2, verify(presigned(t, get("/Prod/loyalty?a=1"), sigv4.SignerConfig{})))
	})
	t.Run("body of 1 KiB", func(t *testing.T) {
		text := bytes.Repeat([]byte("x"), 1<<10)
		body := new(againBody)
		r := httptest.NewRequest("POST", "/Prod/loyalty", nil)
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }
		r.Body, r.ContentLength = body, int64(len(text))
		signed(t, r, sigv4.SignerConfig{})
		allocates(t, 3, func() error {
			body.Reset(text)
			r.Body = body
			return verify(r)()
		})
	})
}

// A body of 10 MiB takes less than 11 MiB, whether its length is known or not: no piece is copied into a larger one.
func TestLargeBodyIsAllocatedOnce(t *testing.T) {
	text := bytes.Repeat([]byte("x"), 10<<20)
	v := newVerifier(t, euWest)
	for _, known := range []bool{true, false} {
		r := httptest.NewRequest("POST", "/", bytes.NewReader(text))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }
		signed(t, r, sigv4.SignerConfig{})
		if !known {
			r.ContentLength = -1
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := v.VerifyAt(r, now)
		runtime.ReadMemStats(&after)
		require.NoError(t, err)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(11<<20))
	}
}

// againBody is a body that can be read again.
type againBody struct{ bytes.Reader }

func (*againBody) Close() error { return nil }

func TestRefusalAllocatesOneError(t *testing.T) {
	v := newVerifier(t, euWest)
	for _, header := range []string{"", "Bearer eyJ", "AWS4-HMAC-SHA256 Credential=x", "AWS4-HMAC-SHA256 Credential=x, Credential=y"} {
		r := get("/Prod/loyalty?a=1")
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		require.LessOrEqual(t, testing.AllocsPerRun(200, func() { _, _ = v.VerifyAt(r, now) }), 1.0, header)
	}
}

// A refusal allocates the Error, and what it must decode of a presigned URL.
func TestPresignedRefusalAllocatesLittle(t *testing.T) {
	v := newVerifier(t, euWest)
	for old, change := range map[string]struct {
		with string
		most float64
	}{
		"X-Amz-Date=20261124T06": {"X-Amz-Date=20261124T05", 2}, "X-Amz-Date=20261124T060": {"X-Amz-Date=20261124T061", 2},
		"X-Amz-Date=": {"X-Amz-Dat=", 2}, "X-Amz-Expires=300": {"X-Amz-Expires=0", 2}, "eu-west-1": {"us-east-1", 3},
	} {
		r := presigned(t, get("/Prod/loyalty?a=1"), sigv4.SignerConfig{})
		r.RequestURI = strings.Replace(r.RequestURI, old, change.with, 1)
		require.LessOrEqual(t, testing.AllocsPerRun(200, func() { _, _ = v.VerifyAt(r, now) }), change.most, change.with)
	}
}

func TestHandlerAllocatesWithinBudget(t *testing.T) {
	h := newVerifier(t, euWest).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, ok := sigv4.ID(r); !ok {
			t.Error("no identity")
		}
	}))
	r := get("/Prod/loyalty")
	require.NoError(t, newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1"}).Sign(r))
	require.LessOrEqual(t, testing.AllocsPerRun(200, func() { h.ServeHTTP(nil, r) }), 3.0)
}

func TestSignAllocatesWithinBudget(t *testing.T) {
	s := newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1"})
	r := get("/Prod/loyalty?a=1")
	t.Run("sign", func(t *testing.T) { allocates(t, 4, func() error { return s.SignAt(r, now) }) })
	t.Run("fresh request", func(t *testing.T) {
		make := testing.AllocsPerRun(200, func() { _ = get("/Prod/loyalty?a=1") })
		both := testing.AllocsPerRun(200, func() { _ = s.SignAt(get("/Prod/loyalty?a=1"), now) })
		require.LessOrEqual(t, both-make, 4.0)
	})
	t.Run("presign", func(t *testing.T) {
		allocates(t, 4, func() error {
			_, err := s.PresignAt(r, time.Minute, now)
			return err
		})
	})
}

// stalled is a body of which a part arrives, and then nothing until it is released.
type stalled struct {
	part    *bytes.Reader
	reached chan<- struct{}
	release <-chan struct{}
}

func (b *stalled) Read(p []byte) (int, error) {
	if n, err := b.part.Read(p); err == nil {
		return n, nil
	}
	b.reached <- struct{}{}
	<-b.release
	return 0, io.ErrUnexpectedEOF
}

func (*stalled) Close() error { return nil }

// A connection that declares 10 MiB holds what has arrived of them, as much again but at most 32 KiB, and what any
// request holds.
func TestDeclaredLengthReservesNoMemory(t *testing.T) {
	const connections, constant = 100, 12 << 10
	v := newVerifier(t, euWest)
	for _, arrived := range []int{0, 1, 1 << 10, 100 << 10, 512<<10 + 2} {
		part := make([]byte, arrived)
		reached, release, done := make(chan struct{}), make(chan struct{}), make(chan error)
		requests := make([]*http.Request, connections)
		for i := range requests {
			r := httptest.NewRequest("PUT", "/", nil)
			signed(t, r, sigv4.SignerConfig{})
			r.Body, r.ContentLength = &stalled{bytes.NewReader(part), reached, release}, 10<<20
			requests[i] = r
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.GC() // empties pools
		runtime.ReadMemStats(&before)
		for _, r := range requests {
			go func() {
				_, err := v.VerifyAt(r, now)
				done <- err
			}()
		}
		for range requests {
			<-reached
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		held := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / connections
		close(release)
		for range requests {
			require.ErrorIs(t, <-done, sigv4.ErrBody)
		}
		require.Less(t, held, int64(arrived+min(arrived, 32<<10)+constant), "%d bytes arrived", arrived)
		t.Logf("%d bytes arrived, %d held", arrived, held)
	}
}

// What is too large is refused for the cost of the Error.
func TestRefusalBeyondLimitsAllocatesOneError(t *testing.T) {
	for _, tt := range beyondLimits {
		c := euWest
		c.MaxHeaderBytes = tt.most
		v := newVerifier(t, c)
		r := get("/")
		r.Header = tt.r.Header.Clone()
		signed(t, r, sigv4.SignerConfig{})
		r.RequestURI = tt.r.RequestURI
		require.LessOrEqual(t, testing.AllocsPerRun(200, func() { _, _ = v.VerifyAt(r, now) }), 1.0, tt.name)
	}
}

// To tell an Observe of an allowed request allocates nothing.
func TestObserveAllocatesNothingForAllowedRequests(t *testing.T) {
	r := get("/Prod/loyalty")
	require.NoError(t, newSigner(t, sigv4.SignerConfig{Credentials: as(iamKeyID, iamSecret), Region: "eu-west-1"}).Sign(r))
	told := 0
	c := euWest
	measure := func() (verify, handler float64) {
		v := newVerifier(t, c)
		h := v.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		verify = testing.AllocsPerRun(200, func() { _, _ = v.Verify(r) })
		return verify, testing.AllocsPerRun(200, func() { h.ServeHTTP(nil, r) })
	}
	verify, handler := measure()
	c.Observe = func(_ context.Context, e sigv4.Event) {
		if e.Outcome == "allowed" {
			told++
		}
	}
	observedVerify, observedHandler := measure()
	require.Equal(t, 402, told) // AllocsPerRun calls once more than it counts
	require.Zero(t, verify)
	require.Zero(t, observedVerify)
	require.Equal(t, handler, observedHandler)
}
