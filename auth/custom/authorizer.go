package custom

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Type says what a function decides by, in API Gateway's words.
type Type string

const (
	// TOKEN authorizers decide by one header.
	TOKEN Type = "TOKEN"
	// REQUEST authorizers decide by the request, and name the parts of it that identify the caller.
	REQUEST Type = "REQUEST"
)

// NoCache as a [Config.TTL] has the function called for every request.
const NoCache time.Duration = -1

// Bounds of API Gateway's authorizers, and their defaults. It does not keep refusals.
const (
	defaultTTL     = 300 * time.Second
	maxTTL         = 3600 * time.Second
	maxRefusalTTL  = 60 * time.Second
	defaultTimeout = 10 * time.Second // an HTTP API waits so long
	maxTimeout     = 30 * time.Second
	defaultResults = 10_000
)

// Config says what decides, by which parts of a request, and for how long. [New] copies it.
type Config struct {
	// Authorize decides. It is required. It may be called by several goroutines at once; its context ends at Timeout.
	Authorize func(context.Context, Event) (Result, error)

	// Type is TOKEN if it is empty.
	Type Type

	// TokenHeader is the header of a TOKEN authorizer; empty stands for Authorization.
	TokenHeader string

	// ValidationExpression is a regular expression in the syntax of package regexp that the whole value of the header
	// of a TOKEN authorizer must match; any other is refused without a call. Empty matches every value. Present and Verify
	// match up to 16 KiB, for each byte of which package regexp takes some 10 to 50 ns.
	ValidationExpression string

	// IdentitySources find what identifies the caller for a REQUEST authorizer; all of them must. A source returns
	// false where the request has nothing of the kind, and true with an empty value where what it has is of no use;
	// both refuse the request without a call. There may be none only if TTL is NoCache and RefusalTTL is zero.
	IdentitySources []func(*http.Request) (string, bool)

	// TTL is how long a result is kept: at most an hour; zero stands for API Gateway's default of 300 s, and NoCache
	// for no time at all.
	TTL time.Duration

	// RefusalTTL is how long a refusal is kept: at most a minute; zero stands for no time at all. A refusal is
	// [ErrUnauthorized], or a plain no where TTL is NoCache; no other error is one. It is kept under the same values as a
	// result, so that a caller who repeats one bad credential does not make one call a request. A credential that becomes
	// good meanwhile is refused until then.
	RefusalTTL time.Duration

	// MaxResults bounds how many results are kept; zero stands for 10 000. Beyond it a random one gives way. As many
	// refusals are kept, apart from the results, of some 200 bytes each.
	MaxResults int

	// Timeout is how long the function may take: at most 30 s; zero stands for 10 s.
	Timeout time.Duration

	// StageARN is the ARN of the API's stage, such as "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod". With
	// "/GET/loyalty/1" after it, it is the method ARN that policies are evaluated for. Without it, results with a
	// policy are invalid.
	StageARN string

	// Mount is what stands before the API's own paths in those of requests, such as "/Prod"; it is no part of method
	// ARNs. Requests outside of it are refused. Empty stands for nothing.
	Mount string

	// Challenge is the value of WWW-Authenticate in a 401; empty stands for "Bearer".
	Challenge string

	// ErrorHandler answers a refused request. Nil answers as API Gateway does, [Error.ServeHTTP].
	ErrorHandler func(http.ResponseWriter, *http.Request, error)

	// AllowDespite may let a request pass that was refused: always true is a dry run. Nil never does. It acts in Handler
	// alone, and the request passed on proves nothing: FromContext and ID say false on it.
	AllowDespite func(*http.Request, error) bool
}

// Authorizer has a function decide about requests. Its zero value refuses every request with [ErrNotConfigured]. It is
// safe for concurrent use.
type Authorizer struct {
	authorize  func(context.Context, Event) (Result, error)
	kind       Type
	identity   []func(*http.Request) (string, bool)
	expression *regexp.Regexp
	methods    methods
	timeout    time.Duration
	challenge  string
	refuse     func(http.ResponseWriter, *http.Request, error)
	despite    func(*http.Request, error) bool
	results    results
}

// New returns an authorizer, or every mistake in cfg, joined.
func New(cfg Config) (*Authorizer, error) {
	expression, err := whole(cfg.ValidationExpression)
	if err := errors.Join(append(cfg.mistakes(), err)...); err != nil {
		return nil, err
	}
	a := &Authorizer{
		authorize: cfg.Authorize, kind: cfg.Type, identity: slices.Clone(cfg.IdentitySources), expression: expression,
		methods: methods{cfg.StageARN, cfg.Mount}, timeout: cfg.Timeout, challenge: cfg.Challenge, refuse: cfg.ErrorHandler,
		despite: cfg.AllowDespite,
	}
	if a.kind != REQUEST {
		a.kind, a.identity = TOKEN, []func(*http.Request) (string, bool){Header(or(cfg.TokenHeader, "Authorization"))}
	}
	a.challenge, a.timeout = or(a.challenge, "Bearer"), or(a.timeout, defaultTimeout)
	a.results = newResults(or(cfg.TTL, defaultTTL), cfg.RefusalTTL, or(cfg.MaxResults, defaultResults))
	return a, nil
}

// whole returns an expression that matches what expr matches from end to end; everything if expr is empty.
func whole(expr string) (*regexp.Regexp, error) {
	if expr == "" {
		return regexp.Compile("")
	}
	if _, err := regexp.Compile(expr); err != nil { // alone, so that it cannot leave the group
		return nil, fmt.Errorf("custom: ValidationExpression: %w", err)
	}
	return regexp.Compile(`\A(?:` + expr + `)\z`)
}

// or returns value, or instead if value is zero.
func or[T comparable](value, instead T) T {
	if value == *new(T) {
		return instead
	}
	return value
}

func (c *Config) mistakes() (errs []error) {
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf("custom: "+format, args...))
		}
	}
	wrong(c.Authorize == nil, "Authorize is required")
	wrong(c.Type != "" && c.Type != TOKEN && c.Type != REQUEST, "Type %q is neither TOKEN nor REQUEST", c.Type)
	wrong(c.Type == REQUEST && (c.TokenHeader != "" || c.ValidationExpression != ""), "TokenHeader and ValidationExpression are for TOKEN")
	wrong(c.Type != REQUEST && c.IdentitySources != nil, "IdentitySources are for REQUEST: set Type")
	keeps := c.TTL != NoCache || c.RefusalTTL != 0
	wrong(c.Type == REQUEST && len(c.IdentitySources) == 0 && keeps, "IdentitySources are required where results are kept: set them, or TTL to NoCache and RefusalTTL to zero")
	wrong(slices.ContainsFunc(c.IdentitySources, func(f func(*http.Request) (string, bool)) bool { return f == nil }), "nil in IdentitySources")
	wrong(c.TTL > maxTTL || c.TTL < 0 && c.TTL != NoCache, "TTL %v is outside of 0 to %v", c.TTL, maxTTL)
	wrong(c.RefusalTTL < 0 || c.RefusalTTL > maxRefusalTTL, "RefusalTTL %v is outside of 0 to %v", c.RefusalTTL, maxRefusalTTL)
	wrong(c.MaxResults < 0, "MaxResults %d is negative", c.MaxResults)
	wrong(c.Timeout < 0 || c.Timeout > maxTimeout, "Timeout %v is outside of 0 to %v", c.Timeout, maxTimeout)
	wrong(c.StageARN != "" && !stageARN.MatchString(c.StageARN), "StageARN %q is not that of a stage, like arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod", c.StageARN)
	wrong(c.Mount != "" && (!plain(c.Mount) || strings.HasSuffix(c.Mount, "/")), "Mount %q is not a path like /Prod", c.Mount)
	return errs
}

// Present reports whether r carries any of what identifies a caller, good or bad. An authorizer without identity
// sources decides about every request, so for it every request carries it. For TOKEN, a header whose value is a SigV4
// credential, or is not matched by the ValidationExpression, is another's; one that is empty or occurs twice is not.
func (a *Authorizer) Present(r *http.Request) bool {
	if a == nil || len(a.identity) == 0 {
		return true
	}
	return slices.ContainsFunc(a.identity, func(source func(*http.Request) (string, bool)) bool {
		value, ok := source(r)
		return ok && (a.kind != TOKEN || value == "" || a.own(value))
	})
}

// own reports whether a header's value is of the form that a TOKEN authorizer decides about.
func (a *Authorizer) own(value string) bool {
	const sigv4 = "AWS4-"
	signed := len(value) >= len(sigv4) && strings.EqualFold(value[:len(sigv4)], sigv4)
	return !signed && (len(value) > maxIdentity || a.expression.MatchString(value))
}

// Verify has the function decide about r, or a result of it that is kept. The error is a [*Error]; its doc says by
// which causes. Verify does not read the body.
func (a *Authorizer) Verify(r *http.Request) (*Identity, error) {
	if a == nil || a.authorize == nil {
		return nil, &Error{Err: ErrNotConfigured}
	}
	v, err := a.verdict(r)
	if err != nil {
		e := &Error{Err: err, Challenge: a.challenge}
		if v != nil {
			e.PrincipalID = v.identity.PrincipalID
		}
		return nil, e
	}
	return &v.identity, nil
}

// Authenticate verifies r and returns it with the identity in its context, for [FromContext], [ID] and
// [UsageIdentifierKey]. The request is nil if the error is not: a caller who goes on without looking at the error panics
// and serves nothing.
func (a *Authorizer) Authenticate(r *http.Request) (*http.Request, error) {
	id, err := a.Verify(r)
	if err != nil {
		return nil, err
	}
	return r.WithContext(NewContext(r.Context(), id)), nil
}

// Anonymous returns r without a proof of this package: [FromContext] and [ID] say false on it.
func (a *Authorizer) Anonymous(r *http.Request) *http.Request {
	if _, proven := FromContext(r.Context()); !proven {
		return r
	}
	return r.WithContext(NewContext(r.Context(), nil))
}

// Handler returns a handler that calls next for the requests that are allowed, or that [Config.AllowDespite] lets pass,
// and refuses the others.
func (a *Authorizer) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		passed, err := a.Authenticate(r)
		if err != nil {
			if a == nil || a.despite == nil || !a.despite(r, err) {
				a.answer(w, r, err)
				return
			}
			passed = a.Anonymous(r)
		}
		next.ServeHTTP(w, passed)
		r.Pattern = passed.Pattern // a mux inside set it on the copy; outer layers read it from r
	})
}

// answer refuses r.
func (a *Authorizer) answer(w http.ResponseWriter, r *http.Request, err error) {
	e := err.(*Error) // Authenticate returns no other kind
	e.SetHeader(w.Header())
	if a != nil && a.refuse != nil {
		a.refuse(w, r, e)
		return
	}
	e.ServeHTTP(w, r)
}

// verdict returns what was decided about the identity of r, and an error unless it allows the method of r.
func (a *Authorizer) verdict(r *http.Request) (*verdict, error) {
	values, err := a.values(r)
	if err != nil {
		return nil, err
	}
	arn, err := a.methods.arn(r)
	if err != nil {
		return nil, err
	}
	v, err := a.results.get(r.Context(), keyOf(values), func(done func(*verdict, error)) {
		a.call(r, arn, values, done)
	})
	if err != nil {
		return nil, err
	}
	err = v.allows(arn)
	if get, head := a.methods.asGET(arn); head && err == nil {
		err = v.allows(get) // http.ServeMux runs handlers of GET for HEAD
	}
	return v, err
}
