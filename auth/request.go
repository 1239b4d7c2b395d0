package auth

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Present reports whether the request carries a token, good or bad. That is an Authorization header with the scheme
// Bearer, or with one word that is not a SigV4 credential; or whatever [Config].Source finds. A word that
// [Config].Foreign leaves to another mode does not count.
func (v *Verifier) Present(r *http.Request) bool {
	_, present, err := v.token(r)
	return present && !errors.Is(err, errForeign)
}

// leaves reports whether the request carries a word that [Config].Foreign leaves to another mode. [AnyOf] refuses the
// word if no mode claims it.
func (v *Verifier) leaves(r *http.Request) bool {
	_, _, err := v.token(r)
	return errors.Is(err, errForeign)
}

// Verify verifies the request's token. The error is an [*Error], and the Token is then the zero one. Verify does not
// write an answer or change the request. A token seen before costs no allocation.
func (v *Verifier) Verify(r *http.Request) (Token, error) {
	t, err := v.decide(r)
	if err != nil {
		return Token{}, err
	}
	return t.Token, nil
}

// decide is Verify without a copy of the token.
func (v *Verifier) decide(r *http.Request) (*claimSet, error) {
	t, err := v.verify(r)
	if err != nil {
		return nil, v.refused(r.Context(), r, err)
	}
	if v.core.observe != nil {
		v.core.tellAllowed(r.Context(), r, nil, t)
	}
	return t, nil
}

// verify is decide, but tells nobody.
func (v *Verifier) verify(r *http.Request) (*claimSet, error) {
	if v == nil || v.core == nil {
		return nil, &Error{Err: ErrNotConfigured}
	}
	raw, present, err := v.token(r)
	if err != nil {
		return nil, &Error{Err: err}
	}
	if !present {
		return nil, &Error{Err: ErrMissing}
	}
	return v.verifyToken(r.Context(), raw)
}

// Authenticate is Verify, but returns a copy of the request that carries the token for [FromContext] and [ID]. The
// request is nil if the error is not nil, so a caller that ignores the error panics and serves nothing.
func (v *Verifier) Authenticate(r *http.Request) (*http.Request, error) {
	t, err := v.decide(r)
	if err != nil {
		return nil, err
	}
	return r.WithContext(withToken(r.Context(), &t.Token)), nil
}

// Anonymous returns r without a token in its context, so that [FromContext] and [ID] report false. [Verifier.Handler]
// passes it on if [Config].AllowDespite lets a refused request through. It is r itself if r carries no token.
func (v *Verifier) Anonymous(r *http.Request) *http.Request {
	if _, proven := FromContext(r.Context()); !proven {
		return r
	}
	return r.WithContext(withToken(r.Context(), nil))
}

// Handler returns a handler that passes requests with a valid token on to next, which finds the token with
// [FromContext]. It answers the others, unless [Config].AllowDespite lets them through.
func (v *Verifier) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t, err := v.verify(r)
		if err != nil {
			v.turnAway(next, w, r, err)
			return
		}
		if v.core.observe != nil {
			v.core.tellAllowed(r.Context(), r, w.Header(), t)
		}
		pass(next, w, r, r.WithContext(withToken(r.Context(), &t.Token)))
	})
}

// turnAway answers a refused request, unless AllowDespite lets it through. Observe is told before, once it is known
// which of the two it is.
func (v *Verifier) turnAway(next http.Handler, w http.ResponseWriter, r *http.Request, err error) {
	err = v.identify(err, r, w.Header())
	despite := v.allowsDespite(r, err)
	v.tellRefused(r.Context(), r, err, despite)
	if despite {
		pass(next, w, r, v.Anonymous(r))
		return
	}
	refuse(w, r, err, v.errorHandler())
}

// pass calls next with a copy of r. A mux inside sets Pattern on the copy, and outer layers read it from r.
func pass(next http.Handler, w http.ResponseWriter, r, passed *http.Request) {
	next.ServeHTTP(w, passed)
	r.Pattern = passed.Pattern
}

// allowsDespite calls AllowDespite, unless [New] did not make the verifier.
func (v *Verifier) allowsDespite(r *http.Request, err error) bool {
	return v != nil && v.core != nil && v.core.allowDespite != nil && v.core.allowDespite(r, err)
}

func (v *Verifier) errorHandler() func(http.ResponseWriter, *http.Request, error) {
	if v == nil || v.core == nil {
		return nil
	}
	return v.core.errorHandler
}

// headed is an error that knows the header fields of its answer. answering is an error that writes its answer.
type (
	headed interface {
		error
		SetHeader(http.Header)
	}
	answering interface {
		error
		http.Handler
	}
)

// refuse answers with an error of any package. It sets the error's header fields first, then calls the handler, or the
// error's own ServeHTTP if handler is nil.
func refuse(w http.ResponseWriter, r *http.Request, err error, handler func(http.ResponseWriter, *http.Request, error)) {
	if e, ok := errors.AsType[headed](err); ok {
		e.SetHeader(w.Header())
	}
	if handler != nil {
		handler(w, r, err)
		return
	}
	if e, ok := errors.AsType[answering](err); ok {
		e.ServeHTTP(w, r)
		return
	}
	(&Error{Err: fmt.Errorf("%w: %w", ErrNotConfigured, err)}).ServeHTTP(w, r)
}

// token finds the request's token. More than one is an error (RFC 6750 section 2), which Verify answers with 400: a
// proxy in front of this service may have checked the other one. Without a Source, the query is searched for a second
// token. A token there is never used, because URLs end up in logs (RFC 6750 section 5.3).
func (v *Verifier) token(r *http.Request) (raw string, present bool, err error) {
	raw, present, err = bearer(r.Header["Authorization"])
	if v != nil && v.core != nil && v.core.source != nil {
		return v.sourced(r, raw, err)
	}
	if present && inQuery(r.URL) {
		return "", true, ErrAmbiguous
	}
	// An empty word, as in "Bearer ", is never foreign: some mode must refuse it.
	if raw != "" && v != nil && v.core != nil && v.core.foreign != nil && v.core.foreign(raw) {
		return "", true, errForeign
	}
	return raw, present, err
}

var errForeign = narrow(ErrMalformed, "a word that is left to another mode")

// sourced calls the Source. If the Source finds a token and the header has another one, that is ErrAmbiguous. If it
// finds none, the header is not this verifier's concern, even if it has two tokens.
func (v *Verifier) sourced(r *http.Request, header string, err error) (string, bool, error) {
	raw, ok := v.core.source(r)
	if ok && (err != nil || header != "" && header != raw) {
		return "", true, ErrAmbiguous
	}
	return raw, ok, nil
}

// bearer reads the Authorization header as API Gateway does: "Bearer" may be missing.
func bearer(values []string) (raw string, present bool, err error) {
	for _, value := range values {
		token, ok := credential(value)
		if ok && len(values) > 1 || strings.IndexByte(token, ',') >= 0 { // a proxy joins header lines by commas
			return "", true, ErrAmbiguous
		}
		raw, present = token, present || ok
	}
	return raw, present, nil
}

// credential reads one Authorization value and reports whether it is a bearer token. Scheme names are case-insensitive
// (RFC 9110 section 11.1). A value with any other scheme belongs to another mode. A single word is a token without its
// scheme, except for the start of a SigV4 credential.
func credential(value string) (token string, ok bool) {
	scheme, rest, found := strings.Cut(value, " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return strings.TrimLeft(rest, " "), true
	case found || value == "" || strings.HasPrefix(value, "AWS4-"):
		return "", false
	}
	return value, true
}

// inQuery reports whether the query contains a token too, as RFC 6750 section 2.3 allows. It reads the query only if
// the name may be in it, plain or escaped. One pass without allocation is enough. [url.URL.Query] would make a map of
// all parameters, and it returns none of them if there are more than 10 000.
func inQuery(u *url.URL) bool {
	const name = "access_token"
	if u == nil || !strings.Contains(u.RawQuery, name) && !strings.Contains(u.RawQuery, "%") {
		return false
	}
	for parameter := range strings.SplitSeq(u.RawQuery, "&") {
		if names(parameter, name) {
			return true
		}
	}
	return false
}

// names reports whether a parameter has the name. Any character of the name may be escaped.
func names(parameter, name string) bool {
	for i := range len(name) {
		n := spelled(parameter, name[i])
		if n == 0 {
			return false
		}
		parameter = parameter[n:]
	}
	return parameter == "" || parameter[0] == '='
}

// spelled returns how many bytes at the start of a text represent c: one, three if it is percent-encoded, or zero.
// Example: for c = 'a' it returns 1 for "abc", 3 for "%61bc", and 0 for "bc".
func spelled(text string, c byte) int {
	const digits = "0123456789abcdef"
	switch {
	case text == "":
		return 0
	case text[0] == c:
		return 1
	case len(text) > 2 && text[0] == '%' && text[1] == digits[c>>4] && text[2]|0x20 == digits[c&15]: // c is below 0x80
		return 3
	}
	return 0
}
