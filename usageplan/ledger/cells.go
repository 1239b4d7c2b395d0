package ledger

import (
	"hash/maphash"
	"iter"
	"sync"
)

// cells are the cells by key. A key's cell stays: with its lease, 600 bytes for each key seen since New.
type cells struct {
	seed   maphash.Seed
	shards [64]shard
}

type shard struct {
	sync.RWMutex
	byKey map[Key]*cell
	_     [32]byte // shards on cache lines of their own
}

func (cs *cells) init() {
	cs.seed = maphash.MakeSeed()
	for i := range cs.shards {
		cs.shards[i].byKey = make(map[Key]*cell)
	}
}

func (cs *cells) shard(key Key) *shard {
	return &cs.shards[maphash.String(cs.seed, key.Subject)%uint64(len(cs.shards))]
}

func (cs *cells) get(key Key) *cell {
	s := cs.shard(key)
	s.RLock()
	c := s.byKey[key]
	s.RUnlock()
	return c
}

func (cs *cells) make(l *Ledger, key Key) *cell {
	if c := cs.get(key); c != nil {
		return c
	}
	s := cs.shard(key)
	s.Lock()
	defer s.Unlock()
	c := s.byKey[key]
	if c == nil {
		c = &cell{ledger: l, key: key, turn: make(chan struct{}, 1)}
		s.byKey[key] = c
	}
	return c
}

// all yields every cell; those made meanwhile perhaps not.
func (cs *cells) all() iter.Seq[*cell] {
	return func(yield func(*cell) bool) {
		for i := range cs.shards {
			s := &cs.shards[i]
			s.RLock()
			list := make([]*cell, 0, len(s.byKey))
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
