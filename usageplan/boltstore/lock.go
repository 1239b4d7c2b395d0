package boltstore

import "os"

// markText stands in the lock file of a file that has been opened once. From then on an empty file is not one that
// somebody made beforehand, but one that has lost what was in it.
const markText = "The ledger file of this name has been in use. This file belongs to it.\n"

// mark writes the mark. It may fail, as on a full disk: then the next Open writes it.
func mark(lock *os.File) { _, _ = lock.WriteAt([]byte(markText), 0) }

func isMarked(lock *os.File) bool {
	info, err := lock.Stat()
	return err != nil || info.Size() > 0
}
