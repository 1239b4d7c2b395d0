package custom

import (
	"encoding/json"
	"fmt"
	"maps"

	"github.com/tallygate/tallygate/auth/policy"
)

// verdict is a Result that has been checked and copied. It never changes.
type verdict struct {
	identity   Identity
	policy     *policy.Policy
	authorized bool
}

// check returns the verdict of r, or an error if r is invalid.
func (a *Authorizer) check(r Result) (*verdict, error) {
	if r.Policy != nil {
		switch {
		case r.Authorized:
			return nil, fmt.Errorf("%w: both Policy and Authorized", errInvalidResult)
		case r.PrincipalID == "":
			return nil, fmt.Errorf("%w: Policy without PrincipalID", errInvalidResult)
		case a.methods.stage == "":
			return nil, fmt.Errorf("%w: Policy, but Config has no StageARN", errInvalidResult)
		}
		for name, value := range r.Context {
			if !scalar(value) {
				return nil, fmt.Errorf("%w: Context[%q] is a %T", errInvalidResult, name, value)
			}
		}
	}
	id := Identity{PrincipalID: r.PrincipalID, Context: maps.Clone(r.Context), UsageIdentifierKey: r.UsageIdentifierKey}
	return &verdict{identity: id, policy: r.Policy, authorized: r.Authorized}, nil
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

// allows returns nil if the verdict allows the method with the given ARN.
func (v *verdict) allows(arn string) error {
	if v.policy == nil {
		if v.authorized {
			return nil
		}
		return errNotAuthorized
	}
	switch v.policy.Evaluate(policy.Invoke, arn) {
	case policy.Allow:
		return nil
	case policy.Deny:
		return errExplicitDeny
	default:
		return errNoStatement
	}
}
