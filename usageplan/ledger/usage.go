package ledger

import (
	"context"
	"iter"
	"time"
)

// Usage yields every calendar day from the date of from to the date of to, inclusive, both in q's location: what was
// used on it and what remained at its end, including what this ledger has not reported to the engine. Days without
// requests are yielded too, with what remained of the period; a date that the location skipped is not. On days to come
// remains what remains now, or the limit if their period has not begun. It looks at ctx before each day. After an
// error, with which it ends, the Day is zero. A day that has ended keeps the limit and extensions of its last request;
// one that has not has those of now. Causes: [ErrUnavailable], [ErrInvalid], [ErrNotConfigured].
// Source: https://docs.aws.amazon.com/apigateway/latest/api/API_GetUsage.html
func (l *Ledger) Usage(ctx context.Context, key Key, q Quota, from, to time.Time) iter.Seq2[Day, error] {
	return func(yield func(Day, error) bool) {
		u := usage{quota: q, now: time.Now().Unix()}
		if err := l.loadUsage(ctx, &u, key, from, to); err != nil {
			yield(Day{}, err)
			return
		}
		u.days(from, to, func(d Day) bool {
			if err := ctx.Err(); err != nil {
				yield(Day{}, &Error{Err: ErrUnavailable, Cause: err})
				return false
			}
			return yield(d, nil)
		})
	}
}

// loadUsage reads what u sums up. A report may ask for a million keys that have never called, and a counter stays for as
// long as the ledger. So none is made here. A key without a counter has no lease of this ledger, and the engine knows
// all that was counted. If a take makes the counter meanwhile, what was read may have units that its lease holds, and is
// read again.
func (l *Ledger) loadUsage(ctx context.Context, u *usage, key Key, from, to time.Time) error {
	if err := l.check(key, u.quota); err != nil {
		return err
	}
	l.tellUnsettled(ctx)
	c := l.counters.get(key)
	if c == nil {
		if err := u.load(ctx, newCounter(l, key), from, to); err != nil {
			return err
		}
		if c = l.counters.get(key); c == nil {
			return nil
		}
		u.accounts = nil
	}
	return u.load(ctx, c, from, to)
}

// usage sums up accounts by day.
type usage struct {
	quota    Quota
	now      int64
	accounts []accountDays

	// unspent is what this ledger holds of lease day heldDay in account heldOf, and unreported what it has spent of it
	// beyond what the engine knows.
	unspent, unreported, heldDay, heldOf int64
}

// load reads the accounts whose days reach into the range, and those whose period does. It takes the turn for that, so
// the caller must not hold it.
func (u *usage) load(ctx context.Context, c *counter, from, to time.Time) error {
	first, _ := u.quota.Bounds(from)
	_, last := u.quota.dayOf(to)
	_ = c.ledger.committer.flush(ctx)    // settlements in the outbox count as well; an engine that fails will say so
	if err := c.enter(ctx); err != nil { // so no reservation comes between the engine's sums and the lease's
		return err
	}
	defer c.leave()
	for a, err := range c.ledger.rows.usage(ctx, c.key, first.Unix(), last.Unix()) {
		if err != nil {
			return &Error{Err: ErrUnavailable, Cause: err}
		}
		u.accounts = append(u.accounts, a)
	}
	if s := c.lease.Load(); s != nil {
		spent := s.spentSoFar()
		u.heldOf, u.heldDay, u.unspent, u.unreported = s.start, s.day, s.granted.Load()-spent, spent-s.reported
	}
	return nil
}

// days yields each date from the date of from to the date of to. It counts dates, not hours, since days may have 23 or
// 25 of them. A date that the location skipped begins when the next one does, and is left out.
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

// day sums up [at, next). Whatever any account counted on it was used, since a quota that was changed may have left
// several with a part of it. What remained, and of what, is of one account: the newest that was in force then.
func (u *usage) day(at, next time.Time) Day {
	day := Day{Start: at, Remaining: u.quota.Limit, Limit: u.quota.Limit}
	for i := range u.accounts {
		a := &u.accounts[i]
		of := u.sum(a, at.Unix(), next.Unix())
		day.Used += of.Used
		if u.wasInForce(a, at, next) {
			day.Remaining, day.Limit, day.Adjustments = of.Remaining, of.Limit, of.Adjustments
		}
	}
	return day
}

// wasInForce reports whether requests on a day were counted in a, or would have been. By the present quota that is so
// if a began in the period of the day. A day that is over may have had another quota: then it is so if a was used on
// that day, or both before and after it.
//
// Example: a monthly quota, used on the 1st and on the 4th, is made a daily one. The 2nd, on which nothing was used,
// had what remained of the month. Today has the limit of a new day, even if it was used under the monthly quota.
func (u *usage) wasInForce(a *accountDays, at, next time.Time) bool {
	if _, end := u.quota.Bounds(u.quota.at(a.start)); a.start < next.Unix() && end.After(at) {
		return true
	}
	return next.Unix() <= u.now && a.reaches(at.Unix(), next.Unix()-1)
}

// sum returns what a counted in [at, next), and what remained of it at next. The days before at count as well for what
// remained: of 100 a month, with 10 used on the 1st and 20 on the 4th, 70 remained on the 4th. Units that leases hold
// are not used; those of this ledger's own lease remain, those of others do not.
func (u *usage) sum(a *accountDays, at, next int64) (day Day) {
	day.Limit = u.quota.Limit
	enforced := int64(0)
	for _, d := range a.days {
		if d.day >= next {
			break
		}
		day.Limit = d.limit
		day.Adjustments += d.adjustments
		enforced += d.used
		counted := d.used - d.held
		if u.heldOf == a.start && u.heldDay == d.day {
			counted += u.unreported
			enforced -= u.unspent
		}
		if d.day >= at {
			day.Used += counted
		}
	}
	if next > u.now { // the day has not ended: the limit is that of the quota, which no request may have brought yet
		day.Limit = u.quota.Limit
	}
	day.Remaining = max(0, day.Limit+day.Adjustments-enforced)
	return day
}

// Day is the usage of one calendar day: the pair of API Gateway's GetUsage, and what its second number is left of.
type Day struct {
	// Start is the first instant of the day in the quota's location.
	Start time.Time

	// Used is what was counted that day; a correction or a late refund can make it negative.
	Used int64

	// Remaining is what was left of the period at the end of that day (now, if it has not ended), never below zero.
	Remaining int64

	// Limit is the quota's limit at the end of that day (now, if it has not ended), Adjustments the sum of the extensions
	// that the period had by then. The ledger learns a limit from requests and adjustments. So a day without any has
	// that of the last day of its period that had one; if there is none, for example before the first use, it has the
	// present limit.
	//
	// Remaining is Limit + Adjustments, less what the period had used by the end of that day, what other ledgers held in
	// leases and what leases lost in a power failure.
	Limit, Adjustments int64
}
