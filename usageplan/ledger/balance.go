package ledger

import (
	"context"
	"runtime"
	"time"
)

// Balance asks the engine for the balance of the account of key that is current under q. What this ledger has spent and
// not reported counts as used, and what it holds as remaining; what other ledgers have not reported is not in it. Under
// another quota than the last Take's it returns the lease. Causes: [ErrUnavailable], [ErrInvalid],
// [ErrNotConfigured].
func (l *Ledger) Balance(ctx context.Context, key Key, q Quota) (Balance, error) {
	return l.balanceAt(ctx, time.Now().Unix(), key, q)
}

func (l *Ledger) balanceAt(ctx context.Context, now int64, key Key, q Quota) (Balance, error) {
	c, err := l.counter(key, q)
	if err != nil {
		return Balance{}, err
	}
	l.tellUnsettled(ctx)
	d, b, err := c.read(ctx, now, q)
	if err != nil {
		return Balance{}, err
	}
	return d.balanceOf(b, 0), nil
}

// read asks the engine for the balance. Units of a lease of this ledger count as remaining. It holds turn from before
// the question until the answer is kept, so no reservation of this ledger comes in between: its units would be in the
// lease, and not in the answer.
func (c *counter) read(ctx context.Context, now int64, q Quota) (*usageDay, *baseline, error) {
	if err := c.enterOpen(ctx); err != nil {
		return nil, nil, err
	}
	defer c.leave()
	for {
		d, err := c.current(ctx, now, q)
		if err != nil {
			return nil, nil, err
		}
		a, err := c.ledger.committer.one(ctx, c.op(read, d))
		switch {
		case err != nil:
			return nil, nil, err
		case a.early:
			return nil, nil, tooEarly()
		case a.stale:
			c.catchUp(a.totals.start, a.totals.day)
			continue
		}
		c.observe(d, a)
		if s := c.lease.Load(); s != nil { // d is its day
			s.learn(a, s.reported)
			b, left := s.look()
			return d, b.with(left), nil
		}
		return d, c.learn(d, a, d.quota.Limit), nil
	}
}

// balance is the account's, as of an instant within the call. The lease has had an answer, or look would not return.
func (s *lease) balance() Balance { return s.balanceOf(s.look()) }

// look returns what balanceOf makes a balance of: an answer of the engine, and what was left of the units that it
// knows. It needs no lock, so a take that is granted may call it. While learn changes the two, base is nil, and look
// waits for that moment to pass.
//
// Example: of 110 units, 10 are left in the lease and 100 in the engine. A refill moves 50. Before it, the balance is
// 100 + 10; after it, 50 + 60. Without the second look at base, a call in between might return 100 + 60.
func (s *lease) look() (b *baseline, left int64) {
	for {
		b, left = s.base.Load(), s.left.Load()
		if b != nil && s.base.Load() == b {
			return b, max(left, 0)
		}
		runtime.Gosched()
	}
}
