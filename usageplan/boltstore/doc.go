// Package boltstore keeps a ledger and journals in one file, by way of bbolt. It is for one process and needs no server.
//
//	store, err := boltstore.Open("/var/lib/gateway/usage.db")
//	defer store.Close()
//	l, err := ledger.New(ledger.Config{Engine: store})
//	defer l.Close()
//	keys, err := apikey.New(apikey.Config{Journal: store.Journal("keys", 0), Pepper: pepper})
//
// # What survives
//
// A change that Update or a journal's Append has acknowledged is on disk. It survives kill -9 and power loss, if the
// disk keeps what it has acknowledged to fdatasync. What the leases of a ledger have spent survives kill -9 if the
// ledger has slots; see package slots.
//
//   - A file that is deleted, moved, replaced or overwritten while the store is open: the next commit, and every call
//     until the file is back, fails with [ErrReplaced]. Grants that leased ledgers make from memory between two commits
//     go on until then. To restore a copy, stop the program first.
//   - A failed write or sync (disk full, I/O error, a disk that has gone away): the call fails and its outcome is
//     unknown. The next call opens the file again and reads what the disk has. A failed sync is never repeated.
//   - A damaged file: Open refuses it with [ErrFormat] if pages, records or the set of rows or items are not sound. One
//     row or item whose bytes have changed is found when it is read: calls with that key or item fail with [ErrFormat],
//     others go on. See [Store.Update] for how an error names the key. [Store.Check] reads everything.
//
// One damage cannot be told from a commit that a power cut has torn: that of the meta page of the last commit, if the
// file was not closed. That commit is then left out.
//
// # The file
//
// A bucket has the rows. A commit does not write there but appends to a log, so it costs the same however many keys
// there are. When a log is full (16 384 records, or 8 to 64 MB), another is begun, and each further commit also writes
// some of the rows that the full one had changed to the bucket. So no commit has much to write. See checkpoint.go.
//
// Open reads the logs, or nothing after Close. They have at most about 64 MB and half as much again, or twice as much if
// the process was killed during a checkpoint. Open also looks at each page of the file, as bbolt does, but at no row:
// about 0.3 s for a million keys. In memory are the rows that the logs have, and no others.
//
// A key with a row of 62 bytes takes 200 to 300 bytes. Pages that a commit changes are written anew before the old ones
// are free. Free pages are used again, but a file does not shrink. It moves only between systems of one page size and
// byte order. Keep it on a local disk, not on NFS. Disks that go with their container (Lambda, Fargate) take the counts
// with them.
//
// # Journals
//
// [Store.Journal] returns the journal of a topic, for API keys or usage plans. A topic has two buckets: one with the
// items as they are now, and one with the records of changes, which hold no bytes of items. A file from before there
// were journals gets them at the first Append.
//
// An item of 90 bytes takes about 160 bytes, with its name of 8 and its part of a record, if names grow as those of keys
// do. In a measurement, a commit of 10 000 such items took 21 ms as a rule and 47 ms at most. The ledger waits meanwhile.
// To read a million items took 0.2 s, during which the ledger goes on.
//
// # From one machine to several
//
// [ledger.Copy] and [journal.Copy] carry a file into a store that several machines share, and back. The whole program
// is the example Copy of packages redisstore and pgstore.
//
// # One opener
//
// A second opener is refused with [ErrLocked], also while the store recovers from an error: the lock is on a file of
// its own, path.lock, which stays. On ext4 with fast_commit, kernels before 5.10.94 and 5.15.27 can lose synced data
// (https://github.com/etcd-io/bbolt#known-issues).
//
// # Files of version 1
//
// Version 1 kept accounts, and an entry for each change. [Open] converts such a file once. All accounts and days,
// thresholds and the last 256 adjustments of each period are in the new file, with who, when and why. Single charges
// and their ids are not. An adjustment that is older than the file's entries is known by its id alone.
//
// The old file is kept as path.before-rows; an earlier copy of that name stays, and the next one is path.before-rows-2.
// Its slot files, path.spent.*, stay as well. First they are used: what the leases had spent which a killed process
// left open is exact, on Linux, if the machine has not been started since. Otherwise the part of it that had not been
// reported counts against the limit, but not as used.
//
// A crash or a full disk leaves the old file or the new one, whole. A damaged file is refused with [ErrFormat], and
// stays. The conversion needs room for a second file, and for a third where the file system has no hard links. In a
// measurement it took 9 s and 50 MB of memory for 100 000 keys with two periods and 40 days each, and 8 s for a million
// keys with one period of three days.
package boltstore
