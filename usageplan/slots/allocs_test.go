//go:build !race

package slots_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

func TestNoteAllocatesNothing(t *testing.T) {
	kinds(t, func(t *testing.T) {
		slot := begin(t, open(t, t.TempDir()), lease(1))
		require.Zero(t, testing.AllocsPerRun(1000, func() { _ = slot.Note(5) }))
	})
}

// TestOpenLeaseTakesLittleMemory: a million of them are to be possible.
func TestOpenLeaseTakesLittleMemory(t *testing.T) {
	s := open(t, t.TempDir())
	const n = 20_000
	open := make([]ledger.Slot, n)
	before := heap()
	for i := range open {
		open[i] = begin(t, s, lease(i))
	}
	took := (heap() - before) / n
	runtime.KeepAlive(open)
	require.Less(t, took, int64(100), "bytes for each lease")
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
