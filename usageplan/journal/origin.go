package journal

import "context"

// Origin says who makes a change. All fields are for people, and may be empty. Each has at most 1 200 bytes, or the
// change is [ErrTooLarge]: a text that a client chooses, such as the id of a request, needs a bound before.
type Origin struct {
	Actor   string // the identity that was verified, such as an access key id
	Source  string // the network address that the request came from; package admin leaves out the port
	Request string // the id of the request
}

type originKey struct{}

// NewContext returns a context whose changes are made by o, for [FromContext]. [Topic.Change] writes it into each
// change.
func NewContext(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// FromContext returns who makes the changes of ctx, and whether ctx says so. It reports false for the zero Origin.
func FromContext(ctx context.Context) (Origin, bool) {
	o, _ := ctx.Value(originKey{}).(Origin)
	return o, o != Origin{}
}
