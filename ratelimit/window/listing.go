package window

import (
	"cmp"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Limited is a key that a [RateRule] blocks now.
type Limited struct {
	// Key holds the values of the rule's components, in their order, each cut off after 256 bytes. An IPv6 client is
	// its network. Of a [Constant] the value is "".
	Key []string
	// Requests is how many the window holds, those blocked included. It is the limit or more; far above, it may say
	// less than was sent.
	Requests int64
	// RetryAfter is how long it takes until a request would pass, if none comes before. A request that is blocked
	// counts too, and moves that instant.
	RetryAfter time.Duration
}

// maxListed is how many keys are listed, as in AWS. There it is also how many are blocked; here all are.
const maxListed = 10_000

// A listing holds the values of keys that were blocked, since a table knows them by their hashes only. The first
// blocked request of a key adds it. A key that is no longer blocked is dropped when room is needed.
type listing struct {
	total   atomic.Int64
	stripes [16]stripe
}

type stripe struct {
	mu    sync.Mutex
	keys  map[fingerprint][]string
	swept int64
}

// Limited lists the keys that the rule blocks now, those with most requests first: AWS's
// GetRateBasedStatementManagedKeys, for all components. It lists 10 000 keys at most. If more are blocked, the ones
// that were blocked later are left out. A key that has used up its limit and not come back since is not listed.
func (r *RateRule) Limited() []Limited {
	if !r.configured() {
		return nil
	}
	var all []Limited
	for i := range r.listed.stripes {
		s := &r.listed.stripes[i]
		s.mu.Lock()
		for f, key := range s.keys {
			if o := r.engine.look(f, 1); !o.ok {
				all = append(all, Limited{Key: slices.Clone(key), Requests: o.count(), RetryAfter: o.wait()})
			}
		}
		s.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b Limited) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), slices.Compare(a.Key, b.Key))
	})
	return all
}

// list notes the key of a request that was blocked.
func (r *RateRule) list(f fingerprint, req *http.Request) {
	s := &r.listed.stripes[f%fingerprint(len(r.listed.stripes))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.keys[f]; ok {
		return
	}
	if r.listed.total.Add(1) > maxListed && !r.sweep(s) {
		r.listed.total.Add(-1)
		return
	}
	if s.keys == nil {
		s.keys = make(map[fingerprint][]string)
	}
	key := make([]string, len(r.config.Aggregate))
	for i, c := range r.config.Aggregate {
		key[i] = c.text(req)
	}
	s.keys[f] = key
}

// sweep drops the keys of a stripe that are no longer blocked, at most once a second. It reports whether there is room
// now; the caller must hold the stripe's mutex.
func (r *RateRule) sweep(s *stripe) bool {
	now := r.engine.now()
	if s.swept > 0 && now-s.swept < int64(time.Second) {
		return false
	}
	s.swept = now
	for f := range s.keys {
		if r.engine.look(f, 1).ok {
			delete(s.keys, f)
			r.listed.total.Add(-1)
		}
	}
	return r.listed.total.Load() <= maxListed
}
