package ledger

import (
	"context"
	"slices"
	"time"
)

// recover ends the leases and tells the crossings that earlier ledgers left, if the store knows them.
func (l *Ledger) recover(ctx context.Context) error {
	r, ok := l.config.Store.(Recoverer)
	if !ok {
		return nil
	}
	if err := l.endOld(ctx, r); err != nil {
		return err
	}
	if l.config.OnThreshold == nil {
		return nil
	}
	var left []UntoldCrossings
	for u, err := range r.Crossings(ctx) {
		if err != nil {
			return &Error{Err: ErrUnavailable, Cause: err}
		}
		left = append(left, u)
	}
	l.background(func() { // one after another: there may be any number
		for _, u := range left {
			c := l.cells.make(l, u.Account.Key)
			c.tellNow(c.toTell(u.Totals), u.Day, u.Totals)
		}
	})
	return nil
}

// endOld returns what is known not to have been spent of leases that nobody holds any more. The rest of a lease of which
// that is not known stays counted, but not as spent: admit too little rather than too much, and bill too little.
func (l *Ledger) endOld(ctx context.Context, r Recoverer) error {
	var ops []Op
	for o, err := range r.Leases(ctx) {
		if err != nil {
			return &Error{Err: ErrUnavailable, Cause: err}
		}
		op := Op{
			Kind: KindReturn, Account: o.Account, Day: o.Lease.Day, Time: time.Now().Unix(), Lease: o.Lease.ID,
			Spent: o.Lease.Spent, Reason: "left open",
		}
		if o.Known {
			op.Want = MaxUnits
		}
		ops = append(ops, op)
	}
	for ops := range slices.Chunk(ops, endsPerCommit) {
		if _, err := l.group.all(ctx, ops); err != nil {
			return err
		}
	}
	return nil
}
