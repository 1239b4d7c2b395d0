package apikey

import (
	"context"
	"net/http"
)

// Client is the proof that a request carried a registered key: the key as it was when it was verified. It is one
// pointer to what never changes. The zero value is the proof of nothing, with an empty ID and a zero [Key].
type Client struct{ r *record }

// NewClient returns the client of the key k, as if a verifier had found it: for tests, and for layers that verify by
// other means. A key that no verifier would store, say one without an ID, is [ErrInvalid].
func NewClient(k Key) (Client, error) {
	if err := k.validate(); err != nil {
		return Client{}, err
	}
	s := Record{Key: k.clone()}
	return Client{pack(&s, nil)[0]}, nil
}

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
	r, _ := ctx.Value(contextKey{}).(*record)
	return Client{r}, r != nil
}

// NewContext returns ctx with the client c, for [FromContext]: what layers do that call [Verifier.VerifyKey], and tests
// with a client of [NewClient]. The zero Client is none.
func NewContext(ctx context.Context, c Client) context.Context {
	return context.WithValue(ctx, contextKey{}, c.r)
}

// ID returns the id of the key that a [Verifier] found for r, and whether there is one. It has the shape in which
// limits take their subject.
func ID(r *http.Request) (string, bool) {
	c, ok := FromContext(r.Context())
	return c.ID(), ok
}

// CustomerID returns [Key.CustomerID] of the key that a [Verifier] found for r, and false if there is no key or the key
// names no customer. As the client of a limit it makes all keys of one customer share one quota. A closure that falls
// back from it to [ID] has to keep the two apart, say by a prefix: a customer may be named like a key.
func CustomerID(r *http.Request) (string, bool) {
	c, _ := FromContext(r.Context())
	if c.r == nil || c.r.more == nil {
		return "", false
	}
	return c.r.more.customerID, c.r.more.customerID != ""
}
