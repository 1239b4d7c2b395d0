package ratelimit

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// keysPerShard bounds how long a shard's mutex is held while its table is rebuilt: up to 860 slots, less than 0.1 ms.
const keysPerShard = 512

// keyed is the part of a [Limiter] that does not depend on the type of its keys.
//
// A change of the limit publishes a new segment and returns, however many buckets there are. Each shard carries its
// TATs over when one of its keys is next asked about.
type keyed struct {
	epoch  time.Time
	seg    atomic.Pointer[segment]
	mu     sync.Mutex // must be held to replace seg; a goroutine that holds it must not lock a shard's mutex
	shards []shard
	shift  uint8 // 64 - log2(len(shards))
	groups int   // the most a shard's table may grow to
}

// newKeyed makes room for maxKeys keys. The number of shards is a power of two, so that the highest bits of a
// fingerprint choose one. A shard's table is made when the first of its keys comes, and grows.
func newKeyed(l Limit, maxKeys int) *keyed {
	k := &keyed{epoch: time.Now(), shift: 64}
	for maxKeys>>(64-k.shift) > keysPerShard {
		k.shift--
	}
	k.shards = make([]shard, 1<<(64-k.shift))
	// 16 bytes × 11/8 = 22 bytes for each of maxKeys keys, and room for shards that get more than their share of them.
	each := (maxKeys + len(k.shards) - 1) / len(k.shards)
	if len(k.shards) > 1 {
		each += 6 * int(math.Sqrt(float64(each))) // six standard deviations
	}
	k.groups = (each*11/8 + ways - 1) / ways
	k.seg.Store(newSegment(l, 0))
	return k
}

func (k *keyed) now() int64 { return int64(time.Since(k.epoch)) }

func (k *keyed) shard(f fingerprint) *shard { return &k.shards[f>>k.shift] }

// take takes tokens of the key, all or none, at the instant now. Its verdict is never retry. A key that has a slot in a
// table of the segment in force, or a limit of its own, needs no mutex.
//
// The segment is read after the caller has read the clock. So if it is still the old one, now is not later than the
// change of the limit.
func (k *keyed) take(now int64, f fingerprint, tokens int64) outcome {
	sh := k.shard(f)
	if b := sh.override(f); b != nil {
		if o := b.try(now, tokens); o.verdict != retry {
			return o
		}
	} else if t := k.table(sh); t != nil {
		if clock, ok := t.seg.ready(now, tokens); ok {
			if slot := t.find(f); slot >= 0 {
				if o := t.take(slot, f, now, clock, tokens); o.verdict != retry {
					return o
				}
			}
		}
	}
	return k.takeSlow(sh, now, f, tokens)
}

// takeSlow is take under the shard's mutex.
func (k *keyed) takeSlow(sh *shard, now int64, f fingerprint, tokens int64) outcome {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if b := sh.override(f); b != nil {
		return b.take(now, tokens)
	}
	t, now := k.settle(sh, now)
	slot := t.find(f)
	switch {
	case t.seg.unlimited() || tokens < 1 || tokens > t.seg.limit.Burst:
		return k.lookAt(sh, t, slot, f, now, tokens)
	case slot >= 0:
		return t.take(slot, f, now, t.seg.at(now), tokens)
	}
	o := k.lookAt(sh, t, slot, f, now, tokens)
	if o.ok() {
		o.tat, o.verdict = sh.insert(t, f, now, o.tat, tokens*t.seg.scale, k.groups)
	}
	return o
}

// lookAt decides on tokens and takes none; the caller must hold the shard's mutex. A key without a slot has a full
// bucket, or the debt of its overflow bucket.
func (k *keyed) lookAt(sh *shard, t *table, slot int, f fingerprint, now, tokens int64) outcome {
	if slot >= 0 {
		return t.look(slot, f, now, tokens)
	}
	return t.outcome(max(t.seg.at(now), sh.shared(f)), now, tokens)
}

// table is the shard's table if it is of the segment in force, or nil.
func (k *keyed) table(sh *shard) *table {
	if t := sh.table.Load(); t != nil && t.seg == k.seg.Load() {
		return t
	}
	return nil
}

// settle carries the shard over to the segment in force. It returns the shard's table and the time to use there: now,
// or the time of the floor if that is later. The caller must hold the shard's mutex.
func (k *keyed) settle(sh *shard, now int64) (t *table, at int64) {
	if t = k.table(sh); t == nil || t.seg.over(now) {
		t = k.renew(sh, now)
	}
	return t, now + int64(t.seg.wait(now, t.floor.Load()))
}

// renew gives the shard a table of the segment in force; the caller must hold the shard's mutex.
func (k *keyed) renew(sh *shard, now int64) *table {
	s, t := k.segment(now), sh.table.Load()
	if t != nil {
		return sh.rebuild(t, s, now, len(t.groups))
	}
	t = newTable(s, 1)
	sh.table.Store(t)
	return t
}

// segment returns the segment in force. Its start is set, because mu was held after it was published.
func (k *keyed) segment(now int64) *segment {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.seg.Load()
	if s.over(now) {
		s = k.replace(s, s.limit, func() int64 { return now })
	}
	return s
}

// setLimit changes the limit of all keys to a valid one. The clock is read when the new segment is published.
func (k *keyed) setLimit(now func() int64, l Limit) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.replace(k.seg.Load(), l, now)
}

// replace publishes a segment and only then reads the clock for its start, so the segment starts no earlier than any
// call that still found the old one. The fields start and next are guarded by mu: a goroutine that found the new
// segment must have held mu before it reads them. The caller must hold mu.
func (k *keyed) replace(s *segment, l Limit, now func() int64) *segment {
	next := newSegment(l, 0)
	k.seg.Store(next)
	next.start = now()
	s.next = next
	return next
}

// look returns what a take of tokens would come to. Its verdict is retry if only lookSlow can tell.
func (k *keyed) look(now int64, f fingerprint, tokens int64) outcome {
	sh := k.shard(f)
	if b := sh.override(f); b != nil {
		return b.contents.Load().look(now, tokens)
	}
	if t := k.table(sh); t != nil {
		if slot := t.find(f); slot >= 0 {
			return t.look(slot, f, now, tokens)
		}
	}
	return outcome{verdict: retry}
}

// lookSlow is look under the shard's mutex.
func (k *keyed) lookSlow(now int64, f fingerprint, tokens int64) outcome {
	sh := k.shard(f)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if b := sh.override(f); b != nil {
		return b.look(now, tokens)
	}
	t, now := k.settle(sh, now)
	return k.lookAt(sh, t, t.find(f), f, now, tokens)
}

// undo gives back a take to where it was taken from. Nothing comes back if the limit has changed, or if the key has
// lost its slot, since its bucket was full then. For tests, it returns the TAT that it leaves behind, or 0 if nothing
// came back.
func (k *keyed) undo(now func() int64, f fingerprint, taken taken) (tat int64) {
	sh := k.shard(f)
	if b := sh.override(f); b != nil {
		return b.undo(now, taken)
	}
	if t := k.table(sh); t != nil && t.seg == taken.seg && taken.verdict == granted {
		if slot := t.find(f); slot >= 0 {
			if tat, ok := t.undo(slot, f, now, taken); ok {
				return tat
			}
		}
	}
	return k.undoSlow(sh, now, f, taken)
}

// undoSlow is undo under the shard's mutex.
func (k *keyed) undoSlow(sh *shard, now func() int64, f fingerprint, taken taken) (tat int64) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t, at := k.settle(sh, now())
	if t.seg != taken.seg {
		return 0
	}
	if slot := t.find(f); slot >= 0 {
		tat, _ = t.undo(slot, f, now, taken)
		return tat
	}
	if taken.verdict != grantedShared {
		return 0
	}
	u := sh.shared(f)
	back := t.seg.owing(taken, u, t.seg.at(at), u == taken.tat)
	if back <= 0 {
		return 0
	}
	sh.setShared(f, u-back)
	return u - back
}

// setKeyLimit moves a key's debt from its slot to a bucket of its own. It reads the clock after it has frozen the slot.
func (k *keyed) setKeyLimit(now func() int64, f fingerprint, l Limit) {
	sh := k.shard(f)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if b := sh.override(f); b != nil {
		_ = b.setLimit(now, l) // l is valid and b is whole
		return
	}
	t, _ := k.settle(sh, now())
	tat := sh.shared(f)
	if slot := t.find(f); slot >= 0 {
		tat = max(tat, t.release(slot))
	}
	start := now()
	c := &contents{seg: newSegment(l, start)}
	c.tat.Store(c.seg.at(start) + t.seg.rescale(tat-max(t.seg.at(start), t.floor.Load()), c.seg))
	b := &Bucket{epoch: k.epoch}
	b.contents.Store(c)
	sh.setOverride(f, b)
}

// clearKeyLimit moves a key's debt from its own bucket back to a slot.
func (k *keyed) clearKeyLimit(now func() int64, f fingerprint) {
	sh := k.shard(f)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	b := sh.override(f)
	if b == nil {
		return
	}
	b.mu.Lock()
	c := b.contents.Load()
	u := c.tat.Swap(frozen)
	b.mu.Unlock()
	at := now()
	debt := u - c.seg.at(at)
	t, at := k.settle(sh, at)
	clock := t.seg.at(at)
	if debt = c.seg.rescale(debt, t.seg); debt > 0 {
		sh.insert(t, f, at, max(clock, sh.shared(f)), debt, k.groups)
	} else {
		t.floor.Store(clock) // as for any full bucket that is forgotten
	}
	sh.setOverride(f, nil)
}
