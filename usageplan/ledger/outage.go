package ledger

import (
	"sync/atomic"
	"time"
)

// outage is the time from a failure of the engine to its next answer. Meanwhile a take that needs the engine is refused
// at once: it neither waits for a turn nor queues. Without that, each take would wait for its own attempt, up to
// Config.Timeout if the engine hangs. The server would fill with requests that wait to be refused.
//
// Some take must find out that the engine is back. When the pause after the last failure is over, one take asks the
// engine, and the others are refused until it has returned. Settlements, returns, adjustments and flushes queue in an
// outage too. A settlement must not be lost, and the caller of an adjustment wants to know what the engine says. The
// answer to any of them ends the outage as well.
//
// Example: the engine hangs, and Timeout is 5 ms. All takes that ask within these 5 ms wait until the 5 ms are over,
// and are refused. In the next 50 ms, takes are refused at once. The first take after that asks the engine, and waits
// for 5 ms. The takes that come meanwhile are refused at once, and so are all in the 100 ms that follow.
type outage struct {
	cause  error
	refuse *Error        // what takes get; one for all, so that refusals make no garbage
	over   time.Duration // when the pause ends, since the ledger began
	next   atomic.Int64  // when a take may ask the engine, in nanoseconds since the ledger began
}

// maxProbe is how long the others rely on the take that asks, in Timeouts. That take may wait for the turn of its key,
// and the holder of the turn may be busy with something other than the engine. After this time another take asks.
const maxProbe = 2

func newOutage(cause error, over time.Duration) *outage {
	o := &outage{cause: cause, refuse: &Error{Err: ErrUnavailable, Cause: notSent{cause}}, over: over}
	o.next.Store(int64(over))
	return o
}

// ask says whether a take may ask the engine. Without an outage it returns nil and nil. In an outage it returns an
// error to most takes. To the one that may ask it returns the outage, and that take calls end when it is done.
func (c *committer) ask() (*outage, error) {
	o := c.outage.Load()
	if o == nil {
		return nil, nil
	}
	now, next := time.Since(c.ledger.began), o.next.Load()
	if int64(now) < next || !o.next.CompareAndSwap(next, int64(now+maxProbe*c.ledger.config.Timeout)) {
		return nil, o.refuse
	}
	return o, nil
}

// end lets another take ask. That matters if the caller has not reached the engine, because its context has ended
// before. If the caller has reached it, the outage is over, or a new one has begun, with its own pause.
func (o *outage) end() {
	if o != nil {
		o.next.Store(0)
	}
}
