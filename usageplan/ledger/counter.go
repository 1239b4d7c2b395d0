package ledger

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// counter is what a ledger knows of one key. A take that is granted from the lease reads its first cache line only.
//
// The turn comes before any mutex. Of mu and the mutex of a lease, neither is taken while the other is held. A
// goroutine that has the turn may wait for a commit. So a commit never waits for a turn: it ends an idle lease only
// where it gets the turn at once.
type counter struct {
	ledger *Ledger
	key    Key

	// lease is what may be spent without asking the engine. It is nil between two leases, and always in exact mode.
	// latest is the day made last: its quota is the one in force, as far as this ledger knows.
	lease  atomic.Pointer[lease]
	latest atomic.Pointer[usageDay]
	slabs  slabs // of what is spent from leases

	// turn is held by the goroutine that reserves for the key or changes its lease. Waiters get it in order. It is a
	// channel, not a mutex, because they wait for the engine and may give up.
	turn chan struct{}

	// newest is the start of the newest account known, and day the newest day used; block is the size of the next
	// reservation and filled the time of the last grant, since the ledger began; watched says that the lease is among
	// those that are looked at for being idle. Guarded by turn.
	newest, day, block int64
	filled             time.Duration
	watched            bool

	mu sync.Mutex // guards what follows

	// telling are the crossings of account tellingOf that this ledger has begun to tell.
	telling   percents
	tellingOf int64

	settlements []*settlement // that wait for turn

	lossToldOf []uint64 // the leases that were open, or waited to be returned, when the last loss of data was told

	trace trace // belongs to the leader of the committer
}

func newCounter(l *Ledger, key Key) *counter {
	return &counter{ledger: l, key: key, turn: make(chan struct{}, 1)}
}

// enter waits for the turn. It needs no queue, because senders on a channel are served in order. It does not look
// whether the ledger is closed: settlements go on after that.
func (c *counter) enter(ctx context.Context) error {
	if c.tryEnter() {
		return nil
	}
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &Error{Err: ErrUnavailable, Cause: ctx.Err()}
	}
}

// tryEnter gets the turn if nobody has it. It is for one who must not wait, as a commit that ends idle leases.
func (c *counter) tryEnter() bool {
	select {
	case c.turn <- struct{}{}:
		return true
	default:
		return false
	}
}

// enterOpen is enter for what may open a lease: Close ends the leases turn by turn, and none may follow. It looks with
// the turn in hand. A lease that is opened before Close has the turn is ended by Close; one who gets the turn later
// finds the ledger closed.
func (c *counter) enterOpen(ctx context.Context) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	if c.ledger.closed.Load() {
		c.leave()
		return &Error{Err: ErrUnavailable, Cause: errClosed}
	}
	return nil
}

// leave gives up the turn, to the first that waits for it.
func (c *counter) leave() { <-c.turn }

// op begins an operation on an account and day. The caller adds what its kind needs.
func (c *counter) op(k kind, d *usageDay) op {
	return op{
		kind: k, account: Account{c.key, d.start}, day: d.day, time: time.Now().Unix(), limit: d.quota.Limit,
		trace: &c.trace, thresholds: c.ledger.config.Thresholds,
	}
}

// current returns the usage day of now, or the newest that the engine knows, if that is later. The caller holds turn.
// In leased mode it is that of the lease: a lease of another day or quota is returned first, so that what it holds can
// be used on the new one.
func (c *counter) current(ctx context.Context, now int64, q Quota) (*usageDay, error) {
	if !c.ledger.config.Exact {
		s, err := c.leased(ctx, now, q)
		if err != nil {
			return nil, err
		}
		return &s.usageDay, nil
	}
	d := c.latest.Load()
	if d == nil || !c.isNewest(d, now, &q) {
		d = new(usageDay)
		c.begin(d, now, q)
	}
	return d, nil
}

// leased returns the lease for now, after it has ended one that does not fit. The caller holds turn. The new one holds
// no units yet, and no engine knows it: only a refill reserves.
func (c *counter) leased(ctx context.Context, now int64, q Quota) (*lease, error) {
	s := c.lease.Load()
	if s != nil && c.isNewest(&s.usageDay, now, &q) && !s.doubtful {
		return s, nil
	}
	if _, err := c.commitEnding(ctx); err != nil {
		return nil, err
	}
	s = &lease{id: c.ledger.newID()}
	c.begin(&s.usageDay, now, q)
	c.lease.Store(s)
	return s, nil
}

// isNewest reports whether d serves an instant and the engine knows nothing newer. The caller holds turn. Once the
// engine has told of a newer day, an older one serves no more, even if this machine's clock is still on it.
func (c *counter) isNewest(d *usageDay, now int64, q *Quota) bool {
	return d.serves(now, q) && d.start >= c.newest && d.day >= c.day
}

// begin makes d the usage day of now. A clock that has stepped back reopens neither an account nor a day. The caller
// holds turn.
func (c *counter) begin(d *usageDay, now int64, q Quota) {
	if last := c.latest.Load(); last != nil && last.confirmed.Load() {
		c.catchUp(last.start, last.day)
	}
	d.init(c, q, max(now, c.newest, c.day), c.newest, c.day)
	c.follow(d)
}

// catchUp notes an account and a day that the engine knows, so that no usage day begins before them. The caller holds
// turn.
func (c *counter) catchUp(start, day int64) { c.newest, c.day = max(c.newest, start), max(c.day, day) }

// follow makes d the latest. Until the engine answers about it, it tells what is known of its account from the one
// before, under its own limit. That refuses nothing: the engine has to see the other limit first. For example, at a
// limit of 100 with 95 used, 5 remain. Under a new limit of 150, a settled charge tells a balance of 55 at once.
func (c *counter) follow(d *usageDay) {
	last := c.latest.Load()
	if last != nil {
		d.limitChanges = last.limitChanges
		if last.quota.Limit != d.quota.Limit {
			d.limitChanges++
		}
	}
	c.latest.Store(d)
	if last == nil || last.start != d.start {
		return
	}
	if b := last.answer.Load(); b != nil {
		moved := *b
		moved.room += d.quota.Limit - b.limit
		moved.limit, moved.asked = d.quota.Limit, never
		d.keep(&moved)
	}
}

// newestOf returns the newest day of the account of d.
func (c *counter) newestOf(d *usageDay) *usageDay {
	if latest := c.latest.Load(); latest.start == d.start {
		return latest
	}
	return d
}

// known is what this ledger knows of the account of d without asking the engine; nil if it knows nothing. An open lease
// knows more than the last answer: it knows what has been spent since.
func (c *counter) known(d *usageDay) *baseline {
	d = c.newestOf(d)
	if s := c.lease.Load(); s != nil && &s.usageDay == d {
		return s.known()
	}
	return d.answer.Load()
}

// learn keeps what the engine has answered about the account of d, and returns it. It is for answers while no lease
// holds units: in leased mode the caller holds turn if the account is the latest.
func (c *counter) learn(d *usageDay, a reply, limit int64) *baseline {
	b := a.baseline(limit)
	for {
		newest := c.newestOf(d)
		newest.keep(b)
		if c.newestOf(d) == newest { // else the one that has followed may have looked before
			return b
		}
	}
}

// commit makes operations on the key durable in one commit. An error of one of them is the error of all: they share the
// key's row.
func (c *counter) commit(ctx context.Context, ops ...op) ([]reply, error) {
	answers, err := c.ledger.committer.all(ctx, ops)
	if err != nil {
		return nil, err
	}
	for i := range answers {
		if answers[i].err != nil {
			return nil, answers[i].err
		}
	}
	return answers, nil
}

// commitEnding ends the lease in one commit with ops, and returns the answers to ops. The caller holds turn. What the
// lease holds is returned even if ctx ends meanwhile: nobody else would do it.
func (c *counter) commitEnding(ctx context.Context, ops ...op) ([]reply, error) {
	if err := givenUp(ctx); err != nil {
		return nil, err
	}
	s, end, ok := c.end()
	if !ok {
		if len(ops) == 0 {
			return nil, nil
		}
		return c.commit(ctx, ops...)
	}
	answers, err := c.commit(context.WithoutCancel(ctx), append([]op{end}, ops...)...)
	if err != nil {
		return nil, err
	}
	c.returned(s, answers[0])
	return answers[1:], nil
}

// end ends the lease; ok says that the engine has to be told so by an operation. The caller holds turn, and goes on to
// hold it until that operation has been answered: a refund that came before could not give back what the lease has
// spent and not reported.
func (c *counter) end() (s *lease, end op, ok bool) {
	s = c.lease.Load()
	if s == nil {
		return nil, op{}, false
	}
	spent := s.finish()
	c.lease.Store(nil)
	if !s.reserved {
		s.free()
		return s, op{}, false
	}
	c.ledger.leases.ended(s)
	c.ledger.committer.keep(s)
	end = c.op(giveBack, &s.usageDay)
	end.lease, end.spent, end.held, end.reported = s.id, spent, s.granted.Load(), s.reported
	end.want = MaxUnits // all the rest, with what a reservation without an answer was granted
	return s, end, true
}

// returned keeps the answer to the return of s.
func (c *counter) returned(s *lease, a reply) {
	if a.err == nil && !a.gone && !a.forgotten {
		c.learn(&s.usageDay, a, s.quota.Limit)
	}
}
