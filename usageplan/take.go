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
	Cost   int64 // units of quota, 0 to [ledger.MaxUnits]; 0 is free of quota
}

// Take decides about q and takes what it costs, in one decision: a request that any layer refuses has consumed nothing.
// An error is an [*Error].
//
// While a request is being refused it may hold, for an instant, tokens or units that it gives back: another request of
// the same client may be refused for want of them. Nothing is ever admitted beyond a limit. If a ledger fails between
// two quotas, or while it gives back, what it cannot give back at once it makes good when its store is there again.
func (m *Meter) Take(ctx context.Context, q Request) (c Charge, err error) {
	if err := m.acceptable(&q); err != nil {
		return Charge{}, err
	}
	p, found := m.table.find(q.Client, m.config.Default, &q.Route)
	if !found {
		return Charge{}, m.refusal(ErrNoPlan, &q)
	}
	c.client, c.state, c.unit, c.meter = q.Client, p.state, m.unit(q.Cost), m
	if err := m.take(ctx, &q, &p, &c); err != nil {
		return Charge{}, err
	}
	return c, nil
}

func (m *Meter) acceptable(q *Request) error {
	if err := m.configured(); err != nil {
		return err
	}
	if q.Client == "" || len(q.Client) > maxClient {
		return m.refusal(ErrNoClient, q)
	}
	if q.Cost < 0 || q.Cost > ledger.MaxUnits {
		return m.refusal(ErrInvalidCost, q)
	}
	return nil
}

// take goes through the layers in API Gateway's order and undoes what it has done where one refuses. The throttles over
// all callers come last, so that nobody holds their tokens while the ledger works. The clock is read once for all.
func (m *Meter) take(ctx context.Context, q *Request, p *match, c *Charge) error {
	now := time.Now()
	c.own.ofClient(q, p)
	var taken [2]ratelimit.Taken
	if err := m.draw(now, &c.own, taken[:], q, p); err != nil {
		return err
	}
	if err := m.count(ctx, now, q, p, c); err != nil {
		c.own.giveBack(taken[:])
		return err
	}
	if m.account == nil && m.stages == nil {
		return nil
	}
	var shared draws
	m.shared(&shared, q)
	if err := m.draw(time.Now(), &shared, make([]ratelimit.Taken, len(shared.refs)), q, p); err != nil { // a ledger may have taken its time
		c.own.giveBack(taken[:])
		if failed := c.Settle(ctx, 0); failed != nil {
			err.Err = errors.Join(err.Err, failed)
		}
		return err
	}
	return nil
}

// draws are the buckets that a request draws a token from, and the layers that they stand for.
type draws struct {
	n      int
	refs   [2]ratelimit.Ref
	layers [2]limited
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

// ofClient lists the client's own throttles.
func (d *draws) ofClient(q *Request, p *match) {
	if p.methods != nil {
		if ref, limit := p.methods.of(q.Client, method{q.Route.Resource, q.Route.Method}); limit != nil {
			d.add(PlanMethodThrottle, limit, ref)
		}
	}
	if limit := p.limit(); limit != nil {
		d.add(PlanThrottle, limit, p.state.buckets.Ref(q.Client))
	}
}

// shared lists the throttles over all callers.
func (m *Meter) shared(d *draws, q *Request) {
	if i := find(m.config.StageThrottles, q.Route.API, q.Route.Stage); i >= 0 {
		if ref, limit := m.stages[i].ofAll(method{q.Route.Resource, q.Route.Method}); limit != nil {
			d.add(StageMethodThrottle, limit, ref)
		}
	}
	if m.account != nil {
		d.add(AccountThrottle, m.config.AccountThrottle, m.account.Ref())
	}
}

// draw takes a token from every bucket or from none.
func (m *Meter) draw(now time.Time, d *draws, taken []ratelimit.Taken, q *Request, p *match) *Error {
	if d.n == 0 {
		return nil
	}
	i, ok := d.shut(), false
	if i < 0 {
		i, ok = ratelimit.AllowAt(now, 1, d.refs[:d.n], taken)
	}
	if ok {
		return nil
	}
	by, its, longest := d.first(i)
	e := m.refusal(ErrThrottled, q)
	e.Plan, e.Layer, e.RetryAfter = p.state.ID, by.layer, longest
	if by.layer == PlanMethodThrottle || by.layer == PlanThrottle { // the others are not the client's business
		e.fields = []ratelimit.Field{throttleField(by, its)}
	}
	return e
}

// first returns the first bucket in order that refuses, what it says, and the longest wait of all. Bucket i has
// refused, and stands in where tokens have come back meanwhile.
func (d *draws) first(i int) (by limited, its ratelimit.Decision, longest time.Duration) {
	by, its, longest = d.layers[i], d.peek(i), time.Nanosecond
	for j := d.n - 1; j >= 0; j-- {
		if now := d.peek(j); !now.OK {
			by, its, longest = d.layers[j], now, max(longest, now.RetryAfter)
		}
	}
	return by, its, longest
}

// shut returns the first bucket that refuses everything, or -1.
func (d *draws) shut() int {
	for i := range d.n {
		if shut(d.layers[i].limit) {
			return i
		}
	}
	return -1
}

// peek returns what bucket i would say.
func (d *draws) peek(i int) ratelimit.Decision {
	if shut(d.layers[i].limit) {
		return ratelimit.Decision{RetryAfter: ratelimit.Never, ResetAfter: ratelimit.Never}
	}
	return d.refs[i].Peek()
}

func (d *draws) giveBack(taken []ratelimit.Taken) {
	for i, ref := range d.refs[:d.n] {
		ref.GiveBack(taken[i])
	}
}

// count takes q's cost from every quota of the plan, or from none.
func (m *Meter) count(ctx context.Context, now time.Time, q *Request, p *match, c *Charge) error {
	for i := range p.state.Quotas {
		into := &c.first
		if i > 0 {
			c.more = append(c.more, ledger.Charge{})
			into = &c.more[i-1]
		}
		ref, err := p.member.account(m.config.Ledger, p.key(i, q.Client), p.state.Quotas[i].Period)
		if err == nil {
			*into, err = ref.TakeAt(ctx, now, p.member.quota(p.state.Quotas[i]), q.Cost)
		}
		if err != nil {
			return m.uncounted(ctx, q, p, i, errors.Join(err, c.Settle(ctx, 0)))
		}
	}
	return nil
}

// key names the account of the client under the plan's quota i.
func (p *match) key(i int, client string) ledger.Key {
	return ledger.Key{Plan: p.state.accounts[i], Subject: client}
}

// requests is the unit of a policy that names none
// (https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-11#section-3.1).
const requests = "requests"

// unit is what the quotas count, for the RateLimit fields; empty where that has no name.
func (m *Meter) unit(cost int64) string {
	if m.config.Unit == "" && m.config.Cost == nil && cost <= 1 {
		return requests
	}
	return m.config.Unit
}

func (m *Meter) refusal(cause error, q *Request) *Error {
	return &Error{Err: cause, Client: q.Client, Route: q.Route, strict: m.config.AWSStrict}
}

// uncounted is the refusal by quota i, for an error of the ledger.
func (m *Meter) uncounted(ctx context.Context, q *Request, p *match, i int, err error) *Error {
	e := m.refusal(err, q)
	e.Plan, e.Layer, e.Period = p.state.ID, PlanQuota, p.state.Quotas[i].Period
	spent, is := errors.AsType[*ledger.Error](err)
	if !is || !errors.Is(err, ledger.ErrExhausted) {
		return e
	}
	e.Err = fmt.Errorf("%w: %w", ErrQuotaExceeded, err)
	e.RetryAfter = wait(spent.Balance, q.Cost)
	if unit := m.unit(q.Cost); unit != "" {
		e.fields = []ratelimit.Field{quotaField(unit, e.Period, spent.Balance)}
	}
	for j := i + 1; j < len(p.state.Quotas); j++ { // the longest wait counts
		b, err := m.config.Ledger.Balance(ctx, p.key(j, q.Client), p.member.quota(p.state.Quotas[j]))
		if err == nil && b.Remaining < q.Cost { // whether the others refuse too is not known if the ledger cannot tell
			e.RetryAfter = max(e.RetryAfter, wait(b, q.Cost))
		}
	}
	return e
}

// wait is how long an exhausted quota refuses a cost: until the next period, or for ever if that is too small as well.
func wait(b ledger.Balance, cost int64) time.Duration {
	if cost > b.Limit {
		return ratelimit.Never
	}
	return max(time.Until(b.Reset), time.Nanosecond) // at the end of a period it may be over already
}
