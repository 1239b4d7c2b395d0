package window

import (
	"sync/atomic"
	"time"

	"github.com/tallygate/tallygate/ratelimit"
)

const (
	defaultMaxKeys = 1 << 20
	// keysPerShard bounds how long a shard's mutex is held while its table grows or its counts go over to another
	// limit: for a copy of 120 kB.
	keysPerShard = 2048
)

// An engine counts for any number of keys, each known by its [fingerprint].
//
// Every decision is made under the mutex of its key's shard, and at an instant that is read there, so the order of the
// decisions about a key is that of their instants. A change of the limit publishes another plan and is done; each shard
// carries its counts over when it is next asked.
type engine struct {
	epoch        time.Time
	plan         atomic.Pointer[plan]
	shards       []shard
	shift        uint8 // 64 - log2(len(shards))
	maxKeys      int
	maxGroups    int  // of a shard
	countRefused bool // what is refused counts, too
}

// newEngine has room for maxKeys keys, at 48 × 9/8 = 54 bytes each, and for their cells, at 4 bytes each.
func newEngine(a AtMost, maxKeys int, countRefused bool) *engine {
	if maxKeys == 0 {
		maxKeys = defaultMaxKeys
	}
	e := &engine{epoch: time.Now(), shift: 64, maxKeys: maxKeys, countRefused: countRefused}
	for maxKeys>>(64-e.shift) > keysPerShard {
		e.shift--
	}
	e.shards = make([]shard, 1<<(64-e.shift))
	each := (maxKeys + len(e.shards) - 1) / len(e.shards)
	e.maxGroups = (each*9/8 + ways - 1) / ways
	e.plan.Store(newPlan(a))
	return e
}

func (e *engine) now() int64 { return int64(time.Since(e.epoch)) }

// lock returns the shard of a fingerprint, locked and brought to the plan in force, and the instant of the call.
func (e *engine) lock(f fingerprint) (sh *shard, now int64) {
	sh = &e.shards[f>>e.shift]
	sh.mu.Lock()
	now = e.now()
	sh.settle(e.plan.Load(), now)
	return sh, now
}

func (e *engine) take(f fingerprint, n int64) outcome {
	sh, now := e.lock(f)
	defer sh.mu.Unlock()
	return sh.take(f, now, n, e.countRefused, e.maxGroups)
}

// look returns what a take of n would come to.
func (e *engine) look(f fingerprint, n int64) outcome {
	sh, now := e.lock(f)
	defer sh.mu.Unlock()
	return sh.look(f, now, n)
}

// An outcome is what a call came to, and what a [ratelimit.Decision] is computed from.
type outcome struct {
	plan *plan
	now  int64 // nanoseconds since the engine's epoch
	n    int64
	ok   bool
	ring ring // of the key, after the call
}

func (o *outcome) decision() ratelimit.Decision {
	if o.plan == nil {
		return ratelimit.Decision{RetryAfter: ratelimit.Never}
	}
	return ratelimit.Decision{
		OK:         o.ok,
		Limit:      o.plan.limit.Limit,
		Remaining:  max(o.plan.limit.Limit-o.count(), 0),
		RetryAfter: o.wait(),
		ResetAfter: time.Duration(max(o.ring.whole(o.plan)-o.now, 0)),
	}
}

// count is how many are held against the key.
func (o *outcome) count() int64 { return o.ring.count(o.plan) }

func (o *outcome) wait() time.Duration {
	if o.ok {
		return 0
	}
	if at := o.ring.room(o.plan, o.n); at > 0 {
		return time.Duration(at - o.now)
	}
	return ratelimit.Never
}

// field describes the outcome in the IETF header fields, under a policy's name.
func (o *outcome) field(name string) ratelimit.Field {
	if name == "" || o.plan == nil {
		return ratelimit.Field{}
	}
	d := o.decision()
	return ratelimit.Field{Name: name, Quota: d.Limit, Window: o.plan.limit.Window, Remaining: d.Remaining, Reset: d.ResetAfter}
}
