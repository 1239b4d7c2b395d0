package boltstore

import (
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"runtime"
	"testing"

	"github.com/tallygate/tallygate/usageplan/ledger"
	bolt "go.etcd.io/bbolt"
)

// Sizes are how much comes between two folds, and how much is kept over them.
type Sizes struct {
	FoldEvery                        uint64
	FoldEntries, CachedKeys, KeptIDs int
}

func swapSizes(s Sizes) (old Sizes) {
	old = Sizes{foldEvery, foldEntries, cachedKeys, keptIDs}
	foldEvery, foldEntries, cachedKeys, keptIDs = s.FoldEvery, s.FoldEntries, s.CachedKeys, s.KeptIDs
	return old
}

// SetSizes makes stores fold, evict and compact within a few commits, until the test ends.
func SetSizes(t testing.TB, s Sizes) {
	old := swapSizes(s)
	t.Cleanup(func() { swapSizes(old) })
}

// Extent is how far a store has come: its last record, the last one in the rows and the first one in the log (0 if
// none), and how many entries wait for a fold, and the keys in memory and, beside the newest two of each, the accounts.
type Extent struct {
	Last, Folded, First  uint64
	Waiting, Keys, Older int
}

func (s *Store) Extent(t testing.TB) Extent {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(); err != nil {
		t.Fatal(err)
	}
	x := Extent{Last: s.seq, Folded: s.folded, Waiting: s.waiting, Keys: s.keys.n}
	for _, sh := range s.keys.first {
		for ; sh != nil; sh = sh.next {
			x.Older += max(0, len(sh.history)-2)
		}
	}
	err := s.db.view(func(tx *bolt.Tx) error {
		if key, _ := tx.Bucket(logBucket).Cursor().First(); key != nil {
			x.First = binary.BigEndian.Uint64(key)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// Damage changes the file under an open store.
func (s *Store) Damage(t testing.TB, change func(tx *bolt.Tx) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.db.update(change); err != nil {
		t.Fatal(err)
	}
}

// MaxRecord is how many entries a record has at most.
const MaxRecord = maxRecord

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

// AddSums adds to what compaction has taken of an account; nil is nothing.
func AddSums(value []byte, used, adjustments int64) ([]byte, error) {
	if value == nil {
		return sums{used, adjustments}.encode(), nil
	}
	s, err := readSums(value)
	return sums{s.used + used, s.adjustments + adjustments}.encode(), err
}

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
