package ledger

import (
	"context"
	"fmt"
	"math"
	"time"
)

// Take counts cost units against the account of key that is current under q, or refuses and counts nothing: then the
// error wraps [ErrExhausted] and carries the balance. q may differ from call to call: a changed limit acts at once; a
// changed period or offset lets the running account go on to the first boundary of the new quota. A key that is
// exhausted is refused from memory, see [Config].Stale.
//
// A cost of 0 is never refused for lack of units. It counts nothing, so it begins no period. If nothing else is counted
// in that period before the key's next one begins, the charge has come too late for it: [Charge.More] is refused with
// [ErrExhausted], and a true-up is forgiven. A request that may go on past midnight takes at least 1.
//
// The end of ctx ends the wait for others who take; an answer of the engine is waited for. Granted from a lease, it
// allocates once in 256 takes. Other causes: [ErrUnavailable], [ErrInvalid],
// [ErrNotConfigured].
func (l *Ledger) Take(ctx context.Context, key Key, q Quota, cost int64) (Charge, error) {
	return l.takeAt(ctx, time.Now().Unix(), key, q, cost)
}

// TakeUpTo is [Ledger.Take] of what is left: of most units, or fewer if no more are left, but at least least. It refuses
// as Take does, with [ErrExhausted], if fewer than least are left. Both are 1 to [MaxUnits], and least is not above
// most: else [ErrInvalid]. [Charge.Units] says how many it has taken.
//
// It fits a request of which the cost is not known before: take up to the most that it may cost, serve it within the
// units, and settle. Where other ledgers over the engine hold leases, what they hold is not left.
func (l *Ledger) TakeUpTo(ctx context.Context, key Key, q Quota, least, most int64) (Charge, error) {
	return l.takeUpToAt(ctx, time.Now().Unix(), key, q, least, most)
}

func (l *Ledger) takeUpToAt(ctx context.Context, now int64, key Key, q Quota, least, most int64) (ch Charge, err error) {
	if l == nil || l.config.Engine == nil {
		return Charge{}, &Error{Err: errNoLedger}
	}
	c, err := l.counter(key, q)
	if err != nil {
		return Charge{}, err
	}
	err = c.takeUpTo(ctx, now, &q, least, most, &ch)
	return ch, err
}

// takeAt is Take at an instant. It does not validate the key of a counter that exists, nor the quota before it has to
// ask the engine: both would cost more than the take itself.
func (l *Ledger) takeAt(ctx context.Context, now int64, key Key, q Quota, cost int64) (ch Charge, err error) {
	if l == nil || l.config.Engine == nil {
		return Charge{}, &Error{Err: errNoLedger}
	}
	c := l.counters.get(key)
	if c == nil {
		if c, err = l.counter(key, q); err != nil {
			return Charge{}, err
		}
	}
	err = c.take(ctx, now, &q, cost, &ch)
	return ch, err
}

// take spends from the lease if it is for now and holds enough. A lease is never of a quota that is not valid. Any
// number of goroutines may call it at once. It does not look whether the ledger is closed, because Close ends the
// lease, and nobody can spend from one that has ended.
//
// Handing the charge up by value from call to call would take a third of the time.
func (c *counter) take(ctx context.Context, now int64, q *Quota, cost int64, ch *Charge) (err error) {
	if cost < 0 || cost > MaxUnits {
		return &Error{Err: fmt.Errorf("%w: %d is not within 0 and 2^53", errCost, cost)}
	}
	c.ledger.tellUnsettled(ctx)
	if s := c.lease.Load(); s != nil && s.fits(now, q) && s.spend(cost) {
		return c.spent(ctx, s, cost, ch)
	}
	*ch, err = c.takeSlowly(ctx, now, *q, cost, cost)
	return err
}

// takeUpTo is take of most units, or at least least. Only the engine knows whether it has more than the lease.
func (c *counter) takeUpTo(ctx context.Context, now int64, q *Quota, least, most int64, ch *Charge) (err error) {
	if least < 1 || least > most || most > MaxUnits {
		return &Error{Err: fmt.Errorf("%w: least is %d and most is %d: least must be 1 or more, and most from least to 2^53", errCost, least, most)}
	}
	c.ledger.tellUnsettled(ctx)
	if s := c.lease.Load(); s != nil && s.fits(now, q) && s.spend(most) {
		return c.spent(ctx, s, most, ch)
	}
	*ch, err = c.takeSlowly(ctx, now, *q, least, most)
	return err
}

// takeSlowly takes where the lease cannot grant at once: most units, or fewer, but at least least. So checks that a
// lease has passed already stand here: whether the ledger is open and the quota valid. A cost of 0 is a read. It has
// nothing to count and is never refused for lack of units, but its charge has a balance. In an outage of the engine,
// takes are refused here, except one after each pause.
func (c *counter) takeSlowly(ctx context.Context, now int64, q Quota, least, most int64) (Charge, error) {
	if err := c.ledger.open(); err != nil {
		return Charge{}, err
	}
	if err := q.Validate(); err != nil {
		return Charge{}, &Error{Err: err}
	}
	probe, err := c.ledger.committer.ask()
	if err != nil {
		return Charge{}, err
	}
	defer probe.end()
	switch {
	case most == 0:
		d, b, err := c.read(ctx, now, q)
		if err != nil {
			return Charge{}, err
		}
		return c.charge(d, 0, b), nil
	case c.ledger.config.Exact:
		return c.takeExactly(ctx, now, q, least, most)
	}
	return c.takeLeased(ctx, now, q, least, most)
}

// takeLeased takes from the lease, which it refills as long as there is anything to reserve. Waiters are served in
// order; one that memory refuses does not wait.
//
// Example: 5 units are left in the lease, a block is 64, and the cost is 8. The refill asks for 59, and for 3 at least.
// Granted 59, the lease has 64, and the next round spends 8 of them. If the engine has only 2, it refuses, and so does
// the take. The 5 stay for a request that costs less.
//
// While it asks the engine, others may spend from the lease, so the next round may find too little again and refill
// once more. It ends when the cost has been spent or the engine has no more.
//
// TakeUpTo asks for all that it may take. Example: it takes 3 to 100, and 5 are left in the lease. The refill asks for
// 95. Granted 20, the engine has no more, and it spends the 25.
func (c *counter) takeLeased(ctx context.Context, now int64, q Quota, least, most int64) (ch Charge, err error) {
	if s := c.lease.Load(); s != nil && s.fits(now, &q) {
		if err := s.refusal(least); err != nil {
			return Charge{}, err
		}
	}
	if err := c.enterOpen(ctx); err != nil {
		return Charge{}, err
	}
	defer c.leave()
	for {
		s, err := c.leased(ctx, now, q)
		if err != nil {
			return Charge{}, err
		}
		if s.spend(most) {
			c.ledger.idle.watch(c, s)
			err = c.spent(ctx, s, most, &ch)
			return ch, err
		}
		if err := s.refusal(least); err != nil {
			return Charge{}, err
		}
		left := s.left.Load()
		need := most - left
		if need <= 0 {
			continue // a refund came in between
		}
		a, err := c.refill(ctx, s, max(0, least-left), need, max(need, c.size(s)-left))
		switch {
		case err != nil:
			return Charge{}, err
		case a.stale || a.gone || a.granted >= need:
			continue
		}
		if n := s.spendUpTo(least, most); n > 0 {
			c.ledger.idle.watch(c, s)
			err = c.spent(ctx, s, n, &ch)
			return ch, err
		}
		if a.refused {
			return Charge{}, &Error{Err: ErrExhausted, Balance: s.balance()}
		}
	}
}

// spent makes ch the charge of what has just been spent from s. A spend that cannot be noted in the slot is not
// granted: after a kill, its units would be given back though they were used. So they go back into the lease, or to the
// engine if the lease has ended meanwhile. The lease is then ended in the background, because the caller may hold turn.
func (c *counter) spent(ctx context.Context, s *lease, cost int64, ch *Charge) error {
	if cost > 0 {
		if err := s.note(); err != nil {
			return c.unspend(ctx, s, cost, err)
		}
	}
	b, left := s.look()
	if left < s.refillBelow.Load() {
		c.prefetch(s)
	}
	ch.at, ch.cost, ch.base, ch.left = &s.usageDay, cost, b, left
	if c.ledger.unsettled.within > 0 {
		c.ledger.unsettled.add(ch)
		return nil
	}
	c.slabs.number(ch)
	return nil
}

// unspend takes back a spend that the slot has refused to note.
func (c *counter) unspend(ctx context.Context, s *lease, n int64, cause error) error {
	if !s.refund(n, math.MaxInt64) { // not while the caller holds turn: then s has not ended
		_ = c.undo(ctx, &s.usageDay, inForce{}, n) // unavailable either way
	}
	c.ledger.background(func() { c.drop(s) })
	return &Error{Err: ErrUnavailable, Cause: cause}
}

// drop ends a lease of which the spends cannot be noted any more, so that the next take begins another. It does nothing
// if somebody else has ended it by then.
func (c *counter) drop(s *lease) {
	ctx := context.Background()
	if c.enter(ctx) != nil {
		return
	}
	defer c.leave()
	if c.lease.Load() == s {
		_, _ = c.commitEnding(ctx) // what fails goes to the outbox
	}
}

// takeExactly takes by an operation of its own. It needs no turn, so requests of one key share a commit. It asks again
// only where the answer is that the engine knows a newer account or day, and then on that one.
func (c *counter) takeExactly(ctx context.Context, now int64, q Quota, least, most int64) (Charge, error) {
	d := c.latest.Load()
	for d == nil || !d.serves(now, &q) {
		var err error
		if d, err = c.roll(ctx, now, q, totals{}); err != nil {
			return Charge{}, err
		}
	}
	for {
		if err := c.refusal(d, least); err != nil {
			return Charge{}, err
		}
		o := c.op(charge, d)
		o.want, o.min = most, least
		a, err := c.ledger.committer.one(ctx, o)
		switch {
		case err != nil:
			return Charge{}, err
		case a.early:
			return Charge{}, tooEarly()
		case a.stale:
			if d, err = c.roll(ctx, now, q, a.totals); err != nil {
				return Charge{}, err
			}
			continue
		}
		c.observe(d, a)
		b := c.learn(d, a, d.quota.Limit)
		if a.refused {
			return Charge{}, &Error{Err: ErrExhausted, Balance: d.balanceOf(b, 0)}
		}
		return c.charge(d, a.granted, b), nil
	}
}

// roll makes the account and day of now current, or those of newest if they are later. It takes the turn, so of many
// requests that come to a new day at once, one makes it and the others find it made.
func (c *counter) roll(ctx context.Context, now int64, q Quota, newest totals) (*usageDay, error) {
	if err := c.enterOpen(ctx); err != nil {
		return nil, err
	}
	defer c.leave()
	c.catchUp(newest.start, newest.day)
	return c.current(ctx, now, q)
}

// charge makes the charge of what is known after it. The engine has been asked, so slabs that all counters share are
// fast enough, and they are in the processor's cache whichever key it is.
func (c *counter) charge(d *usageDay, cost int64, b *baseline) Charge {
	ch := Charge{at: d, cost: cost, base: b}
	if c.ledger.unsettled.within > 0 {
		c.ledger.unsettled.add(&ch)
		return ch
	}
	c.ledger.slabs.number(&ch)
	return ch
}
