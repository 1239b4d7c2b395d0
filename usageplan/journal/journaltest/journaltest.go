package journaltest

import (
	"fmt"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/journal"
)

// Run executes the contract over journals that open makes. Each call of open returns a new empty journal that keeps
// records for retain, and 0 stands for the default of the store. A case may call open more than once: two topics of one
// store are as right as two stores. open may register t.Cleanup to close what it has opened.
func Run(t *testing.T, open func(t *testing.T, retain time.Duration) journal.Journal) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			defer watch(t)()
			c.run(t, func(retain time.Duration) *model {
				return &model{Journal: open(t, retain), t: t, retain: retain}
			})
		})
	}
}

// RunReopen executes what the contract says of a journal that outlives its process. open returns a new empty journal
// and a function that ends the journal, as a crash would or in order, and opens the same one again. A case calls reopen
// more than once, and uses no journal of before.
func RunReopen(
	t *testing.T, open func(t *testing.T, retain time.Duration) (j journal.Journal, reopen func() journal.Journal),
) {
	for _, c := range reopenCases {
		t.Run(c.name, func(t *testing.T) {
			defer watch(t)()
			c.run(t, func(retain time.Duration) (*model, func()) {
				j, reopen := open(t, retain)
				m := &model{Journal: j, t: t, retain: retain}
				return m, func() { m.Journal = reopen() }
			})
		})
	}
}

// opener returns a new empty journal and its model.
type opener = func(retain time.Duration) *model

// The order of cases is from simple to complex. Start with the first one that fails.
var cases = []struct {
	name string
	run  func(*testing.T, opener)
}{
	{"empty", testEmpty},
	{"items", testItems},
	{"names", testNames},
	{"behind", testBehind},
	{"bounds", testBounds},
	{"many items", testMany},
	{"large", testLarge},
	{"superseded", testSuperseded},
	{"ownership", testOwnership},
	{"history", testHistory},
	{"retention", testRetention},
	{"compaction", testCompaction},
	{"stop", testStop},
	{"use", testUse},
	{"ended context", testEndedContext},
	{"wait", testWait},
	{"topics", testTopics},
	{"random", testRandom},
	{"reading during appends", testReadingDuringAppends},
	{"race", testRace},
	{"writers", testWriters},
	{"lost", testLost},
}

var reopenCases = []struct {
	name string
	run  func(*testing.T, func(retain time.Duration) (m *model, reopen func()))
}{
	{"reopen", testReopen},
	{"reopen compacted", testReopenCompacted},
	{"reopen random", testReopenRandom},
}

// settle is how long a case waits for what must not happen.
const settle = 20 * time.Millisecond

// patience is how long a case may take, and wakes how long it waits until Wait returns. Both are far more than the
// slowest store needs, because a failure must mean a fault and not a busy machine: a case that reads 64 MiB in small
// parts took 22 s there. Tests of the suite shorten them.
var (
	patience = 5 * time.Minute
	wakes    = 15 * time.Second
)

// watch ends the binary if the case hangs, and says which. It returns what ends the watch. Nothing but a panic ends a
// goroutine that waits inside the journal.
func watch(t *testing.T) (end func() bool) {
	name := t.Name()
	return time.AfterFunc(patience, func() {
		panic(fmt.Sprintf("journaltest: %s still runs after %v; does the journal deadlock?", name, patience))
	}).Stop
}
