package usageplan

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/tallygate/tallygate/ratelimit"
)

// An InFlight bounds how many requests run at once. It is for work that takes long and costs while it runs, such as
// streams and reports. A rate does not bound that: at one request a second, streams of ten minutes each add up to 600.
//
// Each process counts for itself. With several processes, each gets its part: 12 for all of 3 processes is 4 for each.
// The package documentation says why.
type InFlight struct {
	// Client is how many requests of each member may run at once, at most 65 535. 0 is no bound.
	Client int
	// Total is how many requests of all members of the plan together may run at once, at most 65 535. 0 is no bound.
	Total int
}

// Bounds of what may run at once. A count of a client or a plan has 16 bits; see [ratelimit.InFlight].
const (
	maxInFlight    = math.MaxUint16
	maxInFlightAll = math.MaxInt32 // of Config.InFlight, so that no count overflows on any machine
)

func (f InFlight) validate() error {
	return errors.Join(wrap("client", validateInFlight(int64(f.Client))), wrap("total", validateInFlight(int64(f.Total))))
}

func validateInFlight(n int64) error {
	if n < 0 || n > maxInFlight {
		return fmt.Errorf("%d is not within 0 to %d", n, maxInFlight)
	}
	return nil
}

// inFlight returns how many requests of the client and of the whole plan may run at once. 0 is no bound.
func (p *match) inFlight() (client, total int) {
	if client = p.member.InFlight; client == 0 {
		client = p.state.InFlight.Client
	}
	return client, p.state.InFlight.Total
}

// A places counts the requests of a meter that run. Its counters belong to the id of a plan and to the client, and not
// to a version of the plan. So what runs stays counted while the plan or the membership changes, and also if a plan of
// the id is deleted and created again. The limit comes with each request.
//
// Example: a plan allows 5 requests of a client, and 5 run. The plan is changed to 3. The next request is refused until
// 3 of the 5 have ended.
type places struct {
	keyed   *ratelimit.InFlight[placeKey]
	all     atomic.Int64 // requests that hold a place
	refused tally
}

// A placeKey is what has a counter: a client under a plan, or the whole plan if client is empty. No client's id is.
type placeKey struct{ plan, client string }

func (s *places) make() (err error) {
	s.keyed, err = ratelimit.NewInFlight(ratelimit.InFlightConfig[placeKey]{Limit: maxInFlight})
	return err
}

// enter counts one more request of the meter, unless limit of them run.
func (s *places) enter(limit int64) bool {
	for {
		n := s.all.Load()
		if n >= limit {
			return false
		}
		if s.all.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// A place is what an admitted request holds until it ends. It remembers which counters have counted the request, so that
// exactly these count it less, whatever the limits are by then. All copies of a [Charge] point to one place.
type place struct {
	places             *places
	key                placeKey
	client, total, all bool
	released           atomic.Bool
}

// The refusals say which of the bounds has refused.
var (
	errClientInFlight = fmt.Errorf("%w: of the client, by InFlight of its membership or InFlight.Client of the plan", ErrInFlight)
	errPlanInFlight   = fmt.Errorf("%w: of all clients of the plan, by its InFlight.Total", ErrInFlight)
	errMeterInFlight  = fmt.Errorf("%w: of the whole meter, by Config.InFlight", ErrInFlight)
)

// takeInPlace is take for a request that needs a place. It has one if the result is nil.
func (m *Meter) takeInPlace(ctx context.Context, now time.Time, q *Request, p *match, c *Charge) error {
	if err := m.occupy(q, p, c); err != nil {
		return err
	}
	admitted := false
	defer c.place.releaseUnless(&admitted)
	err := m.take(ctx, now, q, p, c)
	admitted = err == nil
	return err
}

// occupy takes a place for q in each bound that applies, or in none and refuses. It sets c.place, which is the only
// thing that it allocates. The client's own bound comes first: a client that sends too much must not take places from
// others, not even for a moment.
func (m *Meter) occupy(q *Request, p *match, c *Charge) error {
	client, total := p.inFlight()
	h := &place{places: &m.places, key: placeKey{p.state.ID, q.Client}}
	if err := h.take(client, total, m.config.InFlight); err != nil {
		h.release()
		m.places.refused.Add(1)
		e := m.refusal(err, q)
		e.Plan, e.Layer = p.state.ID, inFlight.String()
		return e
	}
	c.place = h
	return nil
}

// take counts the request under each bound that is not 0, and returns the error of the first that refuses. What it has
// counted before that is for release. Every request that has a place is counted in all, for [Stats].
func (h *place) take(client, total, all int) error {
	keyed := h.places.keyed
	if h.client = client > 0 && keyed.AcquireWithin(h.key, client); client > 0 && !h.client {
		return errClientInFlight
	}
	if h.total = total > 0 && keyed.AcquireWithin(placeKey{plan: h.key.plan}, total); total > 0 && !h.total {
		return errPlanInFlight
	}
	if all == 0 {
		all = maxInFlightAll
	}
	if h.all = h.places.enter(int64(all)); !h.all {
		return errMeterInFlight
	}
	return nil
}

// release gives the place back, once. h may be nil.
func (h *place) release() {
	if h == nil || h.released.Swap(true) {
		return
	}
	if h.all {
		h.places.all.Add(-1)
	}
	if h.total {
		h.places.keyed.Release(placeKey{plan: h.key.plan})
	}
	if h.client {
		h.places.keyed.Release(h.key)
	}
}

// releaseUnless gives the place back unless done. It is deferred around code of others, which may panic or end the
// goroutine: the request goes no further then, and nobody else releases its place. h may be nil.
func (h *place) releaseUnless(done *bool) {
	if !*done {
		h.release()
	}
}

// Release gives back the place that the request has under [Plan.InFlight] and [Config.InFlight]. Who calls
// [Meter.Check] or [Meter.Take] calls it once the work for the request has ended, usually by defer, and not when the
// client leaves: the work may go on. [Meter.Handler] calls it itself. It may be called more than once, and on any copy
// of the charge. It does nothing if the request has no place. Units and tokens stay taken; see [Charge.Settle].
// A place that is never given back is lost until the process ends; [Stats].InFlight shows it.
//
//	charge, err := meter.Check(r)
//	if err != nil {
//		…
//	}
//	defer charge.Release()
func (c Charge) Release() { c.place.release() }
