package boltstore

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// lockWait is how long Open waits for another process to let go of the file.
const lockWait = 200 * time.Millisecond

// lock takes the lock of the file at path: a file of its own, path.lock, held until it is closed. bbolt's lock alone would
// not do: it goes whenever the database is closed to be opened again. The lock file stays, because removing it would let
// in two who have opened it before and after.
func lock(path string) (*os.File, error) {
	path, err := filepath.EvalSymlinks(path) // one lock, whatever the name
	if err != nil {
		return nil, err
	}
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
