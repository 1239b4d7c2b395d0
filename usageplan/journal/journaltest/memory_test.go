package journaltest_test

import (
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/journal/journaltest"
)

func TestMemory(t *testing.T) {
	journaltest.Run(t, func(_ *testing.T, retain time.Duration) journal.Journal { return journal.Memory(retain) })
}

// A journal in memory does not outlive its process. Here it does, as the process goes on.
func TestMemoryReopened(t *testing.T) {
	journaltest.RunReopen(t, func(_ *testing.T, retain time.Duration) (journal.Journal, func() journal.Journal) {
		j := journal.Memory(retain)
		return j, func() journal.Journal { return j }
	})
}
