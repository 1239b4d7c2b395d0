package boltstore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
	bolt "go.etcd.io/bbolt"
)

const (
	// foldEvery is how many records, and foldEntries how many entries, may wait to be folded into the accounts. Folding writes a page or so for each changed
	// account, so it has to be rare for the price of a commit not to depend on how many accounts there are; all of them
	// are read again at open, so it must not be too rare either.
	foldEvery   = 4096
	foldEntries = 1 << 18

	// maxRecord is how many entries a record has at most: an entry's number is the record's, times this, plus its place.
	maxRecord = 1 << 16

	// cachedKeys is how many keys stay in memory although they were not used between two folds.
	cachedKeys = 1 << 16
)

// book is the accounts in memory: those in use, and all whose row is older than the log.
type book struct {
	keys        map[ledger.Key]*shelf
	dirty       map[ledger.Account]*ledger.State
	recent      ledger.Recent
	seq, folded uint64 // last record, last one whose entries are in the rows
	records     [][]byte
	n           int // entries in the last of records
	waiting     int // entries not in the rows
	folds       uint64
}

// shelf is the accounts of one key, at least the newest two.
type shelf struct {
	history ledger.History
	used    uint64 // before which fold
}

func newBook() book {
	return book{keys: make(map[ledger.Key]*shelf), dirty: make(map[ledger.Account]*ledger.State)}
}

// apply decides on ops in memory and makes the changes durable in one transaction. After an error the book is worthless.
func (b *book) apply(db *bolt.DB, ops []ledger.Op, keep time.Duration) ([]ledger.Outcome, error) {
	outs := make([]ledger.Outcome, len(ops))
	b.records, b.n = b.records[:0], 0
	now := time.Now()
	for i := range ops {
		var err error
		if outs[i], err = b.decide(db, &ops[i], now); err != nil {
			return nil, err
		}
	}
	if len(b.records) == 0 {
		return outs, nil
	}
	return outs, db.Update(func(tx *bolt.Tx) error {
		log := tx.Bucket(logBucket)
		log.FillPercent = 0.95 // keys only ever come last
		for _, r := range b.records {
			b.seq++
			if err := log.Put(seqKey(b.seq), seal(r)); err != nil {
				return err
			}
		}
		if b.seq-b.folded < foldEvery && b.waiting < foldEntries {
			return nil
		}
		if err := b.fold(tx); err != nil {
			return err
		}
		return compact(tx, b.folded, now.Add(-keep))
	})
}

func (b *book) decide(db *bolt.DB, op *ledger.Op, now time.Time) (ledger.Outcome, error) {
	h, err := b.shelf(db.View, op.Account)
	if err != nil {
		return ledger.Outcome{}, err
	}
	if granted, ok := b.recent.Get(op.ID); ok {
		return ledger.Outcome{Granted: granted, Replayed: true, Totals: h.Totals(op)}, nil
	}
	out, state, entry := h.Apply(op)
	if state == nil {
		return out, nil
	}
	b.dirty[op.Account] = state
	b.append(&entry, now)
	b.remember(op.Kind, op.ID, out.Granted)
	return out, nil
}

// remember notes an operation's id, unless the account does that itself.
func (b *book) remember(kind ledger.Kind, id string, granted int64) {
	if kind != ledger.KindExtend && kind != ledger.KindCorrect {
		b.recent.Put(id, granted)
	}
}

func (b *book) append(e *ledger.Entry, now time.Time) {
	if len(b.records) == 0 || b.n == maxRecord {
		b.records, b.n = append(b.records, beginRecord(nil, now.Unix())), 0
	}
	last := &b.records[len(b.records)-1]
	*last = appendEntry(*last, e)
	b.n++
	b.waiting++
}

// shelf returns the history of a key, with an account in it if there is such a row.
func (b *book) shelf(view func(func(*bolt.Tx) error) error, a ledger.Account) (*ledger.History, error) {
	sh := b.keys[a.Key]
	if sh == nil {
		sh = new(shelf)
		err := view(func(tx *bolt.Tx) (err error) {
			sh.history, err = newestTwo(tx, a.Key)
			return err
		})
		if err != nil {
			return nil, err
		}
		b.keys[a.Key] = sh
	}
	sh.used = b.folds
	h := &sh.history
	if n := len(*h); n < 2 || (*h)[n-2].Start <= a.Start {
		return h, nil // rows older than these there are none, or none that is asked for
	}
	i, ok := slices.BinarySearchFunc(*h, a.Start, func(s *ledger.State, start int64) int { return cmp.Compare(s.Start, start) })
	if ok {
		return h, nil
	}
	return h, view(func(tx *bolt.Tx) error {
		value := tx.Bucket(accountBucket).Get(accountKey(nil, a))
		if value == nil {
			return nil
		}
		s, err := readState(value)
		if err == nil {
			*h = slices.Insert(*h, i, s)
		}
		return err
	})
}

func newestTwo(tx *bolt.Tx, k ledger.Key) (h ledger.History, err error) {
	prefix := keyPrefix(nil, k)
	c := tx.Bucket(accountBucket).Cursor()
	key, value := c.Seek(append(bytes.Clone(prefix), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)) // behind the last
	if key == nil {
		key, value = c.Last()
	} else {
		key, value = c.Prev()
	}
	for ; bytes.HasPrefix(key, prefix) && len(key) == len(prefix)+8 && len(h) < 2; key, value = c.Prev() {
		s, err := readState(value)
		if err != nil {
			return nil, err
		}
		h = slices.Insert(h, 0, s)
	}
	return h, nil
}

// fold writes the rows of all accounts that have changed since the last fold.
func (b *book) fold(tx *bolt.Tx) error {
	accounts := slices.SortedFunc(maps.Keys(b.dirty), func(x, y ledger.Account) int {
		return cmp.Or(cmp.Compare(x.Plan, y.Plan), cmp.Compare(x.Subject, y.Subject), cmp.Compare(x.Start, y.Start))
	})
	rows := tx.Bucket(accountBucket)
	for _, a := range accounts {
		if err := rows.Put(accountKey(nil, a), appendState(nil, b.dirty[a])); err != nil {
			return err
		}
	}
	b.folded, b.waiting = b.seq, 0
	clear(b.dirty)
	b.evict()
	return tx.Bucket(metaBucket).Put(foldedKey, seqKey(b.folded))
}

// evict forgets what has a row: all but the newest two accounts of each key, and keys not used lately if there are many.
func (b *book) evict() {
	for k, sh := range b.keys {
		if n := len(sh.history); n > 2 {
			sh.history = slices.Clone(sh.history[n-2:])
		}
		if len(b.keys) > cachedKeys && sh.used < b.folds {
			delete(b.keys, k)
		}
	}
	b.folds++
}

// compactRecords bounds the work of one compaction: twice what comes between two folds, so that it keeps up.
const compactRecords = 2 * foldEvery

// compact takes records older than before, and in the rows, out of the log, and adds what they sum up to to the base of their accounts.
func compact(tx *bolt.Tx, folded uint64, before time.Time) error {
	log := tx.Bucket(logBucket)
	taken := make(map[string]sums)
	var old [][]byte
	c := log.Cursor()
	for key, value := c.First(); key != nil && len(old) < compactRecords; key, value = c.Next() {
		if binary.BigEndian.Uint64(key) > folded || !olderThan(value, before) {
			break
		}
		_, err := readRecord(value, func(_ int, e *raw) error {
			s := taken[string(e.account)]
			s.add(e.kind, e.granted)
			taken[string(e.account)] = s
			return nil
		})
		if err != nil {
			return err
		}
		old = append(old, key)
	}
	for _, key := range old {
		if err := log.Delete(key); err != nil {
			return err
		}
	}
	return addToBase(tx, taken)
}

func olderThan(record []byte, t time.Time) bool {
	unix, n := binary.Varint(record)
	return n > 0 && unix < t.Unix()
}

func addToBase(tx *bolt.Tx, taken map[string]sums) error {
	base := tx.Bucket(baseBucket)
	for _, account := range slices.Sorted(maps.Keys(taken)) {
		sum := taken[account]
		if value := base.Get([]byte(account)); value != nil {
			before, err := readSums(value)
			if err != nil {
				return err
			}
			sum.used += before.used
			sum.adjustments += before.adjustments
		}
		if err := base.Put([]byte(account), sum.encode()); err != nil {
			return err
		}
	}
	return nil
}

// between returns copies of the accounts of a key with a day within [from, to], oldest first.
func (b *book) between(tx *bolt.Tx, k ledger.Key, from, to int64) (states []ledger.State, err error) {
	add := func(s *ledger.State) {
		if s.Within(from, to) {
			states = append(states, s.Clone())
		}
	}
	prefix := keyPrefix(nil, k)
	c := tx.Bucket(accountBucket).Cursor()
	for key, value := c.Seek(prefix); bytes.HasPrefix(key, prefix); key, value = c.Next() {
		a, err := parseAccountKey(key)
		if err != nil {
			return nil, err
		}
		if b.dirty[a] != nil {
			continue
		}
		s, err := readState(value)
		if err != nil {
			return nil, err
		}
		add(s)
	}
	if sh := b.keys[k]; sh != nil {
		for _, s := range sh.history {
			if b.dirty[ledger.Account{Key: k, Start: s.Start}] != nil {
				add(s)
			}
		}
	}
	slices.SortFunc(states, func(x, y ledger.State) int { return cmp.Compare(x.Start, y.Start) })
	return states, nil
}

// load checks the file, reads the part of the log that is not in the rows, and finds what earlier lives left open.
func (s *Store) load(tx *bolt.Tx, found *leftovers) error {
	folded, err := check(context.Background(), tx, found)
	if err != nil {
		return err
	}
	s.seq, s.folded = folded, folded
	view := func(f func(*bolt.Tx) error) error { return f(tx) }
	c := tx.Bucket(logBucket).Cursor()
	for key, value := c.Seek(seqKey(folded + 1)); key != nil; key, value = c.Next() {
		seq := binary.BigEndian.Uint64(key)
		if seq != s.seq+1 {
			return fmt.Errorf("%w: record %d follows %d", ErrFormat, seq, s.seq)
		}
		s.seq = seq
		if _, err := readRecord(value, func(_ int, e *raw) error { return s.replay(view, e) }); err != nil {
			return err
		}
	}
	for a, state := range s.dirty {
		found.see(a, state)
	}
	return s.loadRecent(tx)
}

func (b *book) replay(view func(func(*bolt.Tx) error) error, e *raw) error {
	entry, err := e.entry(0)
	if err != nil {
		return err
	}
	h, err := b.shelf(view, entry.Account)
	if err != nil {
		return err
	}
	state := h.Replay(&entry)
	if state == nil {
		return fmt.Errorf("%w: %v of a lease that is not open", ErrFormat, entry.Kind)
	}
	b.dirty[entry.Account] = state
	b.waiting++
	return nil
}

// loadRecent reads the ids of the last entries, as many as are remembered.
func (b *book) loadRecent(tx *bolt.Tx) error {
	type applied struct {
		kind    ledger.Kind
		id      string
		granted int64
	}
	var last [][]applied
	c := tx.Bucket(logBucket).Cursor()
	for n, key, value := 0, []byte(nil), []byte(nil); n < ledger.RecentIDs; n += len(last[len(last)-1]) {
		if key == nil {
			key, value = c.Last()
		} else {
			key, value = c.Prev()
		}
		if key == nil {
			break
		}
		var ids []applied
		_, err := readRecord(value, func(_ int, e *raw) error {
			if len(e.id) > 0 {
				ids = append(ids, applied{e.kind, string(e.id), e.granted})
			}
			return nil
		})
		if err != nil {
			return err
		}
		last = append(last, ids)
	}
	for _, ids := range slices.Backward(last) {
		for _, a := range ids {
			b.remember(a.kind, a.id, a.granted)
		}
	}
	return nil
}
