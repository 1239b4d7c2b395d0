package usageplan_test

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/usageplan"
)

// A roll against a sorted list: additions at the end and in the middle, replacements, removals, pages of any size.
func TestRollIsItsModel(t *testing.T) {
	for seed := range uint64(heavy(1000)) {
		r := rand.New(rand.NewPCG(seed, 3))
		var roll usageplan.Roll
		want := map[uint64]bool{}
		last := uint64(1000)
		for range 300 {
			switch r.IntN(5) {
			case 0, 1:
				last += 1 + r.Uint64N(3)
				roll.Put(last)
				want[last] = true
			case 2:
				n := 1 + r.Uint64N(last)
				roll.Put(n)
				want[n] = true
			default:
				n := 1 + r.Uint64N(last)
				if newest := slices.Sorted(maps.Keys(want)); len(newest) > 0 && r.IntN(4) > 0 {
					n = newest[r.IntN(len(newest))]
				}
				roll.Remove(n)
				delete(want, n)
			}
			all, used := roll.Slots()
			require.Equal(t, len(want), used)
			require.LessOrEqual(t, all, 2*used, "at most half of the slots are empty")
		}
		newest := slices.Sorted(maps.Keys(want))
		slices.Reverse(newest)
		since := r.Uint64N(last)
		newest = newest[:len(newest)-count(newest, since)]
		for limit := 1; limit < 40; limit += 3 {
			var got []uint64
			for page, next := roll.Page(math.MaxUint64, since, limit); ; page, next = roll.Page(next, since, limit) {
				got = append(got, page...)
				require.True(t, next == 0 || len(page) == limit)
				if next == 0 {
					break
				}
			}
			require.Equal(t, newest, append([]uint64{}, got...), "seed %d, limit %d", seed, limit)
		}
	}
}

// count returns how many numbers are not above n.
func count(numbers []uint64, n uint64) (below int) {
	for _, m := range numbers {
		if m <= n {
			below++
		}
	}
	return below
}

// Readers do not wait for the writer, and see what does not change: here the even numbers.
func TestRollIsReadWhileItChanges(t *testing.T) {
	var roll usageplan.Roll
	const n = 200
	for i := uint64(1); i <= n; i++ {
		roll.Put(2 * i)
	}
	var done atomic.Bool
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for !done.Load() {
				numbers, _ := roll.Page(math.MaxUint64, 0, math.MaxInt)
				even := slices.DeleteFunc(slices.Clone(numbers), func(i uint64) bool { return i%2 == 1 || i > 2*n })
				if len(even) != n || !slices.IsSortedFunc(numbers, func(a, b uint64) int { return int(int64(b) - int64(a)) }) {
					t.Errorf("%v", numbers)
					return
				}
			}
		})
	}
	r := rand.New(rand.NewPCG(1, 4))
	for i := range uint64(heavy(20_000)) {
		switch odd := 1 + 2*r.Uint64N(n); r.IntN(3) {
		case 0:
			roll.Put(odd)
		case 1:
			roll.Put(2*n + 1 + i)
			roll.Remove(2*n + 1 + r.Uint64N(i+1))
		default:
			roll.Remove(odd)
		}
	}
	done.Store(true)
	readers.Wait()
}
