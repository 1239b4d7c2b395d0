package policy_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"

	"github.com/tallygate/tallygate/auth/custom"
	"github.com/tallygate/tallygate/auth/policy"
	"github.com/tallygate/tallygate/ratelimit/clientip"
	"github.com/tallygate/tallygate/sigv4"
)

// must is for policies that are part of a program.
func must(document string) *policy.Policy {
	p, err := policy.Parse([]byte(document))
	if err != nil {
		panic(err)
	}
	return p
}

// ok is the handler of an API.
var ok = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })

// show prints the answer to a request.
func show(h http.Handler, r *http.Request) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
}

// An API with IAM authorization: sigv4 verifies who calls, and the gate what the caller may do. Neither package imports
// the other: sigv4.ID returns the Principal of the access key, which is an ARN here.
func ExampleGate() {
	const julian = "arn:aws:iam::123456789012:user/julian"
	signature, err := sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys: sigv4.Keyring{"AKIDEXAMPLE": {Secret: "secret", Principal: julian}}.Key, Regions: []string{"eu-west-1"},
	})
	identities := map[string][]*policy.Policy{julian: {must(`{
		"Version": "2012-10-17",
		"Statement": {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "` + stage + `/GET/${aws:username}/*"}
	}`)}}
	gate, errGate := policy.NewGate(policy.GateConfig{
		StageARN: stage, Mount: "/Prod", Authorization: "AWS_IAM",
		Principal: sigv4.ID,
		Policies: func(r *http.Request) (policy.Set, error) {
			id, _ := sigv4.ID(r)
			return policy.Set{Identity: identities[id]}, nil
		},
	})
	if err := errors.Join(err, errGate); err != nil {
		fmt.Println(err)
		return
	}
	api := signature.Handler(gate.Handler(ok))

	signer, _ := sigv4.NewSigner(sigv4.SignerConfig{Region: "eu-west-1", Credentials: func(context.Context) (sigv4.Credentials, error) {
		return sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", Secret: "secret"}, nil
	}})
	for _, path := range []string{"/Prod/julian/points", "/Prod/maria/points"} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		_ = signer.Sign(r)
		show(api, r)
	}
	show(api, httptest.NewRequest(http.MethodGet, "/Prod/julian/points", nil))
	// Output:
	// 200 ok
	//
	// 403 {"Message":"User: arn:aws:iam::123456789012:user/julian is not authorized to perform: execute-api:Invoke on resource: arn:aws:execute-api:eu-west-1:********9012:a1b2c3d4e5/Prod/GET/maria/points because no identity-based policy allows the execute-api:Invoke action"}
	// 403 {"message":"Missing Authentication Token"}
}

// A private API is a resource policy on the address of the client. The server is behind a load balancer in 10.0.0.0/8.
func ExampleGate_sourceAddress() {
	office := must(`{
		"Version": "2012-10-17",
		"Statement": [{
			"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "` + stage + `/*",
			"Condition": {"IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "2001:db8:1234::/48"]}}
		}]
	}`)
	source, err := clientip.New(clientip.Config{Header: "X-Forwarded-For", Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	gate, errGate := policy.NewGate(policy.GateConfig{
		StageARN: stage, Authorization: "NONE", Source: source,
		Resource: func() *policy.Policy { return office },
	})
	if err := errors.Join(err, errGate); err != nil {
		fmt.Println(err)
		return
	}
	for _, address := range []string{"203.0.113.7", "198.51.100.7", "2001:db8:1234::7", "203.0.113.7, 198.51.100.7"} {
		r := httptest.NewRequest(http.MethodGet, "/points", nil)
		r.RemoteAddr = "10.0.0.1:1234"
		r.Header.Set("X-Forwarded-For", address)
		fmt.Println(address, gate.Check(r) == nil)
	}
	// Output:
	// 203.0.113.7 true
	// 198.51.100.7 false
	// 2001:db8:1234::7 true
	// 203.0.113.7, 198.51.100.7 false
}

// A private API may also be a resource policy on the VPC endpoint, which the network in front of the server tells: here
// by a header that it sets on every request. AWS then has the address of the client in another key.
func ExampleGate_vpcEndpoint() {
	private := must(`{
		"Version": "2012-10-17",
		"Statement": [
			{"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "*"},
			{
				"Effect": "Deny", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "*",
				"Condition": {"StringNotEquals": {"aws:SourceVpce": "vpce-1a2b3c4d"}}
			}
		]
	}`)
	gate, err := policy.NewGate(policy.GateConfig{
		StageARN: stage, Authorization: "NONE",
		Resource: func() *policy.Policy { return private },
		Facts: func(r *http.Request, about *policy.Request) {
			if about.SourceVPCE = r.Header.Get("X-Vpc-Endpoint"); about.SourceVPCE != "" {
				about.Values = map[string]any{"aws:VpcSourceIp": about.SourceIP}
				about.SourceIP = netip.Addr{}
			}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, endpoint := range []string{"vpce-1a2b3c4d", "vpce-5e6f7a8b", ""} {
		r := httptest.NewRequest(http.MethodGet, "/points", nil)
		r.Header.Set("X-Vpc-Endpoint", endpoint)
		fmt.Printf("%q %v\n", endpoint, gate.Check(r) == nil)
	}
	// Output:
	// "vpce-1a2b3c4d" true
	// "vpce-5e6f7a8b" false
	// "" false
}

// An API with a Lambda authorizer and a resource policy: either may allow, and both may deny. The function passes its
// policy on instead of having it evaluated by package custom, which would refuse what only the resource policy allows.
func ExampleGate_lambdaAuthorizer() {
	open := must(`{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "` + stage + `/GET/public/*"}
	]}`)
	authorizer, err := custom.New(custom.Config{Authorize: func(_ context.Context, e custom.Event) (custom.Result, error) {
		own := must(`{"Version": "2012-10-17", "Statement": {
			"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "` + stage + `/GET/users/` + e.AuthorizationToken + `"
		}}`)
		return custom.Result{PrincipalID: e.AuthorizationToken, Authorized: true, Context: map[string]any{"policy": own}}, nil
	}})
	gate, errGate := policy.NewGate(policy.GateConfig{
		StageARN: stage, Authorization: "CUSTOM",
		Resource: func() *policy.Policy { return open },
		Policies: func(r *http.Request) (policy.Set, error) {
			id, _ := custom.FromContext(r.Context())
			own, _ := id.Context["policy"].(*policy.Policy)
			return policy.Set{Identity: []*policy.Policy{own}}, nil
		},
	})
	if err := errors.Join(err, errGate); err != nil {
		fmt.Println(err)
		return
	}
	for _, path := range []string{"/users/julian", "/public/points", "/users/maria"} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Authorization", "julian")
		show(authorizer.Handler(gate.Handler(ok)), r)
	}
	// Output:
	// 200 ok
	//
	// 200 ok
	//
	// 403 {"Message":"User is not authorized to access this resource because no identity-based policy allows the execute-api:Invoke action"}
}

// The answer to a refusal names the kind of policy that has refused. For the rest, ErrorHandler asks Explain: its request
// is the one that the authenticator has passed on. What it says is for the log.
func ExampleGate_Explain() {
	const julian = "arn:aws:iam::123456789012:user/julian"
	own, err := policy.Parse([]byte(`{
		"Version": "2012-10-17",
		"Statement": {
			"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "`+stage+`/GET/*",
			"Condition": {"StringEquals": {"loyalty:Tier": "gold"}}
		}
	}`), policy.Key{Name: "loyalty:Tier", Type: "String"})
	signature, errSignature := sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys: sigv4.Keyring{"AKIDEXAMPLE": {Secret: "secret", Principal: julian}}.Key, Regions: []string{"eu-west-1"},
	})
	var gate *policy.Gate
	gate, errGate := policy.NewGate(policy.GateConfig{
		StageARN: stage, Mount: "/Prod", Authorization: "AWS_IAM",
		Principal: sigv4.ID,
		Policies:  func(*http.Request) (policy.Set, error) { return policy.Set{Identity: []*policy.Policy{own}}, nil },
		Facts: func(_ *http.Request, about *policy.Request) { // a program looks it up by about.Principal
			about.Values = map[string]any{"loyalty:Tier": "silver"}
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, refused error) {
			why, _ := gate.Explain(r) // with an error there are no steps, and refused says it all
			fmt.Println(why)
			refused.(http.Handler).ServeHTTP(w, r)
		},
	})
	if err := errors.Join(err, errSignature, errGate); err != nil {
		fmt.Println(err)
		return
	}
	signer, _ := sigv4.NewSigner(sigv4.SignerConfig{Region: "eu-west-1", Credentials: func(context.Context) (sigv4.Credentials, error) {
		return sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", Secret: "secret"}, nil
	}})
	r := httptest.NewRequest(http.MethodGet, "/Prod/points", nil)
	_ = signer.Sign(r)
	signature.Handler(gate.Handler(ok)).ServeHTTP(httptest.NewRecorder(), r)
	// Output:
	// NoMatch: no statement of the identity-based policy allows it
	// Identity[0].Statement[0] Allow does not apply
	//   yes Action: execute-api:Invoke, want [execute-api:Invoke]
	//   yes Resource: arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/points, want [arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/*]
	//   no  StringEquals loyalty:Tier: silver, want [gold]
}

// The mistake here is a resource policy that allows the office. Under AWS_IAM the caller's own policy is enough, so the
// API is open to the caller from everywhere. A policy that denies all other addresses closes it.
func ExampleGateConfig_incorrectAllowByAddress() {
	own := must(`{"Version": "2012-10-17", "Statement": {
		"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "` + stage + `/GET/*"
	}}`)
	allowsOffice := must(`{"Version": "2012-10-17", "Statement": {
		"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/Prod/*",
		"Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}
	}}`)
	deniesOthers := must(`{"Version": "2012-10-17", "Statement": {
		"Effect": "Deny", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/Prod/*",
		"Condition": {"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}
	}}`)
	for _, resource := range []*policy.Policy{allowsOffice, deniesOthers} {
		gate, err := policy.NewGate(policy.GateConfig{
			StageARN: stage, Authorization: "AWS_IAM",
			Principal: func(*http.Request) (string, bool) { return "arn:aws:iam::123456789012:user/julian", true },
			Policies:  func(*http.Request) (policy.Set, error) { return policy.Set{Identity: []*policy.Policy{own}}, nil },
			Resource:  func() *policy.Policy { return resource },
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, address := range []string{"203.0.113.7:1234", "198.51.100.7:1234"} {
			r := httptest.NewRequest(http.MethodGet, "/points", nil)
			r.RemoteAddr = address
			fmt.Println(address, gate.Check(r) == nil)
		}
	}
	// Output:
	// 203.0.113.7:1234 true
	// 198.51.100.7:1234 true
	// 203.0.113.7:1234 true
	// 198.51.100.7:1234 false
}

// The mistake here is the order: the gate asks who calls before anybody has verified it.
func ExampleGate_incorrect() {
	signature, _ := sigv4.NewVerifier(sigv4.VerifierConfig{Keys: sigv4.Keyring{}.Key, Regions: []string{"eu-west-1"}})
	gate, _ := policy.NewGate(policy.GateConfig{
		StageARN: stage, Authorization: "AWS_IAM", Principal: sigv4.ID,
		Policies: func(*http.Request) (policy.Set, error) { return policy.Set{}, nil },
	})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	w := httptest.NewRecorder()
	gate.Handler(signature.Handler(ok)).ServeHTTP(w, r)
	fmt.Println(w.Code, gate.Check(r))
	// Output: 403 policy: request has no principal ("arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/" for anonymous)
}

// Support people see each statement and condition with the value that it saw.
func ExamplePolicy_Explain() {
	p := must(`{
		"Version": "2012-10-17",
		"Statement": [
			{
				"Sid": "Office", "Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "` + stage + `/GET/*",
				"Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}, "Null": {"aws:PrincipalTag/team": "false"}}
			},
			{"Effect": "Deny", "Action": "execute-api:*", "Resource": "` + stage + `/*/admin"}
		]
	}`)
	fmt.Println(p.Explain(&policy.Request{
		Resource: stage + "/GET/points", SourceIP: netip.MustParseAddr("198.51.100.7"), PrincipalTags: map[string]string{"team": "loyalty"},
	}))
	// Output:
	// NoMatch
	// Statement[0] Allow Office does not apply
	//   yes Action: execute-api:Invoke, want [execute-api:Invoke]
	//   yes Resource: arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/points, want [arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/*]
	//   no  IpAddress aws:SourceIp: 198.51.100.7, want [203.0.113.0/24]
	//   yes Null aws:PrincipalTag/team: loyalty, want [false]
	// Statement[1] Deny does not apply
	//   yes Action: execute-api:Invoke, want [execute-api:*]
	//   no  Resource: arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/points, want [arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/*/admin]
}

// Lint finds what is valid and hardly meant.
func ExamplePolicy_Lint() {
	p := must(`{
		"Statement": [
			{"Effect": "Allow", "Action": ["execute-api:*", "execute-api:Invoke"], "Resource": "` + stage + `/GET/*"},
			{"Effect": "Allow", "NotAction": "execute-api:ManageConnections", "Resource": "*"},
			{"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "` + stage + `/GET/points"}
		]
	}`)
	for _, w := range p.Lint() {
		fmt.Println(w.Path, w.Code)
	}
	// Output:
	// Version MISSING_VERSION
	// Statement[0].Action[1] REDUNDANT_ACTION
	// Statement[1].NotAction allow_with_not_action
	// Statement[2] REDUNDANT_STATEMENT
}
