package slots

import (
	"fmt"
	"runtime/debug"
	"sync"
)

// slot is a place in a file. A million of them may be open, so it is small. It belongs to one lease until Free.
type slot struct {
	slots *Slots
	file  *file
	at    *copies // in the mapped file, or what is to be written to it

	number, crc uint32

	mu      sync.Mutex // a note is made wholly before the file is closed, or refused
	closed  bool
	written bool // at is not mapped
}

// close makes further notes fail. When it returns, none is under way, so the file may be unmapped.
func (s *slot) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// Note implements [ledger.Slot]. It makes no system call where files are mapped, and no sync anywhere: the kernel has
// the number when it returns, and that outlives the process.
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
// disk is full all the same, or somebody has truncated it. Without SetPanicOnFault, Go would end the process. The
// setting is that of this goroutine, so it is put back.
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

// Free implements [ledger.Slot]. It may be called again. After Close it does nothing: the slot stays in the file, and
// the next life claims it and finds that the lease has ended.
func (s *slot) Free() {
	s.slots.mu.Lock()
	defer s.slots.mu.Unlock()
	if s.slots.closed {
		return
	}
	s.close()
	s.file.end(s)
}
