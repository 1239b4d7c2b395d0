package sigv4_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

// as returns a source of permanent credentials.
func as(id string, secret sigv4.Secret) func(context.Context) (sigv4.Credentials, error) {
	return func(context.Context) (sigv4.Credentials, error) {
		return sigv4.Credentials{AccessKeyID: id, Secret: secret}, nil
	}
}

func newSigner(tb testing.TB, c sigv4.SignerConfig) *sigv4.Signer {
	tb.Helper()
	s, err := sigv4.NewSigner(c)
	require.NoError(tb, err)
	return s
}

func newVerifier(tb testing.TB, c sigv4.VerifierConfig) *sigv4.Verifier {
	tb.Helper()
	v, err := sigv4.NewVerifier(c)
	require.NoError(tb, err)
	return v
}

// heavy raises the counts.
var heavy = os.Getenv("TALLYGATE_HEAVY") != ""

// presigned returns the request that follows a presigned URL.
func presigned(tb testing.TB, r *http.Request, c sigv4.SignerConfig) *http.Request {
	tb.Helper()
	if c.Credentials == nil {
		c.Credentials = as(iamKeyID, iamSecret)
	}
	c.Region = "eu-west-1"
	text, err := newSigner(tb, c).PresignAt(r, 5*time.Minute, now)
	require.NoError(tb, err)
	u, err := url.Parse(text)
	require.NoError(tb, err)
	follow := httptest.NewRequest(r.Method, u.RequestURI(), nil)
	follow.Host = u.Host
	return follow
}
