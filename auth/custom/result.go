package custom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime/debug"

	"github.com/tallygate/tallygate/auth/policy"
)

// Event is what a function decides by: the input of a Lambda authorizer.
type Event struct {
	// Type is that of the authorizer.
	Type Type

	// MethodARN names the method asked for; empty without [Config.StageARN]. A result that is kept serves others too.
	MethodARN string

	// AuthorizationToken is the whole value of the header, for TOKEN: "Bearer " is part of it where the client sends that.
	AuthorizationToken string

	// IdentitySource are the values of the identity sources in their order, for REQUEST.
	IdentitySource []string

	// Request is a copy of the request, without its body, for REQUEST.
	Request *http.Request
}

// Result is what a function decided: a policy, or a plain yes or no. The zero value is a no.
type Result struct {
	// PrincipalID names the caller. It is required with a Policy.
	PrincipalID string

	// Policy says which methods the caller may invoke. Nil leaves it to Authorized.
	Policy *policy.Policy

	// Authorized without a Policy lets the caller invoke every method: the isAuthorized of HTTP APIs.
	Authorized bool

	// Context is passed to the handler. With a Policy its values are strings, numbers and booleans; without, any, which
	// must not change any more. The map is copied.
	Context map[string]any

	// UsageIdentifierKey is the value of the caller's API key, for API Gateway's key source AUTHORIZER.
	UsageIdentifierKey string
}

// verdict is a result that has been checked. It does not change.
type verdict struct {
	identity   Identity
	policy     *policy.Policy
	authorized bool
}

// allows returns nil if the method of the given ARN may be invoked.
func (v *verdict) allows(arn string) error {
	decision := policy.NoMatch
	switch {
	case v.policy != nil:
		decision = v.policy.Evaluate(policy.Invoke, arn)
	case v.authorized:
		decision = policy.Allow
	}
	switch decision {
	case policy.Allow:
		return nil
	case policy.Deny:
		return ErrExplicitDeny
	default:
		return ErrDenied
	}
}

// check returns the verdict of a result that is valid.
func (a *Authorizer) check(r Result) (*verdict, error) {
	if r.Policy != nil {
		switch {
		case r.Authorized:
			return nil, fmt.Errorf("%w: both Policy and Authorized", ErrInvalidResult)
		case r.PrincipalID == "":
			return nil, fmt.Errorf("%w: Policy without PrincipalID", ErrInvalidResult)
		case a.methods.stage == "":
			return nil, fmt.Errorf("%w: Policy where Config has no StageARN", ErrInvalidResult)
		}
		for name, value := range r.Context {
			if !scalar(value) {
				return nil, fmt.Errorf("%w: Context[%q] is a %T", ErrInvalidResult, name, value)
			}
		}
	}
	id := Identity{PrincipalID: r.PrincipalID, Context: maps.Clone(r.Context), UsageIdentifierKey: r.UsageIdentifierKey}
	return &verdict{identity: id, policy: r.Policy, authorized: r.Authorized}, nil
}

func scalar(v any) bool {
	switch v.(type) {
	case string, bool, json.Number, float32, float64,
		int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return true
	}
	return false
}

// call has the function decide in a goroutine of its own, and reports once: its verdict, or that there is none in time.
func (a *Authorizer) call(r *http.Request, arn string, values []string, done func(*verdict, error)) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), a.timeout)
	late := fmt.Errorf("%w: no answer within %v", ErrFailed, a.timeout)
	stop := context.AfterFunc(ctx, func() { done(nil, late) })
	e := Event{Type: a.kind, MethodARN: arn}
	if a.kind == TOKEN {
		e.AuthorizationToken = values[0]
	} else {
		e.IdentitySource = values
		e.Request = r.Clone(ctx)
		e.Request.Body = http.NoBody
	}
	go func() {
		var v *verdict
		err := fmt.Errorf("%w: the function ended its goroutine", ErrFailed)
		defer func() {
			stop()
			cancel()
			done(v, err)
		}()
		v, err = a.run(ctx, e)
		if ctx.Err() != nil { // a function that could not ask anybody may say anything
			v, err = nil, late
		}
	}()
}

// run calls the function. Like net/http, it does not let a panic end the program.
func (a *Authorizer) run(ctx context.Context, e Event) (v *verdict, err error) {
	defer func() {
		if p := recover(); p != nil {
			v, err = nil, fmt.Errorf("%w: panic: %v\n%s", ErrFailed, p, debug.Stack())
		}
	}()
	r, err := a.authorize(ctx, e)
	switch {
	case err == nil:
		return a.check(r)
	case errors.Is(err, ErrUnauthorized):
		return nil, err
	case err.Error() == ErrUnauthorized.Error(): // how a Lambda function says it
		return nil, fmt.Errorf("%w: %w", ErrUnauthorized, err)
	}
	return nil, fmt.Errorf("%w: %w", ErrFailed, err)
}
