package apikey

import "net/http"

// Authenticate verifies r and returns a request with the client in its context, for [FromContext] and [ID]. The request
// is nil if the error is not: a caller who goes on without looking at the error panics and serves nothing.
func (v *Verifier) Authenticate(r *http.Request) (*http.Request, error) {
	c, err := v.Verify(r)
	if err != nil {
		return nil, err
	}
	return r.WithContext(NewContext(r.Context(), c)), nil
}

// Anonymous returns r without a proof of this package: [FromContext] and [ID] report false for it. If r has none, it
// returns r itself.
func (v *Verifier) Anonymous(r *http.Request) *http.Request {
	if _, found := FromContext(r.Context()); !found {
		return r
	}
	return r.WithContext(NewContext(r.Context(), Client{}))
}

// Handler returns a handler that calls next for each request that carries a registered key or that
// [Config].AllowDespite admits, and answers the others. With a key, next gets a copy of the request, with the client in
// its context.
func (v *Verifier) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner := v.pass(w, r)
		if inner == nil {
			return
		}
		next.ServeHTTP(w, inner)
		r.Pattern = inner.Pattern // a mux inside set it on the copy; outer layers read it from r
	})
}

// pass returns the request for the next handler, or nil if it has answered r itself.
func (v *Verifier) pass(w http.ResponseWriter, r *http.Request) *http.Request {
	c, e := v.decide(r)
	if e == nil {
		if v.observe != nil {
			v.tellAllowed(r.Context(), w, r, c)
		}
		return r.WithContext(NewContext(r.Context(), c))
	}
	v.name(e, w, r)
	if v.allows(r, e) {
		v.tellRefused(r.Context(), r, e, true)
		return v.Anonymous(r)
	}
	v.tellRefused(r.Context(), r, e, false)
	v.answer(w, r, e)
	return nil
}

// allows reports whether AllowDespite admits a request that was refused with e.
func (v *Verifier) allows(r *http.Request, e *Error) bool {
	return v != nil && v.allow != nil && v.allow(r, e)
}

// answer answers a request that was refused with e.
func (v *Verifier) answer(w http.ResponseWriter, r *http.Request, e *Error) {
	e.SetHeader(w.Header())
	if v != nil && v.refuse != nil {
		v.refuse(w, r, e)
		return
	}
	e.ServeHTTP(w, r)
}
