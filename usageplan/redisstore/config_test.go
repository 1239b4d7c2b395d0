package redisstore_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/redisstore"
)

// TestOpenReportsEachMistake: Open joins the mistakes of the configuration, of the client's options and of the server.
func TestOpenReportsEachMistake(t *testing.T) {
	s := start(t, "--maxmemory-policy", "allkeys-lru", "--appendonly", "no")
	c := client(t, &redis.Options{Addr: s.addr, ReadTimeout: -1, DialTimeout: time.Minute, ClientSideCacheConfig: &redis.ClientSideCacheConfig{}})
	_, err := redisstore.Open(t.Context(), redisstore.Config{Client: c, Namespace: "{gateway}"})
	require.ErrorIs(t, err, redisstore.ErrWeak)
	for _, want := range []string{
		`redisstore: namespace "{gateway}" is not 1 to 64 letters, digits and .-_: signs`,
		"redisstore: the client ignores contexts: set ContextTimeoutEnabled",
		"redisstore: the client waits forever: ReadTimeout or WriteTimeout is negative",
		"redisstore: the client sends again what has failed: set MaxRetries to -1",
		"redisstore: the client dials a server that is gone again and again: set DialerRetries to 1",
		"redisstore: the client dials for 1m0s: set DialTimeout to at most 10s",
		"redisstore: the client caches answers: unset ClientSideCache",
		"redisstore: server " + s.addr + " deletes rows when it is full: maxmemory-policy is allkeys-lru; set noeviction",
		"redisstore: server may lose what it has confirmed: " + s.addr + ": it has no persistence, neither appendonly nor save",
	} {
		require.ErrorContains(t, err, want)
	}
}

// TestOpenRefusesClient: a client that is missing, of another type, or that reads from replicas.
func TestOpenRefusesClient(t *testing.T) {
	cluster := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: []string{freeAddr(t)}, RouteRandomly: true, MaxRedirects: -1, MaxRetries: 3, ContextTimeoutEnabled: true,
	})
	defer cluster.Close()
	ring := redis.NewRing(&redis.RingOptions{})
	defer ring.Close()
	for name, c := range map[string]struct {
		client redis.UniversalClient
		want   []string
	}{
		"none":        {nil, []string{"redisstore: no client"}},
		"nil client":  {(*redis.Client)(nil), []string{"redisstore: no client"}},
		"nil cluster": {(*redis.ClusterClient)(nil), []string{"redisstore: no client"}},
		"ring":        {ring, []string{"the client is a *redis.Ring, not a *redis.Client or *redis.ClusterClient"}},
		"replicas":    {cluster, []string{"the client reads from replicas", "MaxRedirects is negative", "set MaxRetries to -1", "set DialerRetries to 1", "the server does not answer"}},
		"no server":   {client(t, options(freeAddr(t))), []string{"redisstore: the server does not answer: dial tcp"}},
	} {
		_, err := redisstore.Open(t.Context(), redisstore.Config{Client: c.client, Namespace: "gateway"})
		for _, want := range c.want {
			require.ErrorContains(t, err, want, name)
		}
	}
}

// TestWeakServer: what may be lost decides whether Open, or only exact mode, refuses a server. AllowWeakDurability
// accepts all of them, but not one that evicts rows or is a replica.
func TestWeakServer(t *testing.T) {
	master := start(t)
	host, port := split(t, master.addr)
	for name, c := range map[string]struct {
		args          []string
		forbidden     string // a command that the user may not call
		opens, exact  string // what the refusal contains; none if ""
		never         bool   // also refused with AllowWeakDurability
		secondReplica bool
	}{
		"durable":                {},
		"every second":           {args: []string{"--appendfsync", "everysec"}, exact: "appendfsync is everysec"},
		"not during rewrites":    {args: []string{"--no-appendfsync-on-rewrite", "yes"}, exact: "no-appendfsync-on-rewrite is yes"},
		"snapshots":              {args: []string{"--appendonly", "no", "--save", "60 1"}, exact: "appendonly is no"},
		"nothing on disk":        {args: []string{"--appendonly", "no"}, opens: "it has no persistence, neither appendonly nor save"},
		"no CONFIG":              {forbidden: "config", exact: "appendfsync cannot be read"},
		"no CONFIG, no AOF":      {args: []string{"--appendonly", "no"}, forbidden: "config", opens: "appendonly is no, and save cannot be read"},
		"no INFO":                {forbidden: "info", opens: "its settings are unknown, as the user may not call INFO"},
		"evicts":                 {args: []string{"--maxmemory-policy", "volatile-ttl"}, opens: "maxmemory-policy is volatile-ttl", never: true},
		"replica":                {args: []string{"--replicaof", host + " " + port}, opens: "is a replica", never: true},
		"master of that replica": {secondReplica: true, exact: "it has replicas"},
		"master that needs it":   {secondReplica: true, args: []string{"--min-replicas-to-write", "1"}, exact: "it has replicas"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, c.args...)
			if c.secondReplica {
				host, port := split(t, s.addr)
				replicate(t, start(t, "--replicaof", host+" "+port))
			}
			config := redisstore.Config{Client: client(t, options(s.addr)), Namespace: "gateway"}
			if c.forbidden != "" {
				require.NoError(t, config.Client.Do(t.Context(), "acl", "setuser", "default", "-"+c.forbidden).Err())
			}
			store, err := redisstore.Open(t.Context(), config)
			refuses(t, err, c.opens, !c.never)
			if err == nil {
				l, err := ledger.New(ledger.Config{Engine: store, Exact: true})
				refuses(t, err, c.exact, true)
				require.NoError(t, l.Close())
				l, err = ledger.New(ledger.Config{Engine: store})
				require.NoError(t, err, "leased mode")
				require.NoError(t, l.Close())
			}
			config.AllowWeakDurability = true
			store, err = redisstore.Open(t.Context(), config)
			if c.never {
				require.ErrorContains(t, err, c.opens)
				return
			}
			require.NoError(t, err)
			require.NoError(t, store.Durable(t.Context()))
		})
	}
}

// refuses fails unless err contains the text, or is nil if that is "".
func refuses(t *testing.T, err error, text string, weak bool) {
	t.Helper()
	if text == "" {
		require.NoError(t, err)
		return
	}
	require.ErrorContains(t, err, text)
	if weak {
		require.ErrorIs(t, err, redisstore.ErrWeak)
	}
}

// TestZeroStore: a store that was never opened returns errors, and can be closed.
func TestZeroStore(t *testing.T) {
	var s redisstore.Store
	require.ErrorIs(t, s.Durable(t.Context()), redisstore.ErrClosed)
	_, err := s.Now(t.Context())
	require.ErrorIs(t, err, redisstore.ErrClosed)
	_, err = s.Load(t.Context(), "key")
	require.ErrorIs(t, err, redisstore.ErrClosed)
	require.ErrorIs(t, s.Journal("keys", 0).Wait(t.Context(), 0), redisstore.ErrClosed)
	require.NoError(t, s.Close())
	require.NoError(t, (*redisstore.Store)(nil).Close())
}
