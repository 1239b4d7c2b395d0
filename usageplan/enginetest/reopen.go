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
// test, and makes it if there is none. The suite closes it and opens it again.
func TestReopen(t *testing.T, open func(t *testing.T, place string) ledger.Engine) {
	for _, c := range reopenCases {
		t.Run(c.name, func(t *testing.T) {
			defer watch(t)()
			place := fmt.Sprint("reopen", rand.Uint64())
			c.run(t, func() ledger.Engine { return checked{open(t, place), t} })
		})
	}
}

var reopenCases = []struct {
	name string
	run  func(t *testing.T, open func() ledger.Engine)
}{
	{"reopened rows", testReopenedRows},
	{"reopened lives", testReopenedLives},
	{"closed at work", testClosedAtWork},
	{"owners", testOwners},
}

func shut(t *testing.T, e ledger.Engine) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

// testReopenedRows: keys and rows of all kinds and sizes are the next life's too.
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

// testReopenedLives: random Updates over several lives do what they do to a map; deletions last too.
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

// testClosedAtWork: what was answered before or during Close is kept, exactly.
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
	time.Sleep(5 * time.Millisecond)
	shut(t, e)
	wg.Wait()
	e = open()
	defer e.Close()
	for key := range contended {
		verify(t, e, fmt.Sprint("key ", key), writers)
	}
}

// testOwners: each life has a number of its own.
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
