package ratelimit

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// crowd are fingerprints of one bin, more than it has words.
func crowd(n int) []fingerprint {
	keys := make([]fingerprint, n)
	for i := range keys {
		keys[i] = fingerprint(7<<55 | uint64(i)<<8 | 0xFF)
	}
	return keys
}

// What runs never exceeds the limit, whatever the keys do at the same time, and each request is counted once. The keys
// share one bin, so that they take words from one another and use its map.
func TestRunningNeverExceedsTheLimit(t *testing.T) {
	const limit, rounds = 3, 20_000
	var r running
	keys := crowd(3 * words)
	observed := make([]atomic.Int64, len(keys))
	var refused, exceeded, lost atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range rounds {
				i := rand.IntN(len(keys))
				if !r.acquire(keys[i], limit) {
					refused.Add(1)
					continue
				}
				if observed[i].Add(1) > limit {
					exceeded.Add(1)
				}
				if rand.IntN(4) == 0 {
					_ = r.of(keys[i])
				}
				observed[i].Add(-1)
				if !r.release(keys[i]) {
					lost.Add(1)
				}
			}
		})
	}
	wg.Wait()
	require.Zero(t, exceeded.Load())
	require.Zero(t, lost.Load())
	b := r.bin(keys[0])
	require.Empty(t, b.more)
	for _, k := range keys {
		require.Zero(t, r.of(k))
		require.False(t, r.release(k))
	}
	t.Logf("%d of %d refused", refused.Load(), 16*rounds)
}

// A model decides the same, one call after the other.
func TestRunningIsACounterForEachKey(t *testing.T) {
	var r running
	keys := append(crowd(2*words+3), 1, 1<<63, 3<<40)
	model := make(map[fingerprint]int)
	for range 200_000 {
		k := keys[rand.IntN(len(keys))]
		limit := 1 + rand.IntN(4)
		if rand.IntN(2) == 0 {
			require.Equal(t, model[k] < limit, r.acquire(k, limit))
			if model[k] < limit {
				model[k]++
			}
		} else {
			require.Equal(t, model[k] > 0, r.release(k))
			model[k] = max(model[k]-1, 0)
		}
		require.Equal(t, model[k], r.of(k))
	}
}

// Memory is bounded by what runs: a million keys, one after the other, leave nothing.
func TestIdleKeysTakeNoMemory(t *testing.T) {
	var r running
	for i := range uint64(1_000_000) {
		f := fingerprint(i * 0x9E3779B97F4A7C15)
		require.True(t, r.acquire(f, 1))
		require.True(t, r.release(f))
	}
	for i := range r {
		require.Empty(t, r[i].more)
	}
}

// The count reaches the largest limit, and no further.
func TestLargestLimit(t *testing.T) {
	var r running
	for range countMask {
		require.True(t, r.acquire(9, countMask))
	}
	require.False(t, r.acquire(9, countMask))
	require.Equal(t, countMask, r.of(9))
	require.True(t, r.acquire(9|1<<60, 1), "another key is not concerned")
}
