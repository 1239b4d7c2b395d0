package session

import (
	"hash/maphash"
	"sync"

	"github.com/tallygate/tallygate/sigv4"
)

// A cache remembers the keys of opened tokens. It has two generations in each of some shards. A new token goes into the
// young generation. When that is full, it becomes the old one, and what was old is forgotten. A token that is found
// among the old ones becomes young again. So what is used stays, and a shard holds at most twice its share. For
// example, a shard with a share of 2 gets the tokens a, b, c, then a again, then d:
//
//	a, b    young a b
//	c       young c      old a b    the young generation was full
//	a       young c a    old a b    a was found among the old ones
//	d       young d      old c a    b, which nobody has used, is forgotten
//
// This is not exactly the least recently used order, but a read of what is young takes a read lock only and moves
// nothing.
//
// Only tokens that this service has issued get in, because only they open. A client cannot fill the cache with others.
type cache struct {
	seed   maphash.Seed
	shards [shards]shard
}

// shards is a power of two, and enough for requests on many cores not to wait for one lock.
const shards = 16

// A shard has the tokens whose hash it has. Its maps are nil until they are needed.
type shard struct {
	mu         sync.RWMutex
	young, old map[string]*opened
	most       int // its share of Config.CacheSize: the size at which the young generation becomes the old one
}

// opened is a token that was opened. A token fits one access key only.
type opened struct {
	accessKeyID string
	key         sigv4.Key // its Session is a *Session
	session     *Session
}

// newCache returns a cache that remembers at least size tokens. Shares are rounded up.
func newCache(size int) *cache {
	c := &cache{seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i] = shard{most: (size + shards - 1) / shards}
	}
	return c
}

// shard returns the shard of a token. The seed is secret, so nobody can choose tokens that meet in one shard.
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

// put remembers a token. The token must be one that was opened.
func (c *cache) put(token string, o *opened) { c.shard(token).put(token, o) }

// put adds a token to the young generation. Two goroutines that have opened the same token at once both put it. At worst
// that ends a young generation one token early.
func (s *shard) put(token string, o *opened) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.young == nil || len(s.young) >= s.most {
		s.young, s.old = make(map[string]*opened), s.young
	}
	s.young[token] = o
}
