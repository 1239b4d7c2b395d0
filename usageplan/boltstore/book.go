package boltstore

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
	bolt "go.etcd.io/bbolt"
)

// Variables, so that tests can fold, evict and compact within a few commits.
var (
	// foldEvery is how many records, and foldEntries how many entries, may wait to be folded into the accounts. Folding
	// writes a page or so for each changed account, so it has to be rare for the price of a commit not to depend on how
	// many accounts there are; all of them are read again at open, so it must not be too rare either.
	foldEvery   uint64 = 16384
	foldEntries        = 1 << 20

	// cachedKeys is how many keys stay in memory although they were not used between two folds.
	cachedKeys = 1 << 16

	// keptIDs is how many of the last operation ids outlive compaction.
	keptIDs = ledger.RecentIDs
)

// maxRecord is how many entries a record has at most: an entry's number is the record's, times this, plus its place.
const maxRecord = 1 << 16

// book is the accounts in memory: those in use, and all whose row is older than the log.
type book struct {
	keys        shelves
	dirty       []*shelf // in no order
	recent      ledger.Recent
	found       []*shelf // of the operations at hand
	hashes      []uint64 // of their keys
	seq, folded uint64   // last record, last one whose entries are in the rows
	records     [][]byte
	n           int // entries in the last of records
	waiting     int // entries not in the rows
	folds       uint64
}

func newBook() book { return book{keys: newShelves()} }

// touch notes that s, of sh, differs from its row.
func (b *book) touch(sh *shelf, s *ledger.State) {
	if slices.Contains(sh.dirty, s) {
		return
	}
	if len(sh.dirty) == 0 {
		b.dirty = append(b.dirty, sh)
	}
	sh.dirty = append(sh.dirty, s)
}

// apply decides on ops in memory and makes the changes durable in one transaction. After an error the book is worthless.
func (b *book) apply(db *database, ops []ledger.Op, keep time.Duration) ([]ledger.Outcome, error) {
	if err := b.find(db, ops); err != nil {
		return nil, err
	}
	outs := make([]ledger.Outcome, len(ops))
	b.records, b.n = b.records[:0], 0
	now := time.Now()
	for i := range ops {
		outs[i] = b.decide(b.found[i], &ops[i], now)
	}
	if len(b.records) == 0 {
		return outs, nil
	}
	return outs, db.update(func(tx *bolt.Tx) error {
		log := tx.Bucket(logBucket)
		log.FillPercent = 0.95 // keys only ever come last
		for i := range b.records {
			b.seq++
			b.records[i] = seal(b.records[i])
			if err := log.Put(seqKey(b.seq), b.records[i]); err != nil {
				return err
			}
		}
		if b.seq-b.folded < foldEvery && b.waiting < foldEntries {
			return nil
		}
		if err := b.fold(tx); err != nil {
			return err
		}
		return compact(tx, now.Add(-keep))
	})
}

// find gets the shelves of ops into found, before any is decided on. Among many keys each shelf, and each account on
// it, is in memory that no processor cache holds; in loops that do little else the processor waits for several at once.
func (b *book) find(db *database, ops []ledger.Op) (err error) {
	b.hashes, b.found = b.hashes[:0], b.found[:0]
	for i := range ops {
		b.hashes = append(b.hashes, b.keys.hash(&ops[i].Account.Key))
	}
	for _, hash := range b.hashes {
		b.found = append(b.found, b.keys.first[hash])
	}
	for i, sh := range b.found {
		a := &ops[i].Account
		if sh = sh.of(&a.Key); sh == nil || !sh.isNewest(a.Start) {
			if sh, err = b.shelf(db.view, *a); err != nil {
				return err
			}
		}
		sh.used = b.folds
		b.found[i] = sh
	}
	return nil
}

func (b *book) decide(sh *shelf, op *ledger.Op, now time.Time) ledger.Outcome {
	if granted, ok := b.recent.Get(op.ID); ok {
		return ledger.Outcome{Granted: granted, Replayed: true, Totals: sh.history.Totals(op)}
	}
	out, state, entry := sh.history.Apply(op)
	if state == nil {
		return out
	}
	b.touch(sh, state)
	b.append(&entry, now)
	b.remember(entry.Kind, entry.ID, out.Granted)
	return out
}

// remember notes an operation's id, unless the account does that itself.
func (b *book) remember(kind ledger.Kind, id string, granted int64) {
	if !kind.Adjusts() {
		b.recent.Put(id, granted)
	}
}

// recent reports whether an entry has an id that remember notes.
func (e *raw) recent() bool {
	return len(e.id) > 0 && !e.kind.Adjusts()
}

func (b *book) append(e *ledger.Entry, now time.Time) {
	if n := len(b.records); n == 0 || b.n == maxRecord {
		b.records, b.n = slices.Grow(b.records, 1)[:n+1], 0
		b.records[n] = beginRecord(b.records[n], now.Unix()) // in the memory of an earlier one
	}
	last := &b.records[len(b.records)-1]
	*last = appendEntry(*last, e)
	b.n++
	b.waiting++
}

// shelf returns the shelf of a key, with an account on it if there is such a row.
func (b *book) shelf(view func(func(*bolt.Tx) error) error, a ledger.Account) (*shelf, error) {
	sh := b.keys.get(&a.Key)
	if sh == nil {
		sh = newShelf(a.Key)
		err := view(func(tx *bolt.Tx) error { return sh.newestTwo(tx) })
		if err != nil {
			return nil, err
		}
		b.keys.put(b.keys.hash(&a.Key), sh)
	}
	sh.used = b.folds
	if n := len(sh.history); n < 2 || sh.history[n-2].Start <= a.Start {
		return sh, nil // rows older than these there are none, or none that is asked for
	}
	return sh, sh.fetch(view, a)
}

// fold writes the rows of all accounts that have changed since the last fold.
func (b *book) fold(tx *bolt.Tx) error {
	slices.SortFunc(b.dirty, func(x, y *shelf) int { // as their rows stand: bbolt moves what follows an insertion
		return cmp.Or(
			cmp.Compare(len(x.key.Plan), len(y.key.Plan)), cmp.Compare(x.key.Plan, y.key.Plan),
			cmp.Compare(len(x.key.Subject), len(y.key.Subject)), cmp.Compare(x.key.Subject, y.key.Subject),
		)
	})
	rows := tx.Bucket(accountBucket)
	for _, sh := range b.dirty {
		for _, s := range sh.dirty {
			if err := rows.Put(accountKey(nil, ledger.Account{Key: sh.key, Start: s.Start}), appendState(nil, s)); err != nil {
				return err
			}
		}
		sh.dirty = sh.dirty[:0]
	}
	clear(b.dirty)
	b.dirty = b.dirty[:0]
	b.folded, b.waiting = b.seq, 0
	b.evict()
	return tx.Bucket(metaBucket).Put(foldedKey, seqKey(b.folded))
}

// evict forgets what has a row: all but the newest two accounts of each key, and keys not used lately if there are many.
func (b *book) evict() {
	b.keys.keep(func(sh *shelf) bool {
		sh.evict()
		return b.keys.n <= cachedKeys || sh.used == b.folds
	})
	b.folds++
}

// compact takes records older than before out of the log, all of which must be in the rows, and adds what they sum up
// to to the base of their accounts. Those with the ids to be remembered stay. It takes at most about twice as much as
// comes between two folds, so its work is bounded and it keeps up.
func compact(tx *bolt.Tx, before time.Time) error {
	log := tx.Bucket(logBucket)
	if key, value := log.Cursor().First(); key == nil || !olderThan(value, before) {
		return nil
	}
	recent, err := firstRecent(log)
	if err != nil {
		return err
	}
	taken := make(map[string]sums)
	var old [][]byte
	entries := 0
	c := log.Cursor()
	for key, value := c.First(); key != nil && uint64(len(old)) < 2*foldEvery && entries < 2*foldEntries; key, value = c.Next() {
		if binary.BigEndian.Uint64(key) >= recent || !olderThan(value, before) {
			break
		}
		_, err := readRecord(value, func(_ int, e *raw) error {
			s := taken[string(e.account)]
			s.add(e.kind, e.granted)
			taken[string(e.account)] = s
			entries++
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

// firstRecent is the first of the records that have the last ids.
func firstRecent(log *bolt.Bucket) (first uint64, err error) {
	first = math.MaxUint64
	c := log.Cursor()
	n := 0
	for key, value := c.Last(); key != nil && n < keptIDs; key, value = c.Prev() {
		_, err := readRecord(value, func(_ int, e *raw) error {
			if e.recent() {
				n++
				first = binary.BigEndian.Uint64(key)
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return first, nil
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
	var newer []*ledger.State // than their rows
	if sh := b.keys.get(&k); sh != nil {
		newer = sh.dirty
	}
	for _, s := range newer {
		add(s)
	}
	prefix := keyPrefix(nil, k)
	c := tx.Bucket(accountBucket).Cursor()
	for key, value := c.Seek(prefix); bytes.HasPrefix(key, prefix); key, value = c.Next() {
		s, err := readState(value)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(newer, func(n *ledger.State) bool { return n.Start == s.Start }) {
			add(s)
		}
	}
	slices.SortFunc(states, func(x, y ledger.State) int { return cmp.Compare(x.Start, y.Start) })
	return states, nil
}

// load reads the part of the log that is not in the rows. What earlier lives left open there replaces what the rows say.
func (s *Store) load(tx *bolt.Tx, found *leftovers) error {
	folded, err := checkMeta(tx)
	if err != nil {
		return err
	}
	s.seq, s.folded = folded, folded
	r := replayer{&s.book, func(f func(*bolt.Tx) error) error { return f(tx) }, make(map[string]ledger.Account)}
	c := tx.Bucket(logBucket).Cursor()
	for key, value := c.Seek(seqKey(folded + 1)); key != nil; key, value = c.Next() {
		seq := binary.BigEndian.Uint64(key)
		if seq != s.seq+1 {
			return fmt.Errorf("%w: record %d follows %d", ErrFormat, seq, s.seq)
		}
		s.seq = seq
		if _, err := readRecord(value, r.replay); err != nil {
			return err
		}
	}
	for _, sh := range s.dirty {
		for _, state := range sh.dirty {
			found.see(ledger.Account{Key: sh.key, Start: state.Start}, state)
		}
	}
	return s.loadRecent(tx)
}

// replayer makes the changes of entries again. It keeps account names, which come up again and again.
type replayer struct {
	*book
	view     func(func(*bolt.Tx) error) error
	accounts map[string]ledger.Account
}

func (r *replayer) replay(_ int, e *raw) error {
	a, ok := r.accounts[string(e.account)]
	if !ok {
		var err error
		if a, err = parseAccountKey(e.account); err != nil {
			return err
		}
		r.accounts[string(e.account)] = a
	}
	sh, err := r.shelf(r.view, a)
	if err != nil {
		return err
	}
	entry := ledger.Entry{Op: e.op(a), Granted: e.granted, Crossed: e.crossed}
	if e.kind.Adjusts() {
		entry.ID = string(e.id) // which the account remembers
	}
	state := sh.history.Replay(&entry)
	if state == nil {
		return fmt.Errorf("%w: %v of a lease that is not open", ErrFormat, entry.Kind)
	}
	r.touch(sh, state)
	r.waiting++
	return nil
}

// loadRecent reads the ids of the last entries, as many as are remembered.
func (b *book) loadRecent(tx *bolt.Tx) error {
	log := tx.Bucket(logBucket)
	first, err := firstRecent(log)
	if err != nil {
		return err
	}
	c := log.Cursor()
	for key, value := c.Seek(seqKey(first)); key != nil; key, value = c.Next() {
		_, err := readRecord(value, func(_ int, e *raw) error {
			if e.recent() {
				b.recent.Put(string(e.id), e.granted)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
