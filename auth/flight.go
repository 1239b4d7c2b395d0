package auth

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// flight is a fetch that is running, or has ended.
//
// Lambda freezes a process as soon as it has answered, perhaps for minutes. A fetch that is running freezes with it.
// After the thaw its connection is dead. But its time limit may have stopped too, because it runs by the monotonic
// clock. So the fetch still has most of its time, and fails only when that has passed. A request that waited for it
// would wait for nothing.
//
// So a fetch does not count if, by the wall clock, it is older than a fetch can become. The next request starts another
// one and waits for that. The failure of the old one sets no pause, since it says nothing about the server.
//
// Example: a request finds that the keys are due. It starts a fetch, does not wait, and is answered. The process is
// frozen for an hour, and the keys become stale. The first request after the thaw finds the fetch, an hour old. It
// starts its own and waits for that, some milliseconds. Without this rule it would wait 1.5 s for the old fetch and be
// refused. All requests in the pause after it would be refused too.
type flight struct {
	began time.Time
	done  chan struct{} // closed when it has ended

	// Set before done is closed.
	err    error
	frozen bool // it may have failed, or have old keys, because the process was frozen
}

// maxRunning bounds the fetches of a key set at one time. A transport that never returns would otherwise add one at
// each thaw. One fetch is the normal case, so four allow for three freezes in a row.
const maxRunning = 4

// errFrozen is in the error of a document that took longer, by the wall clock, than its time limit allows.
var errFrozen = errors.New("the process was frozen during the fetch")

// refresh starts a fetch unless one is running. Within the pause it starts none and returns the error of the last
// fetch, which is nil if that succeeded. It waits for the fetch if must is set, or if it starts the fetch and the keys
// are late. It waits no longer than ctx. If it does not wait, it returns nil.
//
// If the fetch that it has waited for was frozen, it waits for one more, and not for a third: a process that is frozen
// again and again would hold its request forever.
func (s *keySet) refresh(ctx context.Context, now time.Time, must bool) error {
	if s.fetch == nil {
		return nil
	}
	frozen, err := s.startOrJoin(ctx, now, must)
	if frozen {
		_, err = s.startOrJoin(ctx, time.Now(), must)
	}
	return err
}

// startOrJoin does what refresh does, with one fetch. It reports whether that fetch was frozen.
func (s *keySet) startOrJoin(ctx context.Context, now time.Time, must bool) (frozen bool, err error) {
	s.mu.Lock()
	if now.Before(s.pause) {
		defer s.mu.Unlock()
		return false, s.failed
	}
	starts := s.flight == nil || s.running < maxRunning && s.froze(s.flight.began, now)
	wait := must || starts && !now.Before(s.late)
	if starts {
		s.flight = &flight{began: time.Now(), done: make(chan struct{})}
		s.running++
		go s.runFetch(context.WithoutCancel(ctx), s.flight)
	}
	f := s.flight
	s.mu.Unlock()
	if !wait {
		return false, nil
	}
	return f.join(ctx)
}

// join waits until the fetch or ctx ends, and returns the error of the one that ended.
func (f *flight) join(ctx context.Context) (frozen bool, err error) {
	select {
	case <-f.done:
		return f.frozen, f.err
	case <-ctx.Done():
		return false, ended(ctx)
	}
}

// errUnfinished is the error of a fetch whose goroutine ended without a result, by runtime.Goexit in the transport.
var errUnfinished = errors.New("fetch did not end")

// runFetch performs a fetch, in its own goroutine and with its own time limits. Later requests need the keys too, so
// the fetch continues when the request that started it ends. If the transport panics or calls runtime.Goexit, the fetch
// has failed: the program continues, and the waiting requests are released. ObserveFetch is told before they are
// released, so its counts are complete when such a request is answered.
func (s *keySet) runFetch(ctx context.Context, f *flight) {
	var got *fetched
	err := errUnfinished
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("fetch panicked: %v", p)
		}
		if errors.Is(err, context.Canceled) { // by the transport, since no request cancels a fetch
			err = fmt.Errorf("%w: %w", errOwnCancel, err)
		}
		defer s.release(f) // also if ObserveFetch does not return
		now := time.Now()
		s.finishFetch(f, got, err, now)
		if s.observe != nil {
			s.observe(ctx, s.report(err, f.began, now))
		}
	}()
	got, err = s.fetch(ctx)
}

// release lets the requests go on that wait for the fetch.
func (s *keySet) release(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	if s.flight == f {
		s.flight = nil
	}
	close(f.done)
}

// finishFetch installs the result of a fetch, and sets when the next one may start. Keys whose fetch was frozen count
// as if they had come when the fetch began, because the server may have answered then. They are dropped if the current
// keys come from a fetch that began later.
func (s *keySet) finishFetch(f *flight, got *fetched, err error, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.err, f.frozen = err, errors.Is(err, errFrozen) || s.froze(f.began, now)
	switch {
	case err == nil && !f.began.After(s.asked):
		return
	case err == nil && f.frozen:
		s.succeed(f, got, f.began.Round(0)) // without the monotonic clock
	case err == nil:
		s.succeed(f, got, now)
	case s.flight == f: // otherwise another fetch has overtaken this one, and that one counts
		s.fail(f, now)
	}
}

// succeed makes fetched keys current. at is when they count as fetched. The caller must hold mu.
func (s *keySet) succeed(f *flight, got *fetched, at time.Time) {
	s.failed, s.asked, s.pause = nil, f.began, at.Add(refetchPause)
	s.install(got, at)
}

// fail sets the pause after a fetch that has failed. The caller must hold mu.
func (s *keySet) fail(f *flight, now time.Time) {
	if s.failed = f.err; f.frozen {
		return
	}
	s.pause = now.Add(refetchPause)
	if snap := s.current.Load(); snap == nil || !isAhead(snap.stale, now) {
		s.pause = now.Add(retryPause) // every request is refused until the next fetch, so it must come soon
	}
	s.late = now.Add(maxLate) // the server failed, so waiting for it would not help
}

// froze reports whether a fetch has taken so long by the wall clock that the process must have been frozen meanwhile. A
// step of the wall clock looks the same. It costs one fetch more, and no failure.
func (s *keySet) froze(began, now time.Time) bool { return wallTime(began, now) > s.maxFlight }

// isAhead reports whether an instant is still to come, by both clocks. So keys are not used for longer because the
// monotonic clock stood still, nor because the wall clock was set back.
func isAhead(instant, now time.Time) bool {
	return now.Before(instant) && now.Round(0).Before(instant.Round(0))
}

// wallTime returns the time between two instants by the wall clock. Round(0) removes the monotonic clock, which may
// stop while the process is frozen.
func wallTime(from, to time.Time) time.Duration { return to.Round(0).Sub(from.Round(0)) }
