package session_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/sigv4/session"
)

// A service hands out credentials for an hour, and a handler sees the session behind a request.
func Example() {
	sealing := make([]byte, 32)
	_, _ = rand.Read(sealing) // in production from a secret store, the same on every node
	keys, err := session.New(session.Config{SealingKeys: []sigv4.Secret{sigv4.Secret(sealing)}})
	if err != nil {
		fmt.Println(err)
		return
	}
	verifier, err := sigv4.NewVerifier(sigv4.VerifierConfig{Keys: keys.Key, Regions: []string{"eu-west-1"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := verifier.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s, _ := session.FromContext(r.Context())
		fmt.Println(s.Principal, s.Tags["team"])
	}))

	credentials, err := keys.Issue(session.Session{
		Principal: "arn:aws:sts::123456789012:assumed-role/Points/julianwood",
		Tags:      map[string]string{"team": "loyalty"},
		Expires:   time.Now().Add(time.Hour),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	signer, err := sigv4.NewSigner(sigv4.SignerConfig{
		Credentials: func(context.Context) (sigv4.Credentials, error) { return credentials, nil }, Region: "eu-west-1",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	r := httptest.NewRequest(http.MethodGet, "/Prod/loyalty/1", nil)
	if err := signer.Sign(r); err != nil {
		fmt.Println(err)
		return
	}
	handler.ServeHTTP(httptest.NewRecorder(), r)
	// Output: arn:aws:sts::123456789012:assumed-role/Points/julianwood loyalty
}

// Another key source stays the source of permanent keys.
func ExampleKeys_Key() {
	keys, err := session.New(session.Config{
		SealingKeys: []sigv4.Secret{sigv4.Secret(make([]byte, 32))},
		Base:        sigv4.Keyring{"AKIDEXAMPLE": {Secret: "secret", Principal: "julianwood"}}.Key,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	key, err := keys.Key(context.Background(), sigv4.Scope{AccessKeyID: "AKIDEXAMPLE"})
	fmt.Println(key.Principal, err)
	_, err = keys.Key(context.Background(), sigv4.Scope{AccessKeyID: "ASIAEXAMPLE", SessionToken: "TGs1.forged"})
	fmt.Println(errors.Is(err, sigv4.ErrUnknownKey))
	// Output:
	// julianwood <nil>
	// true
}

// The mistake here is to issue all sessions under the name of the role. Limits count by the principal, so all callers
// share one quota, and logs do not tell them apart. The principal of a session has a name of its own.
func Example_incorrect() {
	keys, _ := session.New(session.Config{SealingKeys: []sigv4.Secret{sigv4.Secret(make([]byte, 32))}})
	for range 2 {
		c, _ := keys.Issue(session.Session{Principal: "arn:aws:iam::123456789012:role/Points", Expires: time.Now().Add(time.Hour)})
		key, _ := keys.Key(context.Background(), sigv4.Scope{AccessKeyID: c.AccessKeyID, SessionToken: c.SessionToken})
		fmt.Println(key.Principal)
	}
	// Output:
	// arn:aws:iam::123456789012:role/Points
	// arn:aws:iam::123456789012:role/Points
}
