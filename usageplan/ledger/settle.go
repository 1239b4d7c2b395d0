package ledger

import (
	"context"
	"fmt"
	"time"
)

// Settle replaces the cost by what the request did cost: 0 gives all back, less gives back the difference, more is trued
// up. It counts on the day, and in the period, in which the charge was taken, whenever it is called. A charge is settled
// once: a further call changes nothing and returns [ErrSettled]. Settle on the zero Charge does nothing. Never settled, a
// charge stays counted at its cost. The end of ctx is ignored: the request may be over, its cost is not.
//
// A true-up is decided by the limit in force: that of the last quota by which this ledger was asked about the key in the
// same period, or the one that the store knows. A caller who knows that the quota has changed since uses [Charge.SettleUnder].
//
// By the cap rule (the default) a true-up counts what the limit leaves and forgives the rest; the error then wraps
// [ErrForgiven]. By the overdraw rule ([Config.AllowOverdraw]) all is counted, so Used may exceed the limit, and the next
// takes are refused.
//
// An error that wraps [ErrUnavailable] does not ask for another call: the ledger keeps the settlement and makes it when
// the store is back, unless the process ends before. After [ErrCost] nothing is settled, and Settle may be called again.
func (ch Charge) Settle(ctx context.Context, actual int64) error { return ch.settle(ctx, nil, actual) }

// SettleUnder is [Charge.Settle] where the quota may have changed since the charge was taken: q is the present one, and
// its limit decides on a true-up. A period that is over, and a q with another period, offset or location, leave the limit
// that the account has. A q that is not valid is refused with [ErrQuota], and nothing is settled.
func (ch Charge) SettleUnder(ctx context.Context, q Quota, actual int64) error {
	if err := q.Validate(); err != nil {
		return &Error{Err: err}
	}
	return ch.settle(ctx, &q, actual)
}

func (ch Charge) settle(ctx context.Context, q *Quota, actual int64) error {
	switch {
	case ch.at == nil:
		return nil
	case actual < 0 || actual > MaxUnits:
		return &Error{Err: fmt.Errorf("%w: %d", ErrCost, actual)}
	case !ch.slab.claim(ch.bit):
		return &Error{Err: ErrSettled, Balance: ch.Balance()}
	case actual == ch.cost:
		return nil
	case actual < ch.cost:
		return ch.at.cell.giveBack(ctx, ch.at, ch.cost-actual)
	}
	return ch.at.cell.trueUp(ctx, ch.at, q, actual-ch.cost)
}

// giveBack returns n units of a charge taken at s: into the lease if it can, else by the store.
func (c *cell) giveBack(ctx context.Context, s *lease, n int64) error {
	if now := c.leaseOf(s); now != nil && now.refund(n, 2*c.ledger.config.Block) {
		return now.noteSettled()
	}
	op := c.op(KindRefund, s)
	op.Want = n
	_, err := c.settle(ctx, s, op)
	return err
}

// trueUp counts n more units of a request admitted at s, under the limit in force.
func (c *cell) trueUp(ctx context.Context, s *lease, q *Quota, n int64) error {
	limit, known := c.limitInForce(s, q)
	if now := c.leaseOf(s); now != nil && (!known || now.quota.Limit == limit) && now.spend(n) {
		return now.noteSettled()
	}
	op := c.op(KindTrueUp, s)
	op.Want, op.Force = n, c.ledger.config.AllowOverdraw
	if known {
		op.Limit, op.InForce = limit, true
	}
	out, err := c.settle(ctx, s, op)
	if err != nil {
		return err
	}
	c.observe(s, out)
	if out.Granted < n {
		err := fmt.Errorf("%w: %d of %d", ErrForgiven, n-out.Granted, n)
		return &Error{Err: err, Balance: s.balanceOf(viewOf(out.Totals, op.limitAfter(out)), 0)}
	}
	return nil
}

// limitInForce returns the limit by which a true-up of a charge taken at s is decided. It is not known where q says nothing
// about the account of s and this ledger has seen no other quota since: then the account's own decides.
func (c *cell) limitInForce(s *lease, q *Quota) (limit int64, known bool) {
	if q != nil {
		same := q.Period == s.quota.Period && q.Offset == s.quota.Offset && q.location() == s.quota.location()
		return q.Limit, same && time.Now().Unix() < s.end
	}
	latest := c.latest.Load()
	return latest.quota.Limit, latest != s && latest.start == s.start && latest.quota.Limit != s.quota.Limit
}

// leaseOf returns the current lease if it is of the account and day of s, else nil.
func (c *cell) leaseOf(s *lease) *lease {
	if now := c.lease.Load(); now != nil && now.start == s.start && now.day == s.day {
		return now
	}
	return nil
}

// newestOf returns the newest lease of the account of s.
func (c *cell) newestOf(s *lease) *lease {
	if latest := c.latest.Load(); latest.start == s.start {
		return latest
	}
	return s
}

// noteSettled notes what a settlement has changed in s.
func (s *lease) noteSettled() error {
	if err := s.note(); err != nil {
		return &Error{Err: ErrUnavailable, Cause: err}
	}
	return nil
}

// settle has the store make the settlement of a charge taken at s. The current lease is returned with it if it is of the
// same account, whatever its day: a true-up may need what it holds, and what it has spent but not reported is not yet
// part of what a refund may give back.
func (c *cell) settle(ctx context.Context, s *lease, op Op) (Outcome, error) {
	ctx = context.WithoutCancel(ctx) // the request may be over, its cost is not
	out, err := c.commitSettlement(ctx, op)
	if err == nil {
		c.newestOf(s).learnSettled(out, op.limitAfter(out))
	}
	return out, err
}

func (c *cell) commitSettlement(ctx context.Context, op Op) (Outcome, error) {
	if c.ledger.config.Mode == Exact {
		return c.ledger.group.one(ctx, op)
	}
	if err := c.enter(ctx); err != nil { // so that earlier leases have been returned
		return Outcome{}, err
	}
	if now := c.lease.Load(); now == nil || now.start != op.Account.Start {
		c.leave()
		return c.ledger.group.one(ctx, op)
	}
	defer c.leave()
	outs, err := c.commitEnding(ctx, op)
	if err != nil {
		return Outcome{}, err
	}
	return outs[0], nil
}

// limitAfter is the limit that holds after an operation: that of the operation if it is in force, else the account's.
func (op *Op) limitAfter(out Outcome) int64 {
	if op.knowsLimit() {
		return op.Limit
	}
	return out.Totals.Limit
}

// learnSettled keeps what the store said after a settlement, unless a later answer is there already.
func (s *lease) learnSettled(out Outcome, limit int64) {
	v := viewOf(out.Totals, limit)
	v.commit = out.commit
	for {
		last := s.settled.Load()
		if last != nil && last.commit > v.commit || s.settled.CompareAndSwap(last, v) {
			return
		}
	}
}
