package custom

import (
	"context"
	"net/http"
)

// Identity is the proof that a function has let the caller in, and what it said about the caller. It is shared by the
// requests that one result serves and must not be modified.
type Identity struct {
	// PrincipalID names the caller; empty if the function named none.
	PrincipalID string

	// Context is what the function passes on.
	Context map[string]any

	// UsageIdentifierKey is the value of the caller's API key; empty if there is none.
	UsageIdentifierKey string
}

// contextKey is the key of the *Identity in a context.
type contextKey struct{}

// FromContext returns the identity that an [Authorizer] found for the request of ctx, and whether there is one.
func FromContext(ctx context.Context) (*Identity, bool) {
	id, ok := ctx.Value(contextKey{}).(*Identity)
	return id, ok && id != nil
}

// NewContext returns ctx with the identity id, as if an authorizer had found it: for tests and for layers that decide
// by other means. It does not copy id; nil is no identity.
func NewContext(ctx context.Context, id *Identity) context.Context {
	return context.WithValue(ctx, contextKey{}, id)
}

// ID returns the PrincipalID that an [Authorizer] found for r; false if there is none. It has the shape in which
// limits take their subject.
func ID(r *http.Request) (string, bool) {
	id, ok := FromContext(r.Context())
	if !ok || id.PrincipalID == "" {
		return "", false
	}
	return id.PrincipalID, true
}

// UsageIdentifierKey returns the value of the API key that an [Authorizer] found for r; false if there is none. It is
// API Gateway's key source AUTHORIZER: a Source for package apikey.
func UsageIdentifierKey(r *http.Request) (string, bool) {
	id, ok := FromContext(r.Context())
	if !ok || id.UsageIdentifierKey == "" {
		return "", false
	}
	return id.UsageIdentifierKey, true
}
