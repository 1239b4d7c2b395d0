package auth

import (
	"context"
	"net/http"
)

// contextKey is the key of a request's token. Its value is a *Token, never a Token: a pointer to a remembered token
// needs no allocation of its own.
type contextKey struct{}

// NewContext returns a context that carries the token, like the context of a request that [Verifier.Handler] passes on.
// With the zero Token, [FromContext] reports false, even if ctx carries a token.
func NewContext(ctx context.Context, t Token) context.Context {
	if t == (Token{}) {
		return withToken(ctx, nil)
	}
	return withToken(ctx, &t)
}

// withToken returns a context that carries a token, which must not change any more. A nil token hides that of ctx.
func withToken(ctx context.Context, t *Token) context.Context {
	return context.WithValue(ctx, contextKey{}, t)
}

// carried returns the token of a context, or nil.
func carried(ctx context.Context) *Token {
	t, _ := ctx.Value(contextKey{}).(*Token)
	return t
}

// FromContext returns the token that a verifier, or NewContext, put into the context.
func FromContext(ctx context.Context) (Token, bool) {
	if t := carried(ctx); t != nil {
		return *t, true
	}
	return Token{}, false
}

// ID returns the ID of the request's [Token]. It has the type of the key functions of the limiters. It reports false if
// there is no token or if the token's ID is empty.
func ID(r *http.Request) (string, bool) {
	t := carried(r.Context())
	if t == nil || t.ID == "" {
		return "", false
	}
	return t.ID, true
}
