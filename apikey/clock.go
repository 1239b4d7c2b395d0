package apikey

import (
	"sync/atomic"
	"time"
)

// A clock returns the wall time at the cost of the monotonic clock, which is half that of time.Now. It adds the time
// since an anchor, and takes a new anchor every second. If the wall clock is set, the clock follows within that second.
type clock struct {
	anchor atomic.Pointer[anchor]
}

type anchor struct {
	at   time.Time
	nano int64 // the same, as UnixNano
}

// A reading is an instant that a clock has told: the time since an anchor.
type reading struct {
	anchor *anchor
	since  time.Duration
}

// nano returns the wall time as UnixNano.
func (r reading) nano() int64 { return r.anchor.nano + int64(r.since) }

// time returns the instant with both clocks, as time.Now does.
func (r reading) time() time.Time { return r.anchor.at.Add(r.since) }

// now returns the present instant.
func (c *clock) now() reading {
	a := c.anchor.Load()
	since := time.Since(a.at)
	if since < 0 || since > time.Second {
		return reading{anchor: c.set()}
	}
	return reading{a, since}
}

// set takes a new anchor and returns it.
func (c *clock) set() *anchor {
	t := time.Now()
	a := &anchor{t, t.UnixNano()}
	c.anchor.Store(a)
	return a
}
