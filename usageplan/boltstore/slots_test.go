package boltstore_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// TestManySlots: more leases at once than a chunk has places, noted and read back.
func TestManySlots(t *testing.T) {
	slotKinds(t, func(t *testing.T) {
		boltstore.SetBootID(t, "boot 1")
		path := filepath.Join(t.TempDir(), "usage.db")
		s := open(t, path)
		const n = 40_000 // on two processors, ten thousand a file and 4096 a chunk
		slots := make([]ledger.OldSlot, n)
		for i := range slots {
			slot, err := s.Slot(uint64(i + 1))
			require.NoError(t, err)
			require.NoError(t, slot.Note(int64(i)))
			slots[i] = slot
		}
		for i, slot := range slots {
			if i%2 == 0 {
				slot.Free()
			}
		}
		again, err := s.Slot(n + 1)
		require.NoError(t, err)
		require.NoError(t, again.Note(77))
		require.NoError(t, s.Close())
		require.Error(t, again.Note(78), "closed")

		spent := boltstore.ReadSlots(t, path)
		require.Equal(t, int64(77), spent[n+1])
		for i := 1; i < n; i += 2 {
			require.Equal(t, int64(i), spent[uint64(i+1)])
		}
	})
}

// TestNoteWhileClosing: what a note has answered is what the next to open the file finds, also if the store is closed
// under a ledger.
func TestNoteWhileClosing(t *testing.T) {
	slotKinds(t, func(t *testing.T) {
		boltstore.SetBootID(t, "boot 1")
		for range 20 {
			path := filepath.Join(t.TempDir(), "usage.db")
			s := open(t, path)
			slot, err := s.Slot(7)
			require.NoError(t, err)
			started, last := make(chan struct{}), make(chan int64)
			go func() {
				for n := int64(1); ; n++ {
					if err := slot.Note(n); err != nil {
						last <- n - 1
						return
					}
					if n == 1 {
						close(started)
					}
				}
			}()
			<-started
			require.NoError(t, s.Close())
			require.Equal(t, boltstore.ReadSlots(t, path)[7], <-last)
			slot.Free()
		}
	})
}

// TestNoteIsWhole: a spend is seen whole or not at all, so a process that dies in the middle of a note has not made it.
func TestNoteIsWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	s := open(t, path)
	slot, err := s.Slot(7)
	require.NoError(t, err)
	word := boltstore.MapSlot(t, path)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for n := int64(0); ; n = ^n {
			select {
			case <-stop:
				return
			default:
				_ = slot.Note(n)
			}
		}
	}()
	var got [8]byte
	seen := make(map[[8]byte]int)
	for n := 0; n < 1_000_000 || len(seen) < 2; n++ {
		if n%1000 == 0 {
			runtime.Gosched() // on a busy machine the other one may not have come to write yet
		}
		copy(got[:], word[:8])
		seen[got]++
	}
	close(stop)
	<-stopped
	require.Len(t, seen, 2, "%v", seen)
	slot.Free()
}

// TestSlotFault: a page that its file cannot hold is a refusal, not the end of the process. The lease is ended with
// what has been spent, and the next one works.
func TestSlotFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "usage.db")
		s := open(t, path)
		l, err := ledger.New(ledger.Config{Store: s, Block: 16})
		require.NoError(t, err)
		for range 5 {
			_, err := l.Take(t.Context(), key, monthly, 1)
			require.NoError(t, err)
		}
		for _, name := range slotFiles(t, path) {
			require.NoError(t, os.Truncate(filepath.Join(filepath.Dir(path), name), 0))
		}
		_, err = l.Take(t.Context(), key, monthly, 1)
		if boltstore.Mapped {
			require.ErrorIs(t, err, ledger.ErrUnavailable)
		}
		synctest.Wait()
		before, err := l.Balance(t.Context(), key, monthly)
		require.NoError(t, err)
		for range 5 {
			_, err := l.Take(t.Context(), key, monthly, 1)
			require.NoError(t, err)
		}
		require.NoError(t, l.Close())
		require.NoError(t, s.Close())
		require.Equal(t, before.Used+5, balance(t, path).Used)
		if boltstore.Mapped {
			require.EqualValues(t, 5, before.Used)
		}
	})
}

// TestSlotsClosed: slots say what the rest of a closed store says.
func TestSlotsClosed(t *testing.T) {
	slotKinds(t, func(t *testing.T) {
		s := open(t, filepath.Join(t.TempDir(), "usage.db"))
		slot, err := s.Slot(1)
		require.NoError(t, err)
		require.NoError(t, s.Close())
		require.ErrorIs(t, slot.Note(1), boltstore.ErrClosed)
		slot.Free()
		_, err = s.Slot(2)
		require.ErrorIs(t, err, boltstore.ErrClosed)
		_, err = new(boltstore.Store).Slot(3)
		require.ErrorIs(t, err, boltstore.ErrClosed)
	})
}
