package redislimit

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/tallygate/tallygate/ratelimit"
)

// ErrClosed is the error of a limiter after Close. It wraps ratelimit.ErrUnavailable.
var ErrClosed = fmt.Errorf("redislimit: limiter is closed: %w", ratelimit.ErrUnavailable)

var (
	errNotMade = fmt.Errorf("redislimit: %w: the limiter was not made by New", ratelimit.ErrNotConfigured)
	errNoKey   = fmt.Errorf("redislimit: %w: Config.Key is nil, so no request can be charged",
		ratelimit.ErrNotConfigured)
)

// A Limiter takes tokens from buckets that it shares with other processes. Make one with [New]. Its methods may be
// called from any number of goroutines at once. The zero Limiter, and a nil one, refuse.
type Limiter struct {
	config          Config // with its defaults
	call            caller
	epoch           time.Time // of now; made by New, so that synctest can set it
	lanes           []lane    // one, or one for each hash tag; nil in the zero Limiter
	groups          *groups
	pool            sync.Pool // of calls; not shared, since channels may not leave a synctest bubble
	observer        observer
	calls, failures atomic.Uint64

	probing atomic.Bool  // a probe runs
	probeAt atomic.Int64 // no probe begins before this reading of now

	mu     sync.Mutex
	absent int           // lanes that are away
	since  time.Time     // when the outage began
	pause  time.Duration // before the next probe

	closing context.Context // ends with Close
	close   context.CancelFunc
	working sync.WaitGroup
}

// New makes a limiter from a copy of c. The error joins every mistake in c and in the options of the client. New does
// not call the server.
func New(c Config) (*Limiter, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	_, cluster := c.Client.(*redis.ClusterClient) // a Cluster needs a lane for each hash tag, another server one
	return newLimiter(c, callBy(c.Client), cluster), nil
}

// newLimiter expects a valid configuration. Tests call it with a caller that needs no server.
func newLimiter(c Config, call caller, cluster bool) *Limiter {
	if c.Budget == 0 {
		c.Budget = defaultBudget
	}
	if c.MaxGroups == 0 {
		c.MaxGroups = defaultMaxGroups
	}
	l := &Limiter{config: c, call: call, epoch: time.Now(), lanes: make([]lane, 1), groups: newGroups(c.MaxGroups)}
	if cluster {
		l.lanes = make([]lane, places)
	}
	for i := range l.lanes {
		l.lanes[i].limiter, l.lanes[i].place = l, byte(i)
	}
	l.observer = newObserver(&l.config)
	l.closing, l.close = context.WithCancel(context.Background())
	return l
}

// Take takes one token from each bucket, or none from any. A bucket is known by its group and its name. All who share
// it give it the same limit, except while a change of the limit spreads. All buckets of a call are of one group, and
// each name comes once.
//
// Take stores a decision about each bucket in decisions, which must be as long as names and limits. It returns -1 if
// all tokens were taken. Otherwise it returns the index of the first bucket that has no token. The decision about
// another bucket is then OK if that bucket has a token, as far as this node knows.
//
// After an error nothing counts as taken. The error wraps ratelimit.ErrUnavailable if the server does not answer and
// [Config].Away is [Refuse], if ctx has ended, or if the limiter is closed ([ErrClosed]). It wraps
// ratelimit.ErrNotConfigured if the program has made a mistake, such as a limit that is not valid.
//
// Take looks at ctx only when it begins. It returns after two budgets at most: one for the call that is under way, and
// one for its own. It takes longer if more than 128 requests wait.
func (l *Limiter) Take(
	ctx context.Context, group string, names []string, limits []ratelimit.Limit, decisions []ratelimit.Decision,
) (refused int, err error) {
	if err := l.usable(ctx); err != nil {
		return -1, err
	}
	if len(limits) != len(names) || len(decisions) != len(names) {
		return -1, fmt.Errorf("redislimit: %w: %d names, %d limits and %d decisions",
			ratelimit.ErrNotConfigured, len(names), len(limits), len(decisions))
	}
	// The mutex of the group is held from here on, except while the server is asked. So what is decided here about several
	// buckets is decided at one moment.
	var space [4]*bucket // most requests have few buckets, and then nothing is allocated
	g := l.groups.lock(group, l.lanes)
	defer g.mu.Unlock()
	buckets, err := g.find(&l.config, space[:0], names, limits)
	if err != nil {
		return -1, err
	}
	now := l.now()
	switch refused, stocked := known(buckets, now); {
	case refused >= 0:
		refuse(buckets, refused, now, decisions)
		return refused, nil
	case stocked: // the usual way for a leased bucket: no call
		l.spend(g, buckets, now, decisions)
		return -1, nil
	}
	return l.ask(g, buckets, decisions)
}

// usable returns an error if the limiter or the context cannot be used.
func (l *Limiter) usable(ctx context.Context) error {
	switch {
	case l == nil || l.lanes == nil:
		return errNotMade
	case l.closing.Err() != nil:
		return ErrClosed
	case ctx.Err() != nil:
		return fmt.Errorf("redislimit: %w: %w", ratelimit.ErrUnavailable, ctx.Err())
	}
	return nil
}

// find appends the buckets of the names to buckets, and makes those that are new. Limits may have changed since the
// last call. The caller holds the mutex of the group.
func (g *group) find(c *Config, buckets []*bucket, names []string, limits []ratelimit.Limit) ([]*bucket, error) {
	for i, name := range names {
		b, err := g.bucket(c, name, limits[i])
		if err != nil {
			return nil, err
		}
		buckets = append(buckets, b)
	}
	return buckets, nil
}

// known reports what this node can decide without the server. refused is the first bucket that cannot have a token yet,
// or -1. stocked is true if all buckets have a token in stock.
//
// If one bucket is strict, the server is asked for a token of each, and no stock is used. So a bucket that is empty on
// the server then refuses, even if this node has a token of it in stock.
func known(buckets []*bucket, now time.Duration) (refused int, stocked bool) {
	leased := true
	for _, b := range buckets {
		leased = leased && (b.hold > 0 || b.unlimited())
	}
	stocked = leased
	for i, b := range buckets {
		if now < b.denied && (b.stock == 0 || !leased) {
			return i, false
		}
		stocked = stocked && (b.stock > 0 || b.unlimited())
	}
	return -1, stocked
}

// refuse fills the decisions of a request that the bucket at the index refuses.
func refuse(buckets []*bucket, refused int, now time.Duration, decisions []ratelimit.Decision) {
	for i, b := range buckets {
		b.decide(i != refused && b.has(now), now, &decisions[i])
	}
}

// spend takes from the stocks. If one is low, a goroutine fetches more, and no request waits for that. The caller holds
// the mutex of the group. One fetch of a group at a time is enough: it asks for all buckets of the request that are
// low.
func (l *Limiter) spend(g *group, buckets []*bucket, now time.Duration, decisions []ratelimit.Decision) {
	low := false
	for i, b := range buckets {
		if !b.unlimited() {
			b.spend()
			low = low || b.low(now)
		}
		b.decide(true, now, &decisions[i])
	}
	if !low || g.fetching || g.lane.away.Load() != nil {
		return
	}
	g.fetching = true
	c := newCall(g, buckets, true)
	if !l.spawn(func() { // it locks the mutex only after this request has released it
		g.lane.do(c)
		g.mu.Lock()
		defer g.mu.Unlock()
		c.free()
		g.fetching = false
	}) {
		c.free()
		g.fetching = false
	}
}

// ask has the server decide, or the policy of an outage. The caller holds the mutex of the group. ask releases it while
// the call is under way, and holds it when it returns.
func (l *Limiter) ask(g *group, buckets []*bucket, decisions []ratelimit.Decision) (refused int, err error) {
	if a := g.lane.away.Load(); a != nil {
		l.probe()
		return l.without(a.err, buckets, decisions)
	}
	refused, err = g.wait(newCall(g, buckets, false))
	if err != nil {
		return l.without(err, buckets, decisions)
	}
	now := l.now()
	if refused >= 0 {
		refuse(buckets, refused, now, decisions)
		return refused, nil
	}
	for i, b := range buckets {
		b.decide(true, now, &decisions[i])
	}
	return -1, nil
}

// wait returns the verdict on a call. It releases the mutex of the group meanwhile. The caller holds it again when wait
// returns, and also after a panic of the client. Until then, other requests of the group may change its buckets: they
// may give a bucket another limit, or use tokens that have come for its stock. The group itself is not forgotten, since
// its calls are not 0.
func (g *group) wait(c *call) (refused int, err error) {
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		refused, err = c.refused, c.err // before free, which gives c to another request
		c.free()
	}()
	g.lane.do(c)
	return refused, err
}

// GiveBack returns one token to each bucket of a Take that has taken them. Its arguments are those of the Take. It does
// not call the server: a leased bucket keeps the token in stock, and a strict one sends it with its next call. A token
// that cannot be returned flows back by itself. During an outage, and for a second after it, nothing is returned: the
// policy of the outage may have decided the Take, and then no token was taken.
//
// Give back within a Budget of the Take. What is given back later may exceed the bound: for a strict bucket by what has
// flowed in since the Take, for a leased one by the token.
func (l *Limiter) GiveBack(group string, names []string, limits []ratelimit.Limit) {
	if l == nil || l.lanes == nil {
		return
	}
	g := l.groups.find(group)
	if g == nil {
		return
	}
	defer g.mu.Unlock()
	if g.lane.away.Load() != nil || l.now() < time.Duration(g.lane.settled.Load()) {
		return
	}
	for i, name := range names {
		if b := g.buckets[name]; b != nil && i < len(limits) && b.limit == limits[i] {
			b.giveBack()
		}
	}
}

// spawn runs f on a goroutine that Close waits for. It reports false after Close. The mutex is needed: a goroutine must
// not be added while Close already waits.
func (l *Limiter) spawn(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing.Err() != nil {
		return false
	}
	l.working.Go(f)
	return true
}

// Close ends the limiter: later calls of Take fail with [ErrClosed]. Close waits for probes and fetches that are under
// way, which end within a budget or two. The tokens that the node holds flow back on the server by themselves. The
// client is the caller's, so it stays open. Close always returns nil. It may be called several times, and on a limiter
// that is zero or nil.
func (l *Limiter) Close() error {
	if l == nil || l.lanes == nil {
		return nil
	}
	l.mu.Lock() // see spawn
	l.close()
	l.mu.Unlock()
	l.working.Wait()
	return nil
}

// Stats is what a [Limiter] holds, and how much it has asked.
type Stats struct {
	Groups   int    // how many groups the process remembers
	Calls    uint64 // how many calls to the server it has made, without probes
	Failures uint64 // how many of these have failed
	Away     bool   // an outage is under way
}

// Stats returns the present numbers. It may be called at any time, and does not call the server.
func (l *Limiter) Stats() Stats {
	if l == nil || l.lanes == nil {
		return Stats{}
	}
	l.mu.Lock()
	away := l.absent > 0
	l.mu.Unlock()
	return Stats{Groups: l.groups.count(), Calls: l.calls.Load(), Failures: l.failures.Load(), Away: away}
}
