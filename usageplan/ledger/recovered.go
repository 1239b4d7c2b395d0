package ledger

import (
	"context"
	"slices"
	"time"
)

// endRecovered ends the leases that earlier lives left open in the slots. It returns what is known not to have been
// spent. The rest of a lease of which that is not known stays counted, but not as used: admit too little rather than
// too much, and bill too little. Only New calls it, before anybody else has the ledger.
//
// Example: a lease was granted 64 units, and its slot says that 40 were spent. After a kill, that is exact: 40 units
// are used, and 24 go back. After a power failure, more than 40 may have been spent: 40 are used, and 24 stay counted
// against the limit of the period.
//
// A crash on the way does no harm. The slots are cleared last, so the next life claims the same leases again. Of those
// that have been ended the rows know nothing any more, so to end them again is refused and changes nothing.
func (l *Ledger) endRecovered(ctx context.Context) error {
	defer l.rows.ended.Store(true) // from now on, what is left of other openings of the store is nobody's
	if l.config.Slots == nil {
		return nil
	}
	leases, err := l.config.Slots.Claim()
	if err != nil {
		return &Error{Err: ErrUnavailable, Cause: err}
	}
	// Whether all leases have been ended. Another key's damaged row keeps no lease from being ended.
	whole := true
	for leases := range slices.Chunk(leases, endsPerCommit) {
		ops := make([]op, len(leases))
		for i, o := range leases {
			ops[i] = op{
				kind: giveBack, account: o.Account, day: o.Day, time: time.Now().Unix(), lease: o.ID, spent: o.Spent,
				reported: o.Spent, // what of it the earlier life has told is not known
			}
			if o.Known {
				ops[i].want = MaxUnits
			}
		}
		answers, err := l.committer.all(ctx, ops)
		if err != nil {
			return err
		}
		whole = whole && !slices.ContainsFunc(answers, func(a reply) bool { return a.err != nil })
	}
	if !whole { // a row that cannot be read may be repaired: the slots are claimed again then
		return nil
	}
	if err := l.config.Slots.Clear(); err != nil {
		return &Error{Err: ErrUnavailable, Cause: err}
	}
	return nil
}

// tellRecovered tells the crossings that nobody has told, of whatever ledger. It may tell one that another ledger is
// telling just now: the ID is the same, and a crossing told twice does less harm than one that is not told. Only New
// calls it. It reads the list before New returns, so an engine that fails makes New fail; the callbacks run after that,
// since each may take as long as it likes.
func (l *Ledger) tellRecovered(ctx context.Context) error {
	if l.config.OnThreshold == nil {
		return nil
	}
	var untold []untoldCrossing
	for u, err := range l.rows.crossings(ctx) {
		if err != nil {
			return &Error{Err: ErrUnavailable, Cause: err}
		}
		untold = append(untold, u)
	}
	l.background(func() { // one after another: there may be any number
		for _, u := range untold {
			c := l.counters.make(l, u.account.Key)
			c.tellNow(c.toTell(u.totals), u.totals)
		}
	})
	return nil
}
