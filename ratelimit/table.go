package ratelimit

import "sync/atomic"

// ways is the number of slots of a group.
const ways = 8

// A group is what the literature on hash tables calls a bucket. The tag is the fingerprint of the key that owns the
// slot, 0 for none. It lies next to the TAT, and four slots fill one cache line of 64 bytes.
type group [ways]struct {
	tag atomic.Uint64
	tat atomic.Int64
}

// A table holds the TATs of a shard's keys. It contains no pointers for the garbage collector to follow and no object
// for each key.
//
// A key may have its slot in one of two groups. It goes to the first group if at least half of that group's buckets
// were full when the key came, and otherwise to the group with more full buckets. So the table fills to about three
// quarters before both groups of some key are in debt, and four keys of five are found in their first group.
//
// A table belongs to one segment and has one size. To change either, each TAT is carried over to a new table and frozen
// in the old one.
type table struct {
	seg    *segment
	floor  atomic.Int64 // see shard
	groups []group
}

// A fingerprint is what a key is known by: its hash, which is never 0.
type fingerprint uint64

func newTable(s *segment, groups int) *table {
	return &table{seg: s, groups: make([]group, groups)}
}

// candidates returns the two groups in which a fingerprint may have its slot; they differ if the table has two groups
// or more. The highest bits of the fingerprint have chosen the shard. Its lowest 32 bits choose the first group, and a
// product that depends on all bits chooses the distance of the second.
func (t *table) candidates(f fingerprint) (first, second int) {
	n := uint64(len(t.groups))
	a := uint64(uint32(f)) * n >> 32
	if n == 1 {
		return 0, 0
	}
	b := a + 1 + (uint64(f)*0x9e3779b97f4a7c15>>32)*(n-1)>>32
	if b >= n {
		b -= n
	}
	return int(a), int(b)
}

// find returns the index of f's slot, or -1.
func (t *table) find(f fingerprint) int {
	first, second := t.candidates(f)
	if i := t.findIn(first, f); i >= 0 {
		return i
	}
	return t.findIn(second, f)
}

func (t *table) findIn(g int, f fingerprint) int {
	group := &t.groups[g]
	for i := range ways {
		at := order(f, i)
		if group[at].tag.Load() == uint64(f) {
			return g*ways + at
		}
	}
	return -1
}

// order returns the i-th slot of a group in which a fingerprint is looked for, or put if vacant. The four slots of one
// cache line come before those of the other, so for most keys a call touches one line.
func order(f fingerprint, i int) int { return int((uint64(f)>>32 ^ uint64(i)) % ways) }

func (t *table) tat(slot int) *atomic.Int64 { return &t.groups[uint(slot)/ways][uint(slot)%ways].tat }

func (t *table) tag(slot int) *atomic.Uint64 { return &t.groups[uint(slot)/ways][uint(slot)%ways].tag }

// The TAT and the tag of a slot cannot be read in one step, and between two reads the slot may go to another key. The
// calls below still act on the right key. Each reads the TAT first, then checks the tag, and then either swaps the TAT
// it has read for another or reads it once more and finds it unchanged.
//
// This is safe because the TAT of a slot only rises when the slot goes to another key, and never returns to a value
// that a call for an earlier owner may have read (see shard). So a TAT that is unchanged at the end proves that the
// slot had one owner all the time.
//
// For example, key A owns a slot with a TAT of 50, and the clock is at 60, so A's bucket is full. A call for A reads 50
// and is stopped. Key B takes the slot over: the tag becomes B's, and the TAT at least 60. When the call for A goes on,
// the tag is B's, and it looks A up again. If it had checked the tag before B came, its swap of 50 fails.

// owned reports whether f owns the slot. It is only certain together with the TAT, as above.
func (t *table) owned(slot int, f fingerprint) bool {
	return t.tag(slot).Load() == uint64(f)
}

// take is [segment.spend] for f's slot. Its verdict is retry if the slot is another key's or is being moved.
func (t *table) take(slot int, f fingerprint, now, clock, tokens int64) outcome {
	s, tat := t.seg, t.tat(slot)
	cost := tokens * s.scale
	line := clock + s.burst - cost
	for {
		u := tat.Load()
		if u == frozen || !t.owned(slot, f) {
			return outcome{verdict: retry}
		}
		if u > line {
			if tat.Load() == u {
				return outcome{s, now, u, refused}
			}
		} else if next := max(u, clock) + cost; tat.CompareAndSwap(u, next) {
			return outcome{s, now, next, granted}
		}
	}
}

// look decides on tokens and takes none.
func (t *table) look(slot int, f fingerprint, now, tokens int64) outcome {
	tat := t.tat(slot)
	for {
		u := tat.Load()
		if u == frozen || !t.owned(slot, f) {
			return outcome{verdict: retry}
		}
		if tat.Load() == u {
			return t.outcome(u, now, tokens)
		}
	}
}

// outcome decides on tokens, given the TAT u of a key.
func (t *table) outcome(u, now, tokens int64) outcome {
	switch {
	case t.seg.over(now):
		return outcome{verdict: retry}
	case t.seg.unlimited():
		return outcome{t.seg, now, u, verdictOf(tokens >= 0)}
	}
	return outcome{t.seg, now, u, verdictOf(t.seg.afford(u, t.seg.at(now), tokens))}
}

// undo gives back a take from f's slot, as [Bucket.undo] does. It reports false if the slot is another key's or is
// being moved. It does not lower the TAT below the floor. The floor is never ahead of the true clock, so the key loses
// nothing by this.
func (t *table) undo(slot int, f fingerprint, now func() int64, k taken) (left int64, ok bool) {
	tat := t.tat(slot)
	for {
		u := tat.Load()
		if u == frozen || !t.owned(slot, f) {
			return 0, false
		}
		back := t.seg.owing(k, u, t.seg.at(now()), u == k.tat)
		if back <= 0 {
			return 0, true
		}
		if next := max(u-back, min(u, t.floor.Load())); tat.CompareAndSwap(u, next) {
			return next, true
		}
	}
}

// vacant returns a slot in one of f's groups whose bucket was full before the given clock reading, or -1. The slot may
// have an owner: a full bucket holds no information.
func (t *table) vacant(f fingerprint, clock int64) int {
	first, second := t.candidates(f)
	a, n := t.vacantIn(first, f, clock)
	if n >= ways/2 {
		return a
	}
	if b, m := t.vacantIn(second, f, clock); m > n {
		return b
	}
	return a
}

// vacantIn returns how many slots of a group are vacant, and the one of them that is looked at first, or -1.
func (t *table) vacantIn(g int, f fingerprint, clock int64) (slot, n int) {
	slot = -1
	for i := ways - 1; i >= 0; i-- {
		at := order(f, i)
		if t.groups[g][at].tat.Load() < clock {
			slot, n = g*ways+at, n+1
		}
	}
	return slot, n
}

// occupy makes f the owner of a frozen slot. It sets the TAT last, so that no call uses the slot before the tag is
// right.
func (t *table) occupy(slot int, f fingerprint, tat int64) {
	t.tag(slot).Store(uint64(f))
	t.tat(slot).Store(tat)
}

// carry moves the debts in old to t and freezes old. Buckets that are full at the given clock reading of t are
// forgotten. It returns the debts for which t has no slot; there are none if t has the same size.
func (t *table) carry(old *table, clock int64) (left []leftover) {
	for slot := range len(old.groups) * ways {
		u := old.convert(old.tat(slot).Swap(frozen), t.seg)
		f := fingerprint(old.tag(slot).Load())
		if u <= clock || f == 0 {
			continue
		}
		to := slot
		if len(t.groups) != len(old.groups) {
			to = t.vacant(f, clock)
		}
		if to < 0 {
			left = append(left, leftover{f, u})
			continue
		}
		t.occupy(to, f, u)
	}
	return left
}

type leftover struct {
	fingerprint fingerprint
	tat         int64
}

// convert carries a TAT from t's segment to a later one.
func (t *table) convert(u int64, to *segment) int64 {
	for s := t.seg; s != to; s = s.next {
		if u = s.convert(u); u <= s.next.at(s.next.start) { // full, and so it stays
			return to.at(to.start)
		}
	}
	return u
}
