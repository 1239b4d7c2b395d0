package apikey

import (
	"context"
	"net/http"
)

// Client is the proof that a request carried a registered key: the key as it was when it was verified. It is one
// pointer to what never changes. The zero value is the proof of nothing, with an empty ID and a zero [Key].
type Client struct{ r *record }

// ID returns the id of the key.
func (c Client) ID() string {
	if c.r == nil {
		return ""
	}
	return c.r.id()
}

// Key returns all that is known of the key. Its LastUsed is live.
func (c Client) Key() Key {
	if c.r == nil {
		return Key{}
	}
	return c.r.key()
}

// String returns the id of the key.
func (c Client) String() string { return c.ID() }

// contextKey is the key of the *record that Authenticate found.
type contextKey struct{}

// FromContext returns the client that a [Verifier] found for the request of ctx, and whether there is one.
func FromContext(ctx context.Context) (Client, bool) {
	r, ok := ctx.Value(contextKey{}).(*record)
	return Client{r}, ok
}

// NewContext returns ctx with the client of the key k, as if a verifier had found it. It is for tests and for layers
// that verify by other means. A key that no verifier would store, say one without an ID, is no proof: [FromContext]
// then finds none.
func NewContext(ctx context.Context, k Key) context.Context {
	if k.validate() != nil {
		return context.WithValue(ctx, contextKey{}, nil)
	}
	s := Record{Key: k.clone()}
	return context.WithValue(ctx, contextKey{}, pack(&s, nil)[0])
}

// ID returns the id of the key that a [Verifier] found for r, and whether there is one. It has the shape in which
// limits take their subject.
func ID(r *http.Request) (string, bool) {
	c, ok := FromContext(r.Context())
	return c.ID(), ok
}
