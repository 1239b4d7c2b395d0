package slots

import (
	"errors"
	"os"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// mapChunk is a variable because tests cannot take a system's maps away.
var mapChunk = mapShared

// sizes are those of slots. Each is a power of two, so that no slot crosses a page. There is a file for each size, and
// it has nothing but slots: they say themselves what they are.
var sizes = [...]int{128, 256, 512, 2048}

// chunkSize is how much a file grows at once: a whole number of slots and, on every system, of pages.
const chunkSize = 1 << 18

// file is a file of this life. It is guarded by Slots.mu.
type file struct {
	f      *os.File
	size   int      // of a slot
	live   []*slot  // by number; nil where a slot is free
	free   []uint32 // numbers below len(live)
	chunks [][]byte // nil where a chunk is not mapped
}

// createFile makes a file without slots. It is an error if there is one of that name, as its leases would be lost.
func createFile(name string, size int) (*file, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &file{f: f, size: size}, nil
}

// begin makes a slot for a lease that has spent nothing. A process that is killed meanwhile has made it or not, by its
// checksum; the lease is reserved only afterwards. After an error there is no slot, and its place stays free.
func (f *file) begin(o *ledger.OpenLease, boot uint64) (*slot, error) {
	reused := len(f.free) > 0
	number := len(f.live)
	if reused {
		number = int(f.free[len(f.free)-1])
	} else if f.offset(number) == int64(len(f.chunks))*chunkSize {
		if err := f.grow(); err != nil {
			return nil, err
		}
	}
	b, crc := encode(o, boot)
	if _, err := f.f.WriteAt(b, f.offset(number)); err != nil {
		return nil, err
	}
	s := &slot{file: f, number: uint32(number), crc: crc}
	// From here on the slot changes by stores to memory. On the systems that map files, these and WriteAt see the same
	// page.
	if s.at = f.mapped(number); s.at == nil {
		s.at, s.written = new(copies), true
	}
	if reused {
		f.free, f.live[number] = f.free[:len(f.free)-1], s
	} else {
		f.live = append(f.live, s)
	}
	return s, nil
}

// offset of a slot. It has 64 bits also where an int has fewer.
func (f *file) offset(number int) int64 { return int64(number) * int64(f.size) }

// grow adds a chunk. Its bytes are written, so the disk has room for them when a number is stored, and a full disk is
// an error here. What a file system that copies on write still cannot hold is a fault, which Note turns into an error.
// After an error the next call writes the same part again. What it has left there is zeros, which are free slots.
func (f *file) grow() error {
	at := int64(len(f.chunks)) * chunkSize
	if _, err := f.f.WriteAt(make([]byte, chunkSize), at); err != nil {
		return err
	}
	chunk, err := mapChunk(f.f, at, chunkSize)
	if err != nil {
		chunk = nil // some file systems map no files: these slots are written
	}
	f.chunks = append(f.chunks, chunk)
	return nil
}

// mapped is where the number of a slot lies in memory, or nil.
func (f *file) mapped(number int) *copies {
	at := f.offset(number)
	chunk := f.chunks[at/chunkSize]
	if chunk == nil {
		return nil
	}
	return (*copies)(chunk[at%chunkSize:])
}

// end frees a slot, whose place the next begin may use. If that cannot be written, Claim returns a lease that has
// ended, which does no harm: the ledger finds it ended in the engine.
func (f *file) end(s *slot) {
	if f.live[s.number] != s {
		return // freed twice
	}
	_, _ = f.f.WriteAt(make([]byte, textAt), f.offset(int(s.number)))
	f.live[s.number] = nil
	f.free = append(f.free, s.number)
}

// close ends all notes and closes the file. It removes the file if no lease is open. It goes on after an error, so that
// no chunk stays mapped.
func (f *file) close() error {
	for _, s := range f.live {
		if s != nil {
			s.close()
		}
	}
	var errs []error
	for _, chunk := range f.chunks {
		if chunk != nil {
			errs = append(errs, unmap(chunk))
		}
	}
	errs = append(errs, f.f.Close())
	if len(f.free) == len(f.live) {
		errs = append(errs, os.Remove(f.f.Name()))
	}
	return errors.Join(errs...)
}
