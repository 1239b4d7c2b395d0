package apikey

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// An anchor that is wrong by an hour stands for a wall clock that was set. The clock is right again after a second.
func TestClockFollowsTheWallClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock
		c.set()
		for range 10 {
			time.Sleep(700 * time.Millisecond)
			require.Equal(t, time.Now().UnixNano(), c.now().nano())
		}
		now := time.Now()
		c.anchor.Store(&anchor{now, now.Add(-time.Hour).UnixNano()})
		time.Sleep(time.Second)
		require.Equal(t, time.Now().Add(-time.Hour).UnixNano(), c.now().nano())
		time.Sleep(time.Nanosecond)
		require.Equal(t, time.Now().UnixNano(), c.now().nano())
	})
}
