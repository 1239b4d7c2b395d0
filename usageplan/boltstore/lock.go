package boltstore

import (
	"os"
	"time"
)

// lockWait is how long Open waits for another process to let go of the file, as a program that is being replaced by its
// next version does.
const lockWait = 200 * time.Millisecond

// lock takes the lock of the file at path: a file of its own, path.lock, held until it is closed. bbolt's lock alone
// would not do: it goes whenever the database is closed to be opened again. The lock file stays: removing it would let
// two processes lock two different files of that name.
func lock(path string) (*os.File, error) {
	for end := time.Now().Add(lockWait); ; time.Sleep(lockWait / 20) {
		f, err := tryLock(path + ".lock")
		if f != nil || err != nil {
			return f, err
		}
		if time.Now().After(end) {
			return nil, ErrLocked
		}
	}
}

// markText stands in the lock file of a file that has been opened once. From then on an empty file is not one that
// somebody made beforehand, but one that has lost what was in it.
const markText = "The ledger file of this name has been in use. This file belongs to it.\n"

// mark writes the mark. It may fail, as on a full disk: then the next Open writes it.
func mark(lock *os.File) { _, _ = lock.WriteAt([]byte(markText), 0) }

func isMarked(lock *os.File) bool {
	info, err := lock.Stat()
	return err != nil || info.Size() > 0
}
