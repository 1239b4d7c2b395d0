package ledger

import (
	"context"
	"fmt"
	"math"
	"time"
)

// Take counts cost units against the account of key that is current under q, or refuses and counts nothing: then the
// error wraps [ErrExhausted] and carries the balance. A cost of 0 is never refused for lack of units. q may differ from
// call to call: a changed limit acts at once; a changed period or offset lets the running account go on to the first
// boundary of the new quota. A key that is exhausted is refused from memory, see [Config].Stale.
//
// The end of ctx ends the wait for others who take; an answer of the engine is waited for. Granted from a lease, it
// allocates once in 256 takes. Other causes: [ErrUnavailable], [ErrInvalid],
// [ErrNotConfigured].
func (l *Ledger) Take(ctx context.Context, key Key, q Quota, cost int64) (Charge, error) {
	return l.takeAt(ctx, time.Now().Unix(), key, q, cost)
}

// takeAt is Take at an instant. It does not validate the key of a counter that exists, nor the quota before it has to
// ask the engine: both would cost more than the take itself.
func (l *Ledger) takeAt(ctx context.Context, now int64, key Key, q Quota, cost int64) (ch Charge, err error) {
	if l == nil || l.config.Engine == nil {
		return Charge{}, &Error{Err: ErrNotConfigured}
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
		return &Error{Err: fmt.Errorf("%w: %d", errCost, cost)}
	}
	if s := c.lease.Load(); s != nil && s.fits(now, q) && s.spend(cost) {
		return c.spent(ctx, s, cost, ch)
	}
	*ch, err = c.takeSlowly(ctx, now, *q, cost)
	return err
}

// takeSlowly takes where the lease cannot grant at once. So checks that a lease has passed already stand here: whether
// the ledger is open and the quota valid. A cost of 0 is a read. It has nothing to count and is never refused for lack
// of units, but its charge has a balance. In an outage of the engine, takes are refused here, except one after each
// pause.
func (c *counter) takeSlowly(ctx context.Context, now int64, q Quota, cost int64) (Charge, error) {
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
	case cost == 0:
		d, b, err := c.read(ctx, now, q)
		if err != nil {
			return Charge{}, err
		}
		return c.charge(d, 0, b), nil
	case c.ledger.config.Exact:
		return c.takeExactly(ctx, now, q, cost)
	}
	return c.takeLeased(ctx, now, q, cost)
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
func (c *counter) takeLeased(ctx context.Context, now int64, q Quota, cost int64) (ch Charge, err error) {
	if s := c.lease.Load(); s != nil && s.fits(now, &q) {
		if err := s.refusal(cost); err != nil {
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
		if s.spend(cost) {
			c.ledger.idle.watch(c, s)
			err = c.spent(ctx, s, cost, &ch)
			return ch, err
		}
		if err := s.refusal(cost); err != nil {
			return Charge{}, err
		}
		need := cost - s.left.Load()
		if need <= 0 {
			continue // a refund came in between
		}
		a, err := c.refill(ctx, s, need, max(need, c.size(s)-s.left.Load()))
		if err != nil {
			return Charge{}, err
		}
		if a.refused && s.left.Load() < cost {
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
			if !s.refund(cost, math.MaxInt64) { // not while the caller holds turn: then s has not ended
				_ = c.undo(ctx, &s.usageDay, inForce{}, cost) // unavailable either way
			}
			c.ledger.background(func() { c.drop(s) })
			return &Error{Err: ErrUnavailable, Cause: err}
		}
	}
	b, left := s.look()
	if left < s.refillBelow.Load() {
		c.prefetch(s)
	}
	ch.at, ch.cost, ch.base, ch.left = &s.usageDay, cost, b, left
	c.slabs.number(ch)
	return nil
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
func (c *counter) takeExactly(ctx context.Context, now int64, q Quota, cost int64) (Charge, error) {
	d := c.latest.Load()
	for d == nil || !d.serves(now, &q) {
		var err error
		if d, err = c.roll(ctx, now, q, totals{}); err != nil {
			return Charge{}, err
		}
	}
	for {
		if err := c.refusal(d, cost); err != nil {
			return Charge{}, err
		}
		o := c.op(charge, d)
		o.want, o.min = cost, cost
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
		return c.charge(d, cost, b), nil
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
	c.ledger.slabs.number(&ch)
	return ch
}
