package main

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Who may call. A real service keeps these in a secret store.
const (
	accessKey = "AKIDEXAMPLE"
	secretKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	apiKey    = "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT"
	apiKeyID  = "fr92a5qpbj"
)

// The API and its stage in the plan. They stand for the API however it is called. With awslambda.FromContext a plan can
// tell a REST API from a function URL instead.
const (
	apiID = "airline-loyalty"
	stage = "Prod"
)

// points are the points of each customer, and goal is what the highest level needs.
var points = map[string]int{
	"a900ae6c-99b9-4112-9677-b66fe79d792c": 900,
	"d1b6f2a4-90c7-4d0e-b7a3-6c5e4f3a2b10": 58_000,
}

const goal = 50_000

// api routes the requests. The paths have no stage: awslambda has removed it.
func api(users *auth.Verifier, callers *sigv4.Verifier, keys *apikey.Verifier, plans *usageplan.Meter) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /loyalty/{customerId}", callers.Handler(keys.Handler(plans.Handler(http.HandlerFunc(loyalty)))))
	mux.Handle("GET /me", users.Handler(http.HandlerFunc(me)))
	mux.Handle("/", &sigv4.Error{Err: sigv4.ErrMissing}) // API Gateway's answer for unknown paths
	return mux
}

// signers accepts what is signed for a REST API or for a function URL.
func signers(region string) (*sigv4.Verifier, error) {
	ring := sigv4.Keyring{accessKey: {Secret: secretKey, Principal: "arn:aws:iam::123456789012:user/julianwood"}}
	return sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys: ring.Key, Regions: []string{region}, Services: []string{"execute-api", "lambda"},
	})
}

func registeredKeys() (*apikey.Verifier, error) {
	return apikey.New(apikey.Config{Keys: []apikey.Entry{
		{Key: apikey.Key{ID: apiKeyID, Name: "julianwood", Enabled: true}, Value: apiKey},
	}})
}

// restrictUsage says how fast and how much a client may call: 1 request per second, a burst of 2, 10 a day. The
// environments share the quota by a table. But each has buckets of its own, so the rate of one is divided by the number
// of them. A burst below one would refuse everything, so two requests may always come at once.
//
// Example: with 4 environments each admits 1 request in 4 seconds, which is 1 per second over all four.
func restrictUsage(concurrency, table string) (*usageplan.Meter, error) {
	environments, err := strconv.Atoi(concurrency)
	if err != nil || environments < 1 {
		environments = 1
	}
	counted, err := quotas(table)
	if err != nil {
		return nil, err
	}
	return usageplan.New(usageplan.Config{
		Client: apikey.ID, API: apiID, Stage: stage, Ledger: counted,
		Plans: []usageplan.Plan{{
			ID: "jcfq33", Name: "RestrictUsage",
			Throttle: &ratelimit.Limit{Rate: 1 / float64(environments), Burst: 2},
			Quotas:   []ledger.Quota{{Limit: 10, Period: ledger.Daily}},
			Stages:   []usageplan.Stage{{API: apiID, Name: stage}},
		}},
		Members: []usageplan.Member{{Plan: "jcfq33", Client: apiKeyID}},
	})
}

// signedIn tells which user has signed in.
func signedIn(env func(string) string) (*auth.Verifier, error) {
	issuer := auth.OIDC(env("ISSUER"), env("CLIENT"))
	issuer.JWKS = env("JWKS")
	return auth.New(auth.Config{
		Issuers:   []auth.Issuer{issuer},
		AllowHTTP: strings.HasPrefix(issuer.JWKS, "http://"), // an emulator's, named by the operator
	})
}

// loyalty answers GET /loyalty/{customerId}.
func loyalty(w http.ResponseWriter, r *http.Request) {
	n, found := points[r.PathValue("customerId")]
	if !found {
		reply(w, http.StatusNotFound, map[string]any{"message": "Customer not found"})
		return
	}
	level := "bronze"
	if n >= goal {
		level = "platinum"
	}
	reply(w, http.StatusOK, map[string]any{"points": n, "level": level, "remainingPoints": max(goal-n, 0)})
}

// me answers a signed-in user with who that is.
func me(w http.ResponseWriter, r *http.Request) {
	token, _ := auth.FromContext(r.Context())
	reply(w, http.StatusOK, map[string]any{"sub": token.Subject})
}

func reply(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
