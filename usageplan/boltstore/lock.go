package boltstore

import (
	"fmt"
	"os"
	"time"
)

// lockWait is how long Open waits for another process to let go of the file.
const lockWait = 200 * time.Millisecond

// lock takes the lock of the file at path: a file of its own, path.lock, held until it is closed. bbolt's lock alone
// would not do: it goes whenever the database is closed to be opened again. The lock file stays: removing it would let
// two processes lock two different files of that name.
func lock(path string) (*os.File, error) {
	for end := time.Now().Add(lockWait); ; time.Sleep(lockWait / 20) {
		f, err := tryLock(path + ".lock")
		switch {
		case err != nil:
			return nil, fmt.Errorf("lock: %w", err)
		case f != nil:
			return f, nil
		case !time.Now().Before(end):
			return nil, ErrLocked
		}
	}
}
