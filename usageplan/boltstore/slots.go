package boltstore

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// slots keep what leases have spent, in files that are written but never synced: the page cache outlives the process, not
// the machine. So a file counts only in the boot it was written in, which its header names. Each Open begins files of its own; those of earlier
// lives are removed when no lease in them is open any more.
//
// A file is a header of 64 bytes (magic, boot id, checksum) and slots of 16 (lease, spent), so no slot crosses a page. There
// are several files because the system lets one writer into a file at a time.
type slots struct {
	prefix string // of the names of this life's files
	boot   string

	mu     sync.Mutex
	files  []*slotFile
	next   int
	live   int
	closed bool
}

type slotFile struct {
	f    *os.File
	size int64   // offset of the next new slot
	free []int64 // offsets
}

const (
	slotMagic  = "tallygate.spent1"
	headerSize = 64
	slotSize   = 16
	suffix     = ".spent."
)

// openSlots reads the files of earlier lives into the leases that are still open, and removes those that have none.
func openSlots(path string, found *leftovers) (*slots, error) {
	s := &slots{prefix: path + suffix + rand.Text()[:8] + ".", boot: bootID()}
	s.files = make([]*slotFile, min(2*runtime.GOMAXPROCS(0), 16))
	names, err := slotFiles(path)
	if err != nil {
		return nil, fmt.Errorf("boltstore: %w", err)
	}
	for _, name := range names {
		used, err := s.readFile(name, found)
		if err != nil {
			return nil, fmt.Errorf("boltstore: read %s: %w", name, err)
		}
		if !used {
			_ = os.Remove(name) // only rubbish; the next Open tries again
		}
	}
	return s, nil
}

// slotFiles lists the files that belong to path.
func slotFiles(path string) (names []string, err error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), filepath.Base(path)+suffix) && e.Type().IsRegular() {
			names = append(names, filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
	return names, err
}

// readFile marks as known the leases whose spends a file has, and reports whether it has any that is open.
func (s *slots) readFile(name string, found *leftovers) (used bool, err error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return false, err
	}
	if s.boot == "" || len(b) < headerSize || string(b[:headerSize]) != string(header(s.boot)) {
		return false, nil
	}
	spent := make(map[uint64]int64)
	for b = b[headerSize:]; len(b) >= slotSize; b = b[slotSize:] {
		spent[binary.LittleEndian.Uint64(b)] = int64(binary.LittleEndian.Uint64(b[8:]))
	}
	for _, leases := range found.leases {
		for i := range leases {
			l := &leases[i]
			n, ok := spent[l.Lease.ID]
			if !ok {
				continue
			}
			used = true
			if n <= l.Lease.Granted { // more cannot be: the file at path was put back from an older copy
				l.Known, l.Lease.Spent = true, n
			}
		}
	}
	return used, nil
}

func header(boot string) []byte {
	h := make([]byte, headerSize-4, headerSize)
	copy(h, slotMagic)
	copy(h[len(slotMagic):], boot)
	return binary.LittleEndian.AppendUint32(h, crc32.Checksum(h, castagnoli))
}

// Slot implements [ledger.Noter].
func (s *Store) Slot(lease uint64) (ledger.Slot, error) {
	if s.slots == nil {
		return nil, ErrClosed
	}
	sl, err := s.slots.open(lease)
	if err != nil {
		return nil, fmt.Errorf("boltstore: slot: %w", err)
	}
	return sl, nil
}

func (s *slots) open(lease uint64) (*slot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fs.ErrClosed
	}
	s.next = (s.next + 1) % len(s.files)
	file := s.files[s.next]
	if file == nil {
		var err error
		if file, err = s.newFile(s.next); err != nil {
			return nil, err
		}
		s.files[s.next] = file
	}
	sl := &slot{slots: s, file: file, at: file.size}
	if n := len(file.free); n > 0 {
		sl.at = file.free[n-1]
	}
	var b [slotSize]byte
	binary.LittleEndian.PutUint64(b[:], lease)
	if _, err := file.f.WriteAt(b[:], sl.at); err != nil {
		return nil, err
	}
	if n := len(file.free); n > 0 {
		file.free = file.free[:n-1]
	} else {
		file.size += slotSize
	}
	s.live++
	return sl, nil
}

func (s *slots) newFile(i int) (*slotFile, error) {
	f, err := os.OpenFile(fmt.Sprint(s.prefix, i), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(header(s.boot)); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return &slotFile{f: f, size: headerSize}, nil
}

// close closes the files, and removes them if no lease is open.
func (s *slots) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var errs []error
	for _, file := range s.files {
		if file == nil {
			continue
		}
		errs = append(errs, file.f.Close())
		if s.live == 0 {
			errs = append(errs, os.Remove(file.f.Name()))
		}
	}
	return errors.Join(errs...)
}

// slot is a place in a file.
type slot struct {
	slots *slots
	file  *slotFile
	at    int64
	b     [8]byte // here, so that noting does not allocate
}

// Note implements [ledger.Slot]. The eight bytes are written whole: they lie in one page, and a process dies between system
// calls.
func (s *slot) Note(spent int64) error {
	binary.LittleEndian.PutUint64(s.b[:], uint64(spent))
	_, err := s.file.f.WriteAt(s.b[:], s.at+8)
	return err
}

// Free implements [ledger.Slot].
func (s *slot) Free() {
	s.slots.mu.Lock()
	defer s.slots.mu.Unlock()
	s.file.free = append(s.file.free, s.at)
	s.slots.live--
}
