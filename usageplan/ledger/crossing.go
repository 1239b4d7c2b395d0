package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"iter"
	"math/rand/v2"
)

// A key with a crossing that has not been told has an index row, so that a ledger which starts finds the crossing
// without reading every key. The row is written before the head that has the crossing. It holds a number that is
// different each time.
//
// It is deleted when a tell leaves no crossing untold, while another process may be about to record the next. Three
// rules keep the index complete:
//
//  1. A head without untold crossings gets one only if an index row has been written since the head was read, and if
//     the head has recorded no tell meanwhile.
//  2. Who tells reads the index row before the tell is made.
//  3. If the tell has changed the head and left nothing untold, the index row is deleted, unless its number is another
//     now.
//
// Example: P reads index row 5, tells, and then deletes the index row if it is still 5. Q wants to record a crossing.
// If Q has read the head before the tell, rule 1 makes it begin anew. If Q has read it after the tell, then Q has
// written index row 6 after P read 5, so P leaves it, or has deleted 5 before.

// loadIndex reads the index rows of the keys that have something told. One that cannot be read stays.
func (p *pass) loadIndex(ctx context.Context) (err error) {
	for _, t := range p.open {
		if t.telling {
			if t.index, err = p.engine.Load(ctx, rowOf(indexRow, t.key)); err != nil && !isOfOneRow(err) {
				return err
			}
		}
	}
	return nil
}

// dropIndex deletes the index rows of keys of which everything has been told. If that fails, an index row stays that
// says too much. The next ledger that starts then reads a head for nothing.
func (p *pass) dropIndex(ctx context.Context) {
	for _, t := range p.turns {
		if t.told && t.allTold && t.index != nil {
			_ = p.delete(ctx, []string{rowOf(indexRow, t.key)}, func(row []byte) bool { return bytes.Equal(row, t.index) })
		}
	}
}

// writeIndex writes the index rows that are needed. A key whose index row cannot be written fails: a crossing that no
// index row names would not be told after a crash.
func (p *pass) writeIndex(ctx context.Context) error {
	var rows []string
	var turns []*turn
	for _, t := range p.open {
		if t.need == needIndex {
			rows, turns = append(rows, rowOf(indexRow, t.key)), append(turns, t)
			t.indexed, t.indexedAt = true, t.tells
		}
	}
	if len(rows) == 0 {
		return nil
	}
	number := func(int, []byte) []byte { return binary.BigEndian.AppendUint64(nil, rand.Uint64()) }
	return p.update(ctx, rows, number, func(i int, err error) { p.giveUp(turns[i], err) })
}

// crossings yields the accounts in heads that have crossings not yet told. A crossing that nobody has told by the time
// when two newer periods have begun is not told any more. A head that cannot be read is passed over: calls with its key
// say so, and its index row stays, so its crossings are told by a ledger that begins after it has been repaired.
func (r *rows) crossings(ctx context.Context) iter.Seq2[untoldCrossing, error] {
	return func(yield func(untoldCrossing, error) bool) {
		var head record
		for row, err := range r.engine.Keys(ctx, string(rune(indexRow))) {
			k, ok := Key{}, true
			if err == nil {
				if k, ok = parseRow(row); ok {
					err = r.load(ctx, k, rowOf(headRow, k), &head)
				}
			}
			if isOfOneRow(err) {
				continue
			}
			if err != nil {
				yield(untoldCrossing{}, err)
				return
			}
			for i := range head.states {
				s := &head.states[i]
				if ok && s.crossed != s.told && !yield(untoldCrossing{Account{k, s.start}, s.sum()}, nil) {
					return
				}
			}
		}
	}
}
