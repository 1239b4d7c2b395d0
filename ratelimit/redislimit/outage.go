package redislimit

import (
	"context"
	"fmt"
	"time"

	"github.com/tallygate/tallygate/ratelimit"
)

// A Policy is what happens to requests while the server does not answer.
type Policy int

const (
	// Refuse refuses requests with an error that wraps ratelimit.ErrUnavailable: 503. The bound holds.
	Refuse Policy = iota
	// Allow lets requests pass, except those that a remembered refusal forbids. Nothing bounds them.
	Allow
	// LocalShare gives each node a local bucket with 1/Nodes of the rate and of the burst. It is full when an outage
	// first needs it. If the burst is below Nodes, each node has a burst of one token. So the nodes together admit at
	// most the greater of burst and Nodes beyond the bound, in each outage.
	LocalShare
)

// String returns the policy's name: "refuse", "allow" or "local share".
func (p Policy) String() string {
	if p < Refuse || p > LocalShare {
		return fmt.Sprintf("Policy(%d)", int(p))
	}
	return [...]string{"refuse", "allow", "local share"}[p]
}

// An Outage says that an outage has begun, goes on or has ended, as this node sees it. On a Cluster, an outage begins
// with the first hash tag that gets no answer, and ends when all get answers again. The server still decides requests
// of the other tags.
type Outage struct {
	// Phase is "began", "probe" for a probe that failed, or "ended".
	Phase string
	// Policy is [Config].Away: how requests are answered during the outage.
	Policy Policy
	// Since is when the outage began, by the clock of this machine.
	Since time.Time
	// Err is the error of the call or of the probe. It is nil if the outage has ended.
	Err error
}

// An absence is an outage of one lane. err is the error of its requests.
type absence struct{ err error }

// firstPause is between the first probe, which follows the failure at once, and the second. Each further pause is twice
// the one before, up to lastPause. So a short failure costs little, and a server that comes back is noticed soon.
const firstPause, lastPause = 10 * time.Millisecond, 250 * time.Millisecond

// cause returns the error of requests while the lane is away, and nil otherwise.
func (n *lane) cause() error {
	if a := n.away.Load(); a != nil {
		return a.err
	}
	return nil
}

// fail begins an outage of the lane, unless there is one, and returns the error of its requests. The error is made
// once, so that refusals in an outage make no garbage.
func (n *lane) fail(err error) error {
	l := n.limiter
	a := &absence{fmt.Errorf("redislimit: %w: %w", ratelimit.ErrUnavailable, err)}
	l.mu.Lock()
	if !n.away.CompareAndSwap(nil, a) {
		l.mu.Unlock()
		return a.err
	}
	l.absent++ // under the mutex with away: a probe that ends the outage subtracts it
	first := l.absent == 1
	if first {
		l.since, l.pause = time.Now(), 0
	}
	l.probeAt.Store(0) // the first probe follows at once, also if another lane has been away for long
	l.mu.Unlock()
	if first {
		l.tell("began", err)
	}
	l.probe()
	return a.err
}

// back ends an outage of the lane. For a second after it, GiveBack ignores what it gets: a request that the policy has
// admitted may be refused by a later limit only now, and its token was never taken. Ignored tokens flow back on the
// server, so a second that is too long costs little.
func (n *lane) back() {
	l := n.limiter
	n.settled.Store(int64(l.now() + time.Second))
	l.mu.Lock()
	if n.away.Swap(nil) == nil {
		l.mu.Unlock()
		return
	}
	l.absent--
	last := l.absent == 0
	l.mu.Unlock()
	if last {
		l.tell("ended", nil)
	}
}

// tell calls OnOutage. It does not hold the mutex meanwhile, so OnOutage may call Stats.
func (l *Limiter) tell(phase string, err error) {
	if l.config.OnOutage != nil {
		l.mu.Lock()
		since := l.since
		l.mu.Unlock()
		l.config.OnOutage(Outage{Phase: phase, Policy: l.config.Away, Since: since, Err: err})
	}
}

// probe starts a probe if none runs and the pause after the last one is over. Requests call it during an outage, so
// there is no goroutine that runs for the whole outage.
func (l *Limiter) probe() {
	if int64(l.now()) < l.probeAt.Load() || !l.probing.CompareAndSwap(false, true) {
		return
	}
	if !l.spawn(l.probeAll) {
		l.probing.Store(false)
	}
}

// probeAll asks the server on each lane that is away, one after the other. On a Cluster one master may be back and
// another not, so each lane's outage ends by itself.
func (l *Limiter) probeAll() {
	defer l.probing.Store(false)
	var failed error
	for i := range l.lanes {
		n := &l.lanes[i]
		if n.away.Load() == nil || l.closing.Err() != nil {
			continue
		}
		if err := n.ask(); err != nil {
			failed = err
		} else {
			n.back()
		}
	}
	if failed == nil {
		return
	}
	l.mu.Lock()
	l.pause = min(max(2*l.pause, firstPause), lastPause)
	l.probeAt.Store(int64(l.now() + l.pause))
	l.mu.Unlock()
	l.tell("probe", failed)
}

// ask takes a token from a bucket that nobody else uses. A PING would not do: a replica and a server that is full
// answer it, and refuse to take tokens. The numbers are one ask; a rate of one token a microsecond, a burst of 10^6,
// and nothing given back; and one request, from one bucket, number 0. Such a bucket is full again after a microsecond,
// so its key expires after a millisecond, the least that Redis takes. The answer has the time, what was granted, and
// what is left.
func (n *lane) ask() error {
	ctx, cancel := context.WithTimeout(n.limiter.closing, n.limiter.config.Budget)
	defer cancel()
	key := probeName(n.limiter.config.Namespace, n.place)
	text, err := n.limiter.call(ctx, []any{key}, appendNumbers(nil, 1, 1, 1e6, 0, 0, 1, 1, 0))
	if err != nil {
		return err
	}
	return answer(text).check(3)
}

// without decides a request by the policy of an outage. Tokens in stock, and refusals that are known, have been looked
// at before. The caller holds the mutex of the group.
func (l *Limiter) without(err error, buckets []*bucket, decisions []ratelimit.Decision) (refused int, _ error) {
	now := l.now()
	switch l.config.Away {
	case Refuse:
		return -1, err
	case LocalShare:
		return l.takeShare(buckets, decisions), nil
	}
	// Allow: known has found no remembered refusal.
	for i, b := range buckets {
		b.decide(true, now, &decisions[i])
	}
	return -1, nil
}

// takeShare takes from the local buckets. NewBucket cannot fail, because a share is a valid limit. After a refusal only
// the receipt of the bucket that refuses is filled, so the other buckets are asked what they have.
func (l *Limiter) takeShare(buckets []*bucket, decisions []ratelimit.Decision) (refused int) {
	var space [4]ratelimit.Ref
	var receipts [4]ratelimit.Receipt
	refs, granted := space[:0], receipts[:]
	for _, b := range buckets {
		if b.alone == nil {
			b.alone, _ = ratelimit.NewBucket(l.config.share(b.limit))
		}
		refs = append(refs, b.alone.Ref())
	}
	if len(refs) > len(granted) {
		granted = make([]ratelimit.Receipt, len(refs))
	}
	now := time.Now()
	refused, _ = ratelimit.TakeAll(now, 1, refs, granted)
	for i := range refs {
		if decisions[i] = granted[i].Decision(); refused >= 0 && i != refused {
			decisions[i] = refs[i].Peek(now)
		}
	}
	return refused
}
