package redisstore_test

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
	"github.com/tallygate/tallygate/usageplan/redisstore"
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

// start starts a server with the settings that the package documentation asks for, unless args say otherwise. A test is
// skipped where there is no server, but not in CI.
func start(t testing.TB, args ...string) *server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil && os.Getenv("CI") == "" {
		t.Skip("redis-server is not installed")
	}
	addr := freeAddr(t)
	_, port := split(t, addr)
	s := &server{t: t, addr: addr, args: append([]string{
		"--bind", "127.0.0.1", "--port", port, "--dir", t.TempDir(),
		"--save", "", "--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy",
		"noeviction", "--loglevel", "warning", "--logfile", filepath.Join(t.TempDir(), "log"),
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
	c := client(s.t, options(s.addr))
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
func client(t testing.TB, o *redis.Options) *redis.Client {
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func open(t testing.TB, c redis.UniversalClient, namespace string) *redisstore.Store {
	t.Helper()
	s, err := redisstore.Open(context.Background(), redisstore.Config{Client: c, Namespace: namespace})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// split returns the host and the port of an address.
func split(t testing.TB, addr string) (host, port string) {
	host, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	return host, port
}

// replicate waits until a replica has what its master has.
func replicate(t testing.TB, replica *server) {
	t.Helper()
	c := client(t, options(replica.addr))
	require.Eventually(t, func() bool {
		return strings.Contains(c.Info(context.Background(), "replication").Val(), "master_link_status:up")
	}, time.Minute, 10*time.Millisecond)
}
