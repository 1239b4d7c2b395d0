package policy_test

import (
	"fmt"
	"net/netip"

	"github.com/tallygate/tallygate/auth/policy"
)

const stage = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod"

func Example() {
	p, err := policy.Parse([]byte(`{
		"Version": "2012-10-17",
		"Statement": [
			{"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "` + stage + `/GET/*"},
			{"Effect": "Deny", "Action": "execute-api:*", "Resource": ["` + stage + `/*/admin", "` + stage + `/*/admin/*"]}
		]
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Evaluate(&policy.Request{Resource: stage + "/GET/loyalty/1"}))
	fmt.Println(p.Evaluate(&policy.Request{Resource: stage + "/POST/loyalty/1"}))
	fmt.Println(p.Evaluate(&policy.Request{Resource: stage + "/GET/admin/keys"}))
	// Output:
	// Allow
	// NoMatch
	// Deny
}

func ExampleNew() {
	p, err := policy.New(policy.Document{
		Version: "2012-10-17",
		Statement: []policy.Statement{{
			Effect: "Allow", Action: []string{policy.Invoke}, NotResource: []string{stage + "/DELETE/*"},
		}},
	})
	fmt.Println(p.Evaluate(&policy.Request{Resource: stage + "/GET/"}), p.Evaluate(&policy.Request{Resource: stage + "/DELETE/"}), err)
	// Output: Allow NoMatch <nil>
}

// A part of a document that is not understood could be the one that denies. So the whole document is refused, with all
// mistakes at once.
func ExampleParse() {
	_, err := policy.Parse([]byte(`{
		"Version": "2012-10-17",
		"Statement": {
			"Effect": "Deny", "Action": "*", "Resource": "*",
			"Condition": {"NotIpAddres": {"aws:SourceIp": "203.0.113.0/24"}, "Bool": {"aws:SourceIp": "true"}}
		}
	}`))
	fmt.Println(err)
	// Output:
	// policy: invalid policy document: Statement[0].Condition.Bool.aws:SourceIp: Bool does not fit the key, which is of type IPAddress
	// policy: invalid policy document: Statement[0].Condition.NotIpAddres: unknown operator "NotIpAddres"
}

// A question mark is one character, however many bytes it has.
func ExamplePolicy_Evaluate() {
	p, err := policy.Parse([]byte(`{
		"Statement": [
			{"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*", "Condition": {}},
			{"Effect": "Deny", "Action": "execute-api:Invoke", "Resource": "` + stage + `/GET/loyalty/?"}
		]
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Evaluate(&policy.Request{Resource: stage + "/GET/loyalty/e"}))
	fmt.Println(p.Evaluate(&policy.Request{Resource: stage + "/GET/loyalty/é"}))
	fmt.Println(p.Evaluate(&policy.Request{Resource: stage + "/GET/loyalty/12"}))
	// Output:
	// Deny
	// Deny
	// Allow
}

// A caller may read from the office, and use what lies below its own name from anywhere.
func ExamplePolicy_Evaluate_conditions() {
	p, err := policy.Parse([]byte(`{
		"Version": "2012-10-17",
		"Statement": [
			{
				"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "` + stage + `/GET/*",
				"Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}, "Bool": {"aws:SecureTransport": "true"}}
			},
			{"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "` + stage + `/*/users/${aws:username}/*"}
		]
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	r := policy.Request{
		Resource:  stage + "/GET/loyalty/1",
		Principal: "arn:aws:iam::123456789012:user/julian",
		SourceIP:  netip.MustParseAddr("203.0.113.7"), SecureTransport: true,
	}
	fmt.Println(p.Evaluate(&r))
	r.SourceIP = netip.MustParseAddr("198.51.100.1")
	fmt.Println(p.Evaluate(&r))
	r.Resource = stage + "/PUT/users/julian/address"
	fmt.Println(p.Evaluate(&r))
	r.Resource = stage + "/PUT/users/maria/address"
	fmt.Println(p.Evaluate(&r))
	// Output:
	// Allow
	// NoMatch
	// Allow
	// NoMatch
}

// An application has a condition key of its own, for the tier of its customers.
func ExampleKey() {
	p, err := policy.Parse([]byte(`{
		"Version": "2012-10-17",
		"Statement": {
			"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "execute-api:/Prod/*",
			"Condition": {"ForAnyValue:StringEquals": {"loyalty:Tiers": ["gold", "platinum"]}}
		}
	}`), policy.Key{Name: "loyalty:Tiers", Type: "ArrayOfString"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Keys())
	for _, tiers := range [][]string{{"silver", "gold"}, {"silver"}, nil} {
		fmt.Println(p.Evaluate(&policy.Request{Resource: stage + "/GET/", Values: map[string]any{"loyalty:Tiers": tiers}}))
	}
	// Output:
	// [loyalty:Tiers]
	// Allow
	// NoMatch
	// NoMatch
}

// The API of one account opens itself to a role of another account, whose own policies must allow the call as well.
func ExampleSet_Evaluate() {
	partner := "arn:aws:iam::210987654321:role/partner"
	api, err := policy.New(policy.Document{Statement: []policy.Statement{{
		Effect: "Allow", Principal: map[string][]string{"AWS": {partner}}, Action: []string{policy.Invoke}, Resource: []string{"execute-api:/Prod/GET/*"},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	own, err := policy.New(policy.Document{Statement: []policy.Statement{{
		Effect: "Allow", Action: []string{"execute-api:*"}, Resource: []string{"*"},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	r := policy.Request{
		Resource:  stage + "/GET/loyalty/1",
		Principal: "arn:aws:sts::210987654321:assumed-role/partner/nightly", SessionIssuer: partner,
	}
	fmt.Println((&policy.Set{Resource: api, Identity: []*policy.Policy{own}}).Evaluate(&r))
	fmt.Println((&policy.Set{Resource: api}).Evaluate(&r))
	fmt.Println((&policy.Set{Identity: []*policy.Policy{own}}).Evaluate(&r))
	// Output:
	// Allow
	// NoMatch
	// NoMatch
}

// The mistake here is to allow only the method of the current request. An authorizer's result is kept for a while and
// serves requests for other methods as well, so its policy must allow those too.
func Example_incorrect() {
	asked := stage + "/GET/loyalty/1"
	p, _ := policy.New(policy.Document{
		Version:   "2012-10-17",
		Statement: []policy.Statement{{Effect: "Allow", Action: []string{policy.Invoke}, Resource: []string{asked}}},
	})
	fmt.Println(p.Evaluate(&policy.Request{Resource: asked}))
	fmt.Println(p.Evaluate(&policy.Request{Resource: stage + "/GET/loyalty/2"}))
	// Output:
	// Allow
	// NoMatch
}

// The mistake here is to bring no address. The key is then absent, and "not from this network" holds for everybody.
func Example_incorrectAbsentKey() {
	p, _ := policy.Parse([]byte(`{"Statement": {
		"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}
	}}`))
	fmt.Println(p.Evaluate(&policy.Request{Resource: stage + "/GET/"}))
	fmt.Println(p.Keys(), "must be brought:")
	fmt.Println(p.Evaluate(&policy.Request{Resource: stage + "/GET/", SourceIP: netip.MustParseAddr("203.0.113.7")}))
	// Output:
	// Allow
	// [aws:SourceIp] must be brought:
	// NoMatch
}
