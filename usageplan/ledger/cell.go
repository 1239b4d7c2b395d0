package ledger

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// cell is what a ledger knows of one key. It is two cache lines; a take that is granted from the lease reads the first.
type cell struct {
	ledger *Ledger
	key    Key

	// lease is the current day of the current account; in exact mode one that cannot be spent from. It is nil between two
	// leases; latest is the one made last, whose quota is the one in force as far as this ledger knows.
	lease  atomic.Pointer[lease]
	latest atomic.Pointer[lease]
	slabs  slabs // of what is spent from leases

	// turn is held by whoever reserves for the key or changes its lease; waiters get it in order. It is a channel, not a
	// mutex, because they wait for the store and may give up.
	turn chan struct{}

	// newest is the start of the newest account known, and day the newest day used; block the size of the next reservation
	// and filled when the last was granted, since the ledger began. Guarded by turn.
	newest, day, block int64
	filled             time.Duration

	// telling are the crossings of account tellingOf that this ledger has begun to tell.
	mu        sync.Mutex
	telling   Percents
	tellingOf int64

	// settlements wait for turn, guarded by mu as well.
	settlements []*settlement
}

func (c *cell) enter(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		return nil
	default:
	}
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &Error{Err: ErrUnavailable, Cause: ctx.Err()}
	}
}

// enterOpen is enter for what may open a lease: Close ends the leases turn by turn, and none may follow.
func (c *cell) enterOpen(ctx context.Context) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	if c.ledger.closed.Load() {
		c.leave()
		return &Error{Err: ErrClosed}
	}
	return nil
}

func (c *cell) leave() { <-c.turn }

// op begins an operation on the account and day of s.
func (c *cell) op(kind Kind, s *lease) Op {
	return Op{
		Kind: kind, Account: Account{c.key, s.start}, Day: s.day, Time: time.Now().Unix(), Limit: s.quota.Limit,
		Thresholds: c.ledger.config.Thresholds,
	}
}

// current returns the lease for now, after it has ended one that does not fit. The caller holds turn.
func (c *cell) current(ctx context.Context, now int64, q Quota) (*lease, error) {
	s := c.lease.Load()
	if s != nil && s.fits(now, &q) && s.start >= c.newest && s.day >= c.day && !s.doubtful {
		return s, nil
	}
	if s != nil {
		c.newest = max(c.newest, s.start)
	}
	if _, err := c.commitEnding(ctx); err != nil {
		return nil, err
	}
	s = newLease(q, max(now, c.newest, c.day), c.newest, c.day) // a clock that steps back reopens no day either
	s.cell, c.day = c, s.day
	c.follow(s)
	c.lease.Store(s)
	return s, nil
}

// follow makes s the latest lease. Until the store answers about it, it tells what is known of its account from the one
// before, under its own limit.
func (c *cell) follow(s *lease) {
	last := c.latest.Load()
	if last != nil {
		s.limits = last.limits
		if last.quota.Limit != s.quota.Limit {
			s.limits++
		}
	}
	c.latest.Store(s)
	if last == nil || last.start != s.start {
		return
	}
	if v, ok := last.known(); ok {
		v.room += s.quota.Limit - v.limit
		v.limit = s.quota.Limit
		s.keep(&v)
	}
}

// newestOf returns the newest lease of the account of s.
func (c *cell) newestOf(s *lease) *lease {
	if latest := c.latest.Load(); latest.start == s.start {
		return latest
	}
	return s
}

// learn keeps what the store has answered about the account of s, and returns it. It is for answers while no lease holds
// units: in Leased mode the caller holds turn if the account is the latest.
func (c *cell) learn(s *lease, out Outcome, limit int64) *view {
	v := viewOf(out.Totals, limit)
	v.order = out.order
	for {
		newest := c.newestOf(s)
		newest.keep(v)
		if c.newestOf(s) == newest { // else the one that has followed may have looked before
			return v
		}
	}
}

// catchUp notes that the store knows a newer account or day than this ledger did. The caller holds turn.
func (c *cell) catchUp(t Totals) { c.newest, c.day = max(c.newest, t.Start), max(c.day, t.Day) }

// commitEnding ends the lease in one commit with ops, and returns the outcomes of ops. The caller holds turn. What the
// lease holds is returned even if ctx ends meanwhile: nobody else would do it.
func (c *cell) commitEnding(ctx context.Context, ops ...Op) ([]Outcome, error) {
	if err := givenUp(ctx); err != nil {
		return nil, err
	}
	end, ok := c.end()
	if !ok {
		if len(ops) == 0 {
			return nil, nil
		}
		return c.ledger.group.all(ctx, ops)
	}
	outs, err := c.ledger.group.all(context.WithoutCancel(ctx), append([]Op{end}, ops...))
	if err != nil {
		return nil, err
	}
	return outs[1:], nil
}

// end ends the lease; ok tells that the store has to be told so by op. The caller holds turn.
func (c *cell) end() (op Op, ok bool) {
	s := c.lease.Swap(nil)
	if s == nil {
		return Op{}, false
	}
	spent := s.finish()
	if !s.reserved {
		s.free()
		return Op{}, false
	}
	c.ledger.group.keep(s)
	op = c.op(KindReturn, s)
	op.Lease, op.Spent, op.Want = s.id, spent, MaxUnits // all the rest, with what a reservation without an answer was granted
	return op, true
}
