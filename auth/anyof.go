package auth

import (
	"net/http"
)

// Mode is one way for a request to say who is asking: a [*Verifier], the verifiers of the packages sigv4, apikey and
// auth/custom, or any type with these two methods.
type Mode interface {
	// Present reports whether the request carries a credential of this kind, good or bad.
	Present(*http.Request) bool
	// Authenticate returns the request with the proof in its context, or the refusal.
	Authenticate(*http.Request) (*http.Request, error)
}

// Modes accepts a request by one of several modes. Make it with [AnyOf]; the zero value refuses everything. It is a
// Mode itself.
type Modes struct {
	// ErrorHandler writes the answer to a refusal, after the error's own SetHeader has been called. Nil means the
	// error's own ServeHTTP. It must be set before the first request.
	ErrorHandler func(http.ResponseWriter, *http.Request, error)

	modes []Mode
}

// AnyOf accepts requests by any of the modes. Every credential that a request presents must verify; each adds its
// proof to the request's context. A request that presents none is answered by the first mode. Nothing is tried after
// a failure, and no bad credential is ignored beside a good one: AppSync ignores a bad JWT beside a good API key.
//
// Issuers are no modes: several of them go into one [Config], whose verifier picks the one that a token names. Two
// verifiers would each claim every bearer token, and one of them refuse it. A TOKEN authorizer of auth/custom beside a
// verifier needs a ValidationExpression that tells its tokens from JWTs, or a header of its own.
//
// Nil modes refuse.
func AnyOf(first Mode, more ...Mode) *Modes {
	return &Modes{modes: append([]Mode{first}, more...)}
}

// Present reports whether the request carries a credential of any mode.
func (m *Modes) Present(r *http.Request) bool {
	if m == nil {
		return false
	}
	for _, mode := range m.modes {
		if mode != nil && mode.Present(r) {
			return true
		}
	}
	return false
}

// Authenticate lets every mode decide whose credential the request presents, in the order of [AnyOf]. The error is
// that of the mode that refused.
func (m *Modes) Authenticate(r *http.Request) (*http.Request, error) {
	if m == nil || len(m.modes) == 0 {
		return nil, &Error{Err: ErrNotConfigured}
	}
	presented := false
	for _, mode := range m.modes {
		if mode == nil {
			return nil, &Error{Err: ErrNotConfigured}
		}
		if !mode.Present(r) {
			continue
		}
		presented = true
		next, err := mode.Authenticate(r)
		if err != nil {
			return nil, err
		}
		r = next
	}
	if !presented {
		return m.modes[0].Authenticate(r)
	}
	return r, nil
}

// Handler lets requests through to next that a mode accepts, and answers the others as the mode that refused would.
func (m *Modes) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authenticated, err := m.Authenticate(r)
		if err == nil {
			next.ServeHTTP(w, authenticated)
			return
		}
		var handler func(http.ResponseWriter, *http.Request, error)
		if m != nil {
			handler = m.ErrorHandler
		}
		refuse(w, r, err, handler)
	})
}
