package authorizer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"runtime/debug"
	"time"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/awslambda"
	"github.com/tallygate/tallygate/auth/policy"
)

// Authorizer is a Lambda authorizer of API Gateway and AppSync. Make it with [New] and pass it to lambda.Start. The
// zero value fails with [ErrNotConfigured], so it lets no caller in. It is safe for concurrent use.
type Authorizer struct {
	mode         auth.Mode
	tokenHeader  string
	requests     *awslambda.Function // makes the requests that the mode gets
	simple       bool
	uncached     bool
	principal    func(*http.Request) (string, bool)
	usageKey     func(*http.Request) (string, bool)
	statements   func(*http.Request, string) []policy.Statement
	context      func(*http.Request) map[string]any
	deniedFields func(*http.Request) []string
	ttl          func(*http.Request) (time.Duration, bool)
}

// New returns an authorizer, or an error with every mistake in the configuration.
func New(c Config) (*Authorizer, error) {
	if err := c.mistakes(); err != nil {
		return nil, err
	}
	requests, err := c.requests()
	if err != nil {
		return nil, err
	}
	return &Authorizer{
		mode: c.Mode, requests: requests,
		tokenHeader: textproto.CanonicalMIMEHeaderKey(cmp.Or(c.TokenHeader, "Authorization")),
		simple:      c.Simple, uncached: c.Uncached, principal: c.Principal, usageKey: c.UsageIdentifierKey,
		statements: c.Statements, context: c.Context, deniedFields: c.DeniedFields, ttl: c.TTL,
	}, nil
}

// Invoke decides about the caller of an event and returns the answer in the form that the sender of the event takes. It
// has the shape of aws-lambda-go's lambda.Handler. It keeps nothing of the payload.
//
// Lambda reports an error as a function error. API Gateway answers the text "Unauthorized" with 401; that error wraps
// custom.ErrUnauthorized and the mode's error. It answers any other error with 500 and does not cache it: the mode's
// error with a status of 500 or more, or with 408, 425 or 429, a panic, [ErrEvent], [ErrResult] and [ErrNotConfigured].
func (a *Authorizer) Invoke(ctx context.Context, payload []byte) (answer []byte, err error) {
	if a == nil || a.mode == nil {
		return nil, ErrNotConfigured
	}
	// In a goroutine of its own: if a mode calls runtime.Goexit, the goroutine of the caller must go on. It is that of
	// Lambda's runtime, and the invocation would hang until its deadline.
	ended := make(chan struct{})
	err = errUnfinished
	go func() {
		defer close(ended)
		answer, err = a.answer(ctx, payload)
	}()
	<-ended
	return answer, deliverable(err)
}

// answer is Invoke for an authorizer that is configured. With concurrent invocations in one process, a panic must not end
// the others. It is an error, and not a refusal: API Gateway keeps a refusal, and the next request may not meet the
// fault.
func (a *Authorizer) answer(ctx context.Context, payload []byte) (answer []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			answer, err = nil, fmt.Errorf("authorizer: panic: %.4096s\n%s", fmt.Sprint(p), debug.Stack())
		}
	}()
	e, err := readEvent(payload)
	if err != nil {
		return nil, err
	}
	// A fault of the client in the request has the status 400, and is refused like a mode's 400.
	r, err := a.request(ctx, payload, e)
	if err == nil {
		r, err = a.mode.Authenticate(r)
	}
	switch {
	case errors.Is(err, ErrEvent):
		return nil, err
	case err != nil:
		return a.refuse(e, err)
	}
	return a.allow(e, r)
}

// refuse returns the answer to a request that the mode has refused. A 401 is possible only for the events that are
// always answered with a policy document. A mode's 400, 413 or 431 becomes a 403, since an authorizer cannot answer
// with them. A status outside of 400 to 499 is no decision about the caller, so it must not become an answer that is
// cached. Nor are 408, 425 and 429: the caller may come again in a moment, but a Deny would be kept for 300 seconds.
// A 401 would not be kept, but clients throw a good token away on it. That leaves the function error.
func (a *Authorizer) refuse(e *event, cause error) ([]byte, error) {
	code := status(cause)
	switch {
	case code < http.StatusBadRequest || code >= http.StatusInternalServerError || passes(code):
		return nil, fmt.Errorf("authorizer: no decision: %w", cause)
	case code == http.StatusUnauthorized && (e.form == formToken || e.form == formRequest):
		return nil, &unauthorized{cause}
	}
	return a.deny(e, refused(cause))
}

// passes reports whether a status asks the client to come again, so that it says nothing about the caller (RFC 9110,
// 15.5.9; RFC 8470, 5.2; RFC 6585, 4).
func passes(code int) bool {
	return code == http.StatusRequestTimeout || code == http.StatusTooEarly || code == http.StatusTooManyRequests
}
