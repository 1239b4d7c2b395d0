package window

import (
	"time"

	"github.com/tallygate/tallygate/ratelimit"
)

// An Engine is the engine with the instant of each call in the hands of the test, since it began.
type Engine struct{ engine *engine }

func NewEngine(a AtMost, maxKeys int, countRefused bool) Engine {
	return Engine{newEngine(a, maxKeys, countRefused)}
}

func (e Engine) TakeAt(now time.Duration, key uint64, n int64) ratelimit.Decision {
	sh := e.shard(now, key)
	o := sh.take(fingerprint(key), int64(now), n, e.engine.countRefused, e.engine.maxGroups)
	return o.decision()
}

func (e Engine) LookAt(now time.Duration, key uint64, n int64) ratelimit.Decision {
	sh := e.shard(now, key)
	o := sh.look(fingerprint(key), int64(now), n)
	return o.decision()
}

func (e Engine) SetLimit(a AtMost) { e.engine.plan.Store(newPlan(a)) }

func (e Engine) shard(now time.Duration, key uint64) *shard {
	sh := &e.engine.shards[key>>e.engine.shift]
	sh.settle(e.engine.plan.Load(), int64(now))
	return sh
}

// Shared reports how many shards have overflow cells.
func (e Engine) Shared() (n int) {
	for i := range e.engine.shards {
		if e.engine.shards[i].cells != nil {
			n++
		}
	}
	return n
}
