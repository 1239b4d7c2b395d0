package sts_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/tallygate/tallygate/auth/policy"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/sigv4/session"
)

// The API behind the credentials. Its gate knows a session policy only if the application hands it over: the policy of
// the role allows all methods, and the session that was assumed with a policy may read one customer only.
func Example_sessionPolicy() {
	const stage = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod"
	role, err := policy.Parse([]byte(`{"Version": "2012-10-17", "Statement": {
		"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "` + stage + `/*"
	}}`))
	sessions, errKeys := session.New(session.Config{SealingKeys: []sigv4.Secret{sigv4.Secret(bytes.Repeat([]byte{1}, 32))}})
	if err := errors.Join(err, errKeys); err != nil {
		fmt.Println(err)
		return
	}
	verifier, err := sigv4.NewVerifier(sigv4.VerifierConfig{Keys: sessions.Key, Regions: []string{"eu-west-1"}})
	gate, errGate := policy.NewGate(policy.GateConfig{
		StageARN: stage, Mount: "/Prod", Authorization: "AWS_IAM", Principal: sigv4.ID,
		Policies: func(r *http.Request) (policy.Set, error) {
			set := policy.Set{Identity: []*policy.Policy{role}}
			s, ok := session.FromContext(r.Context())
			if !ok || s.Policy == "" {
				return set, nil
			}
			own, err := policy.Parse([]byte(s.Policy))
			set.Session = []*policy.Policy{own}
			return set, err // an error refuses
		},
		Facts: func(r *http.Request, facts *policy.Request) {
			if s, ok := session.FromContext(r.Context()); ok {
				facts.SessionIssuer, facts.PrincipalTags = s.Role, s.Tags
				facts.Values = map[string]any{"aws:TokenIssueTime": s.Issued} // for policies that revoke sessions
			}
		},
	})
	if err := errors.Join(err, errGate); err != nil {
		fmt.Println(err)
		return
	}
	api := verifier.Handler(gate.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))

	for _, own := range []string{"", `{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "` + stage + `/GET/loyalty/1"}}`} {
		credentials, err := sessions.Issue(session.Session{ // what AssumeRole does with its parameter Policy
			Principal: "arn:aws:sts::123456789012:assumed-role/Points/julianwood",
			Role:      "arn:aws:iam::123456789012:role/Points",
			Policy:    own, Expires: time.Now().Add(time.Hour),
		})
		signer, errSigner := sigv4.NewSigner(sigv4.SignerConfig{
			Region: "eu-west-1", Credentials: func(context.Context) (sigv4.Credentials, error) { return credentials, nil },
		})
		if err := errors.Join(err, errSigner); err != nil {
			fmt.Println(err)
			return
		}
		for _, path := range []string{"/Prod/loyalty/1", "/Prod/loyalty/2"} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			if err := signer.Sign(r); err != nil {
				fmt.Println(err)
				return
			}
			w := httptest.NewRecorder()
			api.ServeHTTP(w, r)
			fmt.Println(w.Code, path)
		}
	}
	// Output:
	// 200 /Prod/loyalty/1
	// 200 /Prod/loyalty/2
	// 200 /Prod/loyalty/1
	// 403 /Prod/loyalty/2
}
