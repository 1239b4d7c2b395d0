package policy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
)

// TestResourcePolicyAndImplicitDenials has the rows of the table "Resource-based policies and implicit denies in other
// policy types (same account)" of "Policy evaluation logic": no other policy allows, and the policy of the resource
// allows the caller by one of its names.
func TestResourcePolicyAndImplicitDenials(t *testing.T) {
	none := about(t, "Allow", "Principal", `{"AWS":"999999999999"}`)
	for _, tt := range []struct {
		name      string
		r         policy.Request
		principal string
		session   bool
		want      policy.Decision
	}{
		{"role session by the role", clerk, clerk.SessionIssuer, true, policy.NoMatch},
		{"role by itself", policy.Request{Principal: clerk.SessionIssuer}, clerk.SessionIssuer, true, policy.NoMatch},
		{"role session by the session", clerk, clerk.Principal, true, policy.Allow},
		{"user", bob, bob.Principal, false, policy.Allow},
		{"federated user by the user", federated, bob.Principal, true, policy.NoMatch},
		{"federated user by the session", federated, federated.Principal, true, policy.Allow},
		{"root user", root, root.Principal, false, policy.Allow},
		{"everybody", clerk, "*", true, policy.Allow},
		{"the account", bob, "123456789012", false, policy.NoMatch},
		{"the account by its root", bob, root.Principal, false, policy.NoMatch},
	} {
		s := policy.Set{Identity: []*policy.Policy{none}, Boundary: none, Resource: about(t, "Allow", "Principal", `{"AWS":"`+tt.principal+`"}`)}
		if tt.session {
			s.Session = []*policy.Policy{none}
		}
		tt.r.Resource = stage + "/GET/a"
		require.Equal(t, tt.want, s.Evaluate(&tt.r), tt.name)
	}
}

// TestSets has every combination of what the four kinds of policies say: nothing is there, no statement matches, one
// allows, one denies. The rules are written here in the words of "Policy evaluation logic" and "Cross-account policy
// evaluation logic".
func TestSets(t *testing.T) {
	const missing = policy.Decision(9)
	says := func(d policy.Decision, principal string) *policy.Policy {
		switch d {
		case policy.Allow, policy.Deny:
			return about(t, d.String(), "Principal", principal)
		case policy.NoMatch:
			return about(t, "Allow", "Principal", `{"AWS":"999999999999"}`)
		}
		return nil
	}
	all := []policy.Decision{missing, policy.NoMatch, policy.Allow, policy.Deny}
	is := func(d, want policy.Decision) bool { return d == want }
	for _, caller := range []policy.Request{bob, foreign, clerk, anonymous} {
		caller.Resource = stage + "/GET/a"
		same := caller.Principal == bob.Principal || caller.Principal == clerk.Principal
		for _, by := range []string{"itself", "role", "account"} {
			principal := map[string]string{"itself": `"*"`, "role": `{"AWS":"` + clerk.SessionIssuer + `"}`, "account": `{"AWS":["123456789012","210987654321"]}`}[by]
			for i := range 256 {
				identity, resource, session, boundary := all[i%4], all[i/4%4], all[i/16%4], all[i/64]
				s := policy.Set{Resource: says(resource, principal), Boundary: says(boundary, `"*"`)}
				if identity != missing {
					s.Identity = []*policy.Policy{says(policy.NoMatch, `"*"`), says(identity, `"*"`)}
				}
				if session != missing {
					s.Session = []*policy.Policy{says(session, `"*"`), says(policy.NoMatch, `"*"`)}
				}
				named := by == "itself" || by == "role" && caller.SessionIssuer != "" || by == "account" && caller.Principal != ""
				denies := is(resource, policy.Deny) && named
				grants := is(resource, policy.Allow) && named
				limits := (session == missing || is(session, policy.Allow)) && (boundary == missing || is(boundary, policy.Allow))
				own := is(identity, policy.Allow) && limits

				want := policy.NoMatch
				switch {
				case denies, is(identity, policy.Deny), is(session, policy.Deny), is(boundary, policy.Deny):
					want = policy.Deny
				case caller.Principal == "" && grants,
					same && (own || grants && by == "itself" || grants && by == "role" && limits),
					!same && caller.Principal != "" && own && grants:
					want = policy.Allow
				}
				require.Equal(t, want, s.Evaluate(&caller), "%s by %s: identity %v, resource %v, session %v, boundary %v", caller.Principal, by, identity, resource, session, boundary)
			}
		}
	}
}

func TestZeroSetRefuses(t *testing.T) {
	for _, r := range []policy.Request{bob, anonymous, root} {
		require.Equal(t, policy.NoMatch, new(policy.Set).Evaluate(&r))
		s := policy.Set{Identity: []*policy.Policy{nil, new(policy.Policy)}, Resource: new(policy.Policy)}
		require.Equal(t, policy.NoMatch, s.Evaluate(&r))
	}
}

// In the policy of a resource, a statement without a principal allows nobody and denies everybody.
func TestResourcePolicyNeedsPrincipals(t *testing.T) {
	r := bob
	r.Resource = stage + "/GET/a"
	allow, deny := document("Allow", "*"), document("Deny", "*")
	p, err := policy.New(allow)
	require.NoError(t, err)
	require.Equal(t, policy.NoMatch, (&policy.Set{Resource: p}).Evaluate(&r))
	require.Equal(t, policy.Allow, (&policy.Set{Identity: []*policy.Policy{p}}).Evaluate(&r))
	q, err := policy.New(deny)
	require.NoError(t, err)
	require.Equal(t, policy.Deny, (&policy.Set{Identity: []*policy.Policy{p}, Resource: q}).Evaluate(&r))
}

// An account is the account of a partition, and a caller that is no ARN is of no account.
func TestOtherPartitionIsAnotherAccount(t *testing.T) {
	everybody := about(t, "Allow", "Principal", `"*"`)
	for _, r := range []policy.Request{chinese, stranger, foreign} {
		r.Resource = stage + "/GET/a"
		require.Equal(t, policy.NoMatch, (&policy.Set{Resource: everybody}).Evaluate(&r))
		require.Equal(t, policy.NoMatch, (&policy.Set{Identity: []*policy.Policy{everybody}}).Evaluate(&r))
		require.Equal(t, policy.Allow, (&policy.Set{Identity: []*policy.Policy{everybody}, Resource: everybody}).Evaluate(&r))
	}
}
