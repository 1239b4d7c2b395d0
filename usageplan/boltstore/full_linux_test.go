package boltstore_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// small mounts a file system of its own, which needs root.
func small(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("cannot mount: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// TestDiskFull: a full disk is an error, answered with 503 by those above, until there is room again; and then exactly
// what was acknowledged is counted.
func TestDiskFull(t *testing.T) {
	for name, mode := range map[string]ledger.Mode{"exact": ledger.Exact, "leased": ledger.Leased} {
		t.Run(name, func(t *testing.T) {
			dir := small(t, "1m")
			synctest.Test(t, func(t *testing.T) {
				s, err := boltstore.Open(filepath.Join(dir, "usage.db"), boltstore.Config{})
				require.NoError(t, err)
				l, err := ledger.New(ledger.Config{Store: s, Mode: mode, Block: 16})
				require.NoError(t, err)
				q := ledger.Quota{Limit: 1 << 40, Period: ledger.Monthly}
				acknowledged := int64(0)
				reason := ledger.Adjustment{Reason: strings.Repeat("x", 500)}
				failed := false
				for range 100_000 {
					_, err := l.Take(t.Context(), key, q, 1)
					if err == nil {
						acknowledged++
						if _, err = l.Extend(t.Context(), key, q, reason); err == nil { // fills the disk faster
							continue
						}
					}
					require.ErrorIs(t, err, ledger.ErrUnavailable)
					require.True(t, errors.Is(err, syscall.ENOSPC), "%v", err)
					failed = true
					break
				}
				require.True(t, failed, "the disk is not full")
				for range 20 {
					time.Sleep(time.Second)
					if _, err := l.Take(t.Context(), key, q, 1); err == nil {
						acknowledged++ // from what a lease still has
					}
				}
				require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"))
				time.Sleep(time.Second)
				for range 100 {
					_, err := l.Take(t.Context(), key, q, 1)
					require.NoError(t, err, "there is room again")
					acknowledged++
				}
				require.NoError(t, l.Close())
				require.NoError(t, s.Check(t.Context()))
				for state, err := range s.Accounts(t.Context(), key, 0, 1<<40) {
					require.NoError(t, err)
					require.Equal(t, acknowledged, state.Used)
					require.Zero(t, state.Held)
				}
				require.NoError(t, s.Close())
			})
		})
	}
}

// TestLockedInOutage: an error of the disk does not let a second opener in.
func TestLockedInOutage(t *testing.T) {
	dir := small(t, "1m")
	path := filepath.Join(dir, "usage.db")
	s, err := boltstore.Open(path, boltstore.Config{})
	require.NoError(t, err)
	fill := filepath.Join(dir, "fill")
	require.ErrorIs(t, os.WriteFile(fill, make([]byte, 1<<20), 0o600), syscall.ENOSPC)
	for err == nil {
		op := charge("a", 1)
		op.Reason = strings.Repeat("x", 500)
		_, err = s.Apply(t.Context(), []ledger.Op{op})
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoError(t, os.Remove(fill))
	link := filepath.Join(dir, "link.db")
	require.NoError(t, os.Symlink(path, link))
	for _, name := range []string{path, link} {
		_, err = boltstore.Open(name, boltstore.Config{})
		require.ErrorIs(t, err, boltstore.ErrLocked)
	}
	require.NoError(t, s.Close())
	require.NoError(t, open(t, path).Close())
}

func TestReadOnly(t *testing.T) {
	dir := small(t, "16m")
	path := filepath.Join(dir, "usage.db")
	filled(t, path)
	require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	_, err := boltstore.Open(path, boltstore.Config{})
	require.ErrorIs(t, err, syscall.EROFS)
	_, err = boltstore.Open(filepath.Join(dir, "new.db"), boltstore.Config{})
	require.ErrorIs(t, err, syscall.EROFS)
	_, err = os.Stat(filepath.Join(dir, "new.db"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
