package examples_test

import (
	"context"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
)

// policies is a guard by the policies of a caller. The caller is named by a header.
func policies(change func(*policy.GateConfig)) func(*testing.T, wishes) guard {
	return func(t *testing.T, w wishes) guard {
		t.Helper()
		own, err := policy.New(policy.Document{Version: "2012-10-17", Statement: []policy.Statement{
			{Effect: "Allow", Action: []string{policy.Invoke}, Resource: []string{"arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/x"}},
		}})
		require.NoError(t, err)
		c := policy.GateConfig{
			StageARN: "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod", Mount: "/Prod", Authorization: "AWS_IAM",
			Principal: client,
			Policies:  func(*http.Request) (policy.Set, error) { return policy.Set{Identity: []*policy.Policy{own}}, nil },
			Observe:   w.tell, AllowDespite: w.despite, RequestID: w.id, ErrorHandler: w.answer,
		}
		if change != nil {
			change(&c)
		}
		g, err := policy.NewGate(c)
		require.NoError(t, err)
		return guard{g.Handler, map[string]func(*http.Request) error{"Check": g.Check}}
	}
}

func gateSituations() []situation {
	const julian = "arn:aws:iam::123456789012:user/julian"
	named := []func(*http.Request){with("X-Client", julian)}
	edited := func(edit func(*http.Request)) []func(*http.Request) { return append(slices.Clone(named), edit) }
	failing := policies(func(c *policy.GateConfig) {
		c.Policies = func(r *http.Request) (policy.Set, error) {
			if err := r.Context().Err(); err != nil {
				return policy.Set{}, err
			}
			return policy.Set{}, errDown
		}
	})
	all := complete([]situation{
		{name: "allowed", edits: named},
		{name: "denied", edits: edited(func(r *http.Request) { r.URL.Path = "/Prod/y" }), cause: policy.ErrDenied},
		{name: "no_principal", cause: policy.ErrNoPrincipal},
		{name: "no_address", edits: edited(func(r *http.Request) { r.RemoteAddr = "@" }), cause: policy.ErrNoAddress},
		{name: "path", edits: edited(func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/Prod/a/b", "/Prod/a%2Fb" }), cause: policy.ErrPath},
		{name: "unavailable", edits: named, cause: policy.ErrUnavailable, guard: failing},
		{name: "canceled", edits: edited(canceled), cause: context.Canceled, guard: failing},
		{name: "not_configured", edits: []func(*http.Request){with("X-Client", "julian")}, cause: policy.ErrNotConfigured},
	}, "policy", policies(nil), "unavailable", "canceled", "not_configured")
	return proven(all, julian, "allowed", "denied", "no_address", "unavailable", "canceled")
}
