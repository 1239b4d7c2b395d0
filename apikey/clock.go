package apikey

import (
	"sync/atomic"
	"time"
)

// clock tells the wall time for the price of the monotonic one, half of time.Now: it adds the time since an anchor,
// and takes a new anchor every second. A wall clock that is set is noticed within that second.
type clock struct {
	anchor atomic.Pointer[anchor]
}

type anchor struct {
	at   time.Time
	nano int64 // the same, as UnixNano
}

// now returns UnixNano.
func (c *clock) now() int64 {
	a := c.anchor.Load()
	since := time.Since(a.at)
	if since < 0 || since > time.Second {
		return c.set()
	}
	return a.nano + int64(since)
}

// set takes an anchor and returns it.
func (c *clock) set() int64 {
	t := time.Now()
	c.anchor.Store(&anchor{t, t.UnixNano()})
	return t.UnixNano()
}
