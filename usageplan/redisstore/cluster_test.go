package redisstore_test

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/redisstore"
)

// slots is how many a Cluster has.
const slots = 16384

// startCluster starts three masters that share the slots, and returns their addresses.
func startCluster(t testing.TB) (addrs []string) {
	t.Helper()
	nodes := make([]*redis.Client, 3)
	for i := range nodes {
		_, bus := split(t, freeAddr(t))
		s := start(t, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "2000")
		addrs, nodes[i] = append(addrs, s.addr), client(t, options(s.addr))
		require.NoError(t, nodes[i].ClusterAddSlotsRange(t.Context(), i*slots/3, (i+1)*slots/3-1).Err())
		require.NoError(t, nodes[i].Do(t.Context(), "cluster", "set-config-epoch", i+1).Err())
		host, port := split(t, addrs[0])
		require.NoError(t, nodes[i].Do(t.Context(), "cluster", "meet", host, port, firstBus(t, nodes[0])).Err())
	}
	for _, n := range nodes {
		require.Eventually(t, func() bool {
			info := n.ClusterInfo(t.Context()).Val()
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		}, time.Minute, 20*time.Millisecond, "the Cluster does not come together")
	}
	for _, n := range nodes { // now each of them may be busy for longer
		require.NoError(t, n.ConfigSet(t.Context(), "cluster-node-timeout", "60000").Err())
	}
	return addrs
}

// firstBus returns the port by which the nodes of a Cluster talk to this one: 127.0.0.1:6379@16379 is its address.
func firstBus(t testing.TB, node *redis.Client) string {
	me := node.ClusterNodes(t.Context()).Val()
	_, bus, ok := strings.Cut(strings.Fields(me)[1], "@")
	require.True(t, ok, me)
	bus, _, _ = strings.Cut(bus, ",")
	return bus
}

func clusterClient(t testing.TB, addrs []string) *redis.ClusterClient {
	c := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: addrs, ContextTimeoutEnabled: true, DialerRetries: 1, ReadTimeout: time.Minute,
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestCluster: the store keeps the contracts of engines and of journals on a Cluster of three masters.
func TestCluster(t *testing.T) {
	addrs := startCluster(t)
	connect := func(t testing.TB) redis.UniversalClient { return clusterClient(t, addrs) }
	t.Run("engine", func(t *testing.T) { testEngine(t, connect) })
	t.Run("journal", func(t *testing.T) { testJournal(t, connect) })
}

// TestClusterNeedsItsClient: Open refuses a client of a single server for a Cluster, as it would reach a part of the
// rows.
func TestClusterNeedsItsClient(t *testing.T) {
	s := start(t, "--cluster-enabled", "yes")
	_, err := redisstore.Open(t.Context(), redisstore.Config{Client: client(t, options(s.addr)), Namespace: "gateway"})
	require.ErrorContains(t, err, "redisstore: server "+s.addr+" has a part of a Cluster: use redis.NewClusterClient")
}

// TestClusterSlotMoves: while slots move from node to node, an Update that returns nil is made once, and one that fails
// is made once or not at all. The client learns of the moves from the nodes.
func TestClusterSlotMoves(t *testing.T) {
	addrs := startCluster(t)
	s := open(t, clusterClient(t, addrs), fresh())
	keys := make([]string, 50)
	sure, unsure := make([]int, len(keys)), make([]int, len(keys))
	update := func(i int) {
		err := s.Update(t.Context(), keys[i:i+1], func(_ int, row []byte) ([]byte, error) {
			return append(bytes.Clone(row), 'x'), nil
		})
		if err == nil {
			sure[i]++
		} else {
			unsure[i]++
		}
	}
	for i := range keys {
		keys[i] = fmt.Sprint("key ", i)
		update(i)
	}
	var moved atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !moved.Load() {
			for i := range keys {
				update(i)
			}
		}
	})
	for from := range addrs {
		moveSlots(t, addrs[from], addrs[(from+1)%len(addrs)])
	}
	moved.Store(true)
	wg.Wait()
	refused := slices.Clone(unsure)
	for i := range keys {
		update(i)
	}
	require.Equal(t, refused, unsure, "a slot refuses only while it moves")
	for i, key := range keys {
		row, err := s.Load(t.Context(), key)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(row), sure[i], key)
		require.LessOrEqual(t, len(row), sure[i]+unsure[i], key)
	}
}

// moveSlots moves each slot that has keys from one node to another.
func moveSlots(t testing.TB, from, to string) {
	t.Helper()
	source, target := client(t, options(from)), client(t, options(to))
	id := func(c *redis.Client) string { return c.Do(t.Context(), "cluster", "myid").Val().(string) }
	host, port := split(t, to)
	for _, key := range source.Keys(t.Context(), "*").Val() {
		slot := source.ClusterKeySlot(t.Context(), key).Val()
		names := source.ClusterGetKeysInSlot(t.Context(), int(slot), 1000).Val()
		if len(names) == 0 {
			continue // it has moved with another key
		}
		at := strconv.FormatInt(slot, 10)
		require.NoError(t, target.Do(t.Context(), "cluster", "setslot", at, "importing", id(source)).Err())
		require.NoError(t, source.Do(t.Context(), "cluster", "setslot", at, "migrating", id(target)).Err())
		for _, name := range names {
			require.NoError(t, source.Do(t.Context(), "migrate", host, port, name, 0, 5000).Err())
		}
		for _, c := range []*redis.Client{target, source} {
			require.NoError(t, c.Do(t.Context(), "cluster", "setslot", at, "node", id(target)).Err())
		}
	}
}
