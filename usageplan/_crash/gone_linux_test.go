package crash

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
)

const goneEnv = "TALLYGATE_GONE_CHILD"

// testGone: a disk that goes away under a process, with what the system had cached of it, is an error of each call;
// none panics, and none waits for what another has not let go of. When the disk is back, so is the store.
func testGone(t *testing.T) {
	for call := range gone {
		t.Run(call, func(t *testing.T) {
			d := newDisk(1, faults{})
			dir, unmount := mount(t, d)
			defer unmount()
			plug := func(cut bool) func() {
				return func() {
					d.unplug(cut)
					require.Zero(t, d.names["usage.db"].NotifyContent(0, 0))
				}
			}
			asked := serve(t, 2*time.Minute, "TestGoneChild",
				[]string{goneEnv + "=" + filepath.Join(dir, "usage.db"), goneEnv + "_CALL=" + call},
				map[string]func(){askGone: plug(true), askBack: plug(false)})
			require.Equal(t, 4, asked)
		})
	}
}

// What the child asks of the disk.
const (
	askGone = "gone"
	askBack = "back"
)

func (d *disk) unplug(cut bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cut = cut
}

// gone are the calls that meet the loss.
var gone = map[string]func(context.Context, *boltstore.Store) error{
	"Update": func(ctx context.Context, s *boltstore.Store) error {
		_, err := count(ctx, s, 1)
		return err
	},
	"Load": func(ctx context.Context, s *boltstore.Store) error {
		_, err := s.Load(ctx, "nobody") // of which the file is asked
		return err
	},
	"Keys": func(ctx context.Context, s *boltstore.Store) error {
		for _, err := range s.Keys(ctx, "") {
			if err != nil {
				return err
			}
		}
		return nil
	},
	"Append": func(ctx context.Context, s *boltstore.Store) error {
		j := s.Journal(topic, retain)
		_, head, err := readJournal(ctx, j)
		if err == nil {
			_, err = j.Append(ctx, head, journalChange(head+1))
		}
		return err
	},
	"Changes": func(ctx context.Context, s *boltstore.Store) error {
		_, _, err := readJournal(ctx, s.Journal(topic, retain))
		return err
	},
	"History": func(ctx context.Context, s *boltstore.Store) error {
		for _, err := range s.Journal(topic, retain).History(ctx, "made 000001") {
			if err != nil {
				return err
			}
		}
		return nil
	},
	"Check": func(ctx context.Context, s *boltstore.Store) error { return s.Check(ctx) },
}

// TestGoneChild makes one call first, then all of them; without the disk and with it.
func TestGoneChild(t *testing.T) {
	path := os.Getenv(goneEnv)
	if path == "" {
		t.Skip("run by TestPowerCut")
	}
	s, err := boltstore.Open(path)
	require.NoError(t, err)
	require.NoError(t, gone["Update"](t.Context(), s))
	first := gone[os.Getenv(goneEnv+"_CALL")]
	ask(t, askGone)
	for range 2 {
		require.Error(t, first(t.Context(), s))
	}
	ask(t, askBack)
	require.NoError(t, first(t.Context(), s), "by itself")
	ask(t, askGone)
	for name, call := range gone {
		require.Error(t, call(t.Context(), s), name)
	}
	ask(t, askBack)
	for name, call := range gone {
		require.NoError(t, call(t.Context(), s), name)
	}
	total, err := count(t.Context(), s, 1)
	require.NoError(t, err)
	acknowledged := uint64(3)
	if os.Getenv(goneEnv+"_CALL") == "Update" {
		acknowledged++
	}
	require.Equal(t, acknowledged, total)
	require.NoError(t, s.Close())
}
