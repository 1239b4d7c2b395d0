package auth

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
)

// Mode is one way for a request to say who is asking: a [*Verifier], the verifiers of the packages sigv4, apikey and
// auth/custom, or any type with these two methods. Two more are used if a mode has them: Anonymous(*http.Request)
// *http.Request, which takes its proof out of a request, and Leaves(*http.Request) bool, which reports a credential
// that the mode left to another although it might have claimed it.
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
	// AllowDespite is asked by Handler after a mode's refusal: true calls the next handler nevertheless, with a request
	// that carries no proof of any mode and whose body is whole. A dry run returns true, and one that fails open tests
	// the error. It is not asked about a body that was too large (an error of status 413), nor about modes without
	// configuration. Authenticate still refuses. Nil means never. It must be set before the first request.
	AllowDespite func(*http.Request, error) bool

	modes []Mode
}

// AnyOf accepts requests by any of the modes. Every credential that a request presents must verify; each adds its
// proof to the request's context. A request that presents none is answered by the first mode. Nothing is tried after
// a failure, and no bad credential is ignored next to a good one: AppSync ignores a bad JWT next to a good API key.
//
// Issuers are no modes: several of them go into one [Config], whose verifier picks the one that a token names. Two
// verifiers would each claim every bearer token, and one of them refuse it. A TOKEN authorizer of auth/custom next to a
// verifier reads the same header. [Config].Foreign tells the verifier which words are the authorizer's, and the
// authorizer's ValidationExpression must match these words and no JWT. A word that Foreign leaves but no mode claims is
// refused, also next to a good credential of another kind.
//
// Modes among the modes are replaced by their own. Nil modes refuse.
func AnyOf(first Mode, more ...Mode) *Modes {
	m := &Modes{}
	for _, mode := range append([]Mode{first}, more...) {
		if inner, ok := mode.(*Modes); ok && inner != nil && len(inner.modes) > 0 {
			m.modes = append(m.modes, inner.modes...)
		} else {
			m.modes = append(m.modes, mode)
		}
	}
	return m
}

// Present reports whether the request carries a credential of any mode, or one that a mode leaves to another.
func (m *Modes) Present(r *http.Request) bool {
	if m == nil {
		return false
	}
	return slices.ContainsFunc(m.modes, func(mode Mode) bool {
		return mode != nil && (mode.Present(r) || leaves(mode, r))
	})
}

func leaves(mode Mode, r *http.Request) bool {
	l, ok := mode.(interface{ Leaves(*http.Request) bool })
	return ok && l.Leaves(r)
}

// Authenticate lets every mode decide whose credential the request presents, in the order of [AnyOf]. The error is
// that of the mode that refused. The request is nil if the error is not: a caller who goes on without looking at the
// error panics and serves nothing. A mode that read the body has put it back, into r too.
func (m *Modes) Authenticate(r *http.Request) (*http.Request, error) {
	if m == nil || len(m.modes) == 0 || slices.Contains(m.modes, nil) {
		return nil, &Error{Err: ErrNotConfigured}
	}
	left := m.unclaimed(r)
	authenticated, presented := r, false
	for i, mode := range m.modes {
		if i != left && !mode.Present(authenticated) {
			continue
		}
		presented = true
		next, err := mode.Authenticate(authenticated)
		if err != nil {
			r.Body = authenticated.Body // what the modes before have verified, or this one has put back
			return nil, err
		}
		authenticated = next
	}
	if !presented {
		return m.modes[0].Authenticate(r)
	}
	return authenticated, nil
}

// unclaimed returns the index of the mode that left a word in the Authorization header which no other mode claims, or
// -1: that mode then refuses the word. A mode claims it if it finds a credential in a request that holds nothing else.
func (m *Modes) unclaimed(r *http.Request) int {
	i := slices.IndexFunc(m.modes, func(mode Mode) bool { return leaves(mode, r) })
	if i < 0 {
		return -1
	}
	word := *r
	word.Header = http.Header{"Authorization": r.Header["Authorization"]}
	if r.URL != nil {
		word.URL = &url.URL{Path: r.URL.Path}
	}
	word.RequestURI = ""
	if slices.ContainsFunc(m.modes, func(mode Mode) bool { return mode.Present(&word) }) {
		return -1
	}
	return i
}

// Anonymous returns r without the proof of any mode that can take it out.
func (m *Modes) Anonymous(r *http.Request) *http.Request {
	if m == nil {
		return r
	}
	for _, mode := range m.modes {
		if a, ok := mode.(interface {
			Anonymous(*http.Request) *http.Request
		}); ok {
			r = a.Anonymous(r)
		}
	}
	return r
}

// Handler lets requests through to next that a mode accepts, and answers the others as the mode that refused would,
// unless AllowDespite lets them through too.
func (m *Modes) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authenticated, err := m.Authenticate(r)
		switch {
		case err == nil:
			pass(next, w, r, authenticated)
		case m.allowsDespite(r, err):
			pass(next, w, r, m.Anonymous(r))
		case m == nil:
			refuse(w, r, err, nil)
		default:
			refuse(w, r, err, m.ErrorHandler)
		}
	})
}

// allowsDespite asks about a refusal by a mode, unless the body is gone or the mode was not made by its package's New.
// All packages give the latter the same code.
func (m *Modes) allowsDespite(r *http.Request, err error) bool {
	if m == nil || m.AllowDespite == nil || errors.Is(err, ErrNotConfigured) {
		return false
	}
	const unconfigured = "ApiConfigurationException"
	if e, ok := errors.AsType[coded](err); ok && e.ErrorCode() == unconfigured {
		return false
	}
	if e, ok := errors.AsType[statused](err); ok && e.StatusCode() == http.StatusRequestEntityTooLarge {
		return false
	}
	return m.AllowDespite(r, err)
}

// coded and statused are errors that know the code and the status of their answer; those of all packages do.
type (
	coded interface {
		error
		ErrorCode() string
	}
	statused interface {
		error
		StatusCode() int
	}
)
