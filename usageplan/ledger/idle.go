package ledger

import (
	"sync"
	"time"
)

// Leases that nobody spends from are given back, so that others can have what they hold. There is no goroutine for it:
// each commit looks at a few of the leases that it has not looked at for idleAfter, and ends those of which nothing was
// spent since.
//
// Example: a lease has 40 units left at noon. If a commit a minute later finds the same 40, it ends the lease. If it
// finds 39, the lease is looked at again a minute after that. Without commits, idle leases stay open until Close.
const (
	idleAfter = time.Minute
	idleLooks = 8 // leases looked at by one commit
)

// idleLeases are the open leases, in the order in which they are looked at.
type idleLeases struct {
	mu    sync.Mutex
	queue []look
}

// look is what was seen of a counter's lease, and when, since the ledger began.
type look struct {
	counter *counter
	id      uint64
	left    int64
	at      time.Duration
}

// endedLease is a lease that op is to end. The turn of its counter is held until the engine has answered.
type endedLease struct {
	counter *counter
	lease   *lease
	op      op
}

// watch adds the lease s of c, unless c is there already. The caller holds the turn of c.
func (q *idleLeases) watch(c *counter, s *lease) {
	if c.watched {
		return
	}
	c.watched = true
	q.push(look{c, s.id, s.left.Load(), time.Since(c.ledger.began)})
}

// push adds a look at the end. Its time is the present, so the first in the queue is the first to be due.
func (q *idleLeases) push(l look) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue = append(q.queue, l)
}

// pop removes the first that is due.
func (q *idleLeases) pop(now time.Duration) (l look, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.queue) == 0 || now-q.queue[0].at < idleAfter {
		return look{}, false
	}
	l, q.queue = q.queue[0], q.queue[1:]
	return l, true
}

// end looks at the leases that are due and ends the idle ones. The caller leaves their turns. A counter whose turn
// somebody has is not waited for: the one who has it may wait for this very commit.
func (q *idleLeases) end(now time.Duration) (ended []endedLease) {
	for range idleLooks {
		l, due := q.pop(now)
		if !due {
			break
		}
		if !l.counter.tryEnter() { // in use
			l.at = now
			q.push(l)
			continue
		}
		if o, idle := q.endIf(l, now); idle {
			ended = append(ended, o)
			continue // with the turn
		}
		l.counter.leave()
	}
	return ended
}

// endIf ends the lease of l if nothing was spent from it since, and looks again later if something was. The caller
// holds the turn of l.counter.
func (q *idleLeases) endIf(l look, now time.Duration) (e endedLease, ok bool) {
	s := l.counter.lease.Load()
	if s == nil || !s.reserved {
		l.counter.watched = false
		return endedLease{}, false
	}
	if left := s.left.Load(); s.id != l.id || left != l.left {
		q.push(look{l.counter, s.id, left, now})
		return endedLease{}, false
	}
	l.counter.watched = false
	e = endedLease{counter: l.counter}
	e.lease, e.op, ok = l.counter.end()
	return e, ok
}
