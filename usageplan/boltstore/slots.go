package boltstore

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Tests replace them: they cannot reboot, nor take a system's maps away.
var (
	bootID   = systemBootID
	mapChunk = mapShared
)

// slots keep what leases have spent, in files that are written but never synced: the page cache outlives the process,
// not the machine. So a file counts only in the boot it was written in, which its header names. Each Open begins files
// of its own, and removes those of earlier lives in which no lease is open any more.
//
// A file is a header of 64 bytes (magic, boot id, checksum) and slots of 16 (lease, spent), so no slot crosses a page.
// It grows by chunks, each written with zeros before a slot in it is given out, so it is there that a full disk shows,
// and mapped into memory where the system can: noting is then one store, 30 ns with all that guards it in place of the
// 1.3 µs of a pwrite. Otherwise it is a pwrite, and there are several files because the system lets one writer into a
// file at a time.
type slots struct {
	prefix string // of the names of this life's files
	boot   string

	mu     sync.Mutex
	files  []*slotFile
	next   int
	live   map[*slot]struct{}
	closed bool
}

type slotFile struct {
	f      *os.File
	size   int64    // offset of the next new slot
	free   []int64  // offsets
	chunks [][]byte // by offset; nil where a chunk is not mapped
}

const (
	slotMagic  = "tallygate.spent1"
	headerSize = 64
	slotSize   = 16
	chunkSize  = 1 << 16 // a whole number of slots and, on every system, of pages
	suffix     = ".spent."
)

// openSlots reads the files of earlier lives into the leases that are still open, and removes those that have none.
func openSlots(path string, found *leftovers) (*slots, error) {
	s := &slots{prefix: path + suffix + rand.Text()[:8] + ".", boot: bootID(), live: make(map[*slot]struct{})}
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
			_ = os.Remove(name) // only rubbish, or removed already; the next Open tries again
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
	b, whole, err := readSynced(name)
	if err != nil {
		return false, err
	}
	if !whole { // the next Open must not believe it either: the system tells of such an error once
		return false, os.Remove(name)
	}
	if s.boot == "" || len(b) < headerSize || string(b[:headerSize]) != string(header(s.boot)) {
		return false, nil
	}
	spent := maps.Collect(readSlots(b[headerSize:]))
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

// readSynced reads a file and reports whether it is whole, as far as the system knows: if it failed to write the file
// back to the disk, it may since have dropped what it could not write, and show what was there before.
func readSynced(name string) (b []byte, whole bool, err error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	if b, err = io.ReadAll(f); err != nil {
		return nil, false, err
	}
	return b, f.Sync() == nil, nil
}

// readSlots yields leases and what they have spent.
func readSlots(b []byte) iter.Seq2[uint64, int64] {
	return func(yield func(uint64, int64) bool) {
		for ; len(b) >= slotSize; b = b[slotSize:] {
			lease := binary.LittleEndian.Uint64(b)
			if lease != 0 && !yield(lease, int64(binary.LittleEndian.Uint64(b[8:]))) {
				return
			}
		}
	}
}

func header(boot string) []byte {
	h := make([]byte, headerSize-4, headerSize)
	copy(h, slotMagic)
	copy(h[len(slotMagic):], boot)
	return binary.LittleEndian.AppendUint32(h, crc32.Checksum(h, castagnoli))
}

// Slot implements [ledger.Noter].
func (s *Store) Slot(lease uint64) (ledger.OldSlot, error) {
	if s.slots == nil {
		return nil, ErrClosed
	}
	sl, err := s.slots.open(lease)
	if errors.Is(err, ErrClosed) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("boltstore: slot: %w", err)
	}
	return sl, nil
}

func (s *slots) open(lease uint64) (*slot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
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
	at, err := file.begin(lease)
	if err != nil {
		return nil, err
	}
	sl := &slot{slots: s, file: file, at: at, word: file.word(at + slotSize/2)}
	s.live[sl] = struct{}{}
	return sl, nil
}

func (s *slots) newFile(i int) (*slotFile, error) {
	f, err := os.OpenFile(fmt.Sprint(s.prefix, i), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	file := &slotFile{f: f, size: headerSize}
	_, err = f.Write(header(s.boot))
	if err == nil {
		err = file.grow()
	}
	if err != nil {
		return nil, errors.Join(err, file.close(), os.Remove(f.Name()))
	}
	return file, nil
}

// begin gives a place to a lease that has spent nothing.
func (file *slotFile) begin(lease uint64) (at int64, err error) {
	n := len(file.free)
	if at = file.size; n > 0 {
		at = file.free[n-1]
	} else if at == int64(len(file.chunks))*chunkSize {
		if err := file.grow(); err != nil {
			return 0, err
		}
	}
	var b [slotSize]byte
	binary.LittleEndian.PutUint64(b[:], lease)
	if _, err := file.f.WriteAt(b[:], at); err != nil {
		return 0, err
	}
	if n > 0 {
		file.free = file.free[:n-1]
	} else {
		file.size += slotSize
	}
	return at, nil
}

// grow adds a chunk to the file. Its bytes are written, so the disk has room for them when a slot is stored to; what a
// file system that copies on write still cannot hold is a fault, which Note turns into an error.
func (file *slotFile) grow() error {
	at := int64(len(file.chunks)) * chunkSize
	used := file.size - at // the header
	if _, err := file.f.WriteAt(make([]byte, chunkSize-used), file.size); err != nil {
		return err
	}
	chunk, err := mapChunk(file.f, at, chunkSize)
	if err != nil {
		chunk = nil // some file systems map no files: these slots are written
	}
	file.chunks = append(file.chunks, chunk)
	return nil
}

// word is the eight bytes at an offset in memory, or nil where they are not mapped.
func (file *slotFile) word(at int64) []byte {
	chunk := file.chunks[at/chunkSize]
	if chunk == nil {
		return nil
	}
	return chunk[at%chunkSize:][:8:8]
}

// close also unmaps the file, so nothing may be noted in it any more.
func (file *slotFile) close() error {
	var errs []error
	for _, chunk := range file.chunks {
		if chunk != nil {
			errs = append(errs, unmap(chunk))
		}
	}
	return errors.Join(append(errs, file.f.Close())...)
}

// close closes the files, and removes them if no lease is open. A ledger that goes on has its notes refused from now
// on: the next Open may have read the files.
func (s *slots) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for sl := range s.live {
		sl.close()
	}
	var errs []error
	for _, file := range s.files {
		if file == nil {
			continue
		}
		errs = append(errs, file.close())
		if len(s.live) == 0 {
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

	mu     sync.Mutex // a note is made wholly before the store is closed, or refused
	closed bool
	word   []byte  // mapped, else nil
	b      [8]byte // here, so that writing does not allocate
}

func (s *slot) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// Note implements [ledger.OldSlot]. The eight bytes are written whole: by one store, or into one page by one system call.
func (s *slot) Note(spent int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	binary.LittleEndian.PutUint64(s.b[:], uint64(spent))
	if s.word != nil {
		return storeMapped(s.word, s.b[:])
	}
	_, err := s.file.f.WriteAt(s.b[:], s.at+slotSize/2)
	return err
}

// storeMapped puts eight bytes into mapped memory, and turns the fault of a page that the file cannot take into an
// error: its disk is full all the same, or somebody has truncated it.
//
// The copy is one store of the processor, so a process that dies has made it or not: memory may hold pointers, for all
// that copy knows, and the garbage collector relies on an aligned word never being seen half copied.
func storeMapped(to, from []byte) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("note: %v", r)
		}
	}()
	copy(to[:8], from[:8])
	return nil
}

// Free implements [ledger.OldSlot].
func (s *slot) Free() {
	s.slots.mu.Lock()
	defer s.slots.mu.Unlock()
	s.file.free = append(s.file.free, s.at)
	delete(s.slots.live, s)
}
