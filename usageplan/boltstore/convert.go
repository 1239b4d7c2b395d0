package boltstore

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tallygate/tallygate/usageplan/internal/past"
	bolt "go.etcd.io/bbolt"
)

// Open converts a file of version 1 once, in three steps:
//
//  1. It writes the rows to a file path.new-*, and syncs it.
//  2. It gives the old file a second name, path.before-rows. If another file has that name, it takes
//     path.before-rows-2, and so on: the copy of an earlier conversion is never overwritten.
//  3. It gives the new file the name path, in place of the old one.
//
// Wherever that ends early, there is a file at path, whole, and old or new. What is left of an attempt in step 1 the
// next one removes, so that a full disk can be cleared by opening again.

// convertRows is how many rows the new file gets in one transaction. A variable for tests.
var convertRows = 1 << 14

// reached is called after each step of a conversion. Tests end the process there.
var reached = func() {}

// convert puts a file of this version in the place of one of version 1, whose lock the caller holds.
func convert(path string) (err error) {
	old, err := os.Stat(path)
	if err != nil {
		return err
	}
	if err := removeAll(path + ".new-"); err != nil {
		return err
	}
	temp, err := initialised(path, old.Mode().Perm())
	if err == nil {
		reached()
		err = copyRows(path, temp)
	}
	if err == nil {
		err = keep(path, old)
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp)
		return err
	}
	reached()
	return syncDir(filepath.Dir(path))
}

// removeAll removes the files whose names begin so.
func removeAll(prefix string) error {
	names, err := namesWith(prefix)
	for _, name := range names {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// namesWith returns the names of the files that begin so.
func namesWith(prefix string) (names []string, err error) {
	dir, base := filepath.Split(prefix)
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), base) && e.Type().IsRegular() {
			names = append(names, dir+e.Name())
		}
	}
	return names, err
}

// keep gives the file at path a second name, durably. If an attempt before has come to that, the file has it already.
// The caller holds the lock, so nobody else takes such a name.
func keep(path string, old os.FileInfo) error {
	for i := 1; ; i++ {
		name := path + ".before-rows"
		if i > 1 {
			name = fmt.Sprintf("%s-%d", name, i)
		}
		there, err := os.Lstat(name)
		switch {
		case err == nil && !os.SameFile(old, there):
			continue
		case errors.Is(err, fs.ErrNotExist):
			err = duplicate(path, name, old.Mode().Perm())
		}
		if err != nil {
			return err
		}
		reached()
		return syncDir(filepath.Dir(path)) // before the name at path goes to another file
	}
}

// link is a variable because tests have no file system without links.
var link = os.Link

// duplicate gives the file at path another name. On a file system without links the name is that of a copy, synced:
// were the file renamed, there would be none at path for a moment, and after a crash Open would make a new one.
func duplicate(path, name string, mode fs.FileMode) error {
	if link(path, name) == nil {
		return nil
	}
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	if err = errors.Join(err, to.Chmod(mode), to.Sync(), to.Close()); err == nil {
		err = os.Rename(to.Name(), name)
	}
	if err != nil {
		_ = os.Remove(to.Name())
	}
	return err
}

// copyRows writes what the file at path has to the one at temp, which has no rows.
func copyRows(path, temp string) error {
	spent, err := readSpent(path)
	if err != nil {
		return err
	}
	old, err := openFile(path, &bolt.Options{Timeout: lockWait, ReadOnly: true})
	if err != nil {
		return err
	}
	defer old.close()
	o := options()
	o.NoSync, o.NoGrowSync = true, true // nobody uses the file before it is synced as a whole
	db, err := openFile(temp, o)
	if err != nil {
		return err
	}
	w := rowWriter{db: db, tail: tail{state: state{First: 1}}}
	err = old.view(func(tx *bolt.Tx) error { return readVersion1(tx, spent, w.add) })
	if err == nil {
		err = w.flush()
	}
	if err == nil {
		err = guard(db.bolt.Sync)
	}
	err = errors.Join(err, db.close())
	reached()
	return err
}

// rowWriter writes rows to a new file.
type rowWriter struct {
	db *database
	tail
	rows []change // to be written
}

// add takes the rows of a key with these accounts.
func (w *rowWriter) add(accounts []past.Account) error {
	rows, err := past.Rows(accounts)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	for key, row := range rows {
		w.rows = append(w.rows, change{key, row})
	}
	if len(w.rows) < convertRows {
		return nil
	}
	return w.flush()
}

func (w *rowWriter) flush() error {
	slices.SortFunc(w.rows, func(x, y change) int { return cmp.Compare(x.key, y.key) })
	err := w.db.update(func(tx *bolt.Tx) error {
		rows := tx.Bucket(rowBucket)
		rows.FillPercent = 0.9 // they come nearly in order
		for _, row := range w.rows {
			if err := w.writeRow(rows, []byte(row.key), row.row); err != nil {
				return err
			}
		}
		return w.state.put(tx)
	})
	w.rows = w.rows[:0]
	reached()
	return err
}
