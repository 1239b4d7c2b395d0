package ledger

import (
	"hash/maphash"
	"iter"
	"sync"
	"sync/atomic"
)

// counters are the counters by key. A key's counter stays: with its lease, 700 bytes for each key seen since New. It
// cannot be dropped and made anew, because refs, charges and usage days point to it. Two counters of one key would have
// two turns and two leases, and a late settlement would go to the wrong one.
type counters struct {
	seed   maphash.Seed
	shards [64]shard
	made   atomic.Int64
}

// shard has a part of the counters under a lock of its own. A take reads only, so takes of different keys wait for each
// other only when one of the keys is new. The padding brings a shard to 64 bytes on 64-bit machines, so that the locks
// of two shards do not share a cache line.
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

// shard returns where a key belongs. The subject alone is hashed: it is what differs between keys. The same subject
// under two plans shares a shard, which does no harm. The seed is random, so nobody can choose subjects that all belong
// to one shard.
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

// make returns the counter of a key. Of two goroutines that make one at once, the second finds that of the first. Only
// a key that has been validated may come here, since its counter stays.
func (cs *counters) make(l *Ledger, key Key) *counter {
	if c := cs.get(key); c != nil {
		return c
	}
	s := cs.shard(key)
	s.Lock()
	defer s.Unlock()
	c := s.byKey[key]
	if c == nil {
		c = newCounter(l, key)
		s.byKey[key] = c
		cs.made.Add(1)
	}
	return c
}

// all yields every counter; those made meanwhile perhaps not. It holds no lock while it yields, so the caller may wait
// for a counter's turn and for the engine. That a new counter may be missed does no harm to Close: once the ledger is
// closed, enterOpen lets nobody open a lease.
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
