package apikey

import (
	"iter"
	"slices"
	"sort"
	"sync/atomic"
)

// An order has the record of every key's current value by the number of the key's creation. Readers never lock and
// never wait: a slot is one atomic pointer. Only one goroutine at a time may write.
//
// New keys have the highest numbers, so they are appended. When several nodes share a journal, keys may also arrive out
// of order. Those are collected, and merge then builds a new slice, which takes some milliseconds for a million keys.
// The slot of a deleted key keeps its number, by a record that is marked as deleted, until one in maxDeletedPart is
// such.
//
// A slot takes 8 bytes, and about an eighth of the slots are spare.
type order struct {
	run     atomic.Pointer[run]
	pending []*record // to be merged
	deleted int       // how many slots are of deleted keys
}

// maxDeletedPart bounds what a reader has to skip, all of which may be the newest keys. Of a million, it skips 15 625
// in less than a millisecond. With a quarter of all, a page took 4 ms. A larger number would build runs more often: now
// the deletion of a key costs the copies of 64 slots on average.
const maxDeletedPart = 64

// A run is a slice of which the first size slots are filled, with ascending numbers.
type run struct {
	slots slots
	size  atomic.Int64
}

func newOrder() *order {
	o := &order{}
	o.run.Store(&run{})
	return o
}

// filled returns the slots that are filled now.
func (o *order) filled() slots {
	r := o.run.Load()
	return r.slots[:r.size.Load()]
}

// below returns, by binary search, the index after the last of s whose number is below number.
func (s slots) below(number uint64) int {
	return sort.Search(len(s), func(i int) bool { return s[i].Load().lasting.number >= number })
}

// slot returns the slot of the given number, or nil.
func (o *order) slot(number uint64) *atomic.Pointer[record] {
	s := o.filled()
	if len(s) == 0 || s[len(s)-1].Load().lasting.number < number {
		return nil
	}
	if i := s.below(number); i < len(s) && s[i].Load().lasting.number == number {
		return &s[i]
	}
	return nil
}

// find returns the record of the given number, or nil.
func (o *order) find(number uint64) *record {
	slot := o.slot(number)
	if slot == nil || slot.Load().deleted {
		return nil
	}
	return slot.Load()
}

// put replaces the record of the number of r. If there is none, r is visible after the next merge.
func (o *order) put(r *record) {
	slot := o.slot(r.lasting.number)
	if slot == nil {
		o.pending = append(o.pending, r)
		return
	}
	if slot.Load().deleted {
		o.deleted--
	}
	slot.Store(r)
}

// remove removes the record of the number of old. The slot keeps a number, because readers search by it.
func (o *order) remove(old *record) {
	o.pending = slices.DeleteFunc(o.pending, func(r *record) bool { return r.lasting == old.lasting })
	if slot := o.slot(old.lasting.number); slot != nil && !slot.Load().deleted {
		slot.Store(&record{lasting: old.lasting, deleted: true})
		o.deleted++
	}
}

// merge makes visible what put has collected. It appends in place, behind the slots that readers look at, and only then
// tells them of the new size. It builds a new run if there is no room, if a key belongs before others, or if too many
// slots are of deleted keys.
func (o *order) merge() {
	slices.SortFunc(o.pending, byNumber)
	r := o.run.Load()
	s := o.filled()
	last := uint64(0)
	if len(s) > 0 {
		last = s[len(s)-1].Load().lasting.number
	}
	switch {
	case maxDeletedPart*o.deleted > len(s), len(o.pending) > 0 && o.pending[0].lasting.number < last:
		o.rebuild(s)
	case len(s)+len(o.pending) > len(r.slots):
		o.rebuild(s)
	default:
		for i, p := range o.pending {
			r.slots[len(s)+i].Store(p)
		}
		r.size.Add(int64(len(o.pending)))
	}
	o.pending = nil
}

// rebuild makes a new run of s and what is pending, without the deleted ones.
func (o *order) rebuild(s slots) {
	n := len(s) - o.deleted + len(o.pending)
	next := &run{slots: make(slots, n+n/8+minSlots)}
	add := func(r *record) {
		next.slots[next.size.Load()].Store(r)
		next.size.Add(1)
	}
	pending := o.pending
	for i := range s {
		r := s[i].Load()
		for len(pending) > 0 && pending[0].lasting.number < r.lasting.number {
			add(pending[0])
			pending = pending[1:]
		}
		if !r.deleted {
			add(r)
		}
	}
	for _, r := range pending {
		add(r)
	}
	o.deleted = 0
	o.run.Store(next)
}

// newest yields the records with numbers below before, or all if that is 0, from the newest to the oldest.
func (o *order) newest(before uint64) iter.Seq[*record] {
	return func(yield func(*record) bool) {
		s := o.filled()
		if before > 0 {
			s = s[:s.below(before)]
		}
		for i := len(s) - 1; i >= 0; i-- {
			if r := s[i].Load(); !r.deleted && !yield(r) {
				return
			}
		}
	}
}
