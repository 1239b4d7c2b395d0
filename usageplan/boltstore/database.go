package boltstore

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"

	bolt "go.etcd.io/bbolt"
)

// database is bbolt's, over a file that may become unreadable. It is read through a memory map, where that is a fault,
// and a fault while bbolt begins a transaction leaves it locked: the next to use it, if only to close it, would wait
// for ever.
type database struct {
	bolt *bolt.DB
	file *os.File

	// mu is held while transactions begin, and while those that read end. Neither waits: who writes is alone (Store.mu).
	mu   sync.Mutex
	lost bool // it is locked; neither used nor closed any more

	// last is the number of the last commit, 0 while the file is verified or made. No other process writes, so the file
	// shows another number only if something has been copied over it. What is in memory does not fit such a file: nothing
	// is read from it nor written to it. Like begin, it is guarded by Store.mu.
	last int
}

var (
	errLost        = errors.New("file became unreadable")
	errOverwritten = fmt.Errorf("%w: another program has written to it", ErrReplaced)
)

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

func (db *database) begin(writable bool) (tx *bolt.Tx, err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.lost {
		return nil, errLost
	}
	err = guard(func() (err error) {
		db.lost = true // unless the next line returns
		tx, err = db.bolt.Begin(writable)
		db.lost = false
		return err
	})
	if err != nil {
		return nil, err
	}
	expected := db.last
	if writable {
		expected++
	}
	if db.last > 0 && tx.ID() != expected {
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

// view has f read. Others may read meanwhile; who writes may have to wait, and then whoever begins.
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
	if db.isLost() {
		return errors.Join(unlock(db.file), db.file.Close())
	}
	return guard(db.bolt.Close)
}

func (db *database) isLost() bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.lost
}
