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

// Authenticate is [Verifier.Verify], and returns the request with the identity in its context.
func (v *Verifier) Authenticate(r *http.Request) (*http.Request, error) {
	id, err := v.Verify(r)
	if err != nil {
		return nil, err
	}
	return r.WithContext(NewContext(r.Context(), id)), nil
}

// Handler serves verified requests by next, with the identity in their context, and answers all others.
func (v *Verifier) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		verified, err := v.Authenticate(r)
		if err != nil {
			v.refuse(w, r, err.(*Error))
			return
		}
		next.ServeHTTP(w, verified)
	})
}

func (v *Verifier) refuse(w http.ResponseWriter, r *http.Request, e *Error) {
	e.SetHeader(w.Header())
	if v != nil && v.config.ErrorHandler != nil {
		v.config.ErrorHandler(w, r, e)
		return
	}
	e.ServeHTTP(w, r)
}

// NewContext returns a context that carries an identity, as [Verifier.Authenticate] makes it.
func NewContext(ctx context.Context, id Identity) context.Context {
	return &identified{ctx, id}
}

// FromContext returns the identity of a verified request.
func FromContext(ctx context.Context) (Identity, bool) {
	if id, ok := ctx.Value(contextKey{}).(*Identity); ok {
		return *id, true
	}
	return Identity{}, false
}

// ID returns the name of who has signed a verified request: the principal of the access key, or else the access key ID. It
// reports false for a request without an identity and for an identity without a name.
func ID(r *http.Request) (string, bool) {
	id, _ := FromContext(r.Context())
	return id.Principal, id.Principal != ""
}
