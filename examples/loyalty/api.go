package main

import (
	"errors"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/window"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/admin"
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

// newService returns the loyalty API with its guards, and the control plane over its keys and plans. The guards are
// IAM, an API key and a usage plan for the points, a user pool for /me, the owner's access key for what the rate rule
// blocks, and that rule in front of everything. At /identities the pool's users get temporary credentials for IAM.
// account limits the requests of all clients together.
func newService(o options, pool auth.Issuer, s store, account ratelimit.Limit) (service, error) {
	rule, errRule := floodRule()
	owners, errOwners := o.signedBy("execute-api", o.owner())
	keys, errKeys := registeredKeys(o, s)
	plans, errPlans := restrictUsage(o, s, account)
	callers, errCallers := newCallers(o, s, pool)
	if err := errors.Join(errRule, errOwners, errKeys, errPlans, errCallers); err != nil {
		return service{}, err
	}
	mux := http.NewServeMux()
	for _, of := range o.stages {
		path := "GET /" + of.Name
		iam, err := callers.guard(o, of)
		if err != nil {
			return service{}, err
		}
		mux.Handle(path+"/loyalty/{customerId}", iam(keys.Handler(plans.Handler(http.HandlerFunc(loyalty)))))
		mux.Handle(path+"/usage", keys.Handler(plans.StatusHandler()))
		mux.Handle(path+"/me", callers.users.Handler(http.HandlerFunc(me)))
	}
	mux.Handle("POST /identities", callers.pool)
	links := new(admin.OwnerLinks)
	mux.Handle("GET /owner/limited", owners.Handler(limited(rule)))
	mux.Handle("POST /owner/link", owners.Handler(newLink(o, links)))
	if o.demo {
		if err := (demoData{keys, plans, s.quotas, time.Now()}).fill(o.stages); err != nil {
			return service{}, err
		}
	}
	owner, err := newOwner(o, keys, plans, account, links)
	return service{named(rule.Handler(routed(mux))), owner, links}, err
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

// customer and owner are the access keys of those who may call.
func (o options) customer() sigv4.Keyring {
	return sigv4.Keyring{accessKey: {Secret: secretKey, Principal: "arn:aws:iam::123456789012:user/julianwood"}}
}

func (o options) owner() sigv4.Keyring {
	return sigv4.Keyring{o.access: {Secret: o.secret, Principal: "arn:aws:iam::123456789012:user/owner"}}
}

// signedBy tells who is calling: the request is signed for the service by one of these access keys.
func (o options) signedBy(service string, rings ...sigv4.Keyring) (*sigv4.Verifier, error) {
	all := make(sigv4.Keyring)
	for _, ring := range rings {
		maps.Copy(all, ring)
	}
	return sigv4.NewVerifier(sigv4.VerifierConfig{Keys: all.Key, Regions: []string{o.region}, Services: []string{service}})
}

// registeredKeys tells which client is calling: the request carries one of these keys, or one of the journal's.
func registeredKeys(o options, s store) (*apikey.Verifier, error) {
	config := apikey.Config{Journal: s.keys, Pepper: s.pepper, Sealer: s.sealer}
	if !o.empty {
		config.Keys = []apikey.Entry{
			{Key: apikey.Key{ID: apiKeyID, Name: "julianwood", Enabled: true}, Value: apiKey},
			{Key: apikey.Key{ID: retiredKeyID, Name: "retired-partner"}, Value: retiredKey},
		}
	}
	return apikey.New(config)
}

// restrictUsage says how fast and how much a client may call: 1 request per second, a burst of 2, 10 a day. The control
// plane changes this plan and makes others.
func restrictUsage(o options, s store, account ratelimit.Limit) (*usageplan.Meter, error) {
	config := usageplan.Config{
		Client: apikey.ID, Route: o.route, Ledger: s.quotas, Journal: s.plans, AccountThrottle: &account,
	}
	if !o.empty {
		config.Plans = []usageplan.Plan{{
			ID: planID, Name: "RestrictUsage",
			Throttle: &ratelimit.Limit{Rate: 1, Burst: 2},
			Quotas:   []ledger.Quota{{Limit: 10, Period: ledger.Daily}},
			Stages:   o.stages[:1],
		}}
		config.Members = []usageplan.Member{{Plan: planID, Client: apiKeyID}, {Plan: planID, Client: retiredKeyID}}
	}
	return usageplan.New(config)
}

// route returns the API, stage and method that a request is for. The first segment of a path is the stage.
func (o options) route(r *http.Request) (usageplan.Route, bool) {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	for _, of := range o.stages {
		if of.Name == name {
			return usageplan.Pattern(of.API, of.Name)(r)
		}
	}
	return usageplan.Route{}, false
}
