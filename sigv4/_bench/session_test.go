package bench

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/sigv4/session"
)

// sessionsInTurn is how many sessions the row impl=uncached verifies in turn. It is far more than its cache holds.
const sessionsInTurn = 1024

func sessionKeys(tb testing.TB, cache int) *session.Keys {
	k, err := session.New(session.Config{SealingKeys: []sigv4.Secret{sigv4.Secret(strings.Repeat("k", 32))}, CacheSize: cache})
	require.NoError(tb, err)
	return k
}

func issue(tb testing.TB, k *session.Keys) sigv4.Credentials {
	c, err := k.Issue(session.Session{
		Principal: "arn:aws:sts::123456789012:assumed-role/Points/julianwood", Role: "arn:aws:iam::123456789012:role/Points",
		Expires: time.Now().Add(time.Hour),
	})
	require.NoError(tb, err)
	return c
}

// BenchmarkSession verifies a request with temporary credentials. Impl=keyring has the same credentials in a map, which
// is the floor: the request is the same. Impl=cached knows the session already. Impl=uncached opens the token of each
// request, and derives its signing key. Impl=forged is refused because its token does not open. Impl=issue makes new
// credentials.
func BenchmarkSession(b *testing.B) {
	keys := sessionKeys(b, 0)
	c := issue(b, keys)
	ring := sigv4.Keyring{c.AccessKeyID: {Secret: c.Secret, SessionToken: c.SessionToken}}
	run := func(name string, source func(context.Context, sigv4.Scope) (sigv4.Key, error), refused bool, sent ...sigv4.Credentials) {
		b.Run("impl="+name, func(b *testing.B) {
			v, err := sigv4.NewVerifier(sigv4.VerifierConfig{Keys: source, Regions: []string{region}})
			require.NoError(b, err)
			type signed struct{ verify func() error }
			var requests []signed
			for _, c := range sent {
				s, err := sigv4.NewSigner(sigv4.SignerConfig{
					Credentials: func(context.Context) (sigv4.Credentials, error) { return c, nil }, Region: region,
				})
				require.NoError(b, err)
				r := sign(b, request("GET", target, nil), s)
				requests = append(requests, signed{func() error { _, err := v.VerifyAt(r, now); return err }})
			}
			for _, r := range requests {
				require.Equal(b, refused, r.verify() != nil)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				_ = requests[i%len(requests)].verify()
			}
		})
	}
	run("keyring", ring.Key, false, c)
	run("cached", keys.Key, false, c)
	small := sessionKeys(b, 16)
	many := make([]sigv4.Credentials, sessionsInTurn)
	for i := range many {
		many[i] = issue(b, small)
	}
	run("uncached", small.Key, false, many...)
	forged := c
	forged.AccessKeyID = "ASIAFORGED"
	run("forged", keys.Key, true, forged)
	b.Run("impl=issue", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = issue(b, keys)
		}
	})
}
