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
// its limit decides on a true-up. A period that is over, and a q whose periods end otherwise (another period, offset or
// location), leave the limit that the account has. A q that is not valid is refused with [ErrQuota], and nothing is settled.
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
	}
	c := ch.at.cell
	by := c.limitInForce(ch.at, q)
	if actual < ch.cost {
		return c.giveBack(ctx, ch.at, by, ch.cost-actual)
	}
	return c.trueUp(ctx, ch.at, by, actual-ch.cost)
}

// giveBack returns n units of a charge taken at s: into the lease if it can, else by the store.
func (c *cell) giveBack(ctx context.Context, s *lease, by inForce, n int64) error {
	if now := c.leaseOf(s, by); now != nil && now.refund(n, 2*c.ledger.config.Block) {
		return now.noteSettled()
	}
	op := c.op(KindRefund, s)
	op.Want = n
	_, _, err := c.settle(ctx, s, op, by)
	return err
}

// trueUp counts n more units of a request admitted at s, under the limit in force.
func (c *cell) trueUp(ctx context.Context, s *lease, by inForce, n int64) error {
	if now := c.leaseOf(s, by); now != nil && now.spend(n) {
		return now.noteSettled()
	}
	op := c.op(KindTrueUp, s)
	op.Want, op.Force = n, c.ledger.config.AllowOverdraw
	if by.known {
		op.Limit, op.InForce = by.limit, true
	}
	out, v, err := c.settle(ctx, s, op, by)
	if err != nil {
		return err
	}
	c.observe(s, out)
	if out.Granted < n {
		return &Error{Err: fmt.Errorf("%w: %d of %d", ErrForgiven, n-out.Granted, n), Balance: s.balanceOf(v, 0)}
	}
	return nil
}

// inForce is the limit by which a settlement is decided. If it is not known, the account's own decides.
type inForce struct {
	limit int64
	known bool
}

// limitInForce returns the limit for a charge taken at s. It is not known where q says nothing about the account of s, nor,
// without q, where this ledger has seen no other limit since: the account may know a newer one from another ledger.
func (c *cell) limitInForce(s *lease, q *Quota) inForce {
	if q != nil {
		return inForce{q.Limit, time.Now().Unix() < s.end && s.isBoundBy(q)}
	}
	latest := c.latest.Load()
	return inForce{latest.quota.Limit, latest.start == s.start && latest.limits != s.limits}
}

// isBoundBy reports whether q has the period of s. A location that has been loaded again is another pointer, but the same.
func (s *lease) isBoundBy(q *Quota) bool {
	switch {
	case q.Period != s.quota.Period:
		return false
	case q.Offset == s.quota.Offset && q.location() == s.quota.location():
		return true
	}
	_, end := q.Bounds(time.Unix(s.end-1, 0))
	return end.Unix() == s.end
}

// leaseOf returns the current lease if it is of the account and day of s and under the limit in force, else nil.
func (c *cell) leaseOf(s *lease, by inForce) *lease {
	now := c.lease.Load()
	if now == nil || now.start != s.start || now.day != s.day || by.known && now.quota.Limit != by.limit {
		return nil
	}
	return now
}

// noteSettled notes what a settlement has changed in s.
func (s *lease) noteSettled() error {
	if err := s.note(); err != nil {
		return &Error{Err: ErrUnavailable, Cause: err}
	}
	return nil
}

// settle has the store make the settlement of a charge taken at s, and returns what is known of the account then.
func (c *cell) settle(ctx context.Context, s *lease, op Op, by inForce) (Outcome, *view, error) {
	ctx = context.WithoutCancel(ctx) // the request may be over, its cost is not
	own := &settlement{at: s, op: op, by: by}
	if c.ledger.config.Mode == Exact {
		out, err := c.ledger.group.one(ctx, op)
		own.answered(c, out, err)
		return own.out, own.view, own.err
	}
	c.mu.Lock()
	c.settlements = append(c.settlements, own)
	c.mu.Unlock()
	if err := c.enter(ctx); err != nil { // so that earlier leases have been returned
		return Outcome{}, nil, err
	}
	defer c.leave()
	c.settleWaiting(ctx)
	return own.out, own.view, own.err
}

// settlement waits for its cell's turn. The goroutine that gets the turn commits all that wait, so many settlements of one
// key share a commit. op is read, and the rest written, by the holder of the turn.
type settlement struct {
	at *lease
	op Op
	by inForce

	out  Outcome
	view *view
	err  error
}

// settleWaiting makes the settlements that wait, if nobody else has. The current lease is returned with those of its
// account, whatever their day: a true-up may need what it holds, and what it has spent but not reported is not yet part of
// what a refund may give back. The caller holds turn until the answers are kept, so that no lease knows less.
func (c *cell) settleWaiting(ctx context.Context) {
	c.mu.Lock()
	waiting := c.settlements
	c.settlements = nil
	c.mu.Unlock()
	if len(waiting) == 0 {
		return
	}
	commit := func(ctx context.Context, ops ...Op) ([]Outcome, error) { return c.ledger.group.all(ctx, ops) }
	ops := make([]Op, len(waiting))
	for i, own := range waiting {
		if ops[i] = own.op; own.at.start == c.latest.Load().start {
			commit = c.commitEnding
		}
	}
	outs, err := commit(ctx, ops...)
	for i, own := range waiting {
		if err != nil {
			own.err = err
			continue
		}
		own.answered(c, outs[i], nil)
	}
}

// answered notes the store's answer.
func (own *settlement) answered(c *cell, out Outcome, err error) {
	if own.err = err; err != nil {
		return
	}
	limit := out.Totals.Limit
	if own.by.known {
		limit = own.by.limit
	}
	own.out, own.view = out, c.learn(own.at, out, limit)
}
