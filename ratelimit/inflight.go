package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"net/http"
	"sync/atomic"
)

// InFlightConfig says what an [InFlight] bounds. At least one of Limit and Total is required.
type InFlightConfig[K comparable] struct {
	// Limit is how many requests of one key may run at once, at most 65 535. 0 bounds no key by itself.
	Limit int

	// Total is how many requests may run at once, of all keys together. 0 is no bound.
	Total int

	// Key returns whose request it is, as [Config].Key does. False refuses the request, with [ErrNoKey]. It may be nil if
	// Limit is 0, or if only Acquire and Release are used: Check and Handler then refuse with [ErrNotConfigured].
	Key func(*http.Request) (K, bool)

	// Name is the Plan of an [Event].
	Name string

	// AllowDespite may let a request run for which Check has found an error. Such a request does not count. Nil never
	// lets one run. It is not asked about [ErrNotConfigured].
	AllowDespite func(*http.Request, error) bool

	// ErrorHandler answers what Handler refuses. Nil is (*Error).ServeHTTP. The error is an [*Error].
	ErrorHandler func(http.ResponseWriter, *http.Request, error)

	// Observe and RequestID are those of [Config]. The Layer of an [Event] is "in flight".
	Observe   func(context.Context, Event)
	RequestID func(*http.Request) string
}

// maxTotal bounds InFlightConfig.Total, so that the counter cannot overflow on any machine.
const maxTotal = math.MaxInt32

// An InFlight bounds how many requests run at once, for each key and in all. It is for work that takes long and costs
// while it runs: streams, reports, uploads. A rate does not bound that. For example, at one request per second, streams
// of ten minutes each add up to 600.
//
// A key is known by a hash, as in a [Limiter]. Its methods may be called from any number of goroutines at once. Nothing
// waits in a queue: a request that finds no place is refused. The zero InFlight, and a nil one, refuse.
//
// It counts in one process. With several nodes, give each of them its part: 12 for all of 3 nodes is 4 for each. A
// count that nodes share would need a lease for each request, so that a node that crashes does not hold its places for
// ever. A lease that expires frees the place of a request that still runs, because its node was only slow or cut off.
// Then more run than the bound. So there is none here.
type InFlight[K comparable] struct {
	config   InFlightConfig[K]
	observer observer
	seed     maphash.Seed
	running  *running
	total    atomic.Int64
}

// NewInFlight makes an InFlight from a copy of c. The error joins every mistake in c.
func NewInFlight[K comparable](c InFlightConfig[K]) (*InFlight[K], error) {
	var errs []error
	if c.Limit < 0 || c.Limit > countMask {
		errs = append(errs, fmt.Errorf("ratelimit: Limit %d is not within 0 to %d", c.Limit, countMask))
	}
	if c.Total < 0 || c.Total > maxTotal {
		errs = append(errs, fmt.Errorf("ratelimit: Total %d is not within 0 to %d", c.Total, maxTotal))
	}
	if c.Limit == 0 && c.Total == 0 {
		errs = append(errs, errors.New("ratelimit: Limit or Total is required"))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	f := &InFlight[K]{config: c, observer: newObserver(c.Observe, c.RequestID, c.Name), seed: maphash.MakeSeed(), running: new(running)}
	f.observer.allowed.Layer = "in flight"
	return f, nil
}

func (f *InFlight[K]) fingerprint(key K) fingerprint {
	return fingerprint(max(maphash.Comparable(f.seed, key), 1))
}

// Acquire counts one more request of the key and reports true, or reports false and counts nothing, if as many run as
// may. Each Acquire that has reported true must be followed by one [InFlight.Release], whatever happens to the request:
//
//	if !inflight.Acquire(key) {
//		… refuse …
//	}
//	defer inflight.Release(key)
//
// A request that Total refuses holds the place of its key for a moment. In that moment another request of the key may be
// refused by Limit.
func (f *InFlight[K]) Acquire(key K) bool {
	if f == nil || f.running == nil {
		return false
	}
	if f.config.Limit == 0 {
		return f.enter()
	}
	return f.AcquireWithin(key, f.config.Limit)
}

// AcquireWithin is Acquire with a limit in place of that of the configuration, which must not be 0. It is for keys with
// limits of their own, and for limits that change: what runs stays counted, and the limit of each call decides. For
// example, 5 requests of a key run, and its limit is lowered to 3. Then AcquireWithin(key, 3) reports false until 3 of
// them have ended. A limit below 1 refuses. One above 65 535 is 65 535.
func (f *InFlight[K]) AcquireWithin(key K, limit int) bool {
	if f == nil || f.running == nil || f.config.Limit == 0 || limit < 1 {
		return false
	}
	of := f.fingerprint(key)
	if !f.running.acquire(of, min(limit, countMask)) {
		return false
	}
	if !f.enter() {
		f.running.release(of)
		return false
	}
	return true
}

// enter counts one more request in all, unless Total run.
func (f *InFlight[K]) enter() bool {
	if f.config.Total == 0 {
		return true
	}
	for {
		n := f.total.Load()
		if n >= int64(f.config.Total) {
			return false
		}
		if f.total.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release counts one request of the key less. It panics if none of the key runs, and counts nothing: else the bound would
// not hold any more. If Limit is 0, keys are not counted, and it panics if none of any key runs.
func (f *InFlight[K]) Release(key K) {
	if f == nil || f.running == nil {
		panic("ratelimit: Release of an InFlight that admits nothing")
	}
	if f.config.Limit > 0 && !f.running.release(f.fingerprint(key)) {
		panic("ratelimit: Release without Acquire")
	}
	if f.config.Total > 0 && !f.leave() {
		panic("ratelimit: Release without Acquire")
	}
}

// leave counts one request less in all. It reports false, and counts nothing, if none runs: a server recovers from the
// panic of a handler, and a count below 0 would let more run than Total from then on.
func (f *InFlight[K]) leave() bool {
	for {
		n := f.total.Load()
		if n == 0 {
			return false
		}
		if f.total.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// Running returns how many requests of the key run, 0 if Limit is 0.
func (f *InFlight[K]) Running(key K) int {
	if f == nil || f.running == nil {
		return 0
	}
	return f.running.of(f.fingerprint(key))
}
