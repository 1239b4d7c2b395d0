// Package redisstore keeps a ledger and journals on a Redis server that several processes share: a single server, one
// that Sentinel watches, or a Cluster.
//
//	client := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, DialerRetries: 1, MaxRetries: -1})
//	defer client.Close()
//	store, err := redisstore.Open(ctx, redisstore.Config{Client: client, Namespace: "gateway"})
//	defer store.Close() // the client stays the caller's
//	l, err := ledger.New(ledger.Config{Engine: store, Timeout: 250 * time.Millisecond})
//	defer l.Close()
//	keys, err := apikey.New(apikey.Config{
//		Journal: store.Journal("keys", 0), Pepper: pepper,
//		Follow: true, MaxStale: 5 * time.Second, // follows what other processes change
//	})
//	defer keys.Close()
//
// # How it works
//
// Each row has a version, and a script writes a row only if it still has the version that was read. So no process holds
// a lock, and a process that dies leaves none behind. Up to 250 keys of a commit go in one request.
//
// The store remembers the rows that it wrote last, up to 8 MiB of them. A commit of up to 250 keys costs one round trip
// if they are remembered and no other process has written them since. Otherwise it costs two, and one more each time
// that others change the same rows at the same time.
//
// A write is sent once, also in a Cluster. If its answer is lost, Update returns an error. Then the row is either
// unchanged or as it should become. The ledger repeats its batch, and the row recognises a batch that it already has.
//
// # What survives
//
// It depends on the settings of the server:
//
//   - appendonly yes, appendfsync always, no-appendfsync-on-rewrite no, and no replicas: what Update and Append have
//     confirmed survives kill -9 of the server. It survives a power failure if the disk keeps what it has confirmed to
//     fsync. The exact mode of a ledger requires this; see [Store.Durable].
//   - appendfsync everysec: a power failure loses the last second, or two if the disk is slow.
//   - appendonly no, with save: a crash loses what has changed since the last snapshot.
//   - Neither: a restart loses everything. [Open] refuses such a server.
//   - Replicas: a failover, by Sentinel or in a Cluster, loses what had not reached the replica that takes over. Redis
//     confirms a write before its replicas have it, also with min-replicas-to-write. Exact mode refuses a server to
//     which a replica is connected. It asks when the ledger is made, so it does not notice a replica that comes later.
//
// https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/ explains these settings.
//
// A ledger notices a loss, calls OnLoss, and counts again what its leases had admitted. Package ledger says when it
// does so. A loss can make the ledger admit more than the limit of an account. How much more:
//
//	                              leased, all alive    leased, and dead ledgers    exact
//	FLUSHALL                      0 *                  what the dead had spent     all that was admitted before
//	failover, 10 writes lost      0 *                  what the dead had spent     what the 10 writes admitted
//	everysec, a power failure     0 *                  what the dead had spent     what the last second admitted
//
//	* in addition, what leases that have ended had spent in this period, as far as it is lost
//
// Tests with three ledgers under load hold the ledgers to these bounds. With everysec, a kill -9 of the server alone
// loses nothing, because the operating system still writes what the process has written. So the test of a power failure
// cuts the last second from the file.
//
// [Config].AllowWeakDurability accepts weaker settings than those, and a server that does not tell its settings, as
// many managed ones. It does not accept a server that deletes rows when it is full: maxmemory-policy must be
// noeviction. Then a full server refuses writes, and the ledger refuses with ledger.ErrUnavailable.
//
// # Options of the client
//
//   - ContextTimeoutEnabled: required. Otherwise the client ignores the Timeout of the ledger, and a server that hangs
//     holds a request for ReadTimeout.
//   - DialerRetries 1: required. Otherwise a server that is gone is dialed five times, or until the context ends.
//   - MaxRetries -1: required. It is the default of the client of a Cluster. Otherwise the client repeats what only
//     reads. The client of a Cluster repeats that up to MaxRedirects times in any case.
//   - DialTimeout: at most ten seconds. A connection that is being made counts as one of the pool until then.
//   - ReadTimeout: longer than the server needs for the largest change of a journal; see [Store.Journal]. It must not
//     be negative.
//   - ReadOnly, RouteByLatency, RouteRandomly and ClientSideCache are refused: they read what may be old.
//
// With these options and a Timeout of 5 ms in the ledger, the first take that got an error lasted 5.2 to 5.6 ms when
// the server hung, and 0.4 to 0.7 ms when it had been killed. In an outage, later takes need no answer of the server;
// see Failure of package ledger. They were refused in 0.3 µs, at the 99th percentile in 3.6 to 4.8 µs. The benchmark
// Outage in usageplan/_bench measured this on two processors that had other work too. The Timeout must be longer than
// the server needs to sync and to answer over the network: one that is too short makes outages. When a server is back
// after many failures to connect, the client notices within a second.
//
// # What it costs
//
// A key with a row of 62 bytes takes about 320 bytes of the server's memory. [Store.Keys] asks 256 indexes in eight
// round trips. Other keys on the server do not slow it down.
//
// An Append is one request. To read a journal, all its records or a history takes one request for about each 256 KB. A
// snapshot takes one for each 10 to 1 000 items. One change is read in one request, up to 64 MiB, and the server does
// nothing else meanwhile. A reader that waits for a change keeps a connection.
//
// One run compared a ledger with a script for each decision: 64 goroutines on two busy processors, with appendfsync
// always. A leased ledger made about 250 decisions in the time of one script, over 64 keys and over one key. An exact
// ledger made 2.6 over 64 keys, and 3.7 over one key.
//
// # From one machine to several
//
// [ledger.Copy] and [journal.Copy] carry the file of package boltstore into the store, and back. They may be
// interrupted and called again. At the end they compare both sides. The example Copy is the whole program: ten lines of
// Go.
//
// A ledger that had Slots keeps them: each process has its own folder, on its machine. If a process is killed, its
// successor finds there what its leases had spent, so no units are wasted; see package slots. The program
// examples/fleet has all that three processes need: the ledger, keys and plans that follow their journals, throttles,
// and the control plane.
//
// # Rights
//
// The user of the program needs INFO and CONFIG GET, or AllowWeakDurability, and these commands on the keys of the
// namespace. With an access list of Redis 6.2 or later:
//
//	ACL SETUSER gateway on >password ~gateway:* resetchannels -@all +info +config|get +ping +hello
//	    +eval +evalsha +get +set +getrange +strlen +time +zadd +zrem +zrangebylex +zrangebyscore
//	    +hget +hset +hdel +hmget +hscan +xadd +xdel +xrange +xread
//
// For a Cluster, add +cluster|slots and +cluster|shards; this is untested. With Redis 6.2, write +config in place of
// +config|get.
//
// # Cluster
//
// Rows are spread over 256 hash tags, and each journal has one. While a slot moves to another node, calls for its keys
// may fail for a moment. That is an error like any other.
//
// # What it does not do
//
// It does not encrypt. Use TLS and a password, which are options of the client: a program that can write to the server
// can change what is counted. It needs Redis 6.2 or later. It has been tested only with Redis 7.0, and not with Valkey
// or other servers that speak the protocol. No machine with a server has been switched off in a test.
//
// # Errors
//
//   - [ErrClosed]: the store was closed.
//   - [ErrFormat]: a row, item or record is damaged, or another program has written it. Other rows can still be used.
//   - [ErrWeak]: an error of [Open] and [Store.Durable]. Change the settings of the server, or set AllowWeakDurability.
//   - Any other error is that of the context, of package journal, of the client or of the server. If a write failed so,
//     it is unknown whether the change was made.
package redisstore
