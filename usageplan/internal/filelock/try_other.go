//go:build !windows && (!unix || aix || solaris)

package filelock

import (
	"errors"
	"fmt"
	"os"
)

// try cannot keep a second opener out here, so nothing is opened that needs it.
func try(string) (*os.File, error) {
	return nil, fmt.Errorf("locks of files: %w", errors.ErrUnsupported)
}

// Release does nothing, as there are no locks.
func Release(*os.File) error { return nil }
