package boltstore_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
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

// TestDiskFull: a full disk is an error until there is room again, and then the rows are exactly those that were
// acknowledged, but for the last change, which may have been made.
func TestDiskFull(t *testing.T) {
	for name, limits := range map[string]boltstore.Limits{
		"in a log":        boltstore.Usual,
		"in a checkpoint": boltstore.Small,
	} {
		t.Run(name, func(t *testing.T) {
			boltstore.SetLimits(t, limits)
			dir := small(t, "1m")
			s := open(t, filepath.Join(dir, "usage.db"))
			want := make(map[string]string)
			var err error
			var key, row string
			for i := 0; err == nil; i++ {
				key, row = fmt.Sprint("key", i), strings.Repeat("x", 900)
				if err = tryPut(s, map[string]string{key: row}); err == nil {
					want[key] = row
				}
			}
			require.ErrorIs(t, err, syscall.ENOSPC)
			require.Greater(t, len(want), 100)
			for range 3 {
				got := rowsOf(t, s)
				delete(got, key)
				require.Equal(t, want, got, "rows can be read")
				if err := tryPut(s, map[string]string{key: strings.Repeat("x", 5000)}); err != nil {
					require.ErrorIs(t, err, syscall.ENOSPC)
				}
			}
			require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"))
			want[key] = "after"
			put(t, s, map[string]string{key: "after"})
			require.Equal(t, want, rowsOf(t, s))
			require.NoError(t, s.Check(t.Context()))
		})
	}
}

// TestJournalDiskFull: a full disk is an error until there is room again. Then the journal has what was acknowledged, and
// perhaps the last change.
func TestJournalDiskFull(t *testing.T) {
	dir := small(t, "1m")
	s := open(t, filepath.Join(dir, "usage.db"))
	j := s.Journal("keys", 0)
	want := make(map[string]string)
	var head uint64
	var err error
	for err == nil {
		item, value := fmt.Sprint("item ", head), strings.Repeat("x", 900)
		if _, err = j.Append(t.Context(), head, edit(item, value)); err == nil {
			head++
			want[item] = value
		}
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Greater(t, len(want), 100)
	last := fmt.Sprint("item ", head)
	items, now := itemsOf(t, j)
	require.Equal(t, items[last] != "", now == head+1)
	delete(items, last)
	require.Equal(t, want, items, "items can be read")
	require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"))
	now = appendTo(t, j, now, last, "after")
	want[last] = "after"
	items, _ = itemsOf(t, j)
	require.Equal(t, want, items)
	require.NotEmpty(t, historyOf(t, j, last))
	require.NoError(t, j.Wait(t.Context(), now-1))
	require.NoError(t, s.Check(t.Context()))
}

// TestLockedInOutage: an error of the disk does not let a second opener in.
func TestLockedInOutage(t *testing.T) {
	dir := small(t, "1m")
	path := filepath.Join(dir, "usage.db")
	s, err := boltstore.Open(path)
	require.NoError(t, err)
	fill := filepath.Join(dir, "fill")
	require.ErrorIs(t, os.WriteFile(fill, make([]byte, 1<<20), 0o600), syscall.ENOSPC)
	for err == nil {
		err = tryPut(s, map[string]string{fmt.Sprint("key", rand.Int()): strings.Repeat("x", 500)})
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoError(t, os.Remove(fill))
	link := filepath.Join(dir, "link.db")
	require.NoError(t, os.Symlink(path, link))
	for _, name := range []string{path, link} {
		_, err = boltstore.Open(name)
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
	_, err := boltstore.Open(path)
	require.ErrorIs(t, err, syscall.EROFS)
	_, err = boltstore.Open(filepath.Join(dir, "new.db"))
	require.ErrorIs(t, err, syscall.EROFS)
	_, err = os.Stat(filepath.Join(dir, "new.db"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestConvertDiskFull: the old file stays as it is until there is room for the new one, wherever the room has ended.
func TestConvertDiskFull(t *testing.T) {
	content := readFile(t, version1(t))
	full := 0
	for size := len(content) + 8<<10; ; size += 4 << 10 {
		dir := small(t, fmt.Sprint(size))
		path := filepath.Join(dir, "usage.db")
		require.NoError(t, os.WriteFile(path, content, 0o600))
		s, err := boltstore.Open(path)
		if err == nil {
			require.NoError(t, s.Close())
			break
		}
		full++
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.Equal(t, content, readFile(t, path))
		require.Equal(t, []string{path + ".lock"}, slices.Collect(glob(t, path+".*")))
		require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"))
		requireConverted(t, open(t, path), unknown)
	}
	require.Greater(t, full, 2)
}
