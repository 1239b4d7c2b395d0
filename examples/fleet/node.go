package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/admin"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// The API and its stage, and the access keys of the client and of the owner. A real service keeps the three secrets in
// a secret store. API keys are stored as digests under the pepper. So all nodes need the same one, or a node would not
// know the keys that another has made.
const (
	apiID  = "airline-loyalty"
	stage  = "Prod"
	region = "eu-west-1"
	pepper = "thirty-two bytes from a secret store"

	accessKey = "AKIDEXAMPLE"
	secretKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

	ownerAccessKey = "AKIDOWNER"
	ownerSecretKey = "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY"
)

// storeVariable is the environment variable with the store's address. The address may have a password, which other
// users of the machine could read on a command line.
const storeVariable = "FLEET_STORE"

// patience is how long the ledger waits for the store. If an answer comes later than that, the store may count a unit
// that no client gets. So that the example shows the same numbers on a busy machine, it is longer than a service would
// choose.
const patience = 10 * time.Second

// runNode serves the API and the control plane over the store, on two free ports that it prints.
//
// The ledger is a leased one: a node takes units from the store before it needs them, and answers from memory. So what
// a node holds is wasted when it is killed, which -kill shows. There are two ways to avoid that. With slots on a local
// disk, as in examples/loyalty, the next process on this machine finds what the killed one had spent. With
// ledger.Config.Exact a node holds nothing, and asks the store about every request.
//
// Keys and plans are in the store's journals. With Follow, each node reads what the others write there. A node that
// cannot reach the store knows only what was true before. MaxStale bounds how long it decides by that.
//
// The deferred calls run in the reverse order. So the ledger gives back what it holds while the store is still open.
func runNode(ctx context.Context, o options, out io.Writer) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	signal.Ignore(os.Interrupt) // a terminal sends Ctrl-C to all its processes; the one that has started this ends it
	go func() {
		defer stop() // the input ends when that process closes it, and also when that process is killed
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	s, err := openStore(ctx, o.store, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	quotas, err := ledger.New(ledger.Config{Engine: s.engine, Timeout: patience})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, quotas.Close()) }() // gives back what it holds
	// The retention 0 is the store's own: 400 days of who has changed what.
	keys, err := apikey.New(apikey.Config{
		Journal: s.journal("keys", 0), Pepper: pepper, Follow: true, MaxStale: o.stale,
	})
	if err != nil {
		return err
	}
	defer keys.Close()
	// The order of the decisions is fixed: throttles first, then the quota, and who is refused has used nothing.
	plans, err := usageplan.New(usageplan.Config{
		Client: apikey.ID, API: apiID, Stage: stage, Ledger: quotas, Throttle: s.throttle,
		Journal: s.journal("plans", 0), Follow: true, MaxStale: o.stale,
	})
	if err != nil {
		return err
	}
	defer plans.Close()
	// What the owner changes in control acts on api at once: both use the same keys and plans.
	api, errAPI := newAPI(keys, plans)
	control, errControl := newControl(keys, plans)
	if err := errors.Join(errAPI, errControl); err != nil {
		return err
	}
	return serveBoth(ctx, api, control, out)
}

// newAPI returns the loyalty API. A request for the points needs a signature, an API key and a plan that admits it. The
// order matters. A request without a valid signature takes nothing from the quota. The key says whose quota counts. The
// route for the usage is behind the key alone, because asking for it is free.
//
// A node verifies a signature by the secrets that it was started with, so it does not ask the store.
func newAPI(keys *apikey.Verifier, plans *usageplan.Meter) (http.Handler, error) {
	callers, err := signedBy("execute-api", accessKey, secretKey, "julianwood")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux() // what no pattern matches is answered 404 before any guard
	metered := keys.Handler(plans.Handler(http.HandlerFunc(loyalty)))
	mux.Handle("GET /Prod/loyalty/{customerId}", callers.Handler(metered))
	mux.Handle("GET /Prod/usage", keys.Handler(plans.StatusHandler()))
	return mux, nil
}

// signedBy returns a verifier of requests that are signed for a service by one access key, which is the user's.
func signedBy(service, id string, secret sigv4.Secret, user string) (*sigv4.Verifier, error) {
	ring := sigv4.Keyring{id: {Secret: secret, Principal: "arn:aws:iam::123456789012:user/" + user}}
	return sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys: ring.Key, Regions: []string{region}, Services: []string{service},
	})
}

// loyalty answers for the one customer that there is.
func loyalty(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.PathValue("customerId") != customer {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"message":"Customer not found"}`)
		return
	}
	_, _ = io.WriteString(w, `{"points":900,"level":"bronze","remainingPoints":49100}`)
}

const customer = "a900ae6c-99b9-4112-9677-b66fe79d792c"

// newControl returns API Gateway's control plane over keys and plans, for the owner's access key alone. A request must
// be signed with Signature Version 4, as aws-cli signs it.
func newControl(keys *apikey.Verifier, plans *usageplan.Meter) (http.Handler, error) {
	callers, err := signedBy("apigateway", ownerAccessKey, ownerSecretKey, "owner")
	if err != nil {
		return nil, err
	}
	return admin.New(admin.Config{
		Keys: keys, Plans: plans, Authenticate: callers.Authenticate, Actor: sigv4.ID,
		Authorize: func(*http.Request, admin.Action) error { return nil }, // there is no other access key
		Region:    func(*http.Request) (string, bool) { return region, true },
		Stages:    []usageplan.Stage{{API: apiID, Name: stage}},
	})
}
