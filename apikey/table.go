package apikey

import (
	"iter"
	"math/bits"
	"sync/atomic"
)

// A table is a hash table of records, keyed by the hash of one of their fields. It uses open addressing with linear
// probing over a slice of pointers. Readers never lock and never wait, because a slot is one atomic pointer to an
// immutable record, and growing fills a new slice while the old one can still be read. Only one goroutine at a time may
// write.
//
// A search goes from the slot of its hash to the next empty one. Removing a record must not make a slot empty, because
// the search for another record could end there. For example, let two records have the hash of slot 3: the second one
// is in slot 4. If the first were removed by emptying slot 3, the second would no longer be found. So the removed one
// is replaced by [gone], which a search skips. Growing leaves these out.
//
// A slot takes 8 bytes. While records are added, between two fifths and five eighths of the slots are filled, so that a
// record takes 13 to 20 bytes in the table.
type table struct {
	hash   func(*record) uint64
	slots  atomic.Pointer[slots]
	filled int          // slots that are not nil; only the writer reads it
	live   atomic.Int64 // records; only the writer changes it
}

type slots []atomic.Pointer[record]

const minSlots = 16

// gone is in the slot of a record that was removed.
var gone = new(record)

func newTable(hash func(*record) uint64) *table {
	t := &table{hash: hash}
	s := make(slots, minSlots)
	t.slots.Store(&s)
	return t
}

// size returns how many records the table has.
func (t *table) size() int { return int(t.live.Load()) }

// find returns the record of the given hash for which same reports true, or nil.
func (t *table) find(hash uint64, same func(*record) bool) *record {
	s := *t.slots.Load()
	_, r := s.probe(hash, same) // the slot may have another record by now, or gone
	return r
}

// put adds r. It replaces the record for which same reports true, if there is one.
func (t *table) put(r *record, same func(*record) bool) {
	s := *t.slots.Load()
	i, old := s.probe(t.hash(r), same)
	if old == nil {
		if 8*(t.filled+1) > 5*len(s) {
			s = t.grow(5 * (t.size() + 1) / 2)
			i, _ = s.probe(t.hash(r), same)
		}
		t.filled++
		t.live.Add(1)
	}
	s[i].Store(r)
}

// remove removes the record of the given hash for which same reports true, if there is one.
func (t *table) remove(hash uint64, same func(*record) bool) {
	s := *t.slots.Load()
	if i, old := s.probe(hash, same); old != nil {
		s[i].Store(gone)
		t.live.Add(-1)
	}
}

// all yields every record once, in no particular order. A record that is replaced in the meantime is yielded as it was
// before or after.
func (t *table) all() iter.Seq[*record] {
	return func(yield func(*record) bool) {
		s := *t.slots.Load()
		for i := range s {
			if r := s[i].Load(); r != nil && r != gone && !yield(r) {
				return
			}
		}
	}
}

// reserve makes room for n more records, so that adding them does not grow the table. At most half of the slots are
// filled then.
func (t *table) reserve(n int) {
	if 8*(t.filled+n) > 5*len(*t.slots.Load()) {
		t.grow(max(2*(t.size()+n), 5*(t.size()+1)/2))
	}
}

// grow copies the records to a new slice of size slots and returns it.
func (t *table) grow(size int) slots {
	s := make(slots, max(minSlots, size))
	for r := range t.all() {
		i, _ := s.probe(t.hash(r), differs)
		s[i].Store(r)
	}
	t.filled = t.size()
	t.slots.Store(&s)
	return s
}

// probe returns the record of the given hash for which same reports true, and the index of its slot. If there is none,
// it returns nil and the index of the empty slot where the search ends.
func (s slots) probe(hash uint64, same func(*record) bool) (uint64, *record) {
	for i, r := range s.chain(hash) {
		if r == nil || same(r) {
			return i, r
		}
	}
	panic("unreachable: a chain ends")
}

// chain yields the records that may have the given hash, with the indexes of their slots, and then the next empty slot
// with nil. There always is an empty slot, because at most five eighths are filled.
func (s slots) chain(hash uint64) iter.Seq2[uint64, *record] {
	return func(yield func(uint64, *record) bool) {
		n := uint64(len(s))
		i, _ := bits.Mul64(hash, n) // spreads hashes evenly over any n
		for {
			if r := s[i].Load(); r != gone && !yield(i, r) {
				return
			}
			if i++; i == n {
				i = 0
			}
		}
	}
}

func differs(*record) bool { return false }
