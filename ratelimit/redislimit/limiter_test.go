package redislimit_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/redislimit"
)

// take takes one token of each bucket of a group, and returns the refused one and the decisions.
func take(t testing.TB, l *redislimit.Limiter, group string, buckets map[string]ratelimit.Limit, names ...string) (int, []ratelimit.Decision) {
	t.Helper()
	limits, decisions := make([]ratelimit.Limit, len(names)), make([]ratelimit.Decision, len(names))
	for i, name := range names {
		limits[i] = buckets[name]
	}
	refused, err := l.Take(t.Context(), group, names, limits, decisions)
	require.NoError(t, err)
	return refused, decisions
}

// each runs a test over a single server and over a Cluster.
func each(t *testing.T, test func(t *testing.T, c redis.UniversalClient)) {
	t.Run("single", func(t *testing.T) { test(t, client(t, start(t).addr)) })
	t.Run("cluster", func(t *testing.T) { test(t, clusterClient(t, startCluster(t))) })
}

// TestTakesFromAllOrNone: a request that one bucket refuses takes nothing of the others, whichever it is.
func TestTakesFromAllOrNone(t *testing.T) {
	each(t, func(t *testing.T, c redis.UniversalClient) {
		limits := map[string]ratelimit.Limit{"large": {Rate: 0, Burst: 10}, "small": {Rate: 0, Burst: 2}}
		l, other := limiter(t, redislimit.Config{Client: c}), limiter(t, redislimit.Config{Client: c})
		for range 2 {
			refused, d := take(t, l, "g", limits, "large", "small")
			require.Equal(t, -1, refused)
			require.True(t, d[0].OK && d[1].OK)
		}
		for _, l := range []*redislimit.Limiter{l, other, l, other} {
			refused, d := take(t, l, "g", limits, "large", "small")
			require.Equal(t, 1, refused)
			require.Equal(t, ratelimit.Decision{Limit: 2, RetryAfter: ratelimit.Never, ResetAfter: ratelimit.Never}, d[1])
			require.True(t, d[0].OK, "that bucket has a token")
			refused, d = take(t, l, "g", limits, "small", "large")
			require.Equal(t, 0, refused)
			require.True(t, !d[0].OK && d[1].OK)
			require.GreaterOrEqual(t, d[1].Remaining, int64(8))
		}
		for i := range 8 {
			refused, d := take(t, other, "g", limits, "large")
			require.Equal(t, -1, refused)
			require.EqualValues(t, 7-i, d[0].Remaining)
		}
		refused, _ := take(t, other, "g", limits, "large")
		require.Equal(t, 0, refused)
		refused, _ = take(t, other, "g2", limits, "large")
		require.Equal(t, -1, refused, "another group has buckets of its own")
	})
}

// TestManyGoroutinesTakeExactlyTheBurst: what many limiters with many goroutines take of buckets that never refill is
// their bursts to the token, in strict and mixed requests.
func TestManyGoroutinesTakeExactlyTheBurst(t *testing.T) {
	each(t, func(t *testing.T, c redis.UniversalClient) {
		const groups, burst = 5, 200
		limits := map[string]ratelimit.Limit{"a": {Rate: 0, Burst: burst}, "b": {Rate: 0, Burst: 2 * burst}}
		var taken [groups]atomic.Int64
		var wg sync.WaitGroup
		for range 3 {
			l := limiter(t, redislimit.Config{Client: c, Nodes: 3})
			for i := range 24 {
				wg.Go(func() {
					for k := range 100 {
						g := (i + k) % groups
						names := []string{"a", "b"}
						if i%3 == 0 {
							names = names[:1]
						}
						if refused, _ := take(t, l, string(rune('A'+g)), limits, names...); refused < 0 {
							taken[g].Add(1)
						}
					}
				})
			}
		}
		wg.Wait()
		for g := range taken {
			require.EqualValues(t, burst, taken[g].Load())
		}
	})
}

// TestOneCallForAllThatWait: calls do not grow with the goroutines, and a bucket that is known to be empty costs none.
func TestOneCallForAllThatWait(t *testing.T) {
	l := limiter(t, redislimit.Config{Client: client(t, start(t).addr)})
	limits := map[string]ratelimit.Limit{"": {Rate: 0, Burst: 10_000}}
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 100 {
				refused, _ := take(t, l, "hot", limits, "")
				require.Equal(t, -1, refused)
			}
		})
	}
	wg.Wait()
	asked := l.Stats().Calls
	require.Less(t, asked, uint64(6400/2), "calls for 6 400 requests of 64 goroutines")
	for range 3600 {
		take(t, l, "hot", limits, "")
	}
	before := l.Stats().Calls
	refused, _ := take(t, l, "hot", limits, "")
	require.Equal(t, 0, refused)
	for range 1000 {
		refused, _ := take(t, l, "hot", limits, "")
		require.Equal(t, 0, refused)
	}
	require.LessOrEqual(t, l.Stats().Calls, before+1)
}

// TestDenialEndsWithTheToken: a refusal says when a token comes, costs no call until then, and holds no longer.
func TestDenialEndsWithTheToken(t *testing.T) {
	l := limiter(t, redislimit.Config{Client: client(t, start(t).addr)})
	limits := map[string]ratelimit.Limit{"": {Rate: 5, Burst: 2}}
	var d []ratelimit.Decision
	refused := -1
	for begin := time.Now(); refused < 0; {
		require.Less(t, time.Since(begin), time.Minute)
		refused, d = take(t, l, "g", limits, "")
	}
	require.Greater(t, d[0].RetryAfter, time.Duration(0))
	require.LessOrEqual(t, d[0].RetryAfter, 200*time.Millisecond)
	time.Sleep(d[0].RetryAfter)
	require.Eventually(t, func() bool { refused, _ := take(t, l, "g", limits, ""); return refused < 0 }, time.Minute, time.Millisecond)
}

// TestGiveBack: what is given back can be taken again, also by another node, and no more than that.
func TestGiveBack(t *testing.T) {
	c := client(t, start(t).addr)
	l, other := limiter(t, redislimit.Config{Client: c, Nodes: 2}), limiter(t, redislimit.Config{Client: c, Nodes: 2})
	limits := map[string]ratelimit.Limit{"": {Rate: 0, Burst: 3}}
	for range 3 {
		refused, _ := take(t, l, "g", limits, "")
		require.Equal(t, -1, refused)
	}
	refused, _ := take(t, l, "g", limits, "")
	require.Equal(t, 0, refused)
	for range 2 {
		l.GiveBack("g", []string{""}, []ratelimit.Limit{limits[""]})
	}
	refused, _ = take(t, l, "g", limits, "")
	require.Equal(t, -1, refused)
	refused, _ = take(t, other, "g", limits, "")
	require.Equal(t, -1, refused)
	refused, _ = take(t, other, "g", limits, "")
	require.Equal(t, 0, refused)
}

// TestFullBucketsAreForgotten: the server forgets a bucket when it is full again, but not earlier.
func TestFullBucketsAreForgotten(t *testing.T) {
	c := client(t, start(t).addr)
	l := limiter(t, redislimit.Config{Client: c})
	expires := func(limit ratelimit.Limit) time.Duration {
		require.NoError(t, c.FlushAll(t.Context()).Err())
		take(t, l, fmt.Sprint(limit), map[string]ratelimit.Limit{"": limit}, "")
		name := c.Keys(t.Context(), "*").Val()[0]
		return c.PTTL(t.Context(), name).Val()
	}
	within := expires(ratelimit.Limit{Rate: 0.001, Burst: 500})
	require.LessOrEqual(t, within, 1001*time.Second, "a token comes in 1000 s")
	require.Greater(t, within, 800*time.Second)
	require.EqualValues(t, -1, expires(ratelimit.Limit{Rate: 0, Burst: 5}), "without a rate it never fills")
	require.NoError(t, c.FlushAll(t.Context()).Err())
	take(t, l, "soon", map[string]ratelimit.Limit{"": {Rate: 20, Burst: 500}}, "")
	require.Eventually(t, func() bool { return c.DBSize(t.Context()).Val() == 0 }, time.Minute, 5*time.Millisecond)
}

// TestForeignValue: a value of another kind under the bucket's name is taken for a missing one, and so are numbers that
// no bucket has. They must not fail the script: that would be an outage for all buckets.
func TestForeignValue(t *testing.T) {
	c := client(t, start(t).addr)
	l := limiter(t, redislimit.Config{Client: c})
	limits := map[string]ratelimit.Limit{"": {Rate: 0, Burst: 5}}
	take(t, l, "g", limits, "")
	name := c.Keys(t.Context(), "*").Val()[0]
	require.NoError(t, c.Del(t.Context(), name).Err())
	require.NoError(t, c.LPush(t.Context(), name, "x").Err())
	refused, d := take(t, l, "g", limits, "")
	require.Equal(t, -1, refused)
	require.EqualValues(t, 4, d[0].Remaining)
	inf, nan := math.Inf(1), math.NaN()
	for _, foreign := range [][3]float64{
		{nan, nan, nan}, {1, nan, 0}, {1, 2, nan}, {-inf, 0, 0}, {0, inf, inf}, {1, inf, 1}, {1, 2, inf}, {1, 1e300, 0}, {1, -2, 0},
	} {
		value, err := binary.Append(nil, binary.LittleEndian, foreign)
		require.NoError(t, err)
		require.NoError(t, c.Set(t.Context(), name, value, 0).Err())
		refused, d := take(t, l, "g", limits, "")
		require.Equal(t, -1, refused, foreign)
		require.EqualValues(t, 4, d[0].Remaining, foreign)
	}
	require.Zero(t, l.Stats().Failures)
}

// TestChangeOfLimitKeepsTheDebt: the tokens that are missing stay missing under another limit.
func TestChangeOfLimitKeepsTheDebt(t *testing.T) {
	l := limiter(t, redislimit.Config{Client: client(t, start(t).addr)})
	for range 10 {
		take(t, l, "g", map[string]ratelimit.Limit{"": {Rate: 0, Burst: 10}}, "")
	}
	refused, _ := take(t, l, "g", map[string]ratelimit.Limit{"": {Rate: 0.001, Burst: 10}}, "")
	require.Equal(t, 0, refused, "another rate")
	refused, d := take(t, l, "g", map[string]ratelimit.Limit{"": {Rate: 0.001, Burst: 15}}, "")
	require.Equal(t, -1, refused, "another burst")
	require.EqualValues(t, 3, d[0].Remaining, "of 5 less what flows in within a Budget")
	refused, d = take(t, l, "g", map[string]ratelimit.Limit{"": {Rate: math.Inf(1)}}, "")
	require.Equal(t, -1, refused)
	require.EqualValues(t, int64(math.MaxInt64), d[0].Remaining)
}

// TestHugeDebtUnderASmallRate: a debt that takes longer than all of time is no error of the server.
func TestHugeDebtUnderASmallRate(t *testing.T) {
	c := client(t, start(t).addr)
	take(t, limiter(t, redislimit.Config{Client: c}), "g", map[string]ratelimit.Limit{"": {Rate: 0, Burst: 5}}, "")
	name := c.Keys(t.Context(), "*").Val()[0]
	var value []byte
	for _, f := range []float64{0, 1e9, 0} { // since 1970, a thousand million tokens are owed, and none has come back
		value = binary.LittleEndian.AppendUint64(value, math.Float64bits(f))
	}
	require.NoError(t, c.Set(t.Context(), name, value, 0).Err())
	l := limiter(t, redislimit.Config{Client: c})
	refused, _ := take(t, l, "g", map[string]ratelimit.Limit{"": {Rate: 1e-9, Burst: 1}}, "")
	require.Equal(t, 0, refused)
	require.InDelta(t, 1e15, c.Do(t.Context(), "pttl", name).Val(), 1e6)
}
