package sigv4

import (
	"crypto/sha256"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
)

// keyCache remembers signing keys by secret, day, region and service, so that the five HMACs of a key are computed once
// a day. The secret is part of what is compared, so that a secret that was replaced is never served by its old key.
//
// Reading takes no lock, because a key in a table never changes. A full table is replaced by a new one, without the
// keys of earlier days and, if it would be too large, without the oldest. A goroutine that still reads the old table
// finds what it had; at worst it misses a new key, and add then looks for that in the new table.
//
// A sync.Map of the hashes would need half the code. With one key it is as fast. With ten thousand keys in turn it
// makes a whole verification about 7 % slower, because each lookup waits for memory several times.
type keyCache struct {
	seed  maphash.Seed
	table atomic.Pointer[keyTable]
	mu    sync.Mutex // must be held to add a key
	scope string     // of the key added last; keys with the same scope share the string; guarded by mu
}

// keyTable is a hash table with open addressing: a key is at the place that its hash names or, if other keys have taken
// that, at the next one that was free. Its keys are in the order in which they were added.
//
// For example, the fifth key of a table with 32 places, whose hash is 0x…1f, is keys[4], and places[31] holds its tag
// and the number 5. If places[31] is taken, places[0] holds them.
//
// If thousands of keys are in use in turn, a lookup costs what it waits for memory. Here it waits once, for the key
// itself: the places are small enough to be in a near cache, and the tag in a place tells most other keys apart without
// a look at them.
type keyTable struct {
	places []atomic.Uint32 // above, a tag of bits of the key's hash; below, its number from 1; zero is empty
	keys   []cachedKey
	held   int // how many keys there are; guarded by keyCache.mu
}

// The number of keys in a table is a power of 2. With 4 places for each key, most keys are found at the first place. A
// table of 65 536 keys takes 9 MiB.
const (
	minKeys = 8
	maxKeys = 1 << 16

	placesPerKey = 4
	numberBits   = 17 // for 1 to maxKeys; the other 15 are the tag
)

// cachedKey is a signing key: derived from a secret, or given by the key source (bare). Bare tells a signing key from a
// secret that has the same bytes. It fills two cache lines, since large tables begin at a page: the first line is what
// is compared, the second what is used.
type cachedKey struct {
	hash   uint64
	scope  string // YYYYMMDD/region/service/aws4_request
	secret string // if bare, the bytes of the signing key
	bare   bool
	_      [23]byte // up to 64 bytes
	mac    mac
}

// is reports whether k is the key for the secret or signing key, date and scope. hash is the hash of all three.
func (k *cachedKey) is(hash uint64, key *Key, date, scope string) bool {
	if k.hash != hash || k.scope[:len(day)] != date || k.scope[len(day):] != scope {
		return false
	}
	if k.bare {
		return key.Secret == "" && k.secret == string(key.SigningKey)
	}
	return k.secret == string(key.Secret)
}

func newKeyCache() *keyCache {
	c := &keyCache{seed: maphash.MakeSeed()}
	c.table.Store(newKeyTable(minKeys))
	return c
}

// get returns the key for a date, YYYYMMDD, and the rest of the scope, "/region/service/aws4_request". It derives and
// adds a key that the table does not have. The seed is random, so that nobody can choose keys with one hash.
func (c *keyCache) get(key *Key, date, scope string) *mac {
	hash := maphash.String(c.seed, date) ^ maphash.String(c.seed, scope)
	if key.Secret != "" {
		hash ^= maphash.String(c.seed, string(key.Secret))
	} else {
		hash ^= maphash.String(c.seed, string(key.SigningKey))
	}
	if m := c.table.Load().find(hash, key, date, scope); m != nil {
		return m
	}
	return c.add(hash, key, date, scope)
}

// add derives a key and adds it, unless another goroutine was faster. It derives the key before it takes the lock, so
// that goroutines derive different keys at the same time.
func (c *keyCache) add(hash uint64, key *Key, date, scope string) *mac {
	k := cachedKey{hash: hash, secret: string(key.Secret)}
	if key.Secret != "" {
		part := strings.Split(scope, "/")
		k.mac = newMAC(deriveKey(key.Secret, date, part[1], part[2]))
	} else {
		k.mac, k.secret, k.bare = newMAC([sha256.Size]byte([]byte(key.SigningKey))), string(key.SigningKey), true
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

// tag returns the bits of a hash that a place holds.
func tag(hash uint64) uint32 { return uint32(hash>>32) >> numberBits }

// find returns the key, or nil if the table does not have it. It takes no lock. It ends, because at least three of four
// places are empty.
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

// insert adds a key. The table must have room, and the caller must hold mu or be the only one to know the table.
func (t *keyTable) insert(k *cachedKey) *mac {
	at := &t.keys[t.held]
	*at = *k
	t.held++
	i := uint64(0)
	for t.place(k.hash, i).Load() != 0 {
		i++
	}
	t.place(k.hash, i).Store(tag(k.hash)<<numberBits | uint32(t.held)) // last: a reader that sees the place sees the key
	return &at.mac
}

// renew returns a table with room for more keys, without the keys of days before the date. If more than half of the
// keys remain, the new table is twice as large; at maxKeys it holds only the younger half. So a new table has room for
// at least as many new keys as were copied into it.
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
