package ratelimit

import (
	"maps"
	"sync"
	"sync/atomic"
)

// A shard is a part of a limiter's keys. Its mutex guards all that changes who owns a slot: a key that is new to the table,
// a table that grows, a limit that changes. Calls for keys that are in the table do not wait for it, unless their own slot
// is being moved.
//
// A bucket that is full may be forgotten at any time. The danger is the caller with a stale clock reading: the key's next
// bucket would, for him, be full at an instant when the old one was not. So a table's floor is the latest clock reading
// with which a slot was judged to be full, and time in the shard does not run below it: a new bucket begins at the floor or
// later. The floor is behind the true clock, so this takes nothing from anybody.
//
// The floor also makes a slot's word its own tag. A slot changes hands if its word is below the clock, the clock becomes the
// floor, the new word is above it, and no refund goes below it. So a word that a former owner's call has read does not come
// back, and its swap fails. (A tag of eight bits beside the word would cost it eight bits of its domain.)
type shard struct {
	table     atomic.Pointer[table]
	overrides atomic.Pointer[map[fingerprint]*Bucket] // of keys with a limit of their own; a map is never changed once published
	mu        sync.Mutex
	overflow  []int64 // the words of the overflow buckets in units of the table's segment; nil until one is needed
	_         [16]byte
}

// overflows is the number of overflow buckets of a shard. A key for which there is no slot, because all those in its two
// groups are in debt and the table may not grow, shares one of them with others. Sharing only ever refuses more. When a slot
// falls free later, the key takes the shared debt along.
const overflows = 16

// override returns the bucket of a key that has its own limit, or nil.
func (sh *shard) override(f fingerprint) *Bucket {
	if m := sh.overrides.Load(); m != nil {
		return (*m)[f]
	}
	return nil
}

// setOverride publishes a bucket for f, or none if b is nil; the caller must hold mu.
func (sh *shard) setOverride(f fingerprint, b *Bucket) {
	changed := map[fingerprint]*Bucket{}
	if m := sh.overrides.Load(); m != nil {
		changed = maps.Clone(*m)
	}
	changed[f] = b
	if b == nil {
		delete(changed, f)
	}
	sh.overrides.Store(&changed)
}

// shared returns the overflow word of a fingerprint, which is 0 if none was ever used; mu is held.
func (sh *shard) shared(f fingerprint) int64 {
	if sh.overflow == nil {
		return 0
	}
	return sh.overflow[f%overflows]
}

func (sh *shard) setShared(f fingerprint, word int64) {
	if sh.overflow == nil {
		sh.overflow = make([]int64, overflows)
	}
	sh.overflow[f%overflows] = word
}

// rebuild replaces the table by one of the given segment and size; mu is held. Calls that are under way on the old table
// find their words frozen, come to the mutex, and go on with the new one.
func (sh *shard) rebuild(old *table, s *segment, now int64, groups int) *table {
	t := newTable(s, groups)
	clock := s.at(now)
	if s.mul != 0 { // else no clock reading is stale
		clock = max(clock, old.convert(old.floor.Load(), s))
	}
	t.floor.Store(clock)
	for i, u := range sh.overflow {
		sh.overflow[i] = old.convert(u, s)
	}
	for _, left := range t.carry(old, clock) {
		owed := max(sh.shared(left.fingerprint)-clock, 0) + left.word - clock
		sh.setShared(left.fingerprint, clock+min(owed, maxDebt))
	}
	sh.table.Store(t)
	return t
}

// insert gives a key that has no slot a word of cost units above base, which is the clock or the overflow word, in a slot
// or else among the overflow buckets; mu is held.
func (sh *shard) insert(t *table, f fingerprint, now, base, cost int64, groups int) (word int64, v verdict) {
	clock := t.seg.at(now)
	for {
		slot := t.vacant(f, clock)
		if slot >= 0 {
			if word, ok := sh.claim(t, slot, f, clock, base, cost); ok {
				return word, granted
			}
			continue
		}
		if len(t.groups) >= groups {
			sh.setShared(f, base+cost)
			return base + cost, grantedShared
		}
		t = sh.rebuild(t, t.seg, now, min(len(t.groups)*4/3+2, groups))
	}
}

// claim takes a slot over from an owner whose bucket is full, unless he comes first.
func (sh *shard) claim(t *table, slot int, f fingerprint, clock, base, cost int64) (word int64, ok bool) {
	u := t.word(slot).Load()
	if u >= clock || !t.word(slot).CompareAndSwap(u, frozen) {
		return 0, false
	}
	t.floor.Store(clock) // which was not below it
	word = base + cost
	t.occupy(slot, f, word)
	return word, true
}

// release takes a slot away from its owner and returns his word; mu is held. The slot is vacant once the debt that was in
// it would have been paid.
func (t *table) release(slot int) (word int64) {
	u := t.word(slot).Swap(frozen)
	t.occupy(slot, 0, u+1)
	return u
}
