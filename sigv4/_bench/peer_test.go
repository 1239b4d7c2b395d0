package bench

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rclone/gofakes3/signature"
	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

var secrets = map[string]string{keyID: secret}

// gofakes3 verifies a signature as the S3 server of rclone does. Its time is signature.TimeNow, which TestMain sets, so
// that no implementation reads the clock.
func gofakes3(r *http.Request) error {
	code := signature.V4SignVerifyWithLookup(r, func(id string) (string, bool) {
		s, ok := secrets[id]
		return s, ok
	})
	if code != signature.ErrNone {
		return errors.New(signature.GetAPIError(code).Code)
	}
	return nil
}

var errBody = errors.New("the body does not have the hash that the request declares")

// gofakes3Body also reads the body and compares its hash, which gofakes3 leaves to its caller.
func gofakes3Body(r *http.Request) error {
	if err := gofakes3(r); err != nil {
		return err
	}
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	if hex.EncodeToString(sum[:]) != r.Header.Get("X-Amz-Content-Sha256") {
		return errBody
	}
	return nil
}

// s3Signer signs for "s3", because gofakes3 accepts no other service. It does not set S3, so that ours does what it
// does for API Gateway. For the path of target the canonical request is the same, since nothing in it is to be escaped
// or normalised. A presigned URL needs unsignedPayload, because S3 does not sign its payload.
func s3Signer(tb testing.TB, region, token string, unsignedPayload bool) *sigv4.Signer {
	credentials := sigv4.Credentials{AccessKeyID: keyID, Secret: secret, SessionToken: sigv4.Secret(token)}
	s, err := sigv4.NewSigner(sigv4.SignerConfig{
		Credentials: func(context.Context) (sigv4.Credentials, error) { return credentials, nil },
		Region:      region, Service: "s3", UnsignedPayload: unsignedPayload,
	})
	require.NoError(tb, err)
	return s
}

func s3Verifier(tb testing.TB) *sigv4.Verifier {
	v, err := sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys: sigv4.Keyring{keyID: {Secret: secret}}.Key, Regions: []string{region}, Services: []string{"s3"},
	})
	require.NoError(tb, err)
	return v
}

func signedGET(tb testing.TB) *http.Request {
	return sign(tb, request("GET", target, nil), s3Signer(tb, region, "", false))
}

func presignedGET(tb testing.TB) *http.Request {
	presigned, err := s3Signer(tb, region, "", true).PresignAt(request("GET", target, nil), 5*time.Minute, now)
	require.NoError(tb, err)
	u, err := url.Parse(presigned)
	require.NoError(tb, err)
	return request("GET", u.RequestURI(), nil)
}

func signedPOST(tb testing.TB, body string) *http.Request {
	r := request("POST", target, strings.NewReader(body))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
	return sign(tb, r, s3Signer(tb, region, "", false))
}

// retarget changes the target as an attacker on the way would.
func retarget(r *http.Request, replace, by string) {
	r.RequestURI = strings.Replace(r.RequestURI, replace, by, 1)
	u, err := url.ParseRequestURI(r.RequestURI)
	if err != nil {
		panic(err)
	}
	r.URL = u
}

// TestPeerVerifies shows that gofakes3 does what is measured. It accepts the requests of the benchmarks, and refuses
// them if they are changed.
func TestPeerVerifies(t *testing.T) {
	requests := []struct {
		name string
		make func(testing.TB) *http.Request
	}{
		{"signed", signedGET},
		{"presigned", presignedGET},
		{"body", func(tb testing.TB) *http.Request { return signedPOST(tb, "text") }},
	}
	const mismatch = "SignatureDoesNotMatch"
	changes := []struct {
		name   string
		change func(*http.Request)
		peer   string // the code of gofakes3
		ours   error
	}{
		{"method", func(r *http.Request) { r.Method = "DELETE" }, mismatch, sigv4.ErrSignatureMismatch},
		{"path", func(r *http.Request) { retarget(r, "/Prod/", "/Test/") }, mismatch, sigv4.ErrSignatureMismatch},
		{"query", func(r *http.Request) { retarget(r, "from=2026", "from=2025") }, mismatch, sigv4.ErrSignatureMismatch},
		{"host", func(r *http.Request) { r.Host = "other.example.com" }, mismatch, sigv4.ErrSignatureMismatch},
		{"unsigned header", func(r *http.Request) { r.Header.Set("X-Amz-Acl", "x") }, "AccessDenied", sigv4.ErrUnsigned},
		{"access key", func(r *http.Request) {
			retarget(r, keyID, "AKIDOTHER")
			for i, value := range r.Header["Authorization"] {
				r.Header["Authorization"][i] = strings.Replace(value, keyID, "AKIDOTHER", 1)
			}
		}, "InvalidAccessKeyId", sigv4.ErrUnknownKey},
	}
	v := s3Verifier(t)
	for _, q := range requests {
		t.Run(q.name, func(t *testing.T) {
			require.NoError(t, gofakes3(q.make(t)))
			_, err := v.VerifyAt(q.make(t), now)
			require.NoError(t, err)
		})
		for _, c := range changes {
			t.Run(q.name+"/"+c.name, func(t *testing.T) {
				r := q.make(t)
				c.change(r)
				require.EqualError(t, gofakes3(r), c.peer)
				_, err := v.VerifyAt(r, now)
				require.ErrorIs(t, err, c.ours)
			})
		}
	}
	require.NoError(t, gofakes3Body(signedPOST(t, "text")))
}

// TestPeerDoesNotCheck holds the list in README.md of what gofakes3 accepts and sigv4 refuses.
func TestPeerDoesNotCheck(t *testing.T) {
	for _, tc := range []struct {
		name string
		make func() *http.Request
		want error
	}{
		{"the hash of the body", func() *http.Request {
			r := signedPOST(t, "text")
			r.Body = io.NopCloser(strings.NewReader("evil"))
			return r
		}, sigv4.ErrSignatureMismatch},
		{"query parameters with a semicolon", func() *http.Request {
			r := signedGET(t)
			retarget(r, "?", "?admin=1;x=2&")
			return r
		}, sigv4.ErrAmbiguous},
		{"the region", func() *http.Request {
			return sign(t, request("GET", target, nil), s3Signer(t, "us-east-1", "", false))
		}, sigv4.ErrScope},
		{"the session token", func() *http.Request {
			return sign(t, request("GET", target, nil), s3Signer(t, region, "of another key", false))
		}, sigv4.ErrSessionToken},
		{"that there is one signature", func() *http.Request {
			r := signedGET(t)
			retarget(r, "?", "?X-Amz-Signature="+strings.Repeat("0", 64)+"&")
			return r
		}, sigv4.ErrAmbiguous},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.NoError(t, gofakes3(tc.make()))
			_, err := s3Verifier(t).VerifyAt(tc.make(), now)
			require.ErrorIs(t, err, tc.want)
		})
	}
	r := signedPOST(t, "text")
	r.Body = io.NopCloser(strings.NewReader("evil"))
	require.ErrorIs(t, gofakes3Body(r), errBody)
}
