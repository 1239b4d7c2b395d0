package ledger

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// unsettledCharges are those that may still be settled, if Config.SettleWithin is set. There is no goroutine and no
// timer: each call of the ledger looks at the oldest. All charges have the same time, so the oldest is the first that
// is too old, and a charge that is settled leaves the list in one step.
//
// Example: SettleWithin is a minute. A and B are taken at noon, and A is settled at once. At 12:05 somebody takes C.
// This call finds B, which nobody can settle any more, and tells Observe. Its units stay counted.
type unsettledCharges struct {
	ledger *Ledger
	within time.Duration // 0: no charge is in the list

	// oldest is when the first of the list is too old, in nanoseconds since the ledger began. Calls look at it without
	// the lock.
	oldest atomic.Int64
	open   atomic.Int64 // how many there are

	mu   sync.Mutex
	root openCharge // of a ring: its next is the oldest, its prev the newest
}

// openCharge is what a ledger keeps of a charge that may still be settled. It is the charge's own slab.
type openCharge struct {
	slab
	amount amount
	at     *usageDay
	cost   int64
	due    time.Duration // the last instant at which it may be settled, since the ledger began

	late atomic.Bool // it has not been settled in time; set before it is claimed

	next, prev *openCharge // nil when it is in the list no more; guarded by mu
}

// tellsPerCall is how many charges one call tells of, so that after the death of an upstream with many requests, no
// caller has to wait for all of them to be told.
const tellsPerCall = 64

func (u *unsettledCharges) init(l *Ledger) {
	u.ledger, u.within = l, l.config.SettleWithin
	u.oldest.Store(math.MaxInt64)
	u.root.next, u.root.prev = &u.root, &u.root
}

// add gives a charge a slab of its own, and a place at the end of the list. The clock is read under the lock, so the
// list is in the order of the times in it.
func (u *unsettledCharges) add(ch *Charge) {
	o := &openCharge{at: ch.at, cost: ch.cost}
	o.slab.open = o
	ch.slab, ch.bit = &o.slab, 0
	u.open.Add(1)
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Since(u.ledger.began)
	o.due = now + min(u.within, math.MaxInt64-now) // the sum of a bound of 292 years would be below zero
	o.next, o.prev = &u.root, u.root.prev
	o.prev.next, u.root.prev = o, o
	u.lookAgain()
}

// lookAgain keeps oldest. The caller holds mu.
func (u *unsettledCharges) lookAgain() {
	if first := u.root.next; first != &u.root {
		u.oldest.Store(int64(first.due))
		return
	}
	u.oldest.Store(math.MaxInt64)
}

// remove takes o out of the list, for one who has claimed it. The caller holds mu.
func (u *unsettledCharges) remove(o *openCharge) {
	o.prev.next, o.next.prev = o.next, o.prev
	o.next, o.prev = nil, nil
	u.open.Add(-1)
	u.lookAgain()
}

// close claims o for a settlement, if nobody has and it is not too old.
func (u *unsettledCharges) close(ctx context.Context, o *openCharge) bool {
	if u.expire(ctx, o) {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if o.next == nil {
		return false
	}
	u.remove(o)
	return o.claim(0)
}

// expire ends o if it is too old, and reports whether this call did.
func (u *unsettledCharges) expire(ctx context.Context, o *openCharge) bool {
	now := time.Since(u.ledger.began)
	if now <= o.due || !u.end(o) {
		return false
	}
	u.tell(ctx, o)
	return true
}

// end ends a charge that is too old: its units stay as they are. Of all who find it, one succeeds.
func (u *unsettledCharges) end(o *openCharge) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if o.next == nil {
		return false
	}
	u.remove(o)
	o.late.Store(true)
	o.claim(0)
	o.amount.freeze()
	return true
}

// first returns the oldest charge if it is too old, else nil.
func (u *unsettledCharges) first(now time.Duration) *openCharge {
	u.mu.Lock()
	defer u.mu.Unlock()
	if o := u.root.next; o != &u.root && now > o.due {
		return o
	}
	return nil
}

// tell tells Observe of a charge that has ended unsettled. The caller holds no lock of the list.
func (u *unsettledCharges) tell(ctx context.Context, o *openCharge) {
	if tell := u.ledger.config.Observe; tell != nil {
		c := o.at.counter
		tell(ctx, Event{Operation: "unsettled", Account: Account{c.key, o.at.start}, Units: o.cost + o.amount.more()})
	}
}

// tellUnsettled ends charges that are too old and tells of them. Every method of the ledger calls it. Those beyond
// tellsPerCall are left for the next call.
func (l *Ledger) tellUnsettled(ctx context.Context) {
	if l.unsettled.within > 0 {
		l.unsettled.tellAll(ctx)
	}
}

func (u *unsettledCharges) tellAll(ctx context.Context) {
	now := time.Since(u.ledger.began)
	for range tellsPerCall {
		if int64(now) <= u.oldest.Load() {
			return
		}
		if o := u.first(now); o == nil || !u.expire(ctx, o) {
			return
		}
	}
}
