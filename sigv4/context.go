package sigv4

import (
	"context"
	"errors"
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

// Authenticate is [Verifier.Verify], and returns the request with the identity in its context. The request is nil if the
// error is not: a caller who goes on without looking at the error panics and serves nothing.
func (v *Verifier) Authenticate(r *http.Request) (*http.Request, error) {
	id, err := v.Verify(r)
	if err != nil {
		return nil, err
	}
	return r.WithContext(NewContext(r.Context(), id)), nil
}

// Anonymous returns the request without an identity: [FromContext] and [ID] report false, also where an outer verifier has
// identified the caller. Its headers, query and body stay as they are.
func (v *Verifier) Anonymous(r *http.Request) *http.Request {
	if _, ok := FromContext(r.Context()); !ok {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), contextKey{}, (*Identity)(nil)))
}

// Handler serves verified requests by next, with the identity in their context. It answers all others, except those that
// [VerifierConfig].AllowDespite lets through, which next serves without an identity.
func (v *Verifier) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		passed, err := v.Authenticate(r)
		if err != nil {
			if !v.allowsDespite(r, err) {
				v.refuse(w, r, err.(*Error))
				return
			}
			passed = v.Anonymous(r)
			v.limitBody(passed)
		}
		next.ServeHTTP(w, passed)
		r.Pattern = passed.Pattern // a mux inside set it on the copy; outer layers read it from r
	})
}

// allowsDespite reports whether to pass on a request that was refused. What was too large stays refused: there is no body
// that could be passed on whole.
func (v *Verifier) allowsDespite(r *http.Request, err error) bool {
	return v != nil && v.keys != nil && v.config.AllowDespite != nil && !errors.Is(err, ErrBodyTooLarge) &&
		v.config.AllowDespite(r, err)
}

// limitBody holds a body that was not read, or only in part, to the limit that it would have met if it had been, and to the
// trailers that may reach a handler.
func (v *Verifier) limitBody(r *http.Request) {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = v.newStream(r, true)
	}
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
