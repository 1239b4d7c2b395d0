// Authorizer is the Lambda authorizer of the loyalty API. API Gateway asks it whether a token is good, and then invokes
// the API's own function.
//
// The decision depends on the token only. So API Gateway may keep it for the other methods of the stage, and the Allow
// names all of them. These variables of the environment configure it:
//
//	ISSUER  the issuer whose users may call, such as https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_x
//	CLIENT  the audience of its tokens
//	JWKS    where its key set is; empty means the place that the issuer's documentation names
package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/awslambda/authorizer"
)

func main() {
	a, err := function(os.Getenv)
	if err != nil {
		log.Fatal("authorizer: ", err) // Lambda reports it as a failed init phase
	}
	lambda.Start(a)
}

// function makes the authorizer, and fetches the key set in the init phase. If the issuer is down, the first request
// fetches it.
func function(env func(string) string) (*authorizer.Authorizer, error) {
	issuer := auth.OIDC(env("ISSUER"), env("CLIENT"))
	issuer.JWKS = env("JWKS")
	issuer.GroupsClaim = "cognito:groups" // where a Cognito user pool has them
	users, err := auth.New(auth.Config{
		Issuers:   []auth.Issuer{issuer},
		AllowHTTP: strings.HasPrefix(issuer.JWKS, "http://"), // an emulator's, named by the operator
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := users.Prefetch(ctx); err != nil {
		log.Print("authorizer: ", err)
	}
	return authorizer.New(authorizer.Config{Mode: users, Principal: auth.ID, Context: groups})
}

// groups tells the API the groups of the user. REST APIs pass on texts only.
func groups(r *http.Request) map[string]any {
	token, _ := auth.FromContext(r.Context())
	return map[string]any{"groups": strings.Join(token.Groups(), " ")}
}
