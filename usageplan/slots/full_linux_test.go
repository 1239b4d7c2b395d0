package slots_test

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/slots"
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

// TestFullDisk: on a full disk no lease is opened, but every open one is noted; when there is room, all goes on.
func TestFullDisk(t *testing.T) {
	kinds(t, func(t *testing.T) {
		dir := small(t, "1m")
		s := open(t, filepath.Join(dir, "slots"))
		var open []ledger.Slot
		var err error
		for err == nil {
			var slot ledger.Slot
			if slot, err = s.Open(lease(len(open))); err == nil {
				open = append(open, slot)
			}
		}
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.Greater(t, len(open), 1000)
		for i, slot := range open {
			require.NoError(t, slot.Note(int64(i)))
		}
		_, err = s.Open(lease(0))
		require.ErrorIs(t, err, syscall.ENOSPC, "again")
		open[0].Free()
		open[0] = begin(t, s, lease(0)) // a freed place is there
		require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=8m"))
		for range 3000 {
			open = append(open, begin(t, s, lease(len(open))))
			require.NoError(t, open[len(open)-1].Note(int64(len(open)-1)))
		}
		require.NoError(t, s.Close())
		list := claim(t, openIn(t, dir))
		require.Len(t, list, len(open))
		for _, o := range list {
			i := int(o.ID - lease(0).ID)
			require.Equal(t, known(lease(i), int64(i)), o)
		}
	})
}

func openIn(t *testing.T, dir string) *slots.Slots { return open(t, filepath.Join(dir, "slots")) }

// TestFullDiskAtFirst: a disk without room for one chunk is an error, and leaves nothing that stays in the way.
func TestFullDiskAtFirst(t *testing.T) {
	dir := small(t, "128k")
	s := openIn(t, dir)
	for range 3 {
		_, err := s.Open(lease(1))
		require.ErrorIs(t, err, syscall.ENOSPC)
	}
	require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=8m"))
	require.NoError(t, begin(t, s, lease(1)).Note(1))
}

func TestReadOnlyFolder(t *testing.T) {
	dir := small(t, "1m")
	require.NoError(t, openIn(t, dir).Close())
	require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	_, err := slots.Open(filepath.Join(dir, "slots"))
	require.ErrorIs(t, err, syscall.EROFS)
	_, err = slots.Open(filepath.Join(dir, "new"))
	require.ErrorIs(t, err, syscall.EROFS)
}
