package redisstore_test

import (
	"testing"

	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/journal/journaltest"
)

// TestFollow: a change acts on the other nodes within a second, and a node that is cut off refuses when it knows too
// little.
func TestFollow(t *testing.T) {
	s, namespace := start(t), fresh()
	journaltest.RunFollow(t, s.addr, func(t *testing.T, addr string) journal.Journal {
		return open(t, client(t, options(addr)), namespace).Journal(t.Name(), 0)
	})
}
