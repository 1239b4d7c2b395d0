package sigv4

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
)

// keyCache remembers signing keys by secret, day, region and service, so that a key costs its five HMACs once a day. The
// secret is part of what is looked up, hence a secret that was replaced never meets its old key.
//
// It is a hash table of fixed-size sets which grows until [maxSets] and then forgets. Reading it takes no lock.
type keyCache struct {
	seed  maphash.Seed
	table atomic.Pointer[[]keySet]
	mu    sync.Mutex // held to change the table
	scope string     // the scope of the key added last, shared by those that have the same one
}

// A set of 8 pointers is one cache line of 64 bytes.
type keySet [8]atomic.Pointer[cachedKey]

// 8192 sets of 8 are 65 536 keys and 512 KiB of pointers. Ten thousand keys in use at once fill a set above 8 with a
// probability below 1 in 100 000, so that they do not displace each other.
const (
	minSets = 8
	maxSets = 8192
)

// cachedKey is the key that a secret yields for a scope, or the one that was given in place of a secret. It fills two cache
// lines: what is compared, and what is used.
type cachedKey struct {
	hash   uint64
	scope  string // YYYYMMDD/region/service/aws4_request
	secret string // the bytes of the signing key if bare
	bare   bool
	_      [23]byte // up to 64 bytes; 128 are allocated at a multiple of 128
	mac    mac
}

func (c *cachedKey) is(hash uint64, key *Key, scope []byte) bool {
	if c == nil || c.hash != hash || c.scope != string(scope) {
		return false
	}
	if c.bare {
		return key.Secret == "" && c.secret == string(key.SigningKey[:])
	}
	return c.secret == string(key.Secret)
}

func newKeyCache() *keyCache {
	c := &keyCache{seed: maphash.MakeSeed()}
	c.table.Store(new(make([]keySet, minSets)))
	return c
}

// get returns the key for a scope.
func (c *keyCache) get(key *Key, scope []byte) *mac {
	hash := maphash.Bytes(c.seed, scope)
	if key.Secret != "" {
		hash ^= maphash.String(c.seed, string(key.Secret))
	} else {
		hash ^= maphash.Bytes(c.seed, key.SigningKey[:])
	}
	table := *c.table.Load()
	set := &table[hash%uint64(len(table))]
	for i := range uint64(len(set)) {
		if k := set[place(hash, i)].Load(); k.is(hash, key, scope) {
			return &k.mac
		}
	}
	return c.add(hash, key, string(scope))
}

func (c *keyCache) add(hash uint64, key *Key, scope string) *mac {
	k := &cachedKey{hash: hash, secret: string(key.Secret)}
	if key.Secret != "" {
		part := strings.Split(scope, "/")
		k.mac = newMAC(DeriveKey(key.Secret, part[0], part[1], part[2]))
	} else {
		k.mac, k.secret, k.bare = newMAC(key.SigningKey), string(key.SigningKey[:]), true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.scope != scope {
		c.scope = scope
	}
	k.scope = c.scope
	for table := *c.table.Load(); !insert(table, k); table = *c.table.Load() {
		if len(table) == maxSets {
			table[hash%maxSets][place(hash, 0)].Store(k) // forgets another
			break
		}
		c.grow(table)
	}
	return &k.mac
}

// insert puts the key where there is room, or in the place of a key of an earlier day.
func insert(table []keySet, k *cachedKey) bool {
	set := &table[k.hash%uint64(len(table))]
	for i := range uint64(len(set)) {
		at := &set[place(k.hash, i)]
		if old := at.Load(); old == nil || old.scope[:len(day)] < k.scope[:len(day)] {
			at.Store(k)
			return true
		}
	}
	return false
}

// place returns where in a set to look for a hash at the i-th try. The topmost bits choose the first, so that most keys are
// found without looking at another, each of which would be fetched from memory.
func place(hash, i uint64) uint64 { return (hash>>61 + i) % 8 }

// grow doubles the table. Keys that were in one set come into two, so there is always room for them.
func (c *keyCache) grow(old []keySet) {
	table := make([]keySet, 2*len(old))
	for i := range old {
		for j := range old[i] {
			if k := old[i][j].Load(); k != nil {
				insert(table, k)
			}
		}
	}
	c.table.Store(&table)
}
