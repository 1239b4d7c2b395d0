package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// group is the ledger's group commit: while one caller has the store make a batch durable, the others queue, and one of
// them then leads the next batch. There is no goroutine of its own, so nothing is lost when the process is frozen.
//
// After an error the store's answers to the batch are unknown. Then nothing is sent until the same operations, under
// the same ids, have been answered (reconcile): so each is known to be made once or not at all before anything is built
// on it.
type group struct {
	store   Store
	timeout time.Duration
	prefix  string    // of operation ids, unlike that of any other ledger
	pool    sync.Pool // of *pending

	mu      sync.Mutex
	queue   []*pending
	queued  atomic.Int64 // its length, for the leader to watch without the lock
	leading bool
	ended   map[uint64]*lease // whose slots are kept until the store knows what was spent

	// Of the leader alone.
	cohort  int64         // how many the last commit has woken or found waiting
	took    time.Duration // by the last commit
	seq     uint64
	answers uint64
	ops     []Op
	ids     []byte
	unknown []Op // sent without an answer
	owed    owed
	retry   time.Time
	pause   time.Duration
	cause   error
}

// pending are operations that wait for their commit.
type pending struct {
	ops  []Op
	outs []Outcome
	err  error

	// wake says that the receiver is to lead (true; leads is set as well), or that the operations are done (false).
	wake  chan bool
	leads bool

	op [1]Op // room for ops
}

const (
	maxBatch   = 4096                   // callers, or operations that are owed, in one commit
	maxIdle    = 1000                   // times that a leader lets others run and none of them comes
	firstPause = 50 * time.Millisecond  // before the store is tried again, doubled up to
	lastPause  = 800 * time.Millisecond // this, within the second that clients are told to wait
)

func newGroup(s Store, timeout time.Duration) *group {
	return &group{
		store: s, timeout: timeout, prefix: rand.Text()[:13] + "-", // 65 bits
		ended: make(map[uint64]*lease),
		pool:  sync.Pool{New: func() any { return &pending{wake: make(chan bool, 1)} }},
	}
}

// one makes one operation durable. It keeps nothing of op.
func (g *group) one(ctx context.Context, op Op) (Outcome, error) {
	p := g.pool.Get().(*pending)
	defer func() {
		*p = pending{wake: p.wake, outs: p.outs[:0]}
		g.pool.Put(p)
	}()
	p.op[0] = op
	p.ops = p.op[:]
	if err := g.do(ctx, p); err != nil {
		return Outcome{}, err
	}
	return p.outs[0], nil
}

// all makes operations durable in one commit.
func (g *group) all(ctx context.Context, ops []Op) ([]Outcome, error) {
	p := &pending{ops: ops, wake: make(chan bool, 1)}
	err := g.do(ctx, p)
	return p.outs, err
}

// do queues p and returns when it is done. If ctx ends before p has been sent, nothing is done.
func (g *group) do(ctx context.Context, p *pending) error {
	if err := givenUp(ctx); err != nil {
		return err
	}
	g.mu.Lock()
	g.setQueue(append(g.queue, p))
	lead := !g.leading
	g.leading = true
	g.mu.Unlock()
	if !lead {
		select {
		case lead = <-p.wake:
		case <-ctx.Done():
			if g.withdraw(p) {
				return givenUp(ctx)
			}
			lead = <-p.wake // sent already, or called to lead
		}
	}
	if lead {
		g.lead(p)
	}
	return p.err
}

// setQueue replaces the queue. The caller holds mu.
func (g *group) setQueue(q []*pending) {
	g.queue = q
	g.queued.Store(int64(len(q)))
}

// withdraw takes p out of the queue, unless it has been sent or is to lead.
func (g *group) withdraw(p *pending) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.queue, p)
	if i < 0 || p.leads {
		return false
	}
	g.setQueue(slices.Delete(g.queue, i, i+1))
	return true
}

// lead commits the queue, in which own is, and passes the lead on.
func (g *group) lead(own *pending) {
	batch := g.gather()
	start := time.Now()
	g.commit(batch)
	g.took, g.cohort = time.Since(start), int64(len(batch))+g.queued.Load()
	for _, p := range batch {
		if p != own {
			p.wake <- false
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) == 0 {
		g.leading = false
		return
	}
	g.queue[0].leads = true
	g.queue[0].wake <- true
}

// gather takes the queue. Those that the last commit has woken are about to queue again: the leader lets them run first,
// else half cohorts take turns and each waits for two commits. It stops when all are there, when its patience ends, or,
// where time stands still (package testing/synctest), when nobody has come in a while.
func (g *group) gather() []*pending {
	whole, found, start := min(g.cohort, maxBatch), g.queued.Load(), time.Now()
	for idle, n := 0, found; n < whole && idle < maxIdle && time.Since(start) <= g.patience(n-found, whole); idle++ {
		runtime.Gosched()
		if m := g.queued.Load(); m != n {
			n, idle = m, 0
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	size := min(len(g.queue), maxBatch)
	batch := g.queue[:size:size]
	g.setQueue(append(make([]*pending, 0, size), g.queue[size:]...))
	return batch
}

// patience is how long the leader waits when some of a whole cohort came meanwhile: each buys a third of its share of the
// time that a commit takes. Those who have just been woken come much faster than that. Requests that come by themselves, at
// the rate that made the cohort, do not pay for the next, so they wait hardly longer than without.
func (g *group) patience(came, whole int64) time.Duration {
	return g.took/64 + g.took*time.Duration(came)/time.Duration(3*whole)
}

// commit sends a batch and hands out the answers.
func (g *group) commit(batch []*pending) {
	g.ops = g.ops[:0]
	hurried := false
	for _, p := range batch {
		g.ops = append(g.ops, p.ops...)
		hurried = hurried || len(p.ops) == 0
	}
	g.name(g.ops)
	outs, err := g.send(hurried)
	if err != nil {
		err = &Error{Err: ErrUnavailable, Cause: err}
	}
	for i := range outs { // made in this order, also within one commit
		g.answers++
		outs[i].order = g.answers
	}
	for _, p := range batch {
		if p.err = err; err == nil {
			p.outs = append(p.outs[:0], outs[:len(p.ops)]...)
			outs = outs[len(p.ops):]
		}
	}
}

// name gives ids to the operations whose kinds are not idempotent as they are. All ids of a batch are parts of one string.
func (g *group) name(ops []Op) {
	type span struct{ op, from, to int }
	var spans []span
	g.ids = g.ids[:0]
	for i := range ops {
		switch ops[i].Kind {
		case KindCharge, KindTrueUp, KindRefund, KindReserve:
			from := len(g.ids)
			g.seq++
			g.ids = strconv.AppendUint(append(g.ids, g.prefix...), g.seq, 36)
			spans = append(spans, span{i, from, len(g.ids)})
		}
	}
	ids := string(g.ids)
	for _, s := range spans {
		ops[s.op].ID = ids[s.from:s.to]
	}
}

// send has the store make g.ops durable, after it has cleared up what is unknown.
func (g *group) send(hurried bool) ([]Outcome, error) {
	if err := g.reconcile(hurried); err != nil {
		for i := range g.ops {
			g.owed.add(&g.ops[i])
		}
		return nil, unsent{err}
	}
	if len(g.ops) == 0 {
		return nil, nil
	}
	outs, err := g.apply(g.ops)
	if err != nil {
		g.unknown = slices.DeleteFunc(slices.Clone(g.ops), func(op Op) bool {
			return op.Kind == KindRead || op.Kind.Adjusts() // the caller repeats those
		})
		for i := range g.unknown {
			if kind := g.unknown[i].Kind; kind == KindCharge || kind == KindReserve {
				g.unknown[i].Thresholds = nil // what is going to be given back crosses none
			}
		}
		g.failed(err)
	}
	return outs, err
}

// apply calls the store. A panic of the store is an error like any other: the outcome is unknown, and the queue goes on.
func (g *group) apply(ops []Op) (outs []Outcome, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), g.timeout)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			outs, err = nil, fmt.Errorf("store panicked: %v\n%s", r, debug.Stack())
		}
	}()
	outs, err = g.store.Apply(ctx, ops)
	if err == nil && len(outs) != len(ops) {
		err = errors.New("store answered another number of operations than it was sent")
	}
	if err == nil {
		g.free(ops)
	}
	return outs, err
}

// keep notes a lease that has ended, before its return is sent.
func (g *group) keep(s *lease) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended[s.id] = s
}

// free gives back the slots of leases that have been returned, at once or after an outage.
func (g *group) free(ops []Op) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range ops {
		if ops[i].Kind != KindReturn {
			continue
		}
		if s := g.ended[ops[i].Lease]; s != nil {
			delete(g.ended, s.id)
			s.free()
		}
	}
}

func (g *group) failed(err error) {
	g.cause = err
	g.pause = min(max(2*g.pause, firstPause), lastPause)
	g.retry = time.Now().Add(g.pause)
}

// reconcile repeats what is unknown, gives back charges that prove to have been counted though their caller was told
// otherwise, and sends what is owed. (A reservation is given back when its lease ends.) It waits between tries unless
// hurried.
func (g *group) reconcile(hurried bool) error {
	for len(g.unknown) > 0 || g.owed.len() > 0 {
		if !hurried && time.Now().Before(g.retry) {
			return g.cause
		}
		if len(g.unknown) == 0 {
			g.unknown = g.owed.take(maxBatch)
		}
		outs, err := g.apply(g.unknown)
		if err != nil {
			g.failed(err)
			return err
		}
		var back []Op
		for i, op := range g.unknown {
			if op.Kind == KindCharge && outs[i].Granted > 0 {
				op.Kind, op.Want = KindRefund, outs[i].Granted
				back = append(back, op)
			}
		}
		g.name(back)
		g.unknown = back
	}
	g.pause, g.owed = 0, owed{}
	return nil
}

// unsent is the cause of an error where the store has not seen the operations.
type unsent struct{ error }

func (u unsent) Unwrap() error { return u.error }

// givenUp is the error of a caller whose context is over before the store has seen his operations, nil if it is not over.
func givenUp(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return &Error{Err: ErrUnavailable, Cause: unsent{err}}
	}
	return nil
}

// flush tries at once to send what is unknown and owed.
func (g *group) flush(ctx context.Context) error {
	_, err := g.all(ctx, nil)
	return err
}
