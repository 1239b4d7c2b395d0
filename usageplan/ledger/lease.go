package ledger

import (
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// lease is the right to spend reserved units on one day of one account. In exact mode nothing is ever reserved for it and
// it only tells account and day.
type lease struct {
	// Unix seconds: the account is [start, end), the usage day [day, dayEnd). With quota, the first cache line: fits
	// needs no more.
	quota                   Quota
	start, end, day, dayEnd int64

	cell *cell
	id   uint64

	// left may be spent; it is over once the lease has ended. granted is all that was ever reserved.
	left, granted atomic.Int64

	// view is what the store's last answer said, nil while that is being changed.
	view atomic.Pointer[view]

	// half is where a refill begins before the block is spent; filling is set while one is under way.
	half    atomic.Int64
	filling atomic.Bool

	// reported is the Spent that the store knows; reserved is set when it may know the lease, doubtful when it may have
	// granted more than it answered: then no more is reserved, and all of it comes back at the end. Guarded by the
	// cell's turn.
	reported int64
	reserved bool
	doubtful bool

	// A spend is noted in slot before it is answered, if the store has slots (noting). Whoever gets the lock notes for all
	// that hold a ticket by then, so a crowd on one key costs few writes.
	noting bool
	ticket atomic.Uint64
	mu     sync.Mutex
	slot   OldSlot
	noted  uint64
	final  int64 // what had been spent when the lease ended

	// limits is how often this ledger had seen the limit of the key change when the lease was made.
	limits int

	// answer is what this ledger knows of the account while view does not tell it: before the first answer about the lease
	// and after its end, and always in exact mode. nil if there is no more than view.
	answer atomic.Pointer[view]
}

// over marks a lease that has ended: far enough below zero that no refund lifts it.
const over = math.MinInt64 / 2

// view makes balances out of left: remaining = room + left, used = used - left.
type view struct {
	limit, room, used, adjustments int64
	order                          uint64 // of the store's answers; 0 in the view of a lease
}

// newLease is the lease for an instant. No account older than newest is opened: if the quota's period begins before,
// the newest account goes on to the end of that period. The same holds for days, where a quota has got another location.
func newLease(q Quota, now, newest, newestDay int64) *lease {
	t := time.Unix(now, 0)
	start, end := q.Bounds(t)
	day, dayEnd := q.dayOf(t)
	return &lease{
		quota: q, start: max(start.Unix(), newest), end: end.Unix(),
		day: max(day.Unix(), newestDay), dayEnd: dayEnd.Unix(), id: rand.Uint64(),
	}
}

// fits reports whether s is for an instant under q. Instants before its day fit as well: the clock stepped back.
func (s *lease) fits(now int64, q *Quota) bool { return now < s.dayEnd && s.quota == *q }

// spend takes n units if they are left.
func (s *lease) spend(n int64) bool {
	for {
		left := s.left.Load()
		if left < n || n == 0 && s.view.Load() == nil {
			return false
		}
		if s.left.CompareAndSwap(left, left-n) {
			return true
		}
	}
}

// refund puts n units back if the lease is open and has been granted some, but not more than the account has used. What was
// left does not become more than most, so that what others find held is bounded.
func (s *lease) refund(n, most int64) bool {
	for {
		left, v := s.left.Load(), s.view.Load()
		if left < 0 || v == nil || s.granted.Load() == 0 || left+n > v.used || left > 0 && left+n > most {
			return false
		}
		if s.left.CompareAndSwap(left, left+n) {
			return true
		}
	}
}

// note makes what has been spent survive the process, if the store has a place for that.
func (s *lease) note() error {
	if !s.noting {
		return nil
	}
	mine := s.ticket.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.noted >= mine || s.slot == nil { // without a slot, the store has been told what was spent
		return nil
	}
	upto := s.ticket.Load() // before the sum is read, so it holds what these tickets spent
	if err := s.slot.Note(s.spentLocked()); err != nil {
		return err
	}
	s.noted = upto
	return nil
}

func (s *lease) spentLocked() int64 {
	if left := s.left.Load(); left >= 0 {
		return s.granted.Load() - left
	}
	return s.final
}

func (s *lease) spentSoFar() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spentLocked()
}

// learn takes in a store's answer to a reservation that reported spent. The caller holds the cell's turn.
func (s *lease) learn(out Outcome, spent int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !out.Refused {
		s.reported = spent
	}
	s.view.Store(nil)
	granted := s.granted.Add(out.Granted)
	left := s.left.Add(out.Granted)
	t := out.Totals
	s.view.Store(&view{
		limit:       s.quota.Limit,
		room:        s.quota.Limit + t.Adjustments - t.Used,
		used:        t.Used - t.Held - s.reported + granted,
		adjustments: t.Adjustments,
	})
	s.answer.Store(nil)
	s.half.Store(left / 2)
	if out.Refused {
		s.half.Store(-1) // no use in asking again before someone has to
	}
}

// finish ends the lease and returns what was spent of it. The caller holds the cell's turn.
func (s *lease) finish() (spent int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rest := s.left.Swap(over); rest >= 0 {
		s.final = s.granted.Load() - rest
	}
	return s.final
}

// known is what this ledger knows of the account, with what is, or was at the end, unspent of s; ok is false if the store
// has never answered.
func (s *lease) known() (v view, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.answer.Load(); a != nil {
		return *a, true
	}
	last := s.view.Load()
	if last == nil {
		return view{}, false
	}
	return *last.with(s.granted.Load() - s.spentLocked()), true
}

// keep keeps an answer, unless a later one is there already.
func (s *lease) keep(v *view) {
	for {
		last := s.answer.Load()
		if last != nil && last.order > v.order || s.answer.CompareAndSwap(last, v) {
			return
		}
	}
}

// free gives the slot back once the store knows what was spent.
func (s *lease) free() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slot != nil {
		s.slot.Free()
		s.slot = nil
	}
}
