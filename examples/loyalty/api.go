package main

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"path"
	"strings"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/ratelimit"
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

// newAPI guards the loyalty API: IAM, an API key and a usage plan in front of the points, a user pool in front of /me, and
// the owner's own access key in front of usage and extensions.
func newAPI(pool auth.Issuer, book *ledger.Ledger) (http.Handler, error) {
	// Who is calling: the request is signed by this access key.
	signature, err := sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys:    sigv4.Keyring{accessKey: {Secret: secretKey, Principal: "arn:aws:iam::123456789012:user/julianwood"}}.Key,
		Regions: []string{region},
	})
	if err != nil {
		return nil, err
	}

	// Which client it is: the request carries one of these keys.
	keys, err := apikey.New(apikey.Config{Keys: []apikey.Entry{
		{Key: apikey.Key{ID: apiKeyID, Name: "julianwood", Enabled: true}, Value: apiKey},
		{Key: apikey.Key{ID: retiredKeyID, Name: "retired-partner"}, Value: retiredKey},
	}})
	if err != nil {
		return nil, err
	}

	// How fast and how much it may call: 1 request per second, a burst of 2, 10 a day.
	plans, err := usageplan.New(usageplan.Config{
		Client: apikey.ID,
		API:    apiID,
		Stage:  stage,
		Ledger: book,
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
	})
	if err != nil {
		return nil, err
	}

	// Who has signed in: a user of the pool.
	users, err := auth.New(auth.Config{
		Issuers:   []auth.Issuer{pool},
		AllowHTTP: strings.HasPrefix(pool.JWKS, "http://"), // an emulator's, named on the command line
	})
	if err != nil {
		return nil, err
	}

	// Who owns the API: another access key reads usage and grants extensions.
	owners, err := sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys:    sigv4.Keyring{ownerAccessKey: {Secret: ownerSecretKey, Principal: "arn:aws:iam::123456789012:user/owner"}}.Key,
		Regions: []string{region},
	})
	if err != nil {
		return nil, err
	}
	desk := owner{plans}

	mux := http.NewServeMux()
	mux.Handle("GET /Prod/loyalty/{customerId}", signature.Handler(keys.Handler(plans.Handler(http.HandlerFunc(loyalty)))))
	mux.Handle("GET /Prod/usage", keys.Handler(plans.Self()))
	mux.Handle("GET /Prod/me", users.Handler(http.HandlerFunc(me)))
	mux.Handle("GET /owner/{plan}/{key}/usage", owners.Handler(http.HandlerFunc(desk.usage)))
	mux.Handle("POST /owner/{plan}/{key}/extension", owners.Handler(http.HandlerFunc(desk.extend)))
	return named(routed(mux)), nil
}

// me tells a signed-in user what its token says.
func me(w http.ResponseWriter, r *http.Request) {
	token, _ := auth.FromContext(r.Context())
	reply(w, http.StatusOK, struct {
		Subject  string   `json:"sub"`
		Groups   []string `json:"groups"`
		TokenUse string   `json:"token_use"`
	}{token.Subject(), token.Groups(), token.Use()})
}

// routed answers a path that is not there as API Gateway does, and so one that the mux would redirect to a cleaner one.
func routed(mux *http.ServeMux) http.Handler {
	missing := &sigv4.Error{Err: sigv4.ErrMissing}
	mux.Handle("/", missing)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path.Clean("/"+r.URL.Path) != r.URL.Path {
			missing.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// named gives every answer a request id, as API Gateway does: the handlers' own too. Refusals keep it.
func named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails
		w.Header().Set("x-amzn-RequestId", fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]))
		next.ServeHTTP(w, r)
	})
}
