package policy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
)

// allow, neither and deny are the three things that a policy can say about a request for the root of the API.
func opinions(t *testing.T, principal string) map[string]*policy.Policy {
	t.Helper()
	if principal != "" {
		principal = `"Principal":` + principal + `,`
	}
	return map[string]*policy.Policy{
		"Allow":   parsed(t, `{"Effect":"Allow",`+principal+`"Action":"execute-api:Invoke","Resource":"STAGE/GET/"}`),
		"Neither": parsed(t, `{"Effect":"Allow",`+principal+`"Action":"execute-api:Invoke","Resource":"STAGE/POST/"}`),
		"Deny":    parsed(t, `{"Effect":"Deny",`+principal+`"Action":"execute-api:Invoke","Resource":"STAGE/GET/"}`),
	}
}

// The rows are those of "How API Gateway resource policies affect authorization workflow". The first column is the IAM
// policy, the policy of the Lambda authorizer, or what the Cognito authorizer says.
var (
	tableA = [][3]string{ // Account A calls API owned by account A
		{"Allow", "Allow", "Allow"},
		{"Allow", "Neither", "Allow"},
		{"Allow", "Deny", "Deny"},
		{"Neither", "Allow", "Allow"},
		{"Neither", "Neither", "NoMatch"},
		{"Neither", "Deny", "Deny"},
		{"Deny", "Allow", "Deny"},
		{"Deny", "Neither", "Deny"},
		{"Deny", "Deny", "Deny"},
	}
	tableB = [][3]string{ // Account B calls API owned by account A
		{"Allow", "Allow", "Allow"},
		{"Allow", "Neither", "NoMatch"},
		{"Allow", "Deny", "Deny"},
		{"Neither", "Allow", "NoMatch"},
		{"Neither", "Neither", "NoMatch"},
		{"Neither", "Deny", "Deny"},
		{"Deny", "Allow", "Deny"},
		{"Deny", "Neither", "Deny"},
		{"Deny", "Deny", "Deny"},
	}
)

func TestFlowTables(t *testing.T) {
	const other = "arn:aws:iam::210987654321:user/julian"
	identity := opinions(t, "")
	for _, tt := range []struct {
		name, authorization, caller, principal string
		rows                                   [][3]string
	}{
		{"IAM, same account", "AWS_IAM", julian, `{"AWS":"` + julian + `"}`, tableA},
		{"IAM, same account, everybody", "AWS_IAM", julian, `"*"`, tableA},
		{"IAM, another account", "AWS_IAM", other, `{"AWS":"` + other + `"}`, tableB},
		{"IAM, another account, everybody", "AWS_IAM", other, `"*"`, tableB},
		{"Lambda", "CUSTOM", "", `"*"`, tableA},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resource := opinions(t, tt.principal)
			for _, row := range tt.rows {
				set := policy.Set{Identity: []*policy.Policy{identity[row[0]]}, Resource: resource[row[1]]}
				got := policy.Gateway(tt.authorization, &set, &policy.Request{Resource: stage + "/GET/", Principal: tt.caller})
				require.Equal(t, row[2], got.String(), "%v", row)
			}
		})
	}
}

// With Cognito, only callers with a valid token get as far as the resource policy: for them, the rows of table B that
// begin with Allow. Without an authorizer the resource policy alone decides, and needs an explicit allow.
func TestFlowOfCognitoAndOfNoAuthorizer(t *testing.T) {
	resource := opinions(t, `"*"`)
	r := &policy.Request{Resource: stage + "/GET/"}
	for _, authorization := range []string{"COGNITO_USER_POOLS", "NONE"} {
		for _, row := range tableB[:3] {
			got := policy.Gateway(authorization, &policy.Set{Resource: resource[row[1]]}, r)
			require.Equal(t, row[2], got.String(), "%s %v", authorization, row)
		}
		ignored := policy.Set{Identity: []*policy.Policy{opinions(t, "")["Allow"]}}
		require.Equal(t, policy.NoMatch, policy.Gateway(authorization, &ignored, r), "there is no resource policy")
	}
}

// Without a resource policy the tables have no row: the caller's own policies decide, in the same account.
func TestFlowWithoutAResourcePolicy(t *testing.T) {
	r := &policy.Request{Resource: stage + "/GET/", Principal: julian}
	for says, p := range opinions(t, "") {
		want := map[string]policy.Decision{"Allow": policy.Allow, "Neither": policy.NoMatch, "Deny": policy.Deny}[says]
		set := policy.Set{Identity: []*policy.Policy{p}}
		require.Equal(t, want, policy.Gateway("AWS_IAM", &set, r), says)
		require.Equal(t, want, policy.Gateway("CUSTOM", &set, r), says)
	}
}

// AWS has neither a session nor a boundary but for IAM. If an application brings one all the same, it must not count for
// nothing: a denial denies, and what limits the policy of a Lambda authorizer limits it.
func TestNoPolicyOfASetIsIgnored(t *testing.T) {
	all := opinions(t, `"*"`)
	r := &policy.Request{Resource: stage + "/GET/"}
	for _, authorization := range []string{"AWS_IAM", "CUSTOM", "COGNITO_USER_POOLS", "NONE"} {
		for _, says := range []string{"Neither", "Deny"} {
			one := all[says]
			for name, set := range map[string]policy.Set{
				"identity": {Resource: all["Allow"], Identity: []*policy.Policy{all["Allow"], one}},
				"session":  {Resource: all["Allow"], Session: []*policy.Policy{all["Allow"], one}},
				"boundary": {Resource: all["Allow"], Boundary: one},
			} {
				want := map[string]policy.Decision{"Neither": policy.Allow, "Deny": policy.Deny}[says]
				require.Equal(t, want, policy.Gateway(authorization, &set, r), "%s, %s: %s", authorization, name, says)
			}
		}
	}
	identity := []*policy.Policy{all["Allow"]}
	for _, set := range []policy.Set{
		{Identity: identity, Session: []*policy.Policy{all["Neither"]}}, {Identity: identity, Boundary: all["Neither"]},
	} {
		require.Equal(t, policy.NoMatch, policy.Gateway("CUSTOM", &set, r))
	}
}

func TestUnknownAuthorizationRefuses(t *testing.T) {
	all := parsed(t, allowAll)
	set := policy.Set{Identity: []*policy.Policy{all}, Resource: all}
	for _, authorization := range []string{"", "aws_iam", "JWT", "none"} {
		require.Equal(t, policy.NoMatch, policy.Gateway(authorization, &set, &policy.Request{Resource: stage + "/GET/"}))
	}
}

// A policy of the caller that only fails to allow is not why a request without credentials is refused. One that denies
// is.
func TestWhyNamesAPolicyThatDecides(t *testing.T) {
	all := opinions(t, `"*"`)
	for _, tt := range []struct {
		set  policy.Set
		want string
	}{
		{policy.Set{Resource: all["Neither"], Session: []*policy.Policy{all["Neither"]}}, "no statement of the resource-based policy allows it"},
		{policy.Set{Resource: all["Neither"], Boundary: all["Neither"]}, "no statement of the resource-based policy allows it"},
		{policy.Set{Resource: all["Allow"], Identity: []*policy.Policy{all["Deny"]}}, "a statement of the identity-based policy denies it"},
	} {
		require.Equal(t, tt.want, tt.set.Explain(&policy.Request{Resource: stage + "/GET/"}).Why)
	}
}
