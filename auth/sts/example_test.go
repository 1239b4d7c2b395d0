package sts_test

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/tallygate/tallygate/auth/sts"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/sigv4/session"
)

// A caller with a permanent key assumes a role. AWS's SDKs and aws-cli send the same request.
func Example() {
	sessions, err := session.New(session.Config{
		SealingKeys: []sigv4.Secret{sigv4.Secret(make([]byte, 32))}, // random in production
		Base: sigv4.Keyring{
			"AKIDEXAMPLE": {Secret: "secret", Principal: "arn:aws:iam::123456789012:user/julianwood"},
		}.Key,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	verifier, err := sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys: sessions.Key, Regions: []string{"eu-west-1"}, Services: []string{"sts"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	server, err := sts.New(sts.Config{Verifier: verifier, Sessions: sessions, Roles: []sts.Role{{
		ARN: "arn:aws:iam::123456789012:role/Points",
		Trust: `{"Version": "2012-10-17", "Statement": [{
			"Effect": "Allow",
			"Principal": {"AWS": "arn:aws:iam::123456789012:user/julianwood"},
			"Action": "sts:AssumeRole",
			"Condition": {"StringEquals": {"sts:RoleSessionName": "${aws:username}"}}
		}]}`,
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}

	signer, err := sigv4.NewSigner(sigv4.SignerConfig{
		Region: "eu-west-1", Service: "sts", MaxSpool: 1 << 16,
		Credentials: func(context.Context) (sigv4.Credentials, error) {
			return sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", Secret: "secret"}, nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range []string{"julianwood", "another"} {
		form := url.Values{
			"Action": {"AssumeRole"}, "Version": {"2011-06-15"},
			"RoleArn": {"arn:aws:iam::123456789012:role/Points"}, "RoleSessionName": {name},
		}
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(form.Encode()))
		if err := signer.Sign(r); err != nil {
			fmt.Println(err)
			return
		}
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		var answer struct {
			ARN   string `xml:"AssumeRoleResult>AssumedRoleUser>Arn"`
			Error string `xml:"Error>Code"`
		}
		if err := xml.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(w.Code, answer.ARN+answer.Error)
	}
	// Output:
	// 200 arn:aws:sts::123456789012:assumed-role/Points/julianwood
	// 403 AccessDenied
}

// The mistake here is to trust an identity provider as a whole. Every repository on GitHub can get a token for this
// role. New refuses it: the policy must name the audience or the subject.
func Example_incorrect() {
	sessions, _ := session.New(session.Config{SealingKeys: []sigv4.Secret{sigv4.Secret(make([]byte, 32))}})
	verifier, _ := sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys: sessions.Key, Regions: []string{"eu-west-1"}, Services: []string{"sts"},
	})
	_, err := sts.New(sts.Config{Verifier: verifier, Sessions: sessions, Roles: []sts.Role{{
		ARN: "arn:aws:iam::123456789012:role/Deploy",
		Trust: `{"Version": "2012-10-17", "Statement": [{
			"Effect": "Allow",
			"Principal": {"Federated": "token.actions.githubusercontent.com"},
			"Action": "sts:AssumeRoleWithWebIdentity"
		}]}`,
	}}})
	_, text, _ := strings.Cut(err.Error(), "Statement[0]: ")
	text, _, _ = strings.Cut(text, " on token")
	fmt.Println(text)
	// Output: Principal "token.actions.githubusercontent.com" needs a condition
}
