package ledger

import (
	"hash/maphash"
	"iter"
	"sync"
)

// counters are the counters by key. A key's counter stays: with its lease, 700 bytes for each key seen since New.
type counters struct {
	seed   maphash.Seed
	shards [64]shard
}

type shard struct {
	sync.RWMutex
	byKey map[Key]*counter
	_     [32]byte // shards on cache lines of their own
}

func (cs *counters) init() {
	cs.seed = maphash.MakeSeed()
	for i := range cs.shards {
		cs.shards[i].byKey = make(map[Key]*counter)
	}
}

func (cs *counters) shard(key Key) *shard {
	return &cs.shards[maphash.String(cs.seed, key.Subject)%uint64(len(cs.shards))]
}

// get returns the counter of a key, nil if it has none yet.
func (cs *counters) get(key Key) *counter {
	s := cs.shard(key)
	s.RLock()
	c := s.byKey[key]
	s.RUnlock()
	return c
}

// make returns the counter of a key. Of two goroutines that make one at once, the second finds that of the first.
func (cs *counters) make(l *Ledger, key Key) *counter {
	if c := cs.get(key); c != nil {
		return c
	}
	s := cs.shard(key)
	s.Lock()
	defer s.Unlock()
	c := s.byKey[key]
	if c == nil {
		c = &counter{ledger: l, key: key, turn: make(chan struct{}, 1)}
		s.byKey[key] = c
	}
	return c
}

// all yields every counter; those made meanwhile perhaps not.
func (cs *counters) all() iter.Seq[*counter] {
	return func(yield func(*counter) bool) {
		for i := range cs.shards {
			s := &cs.shards[i]
			s.RLock()
			list := make([]*counter, 0, len(s.byKey))
			for _, c := range s.byKey {
				list = append(list, c)
			}
			s.RUnlock()
			for _, c := range list {
				if !yield(c) {
					return
				}
			}
		}
	}
}
