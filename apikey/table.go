package apikey

import (
	"iter"
	"math/bits"
	"sync/atomic"
)

// table finds records by the hash of one of their fields: open addressing with linear probing over a slice of
// pointers. Readers never lock and never wait: a slot is one atomic pointer to an immutable record, and growing builds
// new slots beside the old ones. Writers are serialised by their caller.
//
// A slot costs 8 bytes, and while records are added two fifths to five eighths of the slots are filled, so a record
// costs 13 to 20 bytes here. A removed record leaves [gone] behind, so that no chain of probes breaks; growing sweeps
// these out.
type table struct {
	hash   func(*record) uint64
	slots  atomic.Pointer[slots]
	filled int // slots that are not nil, for the writer
	live   int // records, for the writer
}

type slots []atomic.Pointer[record]

const minSlots = 16

// gone stands where a record was.
var gone = new(record)

func newTable(hash func(*record) uint64) *table {
	t := &table{hash: hash}
	s := make(slots, minSlots)
	t.slots.Store(&s)
	return t
}

// find returns the record of the given hash for which same holds, or nil.
func (t *table) find(hash uint64, same func(*record) bool) *record {
	s := *t.slots.Load()
	return s[s.probe(hash, same)].Load()
}

// put makes r a record of the table, in place of the one for which same holds.
func (t *table) put(r *record, same func(*record) bool) {
	s := *t.slots.Load()
	i := s.probe(t.hash(r), same)
	if s[i].Load() == nil {
		if 8*(t.filled+1) > 5*len(s) {
			s = t.grow()
			i = s.probe(t.hash(r), same)
		}
		t.filled++
		t.live++
	}
	s[i].Store(r)
}

// remove forgets the record of the given hash for which same holds.
func (t *table) remove(hash uint64, same func(*record) bool) {
	s := *t.slots.Load()
	if i := s.probe(hash, same); s[i].Load() != nil {
		s[i].Store(gone)
		t.live--
	}
}

// all yields every record once, in no order. A record that changes meanwhile is seen before or after its change.
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

// grow moves the records to slots of which at most two fifths are filled.
func (t *table) grow() slots {
	s := make(slots, max(minSlots, 5*(t.live+1)/2))
	for r := range t.all() {
		s[s.probe(t.hash(r), differs)].Store(r)
	}
	t.filled = t.live
	t.slots.Store(&s)
	return s
}

// probe returns the slot that holds the record for which same holds, or the empty one where its chain ends.
func (s slots) probe(hash uint64, same func(*record) bool) uint64 {
	for i, r := range s.chain(hash) {
		if r == nil || same(r) {
			return i
		}
	}
	panic("unreachable: a chain ends")
}

// chain yields the records that may have the given hash and, after the last, an empty slot and nil. There is an empty
// slot, since three eighths of them are.
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
