package redisstore_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/redisstore"
)

// fleet are ledgers over one server and one account, under load.
type fleet struct {
	t        *testing.T
	ledgers  []*ledger.Ledger
	lost     []atomic.Int64 // what each has told
	dead     []atomic.Bool  // a dead ledger is never called again, and not closed
	admitted atomic.Int64
	quota    ledger.Quota
}

// newFleet makes n ledgers, each with a client of its own.
func newFleet(t *testing.T, addr string, n int, exact bool, limit int64) *fleet {
	f := &fleet{
		t: t, lost: make([]atomic.Int64, n), dead: make([]atomic.Bool, n),
		quota: ledger.Quota{Limit: limit, Period: ledger.Monthly},
	}
	for i := range n {
		store, err := redisstore.Open(t.Context(), redisstore.Config{
			Client: client(t, options(addr)), Namespace: "gateway", AllowWeakDurability: true,
		})
		require.NoError(t, err)
		l, err := ledger.New(ledger.Config{
			Engine: store, Exact: exact, Block: 256, Thresholds: []int{}, Timeout: 5 * time.Second,
			OnLoss: func(ledger.Account) { f.lost[i].Add(1) },
		})
		require.NoError(t, err)
		f.ledgers = append(f.ledgers, l)
	}
	return f
}

// take asks ledger i for a unit.
func (f *fleet) take(i int) error {
	_, err := f.ledgers[i].Take(context.Background(), ledger.Key{Plan: "basic", Subject: "s"}, f.quota, 1)
	if err == nil {
		f.admitted.Add(1)
	}
	return err
}

// takers is how many goroutines take at once.
const takers = 4

// until has the takers take from all living ledgers in turn until done says so. In turn means that none of the
// ledgers falls behind, however busy the machine is.
func (f *fleet) until(done func() bool) {
	var wg sync.WaitGroup
	for range takers {
		wg.Go(func() {
			for !done() {
				for i := range f.ledgers {
					if !f.dead[i].Load() {
						_ = f.take(i)
					}
				}
			}
		})
	}
	wg.Wait()
}

// reach ends the pauses of ledgers that were asking for units when the server went away. Otherwise the others may use
// up the limit before such a ledger has noticed the loss and counted again.
func (f *fleet) reach() {
	for _, l := range f.ledgers {
		require.Eventually(f.t, func() bool {
			now := time.Now()
			for _, err := range l.Usage(f.t.Context(), ledger.Key{Plan: "basic", Subject: "s"}, f.quota, now, now) {
				return err == nil
			}
			return false
		}, time.Minute, time.Millisecond)
	}
}

// exhaust takes until each living ledger refuses, and returns what all have admitted. It fails unless each of them has
// told of a loss.
func (f *fleet) exhaust() int64 {
	refused := func() bool {
		for i := range f.ledgers {
			if !f.dead[i].Load() && !errors.Is(f.take(i), ledger.ErrExhausted) {
				return false
			}
		}
		return true
	}
	deadline := time.Now().Add(2 * time.Minute)
	f.until(func() bool { return refused() || time.Now().After(deadline) })
	require.True(f.t, refused(), "the ledgers do not refuse")
	for i, l := range f.ledgers {
		if !f.dead[i].Load() {
			require.NoError(f.t, l.Close()) // which waits for OnLoss
			require.EqualValues(f.t, 1, f.lost[i].Load(), "ledger %d tells of one loss", i)
		}
	}
	return f.admitted.Load()
}

// TestFlushUnderLoad: somebody empties the server while three ledgers use it. Each tells of it. Leased ledgers that are
// alive count again what they have admitted, so the limit holds. Dead ledgers count nothing again, and exact ones know
// nothing to count. Then the overshoot is at most what was lost.
func TestFlushUnderLoad(t *testing.T) {
	for name, c := range map[string]struct {
		exact bool
		dead  int // how many ledgers are dead when the data is lost
	}{
		"leased": {}, "leased, one dead": {dead: 1}, "exact": {exact: true}, "exact, one dead": {exact: true, dead: 1},
	} {
		t.Run(name, func(t *testing.T) {
			limit := int64(30_000)
			if c.exact { // each unit is on disk before it is admitted
				limit = 3000
			}
			s := start(t)
			f := newFleet(t, s.addr, 3, c.exact, limit)
			f.until(func() bool { return f.admitted.Load() > limit/10 })
			ofDead := f.admitted.Load()
			for i := range c.dead {
				f.dead[i].Store(true)
			}
			var lost int64 // what was admitted when the data was gone, at most
			var flush sync.Once
			c1 := client(t, options(s.addr))
			f.until(func() bool {
				if f.admitted.Load() > limit/3 {
					flush.Do(func() {
						require.NoError(t, c1.FlushAll(context.Background()).Err())
						lost = f.admitted.Load() + takers // those that the server has counted, and that are not noted yet
					})
					return true
				}
				return false
			})
			over := f.exhaust() - limit
			t.Logf("%d admitted beyond the limit of %d; %d before the loss", over, limit, lost)
			switch {
			case c.exact:
				require.LessOrEqual(t, over, lost)
				require.Positive(t, over, "the rows were empty")
			case c.dead > 0:
				require.LessOrEqual(t, over, ofDead, "what three ledgers had admitted when one of them died")
			default:
				require.LessOrEqual(t, over, int64(0))
			}
		})
	}
}

// TestPowerFailure: with appendfsync everysec, a power failure loses what was not yet synced. The test takes it out of
// the file: what was written after an instant. Each ledger tells of the loss. What is admitted beyond the limit is at
// most what was admitted after that instant, and nothing by leased ledgers.
func TestPowerFailure(t *testing.T) {
	const limit = 10_000
	for name, exact := range map[string]bool{"leased": false, "exact": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := start(t, "--appendfsync", "everysec", "--dir", dir, "--auto-aof-rewrite-percentage", "0")
			f := newFleet(t, s.addr, 3, exact, limit)
			f.until(func() bool { return f.admitted.Load() > limit/4 })
			synced := f.admitted.Load()
			files, err := filepath.Glob(filepath.Join(dir, "appendonlydir", "*.incr.aof"))
			require.NoError(t, err)
			require.Len(t, files, 1)
			info, err := os.Stat(files[0])
			require.NoError(t, err)
			f.until(func() bool { return f.admitted.Load() > limit/2 })
			lost := f.admitted.Load() - synced
			s.kill()
			require.NoError(t, os.Truncate(files[0], info.Size()))
			s.run()
			f.reach()
			over := f.exhaust() - limit
			t.Logf("%d admitted beyond the limit of %d; %d in what was lost", over, limit, lost)
			if exact {
				require.LessOrEqual(t, over, lost)
				require.Positive(t, over)
			} else {
				require.LessOrEqual(t, over, int64(0))
			}
		})
	}
}

// TestLeasedFailover: a replica takes over that lacks the last write, with which a lease got more units. The ledger
// tells of it, once, and counts again what it had admitted, so the limit holds. If the replica has all that was
// written, nothing is told, though units have been taken from the lease since.
func TestLeasedFailover(t *testing.T) {
	for name, cost := range map[string]int64{"a write is lost": 13, "nothing is lost": 3} {
		t.Run(name, func(t *testing.T) {
			master := start(t)
			host, port := split(t, master.addr)
			replica := start(t, "--replicaof", host+" "+port)
			replicate(t, replica)
			c := redis.NewFailoverClient(&redis.FailoverOptions{
				SentinelAddrs: []string{startSentinel(t, master.addr)}, MasterName: "gateway",
				ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1,
			})
			defer c.Close()
			store, err := redisstore.Open(t.Context(), redisstore.Config{Client: c, Namespace: "gateway"})
			require.NoError(t, err)
			var lost atomic.Int64
			l, err := ledger.New(ledger.Config{
				Engine: store, Block: 16, Thresholds: []int{}, Timeout: time.Second,
				OnLoss: func(ledger.Account) { lost.Add(1) },
			})
			require.NoError(t, err)
			const limit = 100
			admitted := int64(0)
			take := func(cost int64) error {
				quota := ledger.Quota{Limit: limit, Period: ledger.Monthly}
				_, err := l.Take(context.Background(), ledger.Key{Plan: "basic", Subject: "s"}, quota, cost)
				if err == nil {
					admitted += cost
				}
				return err
			}
			require.NoError(t, take(4)) // of a block of 16, so the lease has 12 left, and nothing is reserved ahead
			caughtUp(t, master, replica)
			replica.kill()
			require.NoError(t, take(cost), "the master confirms what no replica has")
			master.kill()
			replica.run()
			require.Eventually(t, func() bool { // at first from the lease, then it refuses until the replica is the master
				err := take(1)
				for err == nil {
					err = take(1)
				}
				return errors.Is(err, ledger.ErrExhausted)
			}, time.Minute, 50*time.Millisecond)
			require.NoError(t, l.Close())
			require.EqualValues(t, limit, admitted)
			require.EqualValues(t, map[bool]int{true: 1, false: 0}[cost > 3], lost.Load())
		})
	}
}

// caughtUp waits until a replica has all that its master has, also on disk. After it has copied a master, a replica
// rewrites its file. Before that has ended, it does not survive a kill with what it has got since.
func caughtUp(t *testing.T, master, replica *server) {
	t.Helper()
	info := func(s *server, section, name string) string {
		return client(t, options(s.addr)).InfoMap(context.Background(), section).Item(section, name)
	}
	require.Eventually(t, func() bool {
		at := info(master, "Replication", "master_repl_offset")
		return at != "" && at == info(replica, "Replication", "master_repl_offset") &&
			info(replica, "Persistence", "aof_rewrite_in_progress") == "0" &&
			info(replica, "Persistence", "aof_rewrite_scheduled") == "0"
	}, time.Minute, 20*time.Millisecond)
}
