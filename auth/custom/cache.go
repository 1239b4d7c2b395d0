package custom

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// cache keeps results and refusals for a while. While the function runs for a key, other requests with that key wait
// for its answer instead of calling the function again. A cache is safe for concurrent use.
type cache struct {
	ttl        time.Duration // negative: results are not kept, and requests do not wait for each other
	refusalTTL time.Duration // zero: refusals are not kept
	limit      int           // of each of the two maps

	mu      sync.Mutex
	kept    map[key]*entry
	refused map[key]*entry // a separate map: a flood of bad credentials must not push out results
}

// entry is the answer for one key, or the promise of one.
type entry struct {
	ready chan struct{} // closed once result and err are set

	// Not written after ready is closed, so a goroutine that has received from ready may read them without mu.
	result *checkedResult
	err    error

	expires time.Time // zero while the function runs; guarded by cache.mu
}

func newCache(ttl, refusalTTL time.Duration, limit int) cache {
	return cache{
		ttl: ttl, refusalTTL: refusalTTL, limit: limit,
		kept: make(map[key]*entry), refused: make(map[key]*entry),
	}
}

// get returns the answer for k. If there is none and no other request is waiting for one, it asks by call, which must
// pass the answer to done. If ctx ends, get stops waiting and returns an error, but the call goes on for the other
// requests.
func (c *cache) get(ctx context.Context, k key, call func(done func(*checkedResult, error))) (*checkedResult, error) {
	e, found := c.find(k)
	if !found {
		call(func(v *checkedResult, err error) { c.finish(k, e, v, err) })
	}
	select {
	case <-e.ready:
		return e.result, e.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrFailed, ended(ctx))
	}
}

// ended returns why ctx ended. If the application canceled it for a reason of its own, the error wraps
// [context.Canceled] too, so that the refusal has the reason "canceled".
func ended(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, ctx.Err()) {
		return cause
	}
	return fmt.Errorf("%w: %w", ctx.Err(), cause)
}

// find returns the entry for k, and whether it was there. If it was not, the entry is new and the caller must finish
// it.
func (c *cache) find(k key) (e *entry, found bool) {
	if c.ttl < 0 && c.refusalTTL == 0 {
		return newEntry(), false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if e := c.refused[k]; e != nil {
		if isAhead(e.expires, now) {
			return e, true
		}
		delete(c.refused, k)
	}
	if c.ttl < 0 {
		return newEntry(), false
	}
	if e := c.kept[k]; e != nil && (e.expires.IsZero() || isAhead(e.expires, now)) {
		return e, true
	}
	makeRoom(c.kept, c.limit)
	e = newEntry()
	c.kept[k] = e
	return e, false
}

// newEntry returns an entry without an answer.
func newEntry() *entry { return &entry{ready: make(chan struct{})} }

// finish sets the answer of e and keeps it if it is a result or a refusal. It does nothing if e has an answer.
func (c *cache) finish(k key, e *entry, v *checkedResult, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !e.expires.IsZero() {
		return
	}
	e.result, e.err, e.expires = v, err, time.Now().Add(max(c.ttl, 0))
	close(e.ready)
	if err != nil && c.kept[k] == e {
		delete(c.kept, k)
	}
	if kept := c.refusal(v, err); kept != nil && c.refusalTTL > 0 {
		makeRoom(c.refused, c.limit)
		c.refused[k] = &entry{ready: e.ready, err: kept, expires: time.Now().Add(c.refusalTTL)}
	}
}

// The errors of kept refusals. The function's own error is not kept, since it may be of any size.
var (
	errUnauthorizedKept = fmt.Errorf("%w (a refusal that is kept)", ErrUnauthorized)
	errDeniedKept       = fmt.Errorf("%w (a refusal that is kept)", errNotAuthorized)
)

// refusal returns the error to keep if the answer refuses the caller for every method and path. It returns nil if the
// function has failed, and for an answer that is kept as a result.
func (c *cache) refusal(v *checkedResult, err error) error {
	switch {
	case errors.Is(err, ErrUnauthorized) && !errors.Is(err, ErrFailed):
		return errUnauthorizedKept
	case err == nil && c.ttl < 0 && v.policy == nil && !v.authorized:
		return errDeniedKept
	}
	return nil
}

// makeRoom removes entries if there are as many as the limit. It looks at a few of them, in the random order of maps,
// and removes those that have expired, or one of the others if none has. It leaves entries whose function still runs:
// there are never more of these than requests.
func makeRoom(entries map[key]*entry, limit int) {
	if len(entries) < limit {
		return
	}
	const few = 16
	now, looked := time.Now(), 0
	var alive *key
	for k, e := range entries {
		if looked++; looked > few {
			break
		}
		if e.expires.IsZero() {
			continue
		}
		if isAhead(e.expires, now) {
			alive = &k
		} else {
			delete(entries, k)
		}
	}
	if len(entries) >= limit && alive != nil {
		delete(entries, *alive)
	}
}

// isAhead reports whether an instant is still to come, by both clocks. So answers are not used for longer because the
// monotonic clock stood still while the machine slept, nor because the wall clock was set back. Round(0) removes the
// monotonic reading.
func isAhead(instant, now time.Time) bool {
	return now.Before(instant) && now.Round(0).Before(instant.Round(0))
}
