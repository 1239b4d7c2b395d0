package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"time"
)

// Adjustment changes an account by hand.
type Adjustment struct {
	// ID names the operation. Applied again under the same ID it changes nothing, as long as that is among the last 256
	// extensions and corrections of its period, and until the next but one period begins; another adjustment (Extend for
	// Correct, or another Delta) under it is refused with [ErrAdjustment]. "" takes a fresh one. Give one if you mean to
	// retry. At most 512 bytes.
	ID string

	// Delta is added, up to [MaxUnits] either way.
	Delta int64

	// Reason and Actor are kept with the entry: why, and who. At most 512 bytes each.
	Reason, Actor string
}

func (a Adjustment) validate() error {
	if a.Delta < -MaxUnits || a.Delta > MaxUnits {
		return fmt.Errorf("%w: a delta of %d is not within -2^53 and 2^53", ErrAdjustment, a.Delta)
	}
	if len(a.ID) > maxText || len(a.Reason) > maxText || len(a.Actor) > maxText {
		return fmt.Errorf("%w: id, reason and actor may have %d bytes each", ErrAdjustment, maxText)
	}
	return nil
}

// Extend adds a.Delta, which may be negative, to the limit of the current period alone: a temporary extension, as by API
// Gateway's UpdateUsage, which sets what remains instead. It is kept as an entry. It acts at once on what this ledger takes;
// where a negative extension meets a lease of another ledger over the same store, that ledger may still admit what its
// lease holds (package documentation, Bounds). It returns the balance after it, or the present one if a.ID has been
// applied before. Causes: [ErrAdjustment], [ErrUnavailable], [ErrQuota],
// [ErrKey], [ErrClosed], [ErrNotConfigured].
// Source: https://docs.aws.amazon.com/apigateway/latest/api/API_UpdateUsage.html
func (l *Ledger) Extend(ctx context.Context, key Key, q Quota, a Adjustment) (Balance, error) {
	return l.adjustAt(ctx, time.Now().Unix(), key, q, KindExtend, a)
}

// Correct adds a.Delta, which may be negative, to what counts as used in the current period, on the current day. It is kept
// as an entry and acts as Extend does: at once on this ledger, and on the lease of another with that lease's next
// reservation. The limit does not bound it. It refuses to go below nothing used, wrapping
// [ErrAdjustment]. It returns what Extend returns, with the same causes.
func (l *Ledger) Correct(ctx context.Context, key Key, q Quota, a Adjustment) (Balance, error) {
	return l.adjustAt(ctx, time.Now().Unix(), key, q, KindCorrect, a)
}

func (l *Ledger) adjustAt(ctx context.Context, now int64, key Key, q Quota, kind Kind, a Adjustment) (Balance, error) {
	c, err := l.cell(key, q)
	if err != nil {
		return Balance{}, err
	}
	if err := a.validate(); err != nil {
		return Balance{}, &Error{Err: err}
	}
	if a.ID == "" {
		a.ID = rand.Text()
	}
	return c.adjust(ctx, now, q, kind, a)
}

// adjust makes an extension or a correction, after it has returned what the lease holds: so it acts at once.
func (c *cell) adjust(ctx context.Context, now int64, q Quota, kind Kind, a Adjustment) (Balance, error) {
	if err := c.enterOpen(ctx); err != nil {
		return Balance{}, err
	}
	defer c.leave()
	for {
		s, err := c.current(ctx, now, q)
		if err != nil {
			return Balance{}, err
		}
		op := c.op(kind, s)
		op.ID, op.Want, op.Reason, op.Actor = a.ID, a.Delta, a.Reason, a.Actor
		outs, err := c.commitEnding(ctx, op)
		if err != nil {
			return Balance{}, err
		}
		switch out := outs[0]; {
		case out.Stale:
			c.catchUp(out.Totals)
		case out.Refused:
			err := fmt.Errorf("%w: its ID names another, or it adds up to what is not allowed", ErrAdjustment)
			return Balance{}, &Error{Err: err, Balance: s.balanceOf(viewOf(out.Totals, s.quota.Limit), 0)}
		default:
			c.observe(s, out)
			return s.balanceOf(c.learn(s, out, s.quota.Limit), 0), nil
		}
	}
}

// Adjustments yields the extensions and corrections of a key that were made from one instant to another, inclusive, oldest
// first: who, when, from what, by how much and why. It reads all entries of the store, and needs one that shows them
// ([Auditor], as boltstore is); otherwise the error wraps [errors.ErrUnsupported]. Those that the store has compacted are
// missing. After an error, with which it ends, the Entry is zero. Other causes: [ErrUnavailable], [ErrClosed],
// [ErrNotConfigured].
func (l *Ledger) Adjustments(ctx context.Context, key Key, from, to time.Time) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if err := l.open(); err != nil {
			yield(Entry{}, err)
			return
		}
		store, is := l.config.Store.(Auditor)
		if !is {
			yield(Entry{}, &Error{Err: fmt.Errorf("%w: the store does not show its entries", errors.ErrUnsupported)})
			return
		}
		for e, err := range store.Entries(ctx, 0) {
			if err != nil {
				yield(Entry{}, &Error{Err: ErrUnavailable, Cause: err})
				return
			}
			if e.Kind.Adjusts() && e.Account.Key == key && from.Unix() <= e.Time && e.Time <= to.Unix() && !yield(e, nil) {
				return
			}
		}
	}
}
