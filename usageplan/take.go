package usageplan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A Request is what a [Meter] decides about, below HTTP.
type Request struct {
	Client string // the verified client; required
	Route  Route
	Cost   int64 // units of quota; 0 is free, negative is refused
}

// Take decides about q and takes what it costs, in one decision: whoever is refused by any layer has consumed nothing
// of the others. An error is an [*Error]. While another request of the same client is being refused, a request may be
// refused for the tokens that the other one holds for an instant; none is ever admitted beyond a limit.
func (m *Meter) Take(ctx context.Context, q Request) (c Charge, err error) {
	switch {
	case m.config.Client == nil:
		return Charge{}, m.refusal(ErrNotConfigured, q)
	case q.Client == "":
		return Charge{}, m.refusal(ErrNoClient, q)
	case q.Cost < 0:
		return Charge{}, m.refusal(ErrInvalidCost, q)
	}
	p, found := m.table.find(q.Client, m.config.Default, q.Route)
	if !found {
		return Charge{}, m.refusal(ErrNoPlan, q)
	}
	c.Client, c.Plan, c.state, c.limit, c.strict = q.Client, p.state.ID, p.state, p.limit(), m.config.AWSStrict
	if err := m.take(ctx, q, p, &c); err != nil {
		return Charge{}, err
	}
	return c, nil
}

// take draws a token from every throttle and then counts against the quotas; c receives what was taken.
func (m *Meter) take(ctx context.Context, q Request, p place, c *Charge) error {
	var d draws
	m.throttles(&d, q, p, c)
	if d.n > 0 {
		if decision, by := ratelimit.All(1, d.refs[:d.n]...); !decision.OK {
			return m.throttled(ctx, q, p, &d, by, decision)
		}
	}
	if err := m.count(ctx, q, p, c); err != nil {
		for _, ref := range d.refs[:d.n] {
			ref.Refund(1)
		}
		return err
	}
	return nil
}

// draws are the buckets that a request draws a token from, and the layers that they stand for.
type draws struct {
	n      int
	refs   [4]ratelimit.Ref
	layers [4]limited
}

// limited is a layer and what it limits to.
type limited struct {
	layer Layer
	limit *ratelimit.Limit
}

func (d *draws) add(l Layer, limit *ratelimit.Limit, ref ratelimit.Ref) {
	d.refs[d.n], d.layers[d.n] = ref, limited{l, limit}
	d.n++
}

// first returns the first bucket in order that refuses, and what it says. All names the one that refuses longest, which
// stands in where another request has given tokens back meanwhile.
func (d *draws) first(longest int, said ratelimit.Decision) (limited, ratelimit.Decision) {
	for i := range longest {
		if now := d.refs[i].Peek(); !now.OK {
			return d.layers[i], now
		}
	}
	return d.layers[longest], said
}

// throttles lists what q draws from, in the order of the layers; c keeps the bucket of the plan's throttle.
func (m *Meter) throttles(d *draws, q Request, p place, c *Charge) {
	called := method{q.Route.Resource, q.Route.Method}
	if ref, limit := p.methods.of(q.Client, called); limit != nil {
		d.add(PlanMethod, limit, ref)
	}
	if c.limit != nil {
		c.throttle = p.member.plan.buckets.Ref(q.Client)
		d.add(PlanWide, c.limit, c.throttle)
	}
	if ref, limit := m.stage(q.Route).of("", called); limit != nil {
		d.add(StageMethod, limit, ref)
	}
	if m.account != nil {
		d.add(AccountWide, m.config.Account, m.account.Ref())
	}
}

// stage returns the throttles of a stage's methods over all callers, or nil.
func (m *Meter) stage(r Route) *methods {
	for i := range m.config.Stages {
		if m.config.Stages[i].is(r.API, r.Stage) {
			return m.stages[i]
		}
	}
	return nil
}

// count takes q's cost from every quota of the plan, or from none.
func (m *Meter) count(ctx context.Context, q Request, p place, c *Charge) error {
	for i, quota := range p.state.Quotas {
		charge, err := m.config.Ledger.Take(ctx, ledger.Key{Plan: p.state.accounts[i], Subject: q.Client}, p.member.quota(quota), q.Cost)
		switch {
		case err != nil:
			return m.uncounted(q, p, quota, errors.Join(err, c.Settle(ctx, 0)))
		case i == 0:
			c.first = charge
		default:
			c.more = append(c.more, charge)
		}
	}
	return nil
}

func (m *Meter) refusal(cause error, q Request) *Error {
	return &Error{Err: cause, Client: q.Client, strict: m.config.AWSStrict}
}

// throttled is the refusal by throttles, of which the one at index longest refuses longest. Where only those over all
// callers refuse a client whose quota is used up, the quota, which comes first, answers. The RateLimit fields tell a
// client about its own buckets only.
func (m *Meter) throttled(ctx context.Context, q Request, p place, d *draws, longest int, said ratelimit.Decision) error {
	by, its := d.first(longest, said)
	e := m.refusal(ErrThrottled, q)
	e.Plan, e.Layer, e.RetryAfter = p.state.ID, by.layer, said.RetryAfter
	if by.layer == PlanMethod || by.layer == PlanWide {
		e.fields = []ratelimit.Field{throttleField(*by.limit, its)}
		return e
	}
	if err := m.exhausted(ctx, q, p); err != nil {
		return err
	}
	return e
}

// exhausted returns the refusal by the first quota that has less left than q costs, or nil.
func (m *Meter) exhausted(ctx context.Context, q Request, p place) error {
	for i, quota := range p.state.Quotas {
		b, err := m.config.Ledger.Balance(ctx, ledger.Key{Plan: p.state.accounts[i], Subject: q.Client}, p.member.quota(quota))
		if err == nil && b.Remaining < q.Cost {
			return m.uncounted(q, p, quota, &ledger.Error{Err: ledger.ErrExhausted, Balance: b})
		}
	}
	return nil
}

// uncounted is the refusal by a quota, for an error of the ledger.
func (m *Meter) uncounted(q Request, p place, quota ledger.Quota, err error) *Error {
	e := m.refusal(err, q)
	e.Plan, e.Layer = p.state.ID, PlanQuota
	if spent, is := errors.AsType[*ledger.Error](err); is && errors.Is(err, ledger.ErrExhausted) {
		e.Err = fmt.Errorf("%w: %w", ErrQuotaExceeded, err)
		e.RetryAfter = time.Until(spent.Balance.Reset)
		e.fields = []ratelimit.Field{quotaField(quota.Period, spent.Balance)}
	}
	return e
}
