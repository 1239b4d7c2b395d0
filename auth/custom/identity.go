package custom

import (
	"context"
	"net/http"
)

// Identity is the proof that the function has let the caller in, and what it said about the caller. All requests that
// one result serves share the map, so it must not be modified.
type Identity struct {
	// PrincipalID names the caller. It is empty if the function named none.
	PrincipalID string

	// Context is what the function passes on.
	Context map[string]any

	// UsageIdentifierKey is the value of the caller's API key. It is empty if there is none.
	UsageIdentifierKey string
}

// contextKey is the key of the *Identity in a context. A nil pointer hides the identity of an outer authorizer.
type contextKey struct{}

func withIdentity(ctx context.Context, id *Identity) context.Context {
	return context.WithValue(ctx, contextKey{}, id)
}

// FromContext returns the identity that an [Authorizer] put into ctx, and whether there is one.
func FromContext(ctx context.Context) (Identity, bool) {
	if id, _ := ctx.Value(contextKey{}).(*Identity); id != nil {
		return *id, true
	}
	return Identity{}, false
}

// NewContext returns ctx with the identity id, as if an authorizer had put it there. It is for tests and for layers
// that decide by other means.
func NewContext(ctx context.Context, id Identity) context.Context { return withIdentity(ctx, &id) }

// ID returns the PrincipalID that an [Authorizer] found for r, and whether there is one. It has the form of the Key
// functions of package ratelimit. It also returns false for a caller who was let in by a result without a PrincipalID:
// a limit by ID then refuses that caller.
func ID(r *http.Request) (string, bool) {
	id, _ := FromContext(r.Context())
	return id.PrincipalID, id.PrincipalID != ""
}

// UsageIdentifierKey returns the value of the API key that an [Authorizer] found for r, and whether there is one. It is
// API Gateway's key source AUTHORIZER, and a Source for package apikey.
func UsageIdentifierKey(r *http.Request) (string, bool) {
	id, _ := FromContext(r.Context())
	return id.UsageIdentifierKey, id.UsageIdentifierKey != ""
}
