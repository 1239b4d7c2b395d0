package sigv4

import (
	"context"
	"net/http"
)

type contextKey struct{}

// identified is a context that carries an identity. It saves the second allocation of context.WithValue.
type identified struct {
	context.Context
	id Identity
}

// Value returns the identity, or what the parent has.
func (c *identified) Value(key any) any {
	if key == (contextKey{}) {
		return &c.id
	}
	return c.Context.Value(key)
}

// Anonymous returns the request without an identity: [FromContext] and [ID] report false, also where an outer verifier has
// identified the caller. Its headers, query and body stay as they are.
func (v *Verifier) Anonymous(r *http.Request) *http.Request {
	if _, ok := FromContext(r.Context()); !ok {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), contextKey{}, (*Identity)(nil)))
}

// NewContext returns a context that carries an identity, as [Verifier.Authenticate] makes it.
func NewContext(ctx context.Context, id Identity) context.Context {
	return &identified{ctx, id}
}

// FromContext returns the identity of a verified request.
func FromContext(ctx context.Context) (Identity, bool) {
	if id, _ := ctx.Value(contextKey{}).(*Identity); id != nil { // nil hides the identity of an outer verifier
		return *id, true
	}
	return Identity{}, false
}

// ID returns the name of the signer of a verified request: the principal of the access key, or else the access key ID.
// It reports false for a request without an identity and for an identity without a name.
func ID(r *http.Request) (string, bool) {
	id, _ := FromContext(r.Context())
	return id.Principal, id.Principal != ""
}
