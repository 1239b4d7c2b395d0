package ledger

import (
	"context"
	"sync/atomic"
)

// Charge is a granted take. It is a value: copies are the same charge. The zero Charge stands for nothing taken. Its
// methods are safe for concurrent use.
type Charge struct {
	at   *usageDay
	cost int64

	slab *slab // with bit, whether it has been settled
	bit  uint32

	base *baseline // with left, the balance after it
	left int64
}

// slab remembers which of 256 charges have been settled: a bit each instead of an allocation. A charge is a value that
// may be copied, so the mark cannot be in it. A full slab is garbage as soon as none of its charges is in use.
type slab struct {
	next    atomic.Uint32
	settled [4]atomic.Uint64

	amounts atomic.Pointer[amounts] // nil as long as all its charges are what they cost
	open    *openCharge             // with Config.SettleWithin, the only charge of this slab
}

const slabSize = 256

// slabs number charges, slab after slab. The zero slabs are ready.
type slabs struct{ last atomic.Pointer[slab] }

// number gives a charge its bit. Any number of goroutines may call it at once. When a slab is full, several may make
// the next one. One of them wins, and the others use it.
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

// claim reports whether charge bit has not been settled before, and marks it as settled in the same step. So of two
// settlements at once, one is made.
func (s *slab) claim(bit uint32) bool {
	mask := uint64(1) << (bit & 63)
	return s.settled[bit>>6].Or(mask)&mask == 0
}

// wasClaimed reports whether charge bit has been settled.
func (s *slab) wasClaimed(bit uint32) bool {
	return s.settled[bit>>6].Load()&(1<<(bit&63)) != 0
}

// Balance is the account's just after the charge; from a lease as of this ledger's last reservation, so what other
// ledgers have taken since is not in it. Once the charge has grown or been settled it is the account's present balance,
// as far as this ledger knows it without asking the engine.
func (ch Charge) Balance() Balance {
	if ch.at == nil {
		return Balance{}
	}
	if a := ch.slab.amount(ch.bit); a != nil && a.hasChanged() || ch.slab.wasClaimed(ch.bit) {
		if b, ok := ch.at.counter.balance(ch.at); ok {
			return b
		}
	}
	return ch.at.balanceOf(ch.base, ch.left)
}

// Units are what the charge has taken so far: its cost, and what [Charge.More] has added. After Settle they are what it
// was settled with, also where a part was forgiven. Those of the zero Charge are 0.
func (ch Charge) Units() int64 {
	if ch.at == nil {
		return 0
	}
	if a := ch.slab.amount(ch.bit); a != nil {
		return ch.cost + a.more()
	}
	return ch.cost
}

// close ends the charge with so many units, and returns how many it had taken. Of all who close it, one succeeds.
func (ch *Charge) close(ctx context.Context, actual int64) (taken int64, err error) {
	if o := ch.slab.open; o != nil {
		if !ch.at.counter.ledger.unsettled.close(ctx, o) {
			return 0, ch.closed()
		}
	} else if !ch.slab.claim(ch.bit) {
		return 0, ch.closed()
	}
	a := ch.slab.amount(ch.bit)
	if a == nil && actual != ch.cost {
		a = ch.slab.makeAmount(ch.bit)
	}
	if a == nil {
		return ch.cost, nil
	}
	return ch.cost + a.close(actual-ch.cost), nil
}

// closed is the error of a charge that has been settled or is too old; nil if it is open.
func (ch *Charge) closed() error {
	switch {
	case !ch.slab.wasClaimed(ch.bit):
		return nil
	case ch.slab.open != nil && ch.slab.open.late.Load():
		return &Error{Err: ErrTooLate, Balance: ch.Balance()}
	}
	return &Error{Err: ErrSettled, Balance: ch.Balance()}
}
