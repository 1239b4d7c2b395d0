//go:build !race

package policy_test

import (
	"net/netip"
	"strconv"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
)

func TestEvaluateDoesNotAllocate(t *testing.T) {
	p, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"execute-api:*","Resource":"` + stage + `/*/GET/*"},
		{"Effect":"Deny","NotAction":"execute-api:Invoke","NotResource":"*"}]}`))
	require.NoError(t, err)
	r := on(stage + "/x/GET/y")
	require.Zero(t, testing.AllocsPerRun(1000, func() { p.Evaluate(r) }))
	for _, s := range worst {
		p, err := policy.New(s.document())
		require.NoError(t, err)
		r, want := s.request(), 0.0
		if !utf8.ValidString(r.Resource) {
			want = 1 // a valid copy
		}
		require.Equal(t, want, testing.AllocsPerRun(10, func() { p.Evaluate(r) }), s.name)
	}
}

// A set evaluates conditions on AWS's keys, variables and principals without allocating.
func TestSetsDoNotAllocate(t *testing.T) {
	identity, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"execute-api:Invoke",
		"Resource":["` + stage + `/GET/${aws:PrincipalTag/Team}/*","execute-api:/Prod/*/${aws:username, 'all'}"],
		"Condition":{
			"IpAddress":{"aws:SourceIp":["203.0.113.0/24","2001:db8::/32"]},
			"DateGreaterThan":{"aws:CurrentTime":"2026-01-01"},"NumericGreaterThan":{"aws:EpochTime":1},
			"Bool":{"aws:SecureTransport":true},
			"StringLike":{"aws:UserAgent":["x?*","*loyalty*"],"aws:PrincipalTag/team":"t*"},
			"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/*/clerk"},
			"StringEquals":{"aws:SourceVpce":"vpce-1","aws:PrincipalAccount":"123456789012"},
			"ForAnyValue:StringEquals":{"cognito-identity.amazonaws.com:amr":"authenticated"},
			"StringNotEqualsIfExists":{"aws:SourceVpc":"vpc-1"}
		}}]}`))
	require.NoError(t, err)
	resource, err := policy.Parse([]byte(`{"Statement":[
		{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::123456789012:user/x","arn:aws:iam::123456789012:role/shop/clerk"]},"Action":"*","Resource":"*"},
		{"Effect":"Deny","NotPrincipal":{"AWS":["` + clerk.Principal + `","` + clerk.SessionIssuer + `","123456789012"]},"Action":"*","Resource":"*"}]}`))
	require.NoError(t, err)
	r := clerk
	r.Resource, r.SourceIP, r.SourceVPCE = stage+"/GET/tills/1", netip.MustParseAddr("203.0.113.7"), "vpce-1"
	r.SecureTransport, r.UserAgent, r.PrincipalTags = true, "loyalty/1.0", map[string]string{"Team": "tills"}
	r.Values = map[string]any{"cognito-identity.amazonaws.com:amr": []string{"authenticated", "x"}}
	require.Equal(t, policy.Allow, identity.Evaluate(&r))
	s := policy.Set{Identity: []*policy.Policy{identity}, Resource: resource, Session: []*policy.Policy{identity}, Boundary: identity}
	require.Equal(t, policy.Allow, s.Evaluate(&r))
	require.Zero(t, testing.AllocsPerRun(1000, func() { s.Evaluate(&r) }))
}

// A list of a thousand patterns has a million pairs. Nearly all of them differ in their literal characters.
func TestLintTellsMostPairsApartWithoutAllocating(t *testing.T) {
	one := policy.Statement{Effect: "Allow", Resource: []string{"*"}}
	for i := range 1000 {
		one.Action = append(one.Action, "a:"+strconv.Itoa(i)+[]string{"", "x*", "*x", "?x"}[i%4])
	}
	p, err := policy.New(policy.Document{Version: "2012-10-17", Statement: []policy.Statement{one}})
	require.NoError(t, err)
	require.Less(t, testing.AllocsPerRun(1, func() { p.Lint() }), 100_000.0)
}
