// Package redislimit limits how fast requests come to several processes together. The processes share token buckets on
// Redis: a single server, one that Sentinel watches, or a Cluster.
//
//	client := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1})
//	defer client.Close()
//	limiter, err := redislimit.New(redislimit.Config{
//		Client: client, Namespace: "api", Nodes: 8,
//		Limit: ratelimit.Limit{Rate: 10, Burst: 20}, // of all processes together
//		Key:   apikey.ID,
//	})
//	defer limiter.Close() // the client stays the caller's
//	mux.Handle("/", limiter.Handler(next))
//
// Below HTTP there is [Limiter.Take]. It takes one token from each of several buckets, or none from any, and each
// bucket has its own limit. A Limiter is also a usageplan.Throttle. The limits are then those of the plans, so Limit
// and Key are left out:
//
//	plans, err := usageplan.New(usageplan.Config{Throttle: limiter, …}) // whole: examples/fleet
//
// # What it proves
//
// The processes are called nodes here. If there are at most [Config].Nodes of them, they together admit at most
// Burst + Rate×Δ tokens of a bucket over any window of length Δ. Time is that of the server. A token counts as admitted
// when the node decides, and not when the server counted it. That makes the bound hard to keep: the server may count
// tokens one after the other, and several nodes may then use them at the same instant. So the server's bucket has a
// lower burst than the limit:
//
//	burst on the server = Burst - Rate×Budget - Nodes×hold, but at least 1
//	hold                = min(Rate × 10 ms, Burst / (4×Nodes)), rounded down; 0 if that is below 8
//
// A token for a request that waits is used within a [Config].Budget after the server has counted it, because a later
// answer is not used. So the tokens that are used within a window were counted within Δ + Budget. In addition, each
// node may use the tokens that it had at the beginning of the window, in stock or on their way to it. These are at most
// hold.
//
// For example, with Nodes = 8 and a Budget of 5 ms:
//
//   - Rate 10, Burst 20: hold is 0, and the burst on the server is 20 - 0.05 = 19.95. The bucket is strict: a node asks
//     the server for a token when a request needs it. A full bucket admits 19 requests at once.
//   - Rate 2000, Burst 40 000: hold is 20, and the burst on the server is 40 000 - 10 - 160 = 39 830. The bucket is
//     leased: a node takes up to 20 tokens before they are needed, and requests use them without a call.
//
// The burst on the server is at least 1, or nothing would be admitted. Where the formula gives less, the nodes may
// admit 1 + Rate×Budget + Nodes×hold in place of Burst. Two kinds of limits are concerned: a burst that flows in within
// about a Budget, and a burst of 1. For a burst of 1 the excess is Rate×Budget: 0.05 of a token at a rate of 10.
//
// Buckets count in float64. So all of this holds to one part in 2^50.
//
// # How it works
//
// At most one call of a process is under way; with a Cluster, at most one for each of 256 hash tags. Requests that come
// meanwhile wait, and up to 128 of them share the next call. One script decides about all of them. So the number of
// calls does not grow with the number of requests, and under load one call decides dozens.
//
// A node remembers a refusal until a token can have come, for a minute at most. It refuses without a call until then. A
// leased bucket asks ahead for about as many tokens as the node uses in 10 ms, and requests do not wait for that. A
// node that uses all of the rate asks about 100 times a second. One that spends a burst faster asks more often.
//
// A node that dies takes up to hold tokens of each leased bucket with it. They need no cleaning up: the server's bucket
// fills at its rate, up to its burst, whatever became of the tokens. So the server need not know the nodes.
//
// If a limit changes, the tokens that are missing stay missing, as in package ratelimit. For example, a client has used
// up a burst of 1000, and the limit is then lowered to a burst of 100 at a rate of 10. The bucket owes 900 tokens, and
// refuses for 90 seconds. A higher limit acts at once.
//
// A key expires when its bucket is full again, so the server keeps only clients that have asked lately. A bucket with
// Rate 0 never fills, so its key stays. A key takes about 210 bytes of the server's memory.
//
// # Failure
//
// A call that fails or exceeds the Budget begins an outage. The requests of that call, and all that come later, are
// answered at once by the policy of [Config].Away: [Refuse], [Allow] or [LocalShare]. Tokens in stock are spent first,
// and a refusal that is remembered still refuses.
//
// During an outage, requests start probes, which run in the background. The first follows the failure at once, the
// second 10 ms later, and then each pause is twice the one before, up to 250 ms. A probe takes up to a Budget for each
// hash tag that is away. No goroutine runs for the whole outage, so an environment of AWS Lambda may be frozen in the
// middle of one. A client that has often failed to connect tries again only once a second, so an outage may end a
// second late. [Config].OnOutage is told of an outage, and [Limiter.Stats] shows it.
//
// The server may lose its data: by FLUSHALL, by a restart without persistence, or by a failover to a replica that did
// not have the last writes. The buckets that it has lost are full again. So each loss may admit up to the burst of a
// bucket once more. If nothing is lost, the bound holds over a restart or a failover, too. For a failover
// on purpose, stop the writes by CLIENT PAUSE first, until the replica has everything. A full server that evicts keys
// loses them in the same way. With the maxmemory-policy noeviction it refuses to write instead, which begins an outage.
// A limit needs no persistence: most buckets would be full again anyway when the server has restarted.
//
// If the server's clock steps ahead, the buckets gain what flows in during the step. If it steps back, they gain
// nothing. A failover switches to the clock of another machine, which is such a step.
//
// The causes of errors, for errors.Is:
//
//	cause                         the client sees                          the operator
//	ratelimit.ErrLimited          429 {"message":"Too Many Requests"}      raises the limit if the client may have more
//	ratelimit.ErrNoKey            403 {"message":"Forbidden"}              puts an authenticator before the limiter
//	ratelimit.ErrUnavailable      503 {"message":"Service Unavailable"}    looks at the server; the error says why
//	ErrClosed                     the same                                 closes the limiter after the HTTP server
//	ratelimit.ErrNotConfigured    500 {"message":"Internal server error"}  reads the error
//
// The zero Limiter refuses.
//
// # Options of the client
//
//   - ContextTimeoutEnabled: required. Otherwise the client ignores the Budget.
//   - DialerRetries 1: required. Otherwise a server that is gone is dialed five times.
//   - MaxRetries: not used. A call is sent once, since a second copy would take the tokens again.
//   - ReadTimeout and WriteTimeout: not negative, or a call could wait forever.
//   - ReadOnly, RouteByLatency and RouteRandomly are refused: only a master can take tokens.
//   - MaxRedirects of a Cluster's client: not negative, or it would not follow a slot that moves.
//
// A client of package redisstore has these options, so one client may serve both. But mind the settings of its server:
// with appendfsync always, as a ledger in exact mode needs it, each call waits for the disk. In a measurement on a busy
// machine, the median of Take was then 4.9 ms, which is about the default Budget, and with everysec 0.14 ms. So use
// another server, or raise the Budget.
//
// The first call of a process also makes the connection, within the Budget. Connecting may take longer than that, as
// with TLS over a network. Then call Ping before you serve, and set MinIdleConns.
//
// # What it does not do
//
// It does not delay requests. It does not count across namespaces or servers. The buckets of one group are in one slot
// of a Cluster, and so on one server. In particular, a limit over all clients together is one bucket, and no faster
// than that server. The package has been tested with Redis 7.0 and needs 6.2 or later. It does not encrypt: use TLS and
// a password.
//
// # Sources
//
// The bucket is that of package ratelimit. The answers are those of Amazon API Gateway, and the header fields those of
// draft-ietf-httpapi-ratelimit-headers-11, as in that package. A script may use TIME, because Redis replicates the
// effects of a script and not the script: https://redis.io/docs/latest/develop/programmability/eval-intro/. Hash tags:
// https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/.
package redislimit
