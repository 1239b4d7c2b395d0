package redisstore_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/redisstore"
)

// startSentinel starts a sentinel that watches one master, and returns its address.
func startSentinel(t testing.TB, master string) string {
	t.Helper()
	addr := freeAddr(t)
	_, port := split(t, addr)
	host, masterPort := split(t, master)
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("bind 127.0.0.1\nport %s\nsentinel monitor gateway %s %s 1\n"+
		"sentinel down-after-milliseconds gateway 2000\nsentinel failover-timeout gateway 5000\n", port, host, masterPort)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) // the sentinel writes to it
	cmd := exec.Command("redis-server", file, "--sentinel")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	c := client(t, options(addr))
	require.Eventually(t, func() bool { // once it has found the replica
		replicas, _ := c.Do(context.Background(), "sentinel", "replicas", "gateway").Slice()
		return len(replicas) == 1
	}, time.Minute, 20*time.Millisecond)
	return addr
}

// TestFailover: a ledger goes on when a replica takes over. What had not reached the replica is lost, and the ledger
// tells so.
func TestFailover(t *testing.T) {
	master := start(t)
	host, port := split(t, master.addr)
	replica := start(t, "--replicaof", host+" "+port)
	replicate(t, replica)
	c := redis.NewFailoverClient(&redis.FailoverOptions{
		SentinelAddrs: []string{startSentinel(t, master.addr)}, MasterName: "gateway",
		ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1,
	})
	defer c.Close()
	_, err := redisstore.Open(t.Context(), redisstore.Config{Client: c, Namespace: "gateway"})
	require.NoError(t, err, "a leased ledger may use it")
	store, err := redisstore.Open(t.Context(), redisstore.Config{Client: c, Namespace: "gateway", AllowWeakDurability: true})
	require.NoError(t, err)
	var lost atomic.Int64
	l, err := ledger.New(ledger.Config{
		Engine: store, Exact: true, Timeout: time.Second, OnLoss: func(ledger.Account) { lost.Add(1) },
	})
	require.NoError(t, err)
	defer l.Close()
	quota := ledger.Quota{Limit: 100, Period: ledger.Monthly}
	take := func() error {
		_, err := l.Take(context.Background(), ledger.Key{Plan: "basic", Subject: "s"}, quota, 1)
		return err
	}
	require.NoError(t, take())
	require.EqualValues(t, 1, c.Wait(t.Context(), 1, 10*time.Second).Val(), "the replica has it")

	replica.kill()
	for range 10 {
		require.NoError(t, take(), "the master confirms what no replica has")
	}
	master.kill()
	replica.run()
	require.Eventually(t, func() bool { return take() == nil }, time.Minute, 50*time.Millisecond)
	require.Eventually(t, func() bool { return lost.Load() == 1 }, time.Minute, 10*time.Millisecond)
}
