//go:build (linux || darwin || freebsd) && (amd64 || arm64)

package slots

import (
	"os"
	"syscall"
)

// mapShared maps a part of a file, so that a store to memory is a write to the file's page cache.
func mapShared(f *os.File, offset int64, length int) ([]byte, error) {
	return syscall.Mmap(int(f.Fd()), offset, length, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
}

func unmap(b []byte) error { return syscall.Munmap(b) }
