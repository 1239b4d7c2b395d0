//go:build !race

package boltstore_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

func TestLeasedTakeDoesNotAllocate(t *testing.T) {
	l, err := ledger.New(ledger.Config{Store: open(t, filepath.Join(t.TempDir(), "usage.db"))})
	require.NoError(t, err)
	q := ledger.Quota{Limit: 1 << 50, Period: ledger.Monthly}
	take := func() {
		if _, err := l.Take(t.Context(), key, q, 1); err != nil {
			t.Fatal(err)
		}
	}
	for range 50_000 { // blocks have grown
		take()
	}
	require.Zero(t, testing.AllocsPerRun(10_000, take))
	require.NoError(t, l.Close())
}
