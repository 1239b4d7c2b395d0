package usageplan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A Request is what [Meter.Take] decides about: a request without HTTP.
type Request struct {
	Client string // the verified client; required
	Route  Route  // API and Stage are required; Resource and Method decide which throttles of methods apply
	Cost   int64  // the units to take from the quotas, 0 to [ledger.MaxUnits]

	least int64 // the fewest units that will do: Cost, or less in TakeUpTo
}

// Take decides about q and takes its cost, all or nothing: if any limit refuses q, it has taken nothing from the
// others. An error is an [*Error], which is also an [http.Handler] with the answer to the client.
//
// A request that a later limit refuses holds the tokens and units of the earlier ones for a moment, until it gives them
// back. In that moment they may be missing to another request of the same client, which is then refused. No limit is
// ever exceeded. If the ledger's engine fails before everything is given back, the ledger gives back the rest when the
// engine works again.
//
// The caller calls [Charge.Release] when the request has ended, if Plan.InFlight or Config.InFlight bounds how many run.
//
// Config.Observe is told the decision. Config.RequestID is not asked, because there is no HTTP request.
func (m *Meter) Take(ctx context.Context, q Request) (c Charge, err error) {
	q.least = q.Cost
	err = m.tell(ctx, &q, &c, m.decide(ctx, &q, &c))
	return c, err
}

// tell tells Observe how decide has decided about q, which is no HTTP request, and returns err. If that is not nil, it
// makes the charge zero.
func (m *Meter) tell(ctx context.Context, q *Request, c *Charge, err error) error {
	switch {
	case err != nil:
		*c = Charge{}
		e := m.name(err, nil, nil)
		m.tellRefused(ctx, nil, e, e.layer(), false)
	case m.config.Observe != nil:
		m.tellAllowed(ctx, nil, nil, q, c)
	}
	return err
}

// decide is Take without Observe. The charge is a parameter, because it would be copied as a result. If decide returns
// an error, the charge means nothing. m may be nil.
func (m *Meter) decide(ctx context.Context, q *Request, c *Charge) error {
	if err := m.acceptable(q); err != nil {
		return err
	}
	now, err := m.current(ctx, q)
	if err != nil {
		return err
	}
	p, found := m.table.find(q.Client, m.config.Default, &q.Route)
	if !found {
		return m.refusal(noPlan(q), q)
	}
	c.Client, c.Plan, c.state, c.cost, c.meter = q.Client, p.state.ID, p.state, q.Cost, m
	if client, total := p.inFlight(); client > 0 || total > 0 || m.config.InFlight > 0 {
		return m.takeInPlace(ctx, now, q, &p, c)
	}
	return m.take(ctx, now, q, &p, c)
}

// noPlan is [ErrNoPlan]. The text of a refusal has the route, unless there is none.
func noPlan(q *Request) error {
	if q.Route.API == "" && q.Route.Stage == "" {
		return fmt.Errorf("%w: Request.Route has no API and no Stage", ErrNoPlan)
	}
	return ErrNoPlan
}

// acceptable returns the refusal of a request that no plan could admit, or nil.
func (m *Meter) acceptable(q *Request) error {
	if err := m.configured(); err != nil {
		return err
	}
	if q.Client == "" || len(q.Client) > maxClient {
		return m.refusal(ErrNoClient, q)
	}
	if q.Cost < 0 || q.Cost > ledger.MaxUnits {
		e := m.refusal(fmt.Errorf("%w: its cost is %d, not 0 to %d", ErrNotConfigured, q.Cost, int64(ledger.MaxUnits)), q)
		e.cost = 0 // an observer may add up costs in a counter, which takes no number below 0
		return e
	}
	if q.least > q.Cost || q.least < min(q.Cost, 1) {
		return m.refusal(fmt.Errorf("%w: it takes at least %d units, not %d to its cost of %d", ErrNotConfigured, q.least, min(q.Cost, 1), q.Cost), q)
	}
	return nil
}

// take asks the limits in API Gateway's order. If one refuses, it gives back what it took from those before.
//
// For example, let a client have one token left in its throttle, and no unit in its quota. Its request takes the token.
// The ledger refuses. The token goes back, and the bucket is as if the request had never come. A second request that
// comes between the two steps finds no token and is refused by the throttle, although the quota would have refused it
// anyway. So a client may be refused for another reason than alone, but it is never admitted beyond a limit.
//
// The throttles that all clients share come last. The ledger may wait for a disk, and a request that held a token of
// theirs meanwhile would take it from other clients, even if its own quota then refuses it. The clock is read once for
// all limits before the ledger, which is now, and once more after it.
func (m *Meter) take(ctx context.Context, now time.Time, q *Request, p *match, c *Charge) error {
	var taken [2]ratelimit.Receipt
	if m.config.Throttle != nil {
		if err := m.ask(ctx, q, p, c); err != nil {
			return err
		}
		now = time.Now() // Config.Throttle may have waited for a network
	} else {
		c.own.ofClient(q, p)
		if err := m.draw(now, &c.own, taken[:], q, p); err != nil {
			return err
		}
	}
	if err := m.count(ctx, now, q, p, c); err != nil {
		m.giveBack(c, taken[:])
		return err
	}
	if m.account == nil && m.stages == nil {
		return nil
	}
	var shared draws
	m.shared(&shared, q)
	// The clock is read again, because the ledger may have taken long.
	if err := m.draw(time.Now(), &shared, make([]ratelimit.Receipt, len(shared.refs)), q, p); err != nil {
		m.giveBack(c, taken[:])
		err.Err = alsoKept(err.Err, c.Settle(ctx, 0))
		return err
	}
	return nil
}

// count takes q's cost from all quotas of the plan, or from none. If the plan has no quota, it counts the cost as
// usage. A request that cannot be counted is refused, whether a quota needs the count or not: the reader of the usage
// relies on it as much as a quota does. Config.AllowDespite may admit it. Without Config.Ledger, nothing is counted. A
// quota that another process has given to a plan meanwhile then refuses with [ledger.ErrNotConfigured].
//
// Each quota is an account of its own in the ledger, and the ledger decides about one account at a time. So if the
// second quota refuses, the first one is settled with 0.
func (m *Meter) count(ctx context.Context, now time.Time, q *Request, p *match, c *Charge) error {
	if m.config.Ledger == nil && len(p.state.Quotas) == 0 {
		return nil
	}
	for i, quota := range p.state.counted {
		into := &c.first
		if i > 0 {
			c.more = append(c.more, ledger.Charge{})
			into = &c.more[i-1]
		}
		ref, err := p.member.account(m.config.Ledger, p.state.key(i, q.Client), quota.Period)
		switch {
		case err != nil:
		case q.least == c.cost:
			*into, err = ref.TakeAt(ctx, now, p.state.quota(i, p.member), c.cost)
		default:
			*into, err = ref.TakeUpToAt(ctx, now, p.state.quota(i, p.member), q.least, c.cost)
			c.cost = into.Units() // the next quota needs to give no more
		}
		if err != nil {
			return m.uncounted(ctx, q, p, i, alsoKept(err, c.Settle(ctx, 0)))
		}
	}
	if q.least < q.Cost && len(c.more) > 0 {
		if err := c.level(ctx); err != nil {
			return m.uncounted(ctx, q, p, 0, alsoKept(err, c.Settle(ctx, 0)))
		}
	}
	return nil
}

// alsoKept adds to the text of a refusal that its units could not be given back yet. The cause stays that of the
// refusal alone: the request was refused by a limit, and the failure of the engine has changed nothing about that. The
// ledger gives the units back later, and tells [ledger.Config].Observe of the failure.
//
// Example: AllowDespite admits what [ledger.ErrUnavailable] refuses. A second quota is used up, and then the engine
// fails while the units of the first are given back. The request stays refused with ErrQuotaExceeded.
func alsoKept(refusal, failed error) error {
	if failed == nil {
		return refusal
	}
	return fmt.Errorf("%w (what was taken is given back later: %v)", refusal, failed)
}

// requests is the unit of an item of RateLimit-Policy that names none
// (https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-11#section-3.1).
const requests = "requests"

// unit returns what the quotas count, for the RateLimit fields. It is "" if Config.Unit is not set and they may count
// something other than requests.
func (m *Meter) unit(cost int64) string {
	if m.config.Unit == "" && m.config.Cost == nil && cost <= 1 {
		return requests
	}
	return m.config.Unit
}

// refusal returns the error for a refused request.
func (m *Meter) refusal(cause error, q *Request) *Error {
	return &Error{Err: cause, Client: q.Client, Route: q.Route, cost: q.Cost, strict: m.config.AWSStrict}
}

// uncounted returns the refusal of a request for which quota i could not be taken, because of the ledger's error err.
// If the quota is used up, RetryAfter is the longest wait of this quota and of those behind it.
func (m *Meter) uncounted(ctx context.Context, q *Request, p *match, i int, err error) *Error {
	e := m.uncountedBy(ctx, q, p.state, i, err)
	for j := i + 1; j < len(p.state.Quotas); j++ {
		m.prolong(ctx, e, p.state.key(j, q.Client), p.state.quota(j, p.member), q.least)
	}
	return e
}

// uncountedBy is uncounted without the quotas behind quota i. If the plan has no quota, the error names none. Then
// ErrExhausted is of the bound to which the ledger can count.
func (m *Meter) uncountedBy(ctx context.Context, q *Request, s *state, i int, err error) *Error {
	e := m.refusal(ownCancel(ctx, err), q)
	limited := len(s.Quotas) > 0
	if e.Plan = s.ID; limited {
		e.Layer, e.Period = planQuota.String(), s.Quotas[i].Period
	}
	spent, is := errors.AsType[*ledger.Error](err)
	if !is || !errors.Is(err, ledger.ErrExhausted) {
		return e
	}
	e.Err = fmt.Errorf("%w: %w", ErrQuotaExceeded, err)
	e.RetryAfter = wait(spent.Balance, q.least)
	if unit := m.unit(q.Cost); unit != "" && limited {
		e.fields = []ratelimit.Field{quotaField(unit, e.Period, spent.Balance)}
	}
	return e
}

// prolong makes RetryAfter of e longer if another quota does not have least units either.
func (m *Meter) prolong(ctx context.Context, e *Error, key ledger.Key, q ledger.Quota, least int64) {
	if !errors.Is(e.Err, ErrQuotaExceeded) {
		return
	}
	b, err := m.config.Ledger.Balance(ctx, key, q)
	if err == nil && b.Remaining < least { // on an error it is unknown whether this quota refuses too
		e.RetryAfter = max(e.RetryAfter, wait(b, least))
	}
}

// ownCancel marks the error of a ledger or a throttle that was canceled while the request was not: an engine that was
// shut down returns [context.Canceled] too, and that is a failure.
func ownCancel(ctx context.Context, err error) error {
	if errors.Is(err, context.Canceled) && !errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("%w: %w", errOwnCancel, err)
	}
	return err
}

// wait returns how long a quota that is used up refuses the cost: until the next period, or forever if the whole limit
// is smaller than the cost.
func wait(b ledger.Balance, cost int64) time.Duration {
	if cost > b.Limit {
		return ratelimit.Never
	}
	return max(time.Until(b.Reset), time.Nanosecond) // the period may have ended since the ledger decided
}
