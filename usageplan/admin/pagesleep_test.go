package admin

import (
	"errors"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// slept returns a time as a machine remembers it that was asleep since: by the wall clock it is d longer ago than by the
// monotonic one. Package time has no way to make such a time. Bits 30 to 62 of its first word are the seconds of the wall
// clock, if it has a monotonic reading.
func slept(t time.Time, d time.Duration) time.Time {
	*(*uint64)(unsafe.Pointer(&t)) -= uint64(d/time.Second) << 30
	return t
}

// A laptop that sleeps over the weekend prolongs neither links nor sessions.
func TestSleepProlongsNothing(t *testing.T) {
	now := time.Now()
	require.Zero(t, now.Sub(slept(now, time.Hour)), "the monotonic clock")
	require.Equal(t, time.Hour, now.Round(0).Sub(slept(now, time.Hour).Round(0)), "the wall clock")

	var l OwnerLinks
	secretOf := func(link string) string { return link[len(signInPath+"?link="):] }
	first, second := secretOf(l.New()), secretOf(l.New())
	session, ok := l.exchange(first)
	require.True(t, ok)
	require.True(t, l.knows(session))
	require.True(t, l.valid(second))

	l.links[digestOf(second)] = slept(time.Now(), linkLife)
	require.False(t, l.valid(second))
	_, ok = l.exchange(second)
	require.False(t, ok)
	s := l.sessions[digestOf(session)]
	s.seen = slept(s.seen, sessionIdle)
	l.sessions[digestOf(session)] = s
	require.False(t, l.knows(session))
}

// Sums that were counted before the machine slept are old after it, and the page says so.
func TestSleepMakesSumsOld(t *testing.T) {
	var c summaries
	c.latest = &summary{at: time.Now()}
	require.False(t, c.due())
	require.Equal(t, "The sums were counted just now.", counting(c.latest, nil))
	c.latest.at = slept(c.latest.at, 3*time.Hour)
	require.True(t, c.due())
	require.Equal(t, "The sums were counted 3 h ago, and are being counted anew.", counting(c.latest, nil))

	c.latest.at, c.tried, c.err = time.Now(), time.Now(), errors.New("down")
	require.False(t, c.due())
	c.tried = slept(c.tried, 3*time.Hour)
	c.latest.at = slept(c.latest.at, 3*time.Hour)
	require.True(t, c.due(), "the pause after a failure is over")
	require.Equal(t, "The sums are those of 3 h ago. The store has not answered since.", counting(c.latest, c.err))
}
