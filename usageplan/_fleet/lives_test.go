package fleet

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// fleet is some nodes over one store, and all lives that they have had.
type fleet struct {
	t     *testing.T
	spec  spec
	nodes []*life
	lives []*life // those of killed processes too
}

// life is a process.
type life struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bytes.Buffer
	witness *witness
	slots   string
	skew    time.Duration
	killed  bool
}

// startFleet starts a node for each skew of a clock, and lets them begin at once when all are ready. The period begins
// to run then.
func startFleet(t *testing.T, s spec, skews ...time.Duration) *fleet {
	t.Helper()
	require.LessOrEqual(t, s.Keys, maxKeys)
	f := &fleet{t: t, spec: s}
	for i, skew := range skews {
		dir := s.Slots
		if dir != "" {
			dir = filepath.Join(dir, fmt.Sprint(i))
		}
		f.nodes = append(f.nodes, f.start(skew, dir))
	}
	for _, n := range f.nodes {
		again(t, func() bool { return n.witness.ready.Load() == 1 }, "the node does not start")
	}
	f.spec.Midnight = time.Now().Add(cmp.Or(s.Period, 12*time.Hour)).Unix()
	for _, n := range f.nodes {
		f.begin(n)
	}
	return f
}

// clocks are those of n nodes whose clocks are right.
func clocks(n int) []time.Duration { return make([]time.Duration, n) }

// start starts the process of a node.
func (f *fleet) start(skew time.Duration, dir string) *life {
	f.t.Helper()
	s := f.spec
	s.Skew, s.Slots, s.Witness = skew, dir, filepath.Join(f.t.TempDir(), "witness")
	arg, err := json.Marshal(s)
	require.NoError(f.t, err)
	n := &life{
		cmd: exec.Command(os.Args[0], "-test.run=^TestNodeChild$", "-test.timeout=10m"),
		out: new(bytes.Buffer), witness: mapWitness(f.t, s.Witness), slots: dir, skew: skew,
	}
	n.cmd.Env = append(os.Environ(), nodeEnv+"="+string(arg))
	n.cmd.Stdout, n.cmd.Stderr = n.out, n.out
	n.in, err = n.cmd.StdinPipe()
	require.NoError(f.t, err)
	require.NoError(f.t, n.cmd.Start())
	f.t.Cleanup(func() { n.kill() })
	f.lives = append(f.lives, n)
	return n
}

// begin waits until the ledger of a node has been made, tells it when the period ends, and so lets it take.
func (f *fleet) begin(n *life) {
	f.t.Helper()
	again(f.t, func() bool { return n.witness.ready.Load() == 1 }, "the node does not start")
	_, err := fmt.Fprintln(n.in, f.spec.Midnight)
	require.NoError(f.t, err)
}

// kill ends the process as kill -9 does. It does nothing to one that has ended.
func (n *life) kill() {
	if n.cmd.ProcessState == nil {
		n.killed = true
		_ = n.cmd.Process.Kill()
		_ = n.cmd.Wait()
	}
}

// replace kills a node and starts another in its place, with the same slots.
func (f *fleet) replace(i int) {
	f.t.Helper()
	n := f.nodes[i]
	n.kill()
	f.nodes[i] = f.start(n.skew, n.slots)
	f.begin(f.nodes[i])
}

// stop lets all nodes close their ledgers.
func (f *fleet) stop() {
	f.t.Helper()
	for _, n := range f.nodes {
		require.NoError(f.t, n.in.Close())
	}
	for _, n := range f.nodes {
		require.NoError(f.t, n.cmd.Wait(), "%s", n.out)
	}
}

// sum adds up what all lives have witnessed of a key. unsure are the units of killed lives of which nobody knows
// whether they were counted: those of calls that were under way, and those of calls that failed, which the ledger would
// have given back. Of the latter only one batch is ever unknown, and a goroutine has one call in it.
func (f *fleet) sum(i int) (c counts, unsure int64) {
	for _, n := range f.lives {
		var one counts
		one.add(&n.witness.cells[i])
		if n.killed {
			unsure += one.openCalls() + min(one.failed, int64(f.spec.Workers))
		}
		c.add(&n.witness.cells[i])
	}
	return c, unsure
}

// taken is how many units all lives have been granted, of all keys.
func (f *fleet) taken() int64 { return f.sumOf(0) + f.sumOf(1) }

// sumOf is how many units all lives have been granted in a period, of all keys.
func (f *fleet) sumOf(period int) (n int64) {
	for i := range f.spec.Keys {
		c, _ := f.sum(i)
		n += c.granted[period]
	}
	return n
}

func (f *fleet) hasKilled() bool {
	return slices.ContainsFunc(f.lives, func(n *life) bool { return n.killed })
}

// exhaust waits until n units have been granted, or none has for some time.
func (f *fleet) exhaust(n int64, within time.Duration) {
	for was, since := int64(-1), time.Now(); was < n && time.Since(since) < within; time.Sleep(5 * time.Millisecond) {
		if now := f.taken(); now > was {
			was, since = now, time.Now()
		}
	}
}

// account is what the store tells of a key, after all nodes have stopped.
type account struct {
	used [2]int64 // in the period of spec.Midnight and in the next one
	held int64    // of the newest period, by leases that nobody has ended
}

// account reads the store past all proxies.
func (f *fleet) account(l *ledger.Ledger, i int) (a account) {
	f.t.Helper()
	q := f.spec.quota(i)
	midnight := time.Unix(f.spec.Midnight, 0)
	n := 0
	for d, err := range l.Usage(f.t.Context(), f.spec.key(i), q, midnight.Add(-time.Hour), midnight.Add(time.Hour)) {
		require.NoError(f.t, err)
		a.used[n] = d.Used
		n++
	}
	require.Equal(f.t, 2, n)
	b, err := l.Balance(f.t.Context(), f.spec.key(i), q)
	require.NoError(f.t, err)
	a.held = q.Limit - b.Used - b.Remaining
	return a
}

// ledger returns one over the store that sees what the nodes have left.
func (f *fleet) ledger() *ledger.Ledger {
	f.t.Helper()
	direct := f.spec.Place
	direct.Through = nil
	var engine ledger.Engine
	again(f.t, func() (ok bool) {
		var err error
		engine, err = direct.open(f.t.Context())
		return err == nil
	}, "the store does not answer")
	l, err := ledger.New(ledger.Config{Engine: engine, Exact: true, Timeout: time.Minute})
	require.NoError(f.t, err)
	f.t.Cleanup(func() { require.NoError(f.t, l.Close()) })
	return l
}

// check compares each account of the store with what the nodes have witnessed. It returns how many units were granted,
// how many the store holds for nodes that were killed, and what is wrong.
func (f *fleet) check() (taken, held int64, err error) {
	f.t.Helper()
	l := f.ledger()
	var errs []error
	for i := range f.spec.Keys {
		c, unsure := f.sum(i)
		a := f.account(l, i)
		errs = append(errs, f.compare(i, c, a, unsure))
		taken, held = taken+c.taken(), held+a.held
	}
	return taken, held, errors.Join(errs...)
}

// compare says what is wrong with the account of a key. Whatever has happened, no more was granted than the limit, and
// all of it is counted. What is used is what was granted and not given back. Only what nobody knows of the killed may
// be used in addition, and what they had not reported of their leases is held instead.
func (f *fleet) compare(i int, c counts, a account, unsure int64) error {
	var errs []error
	wrong := func(is bool, what string) {
		if is {
			errs = append(errs, fmt.Errorf("key %d: %s: %+v, %+v, %d unsure", i, what, c, a, unsure))
		}
	}
	limit := f.spec.quota(i).Limit
	for period, granted := range c.granted {
		wrong(a.used[period] > limit, "more is used than the limit")
		wrong(!f.spec.Settles && granted > limit, "more was granted than the limit")
		wrong(!f.spec.Settles && unsure == 0 && a.held == 0 && granted != a.used[period], "the wrong period has them")
	}
	used := a.used[0] + a.used[1]
	wrong(used+a.held < c.taken()-c.settling, "units are lost")
	wrong(used > c.taken()-c.settled+unsure, "too much is used")
	wrong(a.used[1] == 0 && used+a.held > limit, "more is reserved than the limit")
	wrong(unsure == 0 && a.held == 0 && used != c.taken()-c.settling, "it is not what was granted")
	wrong(a.held != 0 && (f.spec.Exact || f.spec.Slots != "" || !f.hasKilled()), "nobody has a lease any more")
	wrong(!f.hasKilled() && c.openCalls() != 0, "a call has no outcome")
	return errors.Join(errs...)
}
