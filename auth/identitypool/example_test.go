package identitypool_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
	"github.com/tallygate/tallygate/auth/identitypool"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/sigv4/session"
)

// A user of a Cognito user pool gets an identity, as AWS's SDKs ask for it.
func Example() {
	users, err := authtest.New("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz")
	if err != nil {
		fmt.Println(err)
		return
	}
	issuer := auth.Cognito("eu-west-1", "eu-west-1_aQYCzHwCz", "3fe6quse1kki13s6nebi0ncnin")
	issuer.Keys = users.JWKS() // a real user pool's keys are fetched
	tokens, err := auth.New(auth.Config{Issuers: []auth.Issuer{issuer}})
	if err != nil {
		fmt.Println(err)
		return
	}
	sessions, err := session.New(session.Config{SealingKeys: []sigv4.Secret{sigv4.Secret(make([]byte, 32))}})
	if err != nil {
		fmt.Println(err)
		return
	}
	pool, err := identitypool.New(identitypool.Config{
		ID:            "eu-west-1:177a950c-2c08-43f0-9983-28727534680a",
		IdentityKey:   sigv4.Secret(make([]byte, 32)), // in production random, and never changed
		Sessions:      sessions,
		Tokens:        tokens,
		Authenticated: "arn:aws:iam::123456789012:role/Member",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/pool", pool) // SDKs do not follow a redirect to /pool/
	mux.Handle("/pool/", pool)
	server := httptest.NewServer(mux)
	defer server.Close()

	token, err := users.IDToken(authtest.User{
		Username: "julianwood", Subject: "5f6d8a2e", Client: "3fe6quse1kki13s6nebi0ncnin",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, path := range []string{"/pool", "/pool/"} {
		r, _ := http.NewRequest(http.MethodPost, server.URL+path, strings.NewReader(`{
			"IdentityPoolId": "eu-west-1:177a950c-2c08-43f0-9983-28727534680a",
			"Logins": {"cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz": "`+token+`"}
		}`))
		r.Header.Set("X-Amz-Target", "AWSCognitoIdentityService.GetId")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		fmt.Println(answer.StatusCode, string(body))
	}
	// Output:
	// 200 {"IdentityId":"eu-west-1:50b2dfc8-61df-8ea9-98a4-2ed3c95684e3"}
	// 200 {"IdentityId":"eu-west-1:50b2dfc8-61df-8ea9-98a4-2ed3c95684e3"}
}

// The mistake here is to let a token name any role. Anybody who may edit the groups of the user pool could give out
// every role of the account. TokenRoles lists those that a token may name; New refuses a mapping that lists none.
func Example_incorrect() {
	sessions, _ := session.New(session.Config{SealingKeys: []sigv4.Secret{sigv4.Secret(make([]byte, 32))}})
	tokens, _ := auth.New(auth.Config{Issuers: []auth.Issuer{auth.OIDC("https://login.example", "client")}})
	_, err := identitypool.New(identitypool.Config{
		ID: "eu-west-1:177a950c-2c08-43f0-9983-28727534680a", IdentityKey: sigv4.Secret(make([]byte, 32)),
		Sessions: sessions, Tokens: tokens,
		Mappings: map[string]identitypool.Mapping{"login.example": {TokenRoles: nil}},
	})
	fmt.Println(err)
	// Output: identitypool: the identity pool is not configured: Config.Mappings["login.example"] is empty
}
