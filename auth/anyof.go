package auth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
)

// Mode is one way to authenticate a request. A [*Verifier] is a Mode, and so are the verifiers of the packages sigv4,
// apikey and auth/custom. Any type with these two methods can be one.
//
// A mode may have one more method, which is used if it exists. Anonymous(*http.Request) *http.Request removes the
// mode's proof from a request. A type that wraps a Verifier should embed it. Then it has this method too, and AnyOf
// still knows which words [Config].Foreign leaves to another mode.
type Mode interface {
	// Present reports whether the request carries a credential of this kind, good or bad.
	Present(*http.Request) bool
	// Authenticate returns the request with the proof in its context, or an error that refuses it. The error should have
	// the methods of [Error], since one that cannot answer is answered with 500, and the words of Reason must be a closed
	// set.
	Authenticate(*http.Request) (*http.Request, error)
}

// Modes accepts requests by several modes. Make it with [AnyOf]; the zero value refuses everything with
// [ErrNotConfigured]. It is a Mode itself. It is safe for concurrent use once its fields are set.
type Modes struct {
	// ErrorHandler writes the answer to a refusal, after the error's own SetHeader has been called. Nil means the
	// error's own ServeHTTP. It must be set before the first request.
	ErrorHandler func(http.ResponseWriter, *http.Request, error)
	// AllowDespite is called by Handler after a mode has refused. If it returns true the next handler is called
	// nevertheless, with a request that carries no proof of any mode and has its whole body. A dry run always returns
	// true. A service that fails open looks at the error. AllowDespite is not called if the body was too large (an error
	// with status 413) or if a mode is not configured. Authenticate still refuses. Nil means never. It must be set before
	// the first request.
	AllowDespite func(*http.Request, error) bool
	// Observe is told each decision of the Modes, once, before the request goes on or is answered. The modes tell their
	// own decisions to their own Observe. If one function is set on both, it is told by each layer, and Layer tells them
	// apart: a mode that refuses says "refused", and the Modes say "despite" if AllowDespite lets the request through.
	// Reason is what the error's own Reason method returns. For an error without one it is "canceled",
	// "not_configured" if the status of its answer is 500 or more, and otherwise "refused". See [Config].Observe.
	Observe func(context.Context, Event)
	// RequestID returns the id of a request, as [Config].RequestID does. A mode that has made an id for its refusal comes
	// first, so that both events and the answer have the same id. But a mode sees no
	// answer: if an outer layer has set X-Amzn-RequestId there, the RequestID of each mode must return the same id, or
	// the event of the mode that refused has another one than the answer.
	RequestID func(*http.Request) string

	modes []Mode
}

// AnyOf accepts requests by any of the modes. Every credential in a request must be valid, and each adds its proof to
// the request's context. The first invalid one refuses the request: a bad credential is never ignored because there is
// a good one. (AppSync ignores a bad JWT if there is a good API key.) If a request has no credential, the first mode
// refuses it.
//
// Do not make a mode of each issuer. Put all issuers into one [Config]: its verifier picks the one that a token names.
// Two verifiers would both claim every bearer token, and one of them would refuse it.
//
// A verifier and a TOKEN authorizer of auth/custom read the same header. [Config].Foreign must tell the verifier which
// words belong to the authorizer, and the authorizer's ValidationExpression must match these words and no JWT. A word
// that Foreign leaves and no mode claims is refused, even if the request has a good credential of another kind.
//
// A *Modes among the modes is replaced by its modes, and its fields are not used. If a mode is nil, every request is
// refused with [ErrNotConfigured].
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

// leaves reports whether a mode leaves a credential of the request to another mode.
func leaves(mode Mode, r *http.Request) bool {
	l, ok := mode.(interface{ leaves(*http.Request) bool })
	return ok && l.leaves(r)
}

// Authenticate calls every mode whose credential is present, in the order of [AnyOf]. The error is that of the mode
// that refused; with Observe or RequestID it is wrapped, and its answer has the id of the event. The request is nil if
// the error is not nil, so a caller that ignores the error panics and serves nothing. The body is whole afterwards,
// also in r: a mode that has read it has put it back.
func (m *Modes) Authenticate(r *http.Request) (*http.Request, error) {
	authenticated, err := m.authenticate(r)
	switch {
	case m == nil || m.Observe == nil && m.RequestID == nil:
		return authenticated, err
	case err != nil:
		id, err := m.identify(err, r)
		if m.Observe != nil {
			m.tellRefused(r, err, id, false)
		}
		return nil, err
	case m.Observe != nil:
		m.tellAllowed(r, nil)
	}
	return authenticated, nil
}

// authenticate is Authenticate, but tells nobody.
func (m *Modes) authenticate(r *http.Request) (*http.Request, error) {
	if m == nil || len(m.modes) == 0 || slices.Contains(m.modes, nil) {
		return nil, &Error{Err: ErrNotConfigured}
	}
	left := m.unclaimed(r)
	// Each mode gets the request of the one before, with the proofs so far. A mode that reads the body puts it back, so
	// the next one finds it whole.
	authenticated, presented := r, false
	for i, mode := range m.modes {
		if i != left && !mode.Present(authenticated) {
			continue
		}
		presented = true
		next, err := mode.Authenticate(authenticated)
		if err != nil {
			r.Body = authenticated.Body // which an earlier mode has verified, or this one has put back
			return nil, err
		}
		authenticated = next
	}
	if !presented {
		return m.modes[0].Authenticate(r)
	}
	return authenticated, nil
}

// unclaimed returns the index of a mode that leaves a word in the Authorization header to another mode although no mode
// claims the word. That mode must refuse it. The result is -1 if there is no such word. To find out whether a mode
// claims the word, unclaimed shows it a request that contains nothing else.
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

// Anonymous returns r without the proofs of the modes that can remove theirs.
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

// Handler returns a handler that passes accepted requests on to next. It answers the others as the mode that refused
// would, unless AllowDespite lets them through.
func (m *Modes) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authenticated, err := m.authenticate(r)
		switch {
		case m == nil:
			refuse(w, r, err, nil)
			return
		case err != nil:
			m.turnAway(next, w, r, err)
			return
		case m.Observe != nil:
			m.tellAllowed(r, w.Header())
		}
		pass(next, w, r, authenticated)
	})
}

// turnAway answers a refused request, unless AllowDespite lets it through. Observe is told before, once it is known
// which of the two it is.
func (m *Modes) turnAway(next http.Handler, w http.ResponseWriter, r *http.Request, err error) {
	id := ""
	if m.Observe != nil || m.RequestID != nil {
		id = m.idOf(err, r, w.Header())
	}
	despite := m.allowsDespite(r, err)
	if m.Observe != nil {
		m.tellRefused(r, err, id, despite)
	}
	if despite {
		pass(next, w, r, m.Anonymous(r))
		return
	}
	if id != "" {
		w.Header().Set(idField, id)
	}
	refuse(w, r, err, m.ErrorHandler)
}

// allowsDespite calls AllowDespite, except for a body that was too large, of which only a part was read, and for a mode
// that its package's New did not make. All packages have the same error code for the latter.
func (m *Modes) allowsDespite(r *http.Request, err error) bool {
	if m.AllowDespite == nil || errors.Is(err, ErrNotConfigured) {
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

// coded and statused are errors that know the code and the status of their answer, as those of all packages do.
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
