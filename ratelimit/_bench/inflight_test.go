package bench

import (
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/semaphore"

	"github.com/tallygate/tallygate/ratelimit"
)

// BenchmarkInFlight takes a place for a key and gives it back, by all processors. Impl=semaphore is a
// golang.org/x/sync/semaphore for each key in a sync.Map: it never forgets a key. Impl=mutex is a map of counters under
// one mutex, which deletes a key when nothing of it runs.
func BenchmarkInFlight(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		keys := make([]string, n)
		for i := range keys {
			keys[i] = "key-" + strconv.Itoa(i)
		}
		b.Run("keys="+strconv.Itoa(n), func(b *testing.B) { inFlight(b, keys) })
	}
}

func inFlight(b *testing.B, keys []string) {
	ours, err := ratelimit.NewInFlight(ratelimit.InFlightConfig[string]{Limit: 1000})
	require.NoError(b, err)
	var sems sync.Map
	var mu sync.Mutex
	counts := make(map[string]int)
	for _, impl := range []struct {
		name string
		call func(key string) bool
	}{
		{"ours", func(key string) bool {
			ok := ours.Acquire(key)
			ours.Release(key)
			return ok
		}},
		{"semaphore", func(key string) bool {
			s, found := sems.Load(key)
			if !found {
				s, _ = sems.LoadOrStore(key, semaphore.NewWeighted(1000))
			}
			w := s.(*semaphore.Weighted)
			ok := w.TryAcquire(1)
			w.Release(1)
			return ok
		}},
		{"mutex", func(key string) bool {
			mu.Lock()
			ok := counts[key] < 1000
			counts[key]++
			mu.Unlock()
			mu.Lock()
			if counts[key]--; counts[key] == 0 {
				delete(counts, key)
			}
			mu.Unlock()
			return ok
		}},
	} {
		b.Run("impl="+impl.name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if !impl.call(keys[i%len(keys)]) {
						b.Error("refused")
						return
					}
				}
			})
		})
	}
}
