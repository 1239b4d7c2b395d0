package policytest

import "github.com/tallygate/tallygate/auth/policy"

// T is what Decides needs of a [testing.TB].
type T interface {
	Helper()
	Errorf(format string, args ...any)
}

// Decides marks the test as failed for each request about which p, a [*policy.Policy] or a [*policy.Set], does not make
// the decision that is wanted. It returns whether all decisions are as wanted. A request without a time is decided as
// of now. Without requests the test fails, since nothing is asserted.
//
// A single policy is evaluated alone. What it decides together with others, as the policy of an API does with those of
// the caller, is what the Set decides: &policy.Set{Identity: …, Resource: …}. What a gate decides about a request of
// net/http, with its Facts, is the error of its Check.
func Decides(t T, p interface {
	Evaluate(r *policy.Request) policy.Decision
	Explain(r *policy.Request) policy.Explanation
}, want policy.Decision, requests ...*policy.Request,
) bool {
	t.Helper()
	good := len(requests) > 0
	if !good {
		t.Errorf("policytest: no requests")
	}
	for _, r := range requests {
		if got := p.Evaluate(r); got != want {
			good = false
			t.Errorf("%v for %s, want %v:\n%v", got, r.Resource, want, p.Explain(r))
		}
	}
	return good
}
