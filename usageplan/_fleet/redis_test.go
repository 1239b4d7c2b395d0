package fleet

import (
	"context"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/redisstore"
)

// redisServer is a single server that syncs before it answers.
type redisServer struct {
	process
	t    testing.TB
	addr string
	args []string
}

func startRedis(t testing.TB, args ...string) *redisServer {
	t.Helper()
	installed(t, "redis-server")
	addr := freeAddr(t)
	s := &redisServer{t: t, addr: addr, args: append([]string{
		"--bind", "127.0.0.1", "--port", portOf(t, addr), "--dir", t.TempDir(), "--save", "", "--appendonly", "yes",
		"--appendfsync", "always", "--maxmemory-policy", "noeviction", "--loglevel", "warning", "--logfile", "log",
	}, args...)}
	s.run()
	t.Cleanup(func() { s.kill() })
	return s
}

func (s *redisServer) run() {
	s.start(s.t, exec.Command("redis-server", s.args...))
	c := redis.NewClient(&redis.Options{Addr: s.addr})
	defer c.Close()
	again(s.t, func() bool { return c.Ping(context.Background()).Err() == nil }, "the server does not answer")
}

func (s *redisServer) signal(sig syscall.Signal) { _ = s.cmd.Process.Signal(sig) }

func (s *redisServer) place(namespace string) place {
	return place{Kind: "redis", Addrs: []string{s.addr}, Namespace: namespace}
}

// redisCluster is three masters that share the slots.
type redisCluster struct {
	t       testing.TB
	masters []*redisServer
	next    int // the one that kill ends
}

// clusterSlots is how many slots a Cluster has.
const clusterSlots = 16384

func startCluster(t testing.TB) *redisCluster {
	t.Helper()
	c := &redisCluster{t: t, masters: make([]*redisServer, 3)}
	var firstHost, firstPort, firstBus string
	for i := range c.masters {
		bus := portOf(t, freeAddr(t))
		s := startRedis(t, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "2000")
		c.masters[i] = s
		node := redis.NewClient(&redis.Options{Addr: s.addr})
		defer node.Close()
		from, to := i*clusterSlots/3, (i+1)*clusterSlots/3-1
		require.NoError(t, node.ClusterAddSlotsRange(t.Context(), from, to).Err())
		require.NoError(t, node.Do(t.Context(), "cluster", "set-config-epoch", i+1).Err())
		if i == 0 {
			firstHost, firstPort, firstBus = "127.0.0.1", portOf(t, s.addr), bus
		}
		require.NoError(t, node.Do(t.Context(), "cluster", "meet", firstHost, firstPort, firstBus).Err())
	}
	c.agree()
	return c
}

// agree waits until every master knows the two others and answers for its slots.
func (c *redisCluster) agree() {
	for _, s := range c.masters {
		node := redis.NewClient(&redis.Options{Addr: s.addr})
		defer node.Close()
		again(c.t, func() bool {
			info := node.ClusterInfo(context.Background()).Val()
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		}, "the Cluster does not come together")
	}
}

// kill ends one master, each time another. A third of the keys is gone until run.
func (c *redisCluster) kill() {
	c.next = (c.next + 1) % len(c.masters)
	c.masters[c.next].kill()
}

func (c *redisCluster) run() {
	c.masters[c.next].run()
	c.agree()
}

func (c *redisCluster) signal(sig syscall.Signal) {
	for _, s := range c.masters {
		s.signal(sig)
	}
}

func (c *redisCluster) place(namespace string) place {
	p := place{Kind: "cluster", Namespace: namespace}
	for _, s := range c.masters {
		p.Addrs = append(p.Addrs, s.addr)
	}
	return p
}

// openRedis opens a store on a single server or a Cluster.
func (p place) openRedis(ctx context.Context) (ledger.Engine, error) {
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		d := net.Dialer{Timeout: time.Second}
		return d.DialContext(ctx, network, p.through(addr))
	}
	var c redis.UniversalClient
	if p.Kind == "cluster" {
		c = redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: p.Addrs, ContextTimeoutEnabled: true, DialerRetries: 1, Dialer: dial,
		})
	} else {
		c = redis.NewClient(&redis.Options{
			Addr: p.Addrs[0], ContextTimeoutEnabled: true, DialerRetries: 1, MaxRetries: -1, Dialer: dial,
		})
	}
	return redisstore.Open(ctx, redisstore.Config{Client: c, Namespace: p.Namespace})
}
