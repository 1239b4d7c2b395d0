package custom

import (
	"context"
	"errors"
	"net/http/httptest"
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

// A machine sleeps for an hour after an answer was kept. The monotonic clock stands still meanwhile, so by that clock
// the answer is new.
func TestSleepDoesNotProlongAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		asleep time.Duration
		calls  int
	}{
		{"awake", 0, 1},
		{"a short sleep", 30 * time.Second, 1},
		{"an hour", time.Hour, 2},
		{"a wall clock that was set back", -time.Hour, 1},
	} {
		for token, answer := range map[string]error{"a result": nil, "a refusal": ErrUnauthorized} {
			t.Run(tt.name+", "+token, func(t *testing.T) {
				calls := 0
				a, err := New(Config{TTL: time.Minute, RefusalTTL: time.Minute, Authorize: func(context.Context, Event) (Result, error) {
					calls++
					return Result{PrincipalID: "p", Authorized: true}, answer
				}})
				require.NoError(t, err)
				r := httptest.NewRequest("GET", "/", nil)
				r.Header.Set("Authorization", token)
				_, err = a.Verify(r)
				require.True(t, errors.Is(err, answer))
				a.cache.mu.Lock() // the goroutine that answered may still hold it
				for _, kept := range []map[key]*entry{a.cache.kept, a.cache.refused} {
					for _, e := range kept {
						e.expires = frozen(e.expires, tt.asleep)
					}
				}
				a.cache.mu.Unlock()
				_, err = a.Verify(r)
				require.True(t, errors.Is(err, answer))
				require.Equal(t, tt.calls, calls)
			})
		}
	}
}

// A full cache drops the answers that have expired by one of the clocks, and keeps the others.
func TestSleepMakesRoom(t *testing.T) {
	now := time.Now()
	entries := make(map[key]*entry)
	for i := range 8 {
		entries[key{byte(i)}] = &entry{expires: frozen(now.Add(time.Minute), time.Duration(i%2)*time.Hour)}
	}
	makeRoom(entries, 8)
	require.Len(t, entries, 4)
	for k := range entries {
		require.Zero(t, k[0]%2, "key %d", k[0])
	}
}
