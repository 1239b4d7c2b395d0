package boltstore

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"syscall"

	"github.com/tallygate/tallygate/usageplan/internal/filelock"
	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// database is bbolt's, over a file that may become unreadable. It is read through a memory map, where that is a fault,
// and a fault while bbolt begins a transaction leaves it locked: the next to use it, if only to close it, would wait
// for ever.
//
// One goroutine at a time begins transactions and closes the database: the one that holds Store.mu. Another may end a
// transaction that reads, so that Check holds up nobody.
type database struct {
	bolt *bolt.DB
	file *os.File

	// mu is held while a transaction begins, and while one that reads ends. Without it, the end of a check could come
	// after bbolt has locked itself for a transaction that never begins.
	mu   sync.Mutex
	lost bool // bbolt is locked; it is neither used nor closed any more

	// last is the number of the last commit. No other process writes, so the file shows another number only if
	// something has been copied over it. What is in memory does not fit such a file: nothing is read from it nor
	// written to it.
	last int
}

var errOverwritten = fmt.Errorf("%w: another program has written to it", ErrReplaced)

// guard runs f and turns into errors what a damaged or vanishing file does to code that reads it through a memory map:
// faults, and panics of bbolt's consistency checks.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrFormat, r)
		}
	}()
	return f()
}

// openFile opens and locks an existing file. Its pages have been verified, unless it is opened to read them.
//
// The list of free pages is not written with each commit. bbolt finds the free pages by reading the others.
func openFile(path string, o bolt.Options) (*database, error) {
	db := new(database)
	o.Timeout, o.NoFreelistSync, o.FreelistType = filelock.Wait, true, bolt.FreelistMapType
	o.OpenFile = func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
		db.file, err = os.OpenFile(name, flag, mode)
		return db.file, err
	}
	err := guard(func() (err error) {
		if db.bolt, err = bolt.Open(path, 0o600, &o); err != nil {
			return err
		}
		return db.bolt.View(func(tx *bolt.Tx) error {
			db.last = tx.ID()
			return nil
		})
	})
	if err == nil {
		return db, nil
	}
	if db.file != nil {
		_ = errors.Join(filelock.Release(db.file), db.file.Close()) // closed already, unless bbolt panicked
	}
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, ErrLocked
	}
	if _, system := errors.AsType[syscall.Errno](err); system {
		return nil, err
	}
	return nil, fmt.Errorf("%w: %w", ErrFormat, err) // bbolt has not found what it looks for
}

// rewriteMetas writes bbolt's two meta pages again, as they are, and syncs them. The first commit after an opening
// needs that.
//
// Let the disk have commit 7, and let the sync of commit 8's meta page have failed in an earlier life. The system then
// shows commit 8, as the page in its memory counts as clean, and bbolt would write commit 9 to the pages that commit 8
// has freed. Those are pages of commit 7. After a power cut the disk would have the meta page of 7 over pages of 9. The
// other pages of commit 8 are safe: bbolt syncs them before it writes the meta page.
func (db *database) rewriteMetas() error {
	meta := make([]byte, pageHeader+64) // within a sector, so never torn
	for i := range int64(2) {
		at := i * int64(os.Getpagesize())
		if _, err := db.file.ReadAt(meta, at); err != nil {
			return err
		}
		if _, err := db.file.WriteAt(meta, at); err != nil {
			return err
		}
	}
	return db.file.Sync()
}

func (db *database) begin(writable bool) (tx *bolt.Tx, err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.lost = true // unless bbolt returns
	err = guard(func() (err error) {
		tx, err = db.bolt.Begin(writable)
		db.lost = false
		return err
	})
	if err != nil {
		return nil, err
	}
	if id := tx.ID(); writable && id != db.last+1 || !writable && id != db.last {
		return nil, errors.Join(errOverwritten, tx.Rollback())
	}
	return tx, nil
}

// end ends a transaction that reads.
func (db *database) end(tx *bolt.Tx) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if !db.lost {
		_ = tx.Rollback()
	}
}

// view has f read.
func (db *database) view(f func(*bolt.Tx) error) error {
	tx, err := db.begin(false)
	if err != nil {
		return err
	}
	defer db.end(tx)
	return guard(func() error { return f(tx) })
}

// update makes the changes of f durable, all or none. Unlike bbolt's Update it rolls back without reading the file,
// which a commit that fails has tried.
func (db *database) update(f func(*bolt.Tx) error) error {
	tx, err := db.begin(true)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after a commit
	return guard(func() error {
		if err := f(tx); err != nil {
			return err
		}
		db.last = tx.ID()
		return tx.Commit()
	})
}

// close closes the file. The map of one that was lost stays until the process ends; its lock does not.
func (db *database) close() error {
	if db.lost {
		return errors.Join(filelock.Release(db.file), db.file.Close())
	}
	return guard(db.bolt.Close)
}
