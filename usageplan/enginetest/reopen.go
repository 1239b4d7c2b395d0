package enginetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// TestReopen is for engines whose rows outlive the process. open opens the store at place, a name that is unique to the
// test, and makes it if there is none. The suite closes it and opens it again, and never has it open twice at once.
// place has letters and digits only, so it may be the name of a file, a table or a database. The suite does not delete
// the store: open may do so by t.Cleanup.
func TestReopen(t *testing.T, open func(t *testing.T, place string) ledger.Engine) {
	for _, c := range reopenCases {
		t.Run(c.name, func(t *testing.T) {
			defer watch(t)()
			place := fmt.Sprint("reopen", rand.Uint64())
			c.run(t, func() ledger.Engine { return checked{open(t, place), t} })
		})
	}
}

// A case gets open, and not an engine, as it begins several lives itself. Each open is a life.
var reopenCases = []struct {
	name string
	run  func(t *testing.T, open func() ledger.Engine)
}{
	{"reopened rows", testReopenedRows},
	{"reopened lives", testReopenedLives},
	{"closed at work", testClosedAtWork},
	{"owners", testOwners},
}

// shut closes an engine. An error of Close may mean that rows are lost, so the test fails.
func shut(t *testing.T, e ledger.Engine) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

// testReopenedRows writes keys and rows of all kinds and sizes, closes, opens and reads.
//
// Contract: Update "makes durable what f returns". Close loses nothing.
//
// Finds: an engine that keeps rows only in memory, or has a shorter limit on the way to the disk than on the way to
// memory.
func testReopenedRows(t *testing.T, open func() ledger.Engine) {
	keys, rows := sized()
	for _, key := range lookalikeKeys() {
		if !slices.Contains(keys, key) {
			keys, rows = append(keys, key), append(rows, "row of "+key)
		}
	}
	e := open()
	writeEach(t, e, keys, rows)
	shut(t, e)
	e = open()
	defer e.Close()
	expectEach(t, e, keys, rows)
	slices.Sort(keys)
	if got := slices.Sorted(slices.Values(list(t, e, ""))); !slices.Equal(got, keys) {
		t.Fatalf("got %d keys, want %d", len(got), len(keys))
	}
}

// testReopenedLives makes random Updates over five lives, and compares with a map at the beginning of each.
//
// Contract: Update makes durable what f returns: rows, and also deletions.
//
// Finds: an engine that forgets deletions, or the last Update before Close; that opens another store under the same
// name.
func testReopenedLives(t *testing.T, open func() ledger.Engine) {
	model := make(map[string]string)
	for range 5 {
		e := open()
		compare(t, e, model)
		for range 60 {
			change(t, e, model)
		}
		shut(t, e)
	}
	e := open()
	defer e.Close()
	compare(t, e, model)
}

// testClosedAtWork closes the engine while four writers append, then opens it and counts.
//
// Contract: "When Update returns nil, each key has the row [...] durably." An Update that fails was made once or not at
// all.
//
// Finds: an engine that acknowledges first and writes later, and drops at Close what it has not yet written.
func testClosedAtWork(t *testing.T, open func() ledger.Engine) {
	e := open()
	writers := make([]*writer, 4)
	var wg sync.WaitGroup
	for i := range writers {
		writers[i] = newWriter(e, i)
		wg.Go(func() {
			for range 500 {
				if writers[i].append(t, t.Context()) != nil {
					return
				}
			}
		})
	}
	// Enough for some Updates, too little for all 500 of each writer in an engine that writes to a disk.
	time.Sleep(5 * time.Millisecond)
	shut(t, e)
	wg.Wait()
	e = open()
	defer e.Close()
	for key := range contended {
		verify(t, e, fmt.Sprint("key ", key), writers)
	}
}

// testOwners opens the store ten times and compares the owners. An engine that is no [ledger.Owner] passes.
//
// Contract: "Owner returns a number that stands for this opening of the store. Earlier openings had other numbers."
//
// Finds: an owner that is fixed, such as the id of a machine, or comes again after some openings. Then a ledger takes
// the leases of a process that is gone for its own, and their units stay reserved.
func testOwners(t *testing.T, open func() ledger.Engine) {
	seen := make(map[uint32]bool)
	for range 10 {
		e := open()
		o, ok := e.(checked).Engine.(ledger.Owner)
		if ok && seen[o.Owner()] {
			t.Errorf("Owner: got %d in two lives", o.Owner())
		}
		if ok {
			seen[o.Owner()] = true
		}
		shut(t, e)
	}
}
