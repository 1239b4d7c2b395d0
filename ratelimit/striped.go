package ratelimit

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Striped is a [Bucket] for one limit that all processors share all the time, such as a server's. Bucket's one word goes from
// processor to processor with each call; Striped pays a few tokens in advance to a stripe for each processor, and takes them
// from there, without a look at the clock.
//
// It keeps the bound of its limit: what the stripes may hold, at most a quarter of the burst, is taken off the burst of the
// bucket behind them. (But for one case: a call that is stopped for long on its way from the bucket to a stripe carries up
// to 63 tokens, or what it has collected from the stripes, and what flows in meanwhile is not taken off them.) What it trades is the edge. Stripes that were emptied are not filled by waiting, so a burst after
// a drought may be short of that quarter. One call can take three quarters of the burst at most. And a call may be
// refused while another, on its way, holds up to 64 tokens that it is about to put into a stripe. With a burst below 4
// for each processor there are no stripes, and it is a Bucket. Before it refuses, it collects what lies in the stripes.
//
// Its methods may be called at once from any number of goroutines. The zero Striped, and a nil one, refuse.
type Striped struct {
	bucket Bucket // whose burst is lowered
	set    atomic.Pointer[stripes]
	mu     sync.Mutex // held while set is replaced
}

// stripes hold at most size tokens each. The tokens in the bucket and in them, together, never exceed limit.Burst, and grow
// by limit.Rate only; each admission takes some away. That is the bound.
type stripes struct {
	limit Limit
	size  int64
	list  []stripe // a power of two of them, or none
}

// maxStripe is the most that a stripe holds: then one call in 64 goes to the bucket, and larger ones gain little.
const maxStripe = 64

// A stripe is apart from its neighbours by 512 bytes: more than the line pairs and streams that processors fetch ahead.
type stripe struct {
	left atomic.Int64 // closed once the set is replaced
	_    [504]byte
}

const closed = -1 << 62

// NewStriped makes a full bucket with full stripes for as many processors as GOMAXPROCS says. The error is l's, see
// [Limit.Validate].
func NewStriped(l Limit) (*Striped, error) {
	if err := l.Validate(); err != nil {
		return nil, err
	}
	s := &Striped{}
	set := newStripes(l)
	for i := range set.list {
		set.list[i].left.Store(set.size)
	}
	s.bucket.epoch, s.bucket.striped = time.Now(), s
	s.bucket.cell.Store(&cell{seg: newSegment(set.behind(), 0)})
	s.set.Store(set)
	return s, nil
}

func newStripes(l Limit) *stripes {
	set := &stripes{limit: l}
	n := 1
	for n < runtime.GOMAXPROCS(0) {
		n *= 2
	}
	if set.size = min(l.Burst/4/int64(n), maxStripe); set.size > 0 && !math.IsInf(l.Rate, 1) {
		set.list = make([]stripe, n)
	}
	return set
}

// room is what the stripes hold at most.
func (set *stripes) room() int64 { return int64(len(set.list)) * set.size }

// behind is the limit of the bucket behind the stripes.
func (set *stripes) behind() Limit {
	return Limit{Rate: set.limit.Rate, Burst: set.limit.Burst - set.room()}
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
	return set.spend(1) || s.refill(s.bucket.now(), set, 1).ok()
}

// Take is [Bucket.Take]; the decision's ResetAfter is when the bucket behind the stripes is full.
func (s *Striped) Take(n int64) Decision {
	set := s.load()
	if set == nil {
		return Decision{RetryAfter: Never}
	}
	o := s.take(s.bucket.now(), n)
	return s.load().decision(o, n)
}

// Refund is [Bucket.Refund].
func (s *Striped) Refund(n int64) {
	if s.load() != nil {
		s.refund(s.bucket.now(), n)
	}
}

// Peek is [Bucket.Peek].
func (s *Striped) Peek() Decision {
	set := s.load()
	if set == nil {
		return Decision{RetryAfter: Never}
	}
	d := set.decision(s.bucket.look(s.bucket.now(), 1), 1)
	if d.Remaining > 0 {
		d.OK, d.RetryAfter = true, 0
	}
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
	missing := old.room() - old.close()
	s.set.Store(set) // with empty stripes
	spare := s.bucket.change(s.bucket.now, set.behind(), missing-set.room())
	s.refund(s.bucket.now(), spare)
	return nil
}

// giveBack undoes a take from a stripe, less what has flowed into the bucket since: that may have been used.
func (s *Striped) giveBack(now int64, k Taken) {
	if k.seg == s.bucket.cell.Load().seg {
		s.refund(now, k.seg.tokens(max(k.seg.unused(k, k.seg.at(now)), 0)))
	}
}

// refund puts tokens into the stripes as far as they have room, and the rest into the bucket.
func (s *Striped) refund(now, n int64) {
	set := s.load()
	for i := range set.list {
		left := &set.list[i].left
		for u := left.Load(); n > 0 && u >= 0 && u < set.size; u = left.Load() {
			if put := min(n, set.size-u); left.CompareAndSwap(u, u+put) {
				n -= put
			}
		}
	}
	s.bucket.refund(now, n)
}

// spend takes n tokens from this processor's stripe, if they are there.
func (set *stripes) spend(n int64) bool {
	st := set.mine()
	if st == nil || n < 1 {
		return false
	}
	left := st.left.Load()
	return left >= n && st.left.CompareAndSwap(left, left-n)
}

func (set *stripes) mine() *stripe {
	if len(set.list) == 0 {
		return nil
	}
	return &set.list[processor()&(len(set.list)-1)]
}

func (s *Striped) take(now, n int64) outcome {
	set := s.load()
	switch {
	case set == nil:
		return outcome{}
	case set.spend(n):
		c := s.bucket.cell.Load()
		return outcome{c.seg, now, c.word.Load(), grantedStripe}
	}
	return s.refill(now, set, n)
}

// refill takes n tokens from the bucket, and some for the stripe. When the bucket does not hold so many it goes for n alone,
// and before it refuses, what is missing is collected from the stripes.
func (s *Striped) refill(now int64, set *stripes, n int64) outcome {
	if st := set.mine(); st != nil && n == 1 && st.left.Load() == 0 {
		if o := s.bucket.take(now, set.size); o.ok() {
			if !st.left.CompareAndSwap(0, set.size-1) { // another was faster, or the limit is being changed
				s.refund(now, set.size-1)
			}
			return o
		}
	}
	for {
		o := s.bucket.take(now, n)
		if o.ok() || n > o.seg.limit.Burst {
			return o
		}
		before := set
		collected := set.collect(n - o.remaining())
		if set = s.load(); collected == 0 && set == before {
			return o // there is nothing anywhere
		}
		s.bucket.refund(now, collected)
	}
}

// collect takes up to n tokens out of the stripes.
func (set *stripes) collect(n int64) (tokens int64) {
	for i := range set.list {
		left := &set.list[i].left
		for u := left.Load(); tokens < n && u > 0; u = left.Load() { // a refusal writes no shared memory
			if some := min(u, n-tokens); left.CompareAndSwap(u, u-some) {
				tokens += some
			}
		}
	}
	return tokens
}

// close takes all tokens out of the stripes, for good.
func (set *stripes) close() (tokens int64) {
	for i := range set.list {
		tokens += set.list[i].left.Swap(closed)
	}
	return tokens
}

// decision tells an outcome of the bucket's, with what is in the stripes.
func (set *stripes) decision(o outcome, n int64) Decision {
	d := o.decision(n)
	if len(set.list) > 0 {
		d.Limit = set.limit.Burst
	}
	for i := range set.list {
		if left := set.list[i].left.Load(); left > 0 {
			d.Remaining += left
		}
	}
	return d
}
