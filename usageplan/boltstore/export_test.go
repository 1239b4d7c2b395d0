package boltstore

import (
	"os"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// Limits are when a log ends, and how many rows a commit of Close writes.
type Limits struct {
	PerRow, MinBytes, MaxBytes, FlushRows int
}

func swapLimits(l Limits) (old Limits) {
	old = Limits{perRow, minBytes, maxBytes, flushRows}
	perRow, minBytes, maxBytes, flushRows = l.PerRow, l.MinBytes, l.MaxBytes, l.FlushRows
	return old
}

// SetLimits makes stores have checkpoints within a few commits, until the test ends.
func SetLimits(t testing.TB, l Limits) {
	old := swapLimits(l)
	t.Cleanup(func() { swapLimits(old) })
}

// Small limits have a checkpoint every few commits.
var Small = Limits{PerRow: 100, MinBytes: 1024, MaxBytes: 4096, FlushRows: 3}

// Extent is how far a store has come: the first record that is not in the rows, the last one, whether a checkpoint is
// under way, and how many of its rows have not been written.
type Extent struct {
	First, Last uint64
	Checkpoint  bool
	Unwritten   int
}

func (s *Store) Extent() Extent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Extent{s.state.First, s.state.Last, s.sorted != nil, len(s.before) - s.done}
}

// WaitSorted returns when the keys of a checkpoint have been sorted, if one is under way.
func (s *Store) WaitSorted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sorted != nil && s.keys == nil {
		keys := <-s.sorted
		s.sorted <- keys
	}
}

// Damage changes the file under an open store.
func (s *Store) Damage(t testing.TB, change func(tx *bolt.Tx) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.db.update(change); err != nil {
		t.Fatal(err)
	}
}

// Seal is a row as it is stored.
func Seal(key string, row []byte) []byte { return seal([]byte(key), row) }

// ReadRecord is a record as it is read.
func ReadRecord(number uint64, record []byte) (rows [][2]string, err error) {
	changes, err := readRecord(numberKey(number), record)
	for _, c := range changes {
		rows = append(rows, [2]string{c.key, string(c.row)})
	}
	return rows, err
}

// Usual are the limits outside of tests.
var Usual = Limits{perRow, minBytes, maxBytes, flushRows}

// SetBootID makes the machine seem to be in another boot, until the test ends.
func SetBootID(t testing.TB, id string) {
	old := bootID
	bootID = func() string { return id }
	t.Cleanup(func() { bootID = old })
}

// WithoutLinks makes conversions find a file system without hard links, until the test ends.
func WithoutLinks(t testing.TB) {
	old := link
	link = func(_, _ string) error { return os.ErrPermission }
	t.Cleanup(func() { link = old })
}

// AtEachStep has f called after each step of a conversion, with small steps, until the process ends.
func AtEachStep(f func()) { reached, convertRows = f, 8 }

// Drop forgets the file, so that Close does not write to it.
func (s *Store) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop()
}

// SmallChunks makes journals be read a few items at a time, until the test ends.
func SmallChunks(t testing.TB) {
	old := chunkBytes
	chunkBytes = 300
	t.Cleanup(func() { chunkBytes = old })
}

// ReadItem reads an item of a journal.
func ReadItem(body []byte) error { return new(stored).decode([]byte("item"), body) }

// ReadChange reads the record of a change, and returns it as it is written.
func ReadChange(body []byte) (again []byte, err error) {
	var r record
	number := numberKey(7)
	if err := r.decode(number, seal(number, body)); err != nil {
		return nil, err
	}
	return r.encode(), nil
}

// Opened is the file as a store has it open, until an error.
func (s *Store) Opened() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.db
}
