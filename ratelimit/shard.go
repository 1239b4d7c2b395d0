package ratelimit

import (
	"maps"
	"sync"
	"sync/atomic"
)

// A shard is a part of a limiter's keys. Its mutex guards everything that changes who owns a slot: a key that is new to
// the table, a table that grows, a limit that changes. A call for a key that is in the table does not wait for the
// mutex, unless its own slot is being moved.
//
// A bucket that is full may be forgotten at any time. This alone would be wrong for a caller that has read the clock
// long ago. For example, a key's bucket becomes full at 60 and is forgotten. A caller that has read 55 would find no
// slot, and would make a bucket that is full at 55, when the old one was not. So each table has a floor: the latest
// clock reading at which a slot was judged to be full. Time in the shard does not run below the floor, so that caller
// acts at 60. The floor is never ahead of the true clock, so no key gets less than its limit.
//
// The floor also keeps the TATs of a slot's successive owners apart. A slot is taken over only if its TAT is below the
// clock reading. That reading becomes the floor, the new owner's TAT is above it, and no undo goes below it. So a TAT
// that a call for the former owner has read never comes back, and the swap of that call fails. (Eight bits of the TAT
// for a version number would do the same, but would shorten the time for which the clock can run.)
type shard struct {
	table     atomic.Pointer[table]
	overrides atomic.Pointer[map[fingerprint]*Bucket] // of keys with a limit of their own; a map is never changed once published
	mu        sync.Mutex
	overflow  []int64 // the TATs of the overflow buckets in units of the table's segment; nil until one is needed
	_         [16]byte
}

// overflows is the number of overflow buckets of a shard. A key shares one of them with others if all slots in its two
// groups are in debt and the table has reached its size. Sharing can only refuse more. When a slot becomes free later,
// the key takes the shared debt along.
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

// shared returns the overflow TAT for a fingerprint, which is 0 if none was ever used; the caller must hold mu.
func (sh *shard) shared(f fingerprint) int64 {
	if sh.overflow == nil {
		return 0
	}
	return sh.overflow[f%overflows]
}

// setShared stores it; the caller must hold mu.
func (sh *shard) setShared(f fingerprint, tat int64) {
	if sh.overflow == nil {
		sh.overflow = make([]int64, overflows)
	}
	sh.overflow[f%overflows] = tat
}

// rebuild replaces the table by one of the given segment and size; the caller must hold mu. Calls that are under way on
// the old table find their TATs frozen, wait for the mutex, and go on with the new table.
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
		owed := max(sh.shared(left.fingerprint)-clock, 0) + left.tat - clock
		sh.setShared(left.fingerprint, clock+min(owed, maxDebt))
	}
	sh.table.Store(t)
	return t
}

// insert gives a key that has no slot a TAT that is cost units above base, which is the clock or the overflow TAT. It
// uses a slot, or an overflow bucket if there is none; the caller must hold mu.
func (sh *shard) insert(t *table, f fingerprint, now, base, cost int64, groups int) (tat int64, v verdict) {
	clock := t.seg.at(now)
	for {
		slot := t.vacant(f, clock)
		if slot >= 0 {
			if tat, ok := sh.claim(t, slot, f, clock, base, cost); ok {
				return tat, granted
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

// claim takes a slot over from an owner whose bucket is full. It reports false if the owner has taken a token first;
// the caller must hold mu.
func (sh *shard) claim(t *table, slot int, f fingerprint, clock, base, cost int64) (tat int64, ok bool) {
	u := t.tat(slot).Load()
	if u >= clock || !t.tat(slot).CompareAndSwap(u, frozen) {
		return 0, false
	}
	t.floor.Store(clock) // it only rises: settle has returned no time before the floor
	tat = base + cost
	t.occupy(slot, f, tat)
	return tat, true
}

// release takes a slot away from its owner and returns the owner's TAT; the caller must hold the shard's mutex. The
// slot is vacant once the debt that was in it would have been paid. Its TAT rises by one, so that the swap of a call
// that has read the owner's TAT fails.
func (t *table) release(slot int) (tat int64) {
	u := t.tat(slot).Swap(frozen)
	t.occupy(slot, 0, u+1)
	return u
}
