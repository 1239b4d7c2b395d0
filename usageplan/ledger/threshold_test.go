package ledger_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

func TestThresholds(t *testing.T) {
	for _, exact := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			store := ledger.NewMemory()
			var told []string
			config := ledger.Config{Engine: store, Exact: exact, OnThreshold: func(c ledger.Crossing) { told = append(told, c.ID) }}
			l, err := ledger.New(config)
			require.NoError(t, err)
			q := ledger.Quota{Limit: 1000, Period: ledger.Daily}
			for i := 1; i <= 1000; i++ {
				_, err := l.Take(t.Context(), key, q, 1)
				require.NoError(t, err)
				synctest.Wait()
				want := 0
				for _, at := range []int{500, 800, 1000} {
					if i >= at {
						want++
					}
				}
				require.Len(t, told, want, "after %d of 1000", i)
			}
			require.Equal(t, []string{
				`"jcfq33" "fr92a5qpbj" 946684800 50%`, `"jcfq33" "fr92a5qpbj" 946684800 80%`, `"jcfq33" "fr92a5qpbj" 946684800 100%`,
			}, told)
			require.NoError(t, l.Close())

			l, err = ledger.New(config)
			require.NoError(t, err)
			_, err = l.Extend(t.Context(), key, q, ledger.Adjustment{Delta: 1000})
			require.NoError(t, err)
			_, err = l.Take(t.Context(), key, q, 900)
			require.NoError(t, err)
			require.NoError(t, l.Close())
			require.Len(t, told, 3, "once per account and threshold")
		})
	}
}

// TestThresholdsLowered: a limit lowered below what is used crosses its thresholds, once, when it refuses somebody.
func TestThresholdsLowered(t *testing.T) {
	for _, exact := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var told []int
			l := newLedger(t, ledger.Config{Exact: exact, OnThreshold: func(c ledger.Crossing) {
				require.Equal(t, [2]int64{90, 50}, [2]int64{c.Used, c.Limit})
				told = append(told, c.Percent)
			}})
			_, err := l.Take(t.Context(), key, ledger.Quota{Limit: 1000, Period: ledger.Monthly}, 90)
			require.NoError(t, err)
			for range 3 {
				_, err = l.Take(t.Context(), key, ledger.Quota{Limit: 50, Period: ledger.Monthly}, 1)
				require.ErrorIs(t, err, ledger.ErrExhausted)
				synctest.Wait()
				require.Equal(t, []int{50, 80, 100}, told)
			}
			_, err = l.Take(t.Context(), key, ledger.Quota{Limit: 1000, Period: ledger.Monthly}, 1)
			require.NoError(t, err)
			require.NoError(t, l.Close())
			require.Len(t, told, 3)
		})
	}
}

// TestEarlyCrossing: what another ledger holds counts towards a threshold, and the crossing says so.
func TestEarlyCrossing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := ledger.NewMemory()
		var told []ledger.Crossing
		other := newLedger(t, ledger.Config{Engine: store, Block: 8})
		l := newLedger(t, ledger.Config{Engine: store, Block: 8, OnThreshold: func(c ledger.Crossing) { told = append(told, c) }})
		q := ledger.Quota{Limit: 100, Period: ledger.Daily}
		_, err := other.Take(t.Context(), key, q, 1)
		require.NoError(t, err)
		used := int64(1)
		for ; len(told) == 0; used++ {
			_, err := l.Take(t.Context(), key, q, 1)
			require.NoError(t, err)
			synctest.Wait()
		}
		c := told[0]
		require.Equal(t, [3]int64{50, 50, 100}, [3]int64{int64(c.Percent), c.Used, c.Limit})
		require.Equal(t, int64(50-7), used, "early by what the other holds")
		require.Equal(t, int64(7+2), c.Held, "that, the request, and the other's first request, which it has not reported")
		require.NoError(t, l.Close())
		require.NoError(t, other.Close())
	})
}

// TestUntold: a crossing whose telling was not recorded is told by the next ledger.
func TestUntold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := ledger.NewMemory()
		l, err := ledger.New(ledger.Config{Engine: store}) // tells nobody
		require.NoError(t, err)
		_, err = l.Take(t.Context(), key, day10, 5)
		require.NoError(t, err)
		require.NoError(t, l.Close())
		var told []ledger.Crossing
		l, err = ledger.New(ledger.Config{Engine: store, OnThreshold: func(c ledger.Crossing) { told = append(told, c) }})
		require.NoError(t, err)
		_, err = l.Take(t.Context(), key, day10, 1)
		require.NoError(t, err)
		require.NoError(t, l.Close())
		require.Len(t, told, 1)
		require.Equal(t, 50, told[0].Percent)
		require.EqualValues(t, 10, told[0].Limit)
	})
}
