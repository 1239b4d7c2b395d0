package ledger

import (
	"math"
	"sync"
	"sync/atomic"
)

// lease is the right to spend units that the engine has reserved for one day of one account.
type lease struct {
	usageDay

	// left may be spent; it is over once the lease has ended. granted is all that was ever reserved.
	left, granted atomic.Int64

	// base is the engine's last answer, without what is left. It is nil while that is being changed.
	base atomic.Pointer[baseline]

	// A refill begins when left falls below refillBelow; filling is set while one is under way.
	refillBelow atomic.Int64
	filling     atomic.Bool

	id uint64

	// reported is what the engine knows to be spent. reserved is set when it may know the lease, doubtful when it may
	// have granted more than it answered: then no more is reserved, and all of it comes back at the end. Guarded by the
	// counter's turn.
	reported int64
	reserved bool
	doubtful bool

	// A spend is noted in slot before it is answered, if the ledger has slots (noting). Who gets the lock notes for all
	// that hold a ticket by then, so a crowd on one key costs few writes.
	noting bool
	ticket atomic.Uint64
	mu     sync.Mutex
	slot   Slot
	noted  uint64
	final  int64 // what had been spent when the lease ended
}

// over marks a lease that has ended: far enough below zero that no refund lifts it.
const over = math.MinInt64 / 2

// spend takes n units if they are left. Those who spend at once compete for the number itself: who loses looks again.
// For example, two spend 3 of the 5 that are left. Both have seen 5; one replaces it by 2; the other fails, sees 2, and
// is refused.
func (s *lease) spend(n int64) bool {
	for {
		left := s.left.Load()
		if left < n || n == 0 && s.base.Load() == nil {
			return false
		}
		if s.left.CompareAndSwap(left, left-n) {
			return true
		}
	}
}

// spendUpTo takes most units, or what is left if that is at least least, and returns how many; 0 if too few are left.
func (s *lease) spendUpTo(least, most int64) int64 {
	for {
		left := s.left.Load()
		n := min(left, most)
		if n < least {
			return 0
		}
		if s.left.CompareAndSwap(left, left-n) {
			return n
		}
	}
}

// refund puts n units back if the lease is open and has been granted some, but not more than the account has used. What
// was left does not become more than most, so that what others find held is bounded. Any number of goroutines may call
// it at once.
//
// Example: most is 128. A lease with 100 units left takes back 20. With 120 left it does not, and the 20 go to the
// engine, where all ledgers can have them. With nothing left it takes back any number.
func (s *lease) refund(n, most int64) bool {
	for {
		left, b := s.left.Load(), s.base.Load()
		if left < 0 || b == nil || s.granted.Load() == 0 || left+n > b.used || left > 0 && left+n > most {
			return false
		}
		if s.left.CompareAndSwap(left, left+n) {
			return true
		}
	}
}

// note makes what has been spent survive the process, if the ledger has slots. The caller has spent before, and answers
// its request after.
//
// Example: A and B spend, and take the tickets 1 and 2. A gets the lock first. The last ticket is 2 by then, so the sum
// that A notes has what B spent. B gets the lock, finds that ticket 2 is noted, and writes nothing.
func (s *lease) note() error {
	if !s.noting {
		return nil
	}
	mine := s.ticket.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.noted >= mine || s.slot == nil { // without a slot, the engine has been told what was spent
		return nil
	}
	upto := s.ticket.Load() // before the sum is read, so it holds what these tickets spent
	if err := s.slot.Note(s.spentLocked()); err != nil {
		return err
	}
	s.noted = upto
	return nil
}

// spentLocked is what has been spent less what came back into the lease. The caller holds mu, so no grant comes between
// the two numbers that it reads.
func (s *lease) spentLocked() int64 {
	if left := s.left.Load(); left >= 0 {
		return s.granted.Load() - left
	}
	return s.final
}

// spentSoFar is spentLocked for one who does not hold mu. Requests go on meanwhile, so more may have been spent when it
// returns.
func (s *lease) spentSoFar() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spentLocked()
}

// learn takes in the engine's answer to an operation that reported spent. The caller holds the counter's turn. While
// granted, left and base do not fit each other, base is nil: see look.
//
// Example: the engine says that 100 are used, 64 of them held by this lease, which has reported nothing. So 36 are used
// for certain, and base.used is 36 + 64. With 24 spent since, 40 are left, and a balance tells 100 - 40 = 60: the 36
// and the 24.
func (s *lease) learn(a reply, spent int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !a.refused {
		s.reported = spent
	}
	s.base.Store(nil)
	granted := s.granted.Add(a.granted)
	left := s.left.Add(a.granted)
	b := a.baseline(s.quota.Limit)
	b.used += granted - s.reported
	s.base.Store(b)
	s.answer.Store(nil)
	s.refillBelow.Store(left / 2)
	if a.refused {
		s.refillBelow.Store(-1) // no use in asking again before someone has to
	}
}

// unreported is what the engine knows s to hold. The caller holds the counter's turn.
func (s *lease) unreported() int64 { return s.granted.Load() - s.reported }

// finish ends the lease and returns what was spent of it. From then on left is so far below zero that no spend and no
// refund gets through, so what was spent is final. What is known of the account stays readable in answer. The caller
// holds the counter's turn.
func (s *lease) finish() (spent int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rest := s.left.Swap(over); rest >= 0 {
		s.final = s.granted.Load() - rest
	}
	if b := s.knownLocked(); b != nil {
		s.answer.Store(b)
	}
	return s.final
}

// known is what this ledger knows of the account, with what is unspent of s; nil if the engine has never answered.
// Unlike look, it also serves after the end of the lease.
func (s *lease) known() *baseline {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.knownLocked()
}

// knownLocked is known for one who holds mu. Before the first answer about the lease and after its end, answer tells
// what is known, and in between base does. That learn sets base to nil for a moment is not seen here, because it holds
// mu.
func (s *lease) knownLocked() *baseline {
	if b := s.answer.Load(); b != nil {
		return b
	}
	if b := s.base.Load(); b != nil {
		return b.with(s.granted.Load() - s.spentLocked())
	}
	return nil
}

// free gives the slot back once the engine knows what was spent. A note that comes later finds no slot and writes
// nothing.
func (s *lease) free() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slot != nil {
		s.slot.Free()
		s.slot = nil
	}
}
