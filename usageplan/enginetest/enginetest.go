package enginetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Test runs the suite over one engine at a time. open returns a new engine without rows each time; the suite closes it.
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
	{"ledger", testLedger},
}

// patience is how long a case may take. Tests of the suite shorten it.
var patience = time.Minute

// watch ends the binary if the case hangs, and says which. It returns what ends the watch.
func watch(t *testing.T) (end func() bool) {
	name := t.Name()
	return time.AfterFunc(patience, func() {
		panic(fmt.Sprintf("enginetest: %s still runs after %v; does the engine deadlock?", name, patience))
	}).Stop
}

// put writes one row; "" deletes it.
func put(t *testing.T, e ledger.Engine, key, row string) {
	t.Helper()
	if err := e.Update(t.Context(), []string{key}, write(row)); err != nil {
		t.Fatalf("Update of %.40q: %v", key, err)
	}
}

// write returns a function for Update that writes the same row for each key.
func write(row string) func(int, []byte) ([]byte, error) {
	return func(int, []byte) ([]byte, error) { return []byte(row), nil }
}

// expect compares a row, as Load and as Update tell it. "" is no row.
func expect(t *testing.T, e ledger.Engine, key, want string) {
	t.Helper()
	got, err := e.Load(t.Context(), key)
	if err != nil || string(got) != want || (got == nil) != (want == "") {
		t.Fatalf("Load of %.40q: got %s, %v; want %s", key, show(got), err, show([]byte(want)))
	}
	expectEach(t, e, []string{key}, []string{want})
}

// expectEach compares rows as one Update tells them, and changes none.
func expectEach(t *testing.T, e ledger.Engine, keys, want []string) {
	t.Helper()
	err := e.Update(t.Context(), keys, func(i int, row []byte) ([]byte, error) {
		if string(row) != want[i] {
			t.Errorf("f sees for %.40q: got %s, want %s", keys[i], show(row), show([]byte(want[i])))
		}
		return nil, nil
	})
	if err != nil {
		t.Fatalf("Update of %d keys: %v", len(keys), err)
	}
}

func show(row []byte) string {
	if len(row) == 0 {
		return "no row"
	}
	return fmt.Sprintf("%.40q (%d bytes)", row, len(row))
}

// list returns what Keys yields, and fails on an error.
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
