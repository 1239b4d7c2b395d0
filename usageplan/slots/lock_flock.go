//go:build unix && !aix && !solaris

package slots

import (
	"errors"
	"os"
	"syscall"
)

// tryLock opens and locks a file; it returns nil if somebody else has it. flock belongs to this opening of the file. So
// two openings in one process exclude each other too, which locks of fcntl would not. The end of a process releases it.
func tryLock(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for err = syscall.EINTR; err == syscall.EINTR; {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, f.Close()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
