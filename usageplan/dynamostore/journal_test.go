package dynamostore_test

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/dynamostore"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/journal/journaltest"
)

// TestJournal: a journal keeps the contract. Those of one case are topics of one store, but each has a client of its
// own, as another process would. With TALLYGATE_HEAVY=2 the same is executed with writers that never settle their own
// change.
func TestJournal(t *testing.T) {
	s := common(t)
	var topics atomic.Int64
	namespace := fresh()
	run := func() {
		journaltest.Run(t, func(t *testing.T, retain time.Duration) journal.Journal {
			return open(t, client(options(s.addr)), namespace).Journal(fmt.Sprint("topic ", topics.Add(1)), retain)
		})
	}
	run()
	if os.Getenv("TALLYGATE_HEAVY") == "2" {
		dynamostore.LeaveUnsettled(t)
		run()
	}
}

// TestJournalReopen: a journal is there after the server was killed and started again.
func TestJournalReopen(t *testing.T) {
	s := start(t, "--path", t.TempDir())
	journaltest.RunReopen(t, func(t *testing.T, retain time.Duration) (journal.Journal, func() journal.Journal) {
		namespace := fresh()
		again := func() journal.Journal { return open(t, client(options(s.addr)), namespace).Journal("keys", retain) }
		return again(), func() journal.Journal {
			s.kill()
			s.run()
			return again()
		}
	})
}
