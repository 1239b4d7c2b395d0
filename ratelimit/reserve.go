package ratelimit

import (
	"context"
	"time"
)

// A reservation is a take beyond the burst. The TAT goes on rising, and the reservation is due when the debt has fallen
// back to the burst. So reservations are due in the order in which they raised the TAT, and a caller that does not wait
// is refused as long as another one does. For example, at 1 token a second and a burst of 2, full at 0 s: reservations
// of 2, 1 and 2 raise the debt to 2, 3 and 5 tokens, and are due at 0, 1 and 3 s. Allow succeeds again at 4 s.

// Reserve takes n tokens in advance. The caller may act when delay has passed since the call, or undoes the receipt. A
// reservation is refused if n is negative or above the burst, or if the bucket refills so slowly that the wait would be
// one of years. The receipt is then empty, and delay is [Never].
//
// Reservations become due first come, first served. As long as one is not due, Allow and Take refuse, so nobody
// overtakes. The bound of the bucket holds for the instants at which reservations are due.
//
// A change of the limit leaves delays as they are. What was taken and reserved is owed at the new rate. At a faster
// rate this debt is paid before the last reservation is due, and those that are due later come on top of what the new
// limit admits: over any window, no more than the old limit and the new one admit together.
func (b *Bucket) Reserve(n int64) (r Receipt, delay time.Duration) {
	k, delay, ok := b.reserve(b.now(), n, Never)
	if !ok {
		return Receipt{}, Never
	}
	return Receipt{Ref{bucket: b}, k}, delay
}

// Wait returns nil when n tokens have been taken for the caller. If that could only be after ctx's deadline, or never,
// it returns an [*Error] with [ErrLimited] at once, and the error's Decision says how long the wait would be: [Never]
// if n is negative or above the burst. If ctx ends during the wait, Wait undoes its reservation and returns ctx.Err().
//
// Callers are served in the order in which they came, unless the limit is changed while some wait. Wait starts no
// goroutine.
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
	k, delay, ok := b.reserve(b.now(), n, patience)
	switch {
	case !ok:
		d := b.Peek()
		d.OK, d.RetryAfter = false, delay
		return &Error{Err: ErrLimited, Decision: d}
	case delay == 0:
		return nil
	}
	if err := sleep(ctx, delay); err != nil {
		b.undo(b.now, k)
		return err
	}
	return nil
}

// sleep returns nil after delay, or ctx's error if ctx ends earlier. If both happen at once it returns nil, because the
// tokens are the caller's then.
func sleep(ctx context.Context, delay time.Duration) error {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-timer.C:
		return nil
	default:
		return ctx.Err()
	}
}

// reserve takes n tokens if they will have flowed in within patience. If not, delay is the time after which they would
// have, or Never.
func (b *Bucket) reserve(now, n int64, patience time.Duration) (k taken, delay time.Duration, ok bool) {
	for c := b.load(); c != nil; c = b.load() {
		s := c.seg
		switch {
		case n < 0 || !s.unlimited() && n > s.limit.Burst:
			return taken{}, Never, false
		case s.unlimited() || n == 0:
			return taken{outcome{s, now, c.tat.Load(), granted}, n}, 0, true
		}
		u, clock := c.tat.Load(), s.at(now)
		if u == frozen || s.over(now) {
			b.settle(now)
			continue
		}
		next := max(u, clock) + n*s.scale
		delay = s.wait(now, next-s.burst)
		if delay == Never || next-clock > maxDebt || delay > patience {
			return taken{}, delay, false
		}
		if !c.queued.Load() {
			c.queued.Store(true)
		}
		if c.tat.CompareAndSwap(u, next) {
			return taken{outcome{s, now, next, granted}, n}, delay, true
		}
	}
	return taken{}, Never, false
}

// undoQueued is undo for a bucket in which callers may wait. An instant at which something taken later is due must not
// be given to another caller as well. For example, at 1 token a second and a burst of 2, full at 0 s: A reserves 2, due
// at 0 s, and B reserves 1, due at 1 s, which leaves a debt of 3. If A is undone, B still acts at 1 s. So one of A's
// two tokens comes back, and the debt is 2: another caller gets a token at 1 s, at the same time as B, and that is the
// burst.
//
// If B is then undone as well, its token must not come back a second time. So reused keeps the TAT from which A was
// given back, which is that of a debt of 3, and a take whose TAT is not above reused gives nothing back: B's is equal.
// [contents.lower] keeps reused as well, for what came back before anybody waited.
//
// The clock is read after the TAT, so that it is not behind any reading that raised the TAT.
func (b *Bucket) undoQueued(now func() int64, k taken) (tat int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.contents.Load()
	if c.seg != k.seg || k.tat <= c.reused.Load() {
		return 0
	}
	for {
		u := c.tat.Load()
		later := u - k.tat
		back := min(c.seg.cost(k.n), k.tat-c.seg.at(now())) - later // without what has flowed back by itself
		if later < 0 || back <= 0 {
			return 0
		}
		if c.tat.CompareAndSwap(u, u-back) {
			if later > 0 {
				c.reused.Store(u)
			}
			return u - back
		}
	}
}
