package usageplan

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A Charge is what an admitted request has taken. It is passed by value; copies are the same charge. The zero Charge, of
// a request that AllowDespite let through, has taken nothing, and its methods do nothing.
type Charge struct {
	client string
	state  *state // the plan's version that decided
	own    draws  // the client's own throttles

	// A second quota is rare: it may cost an allocation, but not the copying of three charges for everybody.
	first ledger.Charge   // against the first of state.Quotas
	more  []ledger.Charge // against the others

	unit  string // of the quotas in the RateLimit fields; empty leaves them out
	meter *Meter
}

// Client tells who pays; empty for the zero Charge.
func (c Charge) Client() string { return c.client }

// Plan is the id of the plan that the client pays from; empty for the zero Charge.
func (c Charge) Plan() string {
	if c.state == nil {
		return ""
	}
	return c.state.ID
}

// Settle replaces the cost that was taken from the quotas by what the request has really cost: 0 gives all of it back,
// and more than the cost is charged after the fact, as far as the quota's present limit or [ledger.Config].AllowOverdraw
// lets it. The first call counts; a further one changes nothing and says so ([ledger.ErrSettled]). Tokens of throttles stay
// spent. Each quota settles by itself; the error joins theirs: [ledger.ErrForgiven] where the limit left a part uncounted,
// [ledger.ErrCost] for an actual cost below zero, [ledger.ErrUnavailable] if the store failed and the ledger makes the
// settlement good later.
func (c Charge) Settle(ctx context.Context, actual int64) error {
	var err error
	for i := range c.quotas() {
		err = errors.Join(err, c.settle(ctx, i, actual))
	}
	return err
}

// settle settles against quota i of the plan.
func (c Charge) settle(ctx context.Context, i int, actual int64) error {
	if i > len(c.more) {
		return nil // a quota before it has refused
	}
	m, period := c.meter, c.state.Quotas[i].Period
	if q, found := m.table.quotaInForce(c.state.ID, c.client, m.config.Default, period); found {
		return c.charge(i).SettleUnder(ctx, q, actual)
	}
	return c.charge(i).Settle(ctx, actual)
}

// Balance returns the balance of the plan's quota for the period as this charge left it, or, once the charge has been
// settled, the present one; see [ledger.Charge.Balance]. It returns false where the plan has no such quota.
func (c Charge) Balance(p ledger.Period) (ledger.Balance, bool) {
	for i, q := range c.quotas() {
		if q.Period == p {
			return c.charge(i).Balance(), true
		}
	}
	return ledger.Balance{}, false
}

// SetHeader tells the client what is left: the RateLimit fields of its own throttles and of every quota
// (draft-ietf-httpapi-ratelimit-headers-11). It sets nothing for the zero Charge and under Config.AWSStrict, and leaves out
// quotas whose unit has no name: see Config.Unit. [Meter.Handler] calls it before the handler; a handler that settles its
// charge before it answers calls it again, and the new fields replace the old ones.
func (c Charge) SetHeader(h http.Header) {
	if c.state == nil || c.meter.config.AWSStrict {
		return
	}
	var space [5]ratelimit.Field // two throttles, and a quota for each period
	fields := space[:0]
	for i := range c.own.n {
		fields = append(fields, throttleField(c.own.layers[i], c.own.refs[i].Peek()))
	}
	for i, q := range c.quotas() {
		if c.unit != "" {
			fields = append(fields, quotaField(c.unit, q.Period, c.charge(i).Balance()))
		}
	}
	ratelimit.SetFields(h, fields...)
}

func (c Charge) quotas() []ledger.Quota {
	if c.state == nil {
		return nil
	}
	return c.state.Quotas
}

func (c Charge) charge(i int) ledger.Charge {
	if i == 0 {
		return c.first
	}
	return c.more[i-1]
}

// throttleField shows a token bucket as a quota of its burst per the time in which an empty bucket fills; a bucket that
// never fills has no window.
func throttleField(l limited, d ratelimit.Decision) ratelimit.Field {
	f := ratelimit.Field{Name: "throttle", Quota: l.limit.Burst, Remaining: d.Remaining, Reset: d.ResetAfter}
	if l.layer == PlanMethodThrottle {
		f.Name = "throttle-method"
	}
	if l.limit.Rate > 0 {
		f.Window = time.Duration(float64(l.limit.Burst) / l.limit.Rate * float64(time.Second)) // Validate bounds it
	}
	return f
}

var quotaNames = [...]string{ledger.Daily: "quota-day", ledger.Weekly: "quota-week", ledger.Monthly: "quota-month"}

func quotaField(unit string, p ledger.Period, b ledger.Balance) ratelimit.Field {
	return ratelimit.Field{
		Name:      quotaNames[p],
		Unit:      unit,
		Quota:     max(b.Limit+b.Adjustments, 0),
		Window:    b.Reset.Sub(b.Start),
		Remaining: b.Remaining,
		Reset:     time.Until(b.Reset),
	}
}
