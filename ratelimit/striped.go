package ratelimit

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Striped is a [Bucket] for one limit that all processors share all the time, such as a server's. Bucket's one word goes from
// processor to processor with each call; Striped pays a few tokens in advance to a stripe for each processor, and takes them
// from there, without a look at the clock.
//
// It keeps the bound of its limit: what the stripes may hold, at most a quarter of the burst, is taken off the burst of the
// bucket behind them. What it trades is the edge. Stripes that were emptied are not filled by waiting, so a burst after a
// drought may be short of that quarter. One call can take three quarters of the burst at most. And a call may be refused
// while others, on their way, hold tokens that they are about to put into the stripes. With a burst below 4 for each stripe
// there are none, and it is a Bucket. Before it refuses, it looks for what lies in the stripes.
//
// Its methods may be called at once from any number of goroutines. Allow is lock-free. A call for more than any one stripe
// or the bucket holds, though not more than all of them together, locks the stripes. The zero Striped, and a nil one, refuse.
type Striped struct {
	bucket Bucket // whose burst is lowered
	set    atomic.Pointer[stripes]
	mu     sync.Mutex   // held while set is replaced
	clock  func() int64 // bucket.now; tests stop callers in it
}

// NewStriped makes a full bucket with full stripes for as many processors as GOMAXPROCS says, or the next power of two. The
// error is l's, see [Limit.Validate].
func NewStriped(l Limit) (*Striped, error) {
	if err := l.Validate(); err != nil {
		return nil, err
	}
	s := &Striped{}
	set := newStripes(l)
	set.add(set.room())
	s.bucket.epoch, s.bucket.striped, s.clock = time.Now(), s, s.bucket.now
	s.bucket.cell.Store(&cell{seg: newSegment(set.behind(), 0)})
	s.set.Store(set)
	return s, nil
}

func (s *Striped) load() *stripes {
	if s == nil {
		return nil
	}
	return s.set.Load()
}

// Allow takes one token and reports whether there was one.
func (s *Striped) Allow() bool {
	set := s.load()
	if set == nil {
		return false
	}
	return set.spend(1) || s.refill(set, s.bucket.now(), 1).ok()
}

// Take is [Bucket.Take]; the decision's ResetAfter is when the bucket behind the stripes is full.
func (s *Striped) Take(n int64) (d Decision) {
	if s.load() == nil {
		return Decision{RetryAfter: Never}
	}
	s.tell(s.take(s.bucket.now(), n), n, &d)
	return d
}

// Refund is [Bucket.Refund].
func (s *Striped) Refund(n int64) {
	if s.load() != nil {
		s.refund(n)
	}
}

// Peek is [Bucket.Peek].
func (s *Striped) Peek() (d Decision) {
	if s.load() == nil {
		return Decision{RetryAfter: Never}
	}
	s.tell(s.look(s.bucket.now(), 1), 1, &d)
	return d
}

// SetLimit is [Bucket.SetLimit].
func (s *Striped) SetLimit(l Limit) error {
	if s.load() == nil {
		return ErrNotConfigured
	}
	if err := l.Validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, set := s.set.Load(), newStripes(l)
	old.lock()
	defer old.unlock()
	missing := old.room() - old.remove(math.MaxInt64)
	set.add(s.bucket.change(s.clock, set.behind(), missing-set.room()))
	s.set.Store(set)
	return nil
}

func (s *Striped) take(now, n int64) outcome {
	set, c := s.set.Load(), s.bucket.cell.Load()
	if set.spend(n) {
		return c.spent(now)
	}
	return s.refill(set, now, n)
}

// spent is the outcome of a take from a stripe. The cell is from before the take: of one that followed it, nothing would be
// known of what has flowed in until it was made.
func (c *cell) spent(now int64) outcome {
	u := c.word.Load()
	if u == frozen {
		u = c.seg.at(now) + c.seg.burst
	}
	return outcome{c.seg, now, u, grantedStripe}
}

// refill takes n tokens where this processor's stripe does not hold so many: from the bucket, and some for the stripe with
// it; else from another stripe; else from all together.
func (s *Striped) refill(set *stripes, now, n int64) outcome {
	if o := s.fill(set, now, n); o.ok() {
		return o
	}
	c, o := s.bucket.cell.Load(), s.bucket.take(now, n)
	switch {
	case o.ok() || n < 1 || n > o.seg.limit.Burst:
		return o
	case set.steal(n):
		return c.spent(now)
	case n > 1 && o.remaining()+set.stock() >= n:
		o = s.gather(set, n)
	}
	if current := s.set.Load(); !o.ok() && current != set {
		return s.refill(current, now, n)
	}
	return o
}

// fill takes one token, and as many as the stripe holds besides.
func (s *Striped) fill(set *stripes, now, n int64) (o outcome) {
	st := set.mine()
	if st == nil || n != 1 || st.left.Load() != 0 || !s.bucket.look(now, set.size).ok() || !st.mu.TryLock() {
		return outcome{}
	}
	defer st.mu.Unlock()
	if s.set.Load() != set || st.left.Load() != 0 {
		return outcome{}
	}
	if o = s.bucket.take(s.clock(), set.size); o.ok() {
		st.left.Store(set.size - 1)
	}
	return o
}

// gather takes n tokens from the stripes and the bucket together.
func (s *Striped) gather(set *stripes, n int64) outcome {
	set.lock()
	defer set.unlock()
	for {
		missing := n - s.bucket.look(s.clock(), n).remaining()
		some := set.remove(missing)
		o := s.bucket.take(s.clock(), n-some)
		if o.ok() {
			o.verdict = grantedStripe
			return o
		}
		set.add(some)
		if some < missing {
			return o
		} // else the bucket holds less than it did
	}
}

// giveBack undoes a take from a stripe, less what has flowed into the bucket since: that may have been used.
func (s *Striped) giveBack(k Taken) {
	k.n -= s.put(func() int64 {
		if k.seg != s.bucket.cell.Load().seg {
			return 0
		}
		return k.seg.tokens(max(k.seg.unused(k, k.seg.at(s.clock())), 0))
	})
	s.bucket.giveBack(s.clock, k)
}

// refund puts tokens into the stripes as far as they have room, and the rest into the bucket.
func (s *Striped) refund(n int64) {
	n -= s.put(func() int64 { return n })
	s.bucket.refund(s.clock(), n)
}

// put puts tokens into the stripes as far as they have room, and returns how many. How many there are is asked while a stripe
// is locked.
func (s *Striped) put(tokens func() int64) (n int64) {
	set := s.set.Load()
	for i := 0; i < len(set.list); i++ {
		st := &set.list[i]
		if st.left.Load() == set.size {
			continue
		}
		st.mu.Lock()
		if current := s.set.Load(); current != set { // these stripes are no longer used
			st.mu.Unlock()
			set, i = current, -1
			continue
		}
		room := set.size - st.left.Load()
		some := min(tokens()-n, room)
		n += st.add(some)
		st.mu.Unlock()
		if some < room {
			break
		}
	}
	return n
}

// look decides on n tokens and takes none.
func (s *Striped) look(now, n int64) outcome {
	set := s.set.Load()
	o := s.bucket.look(now, n)
	if o.verdict == refused && n > 0 && n <= o.seg.limit.Burst && o.remaining()+set.stock() >= n {
		o.verdict = grantedStripe
	}
	return o
}

// tell is [outcome.tell] with what is in the stripes, unless the limit has changed since.
func (s *Striped) tell(o outcome, n int64, d *Decision) {
	set := s.set.Load()
	if o.seg.limit != set.behind() {
		o.tell(n, d)
		return
	}
	stock, lacking := set.stock(), n
	if n <= o.seg.limit.Burst {
		lacking = max(n-stock, min(n, 1)) // the bucket need not have what the stripes have
	}
	o.tell(lacking, d)
	d.Limit, d.Remaining = set.limit.Burst, d.Remaining+stock
}

// remaining is [outcome.remaining] with what is in the stripes, unless the limit has changed since.
func (s *Striped) remaining(o outcome) int64 {
	set := s.set.Load()
	if o.seg.limit != set.behind() {
		return o.remaining()
	}
	return o.remaining() + set.stock()
}
