package boltstore_test

import (
	"os"
	"path/filepath"
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
		slots := make([]ledger.Slot, n)
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

// TestSlotFault: a page that its file cannot hold is a refusal, not the end of the process. The lease is ended with what has
// been spent, and the next one works.
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
