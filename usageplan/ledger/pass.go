package ledger

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
)

// pass is a batch on its way through the rows. Usually one Update of the heads decides all of it. A key whose head
// says that something is needed first (see need) takes another round. So there are two rounds where a crossing or an
// old adjustment needs other rows first, and more where one batch begins many accounts of a key.
//
// One goroutine at a time works with it, the leader of the [committer], so nothing in it is locked. Its memory serves
// batch after batch.
type pass struct {
	*rows
	b    *batch
	outs []outcome
	errs []error

	turns []*turn // of the batch; beyond its length those of earlier ones, to be used again
	byKey map[Key]*turn
	open  []*turn // that have operations to be decided
	keys  []string

	known map[Key]known

	now      int64 // of the engine's clock
	asked    bool
	clockErr error // why the clock did not answer

	// What one call of f works with.
	rec, items record
	answers    answers
	forgotten  bool // see record.recall
	noted      bool // answers has new ones
}

// turn is what a batch has to do on one key.
type turn struct {
	key       Key
	row       string // the head's
	refs      []ref
	sequenced int  // how many of refs are
	telling   bool // one of refs is a tell

	done int  // how many refs have been decided, durably
	told bool // a tell has been made, durably

	// What the last call of f for the head has found. An engine calls f again if somebody else has changed the row, so
	// a call begins with refs[done] and replaces all that the one before has found.
	next    int    // how many refs are decided if the head is written
	need    need   // why there are more
	err     error  // why they cannot be decided
	found   stage  // of the head as it was
	tells   uint64 // of the head as it was
	tell    bool   // a tell is made
	written bool
	late    []ref // of those decided: they are for rows of history

	// Of the head as it is if it has been written.
	version version
	moves   uint64
	oldest  int64
	moving  move
	made    int // changes of the account whose page the move is for
	allTold bool

	mergeErr error // why moving could not be merged

	// trace is what the ledger knew of the head before this batch; nil if nothing. lost says that the head lacks a
	// write that trace knows. The head is compared until this batch has written it durably (wrote).
	trace *trace
	lost  bool
	wrote bool
	last  uint64 // the last batch of this ledger that the head knows, if it has been written

	// What has been fetched for it.
	index     []byte // the index row before any tell of this batch was made
	indexed   bool   // an index row has been written since the head was seen with indexedAt tells
	indexedAt uint64
	toLoad    []place
	pages     pages
}

// ref is an operation of the batch, and its position among the sequenced operations on its key, -1 if it is none. A
// repeated batch has the same sequenced operations in the same order, so the position says which of the recorded
// answers is the operation's, though other kinds may be missing by then.
type ref struct{ op, position int }

// need is what has to be done before an operation can be decided.
type need uint8

const (
	needRoom  need = iota + 1 // something has to move out of the head
	needIndex                 // the index row has to exist
	needPages                 // older adjustments have to be looked at
	needClock                 // the time of the engine
	hopeless                  // nothing helps: see err
)

// waits reports whether t needs its move merged: for room, or for an operation on what has moved.
func (t *turn) waits() bool { return t.need == needRoom || len(t.late) > 0 }

// named says whose rows have an error.
func (t *turn) named(err error) error { return named(t.key, err) }

// begin sorts the operations by key: each key has one turn, in which its operations stand in the order of the batch.
// What was found for earlier batches is dropped, except known: it tells which moves the next write of a head may drop.
func (p *pass) begin(b *batch) {
	p.b, p.errs, p.asked, p.clockErr = b, nil, false, nil
	p.outs = append(p.outs[:0], make([]outcome, len(b.ops))...)
	clear(p.byKey)
	p.turns, p.open = p.turns[:0], p.open[:0]
	for i := range b.ops {
		o := &b.ops[i]
		t := p.byKey[o.account.Key]
		if t == nil {
			t = p.newTurn(o.account.Key)
			p.byKey[t.key] = t
			p.open = append(p.open, t)
		}
		position := -1
		if o.kind.sequenced() {
			position = t.sequenced
			t.sequenced++
		}
		t.telling = t.telling || o.kind == tell
		if t.trace == nil {
			t.trace = o.trace
		}
		t.refs = append(t.refs, ref{i, position})
	}
}

// newTurn returns a turn for k. It reuses one of an earlier batch, with the memory of its lists.
func (p *pass) newTurn(k Key) *turn {
	n := len(p.turns)
	p.turns = resize(p.turns, n+1)
	if p.turns[n] == nil {
		p.turns[n] = new(turn)
	}
	t := p.turns[n]
	*t = turn{key: k, row: rowOf(headRow, k), refs: t.refs[:0], late: t.late[:0]}
	return t
}

// turn makes one round: the heads; the rows that take what has left them; the rows of history that operations are for;
// and what the next round needs.
//
// The order matters. A move is merged only after the head that pins it is durable. Otherwise a crash in between would
// leave its units in both rows. A late operation comes after the merge, since what it is for may have been in the move.
func (p *pass) turn(ctx context.Context) error {
	p.keys = p.keys[:0]
	for _, t := range p.open {
		p.keys = append(p.keys, t.row)
	}
	heads := p.open
	decide := func(i int, row []byte) []byte { return p.head(heads[i], row) }
	err := p.update(ctx, p.keys, decide, func(i int, err error) {
		t := heads[i]
		t.next, t.need, t.err, t.written, t.late = t.done, 0, t.named(err), false, t.late[:0]
	})
	if err != nil {
		return err
	}
	if err := p.merge(ctx); err != nil {
		return err
	}
	if err := p.past(ctx); err != nil {
		return err
	}
	p.open = slices.DeleteFunc(p.open, func(t *turn) bool { return p.close(t) })
	return p.provide(ctx)
}

// update is the engine's Update. A row that the engine alone cannot read (see [Engine]) is left out: bad gets the
// error, and the other rows are made.
//
// Example: of the rows a, b and c, the engine cannot read b. It promises that nothing has been changed. bad is called
// for b, and the Update is repeated with a and c. The engine now numbers c as 1, and left turns that into 2, the place
// of c in rows as the caller knows them.
func (p *pass) update(
	ctx context.Context, rows []string, f func(i int, row []byte) []byte, bad func(i int, err error),
) error {
	var left []int // of rows, as indices; nil stands for all
	for {
		err := p.engine.Update(ctx, rows, func(i int, row []byte) ([]byte, error) {
			if left != nil {
				i = left[i]
			}
			return f(i, row), nil
		})
		unreadable, is := errors.AsType[unreadableRow](err)
		if !is {
			return err
		}
		i := slices.Index(rows, unreadable.Row())
		if i < 0 {
			return err
		}
		if left == nil {
			left = make([]int, len(rows))
			for j := range left {
				left[j] = j
			}
			rows = slices.Clone(rows)
		}
		bad(left[i], err)
		rows, left = slices.Delete(rows, i, i+1), slices.Delete(left, i, i+1)
	}
}

// close notes what t has done, and reports whether that is all. It is called when the Update has returned, so only now
// are the operations up to next durable. The first of them says whether data has been lost. A key whose head has no
// room has failed if its move could not be merged: the next round would find the same.
func (p *pass) close(t *turn) bool {
	if t.lost && t.done < t.next {
		p.outs[t.refs[t.done].op].lost, t.lost = true, false
	}
	t.done = t.next
	t.told, t.wrote = t.told || t.tell, t.wrote || t.written
	if t.need == needRoom && t.err == nil {
		t.err = t.mergeErr
	}
	if t.err != nil {
		p.fail(t.refs[t.done:], t.err)
		return true
	}
	if t.done < len(t.refs) {
		return false
	}
	t.trace.follow(t.version, t.last)
	return true
}

// fail gives operations an error of their own. Their outcomes are zero then, whatever an earlier call of f has found.
func (p *pass) fail(refs []ref, err error) {
	if p.errs == nil {
		p.errs = make([]error, len(p.outs))
	}
	for _, ref := range refs {
		p.outs[ref.op], p.errs[ref.op] = outcome{}, err
	}
}

// provide fetches what is needed for the operations that could not be decided. If the engine's clock does not answer,
// the keys that need it fail: nothing that was undecided has been made. Other keys go on, as their accounts have begun.
//
// Example: a charge takes a key over its first threshold. The first round finds that the head is about to have an
// untold crossing and no index row names it (needIndex), and writes nothing. Then provide writes the index row. The
// second round reads the head again, decides the charge again, and writes it.
func (p *pass) provide(ctx context.Context) error {
	for _, t := range slices.Clone(p.open) {
		switch {
		case t.need == needClock:
			if p.askClock(ctx); p.clockErr != nil {
				p.giveUp(t, p.clockErr)
			}
		case t.need == needPages:
			if err := p.loadPages(ctx, t); err != nil {
				return err
			}
		}
	}
	return p.writeIndex(ctx)
}

// askClock asks the engine for its time, unless this batch has done so already.
func (p *pass) askClock(ctx context.Context) {
	if p.asked {
		return
	}
	now, err := p.clock.Now(ctx)
	p.now, p.asked, p.clockErr = now.Unix(), true, err
}

// giveUp fails what t has not decided, and takes t out of the batch.
func (p *pass) giveUp(t *turn, err error) {
	p.fail(t.refs[t.done:], t.named(err))
	p.open = slices.DeleteFunc(p.open, func(other *turn) bool { return other == t })
}

// head decides the operations of t on the key's head, from the first that has not been decided. It returns the head as
// it is to be, nil if it stays. An error concerns this key alone, so it does not go to the engine, which would stop for
// all.
//
// Usually it decides all. Those after one for which there is no room are left for the next round, when something has
// moved out. If anything else is needed first, the whole key is left for the next round, which begins from the row
// again.
func (p *pass) head(t *turn, row []byte) []byte {
	room := t.need == needRoom
	t.next, t.need, t.err, t.tell, t.written, t.late, t.mergeErr = t.done, 0, nil, false, false, t.late[:0], nil
	r := &p.rec
	if t.err = r.decode(row); t.err == nil {
		p.answers, p.forgotten, t.err = r.recall(p.b, p.session, p.answers)
	}
	if t.err != nil {
		t.err = t.named(t.err)
		return nil
	}
	t.tells = r.tells
	if !t.wrote {
		t.lost = t.trace.isAhead(r, p.session)
	}
	changed := p.tidy(t, r, room)
	p.noted = false
	for ; t.next < len(t.refs); t.next++ {
		var did bool
		if did, t.need = p.decide(t, r, t.refs[t.next]); t.need != 0 {
			break
		}
		changed = changed || did
	}
	if t.need > needRoom { // r may have been changed by what must not be made yet
		t.next, t.tell, t.late = t.done, false, t.late[:0]
		return nil
	}
	// That a repeated operation is refused has to be kept too: a copy of it that is still on its way must not be
	// granted. Where there is no account, it was refused the first time as well.
	if p.noted && (changed || p.b.repeat && len(r.states) > 0) {
		r.note(p.b, p.session, p.answers)
		changed = true
	}
	return p.write(t, r, changed)
}

// write returns the head, nil if nothing has changed. Each write raises the counter, by which ledgers notice a row that
// has lost a write. It also pins what the head has too much of. If the head does not fit into a row even without the
// answers of earlier batches, nothing of this call is made, and the key's operations fail.
func (p *pass) write(t *turn, r *record, changed bool) (out []byte) {
	if changed {
		if r.epoch == 0 {
			r.epoch = rand.Uint64() | 1
		}
		r.counter++
		r.pin(p.b.ops[0].time)
		out, t.err = r.encode(p.format)
		if errors.Is(t.err, errTooBig) { // usually because crowds had many different answers
			r.dropSessions(0)
			out, t.err = r.encode(p.format)
		}
		if t.err != nil {
			t.err = t.named(t.err)
			t.next, t.tell, t.late = t.done, false, t.late[:0]
			return nil
		}
	}
	t.written = changed
	t.hold(r)
	t.last, _ = r.lastBatch(p.session)
	return out
}

// decide makes one operation on a head, or says what it needs first. What is known of it comes before what may be made
// now: a repeated operation must not need room, an index row or a period that has begun.
func (p *pass) decide(t *turn, r *record, ref ref) (changed bool, _ need) {
	o, out := &p.b.ops[ref.op], &p.outs[ref.op]
	*out = outcome{}
	if r.hasLeft(o) {
		t.late = append(t.late, ref)
		return false, 0
	}
	if p.recalled(r, o, ref, out) {
		return false, 0
	}
	if done, n := p.isKnownChange(t, r, o, out); done || n != 0 {
		return false, n
	}
	if early, n := p.isEarly(r, o); n != 0 {
		return false, n
	} else if early {
		*out = outcome{early: true, totals: r.totals(o)}
		p.note(o, ref, out)
		return false, 0
	}
	if r.lacksRoom(o) {
		return false, needRoom
	}
	told := !r.untold()
	*out, changed = r.apply(o)
	if told && r.untold() && !(t.indexed && t.indexedAt == t.tells) {
		return false, needIndex
	}
	if o.kind == tell && changed {
		r.tells++
		t.tell = true
	}
	p.note(o, ref, out)
	return changed, 0
}

// isKnownChange answers an adjustment whose id has been used.
func (p *pass) isKnownChange(t *turn, r *record, o *op, out *outcome) (bool, need) {
	if !o.kind.adjusts() || o.account.Start < r.recent() {
		return false, 0
	}
	c, n := p.findChange(t, r, o.id)
	if c == nil {
		return false, n
	}
	*out = c.repeated(o)
	out.totals = r.totals(o)
	return true, 0
}

// isEarly reports whether o would begin an account in the future. The engine's clock is asked only for an o that begins
// an account, and once in a batch: the clock may be a round trip to a server, and a period seldom begins. A read begins
// nothing. The account of a settlement has begun before, even if the engine has lost it since.
func (p *pass) isEarly(r *record, o *op) (bool, need) {
	switch {
	case p.clock == nil || o.kind == read || !o.kind.current() || !r.begins(o):
		return false, 0
	case !p.asked:
		return false, needClock
	}
	return o.account.Start > p.now, 0
}

// recalled answers an operation of which the row knows, or nobody does, whether it has been made. The totals are the
// present ones: the caller keeps them as the newest that it knows.
func (p *pass) recalled(r *record, o *op, ref ref, out *outcome) bool {
	if !o.kind.sequenced() {
		return false
	}
	switch a := p.answers.at(ref.position); {
	case a != elsewhere:
		*out = a.outcome()
	case p.forgotten:
		*out = outcome{forgotten: true}
	default:
		return false
	}
	out.totals = r.totals(o)
	if newest := r.newest(); out.stale && newest != nil {
		out.totals = newest.sum()
	}
	return true
}

// note keeps the answer to a sequenced operation.
func (p *pass) note(o *op, ref ref, out *outcome) {
	if o.kind.sequenced() {
		p.answers = p.answers.put(ref.position, answerOf(out))
		p.noted = true
	}
}
