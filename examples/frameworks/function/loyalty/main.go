// Loyalty is the loyalty API of examples/loyalty as a Lambda function, behind a REST API or a function URL.
//
// These variables of the environment configure it. Lambda sets the first.
//
//	AWS_REGION   the region that clients sign for
//	ISSUER       the issuer whose users may call /me, such as https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_x
//	CLIENT       the audience of its tokens
//	JWKS         where its key set is; empty means the place that the issuer's documentation names
//	CONCURRENCY  how many environments may run at once; the throttle is divided by it
//	TABLE        the DynamoDB table that counts the quotas; empty means the memory of each environment
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/tallygate/tallygate/auth/awslambda"
)

func main() {
	f, err := function(os.Getenv)
	if err != nil {
		log.Fatal("loyalty: ", err) // Lambda reports it as a failed init phase
	}
	lambda.Start(f)
}

// function makes the function. It is the init phase, which has more processor time than an invocation: key sets are
// fetched here. If the issuer is down the function starts without, and the first request for /me fetches them.
func function(env func(string) string) (*awslambda.Function, error) {
	users, err := signedIn(env)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := users.Prefetch(ctx); err != nil {
		log.Print("loyalty: ", err)
	}
	callers, errCallers := signers(env("AWS_REGION"))
	keys, errKeys := registeredKeys()
	plans, errPlans := restrictUsage(env("CONCURRENCY"), env("TABLE"))
	if err := errors.Join(errCallers, errKeys, errPlans); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return awslambda.New(awslambda.Config{Handler: api(users, callers, keys, plans)})
}
