package filelock_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/internal/filelock"
)

// TestOneHolder: one holder has the lock at a time, and closing the file passes it on.
func TestOneHolder(t *testing.T) {
	name, held := filepath.Join(t.TempDir(), "lock"), errors.New("held")
	first, err := filelock.Take(name, held)
	require.NoError(t, err)
	_, err = filelock.Take(name, held)
	require.ErrorIs(t, err, held)
	require.NoError(t, first.Close())
	next, err := filelock.Take(name, held)
	require.NoError(t, err)
	require.NoError(t, next.Close())
}

// TestNoFolder: an error of the system is not that of a lock which is held.
func TestNoFolder(t *testing.T) {
	held := errors.New("held")
	_, err := filelock.Take(filepath.Join(t.TempDir(), "none", "lock"), held)
	require.Error(t, err)
	require.NotErrorIs(t, err, held)
}
