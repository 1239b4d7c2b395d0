package ratelimit

import (
	"sync"
	"sync/atomic"
)

// running counts how many requests of each key run. It is a hash table of bins. A key has one word in its bin, or, if
// all words of the bin are in use, an entry in the bin's map. So its memory is bounded by what runs: 32 KiB, and an
// entry for each of the keys for which there was no word.
//
// A request of a key that has a word takes no lock. A word whose count is 0 stays its key's until another key needs it,
// so a key that comes again and again finds its word.
//
// A key gets a word or an entry under the mutex of its bin only. So two requests of a new key that come at once cannot
// give it two words. For example, both find no word. The first gets the mutex, and makes one. The second gets the mutex
// later, looks again, and finds it.
type running [bins]bin

// bins times words is 3 072: more keys than a process has requests at a time, in most programs.
const (
	binBits = 9
	bins    = 1 << binBits
	words   = 6
)

// A bin fills a cache line of 64 bytes on 64-bit machines.
type bin struct {
	words [words]atomic.Uint64
	mu    sync.Mutex
	more  map[fingerprint]int // guarded by mu
}

// A word is a tag, which is 47 bits of the key's fingerprint and a 1, and below it a count of 16 bits. The bin is chosen
// by other bits of the fingerprint. Keys with the same tag in the same bin share a count, so together they get what one
// gets. With n keys at a time, the odds of that for any two of them are n²/2^57: 1 in 134 million for 32 768 keys.
const (
	countBits = 16
	countMask = 1<<countBits - 1
)

func tagOf(f fingerprint) uint64 { return uint64(f)<<countBits | 1<<countBits } // never 0, which is a free word

func (r *running) bin(f fingerprint) *bin { return &r[f>>(64-binBits)] }

// acquire counts one more request of the key, unless limit of them run already. limit is 1 to countMask.
func (r *running) acquire(f fingerprint, limit int) bool {
	b := r.bin(f)
	if w := b.find(f); w != nil {
		if ok, mine := add(w, f, limit); mine {
			return ok
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.insert(f, limit)
}

// find returns the word of a key, or nil. If the count is 0, another key may get the word at any time.
func (b *bin) find(f fingerprint) *atomic.Uint64 {
	for i := range b.words {
		if b.words[i].Load()&^countMask == tagOf(f) {
			return &b.words[i]
		}
	}
	return nil
}

// add counts one more request in the word, unless limit of them run. Mine is false if another key has the word now.
func add(w *atomic.Uint64, f fingerprint, limit int) (ok, mine bool) {
	for {
		v := w.Load()
		switch {
		case v&^countMask != tagOf(f):
			return false, false
		case v&countMask >= uint64(limit):
			return false, true
		case w.CompareAndSwap(v, v+1):
			return true, true
		}
	}
}

// insert is acquire for a key that had no word. The caller must hold mu.
func (b *bin) insert(f fingerprint, limit int) bool {
	if n, is := b.more[f]; is {
		if n < limit {
			b.more[f]++
		}
		return n < limit
	}
	if w := b.find(f); w != nil {
		ok, _ := add(w, f, limit) // the word stays f's: another key gets one under the mutex only
		return ok
	}
	for i := range b.words {
		if v := b.words[i].Load(); v&countMask == 0 && b.words[i].CompareAndSwap(v, tagOf(f)+1) {
			return true
		}
	}
	if b.more == nil {
		b.more = make(map[fingerprint]int)
	}
	b.more[f] = 1
	return true
}

// release counts one request of the key less. It reports false if none runs.
func (r *running) release(f fingerprint) bool {
	b := r.bin(f)
	if w := b.find(f); w != nil {
		for {
			v := w.Load()
			if v&^countMask != tagOf(f) || v&countMask == 0 {
				break
			}
			if w.CompareAndSwap(v, v-1) {
				return true
			}
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	n, is := b.more[f]
	if is {
		if b.more[f] = n - 1; n == 1 {
			delete(b.more, f)
		}
	}
	return is
}

// of returns how many requests of the key run.
func (r *running) of(f fingerprint) int {
	b := r.bin(f)
	if w := b.find(f); w != nil {
		if v := w.Load(); v&^countMask == tagOf(f) && v&countMask > 0 {
			return int(v & countMask)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.more[f]
}
