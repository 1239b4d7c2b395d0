//go:build !race

package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
)

// worldKey stands for all worlds in which the same can happen. Of two different ones, the chance to have the same key
// is 2^-128 for each pair.
type worldKey [16]byte

// key returns the key of w. The two nodes may change places if they are of one mode.
func (w *world) key() worldKey {
	k := w.encode(0, 1)
	if w.scope.exact[0] == w.scope.exact[1] {
		if other := w.encode(1, 0); bytes.Compare(other, k) < 0 {
			k = other
		}
	}
	sum := sha256.Sum256(k)
	return worldKey(sum[:16])
}

// keyCoder writes what decides how a world goes on. A random name is written as its place in the order of appearance.
//
// Left out is what decides nothing here: the versions of rows (they are for OnLoss), the numbers of batches but for
// what a node may repeat, sessions of lives that are gone, and what is for metrics.
type keyCoder struct {
	b     []byte
	names []uint64
}

func (k *keyCoder) ints(ns ...int64) {
	for _, n := range ns {
		k.b = binary.AppendVarint(k.b, n)
	}
}

func (k *keyCoder) bools(bs ...bool) {
	for _, b := range bs {
		k.b = append(k.b, flag(b, 1))
	}
}

func (k *keyCoder) name(n uint64) {
	i := slices.Index(k.names, n)
	if i < 0 && n != 0 {
		i = len(k.names)
		k.names = append(k.names, n)
	}
	k.ints(int64(i))
}

func (w *world) encode(order ...int) []byte {
	k := &keyCoder{b: make([]byte, 0, 512)}
	k.ints(int64(w.left.faults), int64(w.left.crashes), int64(w.left.saves), int64(w.left.losses))
	k.bools(w.lossy)
	for _, b := range w.books {
		k.ints(b.admitted, b.slack, b.lost, b.forgotten)
		if w.left.losses > 0 {
			k.ints(b.since)
		}
	}
	for _, i := range order {
		k.node(w.nodes[i])
	}
	k.row(w, w.row)
	if w.left.losses > 0 {
		k.row(w, w.saved)
	}
	k.ints(int64(len(w.late)))
	for _, l := range w.late {
		k.late(w, l)
	}
	return k.b
}

func (k *keyCoder) node(n *node) {
	k.ints(int64(n.steps), int64(n.nights), int64(len(n.slots)))
	k.bools(n.ledger != nil)
	if l := n.ledger; l != nil {
		k.name(l.rows.session)
		k.committer(l.committer)
		k.counter(n.counter())
	}
	for _, g := range n.charges {
		k.ints(g.cost, g.grown)
		k.day(g.at)
	}
	ids := slices.Collect(maps.Keys(n.slots))
	slices.SortFunc(ids, func(a, b uint64) int { return k.order(a) - k.order(b) })
	for _, id := range ids {
		s := n.slots[id]
		k.name(id)
		k.ints(s.Account.Start, s.Day, s.Spent)
	}
}

// order is where a name stands; names that are new are behind the others.
func (k *keyCoder) order(name uint64) int {
	if i := slices.Index(k.names, name); i >= 0 {
		return i
	}
	return len(k.names)
}

func (k *keyCoder) committer(c *committer) {
	k.bools(c.unknown.repeat)
	for _, ops := range [][]op{c.unknown.ops, c.outbox.returns, c.outbox.settlements} {
		k.ints(int64(len(ops)))
		for i := range ops {
			o := &ops[i]
			k.ints(int64(o.kind), o.account.Start, o.day, o.limit, o.want, o.min, o.need, o.spent, o.held)
			k.bools(o.inForce, o.force)
			k.name(o.lease)
		}
	}
	k.ints(int64(len(c.ended)))
}

func (k *keyCoder) counter(c *counter) {
	k.ints(c.newest, c.day)
	latest, s := c.latest.Load(), c.lease.Load()
	k.bools(latest != nil, s != nil)
	if latest != nil {
		k.day(latest)
	}
	if s == nil {
		return
	}
	k.day(&s.usageDay)
	k.name(s.id)
	k.ints(s.left.Load(), s.granted.Load(), s.reported, s.refillBelow.Load())
	k.bools(s.reserved, s.doubtful, s.noting)
	b := s.base.Load()
	if k.bools(b != nil); b != nil {
		k.ints(b.limit, b.room, b.used, b.leases)
	}
}

func (k *keyCoder) day(d *usageDay) {
	k.ints(d.start, d.end, d.day, d.dayEnd, int64(d.limitChanges))
	k.bools(d.confirmed.Load(), d.dayKnown)
}

func (k *keyCoder) row(w *world, row []byte) {
	k.bools(row != nil)
	r := recordOf(row)
	for i := range r.states {
		s := &r.states[i]
		k.ints(s.start, s.limit, s.used, s.held, s.adjustments, int64(len(s.days)), int64(len(s.open)))
		k.bools(s.whole)
		for _, d := range s.days {
			k.ints(d.day, d.limit, d.used, d.held)
		}
		for _, l := range s.open {
			k.name(l.id)
			k.ints(l.day, l.granted, l.spent)
		}
	}
	for _, n := range w.nodes {
		k.session(n, r)
	}
}

// session writes what r knows of the batch that n may send next: an earlier one is as good as none, and answers matter
// only where the batch is repeated.
func (k *keyCoder) session(n *node, r *record) {
	if n.ledger == nil {
		return
	}
	for _, s := range r.sessions {
		if c := n.ledger.committer; s.name == n.ledger.rows.session {
			k.name(s.name)
			k.ints(int64(c.number - s.last))
			if len(c.unknown.ops) > 0 {
				k.b = append(k.b, s.answers...)
			}
		}
	}
	k.ints(-2)
}

func (k *keyCoder) late(w *world, l lateWrite) {
	k.name(l.session)
	k.bools(bytes.Equal(l.seen, w.row), bytes.Equal(l.seen, w.saved))
	k.row(w, l.seen)
	k.row(w, l.now)
	for _, n := range w.nodes {
		if n.ledger != nil && n.ledger.rows.session == l.session {
			k.ints(int64(n.ledger.committer.number - l.number))
		}
	}
}
