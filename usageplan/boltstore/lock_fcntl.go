//go:build aix || solaris

package boltstore

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// tryLock opens and locks a file; it returns nil if another process has it. These systems know no lock against a second
// opener in the same process.
func tryLock(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	whole := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart}
	err = syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &whole)
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		return nil, f.Close()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// unlock does nothing: closing a file lets go of its locks.
func unlock(*os.File) error { return nil }
