package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Settle replaces the units taken by what the request did cost: 0 gives all back, less gives back the difference, more is
// trued up. It counts on the day, and in the period, in which the charge was taken, whenever it is called. A charge is
// settled once: a further call changes nothing and returns [ErrSettled]. What [Charge.More] has added is part of what is
// replaced. Later than [Config].SettleWithin it changes nothing and returns [ErrTooLate]. Settle on the zero Charge does
// nothing. Never settled, a charge stays counted at its [Charge.Units]. The end of ctx is ignored: the request may be
// over, its cost is not.
//
// A true-up is decided by the limit in force: that of the last quota by which this ledger was asked about the key in
// the same period, or the one that the engine knows. A caller who knows that the quota has changed since uses
// [Charge.SettleUnder].
//
// By the cap rule (the default) a true-up counts what the limit leaves and forgives the rest; the error then wraps
// [ErrForgiven]. By the overdraw rule ([Config.AllowOverdraw]) all is counted, so Used may exceed the limit, and the
// next takes are refused.
//
// An error that wraps [ErrUnavailable] does not ask for another call: the ledger keeps the settlement and makes it when
// the engine is back, unless the process ends before. A settlement whose row cannot be read is not made, and the charge
// stays counted at its cost. After [ErrInvalid] nothing is settled, and Settle may be called again.
func (ch Charge) Settle(ctx context.Context, actual int64) error { return ch.settle(ctx, nil, actual) }

// SettleUnder is [Charge.Settle] where the quota may have changed since the charge was taken: q is the present one, and
// its limit decides on a true-up. A period that is over, and a q whose periods end otherwise (another period, offset or
// location), leave the limit that the account has. A q that is not valid is refused with [ErrInvalid], and nothing is
// settled.
func (ch Charge) SettleUnder(ctx context.Context, q Quota, actual int64) error {
	if err := q.Validate(); err != nil {
		return &Error{Err: err}
	}
	return ch.settle(ctx, &q, actual)
}

// settle checks before it claims, so that after a mistake of the caller the charge can still be settled. What has been
// claimed is settled, at once or from the outbox. q is nil if the caller knows of no newer quota.
func (ch Charge) settle(ctx context.Context, q *Quota, actual int64) error {
	switch {
	case ch.at == nil:
		return nil
	case actual < 0 || actual > MaxUnits:
		return &Error{Err: fmt.Errorf("%w: %d is not within 0 and 2^53", errCost, actual)}
	}
	c := ch.at.counter
	c.ledger.tellUnsettled(ctx)
	taken, err := ch.close(ctx, actual)
	if err != nil || actual == taken {
		return err
	}
	by := c.limitInForce(ch.at, q)
	if actual < taken {
		return c.undo(ctx, ch.at, by, taken-actual)
	}
	return c.trueUp(ctx, ch.at, by, actual-taken)
}

// undo gives back n units of a charge taken at d: into the lease if it can, else to the engine. A lease of another day
// or account cannot take them: the units belong to the day of their request. One that holds two blocks already does
// not, so that what is held stays bounded.
//
// Example: a request of 23:59 took 10 units and is settled at 00:01 with 4. If another take has come since, the lease
// is that of the new day. So the 6 go to the engine, which takes them off the day before.
func (c *counter) undo(ctx context.Context, d *usageDay, by inForce, n int64) error {
	if s := c.leaseOf(d, by); s != nil && s.refund(n, 2*c.ledger.config.Block) {
		return s.noteSettled()
	}
	o := c.op(refund, d)
	o.want = n
	_, _, err := c.settle(ctx, d, o, by)
	return err
}

// trueUp counts n more units of a request admitted at d, under the limit in force. What the lease has left is reserved
// already, so that it covers n without asking the engine.
func (c *counter) trueUp(ctx context.Context, d *usageDay, by inForce, n int64) error {
	if s := c.leaseOf(d, by); s != nil && s.spend(n) {
		return s.noteSettled()
	}
	o := c.op(trueUp, d)
	o.want, o.force = n, c.ledger.config.AllowOverdraw
	if by.known {
		o.limit, o.inForce = by.limit, true
	}
	a, b, err := c.settle(ctx, d, o, by)
	if err != nil {
		return err
	}
	c.observe(d, a)
	if a.granted < n {
		return &Error{Err: fmt.Errorf("%w: %d of %d", ErrForgiven, n-a.granted, n), Balance: d.balanceOf(b, 0)}
	}
	return nil
}

// inForce is the limit by which a settlement is decided. If it is not known, the account's own decides.
type inForce struct {
	limit int64
	known bool
}

// limitInForce returns the limit for a charge taken at d. It is not known where q says nothing about the account of d,
// nor, without q, where this ledger has seen no other limit since: the account may know a newer one from another
// ledger.
//
// Example: a charge was taken at a limit of 100. Since then another take has brought a limit of 150. A true-up without
// a quota is decided under 150. Had this ledger seen no other limit, the account would decide by its own, which may be
// 200 by another ledger.
func (c *counter) limitInForce(d *usageDay, q *Quota) inForce {
	if q != nil {
		return inForce{q.Limit, time.Now().Unix() < d.end && d.isBoundBy(q)}
	}
	latest := c.latest.Load()
	return inForce{latest.quota.Limit, latest.start == d.start && latest.limitChanges != d.limitChanges}
}

// isBoundBy reports whether q has the period of d. A location that has been loaded again is another pointer, but the
// same.
func (d *usageDay) isBoundBy(q *Quota) bool {
	switch {
	case q.Period != d.quota.Period:
		return false
	case q.Offset == d.quota.Offset && q.location() == d.quota.location():
		return true
	}
	_, end := q.Bounds(time.Unix(d.end-1, 0))
	return end.Unix() == d.end
}

// leaseOf returns the current lease if it is of the account and day of d and under the limit in force, else nil.
func (c *counter) leaseOf(d *usageDay, by inForce) *lease {
	s := c.lease.Load()
	if s == nil || s.start != d.start || s.day != d.day || by.known && s.quota.Limit != by.limit {
		return nil
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

// settle has the engine make the settlement of a charge taken at d, and returns what is known of the account then. The
// caller must not hold turn. In exact mode nothing is held by a lease, so the operation goes to the committer at once.
func (c *counter) settle(ctx context.Context, d *usageDay, o op, by inForce) (reply, *baseline, error) {
	ctx = context.WithoutCancel(ctx) // the request may be over, its cost is not
	own := &settlement{at: d, op: o, by: by, err: errUnanswered}
	if c.ledger.config.Exact {
		a, err := c.ledger.committer.one(ctx, o)
		own.answered(c, a, err)
		return own.answer, own.base, own.err
	}
	c.mu.Lock()
	c.settlements = append(c.settlements, own)
	c.mu.Unlock()
	if err := c.enter(ctx); err != nil { // so that earlier leases have been returned
		return reply{}, nil, err
	}
	defer c.leave()
	c.settleWaiting(ctx)
	return own.answer, own.base, own.err
}

// settlement waits for its counter's turn. The goroutine that gets the turn commits all that wait, so many settlements
// of one key share a commit. op is read, and the rest written, by the holder of the turn. Until there is an answer, err
// is errUnanswered. It stays so if Config.Observe panics in the goroutine that has the answers of all.
type settlement struct {
	at *usageDay
	op op
	by inForce

	answer reply
	base   *baseline
	err    error
}

var errUnanswered error = &Error{Err: ErrUnavailable, Cause: errors.New("the answer did not arrive")}

// settleWaiting makes the settlements that wait, if no other goroutine has. The current lease is returned with those of
// its account, whatever their day: a true-up may need what it holds, and what it has spent but not reported is not yet
// part of what a refund may give back. The caller holds turn until the answers are kept, so that no lease knows less.
func (c *counter) settleWaiting(ctx context.Context) {
	c.mu.Lock()
	waiting := c.settlements
	c.settlements = nil
	c.mu.Unlock()
	if len(waiting) == 0 {
		return
	}
	commit := c.commit
	ops := make([]op, len(waiting))
	for i, own := range waiting {
		if ops[i] = own.op; own.at.start == c.latest.Load().start {
			commit = c.commitEnding
		}
	}
	answers, err := commit(ctx, ops...)
	for i, own := range waiting {
		if err != nil {
			own.err = err
			continue
		}
		own.answered(c, answers[i], nil)
	}
}

// answered notes the engine's answer. What it tells of the account is kept under the limit that decided, so that a
// refusal from memory is by that limit too.
func (own *settlement) answered(c *counter, a reply, err error) {
	if own.err = err; err != nil {
		return
	}
	limit := a.totals.limit
	if own.by.known {
		limit = own.by.limit
	}
	own.answer, own.base = a, c.learn(own.at, a, limit)
}
