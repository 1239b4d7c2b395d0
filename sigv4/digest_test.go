package sigv4_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

// Without the steps of SHA-256 every signature is the same.
func TestSignatureIsTheSameWithoutSteps(t *testing.T) {
	require.True(t, sigv4.KnownAnswers())
	stepwise := signed(t, post("/Prod?b=2&a=1", "a body"), sigv4.SignerConfig{})
	sigv4.WithoutSteps(func() {
		plain := signed(t, post("/Prod?b=2&a=1", "a body"), sigv4.SignerConfig{})
		require.Equal(t, stepwise.Header, plain.Header)
		v := newVerifier(t, euWest)
		for _, r := range []*http.Request{plain, presigned(t, get("/Prod"), sigv4.SignerConfig{})} {
			_, err := v.VerifyAt(r, now)
			require.NoError(t, err)
			_, err = v.VerifyAt(signed(t, get("/"), sigv4.SignerConfig{Credentials: as(iamKeyID, "wrong")}), now)
			require.ErrorIs(t, err, sigv4.ErrSignatureMismatch)
		}
		bare := newVerifier(t, sigv4.VerifierConfig{Regions: []string{"eu-west-1"}, Keys: sigv4.Keyring{
			iamKeyID: {SigningKey: sigv4.DeriveKey(iamSecret, "20261124", "eu-west-1", "execute-api")},
		}.Key})
		_, err := bare.VerifyAt(signed(t, get("/"), sigv4.SignerConfig{}), now)
		require.NoError(t, err)
	})
}
