package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

func options() *bolt.Options {
	return &bolt.Options{
		Timeout: lockWait,
		// The list of free pages is not written with each commit. Open finds the free pages by reading the others.
		NoFreelistSync: true,
		FreelistType:   bolt.FreelistMapType,
	}
}

// ensure makes a file without rows at path if there is none, and returns its one name: absolute, whichever links lead to it.
func ensure(path string) (name string, err error) {
	if _, err = os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		err = create(path)
	}
	if err != nil {
		return "", err
	}
	if name, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	if name, err = filepath.Abs(name); err != nil {
		return "", err
	}
	return name, syncDir(filepath.Dir(name)) // also if another process made the file: it may not have come to that
}

// create makes a file without rows at path: under another name, synced, then linked, because power loss while bbolt
// initialises a file can leave one that it cannot read (https://github.com/etcd-io/bbolt/issues/567).
func create(path string) error {
	temp, err := initialised(path, 0o600)
	defer os.Remove(temp) // by then the file has its own name
	if err != nil {
		return err
	}
	// A link, unlike a rename, does not replace a file that another process has just made.
	if err := os.Link(temp, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return os.Rename(temp, path) // a file system without links
	}
	return nil
}

// fill puts a file without rows in the place of an empty one, which keeps its permissions: somebody may have made it so
// that the program needs no right to make it. The caller holds the lock, so no other store has begun to use it.
func fill(path string) error {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > 0 {
		return nil // what is wrong with it is found when it is opened
	}
	temp, err := initialised(path, info.Mode().Perm())
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp)
		return err
	}
	return syncDir(filepath.Dir(path))
}

// initialised makes a file without rows, synced, in the folder of path.
func initialised(path string, mode fs.FileMode) (name string, err error) {
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return "", err
	}
	return temp.Name(), errors.Join(temp.Chmod(mode), temp.Close(), initialise(temp.Name()))
}

func initialise(path string) error {
	db, err := openFile(path, options())
	if err != nil {
		return err
	}
	return errors.Join(db.update(makeBuckets), db.close())
}

func makeBuckets(tx *bolt.Tx) error {
	for _, name := range [][]byte{metaBucket, rowBucket, logBuckets[0], logBuckets[1]} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	none := state{first: 1}
	return errors.Join(tx.Bucket(metaBucket).Put(versionKey, numberKey(version)), none.put(tx))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !os.IsPermission(err) {
		return err // Windows cannot sync a directory and says so
	}
	return nil
}

// verify checks the pages of a file before bbolt opens it. It returns the sum of the checksums of the rows.
func verify(path string) (sum uint64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	p, err := newPages(f)
	if err != nil {
		return 0, err
	}
	err = p.walk(func(bucket string, _, value []byte) error {
		if bucket == string(rowBucket) {
			sum += uint64(storedSum(value))
		}
		return nil
	})
	return sum, err
}

// openFile opens and locks an existing file.
func openFile(path string, o *bolt.Options) (*database, error) {
	var db *bolt.DB
	var file *os.File
	o.OpenFile = func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
		file, err = os.OpenFile(name, flag, mode)
		return file, err
	}
	err := guard(func() (err error) {
		db, err = bolt.Open(path, 0o600, o)
		return err
	})
	if err != nil && file != nil {
		_ = errors.Join(unlock(file), file.Close()) // closed already, unless bbolt panicked
	}
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, ErrLocked
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch), errors.Is(err, berrors.ErrChecksum):
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	case err != nil:
		return nil, err
	}
	return &database{bolt: db, file: file}, nil
}

// openToWrite opens and locks a file for writing.
//
// It then writes bbolt's two meta pages again, as they are, and syncs them. If the sync of a meta page failed in an
// earlier life, the page counts as clean, so this system shows a commit that the disk never got. bbolt would take the
// pages which that commit had freed for the next one, and after a power loss the disk would have an older meta page
// over newer pages. The pages of the commit itself are safe: bbolt syncs them before it writes the meta page.
func openToWrite(path string) (*database, error) {
	db, err := openFile(path, options())
	if err != nil {
		return nil, err
	}
	if err := rewriteMetas(path, int64(db.bolt.Info().PageSize)); err != nil {
		return nil, errors.Join(err, db.close())
	}
	err = db.view(func(tx *bolt.Tx) error {
		db.last = tx.ID()
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, db.close())
	}
	return db, nil
}

func rewriteMetas(path string, pageSize int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, pageHeader+metaSummed+8) // within a sector, so never torn
	for at := range int64(2) {
		if _, err := f.ReadAt(b, at*pageSize); err != nil {
			return err
		}
		if _, err := f.WriteAt(b, at*pageSize); err != nil {
			return err
		}
	}
	return f.Sync()
}
