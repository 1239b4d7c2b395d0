package redislimit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tallygate/tallygate/ratelimit"
)

// A lane is the way to the server for all groups whose keys may be in one script. There is one lane to a single server,
// and one for each hash tag to a Cluster. At most one call of a lane is under way. Requests that come meanwhile wait
// and ride together on the next one. So the number of calls does not grow with the number of requests.
//
// A lane has no goroutine. The request that finds the lane idle leads: it makes the call for itself and all others that
// wait. Then it makes one that has come meanwhile the leader. For example, with calls of 1 ms:
//
//	0.0 ms   a comes, and leads a call for a
//	0.2 ms   b comes, and waits
//	0.7 ms   c comes, and waits
//	1.0 ms   a is answered, and makes b the leader of a call for b and c
//	2.0 ms   b and c are answered; nobody waits, so the lane is idle
type lane struct {
	limiter *Limiter
	place   byte
	away    atomic.Pointer[absence]
	settled atomic.Int64 // until this instant, tokens that are given back may never have been taken: see back

	mu      sync.Mutex
	busy    bool    // there is a leader
	waiting []*call // for the next batch; if a leader was chosen and has not begun, it is the first

	batch  batch   // of the leader
	riding []*call // the calls of that batch
}

// A call asks for one token from each of some buckets of a group. A fetch asks for nothing but tokens for their stocks.
type call struct {
	group   *group
	buckets []*bucket
	fetch   bool
	lead    chan bool // true makes this call the leader, false says that it is decided; holds one, so nobody waits to send

	ask     int   // its place in the batch
	refused int   // the index of the bucket that refused, or -1
	err     error // the server did not answer
}

// newCall returns a call, which begins as refused by an error: see errUndecided. The caller holds the mutex of the
// group.
func newCall(g *group, buckets []*bucket, fetch bool) *call {
	c, found := g.lane.limiter.pool.Get().(*call)
	if !found {
		c = &call{lead: make(chan bool, 1)}
	}
	c.group, c.buckets, c.fetch, c.refused, c.err = g, append(c.buckets[:0], buckets...), fetch, -1, errUndecided
	g.calls++
	return c
}

// free ends the call, whose channel is empty. The caller holds the mutex of its group.
func (c *call) free() {
	pool := &c.group.lane.limiter.pool
	c.group.calls--
	c.group = nil
	clear(c.buckets)
	pool.Put(c)
}

// mostRiding bounds how long one script runs. 128 calls of two buckets each have 256 keys. A busy server took 1.6 ms
// for them, which is well within a Budget of 5 ms.
const mostRiding = 128

// do returns when the call is decided. If it leads, it decides the others of its batch as well.
func (n *lane) do(c *call) {
	n.mu.Lock()
	n.waiting = append(n.waiting, c)
	lead := !n.busy
	n.busy = true
	n.mu.Unlock()
	if !lead && !<-c.lead {
		return // another leader has decided this call
	}
	n.mu.Lock()
	riders := min(len(n.waiting), mostRiding) // the leader waits first, so it is among them
	n.riding = append(n.riding[:0], n.waiting[:riders]...)
	n.waiting = slices.Delete(n.waiting, 0, riders)
	n.mu.Unlock()
	defer n.handOver(c)
	n.run(n.riding)
}

// handOver wakes the riders of the leader's batch, and makes another call the leader. It is deferred, so that a panic
// of the client, or of OnOutage, leaves nobody waiting.
func (n *lane) handOver(leader *call) {
	for _, c := range n.riding {
		if c != leader {
			c.lead <- false
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.busy = len(n.waiting) > 0; n.busy {
		n.waiting[0].lead <- true
	}
}

// errUndecided is the error of a call until it is decided. So a call is not admitted if the client panics.
var errUndecided = fmt.Errorf("redislimit: the call was not made: %w", ratelimit.ErrUnavailable)

// errLate is the error of an answer that came after the budget. The client ends calls in time. But the process may have
// been stopped between the answer and the check, or the machine may be busy.
var errLate = errors.New("the answer came too late")

// run decides the calls by one call to the server. During an outage it asks nothing: the calls get the error of the
// outage, as if they had come later.
func (n *lane) run(calls []*call) {
	l, b := n.limiter, &n.batch
	err := n.cause()
	if err == nil {
		b.reset()
		for _, c := range calls {
			c.group.mu.Lock()
			b.add(c, l.now())
			c.group.mu.Unlock()
		}
		if err = n.exchange(b); err != nil {
			l.failures.Add(1)
			err = n.fail(err) // not n.cause: a probe may have ended the outage already
		}
	}
	// These calls are this goroutine's alone until handOver, so no mutex is needed.
	for _, c := range calls {
		if c.err = err; err == nil && !c.fetch {
			c.refused = b.verdict(c)
		}
	}
}

// exchange sends the batch and settles it. It settles it after a panic of the client too, or the buckets would wait for
// their tokens forever.
func (n *lane) exchange(b *batch) error {
	defer b.settle()
	return n.send(b)
}

// send makes the call and reads the answer. A late answer is not used: the server counts its tokens as taken, and
// nobody gets them. The context is not that of a request, because the call is made for many.
func (n *lane) send(b *batch) error {
	l := n.limiter
	ctx, cancel := context.WithTimeout(context.Background(), l.config.Budget)
	defer cancel()
	b.encode()
	l.calls.Add(1)
	b.sent = l.now()
	text, err := l.call(ctx, b.keys, b.input)
	switch {
	case err != nil:
		return err
	case l.now()-b.sent > l.config.Budget:
		return errLate
	}
	// The time, a number for each ask, and one for each bucket: see source.
	if err := answer(text).check(1 + len(b.asks) + len(b.buckets)); err != nil {
		return fmt.Errorf("the server is not of this package's kind: %w", err)
	}
	b.answer = answer(text)
	return nil
}

// now returns the time since the limiter was made. It is monotonic, so a step of this machine's clock changes nothing.
func (l *Limiter) now() time.Duration { return time.Since(l.epoch) }
