package ratelimit_test

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
)

func newLimiter(t *testing.T, c ratelimit.Config[string]) *ratelimit.Limiter[string] {
	t.Helper()
	l, err := ratelimit.New(c)
	require.NoError(t, err)
	return l
}

func TestNewReportsEveryMistake(t *testing.T) {
	_, err := ratelimit.New(ratelimit.Config[string]{Limit: ratelimit.Limit{Rate: -1}, MaxKeys: -1, Name: "a\n", Unit: "ö"})
	require.EqualError(t, err, `ratelimit: rate -1 is not within 0 to 2^40 tokens per second, nor infinite
ratelimit: burst 0 is not within 1 to 2^60 tokens
ratelimit: MaxKeys -1 is not within 0 to 2^31-1
ratelimit: Name "a\n" is not printable ASCII
ratelimit: Unit "ö" is not printable ASCII`)
}

func TestLimiterKeepsKeysApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, ratelimit.Config[string]{Limit: ratelimit.Limit{Rate: 10, Burst: 2}})
		require.Equal(t, ratelimit.Decision{OK: true, Limit: 2, Remaining: 2}, l.Peek("a"))
		require.True(t, l.Allow("a"))
		require.Equal(t, ratelimit.Decision{OK: true, Limit: 2, ResetAfter: 200 * time.Millisecond}, l.Take("a", 1))
		require.False(t, l.Allow("a"))
		require.True(t, l.Take("b", 2).OK)
		require.False(t, l.Allow("b"))
		require.Equal(t, ratelimit.Decision{Limit: 2, RetryAfter: never, Remaining: 2}, l.Take("c", 3))
		require.Equal(t, ratelimit.Decision{Limit: 2, RetryAfter: never, Remaining: 2}, l.Take("c", -1))
		require.Equal(t, ratelimit.Decision{OK: true, Limit: 2, Remaining: 2}, l.Take("c", 0))
		require.False(t, l.Allow("a"))
		time.Sleep(100 * time.Millisecond)
		require.True(t, l.Allow("a"))
		require.False(t, l.Allow("a"))
	})
}

func TestLimiterSetLimitKeepsEveryDebt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, ratelimit.Config[string]{Limit: ratelimit.Limit{Rate: 1, Burst: 100}})
		for i := range 1000 {
			require.True(t, l.Take(fmt.Sprint(i), 100).OK)
		}
		require.NoError(t, l.SetLimit(ratelimit.Limit{Rate: 100, Burst: 100}))
		for i := range 1000 {
			require.Equal(t, 10*time.Millisecond, l.Peek(fmt.Sprint(i)).RetryAfter)
		}
		time.Sleep(10 * time.Millisecond)
		require.NoError(t, l.SetLimit(ratelimit.Limit{Rate: 1e6, Burst: 100}))
		require.NoError(t, l.SetLimit(ratelimit.Limit{Rate: 1.0 / 3600, Burst: 100}))
		for i := range 1000 {
			require.True(t, l.Allow(fmt.Sprint(i)))
			require.Equal(t, time.Hour, l.Peek(fmt.Sprint(i)).RetryAfter)
		}
		require.EqualError(t, l.SetLimit(ratelimit.Limit{Rate: 1}), "ratelimit: burst 0 is not within 1 to 2^60 tokens")
	})
}

func TestKeyLimitKeepsTheDebt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, ratelimit.Config[string]{Limit: ratelimit.Limit{Rate: 1, Burst: 10}})
		require.True(t, l.Take("a", 10).OK)
		require.NoError(t, l.SetKeyLimit("a", &ratelimit.Limit{Rate: 100, Burst: 10}))
		require.NoError(t, l.SetKeyLimit("b", &ratelimit.Limit{Rate: 100, Burst: 1000}))
		require.Equal(t, 10*time.Millisecond, l.Peek("a").RetryAfter, "what it owes stays")
		require.True(t, l.Take("b", 1000).OK)
		require.False(t, l.Allow("b"))
		require.EqualValues(t, 10, l.Peek("c").Limit)
		time.Sleep(50 * time.Millisecond)
		require.NoError(t, l.SetKeyLimit("a", &ratelimit.Limit{Rate: 1, Burst: 10}))
		require.True(t, l.Take("a", 5).OK)
		require.False(t, l.Allow("a"))
		require.NoError(t, l.SetLimit(ratelimit.Limit{Rate: 1000, Burst: 10}))
		require.EqualValues(t, time.Second, l.Peek("a").RetryAfter, "it has its own limit")

		require.NoError(t, l.SetKeyLimit("a", nil))
		require.NoError(t, l.SetKeyLimit("a", nil))
		require.NoError(t, l.SetKeyLimit("never seen", nil))
		require.Equal(t, time.Millisecond, l.Peek("a").RetryAfter, "what it owes stays")
		require.EqualValues(t, 1000, l.Peek("b").Limit)
		time.Sleep(10 * time.Millisecond)
		require.True(t, l.Take("a", 10).OK)
		require.EqualError(t, l.SetKeyLimit("a", &ratelimit.Limit{Rate: 1}), "ratelimit: burst 0 is not within 1 to 2^60 tokens")
	})
}

func TestInfiniteRateRefusesNoKey(t *testing.T) {
	l := newLimiter(t, ratelimit.Config[string]{Limit: ratelimit.Limit{Rate: math.Inf(1)}})
	require.Equal(t, ratelimit.Decision{OK: true, Limit: math.MaxInt64, Remaining: math.MaxInt64}, l.Take("a", 1e6))
	require.True(t, l.Peek("a").OK)
	require.NoError(t, l.SetKeyLimit("a", &ratelimit.Limit{Rate: 1.0 / 3600, Burst: 1}))
	require.True(t, l.Allow("a"))
	require.False(t, l.Allow("a"))
	require.NoError(t, l.SetKeyLimit("a", nil))
	require.True(t, l.Allow("a"))
}

func TestZeroLimiterRefuses(t *testing.T) {
	for _, l := range []*ratelimit.Limiter[string]{nil, {}} {
		require.False(t, l.Allow("a"))
		require.Equal(t, ratelimit.Decision{RetryAfter: never}, l.Take("a", 1))
		require.Equal(t, ratelimit.Decision{RetryAfter: never}, l.Peek("a"))
		require.ErrorIs(t, l.SetKeyLimit("a", nil), ratelimit.ErrNotConfigured)
		require.ErrorIs(t, l.SetLimit(ratelimit.Limit{Rate: 1, Burst: 1}), ratelimit.ErrNotConfigured)
		require.ErrorIs(t, l.SetKeyLimit("a", &ratelimit.Limit{Rate: 1, Burst: 1}), ratelimit.ErrNotConfigured)
		require.Equal(t, ratelimit.Decision{RetryAfter: never}, l.Ref("a").Take(time.Now(), 1).Decision())
	}
}

func TestTakeAllTakesFromAllOrNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		second := newLimiter(t, ratelimit.Config[string]{Limit: ratelimit.Limit{Rate: 1, Burst: 2}})
		time.Sleep(time.Minute)
		global := newBucket(t, 100, 3)
		receipts := make([]ratelimit.Receipt, 3)
		takeAll := func(at time.Time, refs ...ratelimit.Ref) int {
			i, ok := ratelimit.TakeAll(at, 2, refs, receipts)
			require.Equal(t, i < 0 && len(refs) > 0, ok)
			for j := range refs {
				require.Equal(t, ok, receipts[j].Decision().OK, "a receipt for each bucket, or for none")
			}
			return i
		}
		now := time.Now()
		require.Equal(t, -1, takeAll(now, second.Ref("a"), global.Ref()))
		require.Equal(t, ratelimit.Decision{OK: true, Limit: 2, ResetAfter: 2 * time.Second}, receipts[0].Decision())
		require.Equal(t, 1, takeAll(now, second.Ref("b"), global.Ref()), "one token left")
		require.Equal(t, 10*time.Millisecond, receipts[1].Decision().RetryAfter, "for the two that were asked for")
		require.EqualValues(t, 2, second.Peek("b").Remaining, "a refused call consumes nothing")
		require.Equal(t, 0, takeAll(now.Add(10*time.Millisecond), second.Ref("a"), global.Ref()))
		require.EqualValues(t, 1, global.Peek().Remaining)
		require.Equal(t, -1, takeAll(now.Add(10*time.Millisecond), second.Ref("b"), global.Ref()), "each by its own epoch")
		for i := range 2 {
			receipts[i].Undo(2)
		}
		time.Sleep(10 * time.Millisecond)
		require.EqualValues(t, 2, second.Peek("b").Remaining)
		require.Equal(t, 2, takeAll(now, second.Ref("c"), newBucket(t, 0, 2).Ref(), ratelimit.Ref{}))
		require.EqualValues(t, 2, second.Peek("c").Remaining)
		require.Equal(t, -1, takeAll(now))
		require.Panics(t, func() { ratelimit.TakeAll(now, 1, make([]ratelimit.Ref, 4), receipts) })
	})
}
