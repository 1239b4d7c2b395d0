package custom

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tallygate/tallygate/auth/policy"
)

// Authorizer lets a function decide about requests. Its zero value and nil refuse every request with
// [ErrNotConfigured]. It is safe for concurrent use.
type Authorizer struct {
	authorize  func(context.Context, Event) (Result, error)
	byRequest  bool
	identity   []func(*http.Request) (string, bool)
	expression *regexp.Regexp
	methods    methods
	facts      func(*http.Request, *policy.Request)
	timeout    time.Duration
	challenge  string
	refuse     func(http.ResponseWriter, *http.Request, error)
	despite    func(*http.Request, error) bool
	observe    func(context.Context, Decision)
	requestID  func(*http.Request) string
	cache      cache
}

// New returns an authorizer. The error is every mistake in cfg, joined.
func New(cfg Config) (*Authorizer, error) {
	expression, err := whole(cfg.ValidationExpression)
	if err := errors.Join(append(cfg.mistakes(), err)...); err != nil {
		return nil, err
	}
	a := &Authorizer{
		authorize:  cfg.Authorize,
		byRequest:  cfg.ByRequest,
		identity:   slices.Clone(cfg.IdentitySources),
		expression: expression,
		methods:    methods{cfg.StageARN, cfg.Mount},
		facts:      cfg.Facts,
		timeout:    or(cfg.Timeout, defaultTimeout),
		challenge:  or(cfg.Challenge, "Bearer"),
		refuse:     cfg.ErrorHandler,
		despite:    cfg.AllowDespite,
		observe:    cfg.Observe,
		requestID:  cfg.RequestID,
		cache:      newCache(or(cfg.TTL, defaultTTL), cfg.RefusalTTL, or(cfg.MaxResults, defaultResults)),
	}
	if !a.byRequest {
		a.identity = []func(*http.Request) (string, bool){Header(or(cfg.TokenHeader, "Authorization"))}
	}
	return a, nil
}

// Present reports whether r carries a credential for this authorizer, valid or not: a value of any identity source. An
// authorizer without identity sources decides about every request, so Present is always true.
//
// For TOKEN, Present is false if the header holds a SigV4 credential or a value that ValidationExpression does not
// match: that credential belongs to another authenticator. It is true if the header is empty or occurs twice.
func (a *Authorizer) Present(r *http.Request) bool {
	if a == nil || len(a.identity) == 0 {
		return true
	}
	return slices.ContainsFunc(a.identity, func(source func(*http.Request) (string, bool)) bool {
		value, ok := source(r)
		return ok && (a.byRequest || value == "" || a.own(value))
	})
}

// own reports whether the value of a header has the form that a TOKEN authorizer decides about.
func (a *Authorizer) own(value string) bool {
	const sigv4 = "AWS4-"
	signed := len(value) >= len(sigv4) && strings.EqualFold(value[:len(sigv4)], sigv4)
	return !signed && (len(value) > maxIdentity || a.expression.MatchString(value))
}

// Verify decides about r, by a result that is kept or by a call of the function, and tells [Config.Observe]. The error
// is a [*Error]. Verify does not read the body.
func (a *Authorizer) Verify(r *http.Request) (Identity, error) {
	id, err := a.verify(r)
	if err != nil {
		return Identity{}, err
	}
	return *id, nil
}

// verify is Verify without a copy of the identity, which all requests that one result serves share.
func (a *Authorizer) verify(r *http.Request) (*Identity, error) {
	id, e := a.prove(r)
	if e != nil {
		a.name(e, nil, r)
		a.tell(nil, r, nil, e, false)
		return nil, e
	}
	a.tell(nil, r, id, nil, false)
	return id, nil
}

// prove is verify without Observe. The identity is nil if r is refused, and the error is nil if it is not. a may be
// nil.
func (a *Authorizer) prove(r *http.Request) (*Identity, *Error) {
	if a == nil || a.authorize == nil {
		return nil, &Error{Err: ErrNotConfigured}
	}
	v, err := a.decide(r)
	if err != nil {
		e := &Error{Err: err, Challenge: a.challenge}
		if v != nil {
			e.PrincipalID = v.identity.PrincipalID
		}
		return nil, e
	}
	return &v.identity, nil
}

// decide returns the result about the caller of r, and an error unless it allows the method of r. The result is nil if
// there is none.
func (a *Authorizer) decide(r *http.Request) (*checkedResult, error) {
	values, err := a.values(r)
	if err != nil {
		return nil, err
	}
	arn, err := a.methods.arn(r)
	if err != nil {
		return nil, err
	}
	v, err := a.cache.get(r.Context(), keyOf(values), func(done func(*checkedResult, error)) {
		a.call(r, arn, values, done)
	})
	if err != nil {
		return nil, err
	}
	asked := a.about(r, v)
	err = v.allows(asked, arn)
	if get, head := a.methods.asGET(arn); head && err == nil {
		err = v.allows(asked, get) // http.ServeMux runs handlers of GET for HEAD
	}
	return v, err
}
