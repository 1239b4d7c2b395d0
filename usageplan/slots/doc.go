// Package slots keeps in local files what was spent of open leases, so that a process which is killed wastes nothing:
//
//	files, err := slots.Open("/var/lib/shop/slots")
//	if err != nil { ... }
//	l, err := ledger.New(ledger.Config{Engine: engine, Slots: files})
//
// A ledger that decides in memory holds a lease of units which its engine counts as reserved. When the process dies,
// the engine does not know how many of them were spent. A slot knows: the ledger notes each spend there before it
// answers, by a store into a mapped file. The next ledger with the folder claims the leases and ends them exactly. It
// works with every engine, also one that several machines share: give each process a folder of its own on its machine.
//
// # What is kept, and what is not
//
//   - kill -9, a panic, a process out of memory: the number that the last Note was given, exactly. If a Note was under
//     way, that number or the one before.
//   - A crash or a restart of the machine: the files are never synced, so a slot counts only in the boot in which it
//     was written. Afterwards its lease is claimed with Known false and Spent 0; Spent is no more than that, as units
//     may have come back into the lease. On systems that do not name their boot (all but Linux and macOS), so it is
//     after every death of a process.
//   - A flipped bit: the number is kept three times, and the name of the lease has a checksum. A damaged number is
//     outvoted, or told as not known. A lease whose name is damaged is not claimed at all: its units stay counted
//     against the limit, but not as used.
//   - A disk that fails to take the pages of a file: they may be lost, so all numbers of the file are told as not
//     known.
//   - A full disk: Open of a lease fails. Note does not, as its place was written before.
//
// A file has no header and no index; it grows by 256 KiB, and freed places are used again. It is removed once no lease
// in it is open. A lease takes 128 bytes with a plan and a subject of up to 64 bytes together, and at most 2 KiB.
//
// Where files are not mapped (all but Linux, macOS and FreeBSD on amd64 and arm64), Note is a system call, with the
// same guarantees. Where files are not locked (Solaris, AIX, Plan 9, js), Open fails.
//
// # Errors
//
// [ErrLocked] says that the folder is in use, [ErrClosed] that it was closed. Errors of the file system are wrapped.
package slots
