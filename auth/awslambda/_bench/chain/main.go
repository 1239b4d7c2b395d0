// Command chain is a Lambda function whose handler stands behind the whole chain: a signature or a token, an API key, a
// usage plan with a throttle and a quota, and a ledger in memory. It only measures what they add to a program; quotas
// in memory are per environment.
package main

import (
	"io"
	"log"
	"net/http"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/awslambda"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

func main() {
	const key = "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT"
	signed := must(sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys:    sigv4.Keyring{"AKIDEXAMPLE": {Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}}.Key,
		Regions: []string{"eu-west-1"},
	}))
	users := must(auth.New(auth.Config{
		Issuers: []auth.Issuer{auth.Cognito("eu-west-1", "eu-west-1_aQYCzHwCz", "3fe6quse1kki13s6nebi0ncnin")},
	}))
	keys := must(apikey.New(apikey.Config{Keys: []apikey.Entry{
		{Key: apikey.Key{ID: "k8t2wqpx4j", Enabled: true}, Value: key},
	}}))
	meter := must(usageplan.New(usageplan.Config{
		Client: apikey.ID, Route: route, Ledger: must(ledger.New(ledger.Config{Engine: ledger.NewMemory()})),
		Plans: []usageplan.Plan{{
			ID: "p1", Name: "RestrictUsage", Throttle: &ratelimit.Limit{Rate: 1, Burst: 20},
			Quotas: []ledger.Quota{{Limit: 100, Period: ledger.Daily}},
			Stages: []usageplan.Stage{{API: "a1b2c3d4e5", Name: "Prod"}},
		}},
		Members: []usageplan.Member{{Plan: "p1", Client: "k8t2wqpx4j"}},
	}))
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	// A request needs a signature or a token, and a key. This is the order of the chain in API Gateway.
	handler := auth.AnyOf(signed, users).Handler(keys.Handler(meter.Handler(hello)))
	lambda.Start(must(awslambda.New(awslambda.Config{Handler: handler})))
}

// route returns the route that API Gateway has matched: the event has it. A mux in the function would match again.
func route(r *http.Request) (usageplan.Route, bool) {
	e, ok := awslambda.FromContext(r.Context())
	if !ok {
		return usageplan.Route{}, false
	}
	return usageplan.Route{API: e.API, Stage: e.Stage, Resource: e.Resource, Method: e.Method}, true
}
