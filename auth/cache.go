package auth

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"sync"
	"unsafe"
)

const (
	defaultCache = 32 << 20 // bytes: about 20 000 tokens of Cognito
	shards       = 64
	// entryCost is the memory of an entry without its strings and lists: 112 bytes of entry, 480 of claimSet, and its
	// place in the map. TestCacheStaysWithinItsMemory compares the sum with the heap.
	entryCost = 700
	// maxHashed is the longest token, in bytes, whose SHA-256 is computed at once. For longer tokens the hash would be
	// the larger part of the cost of a forged one.
	maxHashed = 2 << 10
	sample    = 8 // entries that are looked at to find one to drop
)

// cache remembers verified tokens, so that the same token need not be verified again. An entry means only that the
// signature is valid and that the issuer's settings accept the token. Times, revocation and rules are checked on every
// hit. It is safe for concurrent use.
//
// A token is found by the SHA-256 of all its bytes, signature included. So the bearer token itself does not stay in
// memory, and no other token can be answered with this one's claims. If raw is set, it is found by a keyed hash, and
// then all its bytes are compared.
//
// For a long token that is forged, its SHA-256 would be the larger part of the cost. So it is looked up by the keyed
// hash, which is fast. The SHA-256 is computed only if there is an entry to compare it with, or after the token has
// been verified.
//
// A token belongs to one of 64 shards, each with its own lock, so that requests on several cores seldom wait for each
// other.
type cache struct {
	raw    bool
	seed   maphash.Seed
	limit  int // bytes per shard
	shards [shards]shard
}

// shard holds the tokens whose index has the same remainder.
type shard struct {
	mu      sync.RWMutex      // guards entries and size
	entries map[uint64]*entry // index → the entry; a later token with the same index replaces it
	size    int               // bytes of all entries
	_       [24]byte          // fills a cache line of 64 bytes
}

// entry is one verified token with the key that verified it. It is immutable.
type entry struct {
	fingerprint
	token  *claimSet
	key    *key
	issuer *issuerState
	size   int // bytes, as put counts them
}

// fingerprint identifies a token. Two complete fingerprints are equal if and only if their tokens are.
type fingerprint struct {
	index   uint64            // decides the shard and the place in it; several tokens may have the same
	sum     [sha256.Size]byte // zero if raw is set, or while pending is
	raw     string            // the token, if the cache is raw
	pending string            // the token, while its sum has not been computed
}

// newCache returns a cache of the given size. It is nil if bytes is negative: nothing is remembered then.
func newCache(bytes int, raw bool) *cache {
	if bytes < 0 {
		return nil
	}
	if bytes == 0 {
		bytes = defaultCache
	}
	c := &cache{raw: raw, seed: maphash.MakeSeed(), limit: bytes / shards}
	for i := range c.shards {
		c.shards[i].entries = map[uint64]*entry{}
	}
	return c
}

// fingerprint returns the fingerprint of a token. It is not complete if the token is long; see complete.
func (c *cache) fingerprint(raw string) (f fingerprint) {
	switch {
	case c.raw:
		return fingerprint{index: maphash.String(c.seed, raw), raw: raw}
	case len(raw) > maxHashed:
		return fingerprint{index: maphash.String(c.seed, raw), pending: raw}
	}
	f.sum = sum(raw)
	f.index = binary.LittleEndian.Uint64(f.sum[:])
	return f
}

// complete computes the sum if it is pending.
func (f *fingerprint) complete() {
	if f.pending != "" {
		f.sum, f.pending = sum(f.pending), ""
	}
}

// sum is the SHA-256 of a token. The hash only reads the bytes, so the conversion need not copy the token.
func sum(raw string) [sha256.Size]byte {
	return sha256.Sum256(unsafe.Slice(unsafe.StringData(raw), len(raw)))
}

// get returns the entry of a token, or nil. It completes the fingerprint if there is an entry to compare it with. The
// caller must check whether the key of the entry has been retired.
func (c *cache) get(f *fingerprint) *entry {
	s := &c.shards[f.index%shards]
	s.mu.RLock()
	e := s.entries[f.index]
	s.mu.RUnlock()
	if e == nil {
		return nil
	}
	if f.complete(); e.fingerprint != *f {
		return nil
	}
	return e
}

// put remembers a verified token, and drops others until the shard is within its limit. A token that is larger than a
// whole shard is not remembered.
func (c *cache) put(f fingerprint, t *claimSet, k *key, issuer *issuerState) {
	size := entryCost + t.size() + len(f.raw)
	if size > c.limit {
		return
	}
	f.complete()
	e := &entry{fingerprint: f, token: t, key: k, issuer: issuer, size: size}
	s := &c.shards[f.index%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(s.entries[f.index])
	for s.size+e.size > c.limit {
		s.drop(s.victim())
	}
	s.entries[f.index] = e
	s.size += e.size
}

// drop removes an entry, which may be nil. The caller must hold mu.
func (s *shard) drop(e *entry) {
	if e != nil {
		delete(s.entries, e.index)
		s.size -= e.size
	}
}

// victim returns the least useful of a few entries: one whose key is retired, or the one that expires first. The random
// order of a map's range makes the choice fair, so no list of entries by age must be kept. The caller must hold mu, and
// the shard must not be empty.
func (s *shard) victim() (worst *entry) {
	n := 0
	for _, e := range s.entries {
		if worst == nil || e.key.retired.Load() || e.token.Expiry.Before(worst.token.Expiry) {
			worst = e
		}
		if n++; n == sample || worst.key.retired.Load() {
			break
		}
	}
	return worst
}
