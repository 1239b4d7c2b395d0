package authtest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
)

func ExampleNew() {
	issuer, err := authtest.New("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz")
	if err != nil {
		panic(err)
	}
	server := httptest.NewServer(issuer)
	defer server.Close()

	pool := auth.Cognito("eu-west-1", "eu-west-1_aQYCzHwCz", "3fe6quse1kki13s6nebi0ncnin")
	pool.JWKS = server.URL + "/.well-known/jwks.json"
	v, err := auth.New(auth.Config{Issuers: []auth.Issuer{pool}, AllowHTTP: true})
	if err != nil {
		panic(err)
	}
	token, _ := issuer.AccessToken(authtest.User{Username: "julianwood", Client: "3fe6quse1kki13s6nebi0ncnin"})
	t, err := v.VerifyToken(context.Background(), token)
	fmt.Println(t.Username, t.Use, err, issuer.Fetches())
	// Output: julianwood access <nil> 1
}

// A user signs up and signs in, as with AWS's SDKs, and the token passes the verifier of the API under test.
func ExampleNewPool() {
	issuer, _ := authtest.New("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz")
	pool, err := authtest.NewPool(issuer, map[string]string{"3fe6quse1kki13s6nebi0ncnin": ""})
	if err != nil {
		panic(err)
	}
	server := httptest.NewServer(pool) // the endpoint_url of boto3, --endpoint-url of aws-cli
	defer server.Close()
	call := func(operation, body string) (answer struct{ AuthenticationResult struct{ AccessToken string } }) {
		r, _ := http.NewRequest(http.MethodPost, server.URL, strings.NewReader(body))
		r.Header.Set("X-Amz-Target", "AWSCognitoIdentityProviderService."+operation)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			panic(err)
		}
		defer res.Body.Close()
		fmt.Println(operation, res.StatusCode)
		_ = json.NewDecoder(res.Body).Decode(&answer)
		return answer
	}
	const user = `"ClientId": "3fe6quse1kki13s6nebi0ncnin", "Username": "julianwood"`
	call("SignUp", `{`+user+`, "Password": "Correct-horse-9"}`)
	call("ConfirmSignUp", `{`+user+`, "ConfirmationCode": "`+pool.Code("julianwood")+`"}`)
	answer := call("InitiateAuth", `{"ClientId": "3fe6quse1kki13s6nebi0ncnin", "AuthFlow": "USER_PASSWORD_AUTH",
		"AuthParameters": {"USERNAME": "julianwood", "PASSWORD": "Correct-horse-9"}}`)

	v, err := auth.New(auth.Config{
		Issuers:   []auth.Issuer{auth.Cognito("eu-west-1", "eu-west-1_aQYCzHwCz", "3fe6quse1kki13s6nebi0ncnin")},
		Transport: issuer, // serves the keys, without a network
	})
	if err != nil {
		panic(err)
	}
	token, err := v.VerifyToken(context.Background(), answer.AuthenticationResult.AccessToken)
	fmt.Println(token.Username, token.Use, err)
	// Output:
	// SignUp 200
	// ConfirmSignUp 200
	// InitiateAuth 200
	// julianwood access <nil>
}
