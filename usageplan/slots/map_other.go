//go:build !((linux || darwin || freebsd) && (amd64 || arm64))

package slots

import (
	"errors"
	"os"
)

// mapShared has every spend written by a system call instead: elsewhere 64 bits may take two stores, bytes may have
// another order, or a file's cache and its mapping may differ.
func mapShared(*os.File, int64, int) ([]byte, error) { return nil, errors.ErrUnsupported }

func unmap([]byte) error { return nil }
