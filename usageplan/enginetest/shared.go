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
// engine stands for a process: it shares nothing with the others but the store. If engines of one process share a cache
// or a lock, open has to give each its own. Otherwise the suite tests less than production needs.
func TestShared(t *testing.T, open func(t *testing.T, place string) ledger.Engine) {
	for _, c := range sharedCases {
		t.Run(c.name, func(t *testing.T) {
			defer watch(t)()
			place := fmt.Sprint("shared", rand.Uint64())
			c.run(t, func() ledger.Engine { return checked{open(t, place), t} })
		})
	}
}

// The cases are those of [Test] in which one caller meets another, with an engine for each caller.
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

// testSharedRows changes rows by two engines in turn, and compares both with one map.
//
// Contract: Load "sees every Update that has returned", also one that another process has made.
//
// Finds: an engine that remembers rows in its process and does not ask whether they have changed; that opens a store of
// its own each time.
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

// testSharedConflict is [testConflict] with two engines.
//
// Contract: a row is written "only if nobody has changed it since f saw it". A change by another process counts like
// one by this one.
//
// Finds: an engine that decides on a row which it remembers, without comparing it in the store.
func testSharedConflict(t *testing.T, open func() ledger.Engine) {
	one, two := open(), open()
	defer one.Close()
	defer two.Close()
	conflicts(t, one, two)
}

// testSharedContention is [testContention] with three engines and two goroutines each.
//
// Contract: "All methods are safe for concurrent use", in one process and in several at once.
//
// Finds: an engine that locks in its process but not in the store. With one engine it would pass.
func testSharedContention(t *testing.T, open func() ledger.Engine) {
	engines := []ledger.Engine{open(), open(), open()}
	contend(t, slices.Concat(engines, engines)) // two goroutines each
	for _, e := range engines {
		shut(t, e)
	}
}

// testOneCloses closes one of two engines, and then opens a third.
//
// Contract: "Close ends the engine", not the store. When one process ends, the others go on.
//
// Finds: an engine whose Close stops a server, drops a table, or ends what others use.
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

// testOneClock asks two engines in turn for the time.
//
// Contract of [ledger.Clock]: "an Engine with a clock of its own, which all ledgers over the store share".
//
// Finds: a clock that is the machine's and not the store's. Two engines here are on one machine. So the case finds only
// a difference that the engines make themselves; whether the time is the server's, the engine's own tests must show.
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

// testNoOwner asks an engine whether it is an Owner.
//
// Contract of [ledger.Owner]: "an Engine whose rows no other process can change while it is open".
//
// Finds: an engine that says so although processes share it. Its ledger would end the leases of the others, which are
// still in use.
func testNoOwner(t *testing.T, open func() ledger.Engine) {
	e := open()
	defer e.Close()
	if _, ok := e.(checked).Engine.(ledger.Owner); ok {
		t.Error("an engine that several processes share is an Owner")
	}
}
