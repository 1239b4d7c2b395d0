package identitypool

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tallygate/tallygate/auth"
)

// A login is a verified token and the name of its provider: that of the issuer's URL, even if the request or the token
// has an alias. Otherwise the caller could choose whether a mapping applies.
type login struct {
	provider string
	token    auth.Token
}

// caller is who a request is from: an identity, and its logins in the order of their providers' names.
type caller struct {
	identity string
	logins   []login // verified; none for a caller who has not signed in
}

// caller returns whose identity a request is about. claimed is the identity that it names, "" in GetId. Every login
// must be valid: a request with a good token and a bad one is refused. The logins are verified in the order of the
// request's names, so that the same request has the same refusal each time, and sorted again by the names that the
// issuers have.
func (p *Pool) caller(ctx context.Context, in input, claimed string) (caller, error) {
	if len(in.logins) == 0 {
		return p.guest(claimed)
	}
	var c caller
	for _, provider := range slices.Sorted(maps.Keys(in.logins)) {
		l, err := p.verify(ctx, provider, in.logins[provider])
		if err != nil {
			return caller{}, err
		}
		c.logins = append(c.logins, l)
	}
	slices.SortStableFunc(c.logins, func(a, b login) int { return strings.Compare(a.provider, b.provider) })
	ids := make([]string, len(c.logins))
	for i, l := range c.logins {
		ids[i] = p.identityOf(l.token.ID)
	}
	var err error
	c.identity, err = p.link(ctx, ids, claimed)
	return c, err
}

// guest returns the caller of a request without logins. Each GetId makes a new identity, which the client keeps.
func (p *Pool) guest(claimed string) (caller, error) {
	switch {
	case p.config.Unauthenticated == "":
		return caller{}, refused("Unauthenticated access is not supported for this identity pool.")
	case claimed == "":
		return caller{identity: p.newIdentity()}, nil
	case !p.unauthenticated(claimed): // of another pool, made up, or of a user who has to sign in
		return caller{}, refused("Access to Identity '" + clip(claimed) + "' is forbidden.")
	}
	return caller{identity: claimed}, nil
}

// link returns the identity of logins whose identities alone are ids. Without Config.Link an identity has one login,
// and the identity that the request names must be that of the login.
func (p *Pool) link(ctx context.Context, ids []string, claimed string) (string, error) {
	if p.config.Link == nil {
		if len(ids) > 1 || claimed != "" && claimed != ids[0] {
			return "", refused("Logins don't match. Please include at least one valid login for this identity or identity pool.")
		}
		return ids[0], nil
	}
	// What Link returns is trusted: it decides whose credentials the caller gets. Only its form is checked.
	identity, err := p.config.Link(ctx, ids, claimed)
	if _, answer := errors.AsType[*Error](err); answer {
		return "", err
	}
	if err == nil && !idForm.MatchString(identity) {
		err = fmt.Errorf("what Link returned is no identity id: %q", clip(identity))
	}
	if err != nil {
		return "", &Error{Err: fmt.Errorf("%w: %w", ErrUnavailable, err)}
	}
	return identity, nil
}

// verify verifies the token that a request brings for a provider. The name in the request must be that of the token's
// issuer, by its URL or by the alias that the token has: it says which mapping the client expects.
func (p *Pool) verify(ctx context.Context, provider, raw string) (login, error) {
	if p.config.Tokens == nil {
		return login{}, refused(unsupported)
	}
	token, err := p.config.Tokens.VerifyToken(ctx, raw)
	if err != nil {
		return login{}, refuseToken(err)
	}
	issuer, _, _ := strings.Cut(token.ID, " ") // the canonical URL, even if the token has an alias
	switch {
	case token.Subject == "":
		return login{}, refused("Invalid login token. Missing a required claim: sub")
	case token.Use == "access" || len(token.Audience()) == 0:
		// AWS reads ID tokens only. An access token without an audience may be meant for any service.
		return login{}, refused("Invalid login token. Missing a required claim: aud")
	case provider != name(issuer) && provider != name(token.Issuer):
		return login{}, refused("Invalid login token. Issuer doesn't match providerName")
	}
	return login{name(issuer), token}, nil
}

// name returns the name of the provider with an issuer URL: accounts.google.com for https://accounts.google.com.
func name(issuer string) string {
	_, rest, _ := strings.Cut(issuer, "://")
	return rest
}

const unsupported = "Token is not from a supported provider of this identity pool."

// refuseToken returns the refusal of a token that package auth has refused, in AWS's words. Keys that are not available
// are no fault of the token, so the client is told to try again with it.
func refuseToken(err error) error {
	e := &Error{Err: fmt.Errorf("%w: %w", ErrRefused, err), Message: "Invalid login token."}
	switch {
	case errors.Is(err, auth.ErrUnavailable), errors.Is(err, auth.ErrNotConfigured):
		return &Error{
			Err: fmt.Errorf("%w: %w", ErrUnavailable, err), Code: "ExternalServiceException",
			Message: "The keys of the login provider are not available.",
		}
	case errors.Is(err, auth.ErrIssuer), errors.Is(err, auth.ErrAudience):
		e.Message = unsupported
	case errors.Is(err, auth.ErrSignature):
		e.Message = "Invalid login token. Couldn't verify signed token."
	case errors.Is(err, auth.ErrMalformed):
		e.Message = "Invalid login token. Not a valid OpenId Connect identity token."
	case errors.Is(err, auth.ErrNotCurrent):
		if told, ok := errors.AsType[*auth.Error](err); ok && told.Token != nil {
			if now, end := time.Now().Unix(), told.Token.Expiry.Unix(); now >= end {
				e.Message = fmt.Sprintf("Invalid login token. Token expired: %d >= %d", now, end)
			}
		}
	}
	return e
}
