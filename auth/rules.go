package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Rules are what a route demands of a verified token. The zero value demands nothing.
type Rules struct {
	// TokenUse is "id" or "access" and must equal [Token].Use. Empty accepts both, and tokens that are neither. If it is
	// set, a token that its issuer does not mark is refused. ID tokens of most providers have no mark, and neither have
	// access tokens with the header typ JWT only. Keycloak marks its tokens by the claim typ. A REST API accepts ID tokens
	// on methods without scopes and access tokens on methods with scopes.
	TokenUse string
	// AnyScope: the token must carry one of them; empty demands none.
	AnyScope []string
	// AllScopes: the token must carry every one of them.
	AllScopes []string
	// AnyGroup: the user must be in one of them; empty demands none, unless the issuer denies by default.
	AnyGroup []string
	// MaxAge is the longest time since iat; AppSync names it iatTTL. Zero means no limit. If it is set, a token without
	// iat is too old.
	MaxAge time.Duration
	// MaxAuthAge is the longest time since auth_time; AppSync names it authTTL. Zero means no limit. If it is set, a token
	// without auth_time is too old.
	MaxAuthAge time.Duration
	// Check is for what the other rules cannot express. It is called on every request, after them, with the verified
	// token. Nil accepts. An [*Error] that it returns or wraps is the refusal, and gets the Token if it has none. Any
	// other error is wrapped together with [ErrRefused] and answered with 403, also a bare cause such as [ErrScope]. But
	// if the error is ErrUnavailable, ErrNotConfigured or ErrAmbiguous, the answer has the status of that cause.
	Check func(context.Context, Token) error
}

// copy returns rules whose lists the caller of [New] or [Verifier.With] cannot change later.
func (r Rules) copy() Rules {
	r.AnyScope, r.AllScopes, r.AnyGroup = slices.Clone(r.AnyScope), slices.Clone(r.AllScopes), slices.Clone(r.AnyGroup)
	return r
}

// validate reports every mistake.
func (r Rules) validate() error {
	var errs []error
	if r.TokenUse != "" && r.TokenUse != "id" && r.TokenUse != "access" {
		errs = append(errs, fmt.Errorf(`token use %q is neither "id" nor "access"`, r.TokenUse))
	}
	if r.MaxAge < 0 || r.MaxAuthAge < 0 {
		errs = append(errs, errors.New("maximum age is negative"))
	}
	if slices.Contains(r.AnyGroup, "") {
		errs = append(errs, errors.New("a group is empty"))
	}
	for _, scope := range slices.Concat(r.AnyScope, r.AllScopes) {
		if !scopeToken(scope) {
			errs = append(errs, fmt.Errorf("%q is not a scope", scope))
		}
	}
	return errors.Join(errs...)
}

// scopeToken reports whether s is a scope-token of RFC 6749 section 3.3, which also makes it safe inside a header's
// quotes.
func scopeToken(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// check checks a verified token against the rules. It allocates only if it refuses. If a token breaks several rules,
// the first decides about the answer: another token or a new sign-in is easier to get than a scope or a group. Check
// comes last, so that it sees only tokens that the other rules accept.
func (r *Rules) check(ctx context.Context, t *claimSet, now time.Time) error {
	switch {
	case r.TokenUse != "" && t.Use != r.TokenUse:
		return t.refuse(errTokenUse)
	case tooOld(t.IssuedAt, r.MaxAge, now), tooOld(t.AuthTime, r.MaxAuthAge, now):
		return t.refuse(ErrTooOld)
	case len(r.AnyScope) > 0 && !slices.ContainsFunc(r.AnyScope, t.hasScope):
		return t.refuseScope(r.AnyScope)
	case !r.hasAllScopes(t):
		return t.refuseScope(r.AllScopes)
	case len(r.AnyGroup) > 0 && !slices.ContainsFunc(r.AnyGroup, t.inGroup):
		return t.refuse(errGroup)
	case r.Check != nil:
		return refusal(ctx, r.Check(ctx, t.Token), t)
	}
	return nil
}

// decisiveClaims returns the claims that decide whether a token satisfies the rules.
func (r *Rules) decisiveClaims() (set claimNames) {
	if r.TokenUse != "" {
		set |= claimUse | claimType
	}
	if len(r.AnyScope)+len(r.AllScopes) > 0 {
		set |= claimScope
	}
	if r.MaxAuthAge > 0 {
		set |= claimAuthTime
	}
	if len(r.AnyGroup) > 0 {
		set |= claimGroups
	}
	return set
}

// hasAllScopes reports whether the token has every scope of AllScopes. An empty list demands none.
func (r *Rules) hasAllScopes(t *claimSet) bool {
	for _, scope := range r.AllScopes {
		if !t.hasScope(scope) {
			return false
		}
	}
	return true
}

// tooOld reports whether more time than limit has passed. A zero limit means none; a zero time is too old.
func tooOld(since time.Time, limit time.Duration, now time.Time) bool {
	return limit > 0 && (since.IsZero() || now.Sub(since) > limit)
}

// refusal keeps an error of this package and wraps any other. The text of the other is for the log: the client sees the
// answer to its cause, and most causes have that of ErrRefused. An error of this package that names no token gets this
// one, in a copy because the check may return it to many requests: a log and Observe must know who was refused.
func refusal(ctx context.Context, err error, t *claimSet) error {
	if err == nil {
		return nil
	}
	own, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		return t.refuse(failed(ctx, ErrRefused, err))
	case own == nil || own.Token != nil:
		return own
	}
	token, e := t.Token, *own
	e.Token = &token
	return &e
}
