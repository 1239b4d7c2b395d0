package boltstore_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
)

// putSome gives so many keys new rows, from the i-th on, and returns how far the store has come.
func putSome(t *testing.T, s *boltstore.Store, i, n int) boltstore.Extent {
	t.Helper()
	changes := make(map[string]string)
	for j := range n {
		changes[fmt.Sprintf("key %03d", (i*n+j)%1000)] = strings.Repeat("x", 90)
	}
	put(t, s, changes)
	return s.Extent()
}

// TestCheckpointIsSpread: no commit writes many rows, also if the log was long already when the rows could be written.
// It is after an opening: the rows have to be sorted once more, and those that had been written are written again.
//
// The test waits for each sort. Where the processors are busy, a thousand keys may take so many commits that the others
// are few, and write many rows each.
func TestCheckpointIsSpread(t *testing.T) {
	boltstore.SetLimits(t, boltstore.Limits{PerRow: 100, MinBytes: 1 << 18, MaxBytes: 1 << 18, FlushRows: 1000})
	s := open(t, filepath.Join(t.TempDir(), "usage.db"))
	opened := false
	checkpoints := 0
	for i, last := 0, (boltstore.Extent{}); checkpoints < 3; i++ {
		now := putSome(t, s, i, 8)
		s.WaitSorted()
		require.LessOrEqual(t, last.Unwritten-now.Unwritten, 50, "commit %d", i)
		switch last = now; {
		case now.Checkpoint && now.Unwritten < 500 && !opened:
			opened = true
			s.Drop()
			last.Unwritten = 1000
		case opened && !now.Checkpoint:
			opened = false
			checkpoints++
		}
	}
}

// TestCheckpointEnds: the logs have a bounded size, also if the file is opened again after each commit, so that no rows
// are sorted in time.
func TestCheckpointEnds(t *testing.T) {
	const records = 32
	boltstore.SetLimits(t, boltstore.Limits{PerRow: 1, MinBytes: records * 512, MaxBytes: records * 512, FlushRows: 1000})
	s := open(t, filepath.Join(t.TempDir(), "usage.db"))
	longest := uint64(0)
	for i := range 5 * records {
		now := putSome(t, s, i, 1)
		longest = max(longest, now.Last+1-now.First)
		s.Drop()
	}
	require.Greater(t, longest, uint64(records))
	require.LessOrEqual(t, longest, uint64(2*records))
	require.Len(t, rowsOf(t, s), 5*records)
}
