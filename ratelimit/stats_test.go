package ratelimit_test

import (
	"encoding/json"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
)

// A key counts while it is in debt, and no longer.
func TestStatsCountKeysInDebt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := ratelimit.New(ratelimit.Config[int]{Limit: ratelimit.Limit{Rate: 1, Burst: 10}})
		require.NoError(t, err)
		require.Equal(t, ratelimit.Stats{MaxKeys: 1 << 20}, l.Stats())
		for key := range 1000 {
			l.Take(key, 1+int64(key%2))
		}
		require.Equal(t, 1000, l.Stats().Keys)
		l.Peek(-1)
		time.Sleep(1500 * time.Millisecond)
		require.Equal(t, 500, l.Stats().Keys)
		require.NoError(t, l.SetLimit(ratelimit.Limit{Rate: 10, Burst: 10}))
		time.Sleep(time.Second)
		require.Equal(t, 0, l.Stats().Keys)

		require.NoError(t, l.SetLimit(ratelimit.Limit{Burst: 10})) // nothing flows back
		for key := range 300 {
			l.Allow(key)
		}
		require.NoError(t, l.SetKeyLimit(7, &ratelimit.Limit{Burst: 1})) // a key with a limit of its own needs no room
		time.Sleep(24 * time.Hour)
		require.Equal(t, 299, l.Stats().Keys)
	})
}

func TestStatsOfOddLimiters(t *testing.T) {
	require.Zero(t, (*ratelimit.Limiter[string])(nil).Stats())
	require.Zero(t, (&ratelimit.Limiter[string]{}).Stats())
	l := newLimiter(t, ratelimit.Config[string]{Limit: ratelimit.Limit{Rate: math.Inf(1)}, MaxKeys: 9})
	l.Allow("a")
	text, err := json.Marshal(l.Stats()) // as expvar shows it
	require.NoError(t, err)
	require.JSONEq(t, `{"Keys":0,"MaxKeys":9}`, string(text))
}

// Stats may be read while keys come, tables grow and limits change.
func TestStatsBesideRequests(t *testing.T) {
	l, err := ratelimit.New(ratelimit.Config[int]{Limit: ratelimit.Limit{Rate: 1, Burst: 10}, MaxKeys: 5000})
	require.NoError(t, err)
	var callers sync.WaitGroup
	for g := range 4 {
		callers.Go(func() {
			for i := range 3000 {
				l.Allow(g*3000 + i)
				if i%1000 == 0 {
					_ = l.SetLimit(ratelimit.Limit{Rate: float64(1 + g), Burst: 10})
				}
			}
		})
	}
	for range 100 {
		s := l.Stats()
		require.LessOrEqual(t, s.Keys, 16*576, "all slots: 16 shards of 576, with those that are spare")
	}
	callers.Wait()
}
