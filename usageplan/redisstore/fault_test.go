package redisstore_test

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/redisstore"
)

// rounds is how often a fault is repeated.
func rounds() int {
	if os.Getenv("TALLYGATE_HEAVY") != "" {
		return 20
	}
	return 3
}

// counter is a row whose length counts what an Update has added.
type counter struct {
	store        *redisstore.Store
	key          string
	sure, unsure int
}

func (c *counter) add() {
	err := c.store.Update(context.Background(), []string{c.key}, func(_ int, row []byte) ([]byte, error) {
		return append(bytes.Clone(row), 'x'), nil
	})
	if err == nil {
		c.sure++
	} else {
		c.unsure++
	}
}

// check fails unless each Update that returned nil was made once, and each that failed once or not at all.
func (c *counter) check(t *testing.T) {
	t.Helper()
	row, err := c.store.Load(t.Context(), c.key)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(row), c.sure, c.key)
	require.LessOrEqual(t, len(row), c.sure+c.unsure, c.key)
	require.Positive(t, c.sure, "no Update has succeeded")
}

// names are the items of a journal that were put by one writer each, and what that one knows of them.
type names struct {
	topic        *journal.Topic
	sure, unsure map[string]bool
}

func apply(iter.Seq[journal.Item], bool) error { return nil }

func (n *names) put(name string) {
	err := n.topic.Change(context.Background(), "Put", func(uint64) ([]journal.Item, error) {
		return []journal.Item{{Name: name}}, nil
	})
	if err == nil {
		n.sure[name] = true
	} else {
		n.unsure[name] = true
	}
}

// check fails unless each change that was acknowledged is there, and no other that was not tried.
func (n *names) check(t *testing.T, j journal.Journal) {
	t.Helper()
	there := make(map[string]bool)
	for c, err := range j.Changes(t.Context(), 0) {
		require.NoError(t, err)
		for _, it := range c.Items {
			there[it.Name] = true
			require.True(t, n.sure[it.Name] || n.unsure[it.Name], it.Name)
		}
	}
	for name := range n.sure {
		require.True(t, there[name], "%s was acknowledged", name)
	}
	require.NotEmpty(t, n.sure, "no change has succeeded")
}

// survive changes rows and a journal by a client with the options, and makes a fault again and again meanwhile. Then it
// counts, by another client that waits for the server as long as it takes.
func survive(t *testing.T, s *server, o *redis.Options, fault func()) {
	namespace := fresh()
	store := open(t, client(t, o), namespace)
	j := store.Journal("keys", 0)
	topic, err := journal.Follow(t.Context(), j, apply)
	require.NoError(t, err)
	n := names{topic, make(map[string]bool), make(map[string]bool)}
	var over atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; !over.Load(); i++ {
			n.put(fmt.Sprint("item ", i))
		}
	})
	counters := make([]counter, 4)
	for i := range counters {
		counters[i] = counter{store: store, key: fmt.Sprint("key ", i)}
		wg.Go(func() {
			for !over.Load() {
				counters[i].add()
			}
		})
	}
	for range rounds() {
		time.Sleep(50 * time.Millisecond)
		fault()
	}
	time.Sleep(50 * time.Millisecond)
	over.Store(true)
	wg.Wait()
	// After many failures to connect, the client tries again only once a second, in each of its two pools: one is for
	// pipelines.
	require.Eventually(t, func() bool {
		_, err := store.Load(t.Context(), "key")
		_, err2 := store.Now(t.Context())
		return err == nil && err2 == nil
	}, time.Minute, 10*time.Millisecond)
	reader := open(t, client(t, options(s.addr)), namespace)
	for i := range counters {
		counters[i].store = reader
		counters[i].check(t)
	}
	n.check(t, reader.Journal("keys", 0))
}

// TestServerKilled: a server that syncs before it answers has forgotten nothing that it had confirmed when it was
// killed and started again.
func TestServerKilled(t *testing.T) {
	s := start(t)
	survive(t, s, options(s.addr), func() { s.kill(); s.run() })
}

// TestServerStopped: a server that hangs and goes on executes late what it was sent, once.
func TestServerStopped(t *testing.T) {
	s := start(t)
	o := options(s.addr)
	o.ReadTimeout = 50 * time.Millisecond
	survive(t, s, o, func() {
		require.NoError(t, s.cmd.Process.Signal(syscall.SIGSTOP))
		time.Sleep(100 * time.Millisecond)
		require.NoError(t, s.cmd.Process.Signal(syscall.SIGCONT))
	})
}

// TestConnectionCut: an answer that is cut in the middle leaves it unknown whether a change was made, and no more.
func TestConnectionCut(t *testing.T) {
	s := start(t)
	p := startProxy(t, s.addr)
	survive(t, s, options(p.addr()), func() { p.cut.Store(true) })
}

// TestFirstErrorIsEarly: when the server hangs or is gone, an exact ledger refuses as soon as its Timeout allows. How
// long that is, the test logs. It allows a busy machine as long as the client's own timeouts are, of which the shortest
// is 3 seconds: only a call that waits for them takes longer.
func TestFirstErrorIsEarly(t *testing.T) {
	for name, fault := range map[string]func(s *server){
		"hangs":  func(s *server) { _ = s.cmd.Process.Signal(syscall.SIGSTOP) },
		"killed": (*server).kill,
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			const timeout = 5 * time.Millisecond
			engine := open(t, client(t, options(s.addr)), fresh())
			l, err := ledger.New(ledger.Config{Engine: engine, Exact: true, Timeout: 500 * time.Millisecond})
			require.NoError(t, err)
			require.NoError(t, l.Close())
			for i := range 3 {
				require.NoError(t, engine.Update(t.Context(), []string{"key"}, write(fmt.Sprint(i))))
			}
			fault(s)
			for range 2 {
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				start := time.Now()
				require.Error(t, engine.Update(ctx, []string{"key"}, write("late")))
				took := time.Since(start)
				cancel()
				t.Logf("the error came after %v", took)
				require.Less(t, took, 3*time.Second)
			}
		})
	}
}

func write(row string) func(int, []byte) ([]byte, error) {
	return func(int, []byte) ([]byte, error) { return []byte(row), nil }
}

// TestLossIsTold: a ledger tells that the server has lost everything, and goes on.
func TestLossIsTold(t *testing.T) {
	c := client(t, options(start(t).addr))
	var lost atomic.Int64
	l, err := ledger.New(ledger.Config{
		Engine: open(t, c, fresh()), Block: 10, OnLoss: func(ledger.Account) { lost.Add(1) },
	})
	require.NoError(t, err)
	key, quota := ledger.Key{Plan: "basic", Subject: "s"}, ledger.Quota{Limit: 1000, Period: ledger.Monthly}
	for i := range 200 {
		if i == 100 {
			require.NoError(t, c.FlushAll(t.Context()).Err())
		}
		_, err := l.Take(t.Context(), key, quota, 1)
		require.NoError(t, err)
	}
	require.NoError(t, l.Close()) // which waits for OnLoss
	require.EqualValues(t, 1, lost.Load())
}

// TestReadEndsWithItsContext: a reader whose server says nothing is free when its context ends, and not after the
// client's ReadTimeout. A follower asks by another connection then.
func TestReadEndsWithItsContext(t *testing.T) {
	s := start(t)
	o := options(s.addr)
	o.ReadTimeout = time.Minute
	j := open(t, client(t, o), fresh()).Journal("keys", 0)
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGSTOP))
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	began := time.Now()
	for _, err := range j.Changes(ctx, 0) {
		require.ErrorIs(t, err, context.Canceled)
	}
	for _, err := range j.History(ctx, "a") {
		require.ErrorIs(t, err, context.Canceled)
	}
	require.Less(t, time.Since(began), 30*time.Second)
}

// TestSnapshotOfTwoProcesses: if the server is restarted while a snapshot is read, the reader gets an error, or all
// items. The new process has them in another order.
func TestSnapshotOfTwoProcesses(t *testing.T) {
	redisstore.SmallChunks(t)
	s := start(t)
	c := client(t, options(s.addr))
	j := open(t, c, fresh()).Journal("topic", 0)
	items := make([]journal.Item, 1000)
	for i := range items {
		items[i] = journal.Item{Name: fmt.Sprint("item ", i), Value: make([]byte, 100)}
	}
	for after := range uint64(2) { // of two changes that do not fit into one page, a snapshot is read
		_, err := j.Append(t.Context(), after, journal.Change{Items: items})
		require.NoError(t, err)
	}
	names, killed := make(map[string]bool), false
	for c, err := range j.Changes(t.Context(), 0) {
		if err != nil {
			require.True(t, killed, err)
			return
		}
		for _, it := range c.Items {
			names[it.Name] = true
		}
		if len(names) > 100 && !killed {
			killed = true
			s.kill()
			s.run()
		}
	}
	require.Len(t, names, len(items))
}
