package bench

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
	"github.com/tallygate/tallygate/sigv4"
)

const julian = "arn:aws:iam::123456789012:user/julian"

// signed returns a signed request, as a client behind a load balancer sends it, and the verifier that knows its key.
func signed(b *testing.B, now time.Time) (*http.Request, *sigv4.Verifier) {
	signer, err := sigv4.NewSigner(sigv4.SignerConfig{
		Region: "eu-west-1",
		Credentials: func(context.Context) (sigv4.Credentials, error) {
			return sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}, nil
		},
	})
	require.NoError(b, err)
	r := httptest.NewRequest(http.MethodGet, "/Prod/loyalty/a900ae6c-99b9-4112-9677-b66fe79d792c?from=2026-11-01&to=2026-11-24", nil)
	r.Host, r.RemoteAddr = "jcfq33.execute-api.eu-west-1.amazonaws.com", "203.0.113.7:40000"
	r.Header.Set("User-Agent", "bench/1.0")
	require.NoError(b, signer.SignAt(r, now))
	v, err := sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys:    sigv4.Keyring{"AKIDEXAMPLE": {Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", Principal: julian}}.Key,
		Regions: []string{"eu-west-1"},
	})
	require.NoError(b, err)
	return r, v
}

// The budget of a gate is 0.4 × the verification of the signature before it, and 3 allocations. The floor is that
// verification. The caller has the common document as its own, and the API has one as well.
func BenchmarkGate(b *testing.B) {
	now := time.Now()
	r, v := signed(b, now)
	b.Run("impl=floor", func(b *testing.B) {
		_, err := v.VerifyAt(r, now)
		require.NoError(b, err)
		b.ReportAllocs()
		for b.Loop() {
			_, _ = v.VerifyAt(r, now)
		}
	})
	p, err := policy.Parse([]byte(common))
	require.NoError(b, err)
	identity := []*policy.Policy{p}
	tags := map[string]string{"team": "loyalty"}
	config := policy.GateConfig{
		StageARN: stage, Mount: "/Prod", Authorization: "AWS_IAM", Principal: sigv4.ID,
		Policies: func(*http.Request) (policy.Set, error) { return policy.Set{Identity: identity}, nil },
	}
	proven, err := v.Authenticate(r)
	require.NoError(b, err)
	for name, change := range map[string]func(*policy.GateConfig){
		"ours": func(*policy.GateConfig) {},
		"ours+tags": func(c *policy.GateConfig) {
			c.Facts = func(_ *http.Request, about *policy.Request) { about.PrincipalTags = tags }
		},
		"ours+resource": func(c *policy.GateConfig) {
			c.Resource = func() *policy.Policy { return p }
		},
	} {
		c := config
		change(&c)
		gate, err := policy.NewGate(c)
		require.NoError(b, err)
		require.NoError(b, gate.Check(proven))
		b.Run("impl="+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = gate.Check(proven)
			}
		})
	}
}
