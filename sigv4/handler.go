package sigv4

import (
	"errors"
	"net/http"
	"time"
)

// Authenticate verifies the request as [Verifier.Verify] does, and returns a copy of it with the identity in its
// context. The request is nil if the error is not: a caller who goes on without looking at the error panics and serves
// nothing.
func (v *Verifier) Authenticate(r *http.Request) (*http.Request, error) {
	id, err := v.Verify(r)
	if err != nil {
		return nil, err
	}
	return r.WithContext(NewContext(r.Context(), id)), nil
}

// Handler returns a handler that verifies each request. It passes a verified request to next, with the identity in the
// context. It answers a refused one, unless [VerifierConfig].AllowDespite lets it through: next then gets it without an
// identity.
func (v *Verifier) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var id Identity
		e := v.decide(r, time.Now(), &id)
		if e != nil {
			v.name(e, w, r)
		}
		despite := e != nil && v.allowsDespite(r, e)
		v.tell(w, r, id.Principal, e, despite)
		var passed *http.Request
		switch {
		case e == nil:
			passed = r.WithContext(NewContext(r.Context(), id))
		case despite:
			passed = v.Anonymous(r)
			v.limitBody(passed)
		default:
			v.refuse(w, r, e)
			return
		}
		next.ServeHTTP(w, passed)
		r.Pattern = passed.Pattern // a mux inside set it on the copy; outer layers read it from r
	})
}

// allowsDespite reports whether to pass on a request that was refused. A body that was too large stays refused, because
// it cannot be passed on whole.
func (v *Verifier) allowsDespite(r *http.Request, e *Error) bool {
	return v != nil && v.keys != nil && v.config.AllowDespite != nil && !errors.Is(e, errBodyTooLarge) &&
		v.config.AllowDespite(r, e)
}

// limitBody applies MaxBody to the body of a request that is passed on despite a refusal, and drops its forbidden
// trailers. Verify has not read that body, or not to its end.
func (v *Verifier) limitBody(r *http.Request) {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = v.newStream(r, true)
	}
}

// refuse answers a refused request. v may be nil.
func (v *Verifier) refuse(w http.ResponseWriter, r *http.Request, e *Error) {
	e.SetHeader(w.Header())
	if v != nil && v.config.ErrorHandler != nil {
		v.config.ErrorHandler(w, r, e)
		return
	}
	e.ServeHTTP(w, r)
}
