package enginetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Test runs the suite over one engine at a time. Each case calls open once, and open returns a new engine without rows.
// The suite closes the engine, some cases more than once. open may register t.Cleanup for what it needs: that runs
// after the last Close.
func Test(t *testing.T, open func(t *testing.T) ledger.Engine) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			defer watch(t)()
			e := open(t)
			defer e.Close()
			c.run(t, checked{e, t})
		})
	}
}

// The order of cases is from simple to complex: rows of one caller, how f is called and who owns which slice,
// concurrent callers, Keys, contexts that end, Close. Last comes a ledger, as the judge of everything together. It
// would find many of the other faults too, but could not say which rule was broken.
var cases = []struct {
	name string
	run  func(*testing.T, ledger.Engine)
}{
	{"rows", testRows},
	{"no keys", testNoKeys},
	{"many keys", testManyKeys},
	{"lookalike keys", testLookalikeKeys},
	{"sizes", testSizes},
	{"random", testRandom},
	{"error of f", testErrorOfF},
	{"one call at a time", testOneCallAtATime},
	{"slices", testSlices},
	{"late copies", testLateCopies},
	{"load", testLoad},
	{"conflict", testConflict},
	{"contention", testContention},
	{"whole rows", testWholeRows},
	{"prefix", testPrefix},
	{"keys during changes", testKeysDuringChanges},
	{"keys stopped", testKeysStopped},
	{"ended context", testEndedContext},
	{"context ends", testContextEnds},
	{"closed", testClosed},
	{"closed at once", testClosedAtOnce},
	{"owner and clock", testOwnerAndClock},
	{"durable", testDurable},
	{"ledger", testLedger},
}

// patience is how long a case may take. It is far more than the slowest engine needs, because a failure must mean a
// deadlock and not a busy machine. Tests of the suite shorten it.
var patience = 5 * time.Minute

// watch ends the binary if the case hangs, and says which. It returns what ends the watch.
//
// It panics, because nothing else ends a goroutine that waits inside the engine: t.Fatal ends only the one that calls
// it. With GOTRACEBACK=all the panic also shows where each goroutine waits.
func watch(t *testing.T) (end func() bool) {
	name := t.Name()
	return time.AfterFunc(patience, func() {
		panic(fmt.Sprintf("enginetest: %s still runs after %v; does the engine deadlock?", name, patience))
	}).Stop
}

// put writes one row, or deletes it if row is "". The suite writes "" for "no row" everywhere. That is not ambiguous,
// as a row has at least one byte.
func put(t *testing.T, e ledger.Engine, key, row string) {
	t.Helper()
	if err := e.Update(t.Context(), []string{key}, write(row)); err != nil {
		t.Fatalf("Update of %.40q: %v", key, err)
	}
}

// write returns a function for Update that returns the same row for each key. For "" it returns a slice that is empty
// but not nil, so it deletes.
func write(row string) func(int, []byte) ([]byte, error) {
	return func(int, []byte) ([]byte, error) { return []byte(row), nil }
}

// expect fails unless Load and Update both tell this row; "" is no row. It asks both, because an engine may answer them
// from different places: a cache, a replica, a transaction. Load must return nil for no row, and not an empty slice.
// For the rows that f sees, that is checked in update.call.
func expect(t *testing.T, e ledger.Engine, key, want string) {
	t.Helper()
	got, err := e.Load(t.Context(), key)
	if err != nil || string(got) != want || (got == nil) != (want == "") {
		t.Fatalf("Load of %.40q: got %s, %v; want %s", key, show(got), err, show([]byte(want)))
	}
	expectEach(t, e, []string{key}, []string{want})
}

// expectEach fails unless one Update tells these rows. f returns nil for each key, so the rows stay as they were.
func expectEach(t *testing.T, e ledger.Engine, keys, want []string) {
	t.Helper()
	seen := make([]string, len(keys))
	err := e.Update(t.Context(), keys, func(i int, row []byte) ([]byte, error) {
		seen[i] = string(row)
		return nil, nil
	})
	if err != nil {
		t.Fatalf("Update of %d keys: %v", len(keys), err)
	}
	expectSeen(t, keys, seen, want)
}

// expectSeen fails unless these are the rows that the last calls of f have seen. An earlier call may have seen an older
// row.
func expectSeen(t *testing.T, keys, seen, want []string) {
	t.Helper()
	for i, key := range keys {
		if seen[i] != want[i] {
			t.Errorf("f sees for %.40q: got %s, want %s", key, show([]byte(seen[i])), show([]byte(want[i])))
		}
	}
}

// show is a row in a message. Rows can be 65 536 bytes of any value, so it quotes the beginning and tells the length.
func show(row []byte) string {
	if len(row) == 0 {
		return "no row"
	}
	return fmt.Sprintf("%.40q (%d bytes)", row, len(row))
}

// list returns what Keys yields, in its order and with duplicates. It fails on an error.
func list(t *testing.T, e ledger.Engine, prefix string) (keys []string) {
	t.Helper()
	for key, err := range e.Keys(t.Context(), prefix) {
		if err != nil {
			t.Fatalf("Keys(%.40q): %v", prefix, err)
		}
		keys = append(keys, key)
	}
	return keys
}
