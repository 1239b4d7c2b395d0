package ledger

import (
	"bytes"
	"context"
	"errors"
	"slices"
)

// A head stays small. What it has too much of moves to other rows of its key, in three steps, so that each unit is
// counted once whatever happens in between:
//
//  1. The write that finds too much takes it out of the states and pins it in the same head, as a move with a number.
//     It goes to one row.
//  2. That row merges it and takes over the number. A row that has the number, or a later one, leaves the move alone.
//     So it does not matter who merges, and how often.
//  3. The next write of the head, by one who knows of step 2, removes the move. Not before that another is pinned.
//
// A reader adds the head, the move and the other rows, less the move if its row has the number. If a row has a number
// that the head does not know, the head was read too early, and the reader begins anew.
//
// Numbers rise. A number is the time of the pin, if that is more than one above the last: should the engine lose the
// newest writes of a head, the numbers that the other rows have already seen are not given again.
//
// Example: a head has moves 6 and pins its closed days, of 10 and 20 units, as move 7. Its process dies. Another
// process finds the move and merges it: the row of history now has 30 units and number 7. It dies as well. A third
// merges again, finds 7 and changes nothing. Its next write drops the move.
type move struct {
	to    place
	items []byte // contents of a record
}

// What a head keeps, as a rule. A day or change more than that is pinned by the next write.
const (
	maxStates  = 2
	maxClosed  = 4 // days of an account that are over
	maxChanges = 2 // of an account, with their texts

	maxMovedAnswers = 1 << 13 // bytes of answers that go along with an account
	maxMovedLeases  = 64      // of it; the units of older ones stay counted
)

// pin takes out of a head what is too much, up to what goes to one row, unless a move waits to be merged. now is Unix
// time.
func (r *record) pin(now int64) {
	if r.moving.to.letter != 0 {
		return
	}
	to, items, ok := r.surplus()
	if !ok {
		return
	}
	chunk := to.at
	if to.letter == pageRow {
		chunk = chunkOf(to.at)
	}
	if r.moves == 0 || chunk < r.oldest {
		r.oldest = chunk
	}
	r.moves = max(r.moves+1, uint64(max(now, 0)))
	r.moving = move{to: to, items: items}
}

// surplus takes out what is to be moved next. An account's changes leave before it, for they have pages of their own.
func (r *record) surplus() (to place, items []byte, ok bool) {
	if len(r.states) > maxStates {
		s := &r.states[0]
		if s.kept > 0 {
			return s.cutPage(s.kept)
		}
		s.open = s.open[max(0, len(s.open)-maxMovedLeases):]
		out := record{pruned: r.pruned, states: r.states[:1], sessions: slices.Clone(r.sessions)}
		out.dropSessions(maxMovedAnswers)
		to, items = historyAt(s.start), out.contents()
		r.states = slices.Delete(r.states, 0, 1)
		return to, items, true
	}
	for i := range r.states {
		if s := &r.states[i]; s.kept > maxChanges {
			return s.cutPage(s.kept - 1)
		}
	}
	for i := range r.states {
		if s := &r.states[i]; len(s.days)-1 > maxClosed {
			out := record{states: []state{{totals: totals{start: s.start}, days: s.days[:len(s.days)-1]}}}
			items = out.contents()
			s.days = slices.Delete(s.days, 0, len(s.days)-1)
			return historyAt(s.start), items, true
		}
	}
	return place{}, nil, false
}

// cutPage takes out the oldest n changes, or as many of them as the first one's page has room for. Example: changes 14
// to 18 are to leave. One move takes 14 and 15 to page 0, the next 16 to 18 to page 1.
func (s *state) cutPage(n int) (to place, items []byte, ok bool) {
	first := s.made - s.kept
	out := record{states: []state{s.cutChanges(min(n, pageSize-first%pageSize))}}
	return pageOf(s.start, first), out.contents(), true
}

// stage is how far a head is with its moves. At the same stage, the same has left it.
type stage struct {
	epoch, moves uint64
	merged       bool
}

// stage is the present one. While a move waits to be merged, the same number stands for an earlier stage.
func (r *record) stage() stage { return stage{r.epoch, r.moves, r.moving.to.letter == 0} }

// lacksRoom reports whether o has to wait until something has moved out of the head: one batch may begin several
// accounts and make many adjustments. The bounds leave a head that cannot move anything for a while some room to go on:
// 4 accounts, 4 changes and 40 closed days of each.
func (r *record) lacksRoom(o *op) bool {
	if s := r.find(o.account.Start); s != nil {
		return s.kept >= 2*maxChanges && o.kind.adjusts() || len(s.days) >= 10*maxClosed && s.day < o.day
	}
	return r.begins(o) && len(r.states) >= 2*maxStates
}

// known is what apply remembers of a key: which move has been merged for certain, and what history has been deleted.
// The next write of the head uses it. If it is forgotten, the move is merged again, which changes nothing.
type known struct {
	epoch, number uint64
	oldest        int64
}

const maxKnown = 1 << 16

// remember keeps what is known of a key. When there is too much, all of it is forgotten, which costs some merges and
// nothing else.
func (p *pass) remember(k Key, n known) {
	if len(p.known) >= maxKnown {
		clear(p.known)
	}
	p.known[k] = n
}

// tidy brings a head up to date that may be about to be written. If room is wanted, it makes some, and reports whether
// that is worth a write.
func (p *pass) tidy(t *turn, r *record, room bool) bool {
	p.dropDead(t, r)
	if r.moves > 0 { // most heads have never moved anything
		if n := p.known[t.key]; n.number == r.moves && n.epoch == r.epoch {
			r.moving, r.oldest = move{}, n.oldest
		}
	}
	t.found = r.stage()
	before := r.moves
	if room {
		r.pin(p.b.ops[0].time)
	}
	return r.moves != before
}

// dropDead removes what belongs to other openings of an engine that is this one's alone: sessions, as they repeat
// nothing any more, and leases, once those of which somebody knows what was spent have been ended. Their units stay
// counted as held. A turn that only tells or adjusts leaves the leases: a ledger that starts tells crossings of all
// keys, also of those that are another ledger's, which may not have claimed its slots yet.
func (p *pass) dropDead(t *turn, r *record) {
	if !p.owned {
		return
	}
	owner := p.session >> 32
	r.sessions = slices.DeleteFunc(r.sessions, func(s session) bool { return s.name>>32 != owner })
	if !p.ended.Load() || t.sequenced == 0 {
		return
	}
	for i := range r.states {
		s := &r.states[i]
		s.open = slices.DeleteFunc(s.open, func(l leased) bool { return l.id>>32 != owner })
	}
}

// merge merges the moves of heads that this pass has written, and of those that cannot go on before. A head whose move
// could not be merged keeps it. That is an error only for operations that need it.
func (p *pass) merge(ctx context.Context) error {
	var turns []*turn
	var rows []string
	for _, t := range p.open {
		if t.moving.to.letter != 0 && (t.written || t.waits()) {
			turns, rows = append(turns, t), append(rows, t.moving.to.row(t.key))
		}
	}
	if len(rows) == 0 {
		return nil
	}
	merge := func(i int, row []byte) (out []byte) {
		out, turns[i].mergeErr = p.mergeRow(turns[i], row)
		return out
	}
	err := p.update(ctx, rows, merge, func(i int, err error) { turns[i].mergeErr = turns[i].named(err) })
	for _, t := range turns {
		switch {
		case err != nil && t.waits():
			return err
		case err == nil && t.mergeErr == nil:
			n := known{t.version.epoch, t.moves, t.oldest}
			p.remember(t.key, n)
			p.forget(ctx, t, n)
		}
	}
	return nil
}

// mergeRow returns the row with t's move, nil if it has it. It does not matter who merges, or how often: by the number,
// the units arrive once. Numbers of another epoch do not count, since they are of a head that has been lost.
func (p *pass) mergeRow(t *turn, row []byte) ([]byte, error) {
	if err := p.rec.decode(row); err != nil {
		return nil, t.named(err)
	}
	if p.rec.epoch == t.version.epoch && p.rec.moves >= t.moves {
		return nil, nil
	}
	if err := p.items.readContents(t.moving.items); err != nil {
		return nil, t.named(err)
	}
	p.dropDead(t, &p.rec)
	p.rec.merge(&p.items)
	p.rec.epoch, p.rec.moves = t.version.epoch, t.moves
	out, err := p.rec.encode(p.format)
	return out, t.named(err)
}

// forget deletes what nobody needs any more, where a move of t has just been merged: pages of which no change is among
// the last 256 of its account, and history that is older than the ledger keeps it. If it fails, a later move tries
// again.
//
// Example: of 300 changes, the last 256 begin with number 44, on page 2. So the pages 0 and 1 are deleted: the one that
// has just become needless, and the one before it, in case its deletion failed. History goes at most 16 chunks at a
// time, so that a commit is not held up for long.
func (p *pass) forget(ctx context.Context, t *turn, n known) {
	var rows []string
	if t.moving.to.letter == pageRow {
		for i := t.made - rememberedChanges - 2*pageSize; i <= t.made-rememberedChanges-pageSize; i += pageSize {
			if i >= 0 {
				rows = append(rows, pageOf(t.moving.to.at, i).row(t.key))
			}
		}
		_ = p.delete(ctx, rows, func([]byte) bool { return true })
	}
	end := p.b.ops[t.refs[0].op].time - p.keep
	for range 16 {
		if (n.oldest+1)*chunkSeconds > end || p.deleteChunk(ctx, t, n.oldest, end) != nil {
			break
		}
		n.oldest++
	}
	if n.oldest != t.oldest {
		p.remember(t.key, n)
	}
}

// deleteChunk deletes a chunk of history and the pages of its accounts, unless one of them has a day after end. The
// pages go first. If the row went first and the pages failed, nothing would tell any more that there are pages.
func (p *pass) deleteChunk(ctx context.Context, t *turn, chunk, end int64) error {
	row := place{letter: historyRow, at: chunk}.row(t.key)
	var old record
	if err := p.load(ctx, t.key, row, &old); err != nil {
		return err
	}
	if !old.endedBefore(end) {
		return errKept
	}
	var pages []string
	for i := range old.states {
		for _, page := range old.states[i].pages() {
			pages = append(pages, page.row(t.key))
		}
	}
	if err := p.delete(ctx, pages, func([]byte) bool { return true }); err != nil { // before the row that names them
		return err
	}
	return p.delete(ctx, []string{row}, func(row []byte) bool { // somebody may have changed it since
		return old.decode(row) == nil && old.endedBefore(end)
	})
}

// errKept stops the deletion of history.
var errKept = errors.New("kept")

// endedBefore reports whether no day is end or later. History is kept by whole rows: one recent day keeps all of its
// row.
func (r *record) endedBefore(end int64) bool {
	return !slices.ContainsFunc(r.states, func(s state) bool { return s.day >= end })
}

// delete deletes the rows that may be deleted. It asks may with the row as it is when it is deleted, so nothing that
// came meanwhile is lost.
func (r *rows) delete(ctx context.Context, rows []string, may func(row []byte) bool) error {
	if len(rows) == 0 {
		return nil
	}
	return r.engine.Update(ctx, rows, func(_ int, row []byte) ([]byte, error) {
		if row == nil || !may(row) {
			return nil, nil
		}
		return []byte{}, nil
	})
}

// hold keeps what t needs to know of a head after f has returned. The move is copied, as it is part of a row that is
// valid only during the call.
func (t *turn) hold(r *record) {
	t.version, t.moves, t.oldest = r.version, r.moves, r.oldest
	t.allTold = !r.untold()
	t.moving = move{r.moving.to, bytes.Clone(r.moving.items)}
	if t.made = 0; t.moving.to.letter == pageRow {
		if s := r.find(t.moving.to.at); s != nil {
			t.made = s.made
		}
	}
}
