package ratelimit_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
)

const never = ratelimit.Never

func newBucket(t *testing.T, rate float64, burst int64) *ratelimit.Bucket {
	t.Helper()
	b, err := ratelimit.NewBucket(ratelimit.Limit{Rate: rate, Burst: burst})
	require.NoError(t, err)
	return b
}

func TestValidateReportsEveryMistake(t *testing.T) {
	for _, test := range []struct {
		rate  float64
		burst int64
		want  string
	}{
		{1, 1, ""},
		{0, 1, ""},
		{0, 1 << 60, ""},
		{1 << 40, 1 << 60, ""},
		{math.Inf(1), 0, ""},
		{math.Inf(1), -1, ""},
		{1.0 / (365 * 86400), 1, ""},
		{1.0 / (365 * 86400), 36, ""},
		{0.1, 1, ""},
		{0, 0, "ratelimit: burst 0 is not within 1 to 2^60 tokens"},
		{1, 0, "ratelimit: burst 0 is not within 1 to 2^60 tokens"},
		{1, -1, "ratelimit: burst -1 is not within 1 to 2^60 tokens"},
		{1e12, 1<<60 + 1, "ratelimit: burst 1152921504606846977 is not within 1 to 2^60 tokens"},
		{math.NaN(), 1, "ratelimit: rate NaN is not within 0 to 2^40 tokens per second, nor infinite"},
		{-1, 1, "ratelimit: rate -1 is not within 0 to 2^40 tokens per second, nor infinite"},
		{math.Inf(-1), 1, "ratelimit: rate -Inf is not within 0 to 2^40 tokens per second, nor infinite"},
		{1<<40 + 1, 1, "ratelimit: rate 1.099511627777e+12 is not within 0 to 2^40 tokens per second, nor infinite"},
		{math.NaN(), 0, "ratelimit: rate NaN is not within 0 to 2^40 tokens per second, nor infinite\nratelimit: burst 0 is not within 1 to 2^60 tokens"},
		{1.0 / (365 * 86400), 37, "ratelimit: burst 37 takes longer than 36.5 years to fill at 3.1709791983764586e-08 tokens per second"},
		{math.SmallestNonzeroFloat64, 1, "ratelimit: burst 1 takes longer than 36.5 years to fill at 5e-324 tokens per second"},
	} {
		l := ratelimit.Limit{Rate: test.rate, Burst: test.burst}
		err := l.Validate()
		_, made := ratelimit.NewBucket(l)
		require.Equal(t, err, made, "%v", l)
		if test.want == "" {
			require.NoError(t, err, "%v", l)
		} else {
			require.EqualError(t, err, test.want, "%v", l)
		}
	}
}

func TestTakeTellsWhatTheBucketHolds(t *testing.T) {
	const s = time.Second
	for _, test := range []struct {
		name  string
		limit ratelimit.Limit
		at    []time.Duration // of the calls
		n     []int64         // that they take
		want  ratelimit.Decision
	}{
		{"full", ratelimit.Limit{Rate: 10, Burst: 5}, []time.Duration{0}, []int64{1}, ratelimit.Decision{OK: true, Limit: 5, Remaining: 4, ResetAfter: s / 10}},
		{"all", ratelimit.Limit{Rate: 10, Burst: 5}, []time.Duration{0}, []int64{5}, ratelimit.Decision{OK: true, Limit: 5, Remaining: 0, ResetAfter: s / 2}},
		{"nothing", ratelimit.Limit{Rate: 10, Burst: 5}, []time.Duration{0, 0}, []int64{5, 0}, ratelimit.Decision{OK: true, Limit: 5, Remaining: 0, ResetAfter: s / 2}},
		{"too many", ratelimit.Limit{Rate: 10, Burst: 5}, []time.Duration{0}, []int64{6}, ratelimit.Decision{Limit: 5, Remaining: 5, RetryAfter: never}},
		{"far too many", ratelimit.Limit{Rate: 10, Burst: 5}, []time.Duration{0, 0}, []int64{1, math.MaxInt64}, ratelimit.Decision{Limit: 5, Remaining: 4, RetryAfter: never, ResetAfter: s / 10}},
		{"negative", ratelimit.Limit{Rate: 10, Burst: 5}, []time.Duration{0}, []int64{-1}, ratelimit.Decision{Limit: 5, Remaining: 5, RetryAfter: never}},
		{"most negative", ratelimit.Limit{Rate: 10, Burst: 5}, []time.Duration{0}, []int64{math.MinInt64}, ratelimit.Decision{Limit: 5, Remaining: 5, RetryAfter: never}},
		{"drained", ratelimit.Limit{Rate: 10, Burst: 5}, []time.Duration{0, s / 20}, []int64{5, 1}, ratelimit.Decision{Limit: 5, RetryAfter: s / 20, ResetAfter: 9 * s / 20}},
		{"two of them", ratelimit.Limit{Rate: 10, Burst: 5}, []time.Duration{0, s / 20}, []int64{5, 2}, ratelimit.Decision{Limit: 5, RetryAfter: 3 * s / 20, ResetAfter: 9 * s / 20}},
		{"a nanosecond early", ratelimit.Limit{Rate: 10, Burst: 5}, []time.Duration{0, s/10 - 1}, []int64{5, 1}, ratelimit.Decision{Limit: 5, RetryAfter: 1, ResetAfter: 4*s/10 + 1}},
		{"in time", ratelimit.Limit{Rate: 10, Burst: 5}, []time.Duration{0, s / 10}, []int64{5, 1}, ratelimit.Decision{OK: true, Limit: 5, ResetAfter: s / 2}},
		{"full again", ratelimit.Limit{Rate: 10, Burst: 5}, []time.Duration{0, 7 * s}, []int64{5, 5}, ratelimit.Decision{OK: true, Limit: 5, ResetAfter: s / 2}},
		{"time steps back", ratelimit.Limit{Rate: 10, Burst: 5}, []time.Duration{s, 0}, []int64{5, 1}, ratelimit.Decision{Limit: 5, RetryAfter: 11 * s / 10, ResetAfter: 3 * s / 2}},
		{"before its making", ratelimit.Limit{Rate: 10, Burst: 5}, []time.Duration{0, -s}, []int64{5, 1}, ratelimit.Decision{Limit: 5, RetryAfter: 11 * s / 10, ResetAfter: 3 * s / 2}},
		{"one a year", ratelimit.Limit{Rate: 1.0 / (365 * 86400), Burst: 1}, []time.Duration{0, s}, []int64{1, 1}, ratelimit.Decision{Limit: 1, RetryAfter: 365*86400*s - s, ResetAfter: 365*86400*s - s}},
		{"7 an hour", ratelimit.Limit{Rate: 7.0 / 3600, Burst: 7}, []time.Duration{0, s}, []int64{7, 7}, ratelimit.Decision{Limit: 7, RetryAfter: 3600*s - s, ResetAfter: 3600*s - s}},
		{"10^12 a second", ratelimit.Limit{Rate: 1e12, Burst: 1e12}, []time.Duration{0, 1}, []int64{1e12, 1001}, ratelimit.Decision{Limit: 1e12, Remaining: 1000, RetryAfter: 1, ResetAfter: s - 1}},
		{"burst only", ratelimit.Limit{Burst: 2}, []time.Duration{0, 365 * 24 * time.Hour}, []int64{1, 1}, ratelimit.Decision{OK: true, Limit: 2, ResetAfter: never}},
		{"burst only, drained", ratelimit.Limit{Burst: 2}, []time.Duration{0, 365 * 24 * time.Hour}, []int64{2, 1}, ratelimit.Decision{Limit: 2, RetryAfter: never, ResetAfter: never}},
		{"no limit", ratelimit.Limit{Rate: math.Inf(1)}, []time.Duration{0}, []int64{math.MaxInt64}, ratelimit.Decision{OK: true, Limit: math.MaxInt64, Remaining: math.MaxInt64}},
		{"no limit, negative", ratelimit.Limit{Rate: math.Inf(1)}, []time.Duration{0}, []int64{-1}, ratelimit.Decision{Limit: math.MaxInt64, Remaining: math.MaxInt64, RetryAfter: never}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, err := ratelimit.NewBucket(test.limit)
				require.NoError(t, err)
				start := time.Now()
				var got ratelimit.Decision
				for i, n := range test.n {
					got = b.Ref().Take(start.Add(test.at[i]), n).Decision()
				}
				require.Equal(t, test.want, got)
			})
		})
	}
}

func TestPeekTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(t, 10, 1)
		full := ratelimit.Decision{OK: true, Limit: 1, Remaining: 1}
		require.Equal(t, full, b.Peek())
		require.Equal(t, full, b.Peek())
		require.True(t, b.Allow())
		empty := ratelimit.Decision{Limit: 1, RetryAfter: 100 * time.Millisecond, ResetAfter: 100 * time.Millisecond}
		require.Equal(t, empty, b.Peek())
		time.Sleep(100 * time.Millisecond)
		require.Equal(t, full, b.Peek())
	})
}

func TestUndoGivesBackOnceAndNoMoreThanWasTaken(t *testing.T) {
	full := ratelimit.Decision{OK: true, Limit: 5, Remaining: 5}
	for _, test := range []struct {
		name string
		take int64
		undo []int64
		want int64 // tokens in the bucket afterwards
	}{
		{"all", 5, []int64{5}, 5},
		{"a part", 5, []int64{3}, 3},
		{"more than was taken", 2, []int64{99}, 5},
		{"twice", 5, []int64{2, 3}, 2},
		{"none", 5, []int64{0}, 0},
		{"a negative number", 5, []int64{-1}, 0},
		{"what was refused", 6, []int64{6}, 5},
	} {
		synctest.Test(t, func(t *testing.T) {
			for _, ref := range []ratelimit.Ref{
				newBucket(t, 1, 5).Ref(), newLimiter(t, ratelimit.Config[string]{Limit: ratelimit.Limit{Rate: 1, Burst: 5}}).Ref("a"),
			} {
				receipt := ref.Take(time.Now(), test.take)
				require.Equal(t, test.take <= 5, receipt.Decision().OK, test.name)
				for _, n := range test.undo {
					receipt.Undo(n)
				}
				require.EqualValues(t, test.want, ref.Peek(time.Now()).Remaining, test.name)
				time.Sleep(5 * time.Second)
				require.Equal(t, full, ref.Peek(time.Now()), test.name)
			}
		})
	}
	var none ratelimit.Receipt
	none.Undo(1)
	require.Equal(t, ratelimit.Decision{RetryAfter: never}, none.Decision())
}

// The example in the doc of Undo.
func TestUndoKeepsBackWhatOthersMayHaveUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ref := newBucket(t, 1, 5).Ref()
		receipt := ref.Take(time.Now(), 3)
		time.Sleep(2 * time.Second)
		ref.Take(time.Now(), 1)
		require.EqualValues(t, 3, ref.Peek(time.Now()).Remaining)
		receipt.Undo(3)
		require.EqualValues(t, 4, ref.Peek(time.Now()).Remaining)
	})
}

func TestUndoAfterAChangeOfTheLimitGivesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(t, 1, 5)
		receipt := b.Ref().Take(time.Now(), 3)
		require.NoError(t, b.SetLimit(ratelimit.Limit{Rate: 2, Burst: 5}))
		receipt.Undo(3)
		require.EqualValues(t, 2, b.Peek().Remaining)
	})
}

func TestBucketFollowsTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(t, 10, 2)
		require.True(t, b.Allow())
		require.True(t, b.Allow())
		require.False(t, b.Allow())
		time.Sleep(b.Peek().RetryAfter - 1)
		require.False(t, b.Allow())
		time.Sleep(time.Nanosecond)
		require.True(t, b.Take(1).OK)
		require.False(t, b.Allow())
	})
}

func TestSetLimitKeepsTheDebt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(t, 1, 100)
		require.True(t, b.Take(100).OK)
		require.NoError(t, b.SetLimit(ratelimit.Limit{Rate: 100, Burst: 100}))
		require.Equal(t, 10*time.Millisecond, b.Peek().RetryAfter, "not the 100 seconds that the debt was worth")
		time.Sleep(10 * time.Millisecond)
		require.True(t, b.Allow())

		require.NoError(t, b.SetLimit(ratelimit.Limit{Rate: 100, Burst: 10}))
		require.Equal(t, 910*time.Millisecond, b.Peek().RetryAfter, "90 too many, and one")
		require.EqualValues(t, 0, b.Peek().Remaining)

		require.NoError(t, b.SetLimit(ratelimit.Limit{Rate: math.Inf(1)}))
		require.True(t, b.Take(1e6).OK)
		require.NoError(t, b.SetLimit(ratelimit.Limit{Rate: 0, Burst: 10}))
		require.True(t, b.Take(10).OK, "what an infinite rate refills at once")
		require.False(t, b.Allow())
		require.NoError(t, b.SetLimit(ratelimit.Limit{Rate: 1.0 / 60, Burst: 10}))
		time.Sleep(time.Minute - 1)
		require.False(t, b.Allow())
		time.Sleep(time.Nanosecond)
		require.True(t, b.Allow())

		require.EqualError(t, b.SetLimit(ratelimit.Limit{}), "ratelimit: burst 0 is not within 1 to 2^60 tokens")
		require.EqualValues(t, 10, b.Peek().Limit)
	})
}

// A clock at 10^12 units a second reaches its horizon after 53 days.
func TestBucketOutlivesItsHorizon(t *testing.T) {
	b, err := ratelimit.NewBucket(ratelimit.Limit{Rate: 1e12, Burst: 1e15})
	require.NoError(t, err)
	now := time.Now()
	for range 50 {
		require.True(t, b.Ref().Take(now, 1e15).Decision().OK)
		require.Equal(t, 1000*time.Second, b.Ref().Take(now, 0).Decision().ResetAfter)
		now = now.Add(500 * time.Second)
		require.True(t, b.Ref().Take(now, 5e14).Decision().OK)
		require.False(t, b.Ref().Take(now, 1).Decision().OK)
		now = now.Add(20 * 24 * time.Hour)
	}
}

func TestZeroBucketRefuses(t *testing.T) {
	for _, b := range []*ratelimit.Bucket{nil, {}} {
		require.False(t, b.Allow())
		require.Equal(t, ratelimit.Decision{RetryAfter: never}, b.Take(1))
		require.Equal(t, ratelimit.Decision{RetryAfter: never}, b.Take(0))
		require.Equal(t, ratelimit.Decision{RetryAfter: never}, b.Peek())
		require.ErrorIs(t, b.SetLimit(ratelimit.Limit{Rate: 1, Burst: 1}), ratelimit.ErrNotConfigured)
		require.False(t, b.Allow())
	}
}
