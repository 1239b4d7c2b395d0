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

// now returns the wall time as UnixNano.
func (c *clock) now() int64 {
	a := c.anchor.Load()
	since := time.Since(a.at)
	if since < 0 || since > time.Second {
		return c.set()
	}
	return a.nano + int64(since)
}

// set takes a new anchor and returns its time as UnixNano.
func (c *clock) set() int64 {
	t := time.Now()
	c.anchor.Store(&anchor{t, t.UnixNano()})
	return t.UnixNano()
}
