package auth

import (
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// frozen returns a time as a process remembers it that was frozen since: by the wall clock it is d longer ago than by
// the monotonic one. Package time has no way to make such a time. Bits 30 to 62 of its first word are the seconds of the
// wall clock, if it has a monotonic reading.
func frozen(t time.Time, d time.Duration) time.Time {
	*(*uint64)(unsafe.Pointer(&t)) -= uint64(d/time.Second) << 30
	return t
}

// Keys are due and stale by the clock that says so first. A freeze in which the monotonic clock stands still does not
// prolong them, and neither does a wall clock that is set back.
func TestFreezeDoesNotProlongKeys(t *testing.T) {
	now := time.Now()
	stale := now.Add(time.Hour)
	require.True(t, isAhead(stale, now))
	require.False(t, isAhead(stale, now.Add(time.Hour)))
	require.False(t, isAhead(frozen(stale, 2*time.Hour), now), "the wall clock has passed it")
	require.True(t, isAhead(frozen(stale, 30*time.Minute), now))
	require.False(t, isAhead(frozen(now, -2*time.Hour), now), "the monotonic clock has passed it")
}
