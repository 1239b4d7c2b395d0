package redislimit_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// startSentinel starts a sentinel that watches one master, and returns its address. It takes a master for dead that
// does not answer for two seconds, so that it does not do so on a busy machine while that lives.
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
	c := client(t, addr)
	require.Eventually(t, func() bool { // once it has found the replica
		replicas, _ := c.Do(context.Background(), "sentinel", "replicas", "gateway").Slice()
		return len(replicas) == 1
	}, time.Minute, 20*time.Millisecond)
	return addr
}

// failoverClient returns a client that asks a sentinel for the master. The test closes it.
func failoverClient(t testing.TB, sentinel string) *redis.Client {
	c := redis.NewFailoverClient(&redis.FailoverOptions{
		SentinelAddrs: []string{sentinel}, MasterName: "gateway",
		ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1,
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// inStep returns once a replica has all that its master has written. The master writes nothing from then on.
func inStep(t testing.TB, master, replica *server) {
	t.Helper()
	m, r := client(t, master.addr), client(t, replica.addr)
	require.NoError(t, m.Do(t.Context(), "client", "pause", 60_000, "write").Err())
	field := func(c *redis.Client, name string) string {
		_, rest, _ := strings.Cut(c.Info(t.Context(), "replication").Val(), name+":")
		value, _, _ := strings.Cut(rest, "\r\n")
		return value
	}
	require.Eventually(t, func() bool {
		written := field(m, "master_repl_offset")
		return written != "" && field(r, "slave_repl_offset") == written
	}, time.Minute, time.Millisecond)
}

// TestFailover: eight processes are under load when the master dies and a sentinel has its replica take over. Each
// refuses until then, tells of the outage, and goes on with the new master. In their merged logs, the bound holds if
// the replica had everything. If it had nothing, a burst is admitted once more, and not more.
func TestFailover(t *testing.T) {
	for name, bursts := range map[string]int64{"nothing is lost": 0, "all is lost": 1} {
		t.Run(name, func(t *testing.T) {
			master := start(t)
			host, port := split(t, master.addr)
			replica := start(t, "--replicaof", host+" "+port)
			r := client(t, replica.addr)
			require.Eventually(t, func() bool {
				return strings.Contains(r.Info(context.Background(), "replication").Val(), "master_link_status:up")
			}, time.Minute, 10*time.Millisecond)
			sentinel := startSentinel(t, master.addr)
			if bursts > 0 {
				replica.kill() // before it has any bucket
			}
			fleets := startFleets(t, sentinelVariable+"="+sentinel)
			time.Sleep(time.Second)
			if bursts == 0 {
				inStep(t, master, replica)
			}
			var died time.Time
			outage(fleets, func() {
				master.kill()
				died = time.Now()
			})
			if bursts > 0 {
				replica.run()
			}
			serves(t, failoverClient(t, sentinel))
			back := time.Now()
			t.Logf("the new master takes writes after %v", back.Sub(died))
			goOn(fleets)
			checkLoss(t, fleets, bursts, back)
		})
	}
}
