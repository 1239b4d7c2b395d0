package policy_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
)

// The callers of these tests.
var (
	bob       = policy.Request{Principal: "arn:aws:iam::123456789012:user/Bob"}
	alice     = policy.Request{Principal: "arn:aws:iam::123456789012:user/Alice"}
	root      = policy.Request{Principal: "arn:aws:iam::123456789012:root"}
	clerk     = policy.Request{Principal: "arn:aws:sts::123456789012:assumed-role/clerk/julian", SessionIssuer: "arn:aws:iam::123456789012:role/shop/clerk"}
	pathless  = policy.Request{Principal: clerk.Principal}
	federated = policy.Request{Principal: "arn:aws:sts::123456789012:federated-user/Bob", SessionIssuer: bob.Principal}
	foreign   = policy.Request{Principal: "arn:aws:iam::210987654321:user/Bob"}
	chinese   = policy.Request{Principal: "arn:aws-cn:iam::123456789012:user/Bob"}
	service   = policy.Request{Principal: "events.amazonaws.com"}
	web       = policy.Request{
		Principal: "arn:aws:sts::123456789012:assumed-role/web/CognitoIdentityCredentials", SessionIssuer: "arn:aws:iam::123456789012:role/web",
		Values: map[string]any{"aws:FederatedProvider": "cognito-identity.amazonaws.com"},
	}
	stranger  = policy.Request{Principal: "Bob"}
	anonymous policy.Request
)

// about returns the policy of one statement with an element about principals; its value is JSON.
func about(t testing.TB, effect, element, value string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":{"Effect":"` + effect + `","` + element + `":` + value + `,"Action":"*","Resource":"*"}}`))
	require.NoError(t, err)
	return p
}

func TestPrincipals(t *testing.T) {
	const role = `{"AWS":"arn:aws:iam::123456789012:role/shop/clerk"}`
	for _, tt := range []struct {
		principal string
		r         policy.Request
		want      bool
	}{
		{`"*"`, bob, true},
		{`"*"`, anonymous, true},
		{`{"AWS":"*"}`, anonymous, true},
		{`{"AWS":["210987654321","*"]}`, stranger, true},
		{`{"AWS":"123456789012"}`, bob, true},
		{`{"AWS":"123456789012"}`, clerk, true},
		{`{"AWS":"123456789012"}`, root, true},
		{`{"AWS":"123456789012"}`, foreign, false},
		{`{"AWS":"123456789012"}`, anonymous, false},
		{`{"AWS":"123456789012"}`, stranger, false},
		{`{"AWS":"123456789012"}`, chinese, true},
		{`{"AWS":"arn:aws:iam::123456789012:root"}`, chinese, false},
		{`{"AWS":"arn:aws:iam::123456789012:root"}`, bob, true},
		{`{"AWS":"arn:aws:iam::123456789012:root"}`, foreign, false},
		{`{"AWS":"arn:aws:iam::123456789012:user/Bob"}`, bob, true},
		{`{"AWS":"arn:aws:iam::123456789012:user/Bob"}`, alice, false},
		{`{"AWS":"arn:aws:iam::123456789012:user/bob"}`, bob, false},
		{`{"AWS":"arn:aws:iam::123456789012:user/Bob"}`, federated, true},
		{`{"AWS":"arn:aws:sts::123456789012:federated-user/Bob"}`, federated, true},
		{role, clerk, true},
		{role, pathless, true},
		{role, web, false},
		{`{"AWS":"arn:aws:iam::123456789012:role/clerk"}`, clerk, false},
		{`{"AWS":"arn:aws:iam::123456789012:role/clerk"}`, pathless, true},
		{`{"AWS":"arn:aws:iam::210987654321:role/clerk"}`, pathless, false},
		{`{"AWS":"arn:aws:sts::123456789012:assumed-role/clerk/julian"}`, clerk, true},
		{`{"AWS":"arn:aws:sts::123456789012:assumed-role/clerk/other"}`, clerk, false},
		{`{"Federated":"cognito-identity.amazonaws.com"}`, web, true},
		{`{"Federated":"cognito-identity.amazonaws.com"}`, clerk, false},
		{`{"Service":["s3.amazonaws.com","events.amazonaws.com"]}`, service, true},
		{`{"Service":"events.amazonaws.com"}`, bob, false},
		{`{"AWS":"123456789012","Service":"events.amazonaws.com"}`, service, true},
	} {
		require.Equal(t, tt.want, about(t, "Allow", "Principal", tt.principal).Evaluate(&tt.r) == policy.Allow, "%s %v", tt.principal, tt.r)
		require.Equal(t, tt.want, about(t, "Deny", "Principal", tt.principal).Evaluate(&tt.r) == policy.Deny, "%s %v", tt.principal, tt.r)
	}
}

// With Allow, a caller is excepted by any of its names. With Deny, it must be excepted by all of them.
func TestNotPrincipals(t *testing.T) {
	const (
		justBob  = `{"AWS":"arn:aws:iam::123456789012:user/Bob"}`
		wholeBob = `{"AWS":["arn:aws:iam::123456789012:user/Bob","arn:aws:iam::123456789012:root"]}`
		account  = `{"AWS":"123456789012"}`
		role     = `{"AWS":["arn:aws:iam::123456789012:role/shop/clerk","123456789012"]}`
		session  = `{"AWS":["arn:aws:sts::123456789012:assumed-role/clerk/julian","arn:aws:iam::123456789012:role/shop/clerk","123456789012"]}`
	)
	for _, tt := range []struct {
		not             string
		r               policy.Request
		allowed, denied bool
	}{
		{justBob, bob, false, true},
		{justBob, alice, true, true},
		{justBob, anonymous, true, true},
		{wholeBob, bob, false, false},
		{wholeBob, alice, false, true},
		{wholeBob, root, false, false},
		{wholeBob, foreign, true, true},
		{wholeBob, federated, false, true},
		{account, bob, false, true},
		{account, root, false, false},
		{account, foreign, true, true},
		{role, clerk, false, true},
		{session, clerk, false, false},
		{session, pathless, false, false},
		{session, bob, false, true},
		{`"*"`, bob, false, false},
		{`"*"`, anonymous, false, false},
		{`{"Service":"events.amazonaws.com"}`, service, false, false},
		{`{"Service":"events.amazonaws.com"}`, bob, true, true},
	} {
		require.Equal(t, tt.allowed, about(t, "Allow", "NotPrincipal", tt.not).Evaluate(&tt.r) == policy.Allow, "%s %v", tt.not, tt.r)
		require.Equal(t, tt.denied, about(t, "Deny", "NotPrincipal", tt.not).Evaluate(&tt.r) == policy.Deny, "%s %v", tt.not, tt.r)
	}
}

func TestPrincipalsThatAreRefused(t *testing.T) {
	for _, tt := range []struct{ principal, want string }{
		{`{"AWS":"arn:aws:iam::123456789012:user/*"}`, `Principal.AWS[0]: "arn:aws:iam::123456789012:user/*" is no ARN of a principal: wildcards and variables are not allowed`},
		{`{"AWS":["*","arn:aws:iam::123456789012:user/${aws:username}"]}`, `Principal.AWS[1]: `},
		{`{"AWS":"arn:aws:iam::*:root"}`, `is neither "*", an account nor the ARN of a principal`},
		{`{"AWS":"Bob"}`, `is neither "*", an account nor the ARN of a principal`},
		{`{"AWS":"1234567890123"}`, `is neither "*", an account nor the ARN of a principal`},
		{`{"AWS":"AIDACKCEVSQ6C2EXAMPLE"}`, `is neither "*", an account nor the ARN of a principal`},
		{`{"AWS":"arn:aws:iam::123456789012:group/x"}`, `is no ARN of a user, a role or a session`},
		{`{"AWS":"arn:aws:sts::123456789012:assumed-role/clerk"}`, `is no ARN of a user, a role or a session`},
		{`{"AWS":"arn:aws:s3:::123456789012"}`, `is neither`},
		{`{"AWS":[]}`, `Principal.AWS: empty`},
		{`{"AWS":1}`, `Principal.AWS[0]: found 1, expected a string`},
		{`{"aws":"*"}`, `Principal.aws[0]: "*" is of the unknown kind "aws"`},
		{`{"CanonicalUser":"79a5"}`, `which only Amazon S3 has`},
		{`{"Federated":"*"}`, `is no name of a principal of kind Federated`},
		{`{"Service":""}`, `is no name of a principal of kind Service`},
		{`{}`, `Principal: empty`},
		{`{"AWS":"*","AWS":"*"}`, `Principal.AWS: occurs twice`},
		{`"*","NotPrincipal":"*"`, `both Principal and NotPrincipal`},
	} {
		for _, effect := range []string{"Allow", "Deny"} {
			_, err := policy.Parse([]byte(`{"Statement":{"Effect":"` + effect + `","Principal":` + tt.principal + `,"Action":"*","Resource":"*"}}`))
			require.ErrorIs(t, err, policy.ErrInvalid, tt.principal)
			require.ErrorContains(t, err, tt.want)
		}
	}
	_, err := policy.New(policy.Document{Statement: []policy.Statement{{
		Effect: "Allow", Principal: map[string][]string{"AWS": nil}, Action: []string{"*"}, Resource: []string{"*"},
	}}})
	require.ErrorContains(t, err, "Statement[0].Principal.AWS: empty")
	for _, s := range []policy.Statement{{Principal: map[string][]string{}}, {NotPrincipal: map[string][]string{}}} {
		s.Effect, s.Action, s.Resource = "Allow", []string{"*"}, []string{"*"}
		_, err = policy.New(policy.Document{Statement: []policy.Statement{s}})
		require.EqualError(t, err, "policy: invalid policy document: Statement[0]: empty Principal or NotPrincipal")
	}
}

func TestPrincipalsSurviveJSON(t *testing.T) {
	const text = `{"Statement":[{"Effect":"Deny","NotPrincipal":{"AWS":["123456789012"],"Service":["a.amazonaws.com"]},"Action":["*"],"Resource":["*"]}]}`
	var d policy.Document
	require.NoError(t, json.Unmarshal([]byte(text), &d))
	got, err := json.Marshal(d)
	require.NoError(t, err)
	require.Equal(t, text, string(got))
}

// A provider of the wrong type may be the one that is named or not. The request is refused either way.
func TestProviderThatCannotBeJudgedRefuses(t *testing.T) {
	const cognito = `{"Federated":"cognito-identity.amazonaws.com"}`
	for _, given := range []any{7, []string{"cognito-identity.amazonaws.com"}, strings.Repeat("a", 3000)} {
		r := clerk
		r.Resource, r.Values = stage+"/GET/a", map[string]any{"AWS:federatedProvider": given}
		for _, element := range []string{"Principal", "NotPrincipal"} {
			require.Equal(t, policy.NoMatch, about(t, "Allow", element, cognito).Evaluate(&r), "%v", given)
			require.Equal(t, policy.Deny, about(t, "Deny", element, cognito).Evaluate(&r), "%v", given)
		}
	}
	require.Equal(t, []string{"aws:FederatedProvider", "aws:PrincipalArn"}, about(t, "Allow", "NotPrincipal", cognito).Keys())
}

// An explanation shows each name of the caller that decides: its own, that of its role, and its provider.
func TestExplanationShowsTheNamesOfTheCaller(t *testing.T) {
	r := web
	r.Resource = stage + "/GET/a"
	for principal, want := range map[string]string{
		`{"AWS":"arn:aws:iam::123456789012:role/web"}`: web.Principal + ", " + web.SessionIssuer,
		`{"Federated":"login.example"}`:                web.Principal + ", " + web.SessionIssuer + ", cognito-identity.amazonaws.com",
	} {
		require.Equal(t, want, about(t, "Allow", "Principal", principal).Explain(&r).Steps[1].Saw)
	}
}
