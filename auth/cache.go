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
	// entryCost is what an entry takes beside its texts and lists: entry and Token (about 500 bytes), its place in the
	// map.
	entryCost = 700
	// maxHashed is the longest token, in bytes, whose SHA-256 is taken at once. For a longer one it would be the greater
	// part of what a forged token costs.
	maxHashed = 2 << 10
	sample    = 8 // entries looked at to find one to drop
)

// cache remembers tokens that verified, so that the same token need not be verified again. What it remembers is only
// that the signature held and the issuer's own conditions were met: times, revocation and rules are looked at on
// every hit.
//
// A token is found by its SHA-256, over all its bytes, so the bearer token itself does not stay in memory; or, if
// raw, by a keyed hash and a comparison of all its bytes. A long token is looked for by the keyed hash, which is fast,
// and its SHA-256 is taken only where there is an entry to compare it with, or when it has verified.
type cache struct {
	raw    bool
	seed   maphash.Seed
	limit  int // bytes per shard
	shards [shards]shard
}

type shard struct {
	mu      sync.RWMutex
	entries map[uint64]*entry
	size    int
	_       [24]byte // with the fields before, a cache line of 64 bytes
}

// entry is one verified token with the key that verified it. Immutable.
type entry struct {
	fingerprint
	token  *Token
	key    *key
	issuer *issuerState
	size   int
}

// fingerprint stands for a whole token. Two complete fingerprints are of the same token if and only if they are equal.
type fingerprint struct {
	index   uint64
	sum     [sha256.Size]byte
	raw     string
	pending string // the token whose sum is still to be taken
}

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

// complete takes the sum that is pending.
func (f *fingerprint) complete() {
	if f.pending != "" {
		f.sum, f.pending = sum(f.pending), ""
	}
}

// sum is the SHA-256 of a token. The hash only reads: no copy of the token is needed.
func sum(raw string) [sha256.Size]byte {
	return sha256.Sum256(unsafe.Slice(unsafe.StringData(raw), len(raw)))
}

// get returns the entry of a token, or nil. Its key may have retired since.
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

// put remembers a verified token and drops others until the shard is within its bytes.
func (c *cache) put(f fingerprint, t *Token, k *key, issuer *issuerState) {
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

func (s *shard) drop(e *entry) {
	if e != nil {
		delete(s.entries, e.index)
		s.size -= e.size
	}
}

// victim is, of a few entries that the map's random order brings first, the one that is of least further use.
func (s *shard) victim() (worst *entry) {
	n := 0
	for _, e := range s.entries {
		if worst == nil || e.key.retired.Load() || e.token.expiry.Before(worst.token.expiry) {
			worst = e
		}
		if n++; n == sample || worst.key.retired.Load() {
			break
		}
	}
	return worst
}
