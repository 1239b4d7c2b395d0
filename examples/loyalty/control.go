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

// newControl returns API Gateway's control plane over keys and plans, for the owner's access key alone.
func newControl(o options, keys *apikey.Verifier, plans *usageplan.Meter, account ratelimit.Limit) (http.Handler, error) {
	callers, err := o.signedBy("apigateway", o.customer(), o.owner())
	if err != nil {
		return nil, err
	}
	return admin.New(admin.Config{
		Keys: keys, Plans: plans,
		Authenticate: callers.Authenticate,
		Actor:        sigv4.ID,
		Authorize: func(r *http.Request, _ admin.Action) error {
			if id, _ := sigv4.FromContext(r.Context()); id.AccessKeyID != o.access {
				return errors.New("only the owner changes keys and plans")
			}
			return nil
		},
		Region: func(r *http.Request) (string, bool) {
			id, ok := sigv4.FromContext(r.Context())
			return id.Region, ok
		},
		Stages:          o.stages,
		AccountThrottle: &account,
	})
}
