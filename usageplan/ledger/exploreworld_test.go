//go:build !race

package ledger

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"
	"time"
)

// world is all that two nodes and their engine know at an instant. A step makes another world and leaves this one as it
// is.
type world struct {
	scope *scope
	nodes [2]*node
	left  budget
	books [2]book // of each period
	lossy bool    // the engine has lost data
	wrong string  // what the last step did that it must not do

	inPlace bool // a step changes the nodes, and makes no copies

	row, before []byte // of the engine: the present one, and the one before the last write
	saved       []byte // what the row becomes by a loss
	late        []lateWrite
}

// budget is what may still happen.
type budget struct{ faults, crashes, saves, losses int }

// lateWrite is a write that is still on its way: it is made if the row is as its sender saw it. Session and number are
// those of its batch; the session is 0 if its sender has never come to life.
type lateWrite struct {
	seen, now       []byte
	session, number uint64
}

// begin is the first world.
func (c *checker) begin() *world {
	s := c.scope
	w := &world{scope: s, left: budget{s.faults, s.crashes, s.losses, s.losses}}
	for i := range w.nodes {
		w.nodes[i] = &node{steps: s.steps, nights: s.nights, slots: box{}}
		w.nodes[i].start(w, i, &wire{world: w})
	}
	return w
}

// fate is what becomes of a call of the engine.
type fate int

const (
	fine   fate = iota
	lost        // the row is written, the answer is lost
	late        // the caller has an error; the write is still on its way, for ever perhaps
	copied      // the row is written and answered; a copy of the write is still on its way
)

func (f fate) String() string { return [...]string{"fine", "lost", "late", "copied"}[f] }

// fates are those that are not fine. A copy of a write that has been made meets the row that it expects only if the
// engine loses data.
func (w *world) fates() []fate {
	if w.left.losses > 0 {
		return []fate{lost, late, copied}
	}
	return []fate{lost, late}
}

// wire is a node's way to the engine during one step. It is an [Engine].
type wire struct {
	world  *world
	ledger *Ledger
	script []fate // of the first calls; the others are fine
	calls  int
}

// Update makes the call whose fate is next.
func (e *wire) Update(_ context.Context, keys []string, f func(int, []byte) ([]byte, error)) error {
	w, fate := e.world, fine
	if e.calls++; e.calls <= len(e.script) {
		fate = e.script[e.calls-1]
	}
	if len(keys) != 1 || keys[0] != rowOf(headRow, someKey) {
		w.wrong = "a scope is too wide: it needs more than the head"
	}
	if _, err := f(0, w.before); err != nil { // somebody overtakes it
		return err
	}
	now, err := f(0, w.row)
	if err != nil {
		return err
	}
	if now != nil {
		if fate == late || fate == copied {
			w.late = append(w.late, e.write(now))
		}
		if fate != late {
			w.put(now)
		}
	}
	if fate == lost || fate == late {
		return errInjected
	}
	return nil
}

func (e *wire) write(now []byte) lateWrite {
	l := lateWrite{seen: e.world.row, now: now}
	if e.ledger != nil {
		l.session, l.number = e.ledger.rows.session, e.ledger.rows.pass.b.number
	}
	return l
}

func (e *wire) Load(context.Context, string) ([]byte, error) {
	e.world.wrong = "a scope is too wide: it needs more than the head"
	return nil, errInjected
}

func (e *wire) Keys(context.Context, string) iter.Seq2[string, error] {
	return func(func(string, error) bool) {}
}

func (e *wire) Close() error { return nil }

// step is one thing that happens: at a node, or to the engine.
type step struct {
	what string
	node int
	n    int64 // the cost of a take, what a settlement adds, which late write arrives
}

// steps are all that may happen next.
func (w *world) steps() (steps []step) {
	add := func(may bool, what string, node int, n int64) {
		if may {
			steps = append(steps, step{what, node, n})
		}
	}
	for i, n := range w.nodes {
		up := n.ledger != nil
		for _, cost := range w.scope.costs {
			add(up && n.steps > 0, "take", i, cost)
		}
		add(up && n.steps > 0 && len(n.charges) > 0, "give back", i, 0)
		add(up && n.steps > 0 && len(n.charges) > 0, "true up", i, 1)
		if grows := w.scope.grows && up && n.steps > 0 && len(n.charges) > 0; grows {
			for _, cost := range w.scope.costs {
				add(true, "more", i, cost)
			}
			newest := n.charges[len(n.charges)-1]
			add(newest.cost+newest.grown > 0, "less", i, -1)
		}
		add(up && n.steps > 0 && n.counter().lease.Load() != nil, "return", i, 0)
		add(up && n.nights > 0, "night", i, 0)
		add(up && w.left.crashes > 0, "crash", i, 0)
		add(!up, "start", i, 0)
	}
	add(w.left.saves > 0 && w.row != nil, "save", 0, 0)
	add(w.left.losses > 0 && !bytes.Equal(w.row, w.saved), "lose", 0, 0)
	for i := range w.late {
		add(bytes.Equal(w.row, w.late[i].seen), "arrive", 0, int64(i))
	}
	return steps
}

// after returns the world after a step in which calls have the fates of script, and how many calls there were.
func (w *world) after(s step, script []fate) (next *world, calls int) {
	next = new(world)
	*next = *w
	next.late = slices.Clone(w.late)
	switch s.what {
	case "save":
		next.left.saves--
		next.saved = w.row
		for p := range next.books {
			next.books[p].since = 0
		}
	case "lose":
		next.lose()
	case "arrive":
		next.arrive(int(s.n))
	default:
		e := &wire{world: next, script: script}
		n := w.nodes[s.node]
		if w.inPlace {
			n.use(e)
		} else {
			n = n.copy(e)
		}
		next.nodes[s.node] = n
		next.at(n, s, e)
		calls = e.calls
		next.left.faults -= faultsOf(script)
	}
	next.late = slices.DeleteFunc(next.late, next.isOver)
	return next, calls
}

func faultsOf(script []fate) (n int) {
	for _, f := range script {
		if f != fine {
			n++
		}
	}
	return n
}

// at makes a step at a node.
func (w *world) at(n *node, s step, e *wire) {
	switch s.what {
	case "night":
		n.nights--
	case "crash":
		w.left.crashes--
		w.crash(n)
	case "start":
		n.start(w, s.node, e)
	case "take":
		n.steps--
		n.take(w, s.n)
	case "return":
		n.steps--
		n.giveLeaseBack(w)
	case "more", "less":
		n.steps--
		n.grow(w, s.n)
	default:
		n.steps--
		n.settle(w, s.n)
	}
}

// arrive makes a late write. Where no data was lost, the row is as its sender saw it only if the sender is gone, or
// still has to find out what became of the batch.
func (w *world) arrive(i int) {
	l := w.late[i]
	w.late = slices.Delete(w.late, i, i+1)
	if !bytes.Equal(w.row, l.seen) {
		return
	}
	for _, n := range w.nodes {
		if n.ledger != nil && n.ledger.rows.session == l.session && !w.lossy {
			if u := n.ledger.committer.unknown; len(u.ops) == 0 || u.number != l.number {
				w.wrong = "a late copy of what its sender has cleared up changes the row"
			}
		}
	}
	w.put(l.now)
}

// isOver reports whether the row can never again be what a late write expects: no row is what it once was, but for a
// loss and other late writes.
func (w *world) isOver(l lateWrite) bool {
	return !bytes.Equal(l.seen, w.row) && (w.left.losses == 0 || !bytes.Equal(l.seen, w.saved)) &&
		!slices.ContainsFunc(w.late, func(o lateWrite) bool { return bytes.Equal(o.now, l.seen) })
}

// instants of the world. Both days are periods.
const firstDay = 1_700_000_000 / dayLong * dayLong

func startOf(period int) int64 { return firstDay + int64(period)*dayLong }

func periodOf(start int64) int { return int((start - firstDay) / dayLong) }

// isFault reports whether an error is one that the checker has injected.
func isFault(err error) bool { return errors.Is(err, ErrUnavailable) && errors.Is(err, errInjected) }

func (w *world) quota() Quota { return Quota{Limit: w.scope.limit, Period: Daily, Location: time.UTC} }
