package boltstore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/journal/journaltest"
)

// TestJournal: a journal keeps the contract, read in one go and in small parts; journals of one case are topics of one
// store.
func TestJournal(t *testing.T) {
	for _, name := range []string{"as it is", "small chunks"} {
		t.Run(name, func(t *testing.T) {
			if name == "small chunks" {
				boltstore.SmallChunks(t)
			}
			var topics atomic.Int64
			s := open(t, filepath.Join(t.TempDir(), "usage.db"))
			journaltest.Run(t, func(_ *testing.T, retain time.Duration) journal.Journal {
				return s.Journal(fmt.Sprint("topic ", topics.Add(1)), retain)
			})
			require.NoError(t, s.Check(t.Context()))
		})
	}
}

// TestJournalReopen: so it does over files that are closed, or left as a killed process leaves them.
func TestJournalReopen(t *testing.T) {
	journaltest.RunReopen(t, func(t *testing.T, retain time.Duration) (journal.Journal, func() journal.Journal) {
		path := filepath.Join(t.TempDir(), "usage.db")
		s, kill := open(t, path), false
		return s.Journal("keys", retain), func() journal.Journal {
			content := readFile(t, path)
			require.NoError(t, s.Close())
			if kill = !kill; kill {
				path += "+"
				require.NoError(t, os.WriteFile(path, content, 0o600))
			}
			s = open(t, path)
			return s.Journal("keys", retain)
		}
	})
}
