package main

import (
	"errors"
	"net/http"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/admin"
)

// newControl returns API Gateway's control plane over keys and plans, for the owner alone: who signs with the owner's
// access key, or has signed in at the owner's page, which only a printed link opens.
func newControl(o options, keys *apikey.Verifier, plans *usageplan.Meter, account ratelimit.Limit) (*admin.Server, error) {
	callers, err := o.signedBy("apigateway", o.customer(), o.owner())
	if err != nil {
		return nil, err
	}
	return admin.New(admin.Config{
		Keys: keys, Plans: plans,
		Authenticate: callers.Authenticate,
		Actor:        sigv4.ID,
		Authorize: func(r *http.Request, a admin.Action) error {
			if id, _ := sigv4.FromContext(r.Context()); !a.Page && id.AccessKeyID != o.access {
				return errors.New("only the owner changes keys and plans")
			}
			return nil
		},
		Region: func(r *http.Request) (string, bool) {
			if id, signed := sigv4.FromContext(r.Context()); signed {
				return id.Region, true
			}
			return o.region, true
		},
		Stages:          o.stages,
		AccountThrottle: &account,
	})
}
