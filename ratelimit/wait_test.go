package ratelimit_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
)

func TestReservationsAreDueInOrderAndUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(t, 1, 2)
		var made [3]ratelimit.Receipt
		for i, want := range []time.Duration{0, time.Second, 3 * time.Second} {
			var delay time.Duration
			made[i], delay = b.Reserve([]int64{2, 1, 2}[i])
			require.True(t, made[i].Decision().OK)
			require.Equal(t, want, delay)
		}
		d := b.Peek()
		require.False(t, d.OK, "nobody overtakes a caller that waits")
		require.Equal(t, 4*time.Second, d.RetryAfter)

		made[2].Undo(2)
		made[2].Undo(2)
		require.Equal(t, 2*time.Second, b.Peek().RetryAfter, "the last one comes back whole, and once")
		made[1].Undo(1)
		require.Equal(t, time.Second, b.Peek().RetryAfter)
		made[0].Undo(2)
		require.EqualValues(t, 2, b.Peek().Remaining)

		early, _ := b.Reserve(2)
		_, delay := b.Reserve(1)
		early.Undo(2)
		require.Equal(t, time.Second, delay)
		require.Equal(t, time.Second, b.Peek().RetryAfter, "of two tokens, one is kept for the later reservation")
		time.Sleep(time.Second)
		require.True(t, b.Allow())
		require.False(t, b.Allow(), "the later reservation is due now as well")
	})
}

func TestReserveRefusesWhatNoWaitBrings(t *testing.T) {
	slow, empty, years := newBucket(t, 1, 2), newBucket(t, 0, 2), newBucket(t, 1e-9, 1)
	require.True(t, empty.Take(2).OK && years.Allow())
	for name, reserve := range map[string]func() (ratelimit.Receipt, time.Duration){
		"above the burst": func() (ratelimit.Receipt, time.Duration) { return slow.Reserve(3) },
		"negative":        func() (ratelimit.Receipt, time.Duration) { return slow.Reserve(-1) },
		"no refill":       func() (ratelimit.Receipt, time.Duration) { return empty.Reserve(1) },
		"zero":            func() (ratelimit.Receipt, time.Duration) { return (&ratelimit.Bucket{}).Reserve(1) },
		"nil":             func() (ratelimit.Receipt, time.Duration) { return (*ratelimit.Bucket)(nil).Reserve(1) },
	} {
		r, delay := reserve()
		require.Equal(t, ratelimit.Decision{RetryAfter: never}, r.Decision(), name)
		require.Equal(t, never, delay, name)
		r.Undo(1)
	}
	require.Equal(t, ratelimit.Decision{OK: true, Limit: 2, Remaining: 2}, slow.Peek())
	r, delay := newBucket(t, 1, 1).Reserve(0)
	require.True(t, r.Decision().OK)
	require.Zero(t, delay)
}

func TestReserveRefusesAWaitOfYears(t *testing.T) {
	b := newBucket(t, 1, 1<<30)
	refused := 0
	for range 100 {
		_, delay := b.Reserve(1 << 30)
		require.GreaterOrEqual(t, delay, time.Duration(0))
		if delay == never {
			refused++
		}
	}
	require.Positive(t, refused)
	require.False(t, b.Allow())
	require.Positive(t, b.Peek().RetryAfter)
}

func TestReservationIsOwedAtTheNewRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(t, 1, 1)
		b.Reserve(1)
		r, _ := b.Reserve(1)
		require.NoError(t, b.SetLimit(ratelimit.Limit{Rate: 2, Burst: 1}))
		r.Undo(1)
		require.Equal(t, time.Second, b.Peek().RetryAfter, "two tokens owed, two a second; nothing came back")
	})
}

// TakeAll gives back to a bucket in which callers wait what Undo would.
func TestTakeAllGivesBackToAQueue(t *testing.T) {
	b, empty := newBucket(t, 0, 3), newBucket(t, 0, 1)
	b.Reserve(1)
	require.True(t, empty.Allow())
	_, ok := ratelimit.TakeAll(time.Now(), 2, []ratelimit.Ref{b.Ref(), empty.Ref()}, make([]ratelimit.Receipt, 2))
	require.False(t, ok)
	require.EqualValues(t, 2, b.Peek().Remaining, "a refused call consumes nothing")
}

func TestWaitServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(t, 2, 1)
		begin := time.Now()
		var mu sync.Mutex
		var order []int
		var at []time.Duration
		for i := range 5 {
			go func() {
				require.NoError(t, b.Wait(t.Context(), 1))
				mu.Lock()
				defer mu.Unlock()
				order, at = append(order, i), append(at, time.Since(begin))
			}()
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, []int{0, 1, 2, 3, 4}, order)
		require.Equal(t, []time.Duration{0, 500 * time.Millisecond, time.Second, 1500 * time.Millisecond, 2 * time.Second}, at)
	})
}

func TestWaitHonoursTheDeadlineBeforeItSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(t, 1, 1)
		require.NoError(t, b.Wait(t.Context(), 1))
		begin := time.Now()
		ctx, stop := context.WithTimeout(t.Context(), 999*time.Millisecond)
		defer stop()
		err := b.Wait(ctx, 1)
		require.ErrorIs(t, err, ratelimit.ErrLimited)
		require.Zero(t, time.Since(begin))
		require.Equal(t, time.Second, decision(t, err).RetryAfter)
		require.Equal(t, time.Second, b.Peek().RetryAfter, "nothing was taken")

		enough, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		require.NoError(t, b.Wait(enough, 1), "the deadline itself is in time")
	})
}

// overdue is a context whose deadline has passed a moment ago, and which has not noticed yet.
type overdue struct{ context.Context }

func (overdue) Deadline() (time.Time, bool) { return time.Now().Add(-time.Nanosecond), true }

func TestWaitAfterTheDeadlineTakesNothing(t *testing.T) {
	b := newBucket(t, 1, 1)
	require.Equal(t, context.DeadlineExceeded, b.Wait(overdue{t.Context()}, 1))
	require.EqualValues(t, 1, b.Peek().Remaining, "nothing was taken")
}

func TestCanceledWaitGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(t, 1, 1)
		require.True(t, b.Allow())
		ctx, cancel := context.WithCancel(t.Context())
		running := runtime.NumGoroutine()
		done := make(chan error)
		go func() { done <- b.Wait(ctx, 1) }()
		synctest.Wait()
		require.Equal(t, running+1, runtime.NumGoroutine(), "no goroutine but the caller's own")
		require.Equal(t, 2*time.Second, b.Peek().RetryAfter)
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
		require.Equal(t, time.Second, b.Peek().RetryAfter, "its token came back")
		require.ErrorIs(t, b.Wait(ctx, 1), context.Canceled)
		require.Equal(t, time.Second, b.Peek().RetryAfter)
	})
}

func TestWaitRefusesWhatNoWaitBrings(t *testing.T) {
	b := newBucket(t, 1, 2)
	for _, n := range []int64{-1, 3} {
		err := b.Wait(t.Context(), n)
		require.ErrorIs(t, err, ratelimit.ErrLimited)
		require.Equal(t, never, decision(t, err).RetryAfter)
	}
	require.ErrorIs(t, (&ratelimit.Bucket{}).Wait(t.Context(), 1), ratelimit.ErrNotConfigured)
	require.ErrorIs(t, (*ratelimit.Bucket)(nil).Wait(t.Context(), 1), ratelimit.ErrNotConfigured)
	require.NoError(t, b.Wait(t.Context(), 0))
	require.EqualValues(t, 2, b.Peek().Remaining)
}

func decision(t *testing.T, err error) ratelimit.Decision {
	t.Helper()
	var e *ratelimit.Error
	require.ErrorAs(t, err, &e)
	return e.Decision
}
