package ratelimit

import (
	"context"
	"sync/atomic"
	"time"
)

// Reservations are takes beyond the burst: the word goes on rising, and the time until its debt is no more than the burst
// again is how long its owner has to wait. So they are served in the order in which they raised the word, and whoever does
// not wait is refused meanwhile.

// A Reservation is a place in a bucket's queue.
type Reservation struct {
	// OK reports whether there is one. It is false for what [Bucket.Take] refuses for ever.
	OK bool
	// Delay is how long to wait from the call of Reserve on before acting; 0 is at once, and [Never] if there is no
	// reservation.
	Delay time.Duration

	place
	bucket   *Bucket
	canceled atomic.Bool
}

// A place is what a call has taken: cost units below word.
type place struct {
	seg        *segment
	word, cost int64
}

// Reserve takes n tokens in advance: the caller may act after the reservation's Delay, or calls Cancel. Reservations become
// due first come, first served, and as long as somebody waits, Allow and Take refuse: nobody overtakes. The bound of the
// bucket holds for the instants at which they are due. It refuses a negative n, an n above the burst, and what a bucket
// that refills too slowly would have to be waited for for years.
//
// A change of the limit leaves a reservation's Delay as it is. What was taken and reserved is owed at the new rate. At a
// faster one it has flowed back before the last reservation is due, and until then those that are due come on top of
// what the new limit admits: no more, over any window, than the old limit and the new one admit together.
func (b *Bucket) Reserve(n int64) *Reservation {
	p, delay, ok := b.reserve(b.now(), n, Never)
	if !ok {
		delay = Never
	}
	return &Reservation{OK: ok, Delay: delay, place: p, bucket: b}
}

// Cancel gives a reservation back that is not going to be used. The bucket gets all of it if nothing was taken since. What
// was taken since keeps its later instant, so it stands where this reservation's tokens would come back: the bucket gets
// only what exceeds it, and nothing if it has got some so once, or if the limit has changed. Whatever is more might admit
// more than the limit. It may be called at any time; the second call does nothing.
func (r *Reservation) Cancel() {
	if r.OK && !r.canceled.Swap(true) {
		r.bucket.undo(r.bucket.now, r.place)
	}
}

// Wait returns nil once n tokens are the caller's. It refuses at once, with [ErrLimited], what could only be granted after
// ctx's deadline, or never; the error's Decision tells when. If ctx ends while it waits, it cancels its reservation and
// returns ctx.Err(). Callers are served in the order in which they came, unless the limit is changed while some wait. It
// starts no goroutine.
func (b *Bucket) Wait(ctx context.Context, n int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.load() == nil {
		return &Error{Err: ErrNotConfigured}
	}
	patience := Never
	if deadline, ok := ctx.Deadline(); ok {
		if patience = time.Until(deadline); patience < 0 { // and ctx is about to notice
			return context.DeadlineExceeded
		}
	}
	p, delay, ok := b.reserve(b.now(), n, patience)
	switch {
	case n < 0:
		return &Error{Err: ErrCost}
	case !ok:
		d := b.Peek()
		d.OK, d.RetryAfter = false, delay
		return &Error{Err: ErrLimited, Decision: d}
	case delay == 0:
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-timer.C: // both at once: the tokens are the caller's
		return nil
	default:
		b.undo(b.now, p)
		return ctx.Err()
	}
}

// reserve takes n tokens that will have flowed back within patience. Otherwise it tells after what time they would have.
func (b *Bucket) reserve(now, n int64, patience time.Duration) (p place, delay time.Duration, ok bool) {
	for c := b.load(); c != nil; c = b.load() {
		s := c.seg
		switch {
		case n < 0 || !s.unlimited() && n > s.limit.Burst:
			return place{}, Never, false
		case s.unlimited() || n == 0:
			return place{seg: s}, 0, true
		}
		u, clock := c.word.Load(), s.at(now)
		if u == frozen || s.over(now) {
			b.settle(now)
			continue
		}
		next := max(u, clock) + n*s.scale
		delay = s.wait(now, next-s.burst)
		if delay == Never || next-clock > maxDebt || delay > patience {
			return place{}, delay, false
		}
		if !c.queued.Load() {
			c.queued.Store(true)
		}
		if c.word.CompareAndSwap(u, next) {
			return place{s, next, n * s.scale}, delay, true
		}
	}
	return place{}, Never, false
}

// undo gives back what a place has taken, as far as the bound allows: no instant at which something taken later is due may
// be given to somebody else as well. Such an instant is given at most once: what stands beyond reused is not touched again.
// The clock is read after the word, so that it is not behind any reading that raised the word.
func (b *Bucket) undo(now func() int64, p place) {
	if p.cost == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.cell.Load()
	if c.seg != p.seg || p.word <= c.reused {
		return
	}
	for {
		u := c.word.Load()
		later := u - p.word
		back := min(p.cost, p.word-c.seg.at(now())) - later // without what has flowed back by itself
		if later < 0 || back <= 0 {
			return
		}
		if c.word.CompareAndSwap(u, u-back) {
			if later > 0 {
				c.reused = u
			}
			return
		}
	}
}
