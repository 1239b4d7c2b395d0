package enginetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// TestShared is for engines that several processes have open at once. open opens the store at place, a name that is
// unique to the test, and makes it if there is none. The suite opens it several times before it closes it, so each
// engine stands for a process: it shares nothing with the others but the store.
func TestShared(t *testing.T, open func(t *testing.T, place string) ledger.Engine) {
	for _, c := range sharedCases {
		t.Run(c.name, func(t *testing.T) {
			defer watch(t)()
			place := fmt.Sprint("shared", rand.Uint64())
			c.run(t, func() ledger.Engine { return checked{open(t, place), t} })
		})
	}
}

var sharedCases = []struct {
	name string
	run  func(t *testing.T, open func() ledger.Engine)
}{
	{"shared rows", testSharedRows},
	{"shared conflict", testSharedConflict},
	{"shared contention", testSharedContention},
	{"one closes", testOneCloses},
	{"one clock", testOneClock},
	{"no owner", testNoOwner},
	{"shared ledgers", testSharedLedgers},
}

// testSharedRows: each sees at once what another has written, deleted or left.
func testSharedRows(t *testing.T, open func() ledger.Engine) {
	one, two := open(), open()
	defer one.Close()
	defer two.Close()
	model := make(map[string]string)
	for range 20 {
		for _, e := range []ledger.Engine{one, two} {
			change(t, e, model)
		}
		compare(t, one, model)
		compare(t, two, model)
	}
	loadWhileWriting(t, one, two)
}

// testSharedConflict: a change by another process counts like one by this one.
func testSharedConflict(t *testing.T, open func() ledger.Engine) {
	one, two := open(), open()
	defer one.Close()
	defer two.Close()
	conflicts(t, one, two)
}

func testSharedContention(t *testing.T, open func() ledger.Engine) {
	engines := []ledger.Engine{open(), open(), open()}
	contend(t, slices.Concat(engines, engines)) // two goroutines each
	for _, e := range engines {
		shut(t, e)
	}
}

// testOneCloses: when one process ends, the others go on.
func testOneCloses(t *testing.T, open func() ledger.Engine) {
	one, two := open(), open()
	defer two.Close()
	put(t, one, "key", "row")
	shut(t, one)
	expect(t, two, "key", "row")
	put(t, two, "key", "new")
	three := open()
	defer three.Close()
	expect(t, three, "key", "new")
	if err := one.Update(t.Context(), []string{"key"}, write("closed")); err == nil {
		t.Error("Update after Close, while others go on: no error")
	}
}

// testOneClock: all processes have the same time.
func testOneClock(t *testing.T, open func() ledger.Engine) {
	one, two := open(), open()
	defer one.Close()
	defer two.Close()
	before := time.Time{}.Add(1)
	for _, e := range []ledger.Engine{one, two, one, two} {
		if c, ok := e.(checked).Engine.(ledger.Clock); ok {
			before = now(t, c, before)
		}
	}
}

// testNoOwner: an engine whose rows others change is no [ledger.Owner]: its ledger would end the leases of the others.
func testNoOwner(t *testing.T, open func() ledger.Engine) {
	e := open()
	defer e.Close()
	if _, ok := e.(checked).Engine.(ledger.Owner); ok {
		t.Error("an engine that several processes share is an Owner")
	}
}
