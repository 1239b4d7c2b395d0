package main

import (
	"errors"
	"net/http"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/admin"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Who may call, and what. A real service keeps the secrets in a secret store.
const (
	apiID, stage, region = "airline-loyalty", "Prod", "eu-west-1"
	planID, apiKeyID     = "jcfq33", "fr92a5qpbj"
	poolID, poolClient   = "eu-west-1_aQYCzHwCz", "3fe6quse1kki13s6nebi0ncnin"

	accessKey      = "AKIDEXAMPLE"
	secretKey      = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	ownerAccessKey = "AKIDOWNER"
	ownerSecretKey = "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY"
	apiKey         = "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT"
	scrapeKey      = "Vb2kQ8nT5xW1mZ7rL4cJ9dF6hG3pS0aYuEiOyXtN"
)

// served are the stages that plans may open.
var served = []usageplan.Stage{{API: apiID, Name: stage}}

// guards are the layers that decide.
type guards struct {
	callers, owners *sigv4.Verifier  // who may call the API, and who the control plane
	keys, scrapers  *apikey.Verifier // the clients of the API, and Prometheus
	users           *auth.Verifier
	plans           *usageplan.Meter
	quotas          *ledger.Ledger
}

// newGuards makes the layers, which all tell t. pool serves the keys that tokens are verified with.
func newGuards(t telemetry, pool http.RoundTripper) (g guards, err error) {
	var errs [5]error
	g.callers, errs[0] = t.signedBy(accessKey, secretKey, "execute-api")
	g.owners, errs[1] = t.signedBy(ownerAccessKey, ownerSecretKey, "apigateway")
	g.keys, errs[2] = t.registered(apiKeyID, apiKey)
	g.scrapers, errs[3] = t.registered("prometheus", scrapeKey)
	g.users, errs[4] = auth.New(auth.Config{
		Issuers: []auth.Issuer{auth.Cognito(region, poolID, poolClient)}, Transport: pool,
		Observe: t.decision, RequestID: requestID, ObserveFetch: t.fetch,
	})
	if err = errors.Join(errs[:]...); err != nil {
		return g, err
	}
	if g.quotas, err = ledger.New(ledger.Config{Engine: ledger.NewMemory(), Observe: t.ledger}); err != nil {
		return g, err
	}
	g.plans, err = usageplan.New(usageplan.Config{
		Client: apikey.ID, API: apiID, Stage: stage, Ledger: g.quotas, Observe: t.decision, RequestID: requestID,
		Plans: []usageplan.Plan{{
			ID: planID, Name: "RestrictUsage", Throttle: &ratelimit.Limit{Rate: 1, Burst: 2},
			Quotas: []ledger.Quota{{Limit: 10, Period: ledger.Daily}}, Stages: served,
		}},
		Members: []usageplan.Member{{Plan: planID, Client: apiKeyID}},
	})
	if err != nil {
		return g, errors.Join(err, g.quotas.Close())
	}
	return g, nil
}

// signedBy accepts requests that the access key has signed for the service.
func (t telemetry) signedBy(id string, secret sigv4.Secret, service string) (*sigv4.Verifier, error) {
	return sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys: sigv4.Keyring{id: {Secret: secret}}.Key, Regions: []string{region}, Services: []string{service},
		Observe: t.decision, RequestID: requestID,
	})
}

// registered accepts requests with the API key.
func (t telemetry) registered(id string, value apikey.Secret) (*apikey.Verifier, error) {
	return apikey.New(apikey.Config{
		Keys:    []apikey.Entry{{Key: apikey.Key{ID: id, Enabled: true}, Value: value}},
		Observe: t.decision, RequestID: requestID,
	})
}

// control is API Gateway's control plane over the keys and the plans, for the owner.
func (g guards) control() (http.Handler, error) {
	return admin.New(admin.Config{
		Keys: g.keys, Plans: g.plans, Authenticate: g.owners.Authenticate, Actor: sigv4.ID, Stages: served,
		Authorize: func(*http.Request, admin.Action) error { return nil }, // owners accepts nobody else
	})
}
