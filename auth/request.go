package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Present reports whether the request carries a token, good or bad: an Authorization header of scheme Bearer or
// holding one word that is no SigV4 credential, or whatever [Config].Source finds. A word that [Config].Foreign leaves
// to another mode is not present.
func (v *Verifier) Present(r *http.Request) bool {
	_, present, err := v.token(r)
	return present && !errors.Is(err, errForeign)
}

// Leaves reports whether the request carries a word that [Config].Foreign leaves to another mode. [AnyOf] asks it, and
// refuses the word if no mode claims it.
func (v *Verifier) Leaves(r *http.Request) bool {
	_, _, err := v.token(r)
	return errors.Is(err, errForeign)
}

// Verify decides about the request's token. The error is an [*Error]. Nothing is written and the request is not
// changed.
func (v *Verifier) Verify(r *http.Request) (*Token, error) {
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
	return v.VerifyToken(r.Context(), raw)
}

// Authenticate is Verify; it returns the request that carries the token for [FromContext] and [ID]. The request is nil
// if the error is not: a caller who goes on without looking at the error panics and serves nothing.
func (v *Verifier) Authenticate(r *http.Request) (*http.Request, error) {
	t, err := v.Verify(r)
	if err != nil {
		return nil, err
	}
	return r.WithContext(NewContext(r.Context(), t)), nil
}

// Anonymous returns r without a token in its context, so that [FromContext] and [ID] say false. [Verifier.Handler]
// passes it on where [Config].AllowDespite lets a refused request through. It is r itself if r carries no token.
func (v *Verifier) Anonymous(r *http.Request) *http.Request {
	if _, proven := FromContext(r.Context()); !proven {
		return r
	}
	return r.WithContext(NewContext(r.Context(), nil))
}

// Handler lets requests through to next that bring a valid token, which next finds with [FromContext], and answers
// the others, unless [Config].AllowDespite lets them through too.
func (v *Verifier) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authenticated, err := v.Authenticate(r)
		switch {
		case err == nil:
			pass(next, w, r, authenticated)
		case v.allowsDespite(r, err):
			pass(next, w, r, v.Anonymous(r))
		default:
			refuse(w, r, err, v.errorHandler())
		}
	})
}

// pass calls next with a request made of r. A mux inside sets the pattern on that one; outer layers read it from r.
func pass(next http.Handler, w http.ResponseWriter, r, passed *http.Request) {
	next.ServeHTTP(w, passed)
	r.Pattern = passed.Pattern
}

// allowsDespite asks about a refusal by a verifier that [New] made.
func (v *Verifier) allowsDespite(r *http.Request, err error) bool {
	return v != nil && v.core != nil && v.core.allowDespite != nil && v.core.allowDespite(r, err)
}

func (v *Verifier) errorHandler() func(http.ResponseWriter, *http.Request, error) {
	if v == nil || v.core == nil {
		return nil
	}
	return v.core.errorHandler
}

// headed is an error that knows the header fields of its answer, and answering one that knows the answer.
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

// refuse answers with any package's error: the header fields of its protocol first, then the handler if there is one.
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

// token finds the request's token. More than one is an error (RFC 6750 section 2), which Verify answers with 400.
func (v *Verifier) token(r *http.Request) (raw string, present bool, err error) {
	raw, present, err = bearer(r.Header["Authorization"])
	if v != nil && v.core != nil && v.core.source != nil {
		return v.sourced(r, raw, err)
	}
	if present && inQuery(r.URL) {
		return "", true, ErrAmbiguous
	}
	if raw != "" && v != nil && v.core != nil && v.core.foreign != nil && v.core.foreign(raw) {
		return "", true, errForeign
	}
	return raw, present, err
}

var errForeign = narrow(ErrMalformed, "a word that is left to another mode")

// sourced asks the Source. A bearer token in the header beside another one that the Source finds is one too many.
func (v *Verifier) sourced(r *http.Request, header string, err error) (string, bool, error) {
	raw, ok := v.core.source(r)
	if ok && (err != nil || header != "" && header != raw) {
		return "", true, ErrAmbiguous
	}
	return raw, ok, nil
}

// bearer reads the Authorization header as API Gateway does: the token may stand alone.
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

// credential reads one Authorization value and reports whether it is of this kind. Scheme names have no letter case
// (RFC 9110 section 11.1).
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

// inQuery reports whether the query holds a token too, where RFC 6750 section 2.3 lets it be. It walks the query only
// if the name may be in it, plain or escaped, in one pass and without memory: [url.URL.Query] would make a map of all
// parameters, and of more than 10 000 it returns none.
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

// names reports whether a parameter, perhaps with a value, has the name, of which any character may be escaped.
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

// spelled returns how many bytes at the start of a text stand for c, as it is or percent-encoded: none, one or three.
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

type contextKey struct{}

// NewContext returns a context that carries the token, as the requests do that [Verifier.Handler] lets through.
func NewContext(ctx context.Context, t *Token) context.Context {
	return context.WithValue(ctx, contextKey{}, t)
}

// FromContext returns the token that a verifier, or NewContext, put into the context.
func FromContext(ctx context.Context) (*Token, bool) {
	t, ok := ctx.Value(contextKey{}).(*Token)
	return t, ok && t != nil
}

// ID returns [Token.ID] of the request's token, in the shape in which limits take their key. False: there is no
// token, or one without a subject.
func ID(r *http.Request) (string, bool) {
	t, ok := FromContext(r.Context())
	if !ok || t.id == "" {
		return "", false
	}
	return t.id, true
}
