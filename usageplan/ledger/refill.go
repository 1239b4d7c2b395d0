package ledger

import (
	"context"
	"errors"
	"time"
)

// refill reserves for s: want units, or fewer if the engine has at least least. Past a threshold it reserves no more
// than need, which is what a request waits for. They are counted in the engine before
// anybody can spend them. It also reports what has been spent of s so far. The caller holds turn.
//
// If the answer is that the engine does not know the lease, or knows a newer day, s is to end: the caller takes another
// by leased. After an error that is not notSent, nobody knows whether the engine has granted the units. Then s is
// doubtful: what it has may be spent, but it reserves no more, and its end gives back whatever was granted.
func (c *counter) refill(ctx context.Context, s *lease, least, need, want int64) (reply, error) {
	if err := c.openSlot(s); err != nil {
		return reply{}, err
	}
	o := c.op(reserve, &s.usageDay)
	o.lease, o.spent, o.held, o.min, o.want = s.id, s.spentSoFar(), s.granted.Load(), least, want
	o.need = need
	o.reported = s.reported
	a, err := c.ledger.committer.one(ctx, o)
	if _, never := errors.AsType[notSent](err); never {
		return reply{}, err
	}
	switch {
	case err != nil:
		c.ledger.leases.opened(s)
		s.doubtful = true
		return reply{}, err
	case a.early:
		return reply{}, tooEarly()
	case a.stale:
		c.catchUp(a.totals.start, a.totals.day)
		return a, nil
	case a.gone:
		s.doubtful = true
		return a, nil
	}
	c.ledger.leases.opened(s)
	before := s.unreported()
	s.learn(a, o.spent)
	c.ledger.leases.reserved.Add(s.unreported() - before)
	c.filled = time.Since(c.ledger.began)
	c.observe(&s.usageDay, a)
	return a, nil
}

// openSlot gives a new lease its slot, if the ledger has any. It does so before the first units are reserved. A process
// that was killed in between would otherwise leave units of which no slot tells how many were spent. The caller holds
// turn. Nobody else looks at the slot yet, since nothing can be spent from s before its first units.
func (c *counter) openSlot(s *lease) error {
	if c.ledger.config.Slots == nil || s.noting {
		return nil
	}
	slot, err := c.ledger.config.Slots.Open(OpenLease{Account: Account{c.key, s.start}, Day: s.day, ID: s.id})
	if err != nil {
		return &Error{Err: ErrUnavailable, Cause: err}
	}
	s.slot, s.noting = slot, true
	return nil
}

// Blocks: the first of a key has 16 units; one that lasted less than 25 ms is followed by one four times as large, one
// that lasted more than 200 ms by half of it. So a refill, which costs about half a millisecond, becomes rare.
//
// Example: demand rises at once. With the default of [Config].Block, the blocks are 16, 64, 256, 1 024, 4 096 and then
// 16 384 units. When demand falls, each block that lasts longer than 200 ms halves the next one. So a key that is
// hardly used soon reserves few units at a time.
const (
	firstBlock = 16
	shortBlock = 25 * time.Millisecond
	longBlock  = 200 * time.Millisecond
)

// size is the size of the next block: by demand, but at most a quarter of what remains, shared among those who hold
// leases, so that the last units are not held by one who does not need them. The caller holds turn.
//
// Example: 800 units remain, and two ledgers hold leases. Each reserves at most 100. When fewer than 8 remain, the size
// is 0, and a reservation gets just what a waiting request needs.
func (c *counter) size(s *lease) int64 {
	switch lasted := time.Since(c.ledger.began) - c.filled; {
	case c.block == 0:
		c.block = firstBlock
	case lasted < shortBlock:
		c.block *= 4
	case lasted > longBlock:
		c.block /= 2
	}
	c.block = min(max(c.block, firstBlock), c.ledger.config.Block)
	room, holders := s.quota.Limit, int64(1)
	if b := s.base.Load(); b != nil {
		room, holders = b.room, max(1, b.leases)
	}
	return min(c.block, room/(4*holders))
}

// prefetch refills s in the background when half of its block is spent, so that requests seldom wait for the engine.
// Every goroutine that has spent from s may call it, without the turn; while one refill is under way, further calls do
// nothing. It has its own context, because the request that asked for it may end at any time.
func (c *counter) prefetch(s *lease) {
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
		// The one who had the turn before may have ended s, or refilled it.
		if c.lease.Load() != s || s.doubtful || s.left.Load() >= s.refillBelow.Load() {
			return
		}
		want := c.size(s) - s.left.Load()
		// The next block would be smaller than what is left: demand has fallen, or the limit is near. Nobody asks again
		// before the next answer of the engine.
		if want <= 0 {
			s.refillBelow.Store(-1)
			return
		}
		switch a, err := c.refill(ctx, s, 0, 0, want); {
		case err != nil, a.stale:
			s.refillBelow.Store(-1) // who needs units asks next, and gets the error
		case a.gone:
			_, _ = c.commitEnding(ctx) // so that what was spent is counted again soon
		}
	})
	if !started {
		s.filling.Store(false)
	}
}
