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

func TestReserveAndCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(t, 1, 2)
		first, second, third := b.Reserve(2), b.Reserve(1), b.Reserve(2)
		for i, want := range []time.Duration{0, time.Second, 3 * time.Second} {
			r := []*ratelimit.Reservation{first, second, third}[i]
			require.True(t, r.OK)
			require.Equal(t, want, r.Delay)
		}
		d := b.Peek()
		require.False(t, d.OK, "nobody overtakes who waits")
		require.Equal(t, 4*time.Second, d.RetryAfter)

		third.Cancel()
		third.Cancel()
		require.Equal(t, 2*time.Second, b.Peek().RetryAfter, "the last one comes back whole, and once")
		second.Cancel()
		require.Equal(t, time.Second, b.Peek().RetryAfter)
		first.Cancel()
		require.EqualValues(t, 2, b.Peek().Remaining)

		early, late := b.Reserve(2), b.Reserve(1)
		early.Cancel()
		require.Equal(t, time.Second, late.Delay)
		require.Equal(t, time.Second, b.Peek().RetryAfter, "of two tokens, one stands where the later reservation is due")
		time.Sleep(time.Second)
		require.True(t, b.Allow())
		require.False(t, b.Allow(), "which is due now as well")
	})
}

func TestReserveRefuses(t *testing.T) {
	slow := newBucket(t, 1, 2)
	frozen := newBucket(t, 0, 2)
	require.True(t, frozen.Reserve(2).OK)
	years := newBucket(t, 1e-9, 1)
	require.True(t, years.Reserve(1).OK)
	for name, r := range map[string]*ratelimit.Reservation{
		"above the burst": slow.Reserve(3), "negative": slow.Reserve(-1), "no refill": frozen.Reserve(1),
		"zero": (&ratelimit.Bucket{}).Reserve(1), "nil": (*ratelimit.Bucket)(nil).Reserve(1),
	} {
		require.False(t, r.OK, name)
		require.Equal(t, never, r.Delay, name)
		r.Cancel()
	}
	require.Equal(t, ratelimit.Decision{OK: true, Limit: 2, Remaining: 2}, slow.Peek())
	(&ratelimit.Reservation{}).Cancel()
	require.True(t, newBucket(t, 1, 1).Reserve(0).OK)
}

func TestReserveForYears(t *testing.T) {
	b := newBucket(t, 1, 1<<30)
	refused := 0
	for range 100 {
		if r := b.Reserve(1 << 30); !r.OK {
			refused++
		} else {
			require.GreaterOrEqual(t, r.Delay, time.Duration(0))
		}
	}
	require.Positive(t, refused)
	require.False(t, b.Allow())
	require.Positive(t, b.Peek().RetryAfter)
}

func TestReserveAcrossSetLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(t, 1, 1)
		b.Reserve(1)
		r := b.Reserve(1)
		require.NoError(t, b.SetLimit(ratelimit.Limit{Rate: 2, Burst: 1}))
		r.Cancel()
		require.Equal(t, time.Second, b.Peek().RetryAfter, "two tokens owed, two a second; nothing came back")
	})
}

// All gives back to a bucket with a queue what Cancel would.
func TestAllOverAQueue(t *testing.T) {
	b, empty := newBucket(t, 0, 3), newBucket(t, 0, 1)
	require.True(t, b.Reserve(1).OK)
	require.True(t, empty.Allow())
	d, _ := ratelimit.All(1, b.Ref(), empty.Ref())
	require.False(t, d.OK)
	_, ok := ratelimit.AllowAt(time.Now(), 2, []ratelimit.Ref{b.Ref(), empty.Ref()}, make([]ratelimit.Taken, 2))
	require.False(t, ok)
	require.EqualValues(t, 2, b.Peek().Remaining, "a refused call consumes nothing")
	b.Refund(1)
	require.EqualValues(t, 2, b.Peek().Remaining)
}

func TestWaitFirstComeFirstServed(t *testing.T) {
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

func TestWaitAfterTheDeadline(t *testing.T) {
	b := newBucket(t, 1, 1)
	require.Equal(t, context.DeadlineExceeded, b.Wait(overdue{t.Context()}, 1))
	require.EqualValues(t, 1, b.Peek().Remaining, "nothing was taken")
}

func TestWaitCanceled(t *testing.T) {
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

func TestWaitRefuses(t *testing.T) {
	b := newBucket(t, 1, 2)
	require.ErrorIs(t, b.Wait(t.Context(), -1), ratelimit.ErrCost)
	err := b.Wait(t.Context(), 3)
	require.ErrorIs(t, err, ratelimit.ErrLimited)
	require.Equal(t, never, decision(t, err).RetryAfter)
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
