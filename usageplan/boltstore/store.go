package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"github.com/tallygate/tallygate/usageplan/internal/filelock"
	"github.com/tallygate/tallygate/usageplan/ledger"
	bolt "go.etcd.io/bbolt"
)

// Causes, for [errors.Is].
var (
	// ErrLocked: another process has the file open, or another Store of this process.
	ErrLocked = errors.New("boltstore: file is in use")

	// ErrFormat: the file is no ledger file, or it is damaged, or a system with another page size or byte order wrote
	// it.
	ErrFormat = errors.New("boltstore: file is damaged or no ledger file")

	// ErrVersion: another version of this package wrote the file, and this one cannot read it.
	ErrVersion = errors.New("boltstore: file is of another version")

	// ErrReplaced: the file at the path is not the one that was opened, or it has other content. It was deleted, moved,
	// replaced or overwritten while the store was open. The store acknowledges nothing until the file is back. Restart
	// the program to use another file.
	ErrReplaced = errors.New("boltstore: file was deleted or replaced")

	// ErrClosed: the store has been closed, or it is the zero Store, which was never opened.
	ErrClosed = errors.New("boltstore: store is closed")
)

// Store is a [ledger.Engine] and a [ledger.Owner] over one file, which has journals too. Make one with [Open]. It is safe
// for concurrent use.
type Store struct {
	path   string      // absolute and without links, so that the file and its lock stay together
	opened os.FileInfo // tells whether the file at path is still the one that Open found
	lock   *os.File    // held from before the first look at the file until Close; nil then
	owner  uint32

	mu   sync.Mutex
	db   *database // nil after an error, until the next call opens the file again
	tail           // valid while db is not nil
	last int       // the last commit that was acknowledged

	appended chan struct{} // closed, and another made, when a journal changes
}

var _ ledger.Owner = (*Store)(nil)

// Open opens the file at path and makes it if it does not exist, but not its folder. An empty file that no store has
// used counts as one that does not exist. Open waits up to 200 ms for another opener to close the file.
//
// In the folder of the file (if path is a symbolic link, of the file that it leads to), Open keeps a second file,
// path.lock. A crash while the file is made leaves a third, path.new-*, which may be deleted.
//
// A file of version 1, which had accounts and entries in place of rows, Open converts: see the package documentation.
//
// The errors wrap [ErrLocked], [ErrFormat], [ErrVersion] or what the system reports.
func Open(path string) (*Store, error) {
	if path == "" {
		return nil, fmt.Errorf("boltstore: no path: %w", fs.ErrInvalid)
	}
	s := &Store{appended: make(chan struct{})}
	if err := s.begin(path); err != nil {
		_ = errors.Join(s.drop(), s.lock.Close()) // the lock may be nil, which Close refuses
		return nil, fmt.Errorf("boltstore: open %s: %w", path, err)
	}
	return s, nil
}

// begin locks the file and opens it for the first time.
func (s *Store) begin(path string) (err error) {
	if s.path, err = resolve(path); err != nil {
		return err
	}
	// The lock is a file of its own: that of bbolt goes whenever the database is closed to be opened again.
	if s.lock, err = filelock.Take(s.path+".lock", ErrLocked); err != nil {
		return err
	}
	if err = ensure(s.path, s.lock); err == nil {
		err = s.open()
	}
	if errors.Is(err, errVersion1) {
		if err = convert(s.path); err == nil {
			err = s.open()
		}
	}
	if err == nil {
		s.opened, err = os.Stat(s.path)
	}
	if err == nil {
		err = s.commit(func(tx *bolt.Tx) error {
			s.state.Owner++ // no earlier opening has had this number
			return s.state.put(tx)
		})
	}
	if err == nil {
		s.owner = s.state.Owner
		mark(s.lock)
	}
	return err
}

// open opens the file and reads its logs.
func (s *Store) open() error {
	sum, err := verify(s.path)
	if err != nil {
		return err
	}
	if s.db, err = openFile(s.path, bolt.Options{}); err != nil {
		return err
	}
	if err = s.db.rewriteMetas(); err == nil {
		err = s.db.view(func(tx *bolt.Tx) error { return errors.Join(s.replay(tx, sum), checkJournals(tx)) })
	}
	// When opened again, the file is the same one, as isInPlace says. But if somebody has copied a backup over it, it
	// lacks what this store has acknowledged. It may have one commit more, as the call before may have failed after its
	// commit.
	if err == nil && s.owner > 0 && (s.state.Owner != s.owner || s.db.last < s.last) {
		err = fmt.Errorf("%w: %s ends with commit %d, %d was acknowledged", ErrReplaced, s.path, s.db.last, s.last)
	}
	if err == nil {
		s.last = s.db.last
	}
	return s.failed(err)
}

// enter locks the store for a call. It opens the file again if an earlier call has closed it after an error. The cost
// is bounded by the size of the logs, plus one look at each page.
func (s *Store) enter(ctx context.Context) error {
	s.mu.Lock()
	err := ctx.Err() // now, as the lock may have taken long
	if err == nil && s.lock == nil {
		err = ErrClosed
	}
	if err == nil && s.db == nil {
		if err = s.isInPlace(); err == nil {
			err = s.open()
		}
	}
	if err != nil {
		s.mu.Unlock()
	}
	return err
}

// view has f read the file.
func (s *Store) view(ctx context.Context, f func(*bolt.Tx) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	return s.failed(s.db.view(f))
}

// drop closes the file after an error and forgets what memory holds of it. What the failed call wrote may be in the
// file or not, so only the file tells. A sync that has failed is not tried again: the system may have forgotten the
// pages that it could not write, so that a second sync would succeed without them.
//
// bbolt never overwrites a page that the last whole commit refers to, so the file is readable either way. See
// rewriteMetas for its meta pages.
func (s *Store) drop() (err error) {
	if s.db != nil {
		err = s.db.close()
	}
	s.db, s.tail = nil, tail{}
	return err
}

// failed drops what is in memory after an error, but not if only a row or a journal is concerned: others go on.
func (s *Store) failed(err error) error {
	if _, ok := errors.AsType[partial](err); err != nil && !ok {
		_ = s.drop()
	}
	return err
}

// partial is an error that concerns a row or a journal alone. The tree around it is sound.
type partial struct{ error }

func (e partial) Unwrap() error { return e.error }

// commit makes the changes of f durable. After an error, unless it is partial, the next call opens the file again.
func (s *Store) commit(f func(*bolt.Tx) error) error {
	err := s.db.update(f)
	if err == nil {
		err = s.isInPlace() // the commit may have gone to a file that nobody will open again
	}
	if err == nil {
		s.last = s.db.last
	}
	return s.failed(err)
}

// isInPlace reports as an error that the file at path is not the one that Open found.
func (s *Store) isInPlace() error {
	now, err := os.Stat(s.path)
	switch {
	case err == nil && os.SameFile(s.opened, now):
		return nil
	case err == nil, errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: %s", ErrReplaced, s.path)
	}
	return err
}

// Owner implements [ledger.Owner]. Each opening of a file has a number one above that of the opening before.
func (s *Store) Owner() uint32 { return s.owner }

// Close writes all rows to their bucket, so that the next Open has no log to read, and closes the file. It returns an
// error if that fails; nothing is lost then, unless the error wraps [ErrReplaced]. A second Close does nothing, nor
// does that of a zero or nil Store.
func (s *Store) Close() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return nil
	}
	var err error
	if s.db != nil {
		err = errors.Join(s.flush(s.db), s.isInPlace(), s.drop())
	}
	err = errors.Join(err, s.lock.Close())
	s.lock = nil
	s.wake()
	return err
}
