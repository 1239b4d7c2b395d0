package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	maxLeeway    = 5 * time.Minute
	defaultStale = 24 * time.Hour
)

// Config is what a [Verifier] is made of.
type Config struct {
	// Issuers are those whose tokens are accepted. At least one is required, and no two may share a name.
	Issuers []Issuer
	// Rules apply to every token. The zero value demands nothing further. [Verifier.With] adds rules for one route.
	Rules Rules
	// Leeway is the tolerance for clocks that differ, applied to exp, nbf, iat and auth_time. Zero means none, as in
	// API Gateway. The maximum is five minutes.
	Leeway time.Duration

	// Source finds the token in a request. It returns false if there is none. It may be called twice for one request.
	// If Source finds a token and the Authorization header carries another bearer token, the request is refused with
	// [ErrAmbiguous]. Nil means the Authorization header: "Bearer" and the token, or the token alone, as API Gateway
	// accepts it.
	Source func(*http.Request) (string, bool)
	// Foreign reports whether a word in the Authorization header, after Bearer or alone, belongs to another mode of
	// [AnyOf]. An example is an opaque token that a TOKEN authorizer of auth/custom looks up. The verifier then reports
	// that no token is present. Its Verify refuses such a word with [ErrMalformed], and so does AnyOf if no other mode
	// claims it.
	//
	// Foreign must return false for JWTs. It must be fast: it receives anything that a client sends, several times a
	// request, but never an empty word. It cannot be combined with Source. Nil means that every word is this verifier's.
	Foreign func(word string) bool
	// Revoked is called for every token that is authentic and valid now, including tokens that were seen before, and
	// before the [Rules] are checked. If it returns true the token is refused with [ErrNotCurrent]; if it returns an
	// error, with [ErrUnavailable]. Nil means that nothing is revoked: a JWT itself does not show that it was revoked.
	Revoked func(context.Context, Token) (bool, error)
	// ErrorHandler writes the answer to a refusal, after [Error.SetHeader] has been called. Nil means
	// [Error.ServeHTTP]; see also [HTTPAPI], [AppSync] and [Bearer].
	ErrorHandler func(http.ResponseWriter, *http.Request, error)
	// AllowDespite is called by Handler after a refusal. If it returns true the next handler is called nevertheless,
	// with a request that carries no token, not even that of an outer verifier. A dry run always returns true. A service
	// that fails open looks at the error. Verify and Authenticate still refuse. Nil means never.
	AllowDespite func(*http.Request, error) bool
	// Observe is told each decision, once, before the request goes on or is answered. It runs on the request's goroutine
	// and must not block. A panic of it is not caught. Nil tells nobody.
	Observe func(context.Context, Event)
	// RequestID returns the id of a request, if the application names its requests. It is the X-Amzn-RequestId of a
	// refusal and the RequestID of an Event. If it returns "", a refusal gets a random id. It may be called several times
	// for one request. Do not return a header that any client can set: it would choose what stands in your logs. Nil means
	// that each refusal gets a random id. If an outer layer has set X-Amzn-RequestId in the answer before
	// [Verifier.Handler], that is the id in any case.
	RequestID func(*http.Request) string
	// ObserveFetch is told each fetch of an issuer's keys when it has ended. It runs on the goroutine of the fetch, and
	// requests that wait for the fetch go on when it returns, so it must not block. A panic of it ends the program. The
	// fetches of several issuers run at the same time, and so do those of one issuer if the process was frozen. The context
	// has the values of the request that started the fetch, and is not canceled with it. Nil tells nobody.
	ObserveFetch func(context.Context, Fetch)

	// Transport fetches key sets. Nil means [http.DefaultTransport]. It must obey the context of its requests, which
	// carries the time limit. Size and redirects are limited for any transport. If it panics, the fetch has failed.
	Transport http.RoundTripper
	// FetchTimeout limits the fetch of a key set, and separately the fetch of a discovery document before it. Zero means
	// 1.5 seconds for each, as in API Gateway. The maximum is one minute. A request that cannot be answered without keys
	// may wait twice as long.
	FetchTimeout time.Duration
	// AllowHTTP allows key sets to be fetched over http. It is meant for tests and emulators.
	AllowHTTP bool
	// MaxStale is how long expired keys are still used while the issuer's key server fails. Zero means 24 hours, a
	// negative value not at all.
	MaxStale time.Duration

	// CacheBytes limits the memory of remembered tokens, within a few per cent. Zero means 32 MiB, about 20 000 tokens. A
	// negative value disables the cache. The cache has 64 parts, and a token that is larger than one part is not
	// remembered, so less than 1 MiB is of little use. A token takes its claims set and some 800 bytes, or some 13 000
	// bytes if its claims set has more than 6 KiB. With AllowRawCache it also takes its own length.
	CacheBytes int
	// AllowRawCache keeps whole bearer tokens in memory, which recognises them faster. False keeps their SHA-256.
	AllowRawCache bool
}

// validate reports every mistake outside Issuers and Rules, which check themselves.
func (c *Config) validate() error {
	var errs []error
	if c.Leeway < 0 || c.Leeway > maxLeeway {
		errs = append(errs, fmt.Errorf("leeway %v is not between 0 and %v", c.Leeway, maxLeeway))
	}
	if c.Foreign != nil && c.Source != nil {
		errs = append(errs, errors.New("both Foreign and Source are set: a Source returns false for what it leaves"))
	}
	if c.FetchTimeout < 0 || c.FetchTimeout > maxFetchTimeout {
		errs = append(errs, fmt.Errorf("fetch timeout %v is not between 0 and %v", c.FetchTimeout, maxFetchTimeout))
	}
	return errors.Join(errs...)
}

// wrap puts the place before the text of err. If err joins several errors, it does so for each of them.
func wrap(place string, err error) error {
	if err == nil {
		return nil
	}
	if several, is := err.(interface{ Unwrap() []error }); is {
		var errs []error
		for _, e := range several.Unwrap() {
			errs = append(errs, wrap(place, e))
		}
		return errors.Join(errs...)
	}
	return fmt.Errorf("%s: %w", place, err)
}

// setDefaults replaces the zero values that have a default.
func (c *Config) setDefaults() {
	if c.FetchTimeout == 0 {
		c.FetchTimeout = defaultFetchTimeout
	}
	if c.MaxStale == 0 {
		c.MaxStale = defaultStale
	}
	c.MaxStale = max(c.MaxStale, 0)
}
