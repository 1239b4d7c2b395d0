package slots

import (
	"fmt"
	"runtime/debug"
	"sync"
)

// slot is a place in a file. A million of them may be open, so it is small.
type slot struct {
	slots *Slots
	file  *file
	at    *copies // in the mapped file, or what is to be written to it

	number, crc uint32

	mu      sync.Mutex // a note is made wholly before the file is closed, or refused
	closed  bool
	written bool // at is not mapped
}

func (s *slot) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// Note implements [ledger.Slot].
func (s *slot) Note(spent int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if !s.written {
		return store(s.at, spent, s.crc)
	}
	put(s.at, spent, s.crc)
	if _, err := s.file.f.WriteAt(s.at[:], s.file.offset(int(s.number))); err != nil {
		return fmt.Errorf("slots: note: %w", err)
	}
	return nil
}

// store puts a number into mapped memory. It turns the fault of a page that the file cannot take into an error: its
// disk is full all the same, or somebody has truncated it.
func store(to *copies, n int64, crc uint32) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			err = fmt.Errorf("slots: note: %v", r)
		}
	}()
	put(to, n, crc)
	return nil
}

// Free implements [ledger.Slot].
func (s *slot) Free() {
	s.slots.mu.Lock()
	defer s.slots.mu.Unlock()
	if s.slots.closed {
		return
	}
	s.close()
	s.file.end(s)
}
