package ledger

import (
	"context"
	"errors"
	"hash/maphash"
	"iter"
	"sync"
	"sync/atomic"
	"time"
)

// cell is what a ledger knows of one key. It is two cache lines; a take that is granted from the lease reads the first.
type cell struct {
	ledger *Ledger
	key    Key

	// lease is the current day of the current account; in exact mode one that cannot be spent from.
	lease atomic.Pointer[lease]
	slabs slabs // of what is spent from leases

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
	if s != nil && s.fits(now, &q) && s.start >= c.newest && !s.doubtful {
		return s, nil
	}
	if s != nil {
		c.newest = max(c.newest, s.start)
	}
	if _, err := c.commitEnding(ctx); err != nil {
		return nil, err
	}
	s = newLease(q, max(now, c.newest, c.day), c.newest) // a clock that steps back reopens no day either
	s.cell, c.day = c, max(c.day, s.day)
	c.lease.Store(s)
	return s, nil
}

// commitEnding ends the lease in one commit with ops, and returns the outcomes of ops. The caller holds turn. What the lease
// holds is returned even if ctx ends meanwhile: nobody else would do it.
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

// takeLeased takes from the lease, which it refills as long as there is anything to reserve. Waiters are served in order.
func (c *cell) takeLeased(ctx context.Context, now int64, q Quota, cost int64) (ch Charge, err error) {
	if err := c.enterOpen(ctx); err != nil {
		return Charge{}, err
	}
	defer c.leave()
	for {
		s, err := c.current(ctx, now, q)
		if err != nil {
			return Charge{}, err
		}
		if s.spend(cost) {
			err = c.spent(ctx, s, cost, &ch)
			return ch, err
		}
		need := cost - s.left.Load()
		if need <= 0 {
			continue // a refund came in between
		}
		out, err := c.refill(ctx, s, need, max(need, c.size(s)-s.left.Load()))
		if err != nil {
			return Charge{}, err
		}
		if out.Refused && s.left.Load() < cost {
			return Charge{}, &Error{Err: ErrExhausted, Balance: s.balance()}
		}
	}
}

// refill reserves for s. The caller holds turn.
func (c *cell) refill(ctx context.Context, s *lease, least, want int64) (Outcome, error) {
	if err := c.openSlot(s); err != nil {
		return Outcome{}, err
	}
	op := c.op(KindReserve, s)
	op.Lease, op.Spent, op.Min, op.Want = s.id, s.spentSoFar(), least, want
	out, err := c.ledger.group.one(ctx, op)
	if _, never := errors.AsType[unsent](err); never {
		return Outcome{}, err
	}
	s.reserved = true
	if err != nil {
		s.doubtful = true
		return Outcome{}, err
	}
	if out.Stale {
		c.newest = out.Totals.Start
		return out, nil
	}
	s.learn(out, op.Spent)
	c.filled = time.Since(c.ledger.began)
	c.observe(s, out)
	return out, nil
}

// openSlot gives a new lease its slot, if the store has any.
func (c *cell) openSlot(s *lease) error {
	n, ok := c.ledger.config.Store.(Noter)
	if !ok || s.noting {
		return nil
	}
	slot, err := n.Slot(s.id)
	if err != nil {
		return &Error{Err: ErrUnavailable, Cause: err}
	}
	s.slot, s.noting = slot, true
	return nil
}

// Blocks: the first of a key has 16 units; one that lasted less than 25 ms is followed by one four times as large, one that
// lasted more than 200 ms by half of it. So a refill, which costs about half a millisecond, becomes rare.
const (
	firstBlock = 16
	shortBlock = 25 * time.Millisecond
	longBlock  = 200 * time.Millisecond
)

// size is the size of the next block: by demand, but at most a quarter of what remains, so that the last units are not
// held by whoever does not need them. The caller holds turn.
func (c *cell) size(s *lease) int64 {
	switch lasted := time.Since(c.ledger.began) - c.filled; {
	case c.block == 0:
		c.block = firstBlock
	case lasted < shortBlock:
		c.block *= 4
	case lasted > longBlock:
		c.block /= 2
	}
	c.block = min(max(c.block, firstBlock), c.ledger.config.Block)
	room := s.quota.Limit
	if v := s.view.Load(); v != nil {
		room = v.room
	}
	return min(c.block, room/4)
}

// prefetch refills s in the background when half of its block is spent.
func (c *cell) prefetch(s *lease) {
	if !s.filling.CompareAndSwap(false, true) {
		return
	}
	started := c.ledger.background(func() {
		defer s.filling.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), c.ledger.config.Timeout)
		defer cancel()
		if c.enter(ctx) != nil {
			return
		}
		defer c.leave()
		if c.lease.Load() != s || s.left.Load() >= s.half.Load() {
			return
		}
		want := c.size(s) - s.left.Load()
		if want <= 0 {
			s.half.Store(-1)
			return
		}
		if _, err := c.refill(ctx, s, 0, want); err != nil {
			s.half.Store(-1) // whoever needs units asks next, and gets the error
		}
	})
	if !started {
		s.filling.Store(false)
	}
}

// takeExactly takes by an operation of its own. It needs no turn, so requests of one key share a commit.
func (c *cell) takeExactly(ctx context.Context, now int64, q Quota, cost int64) (Charge, error) {
	s := c.lease.Load()
	for s == nil || !s.fits(now, &q) {
		var err error
		if s, err = c.roll(ctx, now, q, 0); err != nil {
			return Charge{}, err
		}
	}
	for {
		op := c.op(KindCharge, s)
		op.Want, op.Min = cost, cost
		out, err := c.ledger.group.one(ctx, op)
		switch {
		case err != nil:
			return Charge{}, err
		case out.Stale:
			if s, err = c.roll(ctx, now, q, out.Totals.Start); err != nil {
				return Charge{}, err
			}
			continue
		}
		c.observe(s, out)
		if out.Refused {
			return Charge{}, &Error{Err: ErrExhausted, Balance: s.balanceFrom(out.Totals)}
		}
		return c.charge(s, cost, s.balanceFrom(out.Totals)), nil
	}
}

// roll makes the account and day of now current, or of newest if that is later.
func (c *cell) roll(ctx context.Context, now int64, q Quota, newest int64) (*lease, error) {
	if err := c.enterOpen(ctx); err != nil {
		return nil, err
	}
	defer c.leave()
	c.newest = max(c.newest, newest)
	return c.current(ctx, now, q)
}

// read asks the store for the balance. Units of a lease of this ledger count as remaining.
func (c *cell) read(ctx context.Context, now int64, q Quota) (*lease, Balance, error) {
	if err := c.enterOpen(ctx); err != nil {
		return nil, Balance{}, err
	}
	defer c.leave()
	for {
		s, err := c.current(ctx, now, q)
		if err != nil {
			return nil, Balance{}, err
		}
		out, err := c.ledger.group.one(ctx, c.op(KindRead, s))
		if err != nil {
			return nil, Balance{}, err
		}
		switch {
		case out.Stale:
			c.newest = out.Totals.Start
		case c.ledger.config.Mode == Exact: // each answer is the store's
			return s, s.balanceFrom(out.Totals), nil
		default:
			s.learn(out, s.reported)
			return s, s.balance(), nil
		}
	}
}

// adjust makes an extension or a correction, after it has returned what the lease holds: so it acts at once.
func (c *cell) adjust(ctx context.Context, now int64, q Quota, kind Kind, a Adjustment) (Balance, error) {
	if err := c.enterOpen(ctx); err != nil {
		return Balance{}, err
	}
	defer c.leave()
	for {
		s, err := c.current(ctx, now, q)
		if err != nil {
			return Balance{}, err
		}
		op := c.op(kind, s)
		op.ID, op.Want, op.Reason, op.Actor = a.ID, a.Delta, a.Reason, a.Actor
		outs, err := c.commitEnding(ctx, op)
		if err != nil {
			return Balance{}, err
		}
		switch out := outs[0]; {
		case out.Stale:
			c.newest = out.Totals.Start
		case out.Refused:
			return Balance{}, &Error{Err: ErrAdjustment, Balance: s.balanceFrom(out.Totals)}
		default:
			c.observe(s, out)
			return s.balanceFrom(out.Totals), nil
		}
	}
}

// observe tells the crossings that a store's answer shows as not told.
func (c *cell) observe(s *lease, out Outcome) {
	if out.Totals.Crossed != out.Totals.Told && c.ledger.config.OnThreshold != nil {
		c.tell(s.day, out.Totals)
	}
}

// cells are the cells by key. A key's cell stays: with its lease, 600 bytes for each key seen since New.
type cells struct {
	seed   maphash.Seed
	shards [64]struct {
		sync.RWMutex
		byKey map[Key]*cell
		_     [32]byte // shards on cache lines of their own
	}
}

func (cs *cells) init() {
	cs.seed = maphash.MakeSeed()
	for i := range cs.shards {
		cs.shards[i].byKey = make(map[Key]*cell)
	}
}

func (cs *cells) get(key Key) *cell {
	s := &cs.shards[maphash.String(cs.seed, key.Subject)%uint64(len(cs.shards))]
	s.RLock()
	c := s.byKey[key]
	s.RUnlock()
	return c
}

func (cs *cells) make(l *Ledger, key Key) *cell {
	if c := cs.get(key); c != nil {
		return c
	}
	s := &cs.shards[maphash.String(cs.seed, key.Subject)%uint64(len(cs.shards))]
	s.Lock()
	defer s.Unlock()
	c := s.byKey[key]
	if c == nil {
		c = &cell{ledger: l, key: key, turn: make(chan struct{}, 1)}
		s.byKey[key] = c
	}
	return c
}

// all yields every cell; those made meanwhile perhaps not.
func (cs *cells) all() iter.Seq[*cell] {
	return func(yield func(*cell) bool) {
		for i := range cs.shards {
			s := &cs.shards[i]
			s.RLock()
			list := make([]*cell, 0, len(s.byKey))
			for _, c := range s.byKey {
				list = append(list, c)
			}
			s.RUnlock()
			for _, c := range list {
				if !yield(c) {
					return
				}
			}
		}
	}
}
