package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
	bolt "go.etcd.io/bbolt"
)

// Causes, for [errors.Is].
var (
	// ErrLocked: another process has the file open, or another Store of this one (which AIX and Solaris cannot tell).
	ErrLocked = errors.New("boltstore: file is in use")

	// ErrFormat: the file is no ledger file, is damaged, or was written on a system with another page size or byte
	// order.
	ErrFormat = errors.New("boltstore: file is damaged or no ledger file")

	// ErrVersion: the file was written by a newer version of this package.
	ErrVersion = errors.New("boltstore: file is of a newer version")

	// ErrReplaced: the file at the path is not the one that was opened, or holds something else: it was deleted, moved away,
	// replaced or overwritten while the store was in use. Nothing is acknowledged until it is back. Restart the program to
	// use another file.
	ErrReplaced = errors.New("boltstore: file was deleted or replaced")

	// ErrConfig: no path, or a mistake in a [Config].
	ErrConfig = errors.New("boltstore: config")

	// ErrClosed: the store has been closed, or is the zero Store, which was never opened.
	ErrClosed = errors.New("boltstore: store is closed")
)

// Config tunes a [Store]. The zero Config is good.
type Config struct {
	// Keep is how long single entries are kept at least; older ones live on in the totals of their day. They go when
	// the accounts are folded, every 16 384 records, or with Close. The last 65 536 that carry an operation id are
	// kept however old they are. 0 takes 90 days. Not negative.
	Keep time.Duration
}

// Store is an engine for package ledger in one file. Make one with [Open]. It is safe for concurrent use.
type Store struct {
	path   string // absolute, without links: whatever becomes of them, database, lock and slots stay together
	config Config
	opened os.FileInfo // tells whether the file at path is still the one that Open found
	lock   *os.File    // held from before the first look at the file until Close
	slots  *slots
	left   leftovers // of earlier lives

	mu     sync.Mutex
	closed bool
	db     *database // nil after an error, until the file has been opened again
	book
	acknowledged uint64 // the last record that was
}

var (
	_ ledger.Store     = (*Store)(nil)
	_ ledger.Recoverer = (*Store)(nil)
	_ ledger.Noter     = (*Store)(nil)
	_ ledger.Auditor   = (*Store)(nil)
)

// Open opens the file at path, or creates it (an empty file that no store has used is as none), and checks that each balance is the sum of its entries. It waits up to
// 200 ms for another opener to let go of it. Beside the file (where it is, if path is a symbolic link), and for it
// alone, it keeps path.lock and files named path.spent.*; a file path.new-* is what a crash has left while one was
// created, and may be deleted. The errors wrap [ErrConfig], [ErrLocked], [ErrFormat], [ErrVersion] or what the system
// reports.
func Open(path string, c Config) (*Store, error) {
	if path == "" {
		return nil, fmt.Errorf("%w: no path", ErrConfig)
	}
	if c.Keep < 0 {
		return nil, fmt.Errorf("%w: keep %v is negative", ErrConfig, c.Keep)
	}
	if c.Keep == 0 {
		c.Keep = 90 * 24 * time.Hour
	}
	file, err := ensure(path)
	if err != nil {
		return nil, fmt.Errorf("boltstore: create %s: %w", path, err)
	}
	held, err := lock(file)
	if err != nil {
		return nil, fmt.Errorf("boltstore: open %s: %w", path, err)
	}
	s := &Store{path: file, config: c, lock: held}
	if err := s.begin(); err != nil {
		return nil, errors.Join(err, held.Close())
	}
	return s, nil
}

// begin opens database and slots for the first time.
func (s *Store) begin() error {
	if !isMarked(s.lock) {
		if err := fill(s.path); err != nil {
			return fmt.Errorf("boltstore: create %s: %w", s.path, err)
		}
	}
	found, err := s.open()
	if err != nil {
		return err
	}
	if s.opened, err = os.Stat(s.path); err != nil {
		return errors.Join(err, s.db.close())
	}
	if s.slots, err = openSlots(s.path, &found); err != nil {
		return errors.Join(err, s.db.close())
	}
	s.left, s.acknowledged = found, s.seq
	mark(s.lock)
	return nil
}

// open opens the database and reads what is needed to go on.
func (s *Store) open() (found leftovers, err error) {
	if err := verify(s.path, &found); err != nil {
		return found, fmt.Errorf("boltstore: open %s: %w", s.path, err)
	}
	db, err := openToWrite(s.path)
	if err != nil {
		return found, fmt.Errorf("boltstore: open %s: %w", s.path, err)
	}
	s.book = newBook()
	if err := db.view(func(tx *bolt.Tx) error { return s.load(tx, &found) }); err != nil {
		_ = db.close()
		return found, fmt.Errorf("boltstore: open %s: %w", s.path, err)
	}
	s.db = db
	return found, nil
}

// Apply implements [ledger.Store]: one commit for all ops, none if nothing changes. After an error the file is opened
// again by the next call: what is in memory is only relied on if it is on disk. A failed sync is never repeated: bbolt
// is copy-on-write, so the pages of a failed commit are not referred to; see openToWrite for its meta page.
func (s *Store) Apply(ctx context.Context, ops []ledger.Op) ([]ledger.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(); err != nil {
		return nil, err
	}
	var outs []ledger.Outcome
	err := guard(func() (err error) {
		outs, err = s.apply(s.db, ops, s.config.Keep)
		return err
	})
	if err == nil && len(s.records) > 0 { // the commit may have gone to a file that nobody will open again
		err = s.isInPlace()
	}
	if err != nil {
		_ = s.db.close()
		s.db = nil
		return nil, fmt.Errorf("boltstore: %w", err)
	}
	s.acknowledged = s.seq
	return outs, nil
}

// ready opens the file again after an error, if it is the same file.
func (s *Store) ready() error {
	if s.closed || s.lock == nil {
		return ErrClosed
	}
	if s.db != nil && !s.db.isLost() {
		return nil
	}
	if s.db != nil {
		_ = s.db.close()
		s.db = nil
	}
	if err := s.isInPlace(); err != nil {
		return err
	}
	if _, err := s.open(); err != nil {
		return err
	}
	if s.seq < s.acknowledged { // the same file, and something else in it
		err := fmt.Errorf("%w: %s ends with record %d, %d was acknowledged", ErrReplaced, s.path, s.seq, s.acknowledged)
		err = errors.Join(err, s.db.close())
		s.db = nil
		return err
	}
	return nil
}

// isInPlace reports as an error that the file at path is not the one that Open found.
func (s *Store) isInPlace() error {
	now, err := os.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: %w", ErrReplaced, err)
	case err != nil:
		return err
	case !os.SameFile(s.opened, now):
		return fmt.Errorf("%w: %s is another file", ErrReplaced, s.path)
	}
	return nil
}

// Accounts implements [ledger.Store].
func (s *Store) Accounts(ctx context.Context, key ledger.Key, from, to int64) iter.Seq2[ledger.State, error] {
	return func(yield func(ledger.State, error) bool) {
		states, err := s.accounts(ctx, key, from, to)
		if err != nil {
			yield(ledger.State{}, err)
			return
		}
		for _, state := range states {
			if !yield(state, nil) {
				return
			}
		}
	}
}

func (s *Store) accounts(ctx context.Context, key ledger.Key, from, to int64) (states []ledger.State, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(); err != nil {
		return nil, err
	}
	err = s.db.view(func(tx *bolt.Tx) error {
		states, err = s.between(tx, key, from, to)
		return err
	})
	return states, err
}

// Check reads the whole file, as it is when Check begins, and checks that every entry is whole and every balance is
// the sum of its entries; entries since the last fold, which are in no balance of the file yet, need only be whole.
//
// Other calls go on meanwhile, until one needs a larger map of the file in memory, or has to close it (also to open it
// again after an error): that one waits until Check has ended, and all others behind it. So check at a quiet time, or
// a snapshot of the file elsewhere, as Open does anyway. Pages that Check still sees are not used again, so the file
// may grow.
//
// The error wraps [ErrFormat] if the file is damaged, [ErrClosed], that of ctx, or what the system reports.
func (s *Store) Check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	db, tx, err := s.read()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	defer db.end(tx)
	return guard(func() error { return check(ctx, tx, nil) })
}

// read begins to read.
func (s *Store) read() (*database, *bolt.Tx, error) {
	if err := s.ready(); err != nil {
		return nil, nil, err
	}
	tx, err := s.db.begin(false)
	return s.db, tx, err
}

// Close writes what the next Open would have to fold, and closes the file. It returns an error if that fails; nothing
// is lost then, unless the error wraps [ErrReplaced]. A second Close does nothing, nor does that of a zero or nil Store.
func (s *Store) Close() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.lock == nil {
		return nil
	}
	s.closed = true
	errs := []error{s.slots.close()}
	if s.db != nil {
		errs = append(errs, s.tidy(), s.isInPlace(), s.db.close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// tidy folds and compacts, if there is anything to fold.
func (s *Store) tidy() error {
	if len(s.dirty) == 0 {
		return nil
	}
	return s.db.update(func(tx *bolt.Tx) error {
		if err := s.fold(tx); err != nil {
			return err
		}
		return compact(tx, time.Now().Add(-s.config.Keep))
	})
}
