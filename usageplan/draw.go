package usageplan

import (
	"time"

	"github.com/tallygate/tallygate/ratelimit"
)

// draws are the buckets from which a request takes a token, in order, and their layers. A request has at most four: two
// of its client and two that all clients share. They are drawn in two steps, before and after the ledger.
type draws struct {
	n      int
	refs   [2]ratelimit.Ref
	layers [2]limited
}

// limited is a layer and its limit. The limit is that of the plan's version that the request has found. It may differ
// from that of the bucket for a moment, while the plan is changed.
type limited struct {
	layer layer
	limit *ratelimit.Limit
}

func (d *draws) add(l layer, limit *ratelimit.Limit, ref ratelimit.Ref) {
	d.refs[d.n], d.layers[d.n] = ref, limited{l, limit}
	d.n++
}

// ofClient adds the client's own throttles.
func (d *draws) ofClient(q *Request, p *match) {
	if p.methods != nil {
		if ref, limit := p.methods.of(q.Client, method{q.Route.Resource, q.Route.Method}); limit != nil {
			d.add(planMethodThrottle, limit, ref)
		}
	}
	if limit := p.limit(); limit != nil {
		d.add(planThrottle, limit, p.state.buckets.Ref(q.Client))
	}
}

// shared adds the throttles that all clients share.
func (m *Meter) shared(d *draws, q *Request) {
	if i := findStage(m.config.StageThrottles, q.Route.API, q.Route.Stage); i >= 0 {
		if ref, limit := m.stages[i].ofAll(method{q.Route.Resource, q.Route.Method}); limit != nil {
			d.add(stageMethodThrottle, limit, ref)
		}
	}
	if m.account != nil {
		d.add(accountThrottle, m.config.AccountThrottle, m.account.Ref())
	}
}

// draw takes a token from every bucket or from none. If it refuses, the error names the first bucket in API Gateway's
// order that has no token, and the longest wait of all: a client that comes back earlier would be refused again. For
// example, if the method's throttle has a token in 1 second and the plan's in 5, the error names the method's, and
// RetryAfter is 5 seconds.
func (m *Meter) draw(now time.Time, d *draws, taken []ratelimit.Receipt, q *Request, p *match) *Error {
	if d.n == 0 {
		return nil
	}
	i, ok := d.shut(), false
	if i < 0 {
		i, ok = ratelimit.TakeAll(now, 1, d.refs[:d.n], taken)
	}
	if ok {
		return nil
	}
	by, its, longest := d.first(i)
	return m.throttled(q, p, by, its, longest)
}

// throttled returns the refusal of a request by the throttle by, whose bucket has decided its. It counts the refusal.
func (m *Meter) throttled(q *Request, p *match, by limited, its ratelimit.Decision, longest time.Duration) *Error {
	m.tooFast.Add(1)
	e := m.refusal(ErrThrottled, q)
	e.Plan, e.Layer, e.RetryAfter = p.state.ID, by.layer.String(), longest
	if by.layer.ofPlan() { // a client is not told about limits that others share
		e.fields = []ratelimit.Field{throttleField(by, its)}
	}
	return e
}

// first returns the first bucket that refuses a token now, its decision, and the longest wait of all buckets. Bucket i
// is the one that has refused. It is returned if no bucket refuses any more, because tokens have come back in the
// meantime.
func (d *draws) first(i int) (by limited, its ratelimit.Decision, longest time.Duration) {
	now := time.Now()
	by, its, longest = d.layers[i], d.peek(now, i), time.Nanosecond
	for j := d.n - 1; j >= 0; j-- {
		if decision := d.peek(now, j); !decision.OK {
			by, its, longest = d.layers[j], decision, max(longest, decision.RetryAfter)
		}
	}
	return by, its, longest
}

// shut returns the index of the first throttle that refuses every request, or -1. It is asked before any bucket,
// because the bucket of such a throttle has another limit; see the function shut.
func (d *draws) shut() int {
	for i := range d.n {
		if shut(d.layers[i].limit) {
			return i
		}
	}
	return -1
}

// closed is the decision of a throttle that refuses every request.
var closed = ratelimit.Decision{RetryAfter: ratelimit.Never, ResetAfter: ratelimit.Never}

// peek returns what bucket i would decide at the instant now. It takes nothing.
func (d *draws) peek(now time.Time, i int) ratelimit.Decision {
	if shut(d.layers[i].limit) {
		return closed
	}
	return d.refs[i].Peek(now)
}

// giveBack returns the tokens that the request has taken from the client's own throttles, here or in Config.Throttle.
func (m *Meter) giveBack(c *Charge, taken []ratelimit.Receipt) {
	for i := range c.own.n {
		taken[i].Undo(1)
	}
	if t := c.tokens; t != nil {
		m.config.Throttle.GiveBack(t.group, t.names[:t.n], t.limits[:t.n])
	}
}
