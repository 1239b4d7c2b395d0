package ledger

import (
	"context"
	"fmt"
	"time"
)

// More takes n more units for the request of the charge: all of them, or none. They count on the day, and in the period,
// in which the charge was taken, whenever it is called. At the limit it is refused with [ErrExhausted], also under
// [Config].AllowOverdraw: so an answer that streams can be cut there. The limit is the one in force, as for Settle.
//
// An n below zero gives back so many of the units before the settlement, never more than were taken. It is made as a
// settlement is: the end of ctx is ignored, and after [ErrUnavailable] the ledger keeps it. An n of 0 does nothing.
//
// After any error of a positive n, nothing is counted for the caller, as after one of Take. Causes: [ErrExhausted],
// [ErrUnavailable], [ErrInvalid], [ErrSettled] after the settlement, and [ErrTooLate] later than [Config].SettleWithin.
// Of the zero Charge it is [ErrNotConfigured]: it has no account.
func (ch Charge) More(ctx context.Context, n int64) error {
	return ch.moreAt(ctx, time.Now().Unix(), nil, n)
}

// MoreUnder is [Charge.More] where the quota may have changed since the charge was taken: q is the present one, as for
// [Charge.SettleUnder].
func (ch Charge) MoreUnder(ctx context.Context, q Quota, n int64) error {
	if err := q.Validate(); err != nil {
		return &Error{Err: err}
	}
	return ch.moreAt(ctx, time.Now().Unix(), &q, n)
}

// moreAt takes first and adds then, so that no lock is held while the engine is asked. If the charge has been closed
// meanwhile, what was taken goes back: a settlement counts all that had been added before it, and nothing else.
//
// It makes the amount before it looks whether the charge is open, and a settlement claims the charge before it looks
// for an amount. So if the settlement finds none, this call finds the charge closed.
func (ch Charge) moreAt(ctx context.Context, now int64, q *Quota, n int64) error {
	switch {
	case n == 0:
		return nil
	case ch.at == nil:
		return &Error{Err: errNoCharge}
	case n < -MaxUnits || n > MaxUnits-ch.Units():
		return &Error{Err: errGrowth(n, ch.Units())}
	}
	c := ch.at.counter
	c.ledger.tellUnsettled(ctx)
	if o := ch.slab.open; o != nil {
		c.ledger.unsettled.expire(ctx, o)
	}
	a := ch.slab.makeAmount(ch.bit)
	if err := ch.closed(); err != nil {
		return err
	}
	if n < 0 {
		if err := ch.add(a, n); err != nil {
			return err
		}
		return c.undo(ctx, ch.at, c.limitInForce(ch.at, q), -n)
	}
	if err := c.more(ctx, now, ch.at, q, n); err != nil {
		return err
	}
	if err := ch.add(a, n); err != nil {
		_ = c.undo(ctx, ch.at, c.limitInForce(ch.at, q), n) // it is kept if it fails
		return err
	}
	return nil
}

// errGrowth says why a charge of so many units cannot grow by n.
func errGrowth(n, units int64) error {
	return fmt.Errorf("%w: %d units and %d more are not within 0 and 2^53", errCost, units, n)
}

// add adds n to the amount of the charge, if it is open and stays within what a charge may have.
func (ch *Charge) add(a *amount, n int64) error {
	switch within, open := a.add(n, -ch.cost, MaxUnits-ch.cost); {
	case !open:
		return ch.closed()
	case !within:
		return &Error{Err: errGrowth(n, ch.Units())}
	}
	return nil
}

// more counts n units for a request admitted at d: from the lease if it is of that account and day, and under the limit
// in force.
func (c *counter) more(ctx context.Context, now int64, d *usageDay, q *Quota, n int64) error {
	if s := c.leaseOf(d, c.limitInForce(d, q)); s != nil && s.spend(n) {
		return c.spentMore(ctx, s, n)
	}
	return c.moreSlowly(ctx, now, d, q, n)
}

// spentMore is spent without a charge to make.
func (c *counter) spentMore(ctx context.Context, s *lease, n int64) error {
	if err := s.note(); err != nil {
		return c.unspend(ctx, s, n, err)
	}
	if s.left.Load() < s.refillBelow.Load() {
		c.prefetch(s)
	}
	return nil
}

// moreSlowly counts n units where the lease does not grant them at once. Like a take, it is refused in an outage, and
// after Close. Only the newest account of the key can have a lease, so an older one needs no turn.
func (c *counter) moreSlowly(ctx context.Context, now int64, d *usageDay, q *Quota, n int64) error {
	if err := c.ledger.open(); err != nil {
		return err
	}
	probe, err := c.ledger.committer.ask()
	if err != nil {
		return err
	}
	defer probe.end()
	by := c.limitInForce(d, q)
	if c.ledger.config.Exact || c.latest.Load().start != d.start {
		if err := c.refusalOfMore(d, by, n); err != nil {
			return err
		}
		return c.moreAlone(ctx, d, by, n)
	}
	if s := c.leaseOf(d, by); s != nil {
		if err := s.refusal(n); err != nil {
			return err
		}
	}
	if err := c.enterOpen(ctx); err != nil {
		return err
	}
	defer c.leave()
	return c.moreLeased(ctx, now, d, q, n)
}

// moreLeased spends n from the lease, which it refills as a take does. Where the lease is of another day, or under
// another limit, the units are counted by an operation of their own. The caller holds turn.
func (c *counter) moreLeased(ctx context.Context, now int64, d *usageDay, q *Quota, n int64) error {
	by := c.limitInForce(d, q)
	for {
		s, err := c.leaseFor(ctx, now, d, q, by)
		if err != nil {
			return err
		}
		if s == nil {
			return c.moreAlone(ctx, d, by, n)
		}
		if s.spend(n) {
			c.ledger.idle.watch(c, s)
			return c.spentMore(ctx, s, n)
		}
		if err := s.refusal(n); err != nil {
			return err
		}
		left := s.left.Load()
		need := n - left
		if need <= 0 {
			continue // a refund came in between
		}
		a, err := c.refill(ctx, s, need, need, max(need, c.size(s)-left))
		switch {
		case err != nil:
			return err
		case a.stale: // s is of a day that is over
			return c.moreAlone(ctx, d, by, n)
		case a.refused && s.left.Load() < n:
			return &Error{Err: ErrExhausted, Balance: s.balance()}
		}
	}
}

// leaseFor returns a lease of the account and day of d, under the limit in force, that may be refilled. As long as the
// day goes on, it begins one where the key has none, or one that does not fit. Else it returns nil. The caller holds
// turn.
func (c *counter) leaseFor(ctx context.Context, now int64, d *usageDay, q *Quota, by inForce) (*lease, error) {
	latest, s := c.latest.Load(), c.leaseOf(d, by)
	goesOn := latest.start == d.start && latest.day == d.day && now < latest.dayEnd
	if goesOn && (s == nil || s.doubtful) {
		quota := latest.quota
		if q != nil && by.known {
			quota = *q
		}
		if _, err := c.leased(ctx, now, quota); err != nil {
			return nil, err
		}
		s = c.leaseOf(d, by)
	}
	if s == nil || s.doubtful {
		return nil, nil
	}
	return s, nil
}

// moreAlone counts n units by an operation of its own. A lease of the account, of another day, may go on. It is ended if
// it is under another limit, or if the engine has too few units and the lease has some left. If the account is the
// newest, the caller holds turn in leased mode, until the answer is kept.
//
// Example: of a monthly limit of 100, 60 are used, and the lease of today holds 40. A request of yesterday wants 10
// more. The engine refuses: all 100 are counted. The lease ends, gives back its 40, and the 10 are granted.
func (c *counter) moreAlone(ctx context.Context, d *usageDay, by inForce, n int64) error {
	o := c.op(grow, d)
	o.want, o.min = n, n
	if by.known {
		o.limit, o.inForce = by.limit, true
	}
	s := c.lease.Load()
	if s != nil && s.start != d.start {
		s = nil
	}
	var a reply
	ends := s != nil && by.known && s.quota.Limit != by.limit
	if !ends {
		var err error
		if a, err = c.ledger.committer.one(ctx, o); err != nil {
			return err
		}
		ends = a.refused && s != nil && s.left.Load() > 0
	}
	if ends {
		answers, err := c.commitEnding(ctx, o)
		if err != nil {
			return err
		}
		s, a = nil, answers[0]
	}
	c.observe(d, a)
	c.learnMore(d, s, by, a)
	if a.granted < n {
		b, _ := c.balance(d)
		return &Error{Err: ErrExhausted, Balance: b}
	}
	return nil
}

// learnMore keeps an answer to growth. s is the open lease of the account, or nil: what has been granted is not in it.
func (c *counter) learnMore(d *usageDay, s *lease, by inForce, a reply) {
	if s != nil {
		a.granted = 0
		s.learn(a, s.reported)
		return
	}
	limit := a.totals.limit
	if by.known {
		limit = by.limit
	}
	c.learn(d, a, limit)
}

// refusalOfMore returns an error if memory tells that the account of d has no room for n. It is for accounts that no
// lease can be of. Of one before the newest it tells nothing: each day of it keeps an answer of its own, which does not
// know what a charge of another day has given back.
func (c *counter) refusalOfMore(d *usageDay, by inForce, n int64) error {
	newest := c.latest.Load()
	if newest.start != d.start {
		return nil
	}
	b := newest.answer.Load()
	if b == nil || b.room >= n || by.known && b.limit != by.limit || !c.ledger.isFresh(b) {
		return nil
	}
	return &Error{Err: ErrExhausted, Balance: newest.balanceOf(b, 0)}
}

// balance is that of the account of d, as this ledger knows it without asking the engine; false if it knows nothing.
func (c *counter) balance(d *usageDay) (Balance, bool) {
	b := c.known(d)
	if b == nil {
		return Balance{}, false
	}
	return c.newestOf(d).balanceOf(b, 0), true
}
