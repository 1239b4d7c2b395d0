package journal

import (
	"context"
	"time"
)

// looks is the time between two looks of a follower that was told nothing. Notifications get lost: a connection breaks,
// or a pooler between node and server does not pass them on. A change must act within a second on every node. That
// leaves three quarters of a second for a store that is slow to answer.
const looks = 250 * time.Millisecond

// brief is the first patience of a follower. A connection may die without an error, and the next attempt then uses
// another one. A change must act within a second in that case as well: 250 ms until the follower looks, 600 ms of
// silence, a pause of 50 ms, and the answer. A store that is slower than 600 ms fails once. The next attempt then has
// twice the patience.
const brief = 600 * time.Millisecond

// patience returns the patience of a follower's first attempt. When the state is too old, requests wait for the same
// attempt. They wait for a second, so the attempt gets a second too.
func (t *Topic) patience(now time.Time) time.Duration {
	if t.maxStale > 0 && !t.within(t.maxStale, now) {
		return firstPatience
	}
	return brief
}

// follow reads on until the topic is closed.
//
// [Journal.Wait] tells it only when to look. So a notification that gets lost does no harm. Nor does a wrong one: if
// the journal has not grown after it, follow sleeps until the next regular look.
func (t *Topic) follow() {
	waits := make(chan struct{}, 1)
	for told, from := false, uint64(0); t.life.Err() == nil; {
		now := time.Now()
		a, mine, _ := t.ask(now, t.patience(now))
		if a == nil {
			t.sleep(firstPause) // an attempt, of this goroutine or of a request, has just failed
			continue
		}
		<-a.done // closed after Topic.Close as well
		switch {
		case a.err != nil, told && !mine: // an attempt that had begun before may lack the change that was told
		case told && t.head.Load() == from:
			told = false
			t.sleep(t.interval())
		default:
			from = t.head.Load()
			told = t.listen(from, waits)
		}
	}
}

// listen waits until the journal has grown, or until it is time to look, and reports which. If Wait fails, it is not
// called again before that time.
//
// A store may return from Wait late, or never. That must not make a look late, so Wait runs on a goroutine. The channel
// waits holds a token meanwhile. The next Wait begins when it has returned, so that such goroutines do not pile up.
//
// The context is canceled and has no deadline, because clients of stores close a connection at a deadline.
func (t *Topic) listen(head uint64, waits chan struct{}) bool {
	ctx, cancel := context.WithCancel(t.life)
	defer cancel()
	defer time.AfterFunc(t.interval(), cancel).Stop()
	grown := make(chan struct{})
	t.running.Go(func() {
		select {
		case waits <- struct{}{}:
			if t.journal.Wait(ctx, head) == nil {
				close(grown)
			}
			<-waits
		case <-ctx.Done():
		}
	})
	select {
	case <-grown:
		return true
	case <-ctx.Done():
		return false
	}
}

// interval is the time between two looks. With a maxStale it is at most a quarter of that, so that one attempt may fail
// before the state is too old.
func (t *Topic) interval() time.Duration {
	if t.maxStale > 0 {
		return min(looks, max(t.maxStale/4, time.Millisecond))
	}
	return looks
}

func (t *Topic) sleep(d time.Duration) {
	ctx, cancel := context.WithTimeout(t.life, d)
	defer cancel()
	<-ctx.Done()
}
