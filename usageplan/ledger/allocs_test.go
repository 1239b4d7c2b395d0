//go:build !race

package ledger_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

func TestTakeDoesNotAllocate(t *testing.T) {
	l := newLedger(t, ledger.Config{})
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
