package boltstore

import (
	"encoding/binary"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// pieceSize is about how many bytes a record has at most, unless one row alone has more. A commit of many rows makes
// several records: bbolt writes the last page of a log again with each commit, and it splits a page only into pages of two
// records or more. With records of 6 KB a commit would write up to four of them again, with small ones at most a page.
const pieceSize = 900

// tail is what has changed since the last checkpoint. The logs have it on disk, two maps have it in memory.
//
// The logs are filled in turn. At a checkpoint the log at hand ends: its rows, until then in now, become before, and the
// other log is filled. From then on each commit also writes some rows of before to their bucket. The last of these commits
// empties the log that has ended. See checkpoint.go.
type tail struct {
	state state

	now, before map[string][]byte // an empty row has been deleted
	dirty       int               // bytes of now
	active      int               // the log that is filled
	begins      uint64            // its first record
	size        int               // its bytes, more for a short record: see recordSize
	checkpoint
}

// recent returns the row of a key if the tail has it. Nil is a row that has been deleted.
func (t *tail) recent(key string) (row []byte, ok bool) {
	if row, ok = t.now[key]; !ok {
		row, ok = t.before[key]
	}
	if len(row) == 0 {
		row = nil
	}
	return row, ok
}

// acknowledge notes changes that are on disk.
func (t *tail) acknowledge(changes []change) {
	for _, c := range changes {
		t.note(c.key, c.row)
	}
	t.turn()
}

// note makes row the present one. The memory of both belongs to t.
func (t *tail) note(key string, row []byte) {
	old, ok := t.now[key]
	if !ok {
		t.dirty += len(key)
	}
	t.dirty += len(row) - len(old)
	t.now[key] = row
}

// write makes changes durable, as part of a transaction. After an error t is worthless.
func (t *tail) write(changes []change) func(*bolt.Tx) error {
	return func(tx *bolt.Tx) error {
		log := tx.Bucket(logBuckets[t.active])
		log.FillPercent = 1 // keys only ever come last
		for len(changes) > 0 {
			var body []byte
			for len(changes) > 0 && len(body) < pieceSize {
				body = appendRow(body, changes[0])
				changes = changes[1:]
			}
			t.state.last++
			number := numberKey(t.state.last)
			if err := log.Put(number, seal(number, body)); err != nil {
				return err
			}
			t.size += recordSize(body)
		}
		if err := t.advance(tx); err != nil {
			return err
		}
		return t.state.put(tx)
	}
}

func appendRow(b []byte, c change) []byte {
	b = append(binary.AppendUvarint(b, uint64(len(c.key))), c.key...)
	return append(binary.AppendUvarint(b, uint64(len(c.row))), c.row...)
}

// readRecord calls f with each row of a record.
func readRecord(number, record []byte, f func(key, row []byte)) error {
	b, err := unseal(number, record)
	for err == nil && len(b) > 0 {
		var part [2][]byte
		for i := range part {
			size, n := binary.Uvarint(b)
			if n <= 0 || size > uint64(len(b)-n) {
				return fmt.Errorf("%w: record %x", ErrFormat, number)
			}
			part[i], b = b[n:n+int(size)], b[n+int(size):]
		}
		f(part[0], part[1])
	}
	return err
}

// replay reads the state and the logs of a file. The checksums of its rows add up to sum.
func replay(tx *bolt.Tx, sum uint64) (t tail, err error) {
	if t.state, err = readState(tx); err != nil {
		return t, err
	}
	if sum != t.state.sum {
		return t, errMissing
	}
	next := t.state.first
	t.now, t.begins = make(map[string][]byte), next
	for _, which := range inOrder(tx) {
		if t.size > 0 { // both logs have records: a checkpoint was under way
			t.swap(next)
		}
		t.active = which
		next, err = t.readLog(tx.Bucket(logBuckets[which]), next)
		if err != nil {
			return t, err
		}
	}
	if next != t.state.last+1 {
		return t, fmt.Errorf("%w: the log ends before record %d, not after %d", ErrFormat, next, t.state.last)
	}
	return t, nil
}

// inOrder returns the logs, the one with the smaller first number first. An empty one comes first.
func inOrder(tx *bolt.Tx) []int {
	first := func(log int) []byte {
		key, _ := tx.Bucket(logBuckets[log]).Cursor().First()
		return key
	}
	return slices.SortedFunc(slices.Values([]int{1, 0}), func(a, b int) int { return slices.Compare(first(a), first(b)) })
}

// readLog notes the rows of a log whose first record, if it has any, has the number next. It returns the number after the
// last.
func (t *tail) readLog(log *bolt.Bucket, next uint64) (uint64, error) {
	c := log.Cursor()
	for number, record := c.First(); number != nil; number, record = c.Next() {
		if string(number) != string(numberKey(next)) {
			return 0, fmt.Errorf("%w: record %x in place of %x", ErrFormat, number, next)
		}
		err := readRecord(number, record, func(key, row []byte) { t.note(string(key), slices.Clone(row)) })
		if err != nil {
			return 0, err
		}
		t.size += recordSize(record)
		next++
	}
	return next, nil
}
