package sigv4

import (
	"context"
	"net/http"
)

// contextKey is the key of an *Identity in a context.
type contextKey struct{}

// identified is a context with an identity. It takes one allocation where context.WithValue takes two.
type identified struct {
	context.Context
	id Identity
}

// Value returns the identity for its key, and what the parent has for any other. It returns a pointer, because a value
// would be copied to the heap for each call.
func (c *identified) Value(key any) any {
	if key == (contextKey{}) {
		return &c.id
	}
	return c.Context.Value(key)
}

// Anonymous returns the request without an identity: [FromContext] and [ID] report false on it, even if an outer
// verifier has identified the caller. Its headers, query and body are unchanged.
func (v *Verifier) Anonymous(r *http.Request) *http.Request {
	if _, ok := FromContext(r.Context()); !ok {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), contextKey{}, (*Identity)(nil)))
}

// NewContext returns a context that carries an identity. [Verifier.Authenticate] does the same; tests of handlers use
// it.
func NewContext(ctx context.Context, id Identity) context.Context {
	return &identified{ctx, id}
}

// FromContext returns the identity of a verified request. It reports false if the request was not verified.
func FromContext(ctx context.Context) (Identity, bool) {
	if id, _ := ctx.Value(contextKey{}).(*Identity); id != nil { // nil hides the identity of an outer verifier
		return *id, true
	}
	return Identity{}, false
}

// ID returns the name of the caller of a verified request: the principal of the access key, or else the access key ID.
// It reports false for a request without an identity and for an identity without a name.
func ID(r *http.Request) (string, bool) {
	id, _ := FromContext(r.Context())
	return id.Principal, id.Principal != ""
}
