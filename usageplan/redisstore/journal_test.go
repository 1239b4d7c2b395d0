package redisstore_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/journal/journaltest"
	"github.com/tallygate/tallygate/usageplan/redisstore"
)

// testJournal executes the contract of journals. Those of one case are topics of one store, but each has a client of
// its own, as another process would.
func testJournal(t *testing.T, connect func(t testing.TB) redis.UniversalClient) {
	var topics atomic.Int64
	namespace := fresh()
	journaltest.Run(t, func(t *testing.T, retain time.Duration) journal.Journal {
		return open(t, connect(t), namespace).Journal(fmt.Sprint("topic ", topics.Add(1)), retain)
	})
}

// TestJournal: a journal keeps the contract, read in one go and in small parts.
func TestJournal(t *testing.T) {
	s := start(t)
	connect := func(t testing.TB) redis.UniversalClient {
		o := options(s.addr)
		o.ReadTimeout = time.Minute // a case appends 64 MiB, which the server syncs before it answers
		return client(t, o)
	}
	t.Run("as it is", func(t *testing.T) { testJournal(t, connect) })
	t.Run("small chunks", func(t *testing.T) {
		redisstore.SmallChunks(t)
		testJournal(t, connect)
	})
}

// TestJournalReopen: a journal is there after the server was killed and started again.
func TestJournalReopen(t *testing.T) {
	s := start(t)
	journaltest.RunReopen(t, func(t *testing.T, retain time.Duration) (journal.Journal, func() journal.Journal) {
		namespace := fresh()
		again := func() journal.Journal {
			return open(t, client(t, options(s.addr)), namespace).Journal("keys", retain)
		}
		return again(), func() journal.Journal {
			s.kill()
			s.run()
			return again()
		}
	})
}
