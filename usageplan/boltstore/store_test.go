package boltstore_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/ledgertest"
)

func open(t testing.TB, path string) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(path, boltstore.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// slotKinds runs a test with slots that are mapped, where the system can, and with slots that are written.
func slotKinds(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	t.Run("mapped", test)
	t.Run("written", func(t *testing.T) {
		boltstore.WriteSlots(t)
		test(t)
	})
}

func TestStore(t *testing.T) {
	slotKinds(t, func(t *testing.T) {
		ledgertest.Test(t, func(t *testing.T) ledger.Store { return open(t, filepath.Join(t.TempDir(), "usage.db")) })
		dir := t.TempDir()
		ledgertest.TestReopen(t, func(t *testing.T, place string) ledger.Store { return open(t, filepath.Join(dir, place)) })
	})
}
