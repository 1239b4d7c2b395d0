package usageplan

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A Charge is what an admitted request has taken. It is passed by value. The zero Charge, of a request that
// AllowDespite let through, has taken nothing, and its methods do nothing.
type Charge struct {
	// Client and Plan tell who pays, and the id of the plan that it pays from.
	Client, Plan string

	state    *state           // the plan's version that decided
	limit    *ratelimit.Limit // the plan's throttle for the client, nil where there is none
	throttle ratelimit.Ref    // that throttle's bucket
	first    ledger.Charge    // against the first of state.Quotas
	more     []ledger.Charge  // against the others
	strict   bool             // Config.AWSStrict
}

// Settle replaces the cost that was taken from the quotas by what the request has really cost: 0 gives all of it back,
// and more than the cost is charged after the fact, as [ledger.Charge.Settle] says. Tokens of throttles stay spent.
// The first call counts.
func (c Charge) Settle(ctx context.Context, actual int64) error {
	err := c.first.Settle(ctx, actual)
	for _, more := range c.more {
		err = errors.Join(err, more.Settle(ctx, actual))
	}
	return err
}

// Balance returns the balance of the plan's quota for the period as this charge left it, and false where the plan has
// no such quota.
func (c Charge) Balance(p ledger.Period) (ledger.Balance, bool) {
	for i, q := range c.quotas() {
		if q.Period == p {
			return c.charge(i).Balance(), true
		}
	}
	return ledger.Balance{}, false
}

// SetHeader tells the client what is left: the RateLimit fields of the throttle and of every quota
// (draft-ietf-httpapi-ratelimit-headers-11). It sets nothing for the zero Charge and under Config.AWSStrict.
func (c Charge) SetHeader(h http.Header) {
	if c.strict || c.state == nil {
		return
	}
	var fields [4]ratelimit.Field // a throttle, and a quota for each period
	ratelimit.SetFields(h, c.appendFields(fields[:0])...)
}

func (c Charge) appendFields(fields []ratelimit.Field) []ratelimit.Field {
	if c.limit != nil {
		fields = append(fields, throttleField(*c.limit, c.throttle.Peek()))
	}
	for i, q := range c.quotas() {
		fields = append(fields, quotaField(q.Period, c.charge(i).Balance()))
	}
	return fields
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

// throttleField shows a token bucket as a quota of its burst per the time in which an empty bucket fills.
func throttleField(l ratelimit.Limit, d ratelimit.Decision) ratelimit.Field {
	window := ratelimit.Never
	if fill := float64(l.Burst) / l.Rate * float64(time.Second); fill < float64(ratelimit.Never) {
		window = time.Duration(fill)
	}
	return ratelimit.Field{Name: "throttle", Quota: l.Burst, Window: window, Remaining: d.Remaining, Reset: d.ResetAfter}
}

var quotaNames = map[ledger.Period]string{ledger.Daily: "quota-day", ledger.Weekly: "quota-week", ledger.Monthly: "quota-month"}

func quotaField(p ledger.Period, b ledger.Balance) ratelimit.Field {
	return ratelimit.Field{
		Name:      quotaNames[p],
		Quota:     b.Limit + b.Adjustments,
		Window:    b.Reset.Sub(b.Start),
		Remaining: max(b.Remaining, 0),
		Reset:     time.Until(b.Reset),
	}
}
