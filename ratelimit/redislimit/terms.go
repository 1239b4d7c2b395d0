package redislimit

import (
	"math"
	"time"

	"github.com/tallygate/tallygate/ratelimit"
)

const (
	// lease bounds the tokens that a node may hold of a bucket: as many as flow into it in this time. So a node that
	// uses all of the rate asks the server about 100 times a second, and one that uses an eighth of it, 12 times.
	// Longer leases would save few calls, and take more of the burst away.
	lease = 10 * time.Millisecond
	// leastHold is the fewest tokens for which a lease pays. If a node could hold fewer, the bucket is strict. So a
	// leased bucket has a rate of at least 800 a second, and a burst of at least 32 for each node.
	leastHold = 8
)

// terms are what a limit means on the server and on a node. See the package documentation for the arithmetic.
type terms struct {
	limit ratelimit.Limit
	rate  float64 // tokens per microsecond
	burst float64 // on the server, where it is lower than the limit's
	hold  int64   // the most tokens that a node holds; 0 is strict
}

// terms expects a valid limit.
func (c *Config) terms(l ratelimit.Limit) terms {
	t := terms{limit: l, rate: l.Rate / 1e6}
	if t.unlimited() {
		return t
	}
	// A quarter of the burst, shared by the nodes, bounds what they hold: three quarters stay on the server for the nodes
	// that need them.
	burst, nodes := float64(l.Burst), float64(c.Nodes)
	if hold := math.Floor(min(l.Rate*lease.Seconds(), burst/(4*nodes))); hold >= leastHold {
		t.hold = int64(hold)
	}
	t.burst = max(burst-l.Rate*c.Budget.Seconds()-nodes*float64(t.hold), 1)
	return t
}

// unlimited reports whether the limit bounds nothing. Such a bucket is never asked for: the script cannot count with an
// infinite rate.
func (t *terms) unlimited() bool { return math.IsInf(t.limit.Rate, 1) }

// share returns a node's part of the limit for [LocalShare]. Its burst is at least one token, or it would refuse
// everything. A bucket of package ratelimit cannot fill slower than in 36.5 years, so a share that would has the rate
// 0.
func (c *Config) share(l ratelimit.Limit) ratelimit.Limit {
	share := ratelimit.Limit{Rate: l.Rate / float64(c.Nodes), Burst: max(l.Burst/int64(c.Nodes), 1)}
	if share.Validate() != nil {
		share.Rate = 0
	}
	return share
}
