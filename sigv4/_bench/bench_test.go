// Package bench measures package sigv4 against its floor, the signer of aws-sdk-go-v2 and the verifier of gofakes3.
package bench

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/rclone/gofakes3/signature"
	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

const (
	keyID   = "AKIDEXAMPLE"
	secret  = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	region  = "eu-west-1"
	service = "execute-api"
	target  = "/Prod/loyalty/a900ae6c-99b9-4112-9677-b66fe79d792c?from=2026-11-01&to=2026-11-24"
	apiHost = "jcfq33.execute-api.eu-west-1.amazonaws.com"
)

var now = time.Now()

// TestMain gives the process the heap of a small server. The collector runs each time the heap has doubled. In a
// program that has no other heap that is so often that its work would be most of the cost of an allocation, ours and
// the peers'.
func TestMain(m *testing.M) {
	signature.TimeNow = func() time.Time { return now }
	heap := make([]byte, 64<<20)
	m.Run()
	runtime.KeepAlive(heap)
}

// floor is what every verification must do: SHA-256 of a canonical request of 300 bytes and HMAC-SHA-256 of a string
// to sign of 150 bytes, with a key that is used again.
func floor(b *testing.B) {
	b.Run("impl=floor", func(b *testing.B) {
		request, toSign, mac := make([]byte, 300), make([]byte, 150), hmac.New(sha256.New, make([]byte, 32))
		sum := make([]byte, 0, sha256.Size)
		b.ReportAllocs()
		for b.Loop() {
			hash := sha256.Sum256(request)
			copy(toSign, hash[:])
			mac.Reset()
			mac.Write(toSign)
			sum = mac.Sum(sum[:0])
		}
	})
}

func newSigner(tb testing.TB, id, token string) *sigv4.Signer {
	credentials := sigv4.Credentials{AccessKeyID: id, Secret: secret, SessionToken: sigv4.Secret(token)}
	s, err := sigv4.NewSigner(sigv4.SignerConfig{
		Credentials: func(context.Context) (sigv4.Credentials, error) { return credentials, nil },
		Region:      region,
	})
	require.NoError(tb, err)
	return s
}

func newVerifier(tb testing.TB, keys sigv4.Keyring) *sigv4.Verifier {
	v, err := sigv4.NewVerifier(sigv4.VerifierConfig{Keys: keys.Key, Regions: []string{region}})
	require.NoError(tb, err)
	return v
}

// request has the headers that clients send but do not sign.
func request(method, target string, body io.Reader) *http.Request {
	r := httptest.NewRequest(method, target, body)
	r.Host = apiHost
	r.Header.Set("User-Agent", "bench/1.0")
	r.Header.Set("Accept-Encoding", "gzip")
	return r
}

func sign(tb testing.TB, r *http.Request, s *sigv4.Signer) *http.Request {
	require.NoError(tb, s.SignAt(r, now))
	return r
}

func verify(b *testing.B, v *sigv4.Verifier, r *http.Request) {
	b.Run("impl=ours", func(b *testing.B) {
		_, err := v.VerifyAt(r, now)
		require.NoError(b, err)
		b.ReportAllocs()
		for b.Loop() {
			_, _ = v.VerifyAt(r, now)
		}
	})
}

// verifyPeer measures the same request as verify.
func verifyPeer(b *testing.B, r *http.Request) {
	b.Run("impl=gofakes3", func(b *testing.B) {
		require.NoError(b, gofakes3(r))
		b.ReportAllocs()
		for b.Loop() {
			_ = gofakes3(r)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	r := signedGET(b)
	verify(b, s3Verifier(b), r)
	verifyPeer(b, r)
	floor(b)
}

func BenchmarkVerifyToken400(b *testing.B) {
	token := strings.Repeat("Token+/4", 50)
	v := newVerifier(b, sigv4.Keyring{keyID: {Secret: secret, SessionToken: sigv4.Secret(token)}})
	verify(b, v, sign(b, request("GET", target, nil), newSigner(b, keyID, token)))
	floor(b)
}

func BenchmarkVerifyPresigned(b *testing.B) {
	r := presignedGET(b)
	verify(b, s3Verifier(b), r)
	verifyPeer(b, r)
	floor(b)
}

// again is a body that each iteration reads from the beginning, without a new allocation.
type again struct{ bytes.Reader }

func (*again) Close() error { return nil }

func BenchmarkVerifyBody1KiB(b *testing.B) {
	text := bytes.Repeat([]byte("x"), 1<<10)
	r, body := signedPOST(b, string(text)), new(again)
	verifyBody := func(name string, verify func(*http.Request) error) {
		b.Run("impl="+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				body.Reset(text)
				r.Body = body
				if err := verify(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	v := s3Verifier(b)
	verifyBody("ours", func(r *http.Request) error {
		_, err := v.VerifyAt(r, now)
		return err
	})
	verifyBody("gofakes3", gofakes3Body)
	b.Run("impl=floor", func(b *testing.B) {
		request, toSign, mac := make([]byte, 300), make([]byte, 150), hmac.New(sha256.New, make([]byte, 32))
		sum := make([]byte, 0, sha256.Size)
		for b.Loop() {
			payload := sha256.Sum256(text)
			copy(request, payload[:])
			hash := sha256.Sum256(request)
			copy(toSign, hash[:])
			mac.Reset()
			mac.Write(toSign)
			sum = mac.Sum(sum[:0])
		}
	})
}

func BenchmarkRefuse(b *testing.B) {
	v := newVerifier(b, sigv4.Keyring{keyID: {Secret: secret}})
	r := request("GET", target, nil)
	r.Header.Set("Authorization", "Bearer eyJhbGciOiJSUzI1NiJ9")
	b.Run("impl=ours", func(b *testing.B) {
		_, err := v.VerifyAt(r, now)
		require.ErrorIs(b, err, sigv4.ErrMalformed)
		b.ReportAllocs()
		for b.Loop() {
			_, _ = v.VerifyAt(r, now)
		}
	})
	floor(b)
}

// BenchmarkHandler includes the context that carries the identity and a handler that reads it.
func BenchmarkHandler(b *testing.B) {
	v := newVerifier(b, sigv4.Keyring{keyID: {Secret: secret}})
	r := request("GET", target, nil)
	require.NoError(b, newSigner(b, keyID, "").Sign(r))
	h := v.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, ok := sigv4.ID(r); !ok {
			b.Fatal("no identity")
		}
	}))
	b.Run("impl=ours", func(b *testing.B) {
		w := httptest.NewRecorder()
		b.ReportAllocs()
		for b.Loop() {
			h.ServeHTTP(w, r)
		}
		require.Equal(b, http.StatusOK, w.Code)
	})
	floor(b)
}

// BenchmarkObserve verifies without an Observe, and with one that does nothing.
func BenchmarkObserve(b *testing.B) {
	c := sigv4.VerifierConfig{Keys: sigv4.Keyring{keyID: {Secret: secret}}.Key, Regions: []string{region}}
	r := sign(b, request("GET", target, nil), newSigner(b, keyID, ""))
	for _, impl := range []struct {
		name    string
		observe func(context.Context, sigv4.Event)
	}{{"nil", nil}, {"empty", func(context.Context, sigv4.Event) {}}} {
		c.Observe = impl.observe
		v, err := sigv4.NewVerifier(c)
		require.NoError(b, err)
		b.Run("impl="+impl.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.VerifyAt(r, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	floor(b)
}

func BenchmarkVerifyParallel(b *testing.B) {
	v := newVerifier(b, sigv4.Keyring{keyID: {Secret: secret}})
	s := newSigner(b, keyID, "")
	b.Run("impl=ours", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			r := sign(b, request("GET", target, nil), s)
			for pb.Next() {
				if _, err := v.VerifyAt(r, now); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
	b.Run("impl=floor", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			request, toSign, mac := make([]byte, 300), make([]byte, 150), hmac.New(sha256.New, make([]byte, 32))
			sum := make([]byte, 0, sha256.Size)
			for pb.Next() {
				hash := sha256.Sum256(request)
				copy(toSign, hash[:])
				mac.Reset()
				mac.Write(toSign)
				sum = mac.Sum(sum[:0])
			}
		})
	})
}

// BenchmarkVerifyKeys verifies ten thousand requests in turn, of one text, signed with one key or with ten thousand.
// Both sets are made in turn and verified by one verifier, so that they are in memory in the same way and differ only
// in the number of keys. The secrets are pieces of one text, so that the cost of finding them in a key source is not
// measured; a sigv4.Keyring of ten thousand adds a tenth, for the cache misses of its map.
func BenchmarkVerifyKeys(b *testing.B) {
	text := rand.Text()
	for len(text) < requests+len(secret) {
		text += rand.Text()
	}
	secretOf := func(i int) sigv4.Secret { return sigv4.Secret(text[i : i+len(secret)]) }
	source := func(_ context.Context, s sigv4.Scope) (sigv4.Key, error) {
		i, err := strconv.Atoi(s.AccessKeyID[len("AKIA"):])
		return sigv4.Key{Secret: secretOf(i)}, err
	}
	v, err := sigv4.NewVerifier(sigv4.VerifierConfig{Keys: source, Regions: []string{region}})
	require.NoError(b, err)

	signing := 0
	s, err := sigv4.NewSigner(sigv4.SignerConfig{
		Credentials: func(context.Context) (sigv4.Credentials, error) {
			return sigv4.Credentials{AccessKeyID: fmt.Sprintf("AKIA%012d", signing), Secret: secretOf(signing)}, nil
		},
		Region: region,
	})
	require.NoError(b, err)
	signed := func(with int) *http.Request {
		signing = with
		r := sign(b, request("GET", target, nil), s)
		_, err := v.VerifyAt(r, now)
		require.NoError(b, err)
		return r
	}
	var one, many [requests]*http.Request
	for i := range requests {
		one[i], many[i] = signed(0), signed(i)
	}
	b.Run("keys=1", func(b *testing.B) { verifyAll(b, v, &one) })
	b.Run("keys=10k", func(b *testing.B) { verifyAll(b, v, &many) })
}

const requests = 10_000

func verifyAll(b *testing.B, v *sigv4.Verifier, all *[requests]*http.Request) {
	b.Run("impl=ours", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i = (i + 1) % requests {
			if _, err := v.VerifyAt(all[i], now); err != nil {
				b.Fatal(err)
			}
		}
	})
	floor(b)
}

const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func BenchmarkSign(b *testing.B) {
	b.Run("impl=ours", func(b *testing.B) {
		s, r := newSigner(b, keyID, ""), request("GET", target, nil)
		b.ReportAllocs()
		for b.Loop() {
			if err := s.SignAt(r, now); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("impl=aws-sdk-go-v2", func(b *testing.B) {
		s, r := v4.NewSigner(), request("GET", target, nil)
		credentials := aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}
		b.ReportAllocs()
		for b.Loop() {
			if err := s.SignHTTP(b.Context(), credentials, r, emptyHash, service, region, now); err != nil {
				b.Fatal(err)
			}
		}
	})
	floor(b)
}

func BenchmarkPresign(b *testing.B) {
	b.Run("impl=ours", func(b *testing.B) {
		s, r := newSigner(b, keyID, ""), request("GET", target, nil)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.PresignAt(r, time.Minute, now); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("impl=aws-sdk-go-v2", func(b *testing.B) {
		s, r := v4.NewSigner(), request("GET", target+"&X-Amz-Expires=60", nil)
		credentials := aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := s.PresignHTTP(b.Context(), credentials, r, emptyHash, service, region, now); err != nil {
				b.Fatal(err)
			}
		}
	})
	floor(b)
}
