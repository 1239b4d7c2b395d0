package custom

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/tallygate/tallygate/auth/policy"
)

// Event is what the function decides by: the input of a Lambda authorizer.
type Event struct {
	// MethodARN is the ARN of the method that this request is for. It is empty without [Config.StageARN]. If the result
	// is kept, it serves requests for other methods as well.
	MethodARN string

	// AuthorizationToken is the whole value of the header, for a TOKEN authorizer. If the client sends "Bearer ", that
	// is part of it.
	AuthorizationToken string

	// IdentitySource holds the values of the identity sources in their order, for a REQUEST authorizer.
	IdentitySource []string

	// Request is a copy of the request, without its body, for a REQUEST authorizer. Otherwise it is nil.
	Request *http.Request
}

// Result is what the function decided. It either has a Policy or sets Authorized. The zero value authorizes nothing.
type Result struct {
	// PrincipalID names the caller. It is required with a Policy. Without one it may be empty, but [ID] finds nothing
	// then. It must differ between callers that are counted apart.
	PrincipalID string

	// Policy says which methods the caller may invoke. If it is nil, Authorized decides.
	Policy *policy.Policy

	// Authorized lets the caller invoke every method. It must not be set with a Policy. It is isAuthorized of HTTP
	// APIs.
	Authorized bool

	// Context is what the handler gets in [Identity]. With a Policy, its values must be strings, numbers and booleans.
	// Without one, they may be anything that does not change any more. The map is copied.
	Context map[string]any

	// UsageIdentifierKey is the value of the caller's API key, for API Gateway's key source AUTHORIZER.
	UsageIdentifierKey string
}

// call runs the function in a goroutine of its own, and calls done with its result. If the timeout passes first, it
// calls done with an error. Both may happen: done must ignore every call but the first.
func (a *Authorizer) call(r *http.Request, arn string, values []string, done func(*checkedResult, error)) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), a.timeout)
	late := fmt.Errorf("%w: no answer within %v", ErrFailed, a.timeout)
	stop := context.AfterFunc(ctx, func() { done(nil, late) })
	e := Event{MethodARN: arn}
	if a.byRequest {
		e.IdentitySource = values
		e.Request = r.Clone(ctx)
		e.Request.Body = http.NoBody
	} else {
		e.AuthorizationToken = values[0]
	}
	go func() {
		var v *checkedResult
		err := fmt.Errorf("%w: the function ended its goroutine", ErrFailed) // if no return is reached
		defer func() {
			stop()
			cancel()
			done(v, err)
		}()
		v, err = a.run(ctx, e)
		if ctx.Err() != nil { // without its context a function cannot ask its store, so what it says means nothing
			v, err = nil, late
		}
	}()
}

// run calls the function. A panic becomes an error, so that it does not end the program; net/http does the same.
func (a *Authorizer) run(ctx context.Context, e Event) (v *checkedResult, err error) {
	defer func() {
		if p := recover(); p != nil {
			v, err = nil, fmt.Errorf("%w: panic: %v\n%s", ErrFailed, p, debug.Stack())
		}
	}()
	r, err := a.authorize(ctx, e)
	if errors.Is(err, context.Canceled) {
		err = fmt.Errorf("%w: %w", errOwnCancel, err)
	}
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
