//go:build !race

package ledger

import (
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The model checker runs two ledgers on one key, in every order of their steps and with every fault that a scope
// allows. What it runs is the code of this package: the counter, its lease, the committer, the codec and the decisions.
// Only the engine and the crowd of callers are its own. The engine has one row, and the checker says what becomes of
// each call.
//
// It goes depth first. A world that has been seen before is left alone: what is random in it (names of sessions and
// leases, epochs) is replaced by the order in which it stands there, and the two nodes may be swapped. See world.key.
//
// One call is one step, though it takes time in truth. That loses nothing: an engine writes a row only if nobody has
// changed it since it was read, so what others do meanwhile is as if they had done it before. To prove that a decision
// on a row which has been overtaken leaves no trace, each call decides on the row before the present one first.

// The rules, for each period and in every world: see world.broken and world.brokenAtEnd.
//
//   - What is admitted never exceeds the limit; after a loss of data, by no more than what the lost writes had counted.
//   - What was acknowledged, and what leases may still spend, is counted.
//   - What is billed was admitted, but for what has no answer yet.
//   - A late copy of what its sender has cleared up changes nothing.
//   - When all close, all units are where they belong; after a loss, what live nodes spent of lost leases is counted
//     again, unless its period is over and the row has lost all of it.

// scope is what may happen in the worlds that are explored: all of it, in any order, as often as it says.
type scope struct {
	name  string
	exact [2]bool // mode of each node
	slots bool    // nodes have slots
	grows bool    // charges grow

	limit, block int64
	costs        []int64
	steps        int // of each node: takes, settlements, returns of an idle lease
	nights       int // of each node: its clock comes to the next period

	faults  int // calls that fail or are copied, of all nodes: see fate
	crashes int
	losses  int // the row becomes what it was at an instant that was chosen before, or is gone
}

// scopes are explored by each run: 44 000 worlds and 100 000 steps, in 8 seconds of one processor.
var scopes = []scope{
	{name: "leased", limit: 9, block: 4, costs: []int64{1, 4}, steps: 2, faults: 2},
	{name: "exact", exact: [2]bool{true, true}, limit: 3, costs: []int64{1, 2}, steps: 3, faults: 1},
	{name: "mixed", exact: [2]bool{true, false}, limit: 9, block: 4, costs: []int64{1, 4}, steps: 2, faults: 1},
	{name: "crash", limit: 9, block: 4, costs: []int64{1, 4}, steps: 2, crashes: 1, faults: 1},
	{name: "crash with slots", slots: true, limit: 9, block: 4, costs: []int64{1, 4}, steps: 2, crashes: 1},
	{name: "loss", limit: 9, block: 4, costs: []int64{1, 4}, steps: 2, losses: 1},
	{name: "exact loss", exact: [2]bool{true, true}, limit: 3, costs: []int64{1}, steps: 2, losses: 1, faults: 1},
	{name: "period", limit: 9, block: 4, costs: []int64{4}, steps: 2, nights: 1, faults: 1},
	{name: "growth", grows: true, limit: 9, block: 4, costs: []int64{4}, steps: 2, nights: 1, faults: 1},
	{name: "exact growth", grows: true, exact: [2]bool{true, true}, limit: 3, costs: []int64{1}, steps: 2, nights: 1, faults: 1},
}

// wideScopes are explored instead where the environment asks for full counts. They have 707 000
// worlds and 1.7 million steps, and take about 2 minutes of one processor. What is not in here is out of bounds: three
// nodes, two keys, thresholds, extensions, history, and requests of one node that overlap.
var wideScopes = []scope{
	{name: "leased", limit: 9, block: 4, costs: []int64{1, 4}, steps: 3, faults: 2},
	{name: "exact", exact: [2]bool{true, true}, limit: 3, costs: []int64{1, 2}, steps: 4, faults: 1},
	{name: "mixed", exact: [2]bool{true, false}, limit: 9, block: 4, costs: []int64{1, 4}, steps: 3, faults: 1},
	{name: "crash", limit: 9, block: 4, costs: []int64{4}, steps: 3, crashes: 1, faults: 1},
	{name: "crash with slots", slots: true, limit: 9, block: 4, costs: []int64{4}, steps: 3, crashes: 1, faults: 1},
	{name: "crashes", slots: true, limit: 9, block: 4, costs: []int64{4}, steps: 2, crashes: 2, faults: 2},
	{name: "loss", limit: 9, block: 4, costs: []int64{1, 4}, steps: 2, losses: 1, faults: 2},
	{name: "loss and crash", limit: 9, block: 4, costs: []int64{1, 4}, steps: 2, losses: 1, crashes: 1, faults: 1},
	{name: "exact loss", exact: [2]bool{true, true}, limit: 3, costs: []int64{1}, steps: 3, losses: 1, faults: 1},
	{name: "period", limit: 9, block: 4, costs: []int64{4}, steps: 3, nights: 1, faults: 1},
	{name: "growth", grows: true, limit: 9, block: 4, costs: []int64{4}, steps: 3, nights: 1, faults: 1},
	{name: "growth, mixed", grows: true, exact: [2]bool{true, false}, limit: 9, block: 4, costs: []int64{4}, steps: 3, faults: 1},
	{name: "growth and crash", grows: true, slots: true, limit: 9, block: 4, costs: []int64{4}, steps: 3, crashes: 1, faults: 1},
	{name: "growth and loss", grows: true, limit: 9, block: 4, costs: []int64{4}, steps: 2, losses: 1, faults: 1},
	{name: "exact growth", grows: true, exact: [2]bool{true, true}, limit: 3, costs: []int64{1, 2}, steps: 3, nights: 1, faults: 1},
	{name: "period, loss and crash", limit: 9, block: 4, costs: []int64{4}, steps: 1, nights: 1, losses: 1, crashes: 1, faults: 1},
}

// TestEveryInterleavingKeepsTheRules explores each scope to its end.
func TestEveryInterleavingKeepsTheRules(t *testing.T) {
	all := scopes
	if os.Getenv("TALLYGATE_HEAVY") != "" {
		all = wideScopes
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // many small worlds, most of them garbage at once
	for _, s := range all {
		t.Run(s.name, func(t *testing.T) {
			c := &checker{t: t, scope: &s, seen: make(map[worldKey]struct{})}
			c.explore(c.begin())
			t.Logf("%d worlds, %d steps", len(c.seen), c.taken)
			require.Greater(t, len(c.seen), 1000)
		})
	}
}

// checker explores one scope.
type checker struct {
	t     *testing.T
	scope *scope
	seen  map[worldKey]struct{}
	path  []happened // to the present world
	taken int
}

// happened is a step with what became of its calls.
type happened struct {
	step
	script []fate
}

func (h happened) String() string {
	return strings.TrimSuffix(fmt.Sprintf("%s %d at node %d %v", h.what, h.n, h.node, h.script), " []")
}

// explore checks w, and all worlds that may follow.
func (c *checker) explore(w *world) {
	key := w.key()
	if _, seen := c.seen[key]; seen {
		return
	}
	c.seen[key] = struct{}{}
	c.require(w.broken())
	if len(c.seen)%100 == 0 {
		require.Equal(c.t, key, c.again(), "a copy of a node goes on otherwise than the node")
	}
	for _, s := range w.steps() {
		c.follow(w, s)
	}
}

// follow makes a step of w with all that may become of its calls. How many calls there are is known after the step: so
// it is made without a fault first, and then with each fate for each call that came after those which are decided.
func (c *checker) follow(w *world, s step) {
	for scripts := [][]fate{nil}; len(scripts) > 0; {
		script := scripts[0]
		scripts = scripts[1:]
		next, calls := w.after(s, script)
		c.taken++
		c.path = append(c.path, happened{s, script})
		c.require(next.wrong)
		c.explore(next)
		c.path = c.path[:len(c.path)-1]
		for i := len(script); i < calls && next.left.faults > 0; i++ {
			for _, f := range w.fates() {
				longer := append(slices.Clone(script), make([]fate, i-len(script))...)
				scripts = append(scripts, append(longer, f))
			}
		}
	}
}

// again makes the path anew, with ledgers that are never copied, and returns the key of where it leads. So a field of a
// ledger that [node.copy] forgets is noticed.
func (c *checker) again() worldKey {
	w := c.begin()
	w.inPlace = true
	for _, h := range c.path {
		w, _ = w.after(h.step, h.script)
	}
	return w.key()
}

// require fails with the path to the present world, if a rule is broken.
func (c *checker) require(broken string) {
	if broken != "" {
		require.Fail(c.t, broken, "after %v", c.path)
	}
}
