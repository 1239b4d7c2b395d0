package ledger

import (
	"context"
	"iter"
)

// keys yields the keys of a plan that have an account. It reads the names of the heads, not the heads, so a damaged
// head is listed as well. A row whose name no ledger can have written is passed over.
func (r *rows) keys(ctx context.Context, plan string) iter.Seq2[Key, error] {
	return func(yield func(Key, error) bool) {
		for row, err := range r.engine.Keys(ctx, planPrefix(headRow, plan)) {
			if err != nil {
				yield(Key{}, err)
				return
			}
			if k, ok := parseRow(row); ok && !yield(k, nil) {
				return
			}
		}
	}
}

// usage yields the accounts of a key whose days reach into [from, to], with all days that are kept of them, oldest
// first.
func (r *rows) usage(ctx context.Context, key Key, from, to int64) iter.Seq2[accountDays, error] {
	return func(yield func(accountDays, error) bool) {
		all, err := r.all(ctx, key)
		if err != nil {
			yield(accountDays{}, err)
			return
		}
		for i := range all.states {
			a := accountDays{all.states[i].sum(), all.states[i].days}
			if a.reaches(from, to) && !yield(a, nil) {
				return
			}
		}
	}
}

// adjustments yields the adjustments of a key that were made within [from, to], by account, oldest first.
func (r *rows) adjustments(ctx context.Context, key Key, from, to int64) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		all, err := r.all(ctx, key)
		if err != nil {
			yield(Change{}, err)
			return
		}
		for i := range all.states {
			s := &all.states[i]
			cs, err := r.changes(ctx, key, s)
			if err != nil {
				yield(Change{}, err)
				return
			}
			for _, c := range cs {
				if from <= c.time && c.time <= to && !yield(c.export(Account{key, s.start}), nil) {
					return
				}
			}
		}
	}
}

// all returns everything that the rows keep of a key, but for changes on pages, as one record. It is as of one instant:
// if something has moved from the head to a row that was read after it, it begins anew. Unless the head is the same
// still: then the engine has lost a newer one.
//
// The head is read first. What leaves it later arrives in rows that are read later, so nothing is missed, and the
// number of the row tells what would be counted twice. In the other order, what moves in between could be in neither.
//
// Example: the head is read at move 7. Another process pins March as move 8 and merges it into a row of history. The
// reader finds number 8 in that row: March is in the head that it has read, and in the row. It reads the head again,
// which is at move 8 now, and takes March from the row alone.
func (r *rows) all(ctx context.Context, key Key) (all record, err error) {
	for last := (version{}); ; {
		var head record
		if err := r.load(ctx, key, rowOf(headRow, key), &head); err != nil {
			return record{}, err
		}
		all, moved, err := r.history(ctx, key, &head)
		if err != nil {
			return record{}, err
		}
		if !moved || head.version == last {
			all.merge(&head)
			return all, nil
		}
		last = head.version
	}
}

// history returns what the rows of history have, with what the head is about to move there; moved says that head was
// read too early. Rows older than the head's oldest are not read, so the cost grows with the history that is kept, not
// with the age of the key.
//
// Numbers are compared only under the same epoch. Where a head was lost and born again, its rows of history have the
// epoch of the one before. What they keep counts, but their numbers say nothing about the present head.
func (r *rows) history(ctx context.Context, key Key, head *record) (all record, moved bool, err error) {
	if head.moves == 0 {
		return all, false, nil
	}
	merged := head.moving.to.letter == 0
	for chunk := head.oldest; chunk <= chunkOf(head.newest().start); chunk++ {
		at := place{letter: historyRow, at: chunk}
		var row record
		if err := r.load(ctx, key, at.row(key), &row); err != nil {
			return all, false, err
		}
		if row.epoch == head.epoch {
			moved = moved || row.moves > head.moves
			merged = merged || at == head.moving.to && row.moves == head.moves
		}
		all.merge(&row)
	}
	// The move is still on its way, to a row of history or to a page: its contents stand nowhere else.
	if !merged {
		var items record
		if err := items.readContents(head.moving.items); err != nil {
			return all, false, named(key, err)
		}
		all.merge(&items)
	}
	return all, moved, nil
}

// changes returns the changes of an account, oldest first. Those which s has already may have come to a page meanwhile.
//
// Example: of 20 changes, s has the last 3, one of them from the head's move. So the pages account for the numbers 0 to
// 16: all of page 0, and one of page 1. If page 1 has number 17 by now, because the move has been merged since, it is
// cut off there, as s brings it.
func (r *rows) changes(ctx context.Context, key Key, s *state) (cs []change, err error) {
	for i, page := range s.pages() {
		data, err := r.engine.Load(ctx, page.row(key))
		if err != nil {
			return nil, err
		}
		more, err := pageChanges(data, page)
		if err != nil {
			return nil, named(key, err)
		}
		most := s.made - s.kept - s.firstOnPage() - i*pageSize
		cs = append(cs, more[:min(len(more), most)]...)
	}
	mine, err := s.changes()
	return append(cs, mine...), named(key, err)
}
