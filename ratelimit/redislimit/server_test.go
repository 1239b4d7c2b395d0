package redislimit_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/ratelimit/redislimit"
)

// The client logs each connection that breaks, and these tests break many.
func TestMain(m *testing.M) {
	logging.Disable()
	m.Run()
}

// server is a Redis server of a test, on a free port and in a folder of its own.
type server struct {
	t    testing.TB
	addr string
	args []string
	cmd  *exec.Cmd
}

// start starts a server that keeps nothing on disk. A test is skipped where there is no server, but not in CI.
func start(t testing.TB, args ...string) *server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil && os.Getenv("CI") == "" {
		t.Skip("redis-server is not installed")
	}
	addr := freeAddr(t)
	_, port := split(t, addr)
	s := &server{t: t, addr: addr, args: append([]string{
		"--bind", "127.0.0.1", "--port", port, "--dir", t.TempDir(), "--save", "", "--appendonly", "no",
		"--maxmemory-policy", "noeviction", "--loglevel", "warning", "--logfile", filepath.Join(t.TempDir(), "log"),
	}, args...)}
	s.run()
	t.Cleanup(s.kill)
	return s
}

// run starts the process and waits until it answers.
func (s *server) run() {
	s.t.Helper()
	s.cmd = exec.Command("redis-server", s.args...)
	require.NoError(s.t, s.cmd.Start())
	c := client(s.t, s.addr)
	answers := func() bool { return c.Ping(context.Background()).Err() == nil }
	require.Eventually(s.t, answers, time.Minute, 5*time.Millisecond, "the server does not answer")
}

// kill ends the process as a crash would.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// The ports of servers count from a random one, as other processes start servers at the same time.
var (
	firstPort = rand.Uint32N(20_000)
	ports     atomic.Uint32
)

// freeAddr returns an address on which nobody listens. Its port is below those that a system chooses itself, for
// connections and for listeners. So no program is given it before the server has it, or while the server is down.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 20_000 {
		addr := fmt.Sprint("127.0.0.1:", 10_000+(firstPort+ports.Add(1))%20_000)
		if l, err := net.Listen("tcp", addr); err == nil {
			require.NoError(t, l.Close())
			return addr
		}
	}
	require.Fail(t, "no port is free")
	return ""
}

// options are those that the package documentation recommends.
func options(addr string) *redis.Options {
	return &redis.Options{Addr: addr, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1}
}

// client returns a client that the test closes.
func client(t testing.TB, addr string) *redis.Client {
	c := redis.NewClient(options(addr))
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// patient is a budget that a busy machine keeps.
const patient = 5 * time.Second

// limiter returns a limiter that the test closes. Namespace, Nodes and Budget have values that suit most tests.
func limiter(t testing.TB, c redislimit.Config) *redislimit.Limiter {
	t.Helper()
	if c.Namespace == "" {
		c.Namespace = "test"
	}
	if c.Nodes == 0 {
		c.Nodes = 1
	}
	if c.Budget == 0 {
		c.Budget = patient
	}
	l, err := redislimit.New(c)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// split returns the host and the port of an address.
func split(t testing.TB, addr string) (host, port string) {
	host, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	return host, port
}

// slots is how many a Cluster has.
const slots = 16384

// startCluster starts three masters that share the slots, and returns them.
func startCluster(t testing.TB) (servers []*server) {
	t.Helper()
	nodes := make([]*redis.Client, 3)
	for i := range nodes {
		_, bus := split(t, freeAddr(t))
		s := start(t, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "2000",
			"--cluster-require-full-coverage", "no")
		servers, nodes[i] = append(servers, s), client(t, s.addr)
		require.NoError(t, nodes[i].ClusterAddSlotsRange(t.Context(), i*slots/3, (i+1)*slots/3-1).Err())
		require.NoError(t, nodes[i].Do(t.Context(), "cluster", "set-config-epoch", i+1).Err())
		host, port := split(t, servers[0].addr)
		require.NoError(t, nodes[i].Do(t.Context(), "cluster", "meet", host, port, firstBus(t, nodes[0])).Err())
	}
	for _, n := range nodes {
		require.Eventually(t, func() bool {
			info := n.ClusterInfo(t.Context()).Val()
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3") &&
				strings.Contains(info, "cluster_slots_assigned:16384")
		}, time.Minute, 20*time.Millisecond, "the Cluster does not come together")
	}
	for _, n := range nodes { // now each of them may be busy for longer
		require.NoError(t, n.ConfigSet(t.Context(), "cluster-node-timeout", "60000").Err())
	}
	return servers
}

// firstBus returns the port by which the nodes of a Cluster talk to this one: 127.0.0.1:6379@16379 is its address.
func firstBus(t testing.TB, node *redis.Client) string {
	me := node.ClusterNodes(t.Context()).Val()
	_, bus, ok := strings.Cut(strings.Fields(me)[1], "@")
	require.True(t, ok, me)
	bus, _, _ = strings.Cut(bus, ",")
	return bus
}

func clusterClient(t testing.TB, servers []*server) *redis.ClusterClient {
	addrs := make([]string, len(servers))
	for i, s := range servers {
		addrs[i] = s.addr
	}
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, ContextTimeoutEnabled: true, DialerRetries: 1})
	t.Cleanup(func() { _ = c.Close() })
	return c
}
