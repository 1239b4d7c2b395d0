//go:build !race

package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// node is one machine: a ledger, what its slots keep, and the callers who may settle yet. A node that has crashed has no
// ledger.
type node struct {
	ledger        *Ledger
	slots         box
	charges       []given // the newest last
	steps, nights int     // that are left
}

// given is a take that was admitted.
type given struct {
	at          *usageDay
	cost, grown int64
}

// again is the charge of g, in a copy of its ledger.
func (n *node) again(g given) Charge {
	ch := Charge{at: g.at, cost: g.cost, base: new(baseline)}
	n.ledger.slabs.number(&ch)
	if g.grown != 0 {
		ch.slab.makeAmount(ch.bit).add(g.grown, -MaxUnits, MaxUnits)
	}
	return ch
}

// counter is that of the key; a ledger that has not been asked yet has none.
func (n *node) counter() *counter { return n.ledger.counters.make(n.ledger, someKey) }

// now is what the clock of the machine says: noon.
func (n *node) now(w *world) int64 {
	return firstDay + dayLong/2 + int64(w.scope.nights-n.nights)*dayLong
}

// start begins the next life of a node. It stays down if the engine fails.
func (n *node) start(w *world, i int, e *wire) {
	c := Config{Engine: e, Exact: w.scope.exact[i], Block: w.scope.block, Stale: -1, Thresholds: []int{}}
	if w.scope.slots {
		c.Slots = n.slots
	}
	l, err := New(c)
	if err != nil && !isFault(err) {
		w.wrong = err.Error()
	}
	n.ledger = l
}

func (n *node) take(w *world, cost int64) {
	ch, err := n.ledger.takeAt(context.Background(), n.now(w), someKey, w.quota(), cost)
	n.ledger.work.Wait() // a refill in the background
	switch {
	case err == nil:
		w.books[periodOf(ch.at.start)].admitted += cost
		n.charges = append(n.charges, given{at: ch.at, cost: cost})
	case !errors.Is(err, ErrExhausted) && !isFault(err):
		w.wrong = err.Error()
	}
}

// settle settles the newest charge at n units more than it cost, or at nothing. Units that are
// given back leave the book when the caller gives them back. Further units enter it when the caller gets the answer.
func (n *node) settle(w *world, more int64) {
	g := n.charges[len(n.charges)-1]
	n.charges = slices.Clone(n.charges[:len(n.charges)-1])
	b, actual := &w.books[periodOf(g.at.start)], g.cost+g.grown+more
	if more == 0 {
		actual = 0
		b.admitted -= g.cost + g.grown
	}
	switch err := n.again(g).Settle(context.Background(), actual); {
	case err == nil:
		b.admitted += more
	case isFault(err):
		b.slack += more
	case !errors.Is(err, ErrForgiven):
		w.wrong = err.Error()
	}
	n.ledger.work.Wait()
}

// grow has the newest charge grow by n, or gives back so many of its units. These leave the book when the caller gives
// them back, and what has been granted enters it with the answer.
func (n *node) grow(w *world, more int64) {
	n.charges = slices.Clone(n.charges)
	g := &n.charges[len(n.charges)-1]
	b := &w.books[periodOf(g.at.start)]
	ch := n.again(*g)
	err := ch.moreAt(context.Background(), n.now(w), nil, more)
	switch {
	case err == nil || more < 0 && isFault(err):
		b.admitted += more
	case !errors.Is(err, ErrExhausted) && !isFault(err):
		w.wrong = err.Error()
	}
	g.grown = ch.Units() - g.cost
	n.ledger.work.Wait()
}

// giveLeaseBack does what a commit does with an idle lease.
func (n *node) giveLeaseBack(w *world) {
	c := n.counter()
	if err := c.enter(context.Background()); err != nil {
		w.wrong = err.Error()
	}
	defer c.leave()
	if _, err := c.commitEnding(context.Background()); err != nil && !isFault(err) {
		w.wrong = err.Error()
	}
}

// use has a node call e. No pause after an error is left.
func (n *node) use(e *wire) {
	if n.ledger != nil {
		e.ledger = n.ledger
		n.ledger.config.Engine, n.ledger.rows.engine = e, e
		n.ledger.committer.outage.Store(nil)
	}
}

// copy returns a node that knows the same and uses e. It has all that a ledger decides by. What is for metrics, for
// OnLoss and for idle leases is not copied: no scope uses them. That a pause goes on after an error is not copied
// either, so each step may ask the engine at once.
func (n *node) copy(e *wire) *node {
	m := &node{slots: maps.Clone(n.slots), charges: slices.Clone(n.charges), steps: n.steps, nights: n.nights}
	if n.ledger == nil {
		return m
	}
	from := n.ledger
	l := &Ledger{config: from.config, began: from.began, ending: make(chan struct{}, 1)}
	l.config.Engine, e.ledger, m.ledger = e, l, l
	if from.config.Slots != nil {
		l.config.Slots = m.slots
	}
	l.rows = newRows(e, from.rows.session, from.rows.format)
	l.rows.keep = from.rows.keep
	l.rows.ended.Store(true)
	l.committer = newCommitter(l, l.rows)
	copyCommitter(l.committer, from.committer, m.slots)
	l.counters.seed = from.counters.seed
	c := newCounter(l, someKey)
	l.counters.shard(someKey).byKey = map[Key]*counter{someKey: c}
	copyCounter(c, n.counter(), m.slots)
	for i := range m.charges {
		m.charges[i].at = copyDay(new(usageDay), m.charges[i].at, c)
	}
	return m
}

func copyCommitter(to, from *committer, slots box) {
	to.number, to.answers, to.unknown = from.number, from.answers, from.unknown
	to.unanswered.Store(from.unanswered.Load())
	to.outbox = outbox{slices.Clone(from.outbox.returns), slices.Clone(from.outbox.settlements), maps.Clone(from.outbox.at)}
	for id, s := range from.ended {
		to.ended[id] = &lease{id: id, slot: slots.again(s.slot)}
	}
}

func copyCounter(to, from *counter, slots box) {
	to.newest, to.day, to.block, to.filled = from.newest, from.day, from.block, from.filled
	to.trace, to.lossToldOf = from.trace, from.lossToldOf
	s, latest := from.lease.Load(), from.latest.Load()
	if s != nil {
		t := copyLease(s, to, slots)
		to.lease.Store(t)
		if latest == &s.usageDay {
			to.latest.Store(&t.usageDay)
			return
		}
	}
	if latest != nil {
		to.latest.Store(copyDay(new(usageDay), latest, to))
	}
}

func copyLease(s *lease, c *counter, slots box) *lease {
	t := &lease{
		id: s.id, reported: s.reported, reserved: s.reserved, doubtful: s.doubtful,
		noting: s.noting, slot: slots.again(s.slot), noted: s.noted, final: s.final,
	}
	copyDay(&t.usageDay, &s.usageDay, c)
	t.left.Store(s.left.Load())
	t.granted.Store(s.granted.Load())
	t.base.Store(s.base.Load())
	t.refillBelow.Store(s.refillBelow.Load())
	t.ticket.Store(s.ticket.Load())
	return t
}

func copyDay(to, from *usageDay, c *counter) *usageDay {
	to.quota, to.start, to.end, to.day, to.dayEnd = from.quota, from.start, from.end, from.day, from.dayEnd
	to.counter, to.dayKnown, to.limitChanges = c, from.dayKnown, from.limitChanges
	to.answer.Store(from.answer.Load())
	to.confirmed.Store(from.confirmed.Load())
	return to
}

// box are the slots of a machine: by lease, what it has spent. They outlive its ledgers.
type box map[uint64]OpenLease

// Claim implements [Slots].
func (b box) Claim() (leases []OpenLease, _ error) {
	for _, id := range slices.Sorted(maps.Keys(b)) {
		leases = append(leases, b[id])
	}
	return leases, nil
}

// Clear implements [Slots]. New calls it before it opens any.
func (b box) Clear() error {
	clear(b)
	return nil
}

// Open implements [Slots].
func (b box) Open(l OpenLease) (Slot, error) {
	l.Known = true
	b[l.ID] = l
	return noteSlot{b, l.ID}, nil
}

// again is a slot of another box in b.
func (b box) again(s Slot) Slot {
	if s == nil {
		return nil
	}
	return noteSlot{b, s.(noteSlot).id}
}

// noteSlot is a slot of a box.
type noteSlot struct {
	box box
	id  uint64
}

func (p noteSlot) Note(spent int64) error {
	l, ok := p.box[p.id]
	if !ok {
		return fmt.Errorf("slot of lease %d is not open", p.id)
	}
	l.Spent = spent
	p.box[p.id] = l
	return nil
}

func (p noteSlot) Free() { delete(p.box, p.id) }
