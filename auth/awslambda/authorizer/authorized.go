package authorizer

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/awslambda"
	"github.com/tallygate/tallygate/auth/custom"
	"github.com/tallygate/tallygate/sigv4"
)

// Authorized is a mode of [auth.AnyOf] whose proof is the event: API Gateway or Lambda verified the caller before it
// invoked the function. It reads the event that package awslambda puts into the context of a request, and never a
// header. Make it with [NewAuthorized]. The zero value refuses everything with [auth.ErrNotConfigured]. It is safe for
// concurrent use.
type Authorized struct {
	apis, urls map[string]bool // ids
	kinds      map[kind]bool   // nil in the zero value
	keys       bool
	issuers    map[string][]string // with the audiences of each
}

// NewAuthorized returns the mode, or an error with every mistake in the configuration.
func NewAuthorized(c AuthorizedConfig) (*Authorized, error) {
	if err := c.mistakes(); err != nil {
		return nil, err
	}
	a := &Authorized{
		apis: set(c.APIs), urls: set(c.FunctionURLs), keys: c.APIKeys, issuers: maps.Clone(c.Issuers),
		kinds: map[kind]bool{kindCognito: c.Cognito, kindJWT: c.JWT, kindLambda: c.Lambda, kindIAM: c.IAM},
	}
	for issuer, audiences := range a.issuers {
		a.issuers[issuer] = slices.Clone(audiences)
	}
	return a, nil
}

// Present reports whether the request came in an event that names a caller: by any authorizer, accepted or not, or by
// an API key if APIKeys is set. An authorizer that is not accepted counts, so that [auth.AnyOf] refuses its caller and
// does not try another mode.
func (a *Authorized) Present(r *http.Request) bool {
	e, ok := awslambda.FromContext(r.Context())
	if !ok {
		return false
	}
	found, err := findProof(e)
	return err != nil || found.kind != 0 || a != nil && a.keys && hasKey(e)
}

// Authenticate returns the request with what the event proves in its context, so that auth.ID, custom.ID, sigv4.ID and
// apikey.ID, and FromContext of these packages, work as behind their own verifiers. The error is an [*auth.Error], and
// the request is then nil.
func (a *Authorized) Authenticate(r *http.Request) (*http.Request, error) {
	if a == nil || a.kinds == nil {
		return nil, &auth.Error{Err: auth.ErrNotConfigured}
	}
	e, ok := awslambda.FromContext(r.Context())
	if !ok {
		return nil, refusal(auth.ErrMissing, "the request came in no event")
	}
	ctx, err := a.prove(r.Context(), e)
	if err != nil {
		return nil, err
	}
	return r.WithContext(ctx), nil
}

// prove adds the proofs of an event to a context.
func (a *Authorized) prove(ctx context.Context, e *awslambda.Event) (context.Context, error) {
	// The source comes first. An API that is not listed may belong to somebody who chooses everything else in its events.
	if !a.accepts(e) {
		return nil, refusal(auth.ErrRefused, "the event is of the %s %.100q, which is not listed", e.Kind, e.API)
	}
	found, err := findProof(e)
	if err != nil {
		return nil, err
	}
	// A key names a program, and an authorizer a user. So a key never replaces an authorizer that is not accepted. The
	// key of an event is ignored if APIKeys is false: API Gateway has verified it, so it can only be a good one.
	keyed := a.keys && hasKey(e)
	switch {
	case found.kind == 0 && !keyed:
		return nil, refusal(auth.ErrMissing, "the event names no caller")
	case found.kind != 0 && !a.kinds[found.kind]:
		return nil, refusal(auth.ErrRefused, "the event was authorized by %s, which is not accepted", found.kind)
	}
	if keyed {
		if ctx, err = withKey(ctx, e.APIKeyID); err != nil {
			return nil, err
		}
	}
	switch found.kind {
	case kindCognito, kindJWT:
		return a.withToken(ctx, found)
	case kindLambda:
		return custom.NewContext(ctx, found.identity), nil
	case kindIAM:
		return sigv4.NewContext(ctx, found.signer), nil
	}
	return ctx, nil
}

// accepts reports whether the event is of a source that the configuration names. Ids of APIs and of function URLs are
// kept apart, even if two are equal: another account may own the other one.
func (a *Authorized) accepts(e *awslambda.Event) bool {
	switch e.Kind {
	case awslambda.REST, awslambda.HTTP1, awslambda.HTTP2:
		return a.apis[e.API]
	case awslambda.FunctionURL:
		return a.urls[e.API]
	}
	return false // a load balancer authorizes nobody
}

// Anonymous returns r without the proofs that Authenticate sets. [auth.Modes] calls it for a request that it lets
// through despite a refusal. The verifiers are nil because their Anonymous needs no configuration.
func (a *Authorized) Anonymous(r *http.Request) *http.Request {
	r = (*auth.Verifier)(nil).Anonymous(r)
	r = (*custom.Authorizer)(nil).Anonymous(r)
	r = (*sigv4.Verifier)(nil).Anonymous(r)
	return (*apikey.Verifier)(nil).Anonymous(r)
}

// hasKey reports whether a REST API has verified an API key. Other kinds of events have no field for it.
func hasKey(e *awslambda.Event) bool { return e.Kind == awslambda.REST && e.APIKeyID != "" }

// withKey adds the proof of package apikey. Only the id of the key is known. That it is enabled is known too: API
// Gateway refuses the others. Test calls of the console have the id "test-invoke-api-key-id". That is not the id of a
// key, so they are refused.
func withKey(ctx context.Context, id string) (context.Context, error) {
	client, err := apikey.NewClient(apikey.Key{ID: id, Enabled: true})
	if err != nil {
		return nil, refusal(auth.ErrMalformed, "apiKeyId %.100q: %w", id, err)
	}
	return apikey.NewContext(ctx, client), nil
}

// refusal returns an error of package auth, so that [auth.AnyOf] answers as for its other modes. The client is told the
// cause only; the text is for the log.
func refusal(cause error, format string, args ...any) *auth.Error {
	return &auth.Error{Err: fmt.Errorf("%w: %w", cause, fmt.Errorf(format, args...))}
}

func set(list []string) map[string]bool {
	s := make(map[string]bool, len(list))
	for _, item := range list {
		s[item] = true
	}
	return s
}
