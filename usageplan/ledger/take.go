package ledger

import (
	"context"
	"fmt"
	"math"
	"time"
)

// Take counts cost units against the account of key that is current under q, or refuses and counts nothing: then the
// error wraps [ErrExhausted] and carries the balance. A cost of 0 is never refused for want of units. q may differ from
// call to call: a changed limit acts at once; a changed period or offset lets the running account go on to the first
// boundary of the new quota. The end of ctx ends the wait for others who take; an answer of the store is waited for.
// Granted from a lease, it allocates once in 256 takes. Other causes: [ErrUnavailable], [ErrQuota], [ErrKey], [ErrCost],
// [ErrClosed], [ErrNotConfigured].
func (l *Ledger) Take(ctx context.Context, key Key, q Quota, cost int64) (Charge, error) {
	return l.takeAt(ctx, time.Now().Unix(), key, q, cost)
}

func (l *Ledger) takeAt(ctx context.Context, now int64, key Key, q Quota, cost int64) (ch Charge, err error) {
	if l == nil || l.config.Store == nil {
		return Charge{}, &Error{Err: ErrNotConfigured}
	}
	c := l.cells.get(key)
	if c == nil {
		if c, err = l.cell(key, q); err != nil {
			return Charge{}, err
		}
	}
	err = c.take(ctx, now, &q, cost, &ch)
	return ch, err
}

// take spends from the lease if it is for now and holds enough. A lease is never of a quota that is not valid. Handing the
// charge up by value from call to call would take a third of the time.
func (c *cell) take(ctx context.Context, now int64, q *Quota, cost int64, ch *Charge) (err error) {
	if cost < 0 || cost > MaxUnits {
		return &Error{Err: fmt.Errorf("%w: %d", ErrCost, cost)}
	}
	if s := c.lease.Load(); s != nil && s.fits(now, q) && s.spend(cost) {
		return c.spent(ctx, s, cost, ch)
	}
	*ch, err = c.takeSlowly(ctx, now, *q, cost)
	return err
}

func (c *cell) takeSlowly(ctx context.Context, now int64, q Quota, cost int64) (Charge, error) {
	if err := c.ledger.open(); err != nil {
		return Charge{}, err
	}
	if err := q.Validate(); err != nil {
		return Charge{}, &Error{Err: err}
	}
	switch {
	case cost == 0:
		s, v, err := c.read(ctx, now, q)
		if err != nil {
			return Charge{}, err
		}
		return c.charge(s, 0, v), nil
	case c.ledger.config.Mode == Exact:
		return c.takeExactly(ctx, now, q, cost)
	}
	return c.takeLeased(ctx, now, q, cost)
}

// takeLeased takes from the lease, which it refills as long as there is anything to reserve. Waiters are served in order.
func (c *cell) takeLeased(ctx context.Context, now int64, q Quota, cost int64) (ch Charge, err error) {
	if err := c.enterOpen(ctx); err != nil {
		return Charge{}, err
	}
	defer c.leave()
	for {
		s, err := c.current(ctx, now, q)
		if err != nil {
			return Charge{}, err
		}
		if s.spend(cost) {
			err = c.spent(ctx, s, cost, &ch)
			return ch, err
		}
		need := cost - s.left.Load()
		if need <= 0 {
			continue // a refund came in between
		}
		out, err := c.refill(ctx, s, need, max(need, c.size(s)-s.left.Load()))
		if err != nil {
			return Charge{}, err
		}
		if out.Refused && s.left.Load() < cost {
			return Charge{}, &Error{Err: ErrExhausted, Balance: s.balance()}
		}
	}
}

// spent makes ch the charge of what has just been spent from s.
func (c *cell) spent(ctx context.Context, s *lease, cost int64, ch *Charge) error {
	if cost > 0 {
		if err := s.note(); err != nil {
			if !s.refund(cost, math.MaxInt64) { // not while the caller holds turn: then s has not ended
				_ = c.giveBack(ctx, s, inForce{}, cost) // unavailable either way
			}
			c.ledger.background(func() { c.drop(s) })
			return &Error{Err: ErrUnavailable, Cause: err}
		}
	}
	v, left := s.look()
	if left < s.half.Load() {
		c.prefetch(s)
	}
	ch.at, ch.cost, ch.view, ch.left = s, cost, v, left
	c.slabs.number(ch)
	return nil
}

// drop ends a lease of which the spends cannot be noted any more, so that the next take begins another.
func (c *cell) drop(s *lease) {
	ctx := context.Background()
	if c.enter(ctx) != nil {
		return
	}
	defer c.leave()
	if c.lease.Load() == s {
		_, _ = c.commitEnding(ctx) // what fails is owed
	}
}

// takeExactly takes by an operation of its own. It needs no turn, so requests of one key share a commit.
func (c *cell) takeExactly(ctx context.Context, now int64, q Quota, cost int64) (Charge, error) {
	s := c.lease.Load()
	for s == nil || !s.fits(now, &q) {
		var err error
		if s, err = c.roll(ctx, now, q, Totals{}); err != nil {
			return Charge{}, err
		}
	}
	for {
		op := c.op(KindCharge, s)
		op.Want, op.Min = cost, cost
		out, err := c.ledger.group.one(ctx, op)
		switch {
		case err != nil:
			return Charge{}, err
		case out.Stale:
			if s, err = c.roll(ctx, now, q, out.Totals); err != nil {
				return Charge{}, err
			}
			continue
		}
		c.observe(s, out)
		v := c.learn(s, out, s.quota.Limit)
		if out.Refused {
			return Charge{}, &Error{Err: ErrExhausted, Balance: s.balanceOf(v, 0)}
		}
		return c.charge(s, cost, v), nil
	}
}

// roll makes the account and day of now current, or those of newest if they are later.
func (c *cell) roll(ctx context.Context, now int64, q Quota, newest Totals) (*lease, error) {
	if err := c.enterOpen(ctx); err != nil {
		return nil, err
	}
	defer c.leave()
	c.catchUp(newest)
	return c.current(ctx, now, q)
}

// charge makes the charge of what is known after it. The store has been asked, so slabs that all cells share are fast
// enough, and they are in the processor's cache whichever key it is.
func (c *cell) charge(s *lease, cost int64, v *view) Charge {
	ch := Charge{at: s, cost: cost, view: v}
	c.ledger.slabs.number(&ch)
	return ch
}
