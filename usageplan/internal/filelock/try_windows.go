package filelock

import (
	"errors"
	"os"
	"syscall"
)

const sharingViolation = syscall.Errno(32) // ERROR_SHARING_VIOLATION

// try opens a file and shares it with nobody; it returns nil if somebody else has it.
func try(name string) (*os.File, error) {
	p, err := syscall.UTF16PtrFromString(name)
	if err != nil {
		return nil, err
	}
	const access, attributes = syscall.GENERIC_READ | syscall.GENERIC_WRITE, syscall.FILE_ATTRIBUTE_NORMAL
	h, err := syscall.CreateFile(p, access, 0, nil, syscall.OPEN_ALWAYS, attributes, 0)
	if errors.Is(err, sharingViolation) {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(h), name), nil
}

// Release does nothing: closing a file lets go of its locks.
func Release(*os.File) error { return nil }
