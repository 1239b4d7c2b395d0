package custom

import "net/http"

// Authenticate verifies r and returns it with the identity in its context, for [FromContext], [ID] and
// [UsageIdentifierKey]. The request is nil if the error is not: a caller who goes on without looking at the error
// panics and serves nothing.
func (a *Authorizer) Authenticate(r *http.Request) (*http.Request, error) {
	id, err := a.verify(r)
	if err != nil {
		return nil, err
	}
	return r.WithContext(withIdentity(r.Context(), id)), nil
}

// Anonymous returns r without a proof of this package: [FromContext] and [ID] return false for it.
func (a *Authorizer) Anonymous(r *http.Request) *http.Request {
	if _, proven := FromContext(r.Context()); !proven {
		return r
	}
	return r.WithContext(withIdentity(r.Context(), nil))
}

// Handler returns a handler that calls next for a request that is allowed or that [Config.AllowDespite] lets pass, and
// refuses every other request. An allowed request is passed on as a copy, with the identity in its context.
func (a *Authorizer) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, e := a.prove(r)
		if e != nil {
			a.name(e, w, r)
		}
		despite := e != nil && a != nil && a.despite != nil && a.despite(r, e)
		a.tell(w, r, id, e, despite)
		var passed *http.Request
		switch {
		case e == nil:
			passed = r.WithContext(withIdentity(r.Context(), id))
		case despite:
			passed = a.Anonymous(r)
		default:
			a.answer(w, r, e)
			return
		}
		next.ServeHTTP(w, passed)
		r.Pattern = passed.Pattern // a mux inside set it on the copy; outer layers read it from r
	})
}

// answer sends the refusal of r.
func (a *Authorizer) answer(w http.ResponseWriter, r *http.Request, e *Error) {
	e.SetHeader(w.Header())
	if a != nil && a.refuse != nil {
		a.refuse(w, r, e)
		return
	}
	e.ServeHTTP(w, r)
}
