package authtest_test

import (
	"context"
	"fmt"
	"net/http/httptest"

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
