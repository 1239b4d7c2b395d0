package ledger

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// committer is the ledger's group commit: while one caller has the engine make a batch durable, the others queue, and
// one of them then leads the next batch. There is no goroutine for that, so nothing is lost when the process is
// frozen.
//
// After an error, nobody knows what became of the batch. Then nothing else is sent until the same batch, under the same
// number, has been answered (reconcile). So each operation is known to be made once or not at all before anything is
// built on it, and only the last batch is ever repeated.
//
// What its queue promises: a caller returns when its operations are done, or when it has taken them out of the queue
// before they were sent. One goroutine leads at a time. It hands the lead to the first of the queue before it returns,
// so the queue never stands still while somebody is in it.
//
// Example: A finds nobody leading and leads. While the engine works for A, B and C queue. A wakes B to lead, and
// returns. B sends what is queued, its own and C's, in one batch, and then tells C that it is done. So a crowd of up to
// 4 096 callers that comes at once takes two commits.
type committer struct {
	ledger   *Ledger
	rows     applier
	observer *observer // nil if nobody observes
	pool     sync.Pool // of *pending

	mu      sync.Mutex
	queue   []*pending
	spare   []*pending   // the last batch, whose memory the queue after the next one has
	queued  atomic.Int64 // its length, for the leader to watch without the lock
	leading bool
	ended   map[uint64]*lease // whose slots are kept until the engine knows what was spent

	// For [Ledger.Stats]: what the engine still has to be told, and what has been counted.
	owed atomic.Int64
	sums unitSums

	// unanswered is the number of the last answer before operations whose answers nobody has learned.
	unanswered atomic.Uint64

	// outage is nil while the engine answers. Takes look at it before they queue.
	outage atomic.Pointer[outage]

	// Of the leader alone.
	cohort  int64         // how many the last commit has woken or found waiting
	took    time.Duration // by the last commit
	number  uint64        // of the last batch
	answers uint64        // so far
	ops     []op
	replies []reply
	unknown batch // sent without an answer
	outbox  outbox
	pause   time.Duration // before the engine is tried again
}

// applier is what the committer needs of [rows].
type applier interface {
	apply(ctx context.Context, b *batch) ([]outcome, []error, error)
}

// pending are operations that wait for their commit.
type pending struct {
	ops     []op
	answers []reply
	err     error

	// wake says that the receiver is to lead (true; leads is set as well), or that the operations are done (false).
	wake  chan bool
	leads bool

	op [1]op // room for ops
}

// reply is the engine's answer to one operation.
type reply struct {
	outcome
	err   error         // of this operation's key alone
	order uint64        // of the answers that the ledger got
	asked time.Duration // when the engine was asked, since the ledger began
}

const (
	maxBatch   = 4096                   // callers, or operations of the outbox, in one commit
	maxIdle    = 1000                   // times that a leader lets others run and none of them comes
	firstPause = 50 * time.Millisecond  // before the engine is tried again, doubled up to
	lastPause  = 800 * time.Millisecond // this, within the second that clients are told to wait
)

// newCommitter returns a committer for l that has r make its operations. Its batches are numbered from 1, in a session
// that no other life of a ledger has.
func newCommitter(l *Ledger, r applier) *committer {
	return &committer{
		ledger: l, rows: r, ended: make(map[uint64]*lease),
		pool: sync.Pool{New: func() any { return &pending{wake: make(chan bool, 1)} }},
	}
}

// one makes one operation durable. It keeps nothing of o. The pending comes from a pool. When it goes back, nobody else
// uses it: its commit is over, or it has been withdrawn.
func (c *committer) one(ctx context.Context, o op) (reply, error) {
	p := c.pool.Get().(*pending)
	defer func() {
		*p = pending{wake: p.wake, answers: p.answers[:0]}
		c.pool.Put(p)
	}()
	p.op[0] = o
	p.ops = p.op[:]
	if err := c.do(ctx, p); err != nil {
		return reply{}, err
	}
	return p.answers[0], p.answers[0].err
}

// all makes operations durable in one commit. The error is for all of them; each answer has its own.
// Without operations it is a flush.
func (c *committer) all(ctx context.Context, ops []op) ([]reply, error) {
	p := &pending{ops: ops, wake: make(chan bool, 1)}
	err := c.do(ctx, p)
	return p.answers, err
}

// do queues p and returns when it is done. If ctx ends before p has been sent, nothing is done. Once p has been sent,
// do waits for the answer, whatever ctx says: only the answer tells what the caller may grant.
func (c *committer) do(ctx context.Context, p *pending) error {
	if err := givenUp(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	c.setQueue(append(c.queue, p))
	lead := !c.leading
	c.leading = true
	c.mu.Unlock()
	if !lead {
		select {
		case lead = <-p.wake:
		case <-ctx.Done():
			if c.withdraw(p) {
				return givenUp(ctx)
			}
			lead = <-p.wake // sent already, or called to lead
		}
	}
	if lead {
		c.lead(p)
	}
	return p.err
}

// setQueue replaces the queue. The caller holds mu.
func (c *committer) setQueue(q []*pending) {
	c.queue = q
	c.queued.Store(int64(len(q)))
}

// withdraw takes p out of the queue, unless it has been sent or is to lead. One that was called to lead has to: nobody
// else would wake those behind it.
func (c *committer) withdraw(p *pending) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.queue, p)
	if i < 0 || p.leads {
		return false
	}
	c.setQueue(slices.Delete(c.queue, i, i+1))
	return true
}

// lead commits the queue, in which own is, and passes the lead on. The others of the batch are woken first, so that
// they can queue again while the next leader gathers. What there is to tell comes last: only own waits for it.
func (c *committer) lead(own *pending) {
	batch := c.gather()
	start := time.Now()
	c.commit(batch)
	c.took, c.cohort = time.Since(start), int64(len(batch))+c.queued.Load()
	for _, p := range batch {
		if p != own {
			p.wake <- false
		}
	}
	c.owed.Store(int64(len(c.unknown.ops) + c.outbox.len()))
	told := c.observer.take()
	c.passOn()
	c.observer.tellAll(told)
}

// passOn has the first of the queue lead, if there is one.
func (c *committer) passOn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		c.leading = false
		return
	}
	c.queue[0].leads = true
	c.queue[0].wake <- true
}

// gather takes the queue. Those that the last commit has woken are about to queue again: the leader lets them run
// first, else half cohorts take turns and each waits for two commits. It stops when all are there, when its patience
// ends, or, where time stands still (package testing/synctest), when nobody has come in a while.
//
// Example: 100 callers take again and again. A commit has the requests of 50 of them, while the other 50 queue. If the
// next leader went at once, the 50 that have just been answered would be too late for it, and wait for that commit and
// their own. Since it lets them queue first, all 100 share every commit.
//
// Two slices serve as the queue in turn. The batch that is taken keeps its slice until the next batch is taken.
func (c *committer) gather() []*pending {
	whole, found, start := min(c.cohort, maxBatch), c.queued.Load(), time.Now()
	for idle, n := 0, found; n < whole && idle < maxIdle && time.Since(start) <= c.patience(n-found, whole); idle++ {
		runtime.Gosched()
		if m := c.queued.Load(); m != n {
			n, idle = m, 0
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	size := min(len(c.queue), maxBatch)
	batch := c.queue[:size]
	c.setQueue(append(c.spare[:0], c.queue[size:]...))
	c.spare = batch
	return batch
}

// patience is how long the leader waits when some of a whole cohort came meanwhile: each buys a third of its share of
// the time that a commit takes. Those who have just been woken come much faster than that. Requests that come by
// themselves, at the rate that made the cohort, do not pay for the next, so they wait hardly longer than without. For
// example, a commit takes 4 ms and has woken 8 callers. The leader waits 62 µs for the first of them, and 167 µs more
// for each that has come.
func (c *committer) patience(came, whole int64) time.Duration {
	return c.took/64 + c.took*time.Duration(came)/time.Duration(3*whole)
}

// commit sends a batch, with the ends of some idle leases, and hands out the answers. The callers get copies, because
// the next commit uses the memory again. The ends come last in the batch, so the answers to them are what is left when
// the callers have theirs.
func (c *committer) commit(batch []*pending) {
	c.ops = c.ops[:0]
	hurried := false
	for _, p := range batch {
		c.ops = append(c.ops, p.ops...)
		hurried = hurried || len(p.ops) == 0
	}
	idle := c.endIdle()
	answers, err := c.send(hurried)
	if err != nil {
		err = &Error{Err: ErrUnavailable, Cause: err}
	}
	for _, p := range batch {
		if p.err = err; err == nil {
			p.answers = append(p.answers[:0], answers[:len(p.ops)]...)
			answers = answers[len(p.ops):]
		}
	}
	for i, e := range idle {
		if err == nil {
			e.counter.returned(e.lease, answers[i])
		}
		e.counter.leave()
	}
}

// endIdle adds the ends of idle leases to c.ops. Their turns are held until the engine has answered. A flush alone ends
// none: it is to send what waits, and no more.
func (c *committer) endIdle() []endedLease {
	if len(c.ops) == 0 {
		return nil
	}
	idle := c.ledger.idle.end(time.Since(c.ledger.began))
	for i := range idle {
		c.ops = append(c.ops, idle[i].op)
	}
	return idle
}

// send has the engine make c.ops durable, after it has cleared up what is unknown. What is not sent, but is to be made
// nevertheless, goes to the outbox. What is sent without an answer becomes the unknown batch. Of that, nothing goes to
// the outbox too, or it might be made twice.
func (c *committer) send(hurried bool) ([]reply, error) {
	if err := c.reconcile(hurried); err != nil {
		for i := range c.ops {
			c.outbox.add(&c.ops[i])
		}
		return nil, notSent{err}
	}
	if len(c.ops) == 0 {
		return nil, nil
	}
	b := c.next(c.ops)
	answers, err := c.apply(&b)
	if err != nil {
		c.unknown = b.again()
	}
	return answers, err
}

// next numbers a new batch. Numbers rise in the order of sending, because nothing is unknown then.
func (c *committer) next(ops []op) batch {
	c.number++
	return batch{ops: ops, number: c.number}
}

// again is what is to be sent once more of a batch without an answer. Reads and adjustments are left out: their callers
// repeat them. All sequenced operations stay, in their order: rows recognise each by its position among them.
func (b *batch) again() batch {
	ops := slices.DeleteFunc(slices.Clone(b.ops), func(o op) bool { return o.kind == read || o.kind.adjusts() })
	for i := range ops {
		if k := ops[i].kind; k == charge || k == grow || k == reserve {
			ops[i].thresholds = nil // what is going to be given back crosses none
		}
	}
	return batch{ops: ops, number: b.number, repeat: true}
}

// reconcile repeats what is unknown, gives back charges and growth that prove to have been counted though their caller was
// told otherwise, and sends the outbox. (A reservation is given back when its lease ends.) It waits between tries unless
// hurried. Without an error, nothing is unknown and the outbox is empty.
//
// Example: a charge of 3 is sent in batch 7, and the answer is lost. Its caller is told [ErrUnavailable] and serves
// nothing. The next commit repeats batch 7 first. If the answer is that 3 were granted, now or the first time, batch 8
// gives back 3. Then the commit sends its own batch, number 9.
func (c *committer) reconcile(hurried bool) error {
	for len(c.unknown.ops) > 0 || c.outbox.len() > 0 {
		if o := c.outage.Load(); o != nil && !hurried && time.Since(c.ledger.began) < o.over {
			return o.cause
		}
		if len(c.unknown.ops) == 0 {
			c.unknown = c.next(c.outbox.take(maxBatch))
		}
		answers, err := c.apply(&c.unknown)
		if err != nil {
			c.unknown.repeat = true
			return err
		}
		var back []op
		for i, o := range c.unknown.ops {
			switch {
			case (o.kind == charge || o.kind == grow) && answers[i].granted > 0:
				o.kind, o.want = refund, answers[i].granted
				back = append(back, o)
			case o.kind == giveBack && answers[i].forgotten: // it says which lease, so it may be made again
				back = append(back, o)
			}
		}
		c.unknown = batch{}
		if len(back) > 0 {
			c.unknown = c.next(back)
		}
		c.unanswered.Store(c.answers)
	}
	c.pause, c.outbox = 0, outbox{}
	return nil
}

// apply has the engine make a batch. The replies hold until the next call. They are numbered in the order in which this
// ledger's operations changed the rows, so of two answers about an account, the later one is known.
func (c *committer) apply(b *batch) ([]reply, error) {
	asked := time.Since(c.ledger.began)
	outs, errs, err := c.call(b)
	c.observer.committed(b, time.Since(c.ledger.began)-asked, err)
	if err != nil {
		c.failed(err)
		return nil, err
	}
	c.outage.Store(nil)
	c.replies = c.replies[:0]
	var sum units
	for i := range outs { // made in this order, also within one commit
		c.answers++
		a := reply{outcome: outs[i], order: c.answers, asked: asked}
		if errs != nil && errs[i] != nil {
			a.err = &Error{Err: ErrUnavailable, Cause: errs[i]}
		}
		u := unitsOf(&b.ops[i], &a, b.repeat)
		sum = sum.plus(u)
		c.observer.answered(&b.ops[i], &a, u)
		if b.ops[i].kind == giveBack {
			c.returned(&b.ops[i], &a)
		}
		if a.lost || a.gone {
			c.ledger.counters.make(c.ledger, b.ops[i].account.Key).notice(&b.ops[i], &a)
		}
		c.replies = append(c.replies, a)
	}
	c.sums.add(sum)
	return c.replies, nil
}

// call calls the engine. A panic of the engine is an error like any other: the outcome is unknown, and the queue goes
// on. The context is not that of a caller, because a batch has many. The end of one of them must not leave the others
// without an answer.
func (c *committer) call(b *batch) (outs []outcome, errs []error, err error) {
	ctx, cancel := context.WithTimeout(c.observer.mark(context.Background()), c.ledger.config.Timeout)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			outs, errs, err = nil, nil, fmt.Errorf("engine panicked: %v\n%s", r, debug.Stack())
		}
	}()
	return c.rows.apply(ctx, b)
}

// keep notes a lease that has ended, before its return is sent. Its slot must stay until the engine knows what was
// spent, and an outage may delay that for long after the counter has forgotten the lease.
func (c *committer) keep(s *lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended[s.id] = s
}

// unreturned returns the ids of the leases of a counter that have ended and wait to be returned.
func (c *committer) unreturned(of *counter) (ids []uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, s := range c.ended {
		if s.counter == of {
			ids = append(ids, id)
		}
	}
	return ids
}

// returned takes in the answer to the return of a lease, at once or after an outage. The slot is free then. It stays
// for the next life of the ledger where the row could not be read, so that nothing of the lease is lost once that is
// repaired.
func (c *committer) returned(o *op, a *reply) {
	if a.forgotten {
		return // it is sent again
	}
	c.mu.Lock()
	s := c.ended[o.lease]
	delete(c.ended, o.lease)
	c.mu.Unlock()
	if s != nil && a.err == nil {
		s.free()
	}
	if a.gone {
		c.recount(o, a)
	}
}

// recount ends what the engine still knows of a lease of which it has lost a part, and counts again, even past the
// limit, what was spent beyond that: it was admitted. For example, of 300 units that were granted the engine knows 100,
// and 250 were spent: the lease is returned with 100 spent, and 150 are counted again.
func (c *committer) recount(o *op, a *reply) {
	rest := *o
	rest.held, rest.spent = 0, min(o.spent, a.granted)
	if a.granted > 0 {
		c.outbox.add(&rest)
	}
	again := op{
		kind: trueUp, account: o.account, day: o.day, time: o.time, limit: o.limit, trace: o.trace, force: true,
	}
	if again.want = o.spent - rest.spent; again.want > 0 {
		c.outbox.add(&again)
	}
}

// failed notes an error, and when to try again. No key is refused from memory before the engine has answered: what is
// unknown may have changed it. The pauses are 50, 100, 200, 400 and then always 800 ms. During a pause, takes are
// refused without a call of the engine; see outage. So are other callers while something is unknown or in the outbox,
// because that must be sent first.
func (c *committer) failed(err error) {
	c.pause = min(max(2*c.pause, firstPause), lastPause)
	c.unanswered.Store(c.answers)
	c.outage.Store(newOutage(err, time.Since(c.ledger.began)+c.pause))
}

// notSent is the cause of an error where the engine has not seen the operations. So nothing is unknown about them, and
// a lease that wanted units may go on.
type notSent struct{ error }

func (n notSent) Unwrap() error { return n.error }

// givenUp is the error of a caller whose context is over before the engine has seen its operations, nil if it is not
// over. Its cause is notSent, so a lease that asked for units is not doubtful.
func givenUp(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return &Error{Err: ErrUnavailable, Cause: notSent{err}}
	}
	return nil
}

// flush tries at once to send what is unknown and the outbox.
func (c *committer) flush(ctx context.Context) error {
	_, err := c.all(ctx, nil)
	return err
}
