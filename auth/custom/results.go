package custom

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// results keeps verdicts for a while, and has one call at a time for what is not kept.
type results struct {
	ttl   time.Duration // negative: nothing is kept, and nobody waits for another's call
	limit int

	mu   sync.Mutex
	kept map[key]*result
}

// result is a verdict, or one that is awaited.
type result struct {
	ready   chan struct{} // closed when the fields below are set
	verdict *verdict
	err     error
	expires time.Time // zero while awaited; under results.mu
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
	fresh := &result{ready: make(chan struct{})}
	if s.ttl < 0 {
		return fresh, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.kept[k]; r != nil && (r.expires.IsZero() || time.Now().Before(r.expires)) {
		return r, false
	}
	s.makeRoom()
	s.kept[k] = fresh
	return fresh, true
}

// finish sets r, once, and keeps it if it is a verdict.
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
}

// makeRoom removes what has expired among a few results, or else one that has not, if there are as many as the limit.
// Awaited ones stay: there are never more of them than requests.
func (s *results) makeRoom() {
	if len(s.kept) < s.limit {
		return
	}
	const few = 16
	now, looked := time.Now(), 0
	var alive *key
	for k, r := range s.kept { // in random order
		if looked++; looked > few {
			break
		}
		if r.expires.IsZero() {
			continue
		}
		if now.Before(r.expires) {
			alive = &k
		} else {
			delete(s.kept, k)
		}
	}
	if len(s.kept) >= s.limit && alive != nil {
		delete(s.kept, *alive)
	}
}
