package ratelimit

import (
	"sync"
	"sync/atomic"
	"time"
)

// A Bucket is one token bucket, full when made.
//
// Its methods may be called from any number of goroutines at once. Taking is lock-free, and a refusal writes no shared
// memory. The zero Bucket, and a nil one, refuse.
//
// Its methods read the clock. [Ref.Take] and [TakeAll] are told the time instead.
type Bucket struct {
	epoch    time.Time
	contents atomic.Pointer[contents]
	mu       sync.Mutex // must be held to replace contents
}

// contents are those of a bucket: a TAT under one segment. A change of the limit ends both: the TAT is frozen, and new
// contents are published.
type contents struct {
	seg    *segment
	queued atomic.Bool // set before the first reservation, and never cleared
	_      [112]byte   // the TAT is written by every take, so what is only read stays on other cache lines
	tat    atomic.Int64
	reused atomic.Int64 // the highest TAT that an undo has lowered, see undoQueued; written under the bucket's mutex
	_      [112]byte
}

// NewBucket makes a full bucket. The error is l's, see [Limit.Validate].
func NewBucket(l Limit) (*Bucket, error) {
	if err := l.Validate(); err != nil {
		return nil, err
	}
	b := &Bucket{epoch: time.Now()}
	b.contents.Store(&contents{seg: newSegment(l, 0)})
	return b, nil
}

// load returns the contents that are in force, or nil if NewBucket did not make b.
func (b *Bucket) load() *contents {
	if b == nil {
		return nil
	}
	return b.contents.Load()
}

// now reads the clock, in nanoseconds since the making of b.
func (b *Bucket) now() int64 {
	if b == nil {
		return 0
	}
	return int64(time.Since(b.epoch))
}

// Allow takes one token and reports whether there was one.
func (b *Bucket) Allow() bool {
	now := b.now()
	if c := b.load(); c != nil {
		if clock, ok := c.seg.ready(now, 1); ok { // the common way of take, without an outcome
			if u, ok := c.seg.spend(&c.tat, clock, c.seg.scale); ok || u != frozen {
				return ok
			}
		}
	}
	return b.take(now, 1).ok()
}

// Take takes n tokens or none. It refuses a negative n, and an n above the burst with a RetryAfter of [Never]; zero
// tokens are always granted.
func (b *Bucket) Take(n int64) (d Decision) {
	b.take(b.now(), n).fill(n, &d)
	return d
}

// Peek returns what Take(1) would decide, and takes nothing: Remaining still counts the token.
func (b *Bucket) Peek() Decision {
	return b.look(b.now(), 1).decision(1)
}

// SetLimit changes the limit from now on. The error is that of [Limit.Validate], or [ErrNotConfigured].
//
// What has been taken stays taken, in tokens, and from now on flows back at the new rate. For example, a bucket that
// was drained at one token a second and is set to 100 a second admits again after 10 ms. With a smaller burst the
// bucket may owe more than it holds; it then refuses until that has flowed back. A debt that would take longer than
// four years to pay at the new rate may be cut to four years.
func (b *Bucket) SetLimit(l Limit) error { return b.setLimit(b.now, l) }

// setLimit is SetLimit with the caller's clock, which replace reads.
func (b *Bucket) setLimit(now func() int64, l Limit) error {
	if b.load() == nil {
		return ErrNotConfigured
	}
	if err := l.Validate(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.replace(b.contents.Load(), now, l)
	return nil
}

// replace moves the bucket to a new segment; the caller must hold mu. The clock is read after the TAT is frozen, so the
// reading is not behind any that still counted under the old segment.
func (b *Bucket) replace(c *contents, now func() int64, l Limit) {
	u := c.tat.Swap(frozen)
	c.seg.next = newSegment(l, now())
	moved := &contents{seg: c.seg.next}
	moved.queued.Store(c.queued.Load())
	moved.tat.Store(c.seg.convert(u))
	b.contents.Store(moved)
}

// take takes n tokens or none at the instant now. Its verdict is never retry: it waits for a change of the limit that
// is under way. If nothing is out of the common way, it does not lock anything.
func (b *Bucket) take(now, n int64) outcome {
	c := b.load()
	if c == nil {
		return outcome{}
	}
	if clock, ok := c.seg.ready(now, n); ok {
		if u, ok := c.seg.spend(&c.tat, clock, n*c.seg.scale); ok || u != frozen {
			return outcome{c.seg, now, u, verdictOf(ok)}
		}
	}
	return b.takeOdd(now, n)
}

// takeOdd is take for what the fast path does not decide, such as an n of 0 or a limit that is being changed.
func (b *Bucket) takeOdd(now, n int64) outcome {
	for {
		b.settle(now)
		if o := b.try(now, n); o.verdict != retry {
			return o
		}
	}
}

// try is take without waiting. Its verdict is retry if the TAT is frozen, because the limit is being changed or a
// [Limiter] no longer uses the bucket.
func (b *Bucket) try(now, n int64) outcome {
	c := b.contents.Load()
	s := c.seg
	clock := s.at(now)
	switch {
	case s.over(now):
		return outcome{verdict: retry}
	case s.unlimited() || n < 1 || n > s.limit.Burst:
		return c.look(now, n)
	}
	u, ok := s.spend(&c.tat, clock, n*s.scale)
	if u == frozen {
		return outcome{verdict: retry}
	}
	return outcome{s, now, u, verdictOf(ok)}
}

// look decides on n tokens at the instant now and takes none. Like take, it waits for a change of the limit.
func (b *Bucket) look(now, n int64) outcome {
	if b.load() == nil {
		return outcome{}
	}
	for {
		if o := b.contents.Load().look(now, n); o.verdict != retry {
			return o
		}
		b.settle(now)
	}
}

// undo gives back a take, as far as it has not flowed back by itself. For tests, it returns the TAT that it leaves
// behind, or 0 if nothing came back. The clock is read after the TAT.
func (b *Bucket) undo(now func() int64, k taken) (tat int64) {
	for {
		c := b.contents.Load()
		u := c.tat.Load()
		switch {
		case c.seg != k.seg || u == frozen:
			return 0
		case c.queued.Load():
			return b.undoQueued(now, k)
		}
		back := c.seg.owing(k, u, c.seg.at(now()), u == k.tat && u > c.reused.Load())
		if back <= 0 {
			return 0
		}
		if c.lower(&b.mu, u, back, u > k.tat) {
			return u - back
		}
	}
}

// lower lowers the TAT by back units if it still is u, and reports whether it was. If later is true, others have taken
// since the take that is undone. The TATs in their receipts are then too high, and reused says up to where: see
// undoQueued.
func (c *contents) lower(mu *sync.Mutex, u, back int64, later bool) bool {
	if !later {
		return c.tat.CompareAndSwap(u, u-back)
	}
	mu.Lock()
	defer mu.Unlock()
	before := c.reused.Load()
	c.reused.Store(max(before, u)) // first, so that no undo mistakes the TAT of a later take for the present one
	if c.tat.CompareAndSwap(u, u-back) {
		return true
	}
	c.reused.Store(before)
	return false
}

// settle waits for a change of the limit to end, and starts a new segment if the clock has reached its horizon.
func (b *Bucket) settle(now int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.contents.Load(); c.seg.over(now) && c.tat.Load() != frozen {
		b.replace(c, func() int64 { return now }, c.seg.limit)
	}
}

// look decides on n tokens and takes none.
func (c *contents) look(now, n int64) outcome {
	s, clock, u := c.seg, c.seg.at(now), c.tat.Load()
	switch {
	case u == frozen || s.over(now):
		return outcome{verdict: retry}
	case s.unlimited():
		return outcome{s, now, u, verdictOf(n >= 0)}
	}
	return outcome{s, now, u, verdictOf(s.afford(u, clock, n))}
}
