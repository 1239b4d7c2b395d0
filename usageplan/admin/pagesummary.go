package admin

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A summary has the figures of all keys together, which a request cannot count while a person waits: of 100 000 keys that
// is seconds of work. It is immutable.
type summary struct {
	at    time.Time // when the counting began, so no figure is older
	plans map[string]*planSummary

	// uses has all keys, the one with the least part left first. Keys that have used nothing come last.
	uses []use
}

// A planSummary is what the summary tells of a plan. The sums are those of all clients that the ledger knows, also of
// those that have left the plan. A key that several plans count is near the limit, or exhausted, in one of them: where
// the least is left.
type planSummary struct {
	members         int
	today, period   int64
	near, exhausted int
}

// A use is the position of a key in the order of use: by the part of its limit that is used, and then by units.
type use struct {
	share float64
	used  int64
	id    string
}

// byUse orders uses, the most used first. The id makes the order total, so that a cursor stands between two keys.
func byUse(a, b use) int {
	return cmp.Or(cmp.Compare(b.share, a.share), cmp.Compare(b.used, a.used), cmp.Compare(a.id, b.id))
}

// after returns the uses after a cursor.
func (s *summary) after(u use) []use {
	i, found := slices.BinarySearchFunc(s.uses, u, byUse)
	if found {
		i++
	}
	return s.uses[i:]
}

// summarize counts everything. It reads the accounts of the clients that the ledger knows. Members that have never called
// have none and cost nothing.
func (s *Server) summarize(ctx context.Context) (*summary, error) {
	sum := &summary{at: time.Now(), plans: make(map[string]*planSummary)}
	tightest := make(map[string]placed)
	for p := range s.config.Plans.Plans() {
		if err := s.summarizePlan(ctx, sum, p, tightest); err != nil {
			return nil, fmt.Errorf("plan %q: %w", clip(p.ID), err)
		}
	}
	for k := range s.config.Keys.Keys() {
		u := tightest[k.ID]
		if u.plan != nil {
			u.plan.exhausted += u.exhausted
			u.plan.near += u.near
		}
		sum.uses = append(sum.uses, use{u.share, u.used, k.ID})
	}
	slices.SortFunc(sum.uses, byUse)
	return sum, ctx.Err()
}

// A placed use is the tightest that was found of a client so far, and the plan in which it counts.
type placed struct {
	use
	plan            *planSummary
	near, exhausted int // 1 if it is so
}

func (s *Server) summarizePlan(ctx context.Context, sum *summary, p usageplan.Plan, tightest map[string]placed) error {
	of := &planSummary{}
	sum.plans[p.ID] = of
	called := make(map[string]struct{})
	for client, err := range s.config.Plans.Clients(ctx, p.ID) {
		if err != nil {
			return err
		}
		called[client] = struct{}{}
	}
	for client := range called {
		if err := s.summarizeClient(ctx, of, p, client, sum.at, tightest); err != nil {
			return err
		}
	}
	for before, more := uint64(0), true; more; more = before != 0 {
		var members []usageplan.Member
		members, before = s.config.Plans.Members(p.ID, before, maxLimit)
		of.members += len(members)
		for _, m := range members {
			if _, has := called[m.Client]; !has && refusesAll(p, m) {
				note(tightest, m.Client, of, standing{limited: true})
			}
		}
	}
	return nil
}

// summarizeClient adds a client that has called. One that is not in the plan any more counts in the sums alone.
func (s *Server) summarizeClient(
	ctx context.Context, of *planSummary, p usageplan.Plan, client string, now time.Time, tightest map[string]placed,
) error {
	_, present := s.config.Plans.Member(p.ID, client)
	present = present || p.ID == s.config.Plans.Default()
	for i := range max(1, len(p.Quotas)) {
		st, err := s.standing(ctx, p, i, client, now)
		if err != nil {
			return err
		}
		if i == 0 { // the others count the same requests
			of.today += st.today
			of.period += st.used
		}
		if present {
			note(tightest, client, of, st)
		}
	}
	return nil
}

// note keeps the tightest standing of a client.
func note(tightest map[string]placed, client string, of *planSummary, st standing) {
	u := placed{use: use{st.share(), st.used, client}, plan: of}
	if st.near() {
		u.near = 1
	}
	if st.exhausted() {
		u.exhausted = 1
	}
	if old, found := tightest[client]; !found || byUse(u.use, old.use) < 0 {
		tightest[client] = u
	}
}

// refusesAll reports whether a quota of 0 refuses every request of the member.
func refusesAll(p usageplan.Plan, m usageplan.Member) bool {
	return slices.ContainsFunc(p.Quotas, func(q ledger.Quota) bool {
		limit, own := m.Limits[q.Period]
		return own && limit == 0 || !own && q.Limit == 0
	})
}

// How old a summary may be before another one is made, for how long one may be in the making, how long a request waits
// for it, and after which pause it is tried again if it fails.
const (
	summaryAge   = time.Minute
	summaryTime  = time.Minute
	summaryWait  = 2 * time.Second
	summaryPause = 5 * time.Second
)

// summaries keeps the latest summary. The request that finds it too old starts the next one and waits a moment for it;
// others get the old one meanwhile. So no goroutine runs unless somebody looks at the page, and two persons who look at it
// make one summary. It is made by a goroutine, because the person may have left before it is done. That one ends by
// itself within summaryTime.
type summaries struct {
	mu     sync.Mutex
	latest *summary
	making chan struct{} // closed when the one in the making is done; nil if there is none
	tried  time.Time     // when the last one was begun
	err    error         // of the last one
}

// get returns the latest summary, nil if there is none yet, and the error of the last attempt.
func (c *summaries) get(ctx context.Context, summarize func(context.Context) (*summary, error)) (*summary, error) {
	c.mu.Lock()
	wait := c.making
	if c.latest != nil { // the one in the making was started by somebody else, who waits for it
		wait = nil
	}
	if c.due() {
		wait = c.start(ctx, summarize)
	}
	c.mu.Unlock()
	if wait != nil {
		timer := time.NewTimer(summaryWait)
		defer timer.Stop()
		select {
		case <-wait:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest, c.err
}

// due reports whether a summary is to be made. The caller must hold mu.
func (c *summaries) due() bool {
	if c.making != nil {
		return false
	}
	if c.err != nil && passed(c.tried) < summaryPause {
		return false
	}
	return c.latest == nil || passed(c.latest.at) >= summaryAge
}

// start begins to make a summary. The caller must hold mu.
func (c *summaries) start(ctx context.Context, summarize func(context.Context) (*summary, error)) chan struct{} {
	done := make(chan struct{})
	c.making, c.tried = done, time.Now()
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), summaryTime)
		defer cancel()
		next, err := survive(ctx, summarize)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.err = err; err == nil {
			c.latest = next
		}
		c.making = nil
		close(done)
	}()
	return done
}

// survive returns a panic of summarize as an error. In a handler, net/http would end the request; here, a store that
// panics would end the process, with the API that it serves.
func survive(ctx context.Context, summarize func(context.Context) (*summary, error)) (s *summary, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: panic: %v", ErrUnavailable, r)
		}
	}()
	return summarize(ctx)
}

// cursor returns the position after a key in the order of use.
func (u use) cursor() position {
	share := math.Float64bits(u.share)
	return position{list: keysByUse, before: share, after: fmt.Sprintf("%d %s", u.used, u.id)}
}

// useAt returns the use that a position stands after.
func useAt(at position) (use, error) {
	u := use{share: math.Float64frombits(at.before)}
	if n, err := fmt.Sscanf(at.after, "%d %s", &u.used, &u.id); n != 2 || err != nil || math.IsNaN(u.share) {
		return u, badRequest("Invalid position parameter specified")
	}
	return u, nil
}
