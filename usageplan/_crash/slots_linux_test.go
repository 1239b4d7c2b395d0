package crash

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"golang.org/x/sys/unix"
)

const slotsEnv = "TALLYGATE_SLOTS_CHILD"

// TestNotWrittenBack: a disk that did not take a page of a slot file, which the system then dropped, shows an older
// number than was noted. It is not believed: the lease counts as spent.
func TestNotWrittenBack(t *testing.T) {
	d := newDisk(1, faults{})
	dir, unmount := mount(t, d)
	defer unmount()
	asked := serve(t, time.Minute, "TestNotWrittenBackChild", []string{slotsEnv + "=" + filepath.Join(dir, "usage.db")}, map[string]func(){
		askRefuse: func() { d.refuse(true) },
		askAccept: func() {
			require.Eventually(t, d.hasRefused, time.Minute, time.Millisecond)
			d.refuse(false)
		},
	})
	require.Equal(t, 2, asked)
}

// What the child asks of the disk: to refuse writes, and to take them again.
const (
	askRefuse = "refuse"
	askAccept = "accept"
)

// refuse makes all writes fail, or none.
func (d *disk) refuse(all bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.full = all
}

func (d *disk) hasRefused() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.short > 0
}

// TestNotWrittenBackChild is on the disk; its faults could not be served by the process that is the disk.
func TestNotWrittenBackChild(t *testing.T) {
	path := os.Getenv(slotsEnv)
	if path == "" {
		t.Skip("run by TestNotWrittenBack")
	}
	s, err := boltstore.Open(path, boltstore.Config{})
	require.NoError(t, err)
	slot, err := s.Slot(7)
	require.NoError(t, err)
	_, err = s.Apply(t.Context(), []ledger.Op{{
		Kind: ledger.KindReserve, Account: ledger.Account{Key: key(1)}, Limit: 100, Want: 8, Min: 1, Lease: 7,
	}})
	require.NoError(t, err)
	names, err := filepath.Glob(path + ".spent.*")
	require.NoError(t, err)
	require.Len(t, names, 1)
	f, err := os.Open(names[0])
	require.NoError(t, err)
	defer f.Close()

	require.NoError(t, slot.Note(3))
	require.NoError(t, f.Sync())
	require.NoError(t, slot.Note(5))
	ask(t, askRefuse)
	require.NoError(t, writeBack(f)) // begun; waiting for it would use up the error
	ask(t, askAccept)
	_ = s.Close() // may tell of it; kill -9 would not
	require.Eventually(t, func() bool {
		b := make([]byte, 8)
		err := errors.Join(unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), readAt(f, b, 72))
		return err == nil && binary.LittleEndian.Uint64(b) == 3
	}, time.Minute, time.Millisecond, "the page was not dropped")
	for range 2 { // the system tells of the error once
		require.Equal(t, []bool{false}, known(t, path))
	}
}

func writeBack(f *os.File) error {
	return unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
}

func readAt(f *os.File, b []byte, at int64) error {
	_, err := f.ReadAt(b, at)
	return err
}

// known opens the file and tells of its open leases whether their spends are known.
func known(t *testing.T, path string) (list []bool) {
	s, err := boltstore.Open(path, boltstore.Config{})
	require.NoError(t, err)
	for l, err := range s.Leases(t.Context()) {
		require.NoError(t, err)
		list = append(list, l.Known)
	}
	require.NoError(t, s.Close())
	return list
}
