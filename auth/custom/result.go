package custom

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/tallygate/tallygate/auth/policy"
)

// checkedResult is a Result that has been checked and copied. It never changes.
type checkedResult struct {
	identity   Identity
	policy     *policy.Policy
	authorized bool
}

// check returns the checked result of r, or an error if r is invalid.
func (a *Authorizer) check(r Result) (*checkedResult, error) {
	if r.Policy != nil {
		switch {
		case r.Authorized:
			return nil, fmt.Errorf("%w: both Policy and Authorized", errInvalidResult)
		case r.PrincipalID == "":
			return nil, fmt.Errorf("%w: Policy without PrincipalID", errInvalidResult)
		case a.methods.stage == "":
			return nil, fmt.Errorf("%w: Policy, but Config has no StageARN", errInvalidResult)
		case a.facts == nil && slices.ContainsFunc(r.Policy.Keys(), unknown):
			return nil, fmt.Errorf("%w: Policy asks for %q, but Config has no Facts", errInvalidResult, r.Policy.Keys())
		}
		for name, value := range r.Context {
			if !scalar(value) {
				return nil, fmt.Errorf("%w: Context[%q] is a %T", errInvalidResult, name, value)
			}
		}
	}
	id := Identity{PrincipalID: r.PrincipalID, Context: maps.Clone(r.Context), UsageIdentifierKey: r.UsageIdentifierKey}
	return &checkedResult{identity: id, policy: r.Policy, authorized: r.Authorized}, nil
}

// scalar reports whether v is a string, a boolean or a number.
func scalar(v any) bool {
	switch v.(type) {
	case string, bool, json.Number, float32, float64,
		int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return true
	}
	return false
}

// about returns what the policy of a result is evaluated for, but for the method.
func (a *Authorizer) about(r *http.Request, v *checkedResult) policy.Request {
	asked := policy.Request{SecureTransport: r.TLS != nil, UserAgent: r.UserAgent()}
	if a.facts != nil && v.policy != nil {
		told := asked // a copy, so that asked need not be on the heap
		a.facts(r, &told)
		asked = told
	}
	asked.Action = policy.Invoke
	return asked
}

// unknown reports whether a condition key is one that every request does not have by itself.
func unknown(key string) bool {
	return !slices.Contains([]string{"aws:CurrentTime", "aws:EpochTime", "aws:SecureTransport", "aws:UserAgent"}, key)
}

// allows returns nil if the result allows the method with the given ARN.
func (v *checkedResult) allows(asked policy.Request, arn string) error {
	if v.policy == nil {
		if v.authorized {
			return nil
		}
		return errNotAuthorized
	}
	asked.Resource = arn
	switch v.policy.Evaluate(&asked) {
	case policy.Allow:
		return nil
	case policy.Deny:
		return errExplicitDeny
	default:
		return errNoStatement
	}
}
