package pgstore_test

import (
	"fmt"
	"testing"

	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/journal/journaltest"
)

// TestFollow: a change acts on the other nodes within a second, and a node that is cut off refuses when it knows too
// little.
func TestFollow(t *testing.T) {
	s, namespace := common(t), fresh()
	journaltest.RunFollow(t, s.addr, func(t *testing.T, addr string) journal.Journal {
		pool := connect(t, options(t, fmt.Sprintf("postgres://test@%s/postgres", addr)))
		return open(t, pool, namespace).Journal(t.Name(), 0)
	})
}
