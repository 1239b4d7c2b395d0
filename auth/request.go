package auth

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Present reports whether the request carries a token, good or bad: an Authorization header of scheme Bearer or
// holding one word that is no SigV4 credential, or whatever [Config].Source finds.
func (v *Verifier) Present(r *http.Request) bool {
	_, present, _ := v.token(r)
	return present
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

// Authenticate is Verify; it returns the request that carries the token for [FromContext] and [ID].
func (v *Verifier) Authenticate(r *http.Request) (*http.Request, error) {
	t, err := v.Verify(r)
	if err != nil {
		return nil, err
	}
	return r.WithContext(NewContext(r.Context(), t)), nil
}

// Handler lets requests through to next that bring a valid token, which next finds with [FromContext], and answers
// the others.
func (v *Verifier) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authenticated, err := v.Authenticate(r)
		if err == nil {
			next.ServeHTTP(w, authenticated)
			return
		}
		refuse(w, r, err, v.errorHandler())
	})
}

func (v *Verifier) errorHandler() func(http.ResponseWriter, *http.Request, error) {
	if v == nil || v.core == nil {
		return nil
	}
	return v.core.errorHandler
}

// refuse answers with any package's error: the header fields of its protocol first, then the handler if there is one.
func refuse(w http.ResponseWriter, r *http.Request, err error, handler func(http.ResponseWriter, *http.Request, error)) {
	if e, ok := err.(interface{ SetHeader(http.Header) }); ok {
		e.SetHeader(w.Header())
	}
	if handler != nil {
		handler(w, r, err)
		return
	}
	if e, ok := err.(http.Handler); ok {
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
	return raw, present, err
}

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

// inQuery reports whether the query holds a token too, where RFC 6750 section 2.3 lets it be. It parses the query
// only if the name may be in it, plain or escaped.
func inQuery(u *url.URL) bool {
	return u != nil && (strings.Contains(u.RawQuery, "access_token") || strings.Contains(u.RawQuery, "%")) &&
		u.Query().Has("access_token")
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
