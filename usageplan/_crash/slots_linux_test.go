package crash

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/slots"
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
	dir := filepath.Dir(path)
	s, err := slots.Open(dir)
	require.NoError(t, err)
	slot, err := s.Open(ledger.OpenLease{Account: ledger.Account{Key: key(1)}, ID: 7})
	require.NoError(t, err)
	names, err := filepath.Glob(filepath.Join(dir, "spent-*"))
	require.NoError(t, err)
	require.Len(t, names, 1)
	f, err := os.Open(names[0])
	require.NoError(t, err)
	defer f.Close()
	content := func() string {
		b := make([]byte, 1<<16)
		n, _ := f.ReadAt(b, 0)
		return string(b[:n])
	}

	require.NoError(t, slot.Note(3))
	require.NoError(t, f.Sync())
	synced := content()
	require.NoError(t, slot.Note(5))
	require.NotEqual(t, synced, content())
	ask(t, askRefuse)
	require.NoError(t, writeBack(f)) // begun; waiting for it would use up the error
	ask(t, askAccept)
	_ = s.Close() // may tell of it; kill -9 would not
	require.Eventually(t, func() bool {
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) == nil && content() == synced
	}, time.Minute, time.Millisecond, "the page was not dropped")
	for range 2 { // the system tells of the error once
		s, err := slots.Open(dir)
		require.NoError(t, err)
		leases, err := s.Claim()
		require.NoError(t, err)
		require.Len(t, leases, 1)
		require.False(t, leases[0].Known)
		require.NoError(t, s.Close())
	}
}

func writeBack(f *os.File) error {
	return unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
}
