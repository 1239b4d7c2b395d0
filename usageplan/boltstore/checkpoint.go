package boltstore

import (
	"errors"
	"maps"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// minRecord is the least that a record adds to the size of a log. To write a page of rows, or to read a record, costs
// something however little it has, so a log of short records ends after 8 MB / 512 = 16 384.
const minRecord = 512

// Variables, so that tests have checkpoints within a few commits.
var (
	// A log ends when it has perRow bytes for each row that has changed, but not below minBytes and at the latest at
	// maxBytes. Below, a checkpoint writes pages of rows, which is dear, for few commits: a row and its key have about
	// 90 bytes, so each has changed eight times on average. Above, Open reads much.
	perRow   = 700
	minBytes = 8 << 20
	maxBytes = 64 << 20

	// flushRows is how many rows one commit of Close writes.
	flushRows = 4096
)

// checkpoint writes the rows of a log that has ended to their bucket.
//
// A commit that wrote them all would take seconds for a million rows. So each commit writes a share that is in
// proportion to its own size: if the old log had 8 MB and 10 000 changed rows, and a commit has 8 KB, it writes 1/1000
// of them, twice: 20 rows. So the checkpoint is done when the new log has about half the size of the old one, and
// before the new one ends.
//
// The keys have to be sorted first. The commits until then write no rows, and the first one after them does not make up
// for it: after half a second of commits, that one would write 50 000 rows. Instead the shares become larger, so that
// the checkpoint is done halfway between from and old.
//
// If the process ends before that, both logs are still there, and the rows that have been written are simply written
// again. The new log may be long by then, so from is where it stands. Without a limit, a process that ends again and
// again would have an ever longer log: a commit with which the new log becomes as long as the old one writes all rows.
type checkpoint struct {
	old    int           // the size of the log that has ended
	from   int           // the size that the new log had when keys had been sorted
	keys   []string      // of its rows, ascending; nil until they have been sorted
	sorted chan []string // delivers keys once; nil if there is no checkpoint
	done   int           // how many of keys are in the bucket
}

// turn begins a checkpoint if it is time and the former one has ended.
func (t *tail) turn() {
	if t.sorted == nil && t.size >= min(max(perRow*len(t.now), minBytes), maxBytes) {
		t.swap(t.state.Last + 1)
	}
}

// swap begins a checkpoint. The keys are sorted while commits go on, which do not change before: a million take half a
// second. The next log begins with record next.
func (t *tail) swap(next uint64) {
	t.before, t.now = t.now, make(map[string][]byte)
	sorted, before := make(chan []string, 1), t.before
	go func() { sorted <- slices.Sorted(maps.Keys(before)) }()
	t.checkpoint = checkpoint{old: t.size, sorted: sorted}
	t.begins, t.size = next, 0
}

// advance writes the share of rows that is due, if there is a checkpoint and its keys have been sorted.
func (t *tail) advance(tx *bolt.Tx) error {
	if t.sorted == nil || t.keys == nil && len(t.sorted) == 0 && t.size < t.old {
		return nil
	}
	if t.keys == nil {
		t.from = t.size
	}
	return t.writeRows(tx, t.due())
}

// due is how many rows must be in the bucket after this commit.
func (t *tail) due() int {
	if t.size >= t.old {
		return len(t.before)
	}
	share := 2 * float64(t.size-t.from) / float64(t.old-t.from)
	return int(min(share, 1)*float64(len(t.before))) + 1
}

// writeRows writes rows until so many of the checkpoint are done. With the last, it deletes the log that has ended.
// Keys that ascend share pages, so few pages are written. It waits until they have been sorted.
func (t *tail) writeRows(tx *bolt.Tx, until int) error {
	if t.keys == nil {
		t.keys = <-t.sorted
	}
	rows := tx.Bucket(rowBucket)
	for ; t.done < min(until, len(t.keys)); t.done++ {
		key := t.keys[t.done]
		if err := t.writeRow(rows, []byte(key), t.before[key]); err != nil {
			return err
		}
	}
	if t.done < len(t.keys) {
		return nil
	}
	if err := tx.DeleteBucket(logName(t.state.First)); err != nil {
		return err
	}
	t.state.First = t.begins
	t.before, t.checkpoint = nil, checkpoint{}
	return nil
}

// writeRow writes a row to its bucket, and takes the one that was there out of the sum of the checksums.
func (t *tail) writeRow(rows *bolt.Bucket, key, row []byte) error {
	t.state.Sum -= uint64(storedSum(rows.Get(key)))
	if len(row) == 0 {
		return rows.Delete(key)
	}
	value := seal(key, slices.Clip(row)) // a copy: the row belongs to the tail
	t.state.Sum += uint64(storedSum(value))
	return rows.Put(key, value)
}

// flush writes all rows to their bucket and deletes the logs. It writes a bounded number in each transaction, as bbolt
// keeps all pages that one changes in memory.
func (t *tail) flush(db *database) error {
	for t.sorted != nil || len(t.now) > 0 {
		if t.sorted == nil {
			t.swap(t.state.Last + 1)
		}
		err := db.update(func(tx *bolt.Tx) error { return errors.Join(t.writeRows(tx, t.done+flushRows), t.state.put(tx)) })
		if err != nil {
			return err
		}
	}
	// Without a change: were the meta page of this commit damaged, nothing would be missing in the one before.
	return db.update(t.state.put)
}
