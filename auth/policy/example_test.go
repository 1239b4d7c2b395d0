package policy_test

import (
	"fmt"

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
	fmt.Println(p.Evaluate(policy.Invoke, stage+"/GET/loyalty/1"))
	fmt.Println(p.Evaluate(policy.Invoke, stage+"/POST/loyalty/1"))
	fmt.Println(p.Evaluate(policy.Invoke, stage+"/GET/admin/keys"))
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
	fmt.Println(p.Evaluate(policy.Invoke, stage+"/GET/"), p.Evaluate(policy.Invoke, stage+"/DELETE/"), err)
	// Output: Allow NoMatch <nil>
}

// The package does not evaluate conditions. To ignore one could allow too much, so it refuses the whole document.
func ExampleParse() {
	_, err := policy.Parse([]byte(`{
		"Version": "2012-10-17",
		"Statement": {
			"Effect": "Allow", "Action": "*", "Resource": "*",
			"Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}
		}
	}`))
	fmt.Println(err)
	// Output: policy: invalid policy document: Statement.Condition.IpAddress: "aws:SourceIp" is a condition, and conditions are not evaluated
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
	fmt.Println(p.Evaluate(policy.Invoke, stage+"/GET/loyalty/e"))
	fmt.Println(p.Evaluate(policy.Invoke, stage+"/GET/loyalty/é"))
	fmt.Println(p.Evaluate(policy.Invoke, stage+"/GET/loyalty/12"))
	// Output:
	// Deny
	// Deny
	// Allow
}

// The mistake here is to allow only the method of the current request. An authorizer's result is kept for a while and
// serves requests for other methods as well, so its policy must allow those too.
func Example_incorrect() {
	asked := stage + "/GET/loyalty/1"
	p, _ := policy.New(policy.Document{
		Version:   "2012-10-17",
		Statement: []policy.Statement{{Effect: "Allow", Action: []string{policy.Invoke}, Resource: []string{asked}}},
	})
	fmt.Println(p.Evaluate(policy.Invoke, asked))
	fmt.Println(p.Evaluate(policy.Invoke, stage+"/GET/loyalty/2"))
	// Output:
	// Allow
	// NoMatch
}
