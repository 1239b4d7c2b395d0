package ratelimit

import "sync/atomic"

// ways is the number of slots of a group.
const ways = 8

// A group is a bucket of the hash table, in the hash table's sense. The tag is the fingerprint of a slot's owner, 0 for nobody;
// it lies beside the word, and four slots fill one cache line of 64 bytes.
type group [ways]struct {
	tag  atomic.Uint64
	word atomic.Int64
}

// A table holds the words of a shard's keys. There are no pointers in it for the garbage collector to follow and no object
// for each key. A key may stand in one of two groups: in the first if half of its buckets were full when the key came, else
// in the one with more of them. So the table fills to about three quarters before both groups of some key are in debt, and
// four keys of five are found in their first group.
//
// A table is of one segment and one size. To change either, each word is carried over to a new table and frozen in the old.
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

// candidates are the two groups where a fingerprint may stand, distinct if there are two. The shard is told by the highest
// bits, the first group by the lowest 32, and the second's distance from it by a product that depends on all.
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

// order is the i-th slot of a group where a fingerprint is looked for and, if vacant, put: the four of one cache line before
// those of the other. For most keys a call touches that line alone.
func order(f fingerprint, i int) int { return int((uint64(f)>>32 ^ uint64(i)) % ways) }

func (t *table) word(slot int) *atomic.Int64 { return &t.groups[uint(slot)/ways][uint(slot)%ways].word }

func (t *table) tag(slot int) *atomic.Uint64 { return &t.groups[uint(slot)/ways][uint(slot)%ways].tag }

// A slot's word and its owner cannot be read in one step. But a word rises when the slot changes hands, and never falls back
// to where a former owner left it (see shard). So who reads the word, then sees that the slot is his, and then swaps the
// word, or reads it again unchanged, has owned the slot throughout. The word is its own tag.

func (t *table) owned(slot int, f fingerprint) bool {
	return t.tag(slot).Load() == uint64(f)
}

// take is [segment.spend] for f's slot.
func (t *table) take(slot int, f fingerprint, now, clock, tokens int64) outcome {
	s, word := t.seg, t.word(slot)
	cost := tokens * s.scale
	line := clock + s.burst - cost
	for {
		u := word.Load()
		if u == frozen || !t.owned(slot, f) {
			return outcome{verdict: retry}
		}
		if u > line {
			if word.Load() == u {
				return outcome{s, now, u, refused}
			}
		} else if next := max(u, clock) + cost; word.CompareAndSwap(u, next) {
			return outcome{s, now, next, granted}
		}
	}
}

// look decides on tokens and takes none.
func (t *table) look(slot int, f fingerprint, now, tokens int64) outcome {
	word := t.word(slot)
	for {
		u := word.Load()
		if u == frozen || !t.owned(slot, f) {
			return outcome{verdict: retry}
		}
		if word.Load() == u {
			return t.outcome(u, now, tokens)
		}
	}
}

// outcome decides on tokens for a word that is certain.
func (t *table) outcome(u, now, tokens int64) outcome {
	switch {
	case t.seg.over(now):
		return outcome{verdict: retry}
	case t.seg.unlimited():
		return outcome{t.seg, now, u, verdictOf(tokens >= 0)}
	}
	return outcome{t.seg, now, u, verdictOf(t.seg.afford(u, t.seg.at(now), tokens))}
}

// undo gives back a take from f's slot, as [Bucket.undo] does. It reports false if the word is another's or frozen. It does
// not go below the floor, which is never ahead of the true clock, so nothing is withheld.
func (t *table) undo(slot int, f fingerprint, now func() int64, k taken) (left int64, ok bool) {
	word := t.word(slot)
	for {
		u := word.Load()
		if u == frozen || !t.owned(slot, f) {
			return 0, false
		}
		back := t.seg.owing(k, u, t.seg.at(now()))
		if back <= 0 {
			return 0, true
		}
		if next := max(u-back, min(u, t.floor.Load())); word.CompareAndSwap(u, next) {
			return next, true
		}
	}
}

// vacant returns a slot in one of f's groups whose bucket was full before the given clock reading, or -1. It does not
// matter whether the slot had an owner: a full bucket holds no information.
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

// vacantIn returns the slot of a group's vacant ones that is looked at first, or -1, and how many there are.
func (t *table) vacantIn(g int, f fingerprint, clock int64) (slot, n int) {
	slot = -1
	for i := ways - 1; i >= 0; i-- {
		at := order(f, i)
		if t.groups[g][at].word.Load() < clock {
			slot, n = g*ways+at, n+1
		}
	}
	return slot, n
}

// occupy makes f the owner of a frozen slot, and only then sets its word.
func (t *table) occupy(slot int, f fingerprint, word int64) {
	t.tag(slot).Store(uint64(f))
	t.word(slot).Store(word)
}

// carry moves what old holds to t, but for buckets that are full at the given clock reading of t, and freezes old. It
// returns the words for which there is no slot; there are none if t is of the same size.
func (t *table) carry(old *table, clock int64) (left []leftover) {
	for slot := range len(old.groups) * ways {
		u := old.convert(old.word(slot).Swap(frozen), t.seg)
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
	word        int64
}

// convert carries a word from t's segment to a later one.
func (t *table) convert(u int64, to *segment) int64 {
	for s := t.seg; s != to; s = s.next {
		if u = s.convert(u); u <= s.next.at(s.next.start) { // full, and so it stays
			return to.at(to.start)
		}
	}
	return u
}
