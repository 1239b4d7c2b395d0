package window

import (
	"math/bits"
	"sync"
)

const (
	ways = 8 // slots of a group: their fingerprints fill a cache line
	// cellKeys is the number of keys for which there is one overflow cell: 40 bytes for each 12 keys.
	cellKeys = 12
)

// A fingerprint is what a key is known by: its hash, which is never 0.
type fingerprint uint64

// A group is eight slots, each the fingerprint of a key and its ring: 48 bytes. A fingerprint of 0 is a vacant slot.
type group struct {
	owners [ways]fingerprint
	rings  [ways]ring
}

// A shard holds the keys of one part of the fingerprints. A key has a slot in one of two groups that its fingerprint
// chooses, so that groups fill up evenly, or is counted in two overflow cells that it shares with others. The caller of
// any method must hold mu.
type shard struct {
	mu     sync.Mutex
	plan   *plan // of the rings
	groups []group
	cells  []ring // two rows of the same length; nil until needed
}

// spread picks one of n, by any of several independent ways.
func spread(f fingerprint, way uint64, n int) int {
	hi, _ := bits.Mul64(uint64(f)*way, uint64(n))
	return int(hi)
}

// Odd numbers without a pattern: the fractional parts of the square roots of 2, 3, 5 and 7.
const (
	way1 = 0x6a09e667f3bcc909
	way2 = 0xbb67ae8584caa73b
	way3 = 0x3c6ef372fe94f82b
	way4 = 0xa54ff53a5f1d36f1
)

func home(groups []group, f fingerprint) (first, second *group) {
	return &groups[spread(f, way1, len(groups))], &groups[spread(f, way2, len(groups))]
}

func (g *group) find(f fingerprint) *ring {
	for i := range g.owners {
		if g.owners[i] == f {
			return &g.rings[i]
		}
	}
	return nil
}

// free counts the slots that are vacant or idle, and finds the first.
func (g *group) free(slice int64) (n, first int) {
	for i := range g.owners {
		if g.owners[i] == 0 || g.rings[i].idle(slice) {
			if n == 0 {
				first = i
			}
			n++
		}
	}
	return n, first
}

// place puts a key into a slot of the group that has more of them free, or returns nil. An idle slot holds no
// information, so its owner may lose it at any time. If no slot is free, an owner may move to the other of its two
// groups. (This is one step of cuckoo hashing. Without it, tables would be full at four fifths.)
func place(groups []group, f fingerprint, slice int64) *ring {
	g, h := home(groups, f)
	n, i := g.free(slice)
	if m, j := h.free(slice); m > n {
		g, n, i = h, m, j
	}
	if n == 0 {
		if i = g.vacate(groups, slice); i < 0 {
			if g, i = h, h.vacate(groups, slice); i < 0 {
				return nil
			}
		}
	}
	g.owners[i] = f
	return &g.rings[i]
}

// vacate moves the owner of a slot to the other of its groups and returns the slot, or -1 if there is no room for any
// of them.
func (g *group) vacate(groups []group, slice int64) int {
	for i, owner := range g.owners {
		other, second := home(groups, owner)
		if other == g {
			other = second
		}
		if n, j := other.free(slice); n > 0 {
			other.owners[j], other.rings[j] = owner, g.rings[i]
			return i
		}
	}
	return -1
}

func (sh *shard) find(f fingerprint) *ring {
	if len(sh.groups) == 0 {
		return nil
	}
	g, h := home(sh.groups, f)
	if r := g.find(f); r != nil {
		return r
	}
	return h.find(f)
}

// take counts n for a key, whether it has a slot or not, see ring.take.
func (sh *shard) take(f fingerprint, now, n int64, countRefused bool, maxGroups int) outcome {
	r := sh.find(f)
	if r == nil {
		r = sh.insert(f, now, maxGroups)
	}
	if r != nil {
		ok := r.take(sh.plan, now, n, countRefused)
		return outcome{plan: sh.plan, now: now, n: n, ok: ok, ring: *r}
	}
	less, more := sh.shared(f, sh.plan.at(now))
	ok := less.take(sh.plan, now, n, countRefused)
	if ok || countRefused {
		more.add(sh.plan, n)
	}
	return outcome{plan: sh.plan, now: now, n: n, ok: ok, ring: *less}
}

// look returns what a take of n would come to.
func (sh *shard) look(f fingerprint, now, n int64) outcome {
	slice := sh.plan.at(now)
	known := newRing(slice)
	if r := sh.find(f); r != nil {
		known = *r
	} else if sh.cells != nil {
		less, _ := sh.shared(f, slice)
		known = *less
	}
	known.advance(slice)
	ok := n >= 0 && n <= sh.plan.limit.Limit-known.count(sh.plan)
	return outcome{plan: sh.plan, now: now, n: n, ok: ok, ring: known}
}

// insert gives a key a slot and returns its ring, or nil if there is no room. A key that may have been counted in
// overflow cells starts with the counts of the lower cell.
func (sh *shard) insert(f fingerprint, now int64, maxGroups int) *ring {
	slice := sh.plan.at(now)
	var r *ring
	for {
		if len(sh.groups) > 0 {
			r = place(sh.groups, f, slice)
		}
		if r != nil || len(sh.groups) == maxGroups {
			break
		}
		sh.grow(slice, maxGroups)
	}
	switch {
	case r == nil:
		sh.openCells(maxGroups)
	case sh.cells == nil:
		*r = newRing(slice)
	default:
		less, _ := sh.shared(f, slice)
		*r = *less
	}
	return r
}

// grow moves the keys to a table that is larger by a quarter, or by more if that does not hold them all. Keys that the
// largest table does not hold are counted in overflow cells.
func (sh *shard) grow(slice int64, maxGroups int) {
	for n := len(sh.groups); n < maxGroups; {
		n = min(n*5/4+1, maxGroups)
		larger := make([]group, n)
		if sh.move(larger, slice, n == maxGroups) {
			sh.groups = larger
			return
		}
	}
}

// move copies all keys that are not idle to larger. If one does not fit, it is counted in overflow cells if spill is
// set, and otherwise move gives up and reports false.
func (sh *shard) move(larger []group, slice int64, spill bool) bool {
	for i := range sh.groups {
		for j, f := range sh.groups[i].owners {
			r := &sh.groups[i].rings[j]
			if f == 0 || r.idle(slice) {
				continue
			}
			if to := place(larger, f, slice); to != nil {
				*to = *r
			} else if spill {
				sh.spill(f, r, slice, len(larger))
			} else {
				return false
			}
		}
	}
	return true
}

// spill adds a key's counts to its overflow cells.
func (sh *shard) spill(f fingerprint, r *ring, slice int64, groups int) {
	sh.openCells(groups)
	less, more := sh.shared(f, slice)
	r.advance(slice)
	less.merge(sh.plan, r)
	more.merge(sh.plan, r)
}

func (sh *shard) openCells(groups int) {
	if sh.cells == nil {
		sh.cells = make([]ring, 2*max(groups*ways/cellKeys/2, 1))
	}
}

// shared returns the two overflow cells of a key, advanced to the slice, the one with the lower count first. Each of
// them counts all that the key was granted while it had no slot, and what other keys were granted. So the lower count
// is the better estimate: it decides, and both cells count. (This is a count-min sketch of rings.)
func (sh *shard) shared(f fingerprint, slice int64) (less, more *ring) {
	row := len(sh.cells) / 2
	less, more = &sh.cells[spread(f, way3, row)], &sh.cells[row+spread(f, way4, row)]
	less.advance(slice)
	more.advance(slice)
	if more.count(sh.plan) < less.count(sh.plan) {
		return more, less
	}
	return less, more
}

// settle carries all counts over to the plan in force.
func (sh *shard) settle(to *plan, now int64) {
	if sh.plan == to {
		return
	}
	for i := range sh.groups {
		for j := range sh.groups[i].rings {
			sh.groups[i].rings[j].convert(sh.plan, to, now)
		}
	}
	for i := range sh.cells {
		sh.cells[i].convert(sh.plan, to, now)
	}
	sh.plan = to
}
