package main

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/window"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// The API and its stage, as API Gateway names them.
const (
	apiID  = "airline-loyalty"
	stage  = "Prod"
	region = "eu-west-1"
	planID = "jcfq33"
)

// Who may call. A real service keeps these in a secret store.
const (
	accessKey = "AKIDEXAMPLE"
	secretKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

	ownerAccessKey = "AKIDOWNER"
	ownerSecretKey = "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY"

	apiKey       = "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT"
	retiredKey   = "Qn3vX8kZ2mB7tR5yW1cL9dF6hJ4pS0aGuEiOxVzN"
	apiKeyID     = "fr92a5qpbj"
	retiredKeyID = "k7w2m9x4qd"
)

// accountLimit is what API Gateway grants an account by default.
var accountLimit = ratelimit.Limit{Rate: 10_000, Burst: 5_000}

// newAPI returns the loyalty API with its guards: IAM, an API key and a usage plan for the points, a user pool for /me,
// the owner's access key for usage and extensions, and a rate rule in front of everything. account limits the requests
// of all clients together.
func newAPI(pool auth.Issuer, quotas *ledger.Ledger, account ratelimit.Limit) (http.Handler, error) {
	rule, errRule := floodRule()
	signature, errSignature := signedBy(accessKey, secretKey, "arn:aws:iam::123456789012:user/julianwood")
	keys, errKeys := registeredKeys()
	plans, errPlans := restrictUsage(quotas, account)
	users, errUsers := signedIn(pool)
	owners, errOwners := signedBy(ownerAccessKey, ownerSecretKey, "arn:aws:iam::123456789012:user/owner")
	if err := errors.Join(errRule, errSignature, errKeys, errPlans, errUsers, errOwners); err != nil {
		return nil, err
	}
	o := owner{plans, rule}

	mux := http.NewServeMux()
	mux.Handle("GET /Prod/loyalty/{customerId}", signature.Handler(keys.Handler(plans.Handler(http.HandlerFunc(loyalty)))))
	mux.Handle("GET /Prod/usage", keys.Handler(plans.StatusHandler()))
	mux.Handle("GET /Prod/me", users.Handler(http.HandlerFunc(me)))
	mux.Handle("GET /owner/{plan}/{key}/usage", owners.Handler(http.HandlerFunc(o.usage)))
	mux.Handle("POST /owner/{plan}/{key}/extension", owners.Handler(http.HandlerFunc(o.extend)))
	mux.Handle("GET /owner/limited", owners.Handler(http.HandlerFunc(o.limited)))
	return named(rule.Handler(routed(mux))), nil
}

// floodRule blocks an address that has sent 2000 requests within five minutes, until it slows down. With AWS, this is
// AWS WAF.
func floodRule() (*window.RateRule, error) {
	return window.NewRateRule(window.RuleConfig{
		Limit:     2000,
		Window:    5 * time.Minute,
		Aggregate: []window.Component{window.IP()},
	})
}

// signedBy tells who is calling: the request is signed by this access key.
func signedBy(access string, secret sigv4.Secret, principal string) (*sigv4.Verifier, error) {
	return sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys:    sigv4.Keyring{access: {Secret: secret, Principal: principal}}.Key,
		Regions: []string{region},
	})
}

// registeredKeys tells which client is calling: the request carries one of these keys.
func registeredKeys() (*apikey.Verifier, error) {
	return apikey.New(apikey.Config{Keys: []apikey.Entry{
		{Key: apikey.Key{ID: apiKeyID, Name: "julianwood", Enabled: true}, Value: apiKey},
		{Key: apikey.Key{ID: retiredKeyID, Name: "retired-partner"}, Value: retiredKey},
	}})
}

// restrictUsage says how fast and how much a client may call: 1 request per second, a burst of 2, 10 a day.
func restrictUsage(quotas *ledger.Ledger, account ratelimit.Limit) (*usageplan.Meter, error) {
	return usageplan.New(usageplan.Config{
		Client: apikey.ID,
		API:    apiID,
		Stage:  stage,
		Ledger: quotas,
		Plans: []usageplan.Plan{{
			ID: planID, Name: "RestrictUsage",
			Throttle: &ratelimit.Limit{Rate: 1, Burst: 2},
			Quotas:   []ledger.Quota{{Limit: 10, Period: ledger.Daily}},
			Stages:   []usageplan.Stage{{API: apiID, Name: stage}},
		}},
		Members: []usageplan.Member{
			{Plan: planID, Client: apiKeyID},
			{Plan: planID, Client: retiredKeyID},
		},
		AccountThrottle: &account,
	})
}

// signedIn tells which user of the pool has signed in.
func signedIn(pool auth.Issuer) (*auth.Verifier, error) {
	return auth.New(auth.Config{
		Issuers:   []auth.Issuer{pool},
		AllowHTTP: strings.HasPrefix(pool.JWKS, "http://"), // an emulator's, named on the command line
	})
}

// me answers a signed-in user with the contents of the token.
func me(w http.ResponseWriter, r *http.Request) {
	token, _ := auth.FromContext(r.Context())
	reply(w, http.StatusOK, struct {
		Subject  string   `json:"sub"`
		Groups   []string `json:"groups"`
		TokenUse string   `json:"token_use"`
	}{token.Subject, token.Groups(), token.Use})
}
