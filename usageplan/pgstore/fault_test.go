package pgstore_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/enginetest"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// put writes one row.
func put(ctx context.Context, e ledger.Engine, key, row string) error {
	return e.Update(ctx, []string{key}, func(int, []byte) ([]byte, error) { return []byte(row), nil })
}

func requireRow(t *testing.T, e ledger.Engine, key, want string) {
	t.Helper()
	row, err := e.Load(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, want, string(row))
}

// again calls f until it returns nil, as connections that have broken give an error each.
func again(t *testing.T, f func() error) {
	t.Helper()
	var err error
	require.Eventually(t, func() bool { err = f(); return err == nil }, time.Minute, time.Millisecond, "%v", err)
}

// TestServerCrash: while the server is down, calls fail at once. The shortest one counts, as a busy machine may delay
// some. What was acknowledged before is there afterwards, and the same pool goes on.
func TestServerCrash(t *testing.T) {
	s := start(t)
	e := open(t, connect(t, options(t, s.url())), fresh())
	require.NoError(t, put(t.Context(), e, "key", "row"))
	s.crash()
	shortest := time.Hour
	for range 8 {
		begun := time.Now()
		require.Error(t, put(t.Context(), e, "key", "lost"))
		shortest = min(shortest, time.Since(begun))
	}
	t.Log("an error after", shortest)
	require.Less(t, shortest, time.Second)
	s.run()
	again(t, func() error { return put(t.Context(), e, "other", "row") })
	requireRow(t, e, "key", "row")
}

// TestCrashAtWork: a crash in the middle of work loses no Update that was acknowledged, and makes each other one once
// or not at all.
func TestCrashAtWork(t *testing.T) {
	s := start(t)
	e := open(t, connect(t, options(t, s.url())), fresh())
	for round := range 3 {
		counts := make([]int, 4)
		var wg sync.WaitGroup
		for i := range counts {
			key := fmt.Sprint(round, i)
			wg.Go(func() {
				for e.Update(t.Context(), []string{key}, func(_ int, row []byte) ([]byte, error) { return append(row, '+'), nil }) == nil {
					counts[i]++
				}
			})
		}
		time.Sleep(50 * time.Millisecond)
		s.crash()
		wg.Wait()
		s.run()
		for i, acknowledged := range counts {
			var row []byte
			again(t, func() (err error) {
				row, err = e.Load(t.Context(), fmt.Sprint(round, i))
				return err
			})
			require.Contains(t, []int{acknowledged, acknowledged + 1}, len(row))
		}
	}
}

// TestServerHangs: while the server hangs, each call ends with its context. How soon, the shortest one tells, as a busy
// machine may delay some. What was not acknowledged is not made when the server goes on, as its transaction has no
// commit.
func TestServerHangs(t *testing.T) {
	s := start(t)
	e := open(t, connect(t, options(t, s.url())), fresh())
	require.NoError(t, put(t.Context(), e, "key", "row"))
	s.signal(syscall.SIGSTOP)
	shortest := time.Hour
	for range 8 { // more than the pool has connections
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Millisecond)
		begun := time.Now()
		require.ErrorIs(t, put(ctx, e, "key", "lost"), context.DeadlineExceeded)
		shortest = min(shortest, time.Since(begun))
		cancel()
	}
	t.Logf("an error after %v", shortest)
	require.Less(t, shortest, time.Second)
	s.signal(syscall.SIGCONT)
	again(t, func() error { return put(t.Context(), e, "other", "row") })
	requireRow(t, e, "key", "row")
}

// signal sends a signal to all processes of the server.
func (s *server) signal(sig syscall.Signal) {
	pid := s.cmd.Process.Pid
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	require.NoError(s.t, err)
	for child := range strings.FieldsSeq(string(list)) {
		n, err := strconv.Atoi(child)
		require.NoError(s.t, err)
		_ = syscall.Kill(n, sig) // it may have ended
	}
	require.NoError(s.t, syscall.Kill(pid, sig))
}

// TestLostCommit: the answer to a commit is cut in the middle. Update and Append return an error, and have made the
// change once. f is not called again.
func TestLostCommit(t *testing.T) {
	s := common(t)
	p := startProxy(t, s.addr)
	o := options(t, fmt.Sprintf("postgres://test@%s/postgres", p.Addr()))
	o.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec // so that the proxy sees each statement
	e := open(t, connect(t, o), fresh())
	require.NoError(t, put(t.Context(), e, "key", "1"))
	calls := 0
	p.commits.Store(true)
	require.Error(t, e.Update(t.Context(), []string{"key"}, func(_ int, row []byte) ([]byte, error) {
		calls++
		return append(row, '2'), nil
	}))
	require.Equal(t, 1, calls)
	requireRow(t, e, "key", "12")

	j := e.Journal("topic", 0)
	p.commits.Store(true)
	err := appendItem(t, j, 0)
	require.Error(t, err)
	require.NotErrorIs(t, err, journal.ErrBehind)
	require.ErrorIs(t, appendItem(t, j, 0), journal.ErrBehind)
	require.NoError(t, appendItem(t, j, 1))
}

// TestCuts: an Update whose answer is cut in the middle is made once or not at all, in the default mode of pgx and in
// the one for poolers. Only every twentieth cut is made, as a client needs several answers to connect.
func TestCuts(t *testing.T) {
	s := common(t)
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec} {
		enginetest.TestCuts(t, func(t *testing.T) (ledger.Engine, func()) {
			p, n := startProxy(t, s.addr), 0
			o := options(t, fmt.Sprintf("postgres://test@%s/postgres", p.Addr()))
			o.ConnConfig.DefaultQueryExecMode = mode
			return open(t, connect(t, o), fresh()), func() {
				n++
				p.cut.CompareAndSwap(false, n%20 == 0)
			}
		})
	}
}

// TestStoppedProcess: a process that stops while it has rows locked keeps others waiting for little more than a second.
// When it goes on, its Update fails and has written nothing.
func TestStoppedProcess(t *testing.T) {
	s := common(t)
	namespace := fresh()
	one := open(t, connect(t, options(t, s.url())), namespace)
	other := open(t, connect(t, options(t, s.url())), namespace)
	stopped, goOn, failed := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		failed <- one.Update(t.Context(), []string{"key"}, func(int, []byte) ([]byte, error) {
			close(stopped)
			<-goOn
			return []byte("late"), nil
		})
	}()
	<-stopped
	begun := time.Now()
	require.NoError(t, put(t.Context(), other, "key", "row"))
	t.Logf("the other process waits for %v", time.Since(begun))
	close(goOn)
	require.Error(t, <-failed)
	requireRow(t, other, "key", "row")
	again(t, func() error { return put(t.Context(), one, "key", "again") })
}

// TestSmallPool: one connection is enough for any number of goroutines, also while they wait for changes.
func TestSmallPool(t *testing.T) {
	o := options(t, common(t).url())
	o.MaxConns = 1
	e := open(t, connect(t, o), fresh())
	j := e.Journal("topic", 0)
	errs := make(chan error)
	for i := range 8 {
		go func() { errs <- put(t.Context(), e, fmt.Sprint(i), "row") }()
		go func() { errs <- j.Wait(t.Context(), 0) }()
	}
	require.NoError(t, appendItem(t, j, 0))
	for range 16 {
		require.NoError(t, <-errs)
	}
}

// requests counts what a pool sends.
type requests struct{ n int }

func (r *requests) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	r.n++
	return ctx
}

func (r *requests) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TestKeysCostsWhatItYields: one request for each 1 000 keys that it yields, whatever else is in the table.
func TestKeysCostsWhatItYields(t *testing.T) {
	count := &requests{}
	o := options(t, common(t).url())
	o.ConnConfig.Tracer = count
	e := open(t, connect(t, o), fresh())
	keys := make([]string, 5000)
	for i := range keys {
		keys[i] = fmt.Sprintf("%04d", i)
	}
	require.NoError(t, e.Update(t.Context(), keys, func(int, []byte) ([]byte, error) { return []byte("row"), nil }))
	for prefix, want := range map[string]struct{ keys, requests int }{
		"x": {0, 1}, "12": {100, 1}, "1": {1000, 2}, "": {5000, 6},
	} {
		count.n = 0
		got := 0
		for _, err := range e.Keys(t.Context(), prefix) {
			require.NoError(t, err)
			got++
		}
		require.Equal(t, want, struct{ keys, requests int }{got, count.n}, "prefix %q", prefix)
	}
}
