package crash

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
)

// count adds to a row of its own and returns what is in it then.
func count(ctx context.Context, s *boltstore.Store, n uint64) (total uint64, err error) {
	err = s.Update(ctx, []string{"count"}, func(_ int, row []byte) ([]byte, error) {
		if total = n; row != nil {
			total += binary.BigEndian.Uint64(row)
		}
		return binary.BigEndian.AppendUint64(nil, total), nil
	})
	return total, err
}

// TestCreationChild makes a file, or converts one, and counts in it, once.
func TestCreationChild(t *testing.T) {
	dir := os.Getenv(earlyEnv)
	if dir == "" {
		t.Skip("run by TestPowerCut")
	}
	oldBootID = func() string { return "boot 1" }
	s, err := boltstore.Open(filepath.Join(dir, "usage.db"))
	failed(err)
	_, err = count(t.Context(), s, 1)
	failed(err)
	said(earlyAck)
	said(earlyDone)
	select {} // without closing
}

// earlyEnds are the ways in which a life ends while it makes or converts a file, each on a disk with and without links.
var earlyEnds = []struct {
	name   string
	kill   bool
	faults faults
}{
	{"power cuts", false, faults{}},
	{"power cuts, no links", false, faults{unlinked: true}},
	{"kills", true, faults{}},
	{"kills, no links", true, faults{unlinked: true}},
}

// testCreation: whatever the disk has after a life that ended while it made a file, a file can be opened, or none is there
// and one is made; and what has been acknowledged is in it.
func testCreation(t *testing.T) {
	for _, tt := range earlyEnds {
		t.Run(tt.name, func(t *testing.T) {
			absent := 0
			e := &early{
				t: t, test: "TestCreationChild", kill: tt.kill, skip: 1,
				disk: func() *disk { return newDisk(rand.Uint64(), tt.faults) },
				look: func(dir string, l lives) {
					path := filepath.Join(dir, "usage.db")
					if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
						absent++
						require.Zero(t, l.total(), "the file is gone")
					}
					requireCounted(t, path, l)
				},
			}
			e.run()
			t.Logf("ended before each of %d changes: %d states of the disk, of them %d without the file", e.changes, e.states, absent)
			require.Greater(t, e.changes, 15)
			require.Greater(t, e.states, e.changes)
			require.Less(t, absent, e.states)
			require.Equal(t, tt.kill, absent == 0, "the next process makes the file durable")
		})
	}
}

func (l lives) total() (n int) {
	for _, acked := range l.acked {
		n += acked
	}
	return n
}

// requireCounted: the file opens, and opens again, with what was counted.
func requireCounted(t *testing.T, path string, l lives) {
	for used := range uint64(2) {
		s, err := boltstore.Open(path)
		require.NoError(t, err)
		total, err := count(t.Context(), s, 10)
		require.NoError(t, err)
		before := total - 10*(used+1)
		require.LessOrEqual(t, before, uint64(len(l.acked)), "more than was asked for")
		require.GreaterOrEqual(t, before, uint64(l.total()), "acknowledged and lost")
		require.NoError(t, s.Check(t.Context()))
		require.NoError(t, s.Close())
	}
}
