package usageplan

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strconv"
	"time"

	"github.com/tallygate/tallygate/ratelimit"
)

// A Throttle keeps the token buckets of clients where several processes share them. For example, a Limiter of package
// redislimit keeps them on a Redis server. A [Meter] asks it about the throttles of plans, methods and members; see
// [Config].
//
// Many goroutines call its methods at once. The Throttle decides what happens while its server is slow or away: it
// refuses by returning an error, and admits by saying that all tokens were taken. It must bound its waits, because the
// meter waits for its answer without a timeout.
type Throttle interface {
	// Take takes one token from each bucket, or none from any. A bucket is known by its group and its name. All buckets
	// of a call are of one group, which stands for one client of one plan. So a store that is divided into partitions
	// can keep a group in one of them. limits[i] is the limit of names[i] as this process knows it, and it changes with
	// the plan. Its burst is at least 1 and its rate is finite.
	//
	// Take returns -1 if it has taken all tokens, and otherwise the index of the first bucket that has no token. It
	// stores a decision about each bucket in decisions, which is as long as names. If it has taken all tokens, all
	// decisions are OK. Otherwise a decision is OK if that bucket had a token; if not, its RetryAfter says how long the
	// bucket refuses. The meter tells Remaining and ResetAfter to the client.
	//
	// An error means that Take could not decide. Nothing counts as taken then. If tokens were taken all the same, the
	// client does not have them until they flow back.
	//
	// A group has at most 648 bytes and a name at most 512. They may contain any bytes. All processes use the same
	// ones, and later versions will too. Take may keep names and limits, which never change after the call, but not
	// decisions.
	Take(
		ctx context.Context, group string, names []string, limits []ratelimit.Limit, decisions []ratelimit.Decision,
	) (refused int, err error)

	// GiveBack returns one token to each bucket of a Take that has taken them. The meter calls it when a later limit
	// has refused the request, or could not decide. It must not wait for a network. It reports no error, because a
	// token that cannot be returned flows back by itself.
	GiveBack(group string, names []string, limits []ratelimit.Limit)
}

// tokens are what a request takes from Config.Throttle. Each request has a new object, because a Throttle may keep
// parts of it.
type tokens struct {
	n         int
	group     string
	names     [2]string
	layers    [2]limited
	limits    [2]ratelimit.Limit
	decisions [2]ratelimit.Decision
	at        time.Time // when the throttle has decided
}

// ask takes a token from each of the client's own throttles in Config.Throttle, or none from any. It sets c.tokens if
// it has taken them. A throttle with a burst of 0 is shut: it refuses without a call, because no bucket has a burst of
// 0.
func (m *Meter) ask(ctx context.Context, q *Request, p *match, c *Charge) error {
	if p.methods == nil && p.limit() == nil {
		return nil
	}
	t := new(tokens)
	t.ofClient(q, p)
	for i := range t.n {
		if shut(t.layers[i].limit) {
			return m.throttled(q, p, t.layers[i], closed, ratelimit.Never)
		}
	}
	if t.n == 0 {
		return nil
	}
	t.group = bucketName("", p.state.ID, q.Client)
	refused, err := m.config.Throttle.Take(ctx, t.group, t.names[:t.n], t.limits[:t.n], t.decisions[:t.n])
	if err == nil {
		err = t.mistake(refused)
	}
	switch {
	case err != nil:
		return m.undecided(ctx, q, p, t, err)
	case refused >= 0:
		return m.throttled(q, p, t.layers[refused], t.decision(refused), t.longest())
	}
	t.at, c.tokens = time.Now(), t
	return nil
}

// ofClient adds the client's own throttles, in the order of the layers.
func (t *tokens) ofClient(q *Request, p *match) {
	if p.methods != nil {
		if name, limit := p.methods.named(method{q.Route.Resource, q.Route.Method}); limit != nil {
			t.add(planMethodThrottle, limit, name)
		}
	}
	if limit := p.limit(); limit != nil {
		t.add(planThrottle, limit, planBucket)
	}
}

func (t *tokens) add(l layer, limit *ratelimit.Limit, name string) {
	t.names[t.n], t.limits[t.n], t.layers[t.n] = name, *limit, limited{l, limit}
	t.n++
}

// mistake returns what is wrong with the answer of a Throttle, or nil. An answer that contradicts itself admits
// nothing. For example, a Throttle says that it has taken all tokens, and has stored no decision. Perhaps it has taken
// none.
func (t *tokens) mistake(refused int) error {
	if refused < -1 || refused >= t.n {
		return fmt.Errorf("of %d buckets, number %d has refused", t.n, refused)
	}
	for i := range t.n {
		if refused < 0 && !t.decisions[i].OK {
			return fmt.Errorf("all tokens were taken, but the decision about %q is not OK", t.names[i])
		}
	}
	return nil
}

// undecided returns the refusal of a request about which Config.Throttle could not decide. It names the first throttle
// of those that were asked.
func (m *Meter) undecided(ctx context.Context, q *Request, p *match, t *tokens, err error) *Error {
	e := m.refusal(fmt.Errorf("%w: %w", ErrThrottleUnavailable, ownCancel(ctx, err)), q)
	e.Plan, e.Layer = p.state.ID, t.layers[0].layer.String()
	return e
}

// decision returns the decision about bucket i with numbers within the bounds of its limit: a client gets them, and
// they come from code of others.
func (t *tokens) decision(i int) ratelimit.Decision {
	d := t.decisions[i]
	d.Remaining = min(max(d.Remaining, 0), t.limits[i].Burst)
	d.ResetAfter = max(d.ResetAfter, 0)
	return d
}

// longest returns the longest wait of the buckets that refuse. As in draws.first, it is at least 1 ns, because 0 would
// say that the wait is unknown.
func (t *tokens) longest() time.Duration {
	longest := time.Nanosecond
	for _, d := range t.decisions[:t.n] {
		if !d.OK {
			longest = max(longest, d.RetryAfter)
		}
	}
	return longest
}

// appendFields appends what the buckets had left when they were asked. To ask again would take a call over the network.
// Only the time until a bucket is full is brought up to date. For example, the bucket was to be full in 8 seconds, and
// the handler has taken 5 seconds. Then 3 seconds are left.
func (t *tokens) appendFields(fields []ratelimit.Field, now time.Time) []ratelimit.Field {
	for i := range t.n {
		d := t.decision(i)
		if d.ResetAfter != ratelimit.Never {
			d.ResetAfter = max(d.ResetAfter-now.Sub(t.at), 0)
		}
		fields = append(fields, throttleField(t.layers[i], d))
	}
	return fields
}

// The names of a client's buckets, or their beginnings. None begins with another, so no two buckets have the same name.
const (
	planBucket   = "plan"    // the throttle of the plan, or the client's own
	listedBucket = "method " // a throttle of a method
	routeBucket  = "route "  // the throttle "/*/*", of one route
	digestBucket = "sha256 " // in place of a name that is too long
)

// maxName bounds the name of a bucket in bytes. A resource has no bound of its own.
const maxName = 512

// bucketName returns begin and the parts, each after its length. So no two lists of parts make the same name. For
// example, "pets" and "dev" make "4:pets3:dev", and "pets3" and "dev" make "5:pets33:dev".
func bucketName(begin string, parts ...string) string {
	var space [maxName]byte // most names fit, and cost one allocation
	b := append(space[:0], begin...)
	for _, part := range parts {
		b = strconv.AppendInt(b, int64(len(part)), 10)
		b = append(append(b, ':'), part...)
	}
	return string(b)
}

// methodName returns the name of the bucket of a method of a stage. begin already has the stage. If the name is too
// long, its digest stands for it.
func methodName(begin string, m method) string {
	name := bucketName(begin, m.resource, m.verb)
	if len(name) > maxName {
		name = fmt.Sprintf("%s%x", digestBucket, sha256.Sum256([]byte(name)))
	}
	return name
}
