package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// pieceSize is about how many bytes a record has at most, unless one row alone has more. A commit of many rows makes
// several records: bbolt writes the last page of a log again with each commit, and it splits a page only into pages of
// two records or more. With records of 6 KB a commit would write up to four of them again, with small ones at most a
// page.
const pieceSize = 900

// tail is what has changed since the last checkpoint. The logs have it on disk, two maps have it in memory.
//
// A log is a bucket of records, which have consecutive numbers. It is named after its first one. As a rule there is
// one. At a checkpoint it ends: its rows, until then in now, become before, and another log begins. From then on each
// commit also writes some rows of before to their bucket. The last of these commits deletes the log that has ended. See
// checkpoint.go.
//
//	log 1: records 1 to 900      ended; its rows are in before, and go to their bucket
//	log 901: records 901 to 950  its rows are in now; the next record is 951
type tail struct {
	state state

	now, before map[string][]byte // an empty row has been deleted
	begins      uint64            // first record of the log that is filled
	size        int               // its bytes, more for a short record: see minRecord
	checkpoint
}

// logName is the name of the log whose first record has that number. Names sort as the numbers do, so bbolt yields the
// older log first.
func logName(first uint64) []byte { return append([]byte("log "), numberKey(first)...) }

// write makes changes durable, as part of a transaction. Memory does not have them before the commit. After an error t
// is worthless.
func (t *tail) write(tx *bolt.Tx, changes []change) error {
	log, err := tx.CreateBucketIfNotExists(logName(t.begins))
	if err != nil {
		return err
	}
	log.FillPercent = 1                            // keys only ever come last
	stateChanges := t.size == 0 || t.sorted != nil // beyond Last: a log begins, or rows go to their bucket
	for len(changes) > 0 {
		record := make([]byte, 0, 2*pieceSize) // no memory that is used again: bbolt keeps it until the commit
		for len(changes) > 0 && len(record) < pieceSize {
			record = appendRow(record, changes[0])
			changes = changes[1:]
		}
		t.state.Last++
		t.size += max(len(record), minRecord)
		number := numberKey(t.state.Last)
		if err := log.Put(number, seal(number, record)); err != nil {
			return err
		}
	}
	if err := errors.Join(log.SetSequence(t.state.Last), t.advance(tx)); err != nil || !stateChanges {
		return err
	}
	return t.state.put(tx)
}

// appendRow appends a change to a record: the key and the row, each after its length. A row that has been deleted has
// none: "k" without a row is 01 'k' 00.
func appendRow(b []byte, c change) []byte {
	b = append(binary.AppendUvarint(b, uint64(len(c.key))), c.key...)
	return append(binary.AppendUvarint(b, uint64(len(c.row))), c.row...)
}

// readRecord returns the changes of a record, as copies.
func readRecord(number, record []byte) (changes []change, err error) {
	b, ok := unseal(number, record)
	for ok && len(b) > 0 {
		var part [2][]byte
		for i := range part {
			size, n := binary.Uvarint(b)
			if ok = ok && n > 0 && size <= uint64(len(b)-n); ok {
				part[i], b = b[n:n+int(size)], b[n+int(size):]
			}
		}
		changes = append(changes, change{string(part[0]), slices.Clone(part[1])})
	}
	if !ok {
		return nil, fmt.Errorf("%w: record %x", ErrFormat, number)
	}
	return changes, nil
}

// replay reads the state and the logs of a file. The checksums of its rows add up to sum. Of two logs the older one
// comes first, by its name; a checkpoint was under way then, and goes on from its first row: to write a row twice does
// no harm.
//
// Records are numbered without a gap, from state.First on, and each log knows its last one, so a record that is missing
// shows. So does a log that is missing: state.Last was written when the last log began, so it is at least its first.
func (t *tail) replay(tx *bolt.Tx, sum uint64) error {
	*t = tail{now: make(map[string][]byte)}
	if err := t.state.read(tx); err != nil {
		return err
	}
	next := t.state.First
	t.begins = next
	err := tx.ForEach(func(name []byte, log *bolt.Bucket) error {
		if string(name) == string(metaBucket) || isSummed(string(name)) {
			return nil
		}
		if string(name) != string(logName(next)) {
			return fmt.Errorf("%w: bucket %q", ErrFormat, name)
		}
		if t.size > 0 {
			t.swap(next)
		}
		err := log.ForEach(func(number, record []byte) error {
			if string(number) != string(numberKey(next)) {
				return errMissing
			}
			next++
			t.size += max(len(record), minRecord)
			changes, err := readRecord(number, record)
			for _, c := range changes {
				t.now[c.key] = c.row
			}
			return err
		})
		if err == nil && log.Sequence() != next-1 {
			err = errMissing
		}
		return err
	})
	if err == nil && (next <= t.state.Last || sum != t.state.Sum) {
		err = errMissing
	}
	if t.state.Last = next - 1; err == nil {
		t.turn() // the last life may have ended right before its log did
	}
	return err
}
