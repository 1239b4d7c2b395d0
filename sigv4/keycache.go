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
// Reading it takes no lock: what is in a table stays as it is. A full table is made anew, without what is too old or too
// much.
type keyCache struct {
	seed  maphash.Seed
	table atomic.Pointer[keyTable]
	mu    sync.Mutex // held to add a key
	scope string     // the scope of the key added last, shared by those that have the same one
}

// keyTable is a hash table with open addressing whose keys stand in the order in which they came.
//
// Where thousands of keys are in use in turn, a lookup costs what it waits for memory. Here that is one wait, for the key:
// its place is small enough to be in a near cache, and the tag there tells most other keys without a look at them.
type keyTable struct {
	places []atomic.Uint32 // bits of a key's hash, the tag, above its number in keys from 1; zero is an empty place
	keys   []cachedKey
	held   int // of keys; guarded by keyCache.mu
}

// The number of keys in a table is a power of 2. With 4 places for each key, most keys are found at the first
// one. A table of 65 536 keys takes 9 MiB.
const (
	minKeys = 8
	maxKeys = 1 << 16

	placesPerKey = 4
	numberBits   = 17 // for 1 to maxKeys; the other 15 are the tag
)

// cachedKey is the key that a secret yields for a scope, or the one that was given in place of a secret. It fills two cache
// lines, as large tables begin with a page: what is compared, and what is used.
type cachedKey struct {
	hash   uint64
	scope  string // YYYYMMDD/region/service/aws4_request
	secret string // the bytes of the signing key if bare
	bare   bool
	_      [23]byte // up to 64 bytes
	mac    mac
}

func (k *cachedKey) is(hash uint64, key *Key, date, scope string) bool {
	if k.hash != hash || k.scope[:len(day)] != date || k.scope[len(day):] != scope {
		return false
	}
	if k.bare {
		return key.Secret == "" && k.secret == string(key.SigningKey[:])
	}
	return k.secret == string(key.Secret)
}

func newKeyCache() *keyCache {
	c := &keyCache{seed: maphash.MakeSeed()}
	c.table.Store(newKeyTable(minKeys))
	return c
}

// get returns the key for a scope, which is a date, YYYYMMDD, and "/region/service/aws4_request".
func (c *keyCache) get(key *Key, date, scope string) *mac {
	hash := maphash.String(c.seed, date) ^ maphash.String(c.seed, scope)
	if key.Secret != "" {
		hash ^= maphash.String(c.seed, string(key.Secret))
	} else {
		hash ^= maphash.Bytes(c.seed, key.SigningKey[:])
	}
	if m := c.table.Load().find(hash, key, date, scope); m != nil {
		return m
	}
	return c.add(hash, key, date, scope)
}

func (c *keyCache) add(hash uint64, key *Key, date, scope string) *mac {
	k := cachedKey{hash: hash, secret: string(key.Secret)}
	if key.Secret != "" {
		part := strings.Split(scope, "/")
		k.mac = newMAC(DeriveKey(key.Secret, date, part[1], part[2]))
	} else {
		k.mac, k.secret, k.bare = newMAC(key.SigningKey), string(key.SigningKey[:]), true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.table.Load()
	if m := t.find(hash, key, date, scope); m != nil { // another goroutine was faster
		return m
	}
	if full := date + scope; c.scope != full {
		c.scope = full
	}
	k.scope = c.scope
	if t.held == len(t.keys) {
		t = t.renew(date)
		c.table.Store(t)
	}
	return t.insert(&k)
}

func newKeyTable(keys int) *keyTable {
	return &keyTable{places: make([]atomic.Uint32, placesPerKey*keys), keys: make([]cachedKey, keys)}
}

// place returns the i-th place to look at for a hash.
func (t *keyTable) place(hash, i uint64) *atomic.Uint32 {
	return &t.places[(hash+i)&uint64(len(t.places)-1)] // their number is a power of 2
}

func tag(hash uint64) uint32 { return uint32(hash>>32) >> numberBits }

// find returns nil if the table does not hold the key.
func (t *keyTable) find(hash uint64, key *Key, date, scope string) *mac {
	for i := uint64(0); ; i++ {
		place := t.place(hash, i).Load()
		if place == 0 {
			return nil
		}
		if place>>numberBits == tag(hash) {
			if k := &t.keys[place&(1<<numberBits-1)-1]; k.is(hash, key, date, scope) {
				return &k.mac
			}
		}
	}
}

// insert adds a key, for which there is room.
func (t *keyTable) insert(k *cachedKey) *mac {
	at := &t.keys[t.held]
	*at = *k
	t.held++
	i := uint64(0)
	for t.place(k.hash, i).Load() != 0 {
		i++
	}
	t.place(k.hash, i).Store(tag(k.hash)<<numberBits | uint32(t.held)) // last, for those who read
	return &at.mac
}

// renew returns a table with room, without the keys of earlier days. If more than half of the keys remain it is twice as
// large, or holds the younger half where it would be too large.
func (t *keyTable) renew(date string) *keyTable {
	remain := make([]*cachedKey, 0, len(t.keys))
	for i := range t.keys {
		if k := &t.keys[i]; k.scope[:len(day)] >= date {
			remain = append(remain, k)
		}
	}
	size := len(t.keys)
	if len(remain) > size/2 {
		size = min(2*size, maxKeys)
	}
	renewed := newKeyTable(size)
	for _, k := range remain[max(len(remain)-size/2, 0):] {
		renewed.insert(k)
	}
	return renewed
}
