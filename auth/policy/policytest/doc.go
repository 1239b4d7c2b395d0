// Package policytest asserts in tests what policies allow. It imports no test library.
//
//	func TestReadersOnlyRead(t *testing.T) {
//		p, err := policy.Parse(document)
//		if err != nil {
//			t.Fatal(err)
//		}
//		policytest.Decides(t, p, policy.Allow, &policy.Request{Resource: stage + "/GET/loyalty/1"})
//		policytest.Decides(t, p, policy.NoMatch,
//			&policy.Request{Resource: stage + "/POST/loyalty/1"}, &policy.Request{Resource: stage + "/GET/admin"})
//	}
//
// A failure tells each statement and condition with the value that it saw, so that the mistake is found without a
// debugger:
//
//	Deny for arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/loyalty/1, want Allow:
//	Deny
//	Statement[0] Deny applies
//	  yes Action: execute-api:Invoke, want [*]
//	  yes Resource: arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/loyalty/1, want [*]
//	  yes NotIpAddress aws:SourceIp: nothing, want [203.0.113.0/24]
//
// The functions are for any number of goroutines, as far as T is.
package policytest
