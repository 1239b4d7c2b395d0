package crash

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
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
	dir := t.TempDir()
	server, err := fs.Mount(dir, &folder{disk: d}, &fs.Options{MountOptions: fuse.MountOptions{DirectMount: true, FsName: "crash"}})
	if err != nil {
		t.Skipf("cannot mount: %v", err)
	}
	defer func() { _ = server.Unmount() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestNotWrittenBackChild$")
	child.Env = append(os.Environ(), slotsEnv+"="+filepath.Join(dir, "usage.db"))
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	require.NoError(t, err)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	asked := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		switch lines.Text() {
		case askRefuse, askAccept:
			asked++
			if lines.Text() == askAccept {
				require.Eventually(t, d.hasRefused, time.Minute, time.Millisecond)
			}
			d.refuse(lines.Text() == askRefuse)
			_, _ = fmt.Fprintln(in)
		default:
			t.Log(lines.Text())
		}
	}
	require.NoError(t, child.Wait())
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

	ask := func(what string) {
		fmt.Println(what)
		_, err := bufio.NewReader(os.Stdin).ReadString('\n')
		require.NoError(t, err)
	}
	require.NoError(t, slot.Note(3))
	require.NoError(t, f.Sync())
	require.NoError(t, slot.Note(5))
	ask(askRefuse)
	require.NoError(t, writeBack(f)) // begun; waiting for it would use up the error
	ask(askAccept)
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
