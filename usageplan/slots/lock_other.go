//go:build !windows && (!unix || aix || solaris)

package slots

import (
	"errors"
	"fmt"
	"os"
)

// tryLock cannot keep a second ledger out here, so there are no slots.
func tryLock(string) (*os.File, error) {
	return nil, fmt.Errorf("locks of files: %w", errors.ErrUnsupported)
}
