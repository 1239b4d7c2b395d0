package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"time"
)

// Balance returns the balance of the account of key that is current under q, as the store has it.
func (l *Ledger) Balance(ctx context.Context, key Key, q Quota) (Balance, error) {
	return l.balanceAt(ctx, time.Now().Unix(), key, q)
}

func (l *Ledger) balanceAt(ctx context.Context, now int64, key Key, q Quota) (Balance, error) {
	c, err := l.cell(key, q)
	if err != nil {
		return Balance{}, err
	}
	_, b, err := c.read(ctx, now, q)
	return b, err
}

// Extend adds a.Delta, which may be negative, to the limit of the current period alone: API Gateway's UpdateUsage, a temporary
// extension. It is kept as an entry and acts at once. It returns the balance after it.
// Source: https://docs.aws.amazon.com/apigateway/latest/api/API_UpdateUsage.html
func (l *Ledger) Extend(ctx context.Context, key Key, q Quota, a Adjustment) (Balance, error) {
	return l.adjustAt(ctx, time.Now().Unix(), key, q, KindExtend, a)
}

// Correct adds a.Delta, which may be negative, to what counts as used in the current period, on the current day. It is kept
// as an entry and acts at once; the limit does not bound it. It refuses to go below nothing used, wrapping [ErrAdjustment].
// It returns the balance after it.
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

// Adjustments yields the extensions and corrections of a key that were made from one instant to another, inclusive, oldest
// first: who, when, from what, by how much and why. It reads all entries of the store, and needs one that shows them
// ([Auditor], as boltstore is); otherwise the error wraps [errors.ErrUnsupported]. Those that the store has compacted are
// missing. After an error, with which it ends, the Entry is zero.
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

// Usage yields every calendar day from the date of from to the date of to, inclusive, both in q's location: what was used
// on it and what remained at its end, in real time. Days without requests are yielded too; a date that the location
// skipped is not. After an error, with which it ends, the Day is zero.
func (l *Ledger) Usage(ctx context.Context, key Key, q Quota, from, to time.Time) iter.Seq2[Day, error] {
	return func(yield func(Day, error) bool) {
		c, err := l.cell(key, q)
		if err != nil {
			yield(Day{}, err)
			return
		}
		u := usage{quota: q}
		if err := u.load(ctx, c, from, to); err != nil {
			yield(Day{}, err)
			return
		}
		u.days(from, to, func(d Day) bool { return yield(d, nil) })
	}
}

// usage folds accounts into days.
type usage struct {
	quota  Quota
	states []State
	held   Lease // what this ledger holds unspent: Granted less Spent
	of     int64 // the account it belongs to
}

// load reads the accounts that have days in the range, and those whose period reaches into it.
func (u *usage) load(ctx context.Context, c *cell, from, to time.Time) error {
	first, _ := u.quota.Bounds(from)
	_, last := u.quota.dayOf(to)
	_ = c.ledger.group.flush(ctx)        // settlements that are owed count as well; a store that fails will say so
	if err := c.enter(ctx); err != nil { // so no reservation comes between the store's sums and the lease's
		return err
	}
	defer c.leave()
	for s, err := range c.ledger.config.Store.Accounts(ctx, c.key, first.Unix(), last.Unix()) {
		if err != nil {
			return &Error{Err: ErrUnavailable, Cause: err}
		}
		u.states = append(u.states, s)
	}
	if s := c.lease.Load(); s != nil {
		u.of = s.start
		u.held = Lease{Day: s.day, Granted: s.granted.Load() - s.reported, Spent: s.spentSoFar() - s.reported}
	}
	return nil
}

func (u *usage) days(from, to time.Time, yield func(Day) bool) {
	loc := u.quota.location()
	y, m, d := from.In(loc).Date()
	_, end := u.quota.dayOf(to)
	for at := midnight(y, m, d, loc); at.Before(end); {
		d++
		next := midnight(y, m, d, loc)
		if next.After(at) && !yield(u.day(at, next)) {
			return
		}
		at = next
	}
}

// day sums up [at, next). Whatever any account counted on it was used, since a quota that was changed may have left several with
// a part of it; what remained is of the newest that was in use or, by the quota's present bounds, current.
func (u *usage) day(at, next time.Time) Day {
	day := Day{Start: at, Remaining: u.quota.Limit}
	for i := range u.states {
		s := &u.states[i]
		used, remaining, active := u.fold(s, at.Unix(), next.Unix())
		day.Used += used
		if _, end := u.quota.Bounds(u.quota.at(s.Start)); active || s.Start < next.Unix() && end.After(at) {
			day.Remaining = remaining
		}
	}
	return day
}

// fold returns what s counted in [at, next), what remained of it at next, and whether it counted anything then.
func (u *usage) fold(s *State, at, next int64) (used, remaining int64, active bool) {
	limit, adjustments, enforced := u.quota.Limit, int64(0), int64(0)
	for _, d := range s.Days {
		if d.Day >= next {
			break
		}
		limit = d.Limit
		adjustments += d.Adjustments
		enforced += d.Used
		counted := d.Used - d.Held
		if u.of == s.Start && u.held.Day == d.Day {
			counted += u.held.Spent
			enforced -= u.held.Granted - u.held.Spent
		}
		if d.Day >= at {
			used += counted
			active = true
		}
	}
	return used, max(0, limit+adjustments-enforced), active
}
