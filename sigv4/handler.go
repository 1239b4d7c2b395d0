package sigv4

import (
	"errors"
	"net/http"
)

// Authenticate is [Verifier.Verify], and returns the request with the identity in its context. The request is nil if the
// error is not: a caller who goes on without looking at the error panics and serves nothing.
func (v *Verifier) Authenticate(r *http.Request) (*http.Request, error) {
	id, err := v.Verify(r)
	if err != nil {
		return nil, err
	}
	return r.WithContext(NewContext(r.Context(), id)), nil
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
