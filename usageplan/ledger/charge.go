package ledger

import "sync/atomic"

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
// ledgers have taken since is not in it. Once the charge has been settled it is the account's present balance, as far
// as this ledger knows it without asking the engine.
func (ch Charge) Balance() Balance {
	if ch.at == nil {
		return Balance{}
	}
	if ch.slab.wasClaimed(ch.bit) {
		c := ch.at.counter
		if b := c.known(ch.at); b != nil {
			return c.newestOf(ch.at).balanceOf(b, 0)
		}
	}
	return ch.at.balanceOf(ch.base, ch.left)
}
