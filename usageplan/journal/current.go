package journal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"
)

// A node knows nothing of what other nodes append until it asks. So the age of its state is the time since the last
// time that it asked and found the head. It counts from the instant at which the node began to ask: a change that is
// appended while the store answers may be missing in the answer.
//
// Two clocks measure an age, and the larger result counts. On Linux, the monotonic clock goes on while a process is
// stopped, or frozen by its control group. It stands still while the machine is suspended. Then the wall clock shows
// the age, as soon as it is right again. A wall clock that is set back makes no state younger, because the monotonic
// clock then has the larger result. One that is set forward makes states look old, so the nodes read once more.

const (
	// longestWait is how long a request waits for the store if the state is too old.
	longestWait = time.Second

	// A store that has said nothing for a patience has failed. Each failure doubles the patience, up to the longest. So
	// a store that is only slow, perhaps because it reads a million items, is heard in the end.
	firstPatience   = time.Second
	longestPatience = 8 * time.Second

	// After a failure, nobody asks for a pause. Each further failure doubles the pause, up to the longest.
	firstPause   = 50 * time.Millisecond
	longestPause = time.Second

	// remembered is how long a failure counts as recent. Meanwhile only the request that asks the store waits for it.
	// The others expect that it fails again. An attempt and the pause after it are shorter than this.
	remembered = longestPatience + 2*longestPause
)

// errSilent is why an attempt is given up.
var errSilent = errors.New("the store is silent")

// age returns the time from an instant to now, by the clock with the larger result. Both are readings of [time.Now].
func age(instant, now time.Time) time.Duration {
	return max(now.Sub(instant), time.Duration(now.UnixNano()-instant.UnixNano())) // Sub asks the monotonic clock
}

// Keep says how the topic keeps up with other writers. Its owner calls it at most once, before anybody else has the
// topic. Keep returns an error, and has no effect, if maxStale is negative, or if the topic has no journal and one of
// the two is asked for.
//
// maxStale bounds the age of the state by which the owner decides: see [Topic.Fresh] and [Topic.Renew]. 0 is no bound.
//
// If follow is true, a goroutine reads on when the journal has grown. It learns that from [Journal.Wait]. It also looks
// without being told, four times a second, or four times in each maxStale if that is less than a second. [Topic.Close]
// ends it.
func (t *Topic) Keep(maxStale time.Duration, follow bool) error {
	switch {
	case maxStale < 0:
		return fmt.Errorf("MaxStale %v is negative", maxStale)
	case t.journal == nil && (follow || maxStale > 0):
		return errors.New("without a Journal there is nothing to follow")
	}
	t.maxStale = maxStale
	t.life, t.end = context.WithCancel(context.Background())
	if follow {
		t.running.Go(t.follow)
	}
	return nil
}

// Close ends the goroutines of the topic and waits for them. Change and Refresh still work. Renew no longer reads: once
// the state is older than maxStale, it fails until the next Change or Refresh. Close always returns nil, and may be
// called several times.
func (t *Topic) Close() error {
	t.asking.Lock()
	if t.end != nil {
		t.end()
	}
	t.asking.Unlock()
	t.running.Wait()
	return nil
}

// Age returns the age of the state: the time since the beginning of the last read, or append, that came to the head.
// What was appended before that beginning is applied. Without a journal it is 0.
func (t *Topic) Age() time.Duration {
	if at := t.confirmed.Load(); at != nil {
		return age(*at, time.Now())
	}
	return 0
}

// Fresh reports whether the owner may decide at the time now without [Topic.Renew]: the state is not older than half of
// maxStale, or there is no bound. now is a reading of [time.Now]. Fresh takes one atomic load, so that every request
// can call it.
func (t *Topic) Fresh(now time.Time) bool { return t.maxStale == 0 || t.within(t.maxStale/2, now) }

func (t *Topic) within(bound time.Duration, now time.Time) bool {
	return age(*t.confirmed.Load(), now) <= bound
}

// Renew returns nil if the state is not older than maxStale. If it is older than half of that, Renew has a goroutine
// read on, one for all callers, and does not wait for it. So under steady traffic nobody waits.
//
// If the state is older than maxStale, Renew waits for that goroutine, for a second at most. All callers wait then,
// because nobody may decide by the state. But if the store has failed recently, only the caller that begins the next
// attempt waits, and the others get an error at once.
//
// An error means that the state is too old. It wraps [ErrUnavailable], or the error of ctx.
//
// For example, let maxStale be 10 s, on a machine that is frozen for a minute while no request comes. The first request
// after that finds a state that is too old. It waits until the topic has read on, and decides by what others have
// changed meanwhile. If the machine was frozen in the middle of an attempt, that attempt is given up. Its failure does
// not count, since it says nothing about the store.
func (t *Topic) Renew(ctx context.Context) error {
	var late <-chan time.Time
	for came := time.Now(); !t.Fresh(came); {
		a, mine, lately := t.ask(time.Now(), firstPatience)
		switch {
		case t.within(t.maxStale, came):
			return nil
		case a == nil, lately != nil && !mine:
			return tooOld(lately)
		case late == nil:
			late = time.After(longestWait)
		}
		select {
		case <-a.done:
		case <-late:
			return tooOld(errSilent)
		case <-ctx.Done():
			return fmt.Errorf("journal: %w", ctx.Err())
		}
		if a.err != nil && !a.outlived {
			return tooOld(a.err)
		}
	}
	return nil
}

// tooOld returns the error of Renew. It does not wrap the cause. That may be a canceled context, and the caller would
// take it for its own. A failed read already begins with the text of ErrUnavailable, which is removed, so that a log
// line has it once.
func tooOld(err error) error {
	return fmt.Errorf("%w: %s", ErrUnavailable, strings.TrimPrefix(err.Error(), ErrUnavailable.Error()+": "))
}

// An attempt reads on once, for all who wait for it.
type attempt struct {
	patience time.Duration
	heard    atomic.Pointer[time.Time] // when the store has last sent something
	punctual atomic.Bool               // it was given up in time, so the machine was not frozen before
	cancel   context.CancelCauseFunc

	done     chan struct{} // closed at the end; then the rest is set
	err      error
	outlived bool // the machine was frozen meanwhile, so the error tells nothing about the store
}

// frozen reports whether the machine must have been frozen during the attempt. If only the store were silent, the
// attempt would have been given up after its patience, which is earlier.
func (a *attempt) frozen(now time.Time) bool { return age(*a.heard.Load(), now) > a.patience*3/2 }

// ask returns the attempt that is under way, or begins one, and then mine is true. lately is the last failure, if it is
// a recent one. During the pause after a failure, and after Close, ask returns no attempt.
func (t *Topic) ask(now time.Time, patience time.Duration) (a *attempt, mine bool, lately error) {
	t.asking.Lock()
	defer t.asking.Unlock()
	if t.failures > 0 && age(t.failedAt, now) < remembered {
		lately = t.failure
	}
	switch {
	case t.life.Err() != nil:
		return nil, false, errors.New("the topic is closed")
	case t.attempt != nil && !t.attempt.frozen(now):
		return t.attempt, false, lately
	case t.attempt != nil:
		t.attempt.cancel(errSilent) // the next attempt waits for the turn until this one has noticed
	case lately != nil && age(t.failedAt, now) < t.pause:
		return nil, false, lately
	}
	t.attempt = t.begin(now, patience)
	return t.attempt, true, lately
}

// begin starts an attempt. patience is for the first attempt after a success; each failure since then doubles it. The
// caller must hold asking.
func (t *Topic) begin(now time.Time, patience time.Duration) *attempt {
	a := &attempt{patience: doubled(patience, t.failures, longestPatience), done: make(chan struct{})}
	a.heard.Store(&now)
	var ctx context.Context
	ctx, a.cancel = context.WithCancelCause(t.life)
	t.running.Go(func() { t.settle(a, t.try(ctx, a)) })
	return a
}

// try reads on, and gives up when the store is silent for too long. Each change that comes begins the patience again,
// so a long journal may take its time.
func (t *Topic) try(ctx context.Context, a *attempt) error {
	silent := time.AfterFunc(a.patience, func() {
		a.punctual.Store(!a.frozen(time.Now()))
		a.cancel(errSilent)
	})
	defer silent.Stop()
	defer a.cancel(nil)
	err := t.take(ctx)
	if err == nil {
		defer t.release()
		t.behind.Store(true)
		err = t.catchUp(ctx, func() {
			now := time.Now()
			a.heard.Store(&now)
			silent.Reset(a.patience)
		})
	}
	if err != nil && errors.Is(context.Cause(ctx), errSilent) {
		return fmt.Errorf("%w for %v: %w", errSilent, a.patience, err)
	}
	return err
}

// settle ends an attempt. If a newer attempt has begun meanwhile, or the machine was frozen, a failure does not count.
func (t *Topic) settle(a *attempt, err error) {
	t.asking.Lock()
	defer t.asking.Unlock()
	now := time.Now()
	a.err, a.outlived = err, t.attempt != a || !a.punctual.Load() && a.frozen(now)
	if t.attempt == a {
		t.attempt = nil
	}
	switch {
	case err == nil:
		t.failures, t.failure = 0, nil
	case !a.outlived:
		t.pause = doubled(firstPause, t.failures, longestPause)
		t.pause -= rand.N(t.pause / 2) // so that the nodes of a fleet do not all ask at the same instant
		t.failures, t.failedAt, t.failure = t.failures+1, now, err
	}
	close(a.done)
}

// doubled returns d, doubled n times, but not more than most.
func doubled(d time.Duration, n int, most time.Duration) time.Duration {
	return min(d<<min(n, 10), most)
}
