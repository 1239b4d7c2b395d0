package redislimit_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/redislimit"
)

// The variables by which a test tells its child processes what to do.
const (
	addrVariable     = "REDISLIMIT_ADDR"
	sentinelVariable = "REDISLIMIT_SENTINEL" // in place of the address
	logVariable      = "REDISLIMIT_LOG"
	loadVariable     = "REDISLIMIT_LIMIT"
)

// workloads are those of the processes. A node holds at most 20 tokens of the long one and 10 of the leased one. The
// slow one is for outages: what flows in during a minute is half of its burst, and cannot hide that a burst was lost.
// But it is so fast that a refusal is not remembered for longer than a second.
var workloads = map[string]workload{
	"strict": {limit: ratelimit.Limit{Rate: 10, Burst: 20}, nodes: 8, goroutines: 2, budget: 100 * time.Millisecond},
	"leased": {limit: ratelimit.Limit{Rate: 1000, Burst: 8000}, nodes: 8, goroutines: 2, budget: 100 * time.Millisecond},
	"long":   {limit: ratelimit.Limit{Rate: 2000, Burst: 20_000}, nodes: 8, goroutines: 2, budget: 100 * time.Millisecond},
	"slow":   {limit: ratelimit.Limit{Rate: 1, Burst: 120}, nodes: 8, goroutines: 2, budget: 100 * time.Millisecond},
}

// TestNodeChild is one node of a fleet, in a process of its own. It writes a line when it is first refused. It ends with
// its standard input, but not during an outage.
func TestNodeChild(t *testing.T) {
	name := os.Getenv(loadVariable)
	w, found := workloads[name]
	if !found {
		t.Skip("a part of the tests with processes")
	}
	c := client(t, os.Getenv(addrVariable))
	if sentinel := os.Getenv(sentinelVariable); sentinel != "" {
		c = failoverClient(t, sentinel)
	}
	var outages told
	l := limiter(t, redislimit.Config{
		Client: c, Namespace: name, Nodes: w.nodes, Budget: w.budget, OnOutage: outages.add,
	})
	var ended atomic.Bool
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		ended.Store(true)
	}()
	w.refused = sync.OnceFunc(func() { fmt.Println("refused") })
	all := w.drive(l, func() bool { return ended.Load() && !l.Stats().Away })
	f, err := os.Create(os.Getenv(logVariable))
	require.NoError(t, err)
	out := bufio.NewWriter(f)
	for _, a := range all {
		fmt.Fprintln(out, "admitted", a.from, a.to)
	}
	for _, phase := range outages.phases() {
		fmt.Fprintln(out, phase, 0, 0)
	}
	require.NoError(t, out.Flush())
	require.NoError(t, f.Close())
}

// A fleet is the nodes of a workload, which share one bucket.
type fleet struct {
	workload
	t       *testing.T
	name    string
	folder  string
	nodes   []*exec.Cmd
	inputs  []io.Closer
	outputs []*bufio.Reader
}

// startFleet starts the processes. The variable says where the server is.
func startFleet(t *testing.T, name, server string) *fleet {
	t.Helper()
	f := &fleet{workload: workloads[name], t: t, name: name, folder: t.TempDir()}
	for i := range f.workload.nodes {
		n := exec.Command(os.Args[0], "-test.run", "^TestNodeChild$")
		n.Env = append(os.Environ(), server, loadVariable+"="+name, logVariable+"="+f.log(i))
		input, err := n.StdinPipe()
		require.NoError(t, err)
		output, err := n.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, n.Start())
		t.Cleanup(func() { _ = n.Process.Kill() })
		f.nodes, f.inputs, f.outputs = append(f.nodes, n), append(f.inputs, input), append(f.outputs, bufio.NewReader(output))
	}
	return f
}

func (f *fleet) log(node int) string { return filepath.Join(f.folder, strconv.Itoa(node)) }

// empties waits until the bucket has no token for any node. So all of its burst is gone, and may be lost.
func (f *fleet) empties() {
	for _, output := range f.outputs {
		line, err := output.ReadString('\n')
		require.NoError(f.t, err)
		require.Equal(f.t, "refused\n", line)
	}
}

// end ends the processes, and returns the admissions of all, and the outages of each.
func (f *fleet) end() (merged []admission, outages [][]string) {
	for _, input := range f.inputs {
		require.NoError(f.t, input.Close())
	}
	for i, n := range f.nodes {
		require.NoError(f.t, n.Wait())
		admitted, phases := read(f.t, f.log(i))
		merged, outages = append(merged, admitted...), append(outages, phases)
	}
	return merged, outages
}

// read returns the admissions in a log, and the phases of outages.
func read(t *testing.T, name string) (all []admission, phases []string) {
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var a admission
		var kind string
		_, err := fmt.Sscan(lines.Text(), &kind, &a.from, &a.to)
		require.NoError(t, err)
		if kind == "admitted" {
			all = append(all, a)
		} else {
			phases = append(phases, kind)
		}
	}
	return all, phases
}

// served requires that every node has met an outage, that the last one has ended, and that requests were admitted after
// an instant.
func served(t *testing.T, all []admission, outages [][]string, since time.Time) {
	t.Helper()
	for _, phases := range outages {
		require.NotEmpty(t, phases)
		require.Equal(t, "began", phases[0])
		require.Equal(t, "ended", phases[len(phases)-1])
	}
	require.True(t, slices.ContainsFunc(all, func(a admission) bool { return a.from > since.UnixNano() }))
}

// serves waits until a client reaches a server that takes writes.
func serves(t *testing.T, c *redis.Client) {
	t.Helper()
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return c.Set(ctx, "writable", 1, 0).Err() == nil
	}, time.Minute, 20*time.Millisecond)
}

// startFleets starts those that an outage is tested with, and waits until their buckets are empty.
func startFleets(t *testing.T, server string) []*fleet {
	t.Helper()
	all := []*fleet{startFleet(t, "strict", server), startFleet(t, "slow", server), startFleet(t, "leased", server)}
	for _, f := range all {
		f.empties()
	}
	return all
}

// checkLoss ends the fleets, and requires that they exceed their bound by some bursts at most; that the slow one, whose
// bucket shows each loss, exceeds it if there was one; and that the others have gone on since the server was back.
func checkLoss(t *testing.T, fleets []*fleet, bursts int64, back time.Time) {
	t.Helper()
	for _, f := range fleets {
		all, outages := f.end()
		worst := f.check(t, all, bursts*f.limit.Burst)
		if f.name == "slow" {
			require.Equal(t, bursts > 0, worst > 0)
		} else {
			served(t, all, outages, back)
		}
	}
}

// TestBoundOfProcesses: eight processes keep the bound in their merged logs, while one of them is stopped for two
// seconds and goes on with what it had.
//
// In a longer run, they also use at least 0.99 of what the server's bucket can give. It cannot give more than its burst
// and what flows in, and it is the burst that the package documentation computes. The rest is what the nodes hold at
// the end, 8 × 20 tokens at most.
func TestBoundOfProcesses(t *testing.T) {
	lasts := 2 * time.Second
	heavy := os.Getenv("TALLYGATE_HEAVY") != ""
	if heavy {
		lasts = 10 * time.Second
	}
	for _, name := range []string{"strict", "long"} {
		t.Run(name, func(t *testing.T) {
			f := startFleet(t, name, addrVariable+"="+start(t).addr)
			time.Sleep(time.Second)
			require.NoError(t, f.nodes[0].Process.Signal(syscall.SIGSTOP))
			time.Sleep(2 * time.Second)
			require.NoError(t, f.nodes[0].Process.Signal(syscall.SIGCONT))
			time.Sleep(lasts)
			all, outages := f.end()
			f.check(t, all, 0)
			if name == "long" {
				burst := float64(f.limit.Burst) - f.limit.Rate*f.budget.Seconds() - 8*20
				used := float64(len(all)) / (burst + f.limit.Rate*spanOf(all).Seconds())
				t.Logf("%.4f of what the server can give; outages: %v", used, outages)
				require.True(t, !heavy || used >= 0.99, used)
			}
		})
	}
}

// TestBoundWhileTheServerIsAway: eight processes keep the bound in their merged logs while the server hangs, and when
// it is killed and keeps its data. A server that forgets them admits a burst once more, and not more.
func TestBoundWhileTheServerIsAway(t *testing.T) {
	kept := []string{"--appendonly", "yes", "--appendfsync", "always"}
	for name, c := range map[string]struct {
		fault  string
		args   []string
		bursts int64 // beyond the bound
	}{
		"hangs":           {"hangs", nil, 0},
		"killed, kept":    {"killed", kept, 0},
		"killed, forgets": {"killed", nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, c.args...)
			fleets := startFleets(t, addrVariable+"="+s.addr)
			time.Sleep(time.Second)
			faults[c.fault].begin(s)
			time.Sleep(time.Second)
			faults[c.fault].end(s)
			serves(t, client(t, s.addr))
			back := time.Now()
			time.Sleep(3 * time.Second)
			checkLoss(t, fleets, c.bursts, back)
		})
	}
}
