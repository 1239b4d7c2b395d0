package usageplan

import "context"

// charged is a context with a charge: one object where a value of context.WithValue would be two.
type charged struct {
	context.Context
	charge Charge
}

type chargeKey struct{}

// Value returns the charge's place to FromContext, and otherwise what the outer context has.
func (c *charged) Value(key any) any {
	if key == (chargeKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// FromContext returns the charge of the request of ctx, to settle it or to tell its balance, and whether there is one:
// [Meter.Handler] gives it to the handler where Config.ChargeInContext is set. There is none on a request that
// AllowDespite let through.
func FromContext(ctx context.Context) (Charge, bool) {
	c, _ := ctx.Value(chargeKey{}).(*charged)
	if c == nil {
		return Charge{}, false
	}
	return c.charge, c.charge.state != nil
}

// NewContext returns ctx with the charge c, for [FromContext]: what layers do that call [Meter.Check] or [Meter.Take]. The
// zero Charge is none.
func NewContext(ctx context.Context, c Charge) context.Context {
	return &charged{ctx, c}
}
