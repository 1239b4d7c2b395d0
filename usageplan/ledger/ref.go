package ledger

import (
	"context"
	"fmt"
	"time"
)

// A Ref names one key of a [Ledger], for who takes from it again and again: taking by it looks nothing up. It is a small
// value and serves as long as the ledger. The zero Ref refuses with [ErrNotConfigured].
type Ref struct{ cell *cell }

// Ref names a key. Causes: [ErrKey], [ErrClosed], [ErrNotConfigured].
func (l *Ledger) Ref(key Key) (Ref, error) {
	if err := l.open(); err != nil {
		return Ref{}, err
	}
	if err := key.validate(); err != nil {
		return Ref{}, &Error{Err: err}
	}
	return Ref{l.cells.make(l, key)}, nil
}

// TakeAt is [Ledger.Take] for the key, by a reading of the clock that the caller has made already. An instant in the past
// reopens neither a period nor a day; one in the future begins its period for good.
func (r Ref) TakeAt(ctx context.Context, t time.Time, q Quota, cost int64) (ch Charge, err error) {
	if r.cell == nil {
		return Charge{}, &Error{Err: ErrNotConfigured}
	}
	err = r.cell.take(ctx, t.Unix(), &q, cost, &ch)
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
		s, b, err := c.read(ctx, now, q)
		if err != nil {
			return Charge{}, err
		}
		return c.charge(s, 0, b), nil
	case c.ledger.config.Mode == Exact:
		return c.takeExactly(ctx, now, q, cost)
	}
	return c.takeLeased(ctx, now, q, cost)
}
