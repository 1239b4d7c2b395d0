//go:build !windows

package boltstore_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// TestReplaced: a file that is deleted, moved away or replaced under a running store is noticed at the next commit, and
// nothing is acknowledged until it is back.
func TestReplaced(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, path string){
		"deleted": func(t *testing.T, path string) { require.NoError(t, os.Rename(path, path+".away")) },
		"replaced": func(t *testing.T, path string) {
			require.NoError(t, os.Rename(path, path+".away"))
			require.NoError(t, os.Rename(path+".copy", path))
		},
		"emptied": func(t *testing.T, path string) {
			require.NoError(t, os.Rename(path, path+".away"))
			require.NoError(t, os.WriteFile(path, nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "usage.db")
			filled(t, path)
			copied, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path+".copy", copied, 0o600))
			s := open(t, path)
			l, err := ledger.New(ledger.Config{Store: s, Mode: ledger.Exact})
			require.NoError(t, err)
			take := func() error { _, err := l.Take(t.Context(), key, monthly, 1); return err }
			require.NoError(t, take())
			before := balanceOf(t, l)

			change(t, path)
			require.ErrorIs(t, take(), boltstore.ErrReplaced)
			require.ErrorIs(t, take(), ledger.ErrUnavailable)
			for _, err := range s.Accounts(t.Context(), key, 0, 1<<40) {
				require.ErrorIs(t, err, boltstore.ErrReplaced)
			}
			require.ErrorIs(t, s.Check(t.Context()), boltstore.ErrReplaced)

			require.NoError(t, os.Rename(path+".away", path))
			require.Eventually(t, func() bool { return take() == nil }, time.Minute, time.Millisecond)
			require.Equal(t, before.Used+1, balanceOf(t, l).Used, "the takes that were refused have not been counted")
			require.NoError(t, l.Close())
		})
	}
}

func balanceOf(t *testing.T, l *ledger.Ledger) ledger.Balance {
	t.Helper()
	b, err := l.Balance(t.Context(), key, monthly)
	require.NoError(t, err)
	return b
}
