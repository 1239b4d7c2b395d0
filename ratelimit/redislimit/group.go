package redislimit

import (
	"fmt"
	"hash/maphash"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/tallygate/tallygate/ratelimit"
)

// A group is what a node knows of the buckets of one group. Its mutex guards it and its buckets.
type group struct {
	mu       sync.Mutex
	name     string
	lane     *lane
	calls    int  // calls that are under way
	fetching bool // a call for the stock is under way
	gone     bool // forgotten: another group of this name may exist
	buckets  map[string]*bucket
}

// A bucket is what a node knows of a bucket on the server. Instants are readings of Limiter.now.
type bucket struct {
	terms
	group *group
	key   any // the string by which the server knows it

	level  float64       // tokens on the server by the last answer
	seen   time.Duration // when that answer was asked for
	denied time.Duration // no token comes before this instant

	// For a leased bucket. The tokens in stock were taken from the server before they are needed. held also counts the
	// tokens that the server has been asked for. It exceeds hold only for a moment after the limit has become lower.
	stock, held int64
	block       int64         // how many to ask for
	fetched     time.Duration // when the last block was asked for

	// For a strict bucket. It has no stock, so tokens that are given back go to the server with the next call.
	back    int64
	since   float64 // the instant from which they count, in microseconds of the server's clock; see giveBack
	granted float64 // the time of the last answer, by the same clock

	alone *ratelimit.Bucket // the local share; nil before an outage first needs it
}

// bucket returns the bucket of a name under a limit. The caller holds the mutex.
func (g *group) bucket(c *Config, name string, limit ratelimit.Limit) (*bucket, error) {
	b := g.buckets[name]
	if b != nil && b.limit == limit {
		return b, nil
	}
	if err := limit.Validate(); err != nil {
		return nil, fmt.Errorf("redislimit: %w: %w", ratelimit.ErrNotConfigured, err)
	}
	if b == nil {
		name = strings.Clone(name)
		b = &bucket{group: g, key: keyName(c.Namespace, g.name, name), block: 1}
		g.buckets[name] = b
	}
	b.change(c.terms(limit))
	return b, nil
}

// change gives the bucket another limit. The last answer was about the old one, so it is forgotten. The next request
// then asks the server. Until its answer, the node takes the bucket for full. The stock stays as far as the new limit
// lets a node hold it: its tokens were taken from the server, whatever the limit is.
func (b *bucket) change(t terms) {
	b.terms, b.level, b.seen, b.denied, b.alone = t, t.burst, 0, 0, nil
	b.trim()
}

// trim drops the tokens in stock beyond what the node may hold. They flow back on the server.
func (b *bucket) trim() {
	if over := b.stock - b.hold; over > 0 {
		b.stock, b.held = b.stock-over, b.held-over
	}
}

// spend takes a token of the stock, which is not empty.
func (b *bucket) spend() { b.stock, b.held = b.stock-1, b.held-1 }

// low reports whether more should be asked for in advance. That is so when half of a block is left: this half serves
// requests while the next block is under way. Meanwhile held is more than stock, so no second block is asked for.
func (b *bucket) low(now time.Duration) bool {
	return b.hold > 0 && b.held == b.stock && b.stock <= b.block/2 && now >= b.denied
}

// ahead returns how many tokens to ask for in advance at the instant now. It is 0 if some are under way, or if enough
// are in stock. A block that was used up within a lease was too small, so the next is twice as large. One that has
// lasted longer was too large, so the next is half as large. A node that needs few tokens thus keeps few from the
// others.
//
// For example, let hold be 20, and requests come at 2 000 a second, which is 20 in a lease. The blocks are of 1, 2, 4,
// 8, 16 and then of 20 tokens, since half of each is used up within a lease. When 10 tokens are left of a block of 20,
// the next one is asked for, but only 20 - 10 = 10 fit. If then only 50 requests a second come, 10 tokens last for
// 200 ms, and the next blocks are of 10, 5, 2 and 1 tokens.
func (b *bucket) ahead(now time.Duration) int64 {
	if !b.low(now) {
		return 0
	}
	if now-b.fetched < lease {
		b.block *= 2
	} else {
		b.block /= 2
	}
	b.block = min(max(b.block, 1), b.hold)
	n := min(b.block, b.hold-b.held)
	if n > 0 {
		b.held, b.fetched = b.held+n, now
	}
	return n
}

// arrived adds the tokens that have come, of n that were asked for in advance, to the stock. Those that have not come
// are no longer held. The limit may have become lower meanwhile.
func (b *bucket) arrived(n, come int64) {
	b.held -= n - come
	b.stock += come
	b.trim()
}

// saw takes in what the server has left, by an answer that was asked for at the instant sent. Less than one token means
// that requests are refused until one can have flowed in.
func (b *bucket) saw(level float64, sent time.Duration) {
	b.level, b.seen, b.denied = level, sent, 0
	if level < 1 {
		b.denied = sent + min(b.until(1, sent), maxDenial)
	}
}

// maxDenial is how long a refusal is remembered at most. There may be a token earlier than the rate says, because
// another node has given one back, or an operator has deleted the key.
const maxDenial = time.Minute

// at returns how many tokens the server has at the instant now, as far as this node knows. The server may have fewer,
// because other nodes take from the bucket too. It has more only if a node has given tokens back, or the server has
// lost data.
func (b *bucket) at(now time.Duration) float64 {
	return min(b.level+b.rate*float64(max(now-b.seen, 0))/1e3, b.burst) // the rate is for microseconds
}

// has reports whether there is a token, as far as this node knows.
func (b *bucket) has(now time.Duration) bool {
	return b.unlimited() || b.stock > 0 || now >= b.denied && b.at(now) >= 1
}

// until returns how long it takes, as far as this node knows, until the server has so many tokens. At a rate of 0 that
// is [ratelimit.Never].
func (b *bucket) until(tokens float64, now time.Duration) time.Duration {
	missing := tokens - b.at(now)
	if missing <= 0 {
		return 0
	}
	if wait := math.Ceil(missing / b.rate * 1e3); wait < math.MaxInt64 {
		return time.Duration(wait)
	}
	return ratelimit.Never
}

// decide fills a decision with what this node knows of the bucket. Numbers may be too high by what other nodes have
// taken since the last answer. RetryAfter of a refusal is at least 1 ns, because 0 would say that it is unknown.
func (b *bucket) decide(ok bool, now time.Duration, d *ratelimit.Decision) {
	if b.unlimited() {
		*d = ratelimit.Decision{OK: ok, Limit: math.MaxInt64, Remaining: math.MaxInt64}
		if !ok { // the bucket was limited when the server was asked
			d.Remaining, d.RetryAfter = 0, 1
		}
		return
	}
	*d = ratelimit.Decision{OK: ok, Limit: b.limit.Burst, ResetAfter: b.until(b.burst, now)}
	d.Remaining = min(int64(max(b.at(now), 0))+b.stock, b.limit.Burst)
	if !ok {
		d.Remaining, d.RetryAfter = 0, max(b.until(1, now), 1)
	}
}

// giveBack takes a token back that Take has granted. If the stock is full, the token is dropped, and flows back on the
// server.
//
// The tokens of a strict bucket wait for the next call, and all have one instant: that of the last answer when the
// first of them came back. The script returns them less what has flowed in since then. That is less than it could
// return for tokens that were taken later. For one that was taken earlier, it may be more, which is why
// [Limiter.GiveBack] asks to be called within a Budget.
func (b *bucket) giveBack() {
	switch {
	case b.hold > 0 && b.held < b.hold:
		b.stock, b.held = b.stock+1, b.held+1
	case b.hold == 0 && b.granted > 0:
		if b.back == 0 {
			b.since = b.granted
		}
		b.back, b.denied = b.back+1, 0
	}
}

// groups are the groups of a limiter, spread over shards by a hash, so that requests of different groups seldom wait
// for one lock. The lock of a shard is held only to find, add or delete, and never while a group's mutex is waited for:
// a group may be locked by a request for long.
type groups struct {
	seed   maphash.Seed
	most   int // groups in a shard
	shards [64]struct {
		mu     sync.RWMutex
		groups map[string]*group
	}
}

// newGroups returns groups that remember about most groups. Each shard has its share, rounded up.
func newGroups(most int) *groups {
	g := &groups{seed: maphash.MakeSeed()}
	g.most = (most + len(g.shards) - 1) / len(g.shards)
	for i := range g.shards {
		g.shards[i].groups = make(map[string]*group)
	}
	return g
}

// lock returns the group of a name, with its mutex held. It makes one if there is none. Another goroutine may forget
// the group after it was found and before it is locked. Then lock looks again: two groups of one name would hold two
// stocks, which is more than the bound allows.
func (g *groups) lock(name string, lanes []lane) *group {
	s := &g.shards[maphash.String(g.seed, name)%uint64(len(g.shards))]
	for {
		s.mu.RLock()
		found := s.groups[name]
		s.mu.RUnlock()
		if found == nil {
			found = g.add(name, lanes)
		}
		found.mu.Lock()
		if !found.gone {
			return found
		}
		found.mu.Unlock()
	}
}

// add makes a group, and forgets others if there are too many. It looks at eight of them at most, because it holds the
// lock of the shard. If all eight are in use, the shard grows, and later calls of add make it smaller again.
func (g *groups) add(name string, lanes []lane) *group {
	s := &g.shards[maphash.String(g.seed, name)%uint64(len(g.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.groups[name]; found != nil {
		return found
	}
	seen := 0
	for other, old := range s.groups { // in a random order
		if len(s.groups) < g.most || seen == 8 {
			break
		}
		seen++
		if old.forget() {
			delete(s.groups, other)
		}
	}
	name = strings.Clone(name)
	made := &group{name: name, lane: &lanes[int(place(name))%len(lanes)], buckets: make(map[string]*bucket, 1)}
	s.groups[name] = made
	return made
}

// forget ends the group unless somebody uses it, and reports whether it has. Its stock is lost, and flows back on the
// server. A group whose mutex is held is in use, so forget does not wait for it.
func (g *group) forget() bool {
	if !g.mu.TryLock() {
		return false
	}
	defer g.mu.Unlock()
	g.gone = g.calls == 0
	return g.gone
}

// find returns the group of a name with its mutex held, or nil if the process does not remember it.
func (g *groups) find(name string) *group {
	s := &g.shards[maphash.String(g.seed, name)%uint64(len(g.shards))]
	s.mu.RLock()
	found := s.groups[name]
	s.mu.RUnlock()
	if found == nil {
		return nil
	}
	found.mu.Lock()
	if found.gone {
		found.mu.Unlock()
		return nil
	}
	return found
}

// count returns how many groups there are. The shards are counted one after the other, so it is no exact number under
// load.
func (g *groups) count() (n int) {
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.RLock()
		n += len(s.groups)
		s.mu.RUnlock()
	}
	return n
}
