//go:build !race

package ledger

import (
	"bytes"
	"fmt"
)

// book is what the callers, who know what they were told, say of one period. The checker holds the row against it.
type book struct {
	// admitted is what was granted and not given back. slack is how many units the row may count in addition, without an
	// end: those of nodes that have crashed, and those of true-ups whose answer was an error.
	admitted, slack int64

	// since is what was counted since the row was saved. lost is that of a loss: what the lost writes had counted, also
	// where others of them gave units back. forgotten is what of admitted no node can count again: it was reported or
	// counted before the loss, or its node is gone.
	since, lost, forgotten int64
}

// underWay is what a node that is up knows, and the row perhaps not, of one period.
type underWay struct {
	spendable int64 // left in the lease: may be admitted without another look at the engine
	spent     int64 // of leases, as the node can still tell the engine
	held      int64 // of leases, or asked for, and not spent
	counted   int64 // as used, and to be taken back: charges without an answer, refunds, reports of too much
}

// underWay looks at a node. One that is down has nothing under way.
func (w *world) underWay(n *node, r *record, period int) (u underWay) {
	if n.ledger == nil {
		return u
	}
	c, reported := n.ledger.committer, stateIn(r, period)
	for _, ops := range [][]op{c.unknown.ops, c.outbox.returns, c.outbox.settlements} {
		for _, o := range ops {
			if periodOf(o.account.Start) == period {
				u.add(&o, reported.lease(o.lease))
			}
		}
	}
	s := n.counter().lease.Load()
	if s == nil || periodOf(s.start) != period {
		return u
	}
	u.spendable = max(0, s.left.Load())
	u.spent += s.spentSoFar()
	u.held += u.spendable
	if s.doubtful {
		u.held += 2 * w.scope.block
	}
	if l := reported.lease(s.id); l != nil {
		u.counted += max(0, l.spent-s.spentSoFar())
	}
	return u
}

// add adds an operation that has no answer, or that waits to be sent. l is what the row knows of its lease, or nil.
func (u *underWay) add(o *op, l *leased) {
	switch o.kind {
	case charge, grow, refund:
		u.counted += o.want
	case reserve:
		u.held += o.want
	case giveBack:
		u.spent += o.spent
		u.held += max(0, o.held-o.spent)
		if l != nil {
			u.counted += max(0, l.spent-o.spent)
		}
	case trueUp:
		if o.force { // of a lease that the engine has lost
			u.spent += o.want
		}
	}
}

// crash ends the life of a node. With slots, the next life knows what was spent of the leases, so only what was asked
// for and may still arrive is left over.
func (w *world) crash(n *node) {
	r := recordOf(w.row)
	for p := range w.books {
		b, u := &w.books[p], w.underWay(n, r, p)
		b.slack += u.counted
		if !w.scope.slots || w.isOnItsWay(n.ledger.rows.session) {
			b.slack += u.held
		}
		if w.lossy {
			b.forgotten += u.spent
		}
	}
	n.ledger, n.charges = nil, nil
}

func (w *world) isOnItsWay(session uint64) bool {
	for _, l := range w.late {
		if l.session == session {
			return true
		}
	}
	return false
}

// lose makes the row what it was when it was saved. A refund without an answer may be made again then, though it takes
// back what is not counted any more.
func (w *world) lose() {
	w.left.losses--
	w.lossy = true
	r := recordOf(w.row)
	for p := range w.books {
		b := &w.books[p]
		again, twice := int64(0), int64(0)
		for _, n := range w.nodes {
			u := w.underWay(n, r, p)
			again += u.spent
			twice += u.counted
		}
		b.lost += b.since + twice
		b.forgotten += max(0, b.admitted-again) + twice
	}
	w.put(w.saved)
}

// put replaces the row.
func (w *world) put(row []byte) {
	before, after := recordOf(w.row), recordOf(row)
	for p := range w.books {
		w.books[p].since += max(0, stateIn(after, p).used-stateIn(before, p).used)
	}
	w.before, w.row = w.row, row
}

func recordOf(row []byte) *record {
	r := new(record)
	if err := r.decode(row); err != nil {
		panic(err)
	}
	return r
}

// stateIn is what r has of a period.
func stateIn(r *record, period int) *state {
	if s := r.find(startOf(period)); s != nil {
		return s
	}
	return new(state)
}

// broken says which rule w breaks, "" if none.
func (w *world) broken() string {
	r := recordOf(w.row)
	for p, b := range w.books {
		if b.admitted > w.scope.limit+b.lost {
			return fmt.Sprintf("admitted %d of %d, and %d were lost", b.admitted, w.scope.limit, b.lost)
		}
		spendable, counted := int64(0), b.slack
		for _, n := range w.nodes {
			u := w.underWay(n, r, p)
			spendable += u.spendable
			counted += u.counted
		}
		s := stateIn(r, p)
		switch {
		case w.lossy:
		case s.used > w.scope.limit:
			return fmt.Sprintf("counted %d of %d", s.used, w.scope.limit)
		case s.used < b.admitted+spendable:
			return fmt.Sprintf("counted %d, but admitted %d and hold %d", s.used, b.admitted, spendable)
		case s.used-s.held > b.admitted+counted:
			return fmt.Sprintf("used %d, but admitted %d", s.used-s.held, b.admitted)
		}
	}
	return w.closed().brokenAtEnd()
}

// closed is w after all that are up have closed, and those that slots can help have begun a next life and closed. The
// engine does not fail any more, and all late writes have arrived.
func (w *world) closed() *world {
	end := new(world)
	*end = *w
	end.late = nil
	for i, n := range w.nodes {
		e := &wire{world: end}
		n = n.copy(e)
		end.nodes[i] = n
		if n.ledger == nil && w.scope.slots {
			n.start(end, i, e)
		}
		if n.ledger != nil {
			if err := n.ledger.Close(); err != nil {
				end.wrong = err.Error()
			}
		}
	}
	for _, l := range w.late {
		if bytes.Equal(end.row, l.seen) {
			end.put(l.now)
		}
	}
	return end
}

// brokenAtEnd says which rule is broken by what is left at the end. But for a crash without slots, which leaves a lease
// that nobody ends, all units are where they belong.
func (w *world) brokenAtEnd() string {
	r := recordOf(w.row)
	for p, b := range w.books {
		s := stateIn(r, p)
		switch {
		case w.wrong != "":
			return w.wrong
		case w.lossy && r.find(startOf(p)) == nil && r.newest() != nil && r.newest().start > startOf(p):
			// The row has lost a period that is over: see record.begin. It is not made again.
		case w.lossy && s.used < b.admitted-b.forgotten:
			return fmt.Sprintf("in the end counted %d, but admitted %d, of which %d cannot be counted again", s.used, b.admitted, b.forgotten)
		case w.lossy:
		case s.used < b.admitted || s.used > b.admitted+b.slack:
			return fmt.Sprintf("in the end counted %d, but admitted %d, with a slack of %d", s.used, b.admitted, b.slack)
		case b.slack == 0 && (w.scope.slots || w.left.crashes == w.scope.crashes) && (s.held != 0 || len(s.open) != 0):
			return fmt.Sprintf("in the end %d are held by %d leases", s.held, len(s.open))
		}
	}
	return ""
}
