// Package pgstore keeps a ledger and journals in a PostgreSQL database that several processes share.
//
//	pool, err := pgxpool.New(ctx, "postgres://gateway@db/usage?connect_timeout=2&target_session_attrs=read-write")
//	defer pool.Close()
//	config := pgstore.Config{Pool: pool, Namespace: "gateway"}
//	err = pgstore.Create(ctx, config) // makes the tables; only where the program may
//	store, err := pgstore.Open(ctx, config)
//	defer store.Close() // the pool stays the caller's
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
// Each commit of the ledger is one transaction of two round trips, however many keys it has. The first one locks the
// rows, in the order of their keys, and reads them. The second one writes them and commits. So processes that use the
// same keys wait for each other, and none of them has to decide twice.
//
// If a process is stopped between the two, its rows stay locked for a second, and a millisecond more for each key. Then
// the server ends the transaction.
//
// A transaction is sent once. If the answer to its commit is lost, Update returns an error. Then the rows are either
// unchanged or as they should become. The ledger repeats its batch, and the rows recognise a batch that they already
// have.
//
// # What survives
//
// What Update or a journal's Append has acknowledged is committed. These settings decide what that means. They are
// PostgreSQL's defaults, except for the standbys:
//
//   - fsync and full_page_writes on, synchronous_commit on: it survives a crash and a power failure of the server, if
//     the disk keeps what it has acknowledged. The exact mode of a ledger requires this: see [Store.Durable].
//   - synchronous_commit off: a crash loses the commits of the last moments, up to three times wal_writer_delay, 0.6 s
//     by default (https://www.postgresql.org/docs/current/wal-async-commit.html). Package ledger says what a leased
//     ledger does after such a loss.
//   - A standby that takes over has all that was acknowledged only if synchronous_standby_names is set and names it,
//     and synchronous_commit is on or remote_apply. Otherwise the last writes may be lost. Exact mode refuses a server
//     to which a standby is connected without these settings. It asks when the ledger is made, so it does not notice a
//     standby that comes later. It cannot tell which standby will take over.
//   - A backup that is restored loses what came after it, in the ledger and in the journals.
//
// Row-level security, triggers and rules on the tables are not supported.
//
// # The pool
//
// Open refuses what does not fit and says what to set:
//
//   - connect_timeout must be 1 to 10 seconds; without it the pool takes two minutes. A connection that is being made
//     counts as one of the pool until then, even if its server never answers.
//   - target_session_attrs=read-write makes the pool pass over standbys, whose rows are older. It is required with
//     several hosts. Set it too if the address of the server can move to another machine. Values that choose a standby
//     are refused.
//   - Behind a pooler such as PgBouncer, default_query_exec_mode must be exec. Other modes, except simple_protocol,
//     need a statement that was prepared earlier, and the next request may reach another process of the server. Open
//     recognises a pooler because it tells another process number than the server. PgBouncer's pool_mode must be
//     transaction or session: its statement mode takes no transactions. With exec, the settings bytea_output and
//     DateStyle must be hex and ISO, which are the defaults.
//
// A call waits for a free connection and for locks as long as its context allows, so give the ledger a short
// [ledger.Config].Timeout. It must be longer than a commit, which takes some milliseconds on a disk, together with the
// commits of other processes that use the same keys. MaxConns may be small, as a ledger has few commits under way at a
// time. One is enough.
//
// With connect_timeout=1 and a Timeout of 5 ms in the ledger, the first take that got an error lasted 5.3 to 6.6 ms
// when the server hung, and 0.2 to 4.4 ms when it had been killed. In an outage, later takes need no answer of the
// server; see Failure of package ledger. They were refused in 0.3 µs, at the 99th percentile in 3.3 to 4.2 µs. The
// benchmark Outage in usageplan/_bench measured this on two processors that had other work too.
//
// # Failures
//
// If the server is down, calls fail at once: in tests within a millisecond. If it hangs, each call ends with its
// context: with one of 8 ms, in tests after 8 to 12 ms. When the server is back, the pool connects again by itself.
// Each connection that has broken may give one more error.
//
// A transaction that runs for hours anywhere in the database, such as a dump, keeps PostgreSQL from removing old
// versions of rows. Then rows that change often become slow to read. Dump a standby instead.
//
// # Speed
//
// A few runs of BenchmarkTake compared a ledger with one upsert for each decision: 64 goroutines and PostgreSQL 15, on
// two busy processors. The ledger made this many times as many decisions. The runs differ much:
//
//	           exact    leased
//	1 key      22 ×    2 800 ×
//	64 keys    3.5 ×     690 ×
//
// # Journals
//
// [Store.Journal] returns the journal of a topic. Append is one transaction, and a NOTIFY in it wakes the calls of
// Wait: in tests a change took 15 to 35 ms to reach another store. A Wait also asks once a second, because a
// notification may get lost. Behind a pooler there are no notifications, and a Wait asks four times a second. NOTIFY
// makes commits of journals in one database wait for each other, but not those of ledgers.
//
// To read a journal, or all its records, takes one round trip for about each megabyte of items. A history takes one
// query for each thousand changes. A snapshot takes one for each thousand items or about each megabyte.
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
// # Rights and TLS
//
// A program that does not call [Create] needs USAGE on the schema, and SELECT, INSERT, UPDATE and DELETE on its tables.
// [Create] has the grants as SQL. TLS and the password are options of the pool: sslmode=verify-full checks the server.
// A program that can write to the tables can change what is counted.
//
// # The tables
//
// The folder schema has the SQL that [Create] executes. A row of the ledger has a key and a value, both bytea, so no
// collation and no encoding applies to it. A deleted row leaves nothing behind. The table has no index except the
// primary key, so a write costs little more than its row.
//
// # What is tested
//
// The contracts of engines and journals on PostgreSQL 15, directly and behind PgBouncer 1.18 in transaction mode;
// crashes, hangs, answers that are cut in the middle, TLS and passwords. Other versions, failover to a standby, and
// servers that speak the same protocol, such as CockroachDB, YugabyteDB or Aurora, are untested.
//
// # Errors
//
//   - [ErrClosed]: the store was closed.
//   - [ErrVersion]: an error of [Open] and [Create]. The message says whether to call Create or to use a newer release.
//   - [ErrWeak]: an error of [Store.Durable]. Change the settings of the server, or set AllowWeakDurability.
//   - Any other error is that of the context, of package journal, of pgx or of the server, which
//     errors.AsType[*pgconn.PgError] finds. If a write failed so, it is unknown whether the change was made.
package pgstore
