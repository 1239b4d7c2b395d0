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
// next one removes, so that a full disk can be cleared by opening again. No byte of the old file changes, so version 1
// of the program can still use it under its second name.
//
// Worked example: the process is killed between steps 2 and 3. One file then has the names path and path.before-rows.
// The next Open finds version 1 at path and writes the rows again. In step 2 it sees that path.before-rows is the file
// at path already, and goes on with step 3.

// convertRows is how many rows the new file gets in one transaction. bbolt keeps all pages that one changes in memory,
// so this bounds it. A variable for tests.
var convertRows = 1 << 14

// reached is called after each step of a conversion. Tests end the process there.
var reached = func() {}

// convert puts a file of this version in the place of one of version 1. The caller is Open: it holds the lock of the
// store and has closed the file again. After an error the old file is at path. An error of the last sync is the
// exception: the new file is at path then, and after a crash it may be either.
func convert(path string) error {
	old, err := os.Stat(path)
	if err == nil {
		err = removeAll(path + ".new-")
	}
	if err == nil {
		err = replace(path, old.Mode().Perm(), func(temp string) error {
			if err := initialise(temp); err != nil {
				return err
			}
			reached()
			if err := copyRows(path, temp); err != nil {
				return err
			}
			return keep(path, old)
		})
	}
	if err != nil {
		return fmt.Errorf("convert: %w", err)
	}
	reached()
	return nil
}

// removeAll removes the files whose names begin so, and goes on after an error. The caller holds the lock, so nobody
// uses them.
func removeAll(prefix string) error {
	names, err := namesWith(prefix)
	for _, name := range names {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// namesWith returns the names of the files that begin so, in the form of prefix. Folders and links are left out.
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
// The caller holds the lock, so nobody else takes such a name. A name that leads to another file is not touched, nor is
// a link.
//
// A copy by duplicate is not the same file. So on a file system without links, an attempt that ended after its copy
// costs a second copy.
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
// were the file renamed, there would be none at path for a moment, and after a crash Open would make a new one. The
// copy begins as path.new-*, so the next attempt removes it if this one ends halfway.
func duplicate(path, name string, mode fs.FileMode) error {
	// Any error of link leads to the copy. If the disk is the reason, the copy fails too, and its error tells why.
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

// copyRows writes what the file at path has to the one at temp, which has no rows. It streams: in memory are the rows
// of one transaction, and what [version1] keeps. When it returns nil, the new file is synced.
func copyRows(path, temp string) error {
	// First, as it may fail: nothing has been written yet.
	spent, err := readSpent(path)
	if err != nil {
		return err
	}
	old, err := openFile(path, bolt.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer old.close()
	// Nobody uses the file before it is synced as a whole.
	db, err := openFile(temp, bolt.Options{NoSync: true, NoGrowSync: true})
	if err != nil {
		return err
	}
	// As initialise has left the file: no log has begun.
	w := rowWriter{db: db, tail: tail{state: state{First: 1}}}
	err = old.view(func(tx *bolt.Tx) error { return readVersion1(tx, spent, w.add) })
	if err == nil {
		err = w.flush()
	}
	if err == nil {
		err = guard(db.bolt.Sync)
	}
	// Also after an error, before convert removes the file: Windows removes none that is open.
	err = errors.Join(err, db.close())
	reached()
	return err
}

// rowWriter writes rows to a new file. Its tail has no log. The rows go to their bucket at once, since nobody is there
// to see half of them.
type rowWriter struct {
	db *database
	tail
	rows []change // to be written
}

// add takes the accounts of one key, all of them and oldest first. It keeps nothing of the slice. Accounts that package
// ledger refuses are damage of the file, hence ErrFormat.
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

// flush writes the rows that add has collected, in one transaction. It sorts them, as rows of different keys mix: a key
// has rows in several places. After an error the conversion is given up.
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
