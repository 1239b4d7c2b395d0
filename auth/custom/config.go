package custom

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tallygate/tallygate/auth/policy"
)

// Defaults and bounds. Those of the TTL and the timeout are API Gateway's, which does not keep refusals at all.
const (
	defaultTTL     = 300 * time.Second
	maxTTL         = 3600 * time.Second
	maxRefusalTTL  = 60 * time.Second
	defaultTimeout = 10 * time.Second // as long as an HTTP API waits
	maxTimeout     = 30 * time.Second
	defaultResults = 10_000
)

// Config says which function decides, by which parts of a request, and how long its result is kept. [New] copies it.
type Config struct {
	// Authorize is the function that decides. It is required. Several goroutines may call it at once. Its context ends
	// after Timeout.
	Authorize func(context.Context, Event) (Result, error)

	// ByRequest makes an authorizer of API Gateway's type REQUEST, which decides by the request. False makes one of the
	// type TOKEN, which decides by the value of one header.
	ByRequest bool

	// TokenHeader is the header of a TOKEN authorizer. Empty means Authorization.
	TokenHeader string

	// ValidationExpression is a regular expression in the syntax of package regexp, for a TOKEN authorizer. It must
	// match the whole value of the header; other values are refused without a call. Empty matches every value. Present
	// and Verify match values of up to 16 KiB, and package regexp takes some 10 to 50 ns for each byte.
	ValidationExpression string

	// IdentitySources find the values that identify the caller, for a REQUEST authorizer. A source returns false if the
	// request has no such value, and true with an empty value if the request has one that cannot be used. Either way
	// the request is refused without a call, so every source must find a value. The list may be empty only if nothing
	// is kept, that is if TTL is negative and RefusalTTL is zero.
	IdentitySources []func(*http.Request) (string, bool)

	// TTL is how long a result is kept, at most one hour. Zero means API Gateway's default of 300 s. Negative means
	// that results are not kept, and the function is called for every request.
	TTL time.Duration

	// RefusalTTL is how long a refusal is kept, at most one minute. Zero means that refusals are not kept. Only two
	// things are refusals: the error [ErrUnauthorized], and, if TTL is negative, a result that authorizes nothing. A
	// refusal is kept under the same values as a result, so that a caller who repeats one bad credential does not cause
	// one call a request. A credential that becomes valid in the meantime is refused until RefusalTTL has passed.
	RefusalTTL time.Duration

	// MaxResults is how many results are kept at most. Zero means 10 000. Beyond that, each new result takes the place
	// of an expired or a random one. As many refusals, of some 200 bytes each, are kept apart from the results.
	MaxResults int

	// Timeout is how long the function may take, at most 30 s. Zero means 10 s.
	Timeout time.Duration

	// StageARN is the ARN of the API's stage, such as "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod".
	// Policies are evaluated for method ARNs, which are made of it by adding method and path, such as "/GET/loyalty/1".
	// An API that is not in AWS may have any name of this form, such as
	// "arn:aws:execute-api:local:000000000000:loyalty/v1", as long as the policies use it too. Without StageARN, a
	// result with a policy is invalid.
	StageARN string

	// Facts adds to the [policy.Request] that a result's policy is evaluated for what its conditions and variables ask
	// for: the client's address, the caller's tags and so on. It is called for each request that a policy decides about.
	// The keys aws:CurrentTime, aws:EpochTime, aws:SecureTransport and aws:UserAgent are set already and may be changed,
	// apart from the action and the resource. Take the address from package clientip, not from a header. The
	// policy.Request must not be kept. Nil means that a result whose policy asks for other keys is invalid: without
	// their values a denial would not apply.
	Facts func(*http.Request, *policy.Request)

	// Mount is the prefix of request paths that is not part of the API's own paths, such as "/Prod". It is left out of
	// method ARNs: with it, "/Prod/loyalty/1" is the path "/loyalty/1". A request whose path is neither the mount nor
	// below it is refused. Empty means no prefix. If http.StripPrefix has removed the prefix before, leave Mount empty.
	Mount string

	// Challenge is the value of WWW-Authenticate in an answer with status 401. Empty means "Bearer".
	Challenge string

	// ErrorHandler answers a refused request. The error is a [*Error], and WWW-Authenticate is already set. Nil means
	// [Error.ServeHTTP], which answers as API Gateway does.
	ErrorHandler func(http.ResponseWriter, *http.Request, error)

	// AllowDespite may let a refused request pass, by returning true. Always true makes a dry run. Nil means never.
	// Only Handler calls it. The request passed on carries no proof: FromContext and ID return false for it.
	AllowDespite func(*http.Request, error) bool

	// Observe is told each decision, once, before the request goes on or is answered. It runs on the request's
	// goroutine and must not block; a panic of it is not caught. Nil tells nobody.
	Observe func(context.Context, Decision)

	// RequestID returns the id of a request, if the application names its requests. It is the X-Amzn-RequestId of a
	// refusal and the RequestID of a [Decision]. If it returns "", a refusal gets a random id. Do not return a header
	// that any client can set: it would choose what stands in your logs. Nil means that each refusal gets a random id.
	// If an outer layer has set X-Amzn-RequestId in the answer before [Authorizer.Handler], that is the id in any case.
	RequestID func(*http.Request) string
}

// mistakes returns everything that is wrong with c, except the expression.
func (c *Config) mistakes() (errs []error) {
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf("custom: "+format, args...))
		}
	}
	keeps := c.TTL >= 0 || c.RefusalTTL != 0
	isNil := func(f func(*http.Request) (string, bool)) bool { return f == nil }
	wrong(c.Authorize == nil, "Authorize is required")
	wrong(c.ByRequest && (c.TokenHeader != "" || c.ValidationExpression != ""),
		"TokenHeader and ValidationExpression are for TOKEN authorizers, and ByRequest is set")
	wrong(!c.ByRequest && c.IdentitySources != nil, "IdentitySources are for REQUEST authorizers: set ByRequest")
	wrong(c.ByRequest && len(c.IdentitySources) == 0 && keeps,
		"IdentitySources are required where results are kept: set them, or a negative TTL and no RefusalTTL")
	wrong(slices.ContainsFunc(c.IdentitySources, isNil), "nil in IdentitySources")
	wrong(c.TTL > maxTTL, "TTL %v is above %v", c.TTL, maxTTL)
	wrong(c.RefusalTTL < 0 || c.RefusalTTL > maxRefusalTTL,
		"RefusalTTL %v is not between 0 and %v", c.RefusalTTL, maxRefusalTTL)
	wrong(c.MaxResults < 0, "MaxResults %d is negative", c.MaxResults)
	wrong(c.Timeout < 0 || c.Timeout > maxTimeout, "Timeout %v is not between 0 and %v", c.Timeout, maxTimeout)
	wrong(c.StageARN != "" && !stageARN.MatchString(c.StageARN),
		"StageARN %q is not the ARN of a stage, like arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod",
		c.StageARN)
	wrong(c.Mount != "" && (!plain(c.Mount) || strings.HasSuffix(c.Mount, "/")),
		"Mount %q is not a path like /Prod", c.Mount)
	return errs
}

// whole returns an expression that matches what expr matches from end to end. If expr is empty, it matches everything.
func whole(expr string) (*regexp.Regexp, error) {
	if expr == "" {
		return regexp.Compile("")
	}
	// Compiled alone first: an unbalanced parenthesis in expr could otherwise close the group below.
	if _, err := regexp.Compile(expr); err != nil {
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
