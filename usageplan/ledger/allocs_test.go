//go:build !race

package ledger_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

func TestTakeDoesNotAllocate(t *testing.T) {
	t.Run("unobserved", func(t *testing.T) { takeDoesNotAllocate(t, nil) })
	t.Run("observed", func(t *testing.T) { takeDoesNotAllocate(t, func(context.Context, ledger.Event) {}) })
}

func takeDoesNotAllocate(t *testing.T, observe func(context.Context, ledger.Event)) {
	l := newLedger(t, ledger.Config{Observe: observe})
	q := ledger.Quota{Limit: 1 << 50, Period: ledger.Monthly}
	take := func() {
		c, err := l.Take(t.Context(), key, q, 1)
		if err != nil || c.Balance().Used == 0 {
			t.Fatal(err)
		}
	}
	for range 100_000 { // blocks have grown
		take()
	}
	require.Zero(t, testing.AllocsPerRun(10_000, take))
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		c, err := l.Take(t.Context(), key, q, 2)
		if err != nil || c.Settle(t.Context(), 1) != nil {
			t.Fatal(err)
		}
	}))
}

// TestGrowthDoesNotAllocate, but once for each 16 charges that grow, and with SettleWithin once for each take.
func TestGrowthDoesNotAllocate(t *testing.T) {
	q := ledger.Quota{Limit: 1 << 50, Period: ledger.Monthly}
	for within, want := range map[time.Duration]float64{0: 0, time.Hour: 1} {
		l := newLedger(t, ledger.Config{SettleWithin: within})
		grow := func() {
			c, err := l.Take(t.Context(), key, q, 1)
			if err != nil || c.More(t.Context(), 2) != nil || c.More(t.Context(), -1) != nil || c.Settle(t.Context(), 1) != nil {
				t.Fatal(err)
			}
		}
		for range 100_000 { // blocks have grown
			grow()
		}
		require.Equal(t, want, testing.AllocsPerRun(10_000, grow))
	}
}

// TestRefusalInOutageDoesNotAllocate: a server refuses as many requests as come in an outage, and makes no garbage.
func TestRefusalInOutageDoesNotAllocate(t *testing.T) {
	for _, exact := range []bool{false, true} {
		store := &faulty{Engine: ledger.NewMemory()}
		l := newLedger(t, ledger.Config{Engine: store, Exact: exact})
		store.before.Store(true)
		refuse := func() {
			if _, err := l.Take(t.Context(), key, day10, 1); err == nil {
				t.Fatal("granted")
			}
		}
		require.Zero(t, testing.AllocsPerRun(1000, refuse), "but for the few that ask the engine")
		store.before.Store(false)
	}
}
