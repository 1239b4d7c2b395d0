package window_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/window"
)

// A key counts for the window in which it has asked, refused or not, and no longer than its places are held.
func TestStatsCountKeysOfTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := window.New(window.Config[int]{AtMost: window.AtMost{Limit: 3, Window: 15 * time.Second}})
		require.NoError(t, err)
		require.Equal(t, ratelimit.Stats{MaxKeys: 1 << 20}, l.Stats())
		for key := range 1000 {
			l.Take(key, 1+int64(key%5))
		}
		l.Peek(-1)
		require.Equal(t, 1000, l.Stats().Keys)
		time.Sleep(10 * time.Second)
		for key := range 400 {
			l.Allow(key)
		}
		require.Equal(t, 1000, l.Stats().Keys)
		time.Sleep(10 * time.Second)
		require.Equal(t, 400, l.Stats().Keys)
		time.Sleep(10 * time.Second)
		require.Equal(t, 0, l.Stats().Keys)
	})
}

func TestStatsOfARule(t *testing.T) {
	c := byIP()
	c.MaxKeys = 70
	rule := newRule(t, c)
	for range 20 {
		_, _ = rule.Check(from("192.0.2.1:1"))
	}
	_, _ = rule.Check(from("192.0.2.2:1"))
	require.Equal(t, ratelimit.Stats{Keys: 2, MaxKeys: 70}, rule.Stats())
	require.Zero(t, (*window.RateRule)(nil).Stats())
	require.Zero(t, (&window.RateRule{}).Stats())
	require.Zero(t, (&window.Limiter[string]{}).Stats())
}

// Stats may be read while keys come, tables grow and limits change.
func TestStatsBesideRequests(t *testing.T) {
	l, err := window.New(window.Config[int]{AtMost: window.AtMost{Limit: 3, Window: time.Minute}, MaxKeys: 5000})
	require.NoError(t, err)
	var callers sync.WaitGroup
	for g := range 4 {
		callers.Go(func() {
			for i := range 3000 {
				l.Allow(g*3000 + i)
				if i%1000 == 0 {
					_ = l.SetLimit(window.AtMost{Limit: int64(1 + g), Window: time.Minute})
				}
			}
		})
	}
	for range 100 {
		require.LessOrEqual(t, l.Stats().Keys, 5000*3/2, "slots, with those that are spare")
	}
	callers.Wait()
}
