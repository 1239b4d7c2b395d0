package boltstore_test

import (
	"path/filepath"
	"testing"

	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/enginetest"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// TestEngine: the store keeps the contract, with checkpoints as they come and with one every few commits.
func TestEngine(t *testing.T) {
	for name, limits := range map[string]boltstore.Limits{"as it is": boltstore.Usual, "small logs": boltstore.Small} {
		t.Run(name, func(t *testing.T) {
			boltstore.SetLimits(t, limits)
			enginetest.Test(t, func(t *testing.T) ledger.Engine { return open(t, filepath.Join(t.TempDir(), "usage.db")) })
			dir := t.TempDir()
			enginetest.TestReopen(t, func(t *testing.T, place string) ledger.Engine { return open(t, filepath.Join(dir, place)) })
		})
	}
}
