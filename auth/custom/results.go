package custom

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// results keeps verdicts and refusals for a while, and has one call at a time for what is not kept.
type results struct {
	ttl        time.Duration // negative: no verdict is kept, and nobody waits for another's call
	refusalTTL time.Duration // zero: no refusal is kept
	limit      int           // of each of the two maps

	mu      sync.Mutex
	kept    map[key]*result
	refused map[key]*result // apart, so that a flood of bad credentials does not drive out the good ones
}

// result is a verdict, or one that is awaited.
type result struct {
	ready   chan struct{} // closed when the fields below are set
	verdict *verdict
	err     error
	expires time.Time // zero while awaited; under results.mu
}

func newResults(ttl, refusalTTL time.Duration, limit int) results {
	return results{ttl: ttl, refusalTTL: refusalTTL, limit: limit, kept: make(map[key]*result), refused: make(map[key]*result)}
}

// get returns the verdict under the given key: one that is kept or awaited, or the one that call reports by done. A
// caller whose context ends stops waiting; the call goes on for the others.
func (s *results) get(ctx context.Context, k key, call func(done func(*verdict, error))) (*verdict, error) {
	r, mine := s.claim(k)
	if mine {
		call(func(v *verdict, err error) { s.finish(k, r, v, err) })
	}
	select {
	case <-r.ready:
		return r.verdict, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrFailed, context.Cause(ctx))
	}
}

// claim returns what is kept or awaited under k, or a result that is the caller's to finish.
func (s *results) claim(k key) (r *result, mine bool) {
	if s.ttl < 0 && s.refusalTTL == 0 {
		return awaited(), true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if r := s.refused[k]; r != nil {
		if now.Before(r.expires) {
			return r, false
		}
		delete(s.refused, k)
	}
	if s.ttl < 0 {
		return awaited(), true
	}
	if r := s.kept[k]; r != nil && (r.expires.IsZero() || now.Before(r.expires)) {
		return r, false
	}
	makeRoom(s.kept, s.limit)
	r = awaited()
	s.kept[k] = r
	return r, true
}

// awaited returns a result that is not there yet.
func awaited() *result { return &result{ready: make(chan struct{})} }

// finish sets r, once, and keeps it if it is a verdict or a refusal.
func (s *results) finish(k key, r *result, v *verdict, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !r.expires.IsZero() {
		return
	}
	r.verdict, r.err, r.expires = v, err, time.Now().Add(max(s.ttl, 0))
	close(r.ready)
	if err != nil && s.kept[k] == r {
		delete(s.kept, k)
	}
	if again := s.refusal(v, err); again != nil && s.refusalTTL > 0 {
		makeRoom(s.refused, s.limit)
		s.refused[k] = &result{ready: r.ready, err: again, expires: time.Now().Add(s.refusalTTL)}
	}
}

// Errors of refusals that are kept. What the function said is not kept with them: it may be of any size.
var (
	errUnauthorizedKept = fmt.Errorf("%w (a refusal that is kept)", ErrUnauthorized)
	errDeniedKept       = fmt.Errorf("%w (a refusal that is kept)", ErrDenied)
)

// refusal returns the error to keep where the function has decided against the caller, for every method and path; nil
// where it has failed or has returned what is kept as a result.
func (s *results) refusal(v *verdict, err error) error {
	switch {
	case errors.Is(err, ErrUnauthorized) && !errors.Is(err, ErrFailed):
		return errUnauthorizedKept
	case err == nil && s.ttl < 0 && v.policy == nil && !v.authorized:
		return errDeniedKept
	}
	return nil
}

// makeRoom removes what has expired among a few of kept, or else one that has not, if there are as many as the limit.
// Awaited ones stay: there are never more of them than requests.
func makeRoom(kept map[key]*result, limit int) {
	if len(kept) < limit {
		return
	}
	const few = 16
	now, looked := time.Now(), 0
	var alive *key
	for k, r := range kept { // in random order
		if looked++; looked > few {
			break
		}
		if r.expires.IsZero() {
			continue
		}
		if now.Before(r.expires) {
			alive = &k
		} else {
			delete(kept, k)
		}
	}
	if len(kept) >= limit && alive != nil {
		delete(kept, *alive)
	}
}
