package window

import "github.com/tallygate/tallygate/ratelimit"

// Stats reads what l holds: the keys that have asked within the window. It looks at eight keys at a time under a mutex
// that requests take, so a request waits for it no longer than for another request. It may be called once a second:
// with up to 16 million for MaxKeys it takes a few milliseconds at most. [ratelimit.Limiter.Stats] shows how to publish
// it.
func (l *Limiter[K]) Stats() ratelimit.Stats {
	if !l.configured() {
		return ratelimit.Stats{}
	}
	return l.engine.stats()
}

// Stats reads what the rule holds, as [Limiter.Stats] does. Keys that are within the limit count as well as those that
// are blocked.
func (r *RateRule) Stats() ratelimit.Stats {
	if !r.configured() {
		return ratelimit.Stats{}
	}
	return r.engine.stats()
}

// sample is how many slots Stats looks at before it estimates: 3 MB. A hash spreads the keys evenly over the shards, so
// the first shards stand for all. If they hold n keys, the standard error is one part in √n: 1 % for 10 000.
const sample = 1 << 16

// stats counts the keys that have a slot, or estimates them by the first shards.
func (e *engine) stats() ratelimit.Stats {
	keys, slots, now := 0, 0, e.now()
	for i := range e.shards {
		for g := 0; ; g++ {
			n, ok := e.shards[i].busy(g, now)
			if !ok {
				break
			}
			keys += n
			slots += ways
		}
		if slots >= sample {
			keys = int(int64(keys) * int64(len(e.shards)) / int64(i+1))
			break
		}
	}
	return ratelimit.Stats{Keys: keys, MaxKeys: e.maxKeys}
}

// busy counts the slots of a group that are not free. It reports false if the shard has no such group. It locks mu
// itself, unlike the other methods. So the shard may grow between two calls, and some of its keys then count twice or
// not at all.
func (sh *shard) busy(g int, now int64) (n int, ok bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if g >= len(sh.groups) {
		return 0, false
	}
	free, _ := sh.groups[g].free(sh.plan.at(now))
	return ways - free, true
}
