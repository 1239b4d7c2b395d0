// Package boltstore keeps a ledger in one file, by way of bbolt: for one process, without a server.
//
//	store, err := boltstore.Open("/var/lib/gateway/usage.db", boltstore.Config{})
//	defer store.Close()
//	l, err := ledger.New(ledger.Config{Store: store})
//	defer l.Close()
//
// # What survives
//
// An operation that Apply has answered is on disk: it survives kill -9 and power loss, if the disk keeps what it has
// acknowledged to fdatasync. What leases spend is put into the page cache, not synced, before it is answered. So:
//
//   - kill -9, a panic, an out-of-memory kill: nothing is lost and nothing is wasted. Grants whose answer was not sent
//     yet stay counted: at most one for each request in flight.
//   - power loss, or a system without a boot id (other than Linux and macOS): never too much is admitted. What leases
//     had reserved and not reported counts against the limit, but not as used; how much that is at most, see package
//     ledger, Bounds. Exact mode loses nothing.
//   - kill -9 after the system failed to write a slot file back: if the system reports that at the next Open, open
//     leases count as after power loss.
//   - a file that is deleted, moved away, replaced or overwritten while the store is open: the next commit, and every call
//     until the file is back, fails with [ErrReplaced]. Grants that leased ledgers make from memory between two commits go
//     on until then. To restore a copy, stop the program first.
//   - a failed write or sync (disk full, I/O error, a disk that has gone away): the call fails and its outcome is
//     unknown; the file is opened again and read from the disk before the next. A failed sync is never repeated. The
//     ledger above clears up by operation ids.
//
// Closing the ledger before the store returns what its leases hold.
//
// On Linux, macOS and FreeBSD with amd64 or arm64, noting a spend is one store into a mapped file: no system call,
// which may cost more than all the rest of a decision. Its bytes are written before they are used, so a full disk
// shows as an error when a lease begins. Should a page still not be had (a file system that copies on write, a file
// truncated by somebody), the fault becomes an error, the request is refused with 503, and the next lease begins
// elsewhere. Files are unmapped by Close, after the last note; package unsafe is not used. Other systems, and file
// systems that map no files, are served by pwrite.
//
// # The file
//
// It is a log: one record for each commit, so a commit costs the same however many accounts there are. Every 16 384
// records or million entries the accounts that have changed are folded into rows. Open checks each record and row by
// its CRC-32C, and that each balance is the sum of its entries; so does [Store.Check].
//
// Entries (about 60 bytes and the texts, per request in exact mode, per block in leased mode) are kept for at least
// [Config].Keep; older ones are taken out of the log with the next fold or Close, but for the last 65 536 with an
// operation id. The totals of their days stay. So a file grows to what comes in during Keep, plus 100 to 200 bytes and
// twice the names for each period of each key, and about 10 for each further day in it; these are never deleted. Pages
// that a fold changes are written anew before the old ones are free, which takes up to as much again. 100 000 keys
// with daily quotas add some 20 MB a day to what is in use, and up to 40 MB to the file. Free pages are used again,
// but a file does not shrink. It moves only between systems of one page size and byte order. Keep it on a local disk,
// not on NFS. Disks that go with their container (Lambda, Fargate) take the counts with them.
//
// In memory are the accounts of the keys used since the last fold but one; at least 65 536 keys stay (about 360 bytes
// for each key, and 200 for each open lease). So do the last 65 536 to 131 072 operation ids (about 10 MB). The
// ledger's own memory comes on top of that.
//
// A second opener is refused with [ErrLocked], also while the store recovers from an error: the lock is on a file of
// its own, path.lock, which stays. On ext4 with fast_commit, kernels before 5.10.94 and 5.15.27 can lose synced data
// (https://github.com/etcd-io/bbolt#known-issues).
package boltstore
