package usageplan

import "context"

// charged is a context with a charge. It is one allocation, where context.WithValue needs two.
type charged struct {
	context.Context
	charge Charge
}

type chargeKey struct{}

// Value returns c itself for FromContext's key, and the outer context's value for any other.
func (c *charged) Value(key any) any {
	if key == (chargeKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// FromContext returns the charge of the request with the context ctx, and whether there is one. There is one behind
// [Meter.Handler] if Config.ChargeInContext is set, but not for a request that AllowDespite admitted. If
// there is none, the charge is zero, and its More and Settle do nothing: a stream that goes on with it is not counted.
func FromContext(ctx context.Context) (Charge, bool) {
	c, _ := ctx.Value(chargeKey{}).(*charged)
	if c == nil {
		return Charge{}, false
	}
	return c.charge, c.charge.state != nil
}

// NewContext returns a context with the charge c, for [FromContext]. It is for handlers that call [Meter.Check] or
// [Meter.Take] themselves. FromContext reports false for the zero Charge.
func NewContext(ctx context.Context, c Charge) context.Context {
	return &charged{ctx, c}
}
