package ledger

import (
	"context"
	"errors"
	"time"
)

// refill reserves for s. The caller holds turn.
func (c *cell) refill(ctx context.Context, s *lease, least, want int64) (Outcome, error) {
	if err := c.openSlot(s); err != nil {
		return Outcome{}, err
	}
	op := c.op(KindReserve, s)
	op.Lease, op.Spent, op.Min, op.Want = s.id, s.spentSoFar(), least, want
	out, err := c.ledger.group.one(ctx, op)
	if _, never := errors.AsType[unsent](err); never {
		return Outcome{}, err
	}
	s.reserved = true
	if err != nil {
		s.doubtful = true
		return Outcome{}, err
	}
	if out.Stale {
		c.catchUp(out.Totals)
		return out, nil
	}
	s.learn(out, op.Spent)
	c.filled = time.Since(c.ledger.began)
	c.observe(s, out)
	return out, nil
}

// openSlot gives a new lease its slot, if the store has any.
func (c *cell) openSlot(s *lease) error {
	n, ok := c.ledger.config.Store.(Noter)
	if !ok || s.noting {
		return nil
	}
	slot, err := n.Slot(s.id)
	if err != nil {
		return &Error{Err: ErrUnavailable, Cause: err}
	}
	s.slot, s.noting = slot, true
	return nil
}

// Blocks: the first of a key has 16 units; one that lasted less than 25 ms is followed by one four times as large, one that
// lasted more than 200 ms by half of it. So a refill, which costs about half a millisecond, becomes rare.
const (
	firstBlock = 16
	shortBlock = 25 * time.Millisecond
	longBlock  = 200 * time.Millisecond
)

// size is the size of the next block: by demand, but at most a quarter of what remains, so that the last units are not
// held by whoever does not need them. The caller holds turn.
func (c *cell) size(s *lease) int64 {
	switch lasted := time.Since(c.ledger.began) - c.filled; {
	case c.block == 0:
		c.block = firstBlock
	case lasted < shortBlock:
		c.block *= 4
	case lasted > longBlock:
		c.block /= 2
	}
	c.block = min(max(c.block, firstBlock), c.ledger.config.Block)
	room := s.quota.Limit
	if v := s.view.Load(); v != nil {
		room = v.room
	}
	return min(c.block, room/4)
}

// prefetch refills s in the background when half of its block is spent.
func (c *cell) prefetch(s *lease) {
	if !s.filling.CompareAndSwap(false, true) {
		return
	}
	started := c.ledger.background(func() {
		defer s.filling.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), c.ledger.config.Timeout)
		defer cancel()
		if c.enter(ctx) != nil {
			return
		}
		defer c.leave()
		if c.lease.Load() != s || s.left.Load() >= s.half.Load() {
			return
		}
		want := c.size(s) - s.left.Load()
		if want <= 0 {
			s.half.Store(-1)
			return
		}
		if _, err := c.refill(ctx, s, 0, want); err != nil {
			s.half.Store(-1) // whoever needs units asks next, and gets the error
		}
	})
	if !started {
		s.filling.Store(false)
	}
}
