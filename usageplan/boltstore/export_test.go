package boltstore

import (
	"errors"
	"maps"
	"os"
	"runtime"
	"testing"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// SetBootID makes the machine seem to have been booted anew, until the test ends.
func SetBootID(t testing.TB, id string) {
	old := bootID
	bootID = func() string { return id }
	t.Cleanup(func() { bootID = old })
}

// WriteSlots makes the system seem to map no files, until the test ends.
func WriteSlots(t testing.TB) {
	old := mapChunk
	mapChunk = func(*os.File, int64, int) ([]byte, error) { return nil, errors.ErrUnsupported }
	t.Cleanup(func() { mapChunk = old })
}

// Mapped tells that the system maps slots.
const Mapped = (runtime.GOOS == "linux" || runtime.GOOS == "darwin" || runtime.GOOS == "freebsd") && (runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64")

// MapSlot maps the spends of the only slot in the files beside path.
func MapSlot(t testing.TB, path string) []byte {
	names, err := slotFiles(path)
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	f, err := os.OpenFile(names[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	chunk, err := mapShared(f, 0, chunkSize)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = unmap(chunk) })
	return chunk[headerSize+slotSize/2:][:8:8]
}

// ReadSlots is what the slot files beside path say, by lease.
func ReadSlots(t testing.TB, path string) map[uint64]int64 {
	names, err := slotFiles(path)
	if err != nil {
		t.Fatal(err)
	}
	spent := make(map[uint64]int64)
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		maps.Insert(spent, readSlots(b[headerSize:]))
	}
	return spent
}

// EncodeState and DecodeState are the code of rows.
func EncodeState(s *ledger.State) []byte              { return appendState(nil, s) }
func DecodeState(value []byte) (*ledger.State, error) { return readState(value) }

// EncodeRecord and DecodeRecord are the code of log records.
func EncodeRecord(unix int64, entries []ledger.Entry) []byte {
	b := beginRecord(nil, unix)
	for i := range entries {
		b = appendEntry(b, &entries[i])
	}
	return seal(b)
}

func DecodeRecord(value []byte) (unix int64, entries []ledger.Entry, err error) {
	unix, err = readRecord(value, func(_ int, r *raw) error {
		e, err := r.entry(0)
		entries = append(entries, e)
		return err
	})
	return unix, entries, err
}

// Seal appends the checksum.
func Seal(b []byte) []byte { return seal(b) }
