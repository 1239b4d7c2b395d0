package ledger

import (
	"context"
	"runtime"
	"time"
)

// Balance asks the store for the balance of the account of key that is current under q. What this ledger has spent and
// not reported counts as used, and what it holds as remaining; what other ledgers have not reported is not in it. Under
// another quota than the last Take's it returns the lease. Causes: [ErrUnavailable], [ErrQuota], [ErrKey], [ErrClosed],
// [ErrNotConfigured].
func (l *Ledger) Balance(ctx context.Context, key Key, q Quota) (Balance, error) {
	return l.balanceAt(ctx, time.Now().Unix(), key, q)
}

func (l *Ledger) balanceAt(ctx context.Context, now int64, key Key, q Quota) (Balance, error) {
	c, err := l.cell(key, q)
	if err != nil {
		return Balance{}, err
	}
	s, v, err := c.read(ctx, now, q)
	if err != nil {
		return Balance{}, err
	}
	return s.balanceOf(v, 0), nil
}

// read asks the store for the balance. Units of a lease of this ledger count as remaining.
func (c *cell) read(ctx context.Context, now int64, q Quota) (*lease, *view, error) {
	if err := c.enterOpen(ctx); err != nil {
		return nil, nil, err
	}
	defer c.leave()
	for {
		s, err := c.current(ctx, now, q)
		if err != nil {
			return nil, nil, err
		}
		out, err := c.ledger.group.one(ctx, c.op(KindRead, s))
		if err != nil {
			return nil, nil, err
		}
		switch {
		case out.Stale:
			c.catchUp(out.Totals)
		case c.ledger.config.Mode == Exact: // each answer is the store's
			return s, c.learn(s, out, s.quota.Limit), nil
		default:
			s.learn(out, s.reported)
			v, left := s.look()
			return s, v.with(left), nil
		}
	}
}

// balance is the account's, as of an instant within the call.
func (s *lease) balance() Balance { return s.balanceOf(s.look()) }

// look returns what balanceOf makes a balance of.
func (s *lease) look() (v *view, left int64) {
	for {
		v, left = s.view.Load(), s.left.Load()
		if v != nil && s.view.Load() == v {
			return v, max(left, 0)
		}
		runtime.Gosched()
	}
}

func (s *lease) balanceOf(v *view, left int64) Balance {
	return Balance{
		Limit: v.limit, Adjustments: v.adjustments, Used: v.used - left, Remaining: max(0, v.room+left),
		Start: s.quota.at(s.start), Reset: s.quota.at(s.end),
	}
}

// viewOf is the view that a store's totals give under a limit.
func viewOf(t Totals, limit int64) *view {
	return &view{limit: limit, room: limit + t.Adjustments - t.Used, used: t.Used - t.Held, adjustments: t.Adjustments}
}

// with is the view where n units of a lease are left.
func (v *view) with(n int64) *view {
	return &view{limit: v.limit, room: v.room + n, used: v.used - n, adjustments: v.adjustments, order: v.order}
}
