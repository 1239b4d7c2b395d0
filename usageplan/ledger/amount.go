package ledger

import "sync/atomic"

// amount is how many units more, or fewer, than its cost a charge has, and whether it can still change. Both are in one
// word. So the settlement that closes it learns exactly what had been added by then, and nothing is added after that.
//
// Example: a charge of 10 has grown by 5 when a settlement with 12 closes it. The settlement finds 5 and gives back 3.
// A More that has taken 4 meanwhile finds the amount closed, and gives back the 4.
type amount struct{ word atomic.Int64 }

// The two lowest bits of the word. The units are above them: at most 2^53 either way.
const (
	amountChanged = 1 << iota
	amountClosed
	amountShift = iota
)

func (a *amount) more() int64      { return a.word.Load() >> amountShift }
func (a *amount) hasChanged() bool { return a.word.Load()&amountChanged != 0 }

// add adds n, which may be negative, if the sum is within least and most. It returns whether it is, and whether the
// amount is still open. If either is false, nothing is added.
func (a *amount) add(n, least, most int64) (within, open bool) {
	for {
		word := a.word.Load()
		sum := word>>amountShift + n
		switch {
		case word&amountClosed != 0:
			return true, false
		case sum < least || sum > most:
			return false, true
		case a.word.CompareAndSwap(word, sum<<amountShift|amountChanged):
			return true, true
		}
	}
}

// close makes n what the charge has more than its cost, for the last time, and returns what it had before.
func (a *amount) close(n int64) (before int64) {
	return a.word.Swap(n<<amountShift|amountChanged|amountClosed) >> amountShift
}

// freeze closes the amount as it is.
func (a *amount) freeze() { a.word.Or(amountChanged | amountClosed) }

// amounts are those of a slab's charges, in chunks that are made when the first of a chunk is needed. So where hardly a
// charge changes, a slab has 256 bytes more, and 8 for each charge where all do.
type amounts [slabSize / chunkSize]atomic.Pointer[[chunkSize]amount]

const chunkSize = 16

// amount returns that of charge bit, nil if the charge is what it cost.
func (s *slab) amount(bit uint32) *amount {
	if s.open != nil {
		return &s.open.amount
	}
	all := s.amounts.Load()
	if all == nil {
		return nil
	}
	chunk := all[bit/chunkSize].Load()
	if chunk == nil {
		return nil
	}
	return &chunk[bit%chunkSize]
}

// makeAmount is amount, which it makes if need be. Of several that make one at once, all get the same.
func (s *slab) makeAmount(bit uint32) *amount {
	for {
		if a := s.amount(bit); a != nil {
			return a
		}
		all := s.amounts.Load()
		if all == nil {
			s.amounts.CompareAndSwap(nil, new(amounts))
			continue
		}
		all[bit/chunkSize].CompareAndSwap(nil, new([chunkSize]amount))
	}
}
