package slots

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// lockWait is how long Open waits for another process to let go of the folder: one that was killed may still be ending.
const lockWait = 200 * time.Millisecond

// lock takes the lock of a folder: a file in it, held until it is closed. The file stays: removing it would let two
// processes lock two different files of that name. It returns [ErrLocked] if another one has the lock all the time.
func lock(dir string) (*os.File, error) {
	for end := time.Now().Add(lockWait); ; time.Sleep(lockWait / 20) {
		f, err := tryLock(filepath.Join(dir, "lock"))
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
