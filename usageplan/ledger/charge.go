package ledger

import (
	"context"
	"fmt"
	"sync/atomic"
)

// Charge is a granted take. It is a value: copies are the same charge. The zero Charge stands for nothing taken.
type Charge struct {
	at   *lease // for account and day
	cost int64

	slab *slab // with bit, whether it has been settled
	bit  uint32

	view *view // with left, the balance after it
	left int64
}

// slab remembers which of 256 charges have been settled: a bit each instead of an allocation.
type slab struct {
	next    atomic.Uint32
	settled [4]atomic.Uint64
}

const slabSize = 256

// slabs number charges, slab after slab. The zero slabs are ready.
type slabs struct{ last atomic.Pointer[slab] }

// number gives a charge its bit.
func (ss *slabs) number(ch *Charge) {
	for {
		s := ss.last.Load()
		if s != nil {
			if bit := s.next.Add(1) - 1; bit < slabSize {
				ch.slab, ch.bit = s, bit
				return
			}
		}
		ss.last.CompareAndSwap(s, new(slab))
	}
}

// claim reports whether charge bit has not been settled before.
func (s *slab) claim(bit uint32) bool {
	mask := uint64(1) << (bit & 63)
	return s.settled[bit>>6].Or(mask)&mask == 0
}

// Balance is the account's just after the charge; in Leased mode as of this ledger's last reservation, so what other
// ledgers have taken since is not in it.
func (ch Charge) Balance() Balance {
	if ch.at == nil {
		return Balance{}
	}
	return ch.at.balanceOf(ch.view, ch.left)
}

// Settle replaces the cost by what the request did cost: 0 gives all back, less gives back the difference, more is trued
// up. It counts on the day, and in the period, in which the charge was taken, whenever it is called. A charge is settled
// once; further calls do nothing, nor does Settle on the zero Charge. Never settled, a charge stays counted at its cost.
// The end of ctx is ignored: the request may be over, its cost is not.
//
// Rules of truing up: by the cap rule (the default) what is left is counted and the rest forgiven, and the error wraps
// [ErrExhausted]; by the overdraw rule ([Config.AllowOverdraw]) all is counted, so Used may exceed the limit, and the
// next takes are refused.
//
// An error that wraps [ErrUnavailable] does not ask for another call: the ledger keeps the settlement and makes it when
// the store is back, unless the process ends before. After [ErrCost] nothing is settled, and Settle may be called again.
func (ch Charge) Settle(ctx context.Context, actual int64) error {
	switch {
	case ch.at == nil:
		return nil
	case actual < 0 || actual > MaxUnits:
		return &Error{Err: fmt.Errorf("%w: %d", ErrCost, actual)}
	case !ch.slab.claim(ch.bit) || actual == ch.cost:
		return nil
	case actual < ch.cost:
		return ch.at.cell.giveBack(ctx, ch.at, ch.cost-actual)
	}
	return ch.at.cell.trueUp(ctx, ch.at, actual-ch.cost)
}

// giveBack returns n units of a charge taken at s: into the lease if it can, else by the store.
func (c *cell) giveBack(ctx context.Context, s *lease, n int64) error {
	if done, err := c.inLease(s, -n); done {
		return err
	}
	op := c.op(KindRefund, s)
	op.Want = n
	_, err := c.settle(ctx, op)
	return err
}

// trueUp counts n more units of a request admitted at s.
func (c *cell) trueUp(ctx context.Context, s *lease, n int64) error {
	if done, err := c.inLease(s, n); done {
		return err
	}
	op := c.op(KindTrueUp, s)
	op.Want, op.Force = n, c.ledger.config.AllowOverdraw
	out, err := c.settle(ctx, op)
	if err != nil {
		return err
	}
	c.observe(s, out)
	if out.Granted < n {
		return &Error{Err: ErrExhausted, Balance: s.balanceFrom(out.Totals)}
	}
	return nil
}

// inLease counts n units more, or -n less, in the current lease, if that is of the day and account of s and can.
func (c *cell) inLease(s *lease, n int64) (done bool, err error) {
	now := c.lease.Load()
	if now == nil || now.start != s.start || now.day != s.day {
		return false, nil
	}
	if n > 0 {
		done = now.spend(n)
	} else {
		done = now.refund(-n, 2*c.ledger.config.Block)
	}
	if !done {
		return false, nil
	}
	if err := now.note(); err != nil {
		return true, &Error{Err: ErrUnavailable, Cause: err}
	}
	return true, nil
}

// settle has the store make a settlement. The lease is returned with it if it may change the outcome: a true-up may
// need what it holds, and a refund on its own day what it has not reported.
func (c *cell) settle(ctx context.Context, op Op) (Outcome, error) {
	ctx = context.WithoutCancel(ctx) // the request may be over, its cost is not
	if c.ledger.config.Mode == Exact {
		return c.ledger.group.one(ctx, op)
	}
	if err := c.enter(ctx); err != nil { // so that earlier leases have been returned
		return Outcome{}, err
	}
	s := c.lease.Load()
	if s == nil || s.start != op.Account.Start || op.Kind == KindRefund && s.day != op.Day {
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
