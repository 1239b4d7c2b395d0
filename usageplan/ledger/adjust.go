package ledger

import (
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	"time"
)

// Adjustment changes an account by hand.
type Adjustment struct {
	// ID names the operation. Applied again under the same ID it changes nothing, as long as that is among the last 256
	// adjustments of its period, and until the next but one period begins; another adjustment (Extend for Correct, or
	// another Delta) under it is refused with [ErrAdjustment]. "" takes a fresh one. Give one if you mean to retry. At
	// most 512 bytes.
	ID string

	// Delta is added, up to [MaxUnits] either way. SetRemaining does not use it.
	Delta int64

	// Reason and Actor are kept with the adjustment: why, and who. At most 512 bytes each.
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

// Extend adds a.Delta, which may be negative, to the limit of the current period alone: a temporary extension. It is
// kept with who, when and why. It acts at once on what this ledger takes; where a negative extension meets a lease of
// another ledger over the same engine, that ledger may still admit what its lease holds (package documentation,
// Bounds). It returns the balance after it, or the present one if a.ID has been applied before. Causes:
// [ErrAdjustment], [ErrUnavailable], [ErrInvalid], [ErrNotConfigured].
func (l *Ledger) Extend(ctx context.Context, key Key, q Quota, a Adjustment) (Balance, error) {
	return l.adjustAt(ctx, time.Now().Unix(), key, q, extend, a.Delta, a)
}

// Correct adds a.Delta, which may be negative, to what counts as used in the current period, on the current day. It is
// kept and acts as Extend does: at once on this ledger, and on the lease of another with that lease's next reservation.
// The limit does not bound it. It refuses to go below nothing used, wrapping [ErrAdjustment]. It returns what Extend
// returns, with the same causes.
func (l *Ledger) Correct(ctx context.Context, key Key, q Quota, a Adjustment) (Balance, error) {
	return l.adjustAt(ctx, time.Now().Unix(), key, q, correct, a.Delta, a)
}

// SetRemaining extends the current period by so much, up or down, that n units remain, 0 to [MaxUnits]. It reads and
// changes the account in one step: of several calls at once, each leaves n. What other ledgers hold in leases counts as
// used, so they may still admit that. It is kept, and returns, as Extend does. In API Gateway, it is UpdateUsage.
// Source: https://docs.aws.amazon.com/apigateway/latest/api/API_UpdateUsage.html
func (l *Ledger) SetRemaining(ctx context.Context, key Key, q Quota, n int64, a Adjustment) (Balance, error) {
	return l.setRemainingAt(ctx, time.Now().Unix(), key, q, n, a)
}

func (l *Ledger) setRemainingAt(ctx context.Context, now int64, key Key, q Quota, n int64, a Adjustment) (Balance, error) {
	if n < 0 || n > MaxUnits {
		return Balance{}, &Error{Err: fmt.Errorf("%w: %d to remain is not within 0 and 2^53", ErrAdjustment, n)}
	}
	a.Delta = 0
	return l.adjustAt(ctx, now, key, q, setRemaining, n, a)
}

// adjustAt validates and makes an adjustment at an instant. One without an ID gets a random one here, before the first
// try. So all tries are the same adjustment, and it is made once.
func (l *Ledger) adjustAt(ctx context.Context, now int64, key Key, q Quota, k kind, want int64, a Adjustment) (Balance, error) {
	c, err := l.counter(key, q)
	if err != nil {
		return Balance{}, err
	}
	if err := a.validate(); err != nil {
		return Balance{}, &Error{Err: err}
	}
	l.tellUnsettled(ctx)
	if a.ID == "" {
		a.ID = rand.Text()
	}
	return c.adjust(ctx, now, q, k, want, a)
}

// adjust makes an adjustment, after it has returned what the lease holds: so it acts at once. The return and the
// adjustment are one commit, in that order, so what the lease has spent is used when the engine decides. If the engine
// knows a newer day, it is asked again for that one, under the same ID.
func (c *counter) adjust(ctx context.Context, now int64, q Quota, k kind, want int64, by Adjustment) (Balance, error) {
	if err := c.enterOpen(ctx); err != nil {
		return Balance{}, err
	}
	defer c.leave()
	for {
		d, err := c.current(ctx, now, q)
		if err != nil {
			return Balance{}, err
		}
		o := c.op(k, d)
		o.id, o.want, o.reason, o.actor = by.ID, want, by.Reason, by.Actor
		answers, err := c.commitEnding(ctx, o)
		if err != nil {
			return Balance{}, err
		}
		switch a := answers[0]; {
		case a.early:
			return Balance{}, tooEarly()
		case a.stale:
			c.catchUp(a.totals.start, a.totals.day)
		case a.refused:
			err := fmt.Errorf("%w: its ID names another, or it adds up to what is not allowed", ErrAdjustment)
			return Balance{}, &Error{Err: err, Balance: d.balanceOf(a.baseline(d.quota.Limit), 0)}
		default:
			c.observe(d, a)
			return d.balanceOf(c.learn(d, a, d.quota.Limit), 0), nil
		}
	}
}

// Adjustments yields the extensions and corrections of a key that were made from one instant to another, inclusive,
// oldest first: who, when, from what, by how much and why. Of each period the last 256 are kept, as long as
// [Config].Keep says. After an error, with which it ends, the Change is zero. Causes: [ErrUnavailable], [ErrInvalid],
// [ErrNotConfigured].
func (l *Ledger) Adjustments(ctx context.Context, key Key, from, to time.Time) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		if err := l.open(); err != nil {
			yield(Change{}, err)
			return
		}
		if err := key.validate(); err != nil {
			yield(Change{}, &Error{Err: err})
			return
		}
		l.tellUnsettled(ctx)
		for change, err := range l.rows.adjustments(ctx, key, from.Unix(), to.Unix()) {
			if err != nil {
				yield(Change{}, &Error{Err: ErrUnavailable, Cause: err})
				return
			}
			if !yield(change, nil) {
				return
			}
		}
	}
}
