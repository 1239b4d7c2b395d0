package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Verifier accepts requests that carry a valid token. Make one with [New]; the zero value refuses everything with
// [ErrNotConfigured]. It is safe for concurrent use.
type Verifier struct {
	core  *core
	rules []Rules // a token must satisfy all of them
}

// core is what a verifier shares with those that its With returns. It is not changed after New, except that the cache
// and the key sets of the issuers have locks of their own.
type core struct {
	byName       map[string]*issuerState // by URL and by each alias; without load balancers
	issuers      []*issuerState          // in the order of the configuration, with load balancers
	leeway       time.Duration
	source       func(*http.Request) (string, bool)
	revoked      func(context.Context, Token) (bool, error)
	foreign      func(string) bool
	errorHandler func(http.ResponseWriter, *http.Request, error)
	allowDespite func(*http.Request, error) bool
	observe      func(context.Context, Event)
	requestID    func(*http.Request) string
	cache        *cache
	padded       bool // one issuer is a load balancer, whose tokens are padded
}

// New makes a verifier. It copies the config and reports all mistakes at once. It fetches nothing; see
// [Verifier.Prefetch].
func New(c Config) (*Verifier, error) {
	errs := []error{c.validate()}
	c.setDefaults()
	k := &core{
		leeway: c.Leeway, source: c.Source, revoked: c.Revoked, foreign: c.Foreign,
		errorHandler: c.ErrorHandler, allowDespite: c.AllowDespite, observe: c.Observe, requestID: c.RequestID,
		cache: newCache(c.CacheBytes, c.AllowRawCache),
	}
	errs = append(errs, c.Rules.validate(), k.addIssuers(c))
	if err := wrap("auth", errors.Join(errs...)); err != nil {
		return nil, err
	}
	return &Verifier{k, []Rules{c.Rules.copy()}}, nil
}

// addIssuers makes the issuers of the configuration and registers them. One that cannot be made does not hide the
// mistakes of the others.
func (k *core) addIssuers(c Config) error {
	k.byName = map[string]*issuerState{}
	if len(c.Issuers) == 0 {
		return errors.New("no issuer is accepted: set Issuers")
	}
	f := newFetcher(c)
	var errs []error
	for _, config := range c.Issuers {
		issuer, err := newIssuerState(config, f, c)
		if err == nil {
			err = k.addIssuer(issuer)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// addIssuer registers an issuer under its names. A load balancer has none: its tokens bear the name of the provider
// where users sign in, and are recognised by the load balancer's ARN.
func (k *core) addIssuer(issuer *issuerState) error {
	others := k.issuers
	k.issuers = append(k.issuers, issuer)
	if issuer.kind == kindALB {
		k.padded = true
		if slices.ContainsFunc(others, issuer.sameBalancer) {
			return fmt.Errorf("issuer %q is named twice for one load balancer", issuer.URL)
		}
		return nil
	}
	var errs []error
	for _, name := range append([]string{issuer.URL}, issuer.Aliases...) {
		if k.byName[name] != nil {
			errs = append(errs, fmt.Errorf("issuer %q is named twice", name))
		}
		k.byName[name] = issuer
	}
	return errors.Join(errs...)
}

// With returns a verifier for a route that demands more: a token must satisfy r and the rules of v. It shares the keys,
// the cache, and all functions of the [Config] of v. Use it instead of v on that route, not in addition: it
// authenticates and authorises in one step.
func (v *Verifier) With(r Rules) (*Verifier, error) {
	if v == nil || v.core == nil {
		return nil, &Error{Err: ErrNotConfigured}
	}
	if err := wrap("auth", r.validate()); err != nil {
		return nil, err
	}
	return &Verifier{v.core, append(slices.Clip(v.rules), r.copy())}, nil // Clip: two routes must not share the array
}

// Prefetch fetches the keys of every issuer that has none yet, all at the same time. Call it in a Lambda function's
// init phase, or to fail at start. Without it the first request fetches them. If ctx ends first, Prefetch returns and
// the fetches continue until their own time limit. Its errors are [Error] values that wrap [ErrUnavailable], joined.
func (v *Verifier) Prefetch(ctx context.Context) error {
	if v == nil || v.core == nil {
		return &Error{Err: ErrNotConfigured}
	}
	errs := make([]error, len(v.core.issuers))
	var wg sync.WaitGroup
	for i, issuer := range v.core.issuers {
		if issuer.keys != nil { // a load balancer's keys are not known before its tokens arrive
			wg.Go(func() { _, errs[i] = issuer.keys.ready(ctx, time.Now()) })
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// VerifyToken verifies a token that did not come in an HTTP request. raw is the token alone, without "Bearer". The
// error is an [*Error].
func (v *Verifier) VerifyToken(ctx context.Context, raw string) (Token, error) {
	t, err := v.verifyToken(ctx, raw)
	if err != nil {
		return Token{}, v.refused(ctx, nil, err)
	}
	if v.core.observe != nil {
		v.core.tellAllowed(ctx, nil, nil, t)
	}
	return t.Token, nil
}

// verifyToken is VerifyToken without a copy of the token. It tells nobody.
func (v *Verifier) verifyToken(ctx context.Context, raw string) (*claimSet, error) {
	if v == nil || v.core == nil {
		return nil, &Error{Err: ErrNotConfigured}
	}
	now := time.Now()
	t, issuer, err := v.core.authentic(ctx, raw, now)
	if err != nil {
		return nil, err
	}
	if err := v.authorize(ctx, t, issuer, now); err != nil {
		return nil, err
	}
	return t, nil
}

// authorize checks what may change from one request to the next: times, tenant, revocation and rules. The result is
// never cached.
//
// The times come first, so that Revoked need not know expired tokens. Revoked comes before the rules, because it is
// about the token and they are about the route. A claim in two letter cases is refused only if a rule here uses it.
//
// An issuer that denies by default demands that some rule names a group. Whether the user is in it, the rule itself has
// checked.
func (v *Verifier) authorize(ctx context.Context, t *claimSet, issuer *issuerState, now time.Time) error {
	if err := v.core.checkTimes(t, now); err != nil {
		return t.refuse(err)
	}
	if !issuer.allowsTenant(t) {
		return t.refuse(ErrIssuer)
	}
	if v.core.revoked != nil {
		if err := v.core.checkRevoked(ctx, t); err != nil {
			return err
		}
	}
	grouped := !issuer.DenyByDefault
	for i := range v.rules {
		if t.lookalikes != 0 && t.lookalikes&v.rules[i].decisiveClaims() != 0 {
			return t.refuse(errCase)
		}
		if err := v.rules[i].check(ctx, t, now); err != nil {
			return err
		}
		grouped = grouped || len(v.rules[i].AnyGroup) > 0
	}
	if !grouped {
		return t.refuse(errGroup)
	}
	return nil
}

// checkTimes checks exp, nbf and iat (RFC 7519 sections 4.1.4 to 4.1.6), and auth_time, when the user signed in (OpenID
// Connect Core section 2). An auth_time in the future is refused because it would never become too old.
func (k *core) checkTimes(t *claimSet, now time.Time) error {
	early, late := now, now
	if k.leeway > 0 {
		early, late = now.Add(-k.leeway), now.Add(k.leeway)
	}
	switch {
	case !early.Before(t.Expiry):
		return errExpired
	case late.Before(t.NotBefore), late.Before(t.IssuedAt), late.Before(t.AuthTime):
		return errNotYetValid
	}
	return nil
}

// checkRevoked calls Revoked. If it fails, the token may be good or bad, so the answer is 503 and not 401: a client
// would discard a good token on 401.
func (k *core) checkRevoked(ctx context.Context, t *claimSet) error {
	revoked, err := k.revoked(ctx, t.Token)
	switch {
	case err != nil:
		return t.refuse(failed(ctx, ErrUnavailable, err))
	case revoked:
		return t.refuse(errRevoked)
	}
	return nil
}
