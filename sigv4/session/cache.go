package session

import (
	"hash/maphash"
	"sync"

	"github.com/tallygate/tallygate/sigv4"
)

// A cache remembers the keys of opened tokens. It has two generations in each of some shards. A new token goes into the
// young generation. When that is full, it becomes the old one, and what was old is forgotten. A token that is found
// among the old ones becomes young again. So what is used stays, and a shard holds at most twice its share.
//
// Only tokens that this service has issued get in, because only they open. A client cannot fill the cache with others.
type cache struct {
	seed   maphash.Seed
	shards [shards]shard
}

const shards = 16

type shard struct {
	mu         sync.RWMutex
	young, old map[string]*opened
	most       int // the size at which the young generation becomes the old one
}

// opened is a token that was opened. A token fits one access key only.
type opened struct {
	accessKeyID string
	key         sigv4.Key // its Session is a *Session
	session     *Session
}

func newCache(size int) *cache {
	c := &cache{seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i] = shard{most: (size + shards - 1) / shards}
	}
	return c
}

func (c *cache) shard(token string) *shard {
	return &c.shards[maphash.String(c.seed, token)%shards]
}

// get returns what is remembered of a token, nil if nothing is.
func (c *cache) get(token string) *opened {
	s := c.shard(token)
	s.mu.RLock()
	o, young := s.young[token]
	if !young {
		o = s.old[token]
	}
	s.mu.RUnlock()
	if o != nil && !young {
		s.put(token, o)
	}
	return o
}

func (c *cache) put(token string, o *opened) { c.shard(token).put(token, o) }

func (s *shard) put(token string, o *opened) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.young == nil || len(s.young) >= s.most {
		s.young, s.old = make(map[string]*opened), s.young
	}
	s.young[token] = o
}
