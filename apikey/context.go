package apikey

import (
	"context"
	"net/http"
)

// contextKey is the context key of a Client's *record.
type contextKey struct{}

// FromContext returns the client that [Verifier.Authenticate] or Handler put into ctx, and whether there is one.
func FromContext(ctx context.Context) (Client, bool) {
	r, _ := ctx.Value(contextKey{}).(*record)
	return Client{r}, r != nil
}

// NewContext returns a context with the client c, for [FromContext]. It is for code that calls [Verifier.VerifyKey],
// and for tests, which get a client from [NewClient]. FromContext reports false for the zero Client.
func NewContext(ctx context.Context, c Client) context.Context {
	return context.WithValue(ctx, contextKey{}, c.r)
}

// ID returns the id of the key of r's client, and whether there is one. It fits usageplan's Config.Client and
// ratelimit's Config.Key.
func ID(r *http.Request) (string, bool) {
	c, ok := FromContext(r.Context())
	return c.ID(), ok
}

// CustomerID returns [Key.CustomerID] of the key of r's client. It returns false if there is no client, or if the key
// has no customer. If a limit uses it instead of [ID], all keys of one customer share the limit. A function that uses
// ID for keys without a customer must keep the two apart, for example by a prefix, because a customer may have the name
// of a key.
func CustomerID(r *http.Request) (string, bool) {
	c, _ := FromContext(r.Context())
	if c.r == nil || c.r.more == nil {
		return "", false
	}
	return c.r.more.customerID, c.r.more.customerID != ""
}
