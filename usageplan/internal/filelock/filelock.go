package filelock

import (
	"os"
	"time"
)

// Wait is how long Take waits for another process to let go of a file: one that was killed may still be ending, and a
// program that is being replaced by its next version closes its files as that opens them.
const Wait = 200 * time.Millisecond

// Take opens a file, which it makes if there is none, and locks it until it is closed. The end of the process closes it
// too. Take returns the error held if another one has the lock all the time.
//
// The file stays: removing it would let two processes lock two different files of that name.
func Take(name string, held error) (*os.File, error) {
	for end := time.Now().Add(Wait); ; time.Sleep(Wait / 20) {
		f, err := try(name)
		switch {
		case f != nil || err != nil:
			return f, err
		case !time.Now().Before(end):
			return nil, held
		}
	}
}
