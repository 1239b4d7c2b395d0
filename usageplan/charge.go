package usageplan

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A Charge is what an admitted request has taken from the limits. It is passed by value, and copies stand for the same
// charge. The zero Charge belongs to a request that AllowDespite admitted: it has taken nothing, and its methods do
// nothing.
type Charge struct {
	// Client and Plan are the ids of the client and of its plan. They must not be changed: Settle finds the limits in
	// force by them.
	Client, Plan string

	state  *state  // the version of the plan that decided; nil in the zero Charge
	own    draws   // the client's own throttles, if their buckets are in this process
	tokens *tokens // what was taken from Config.Throttle; nil without it, or if nothing was
	place  *place  // nil if nothing bounds how many such requests run at once

	// Few plans have a second quota. An array of three charges would be copied for every request.
	first ledger.Charge   // for the first of state.counted
	more  []ledger.Charge // for the others

	cost  int64 // what was taken from each quota at first, or is to be taken at most
	meter *Meter
}

// Settle replaces the cost that was taken from the quotas by the actual cost, in units. An actual cost of 0 gives all
// units back. An actual cost above the cost takes the difference, as far as the quota's present limit or
// [ledger.Config].AllowOverdraw allows. Only the first call counts; later ones return [ledger.ErrSettled]. Tokens of
// throttles are not given back. If the plan has no quota, Settle corrects the usage that was counted. The end of ctx is
// ignored, so it may be called by defer after the client has left.
//
// A charge that is never settled stays counted at its [Charge.Units]. Later than [ledger.Config].SettleWithin, Settle
// changes nothing and returns [ledger.ErrTooLate].
//
// Each quota settles by itself, and the error joins theirs: [ledger.ErrForgiven] if the limit left a part uncounted,
// [ledger.ErrInvalid] for an actual cost below 0, [ledger.ErrUnavailable] if the engine failed, in which case the
// ledger repeats the settlement later.
func (c Charge) Settle(ctx context.Context, actual int64) error {
	var err error
	for i := range c.counted() {
		err = errors.Join(err, c.settle(ctx, i, actual))
	}
	return err
}

// keep settles the charge with what it has taken, where nobody else can settle it. Else a ledger with
// [ledger.Config].SettleWithin would tell of each request as one that died.
func (c Charge) keep(ctx context.Context) {
	for i := range c.counted() {
		ch := c.charge(i)
		_ = ch.Settle(ctx, ch.Units()) // it asks no engine, so nothing can fail
	}
}

// settle settles the charge for quota i of those that were counted. The units that the request took stay those of the
// version that decided, but a true-up is bounded by the limit that is in force now, so that a limit which was lowered
// meanwhile is kept. If the plan has no quota any more, a true-up of a day is not bounded. If the client has left the
// plan, or the plan has other quotas now, the limit at the time of the request decides.
func (c Charge) settle(ctx context.Context, i int, actual int64) error {
	if i > len(c.more) {
		return nil // nothing was taken from this quota, because an earlier one refused
	}
	if q, found := c.inForce(i); found {
		return c.charge(i).SettleUnder(ctx, q, actual)
	}
	return c.charge(i).Settle(ctx, actual)
}

// Balance returns the balance of the plan's quota for the period. It is the balance just after this charge. After More
// and Settle it is the present one; see [ledger.Charge.Balance]. It returns false if the plan has no such quota.
func (c Charge) Balance(p ledger.Period) (ledger.Balance, bool) {
	for i, q := range c.quotas() {
		if q.Period == p {
			return c.charge(i).Balance(), true
		}
	}
	return ledger.Balance{}, false
}

// SetHeader sets the RateLimit fields (draft-ietf-httpapi-ratelimit-headers-11), which tell the client what is left of
// its own throttles and of every quota. Quotas whose unit has no name are left out; see Config.Unit. With
// Config.Throttle, they tell what its buckets had left just after this charge. It sets nothing for the zero Charge and
// under Config.AWSStrict.
//
// [Meter.Handler] calls it before the next handler. A handler that calls More or Settle before it answers should call
// it again: the new fields replace the old ones.
func (c Charge) SetHeader(h http.Header) {
	if c.state == nil || c.meter.config.AWSStrict {
		return
	}
	var space [5]ratelimit.Field // two throttles and three periods, without an allocation
	fields, now := space[:0], time.Now()
	for i := range c.own.n {
		fields = append(fields, throttleField(c.own.layers[i], c.own.refs[i].Peek(now)))
	}
	if c.tokens != nil {
		fields = c.tokens.appendFields(fields, now)
	}
	if unit := c.meter.unit(max(c.cost, c.Units())); unit != "" {
		for i, q := range c.quotas() {
			fields = append(fields, quotaField(unit, q.Period, c.charge(i).Balance()))
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

// counted returns what the ledger has counted: the quotas, or uncapped if there are none.
func (c Charge) counted() []ledger.Quota {
	if c.state == nil {
		return nil
	}
	return c.state.counted
}

// charge returns the charge for quota i.
func (c Charge) charge(i int) ledger.Charge {
	if i == 0 {
		return c.first
	}
	return c.more[i-1]
}

// throttleField describes a token bucket as a quota: its burst in the time in which an empty bucket fills. For example,
// a burst of 20 at 10 requests per second is 20 in 2 seconds. A bucket that never fills has no window.
func throttleField(l limited, d ratelimit.Decision) ratelimit.Field {
	f := ratelimit.Field{Name: "throttle", Quota: l.limit.Burst, Remaining: d.Remaining, Reset: d.ResetAfter}
	if l.layer == planMethodThrottle {
		f.Name = "throttle-method"
	}
	if l.limit.Rate > 0 {
		// This does not overflow, because validateLimit bounds it.
		f.Window = time.Duration(float64(l.limit.Burst) / l.limit.Rate * float64(time.Second))
	}
	return f
}

var quotaNames = map[ledger.Period]string{ledger.Daily: "quota-day", ledger.Weekly: "quota-week", ledger.Monthly: "quota-month"}

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
