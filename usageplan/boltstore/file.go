package boltstore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

// resolve returns the one name of the file at path: absolute, whichever links lead to it. The file need not be there
// yet, but its folder has to. A link that leads nowhere is an error: what it stands for may come back, as a disk that
// is mounted.
func resolve(path string) (string, error) {
	base := ""
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		path, base = filepath.Dir(path), filepath.Base(path)
	}
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	return filepath.Abs(filepath.Join(path, base))
}

// ensure makes a file without rows where there is none, or in the place of an empty one unless that has been in use.
// The empty one's permissions stay: somebody may have made it to set them.
//
// The caller holds the lock, so no other store makes the file meanwhile or has begun to use the empty one. The file is
// made under another name and synced, then renamed, because power loss while bbolt initialises a file can leave one
// that it cannot read (https://github.com/etcd-io/bbolt/issues/567).
func ensure(path string, lock *os.File) error {
	mode := fs.FileMode(0o600)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case info.Size() > 0 || isMarked(lock) || !info.Mode().IsRegular(): // what is wrong with it is found when it is opened
		return syncDir(filepath.Dir(path)) // the process that made it may not have come to that
	default:
		mode = info.Mode().Perm()
	}
	return replace(path, mode, initialise)
}

// markText stands in the lock file of a file that has been opened once. From then on an empty file is not one that
// somebody made beforehand, but one that has lost what was in it.
const markText = "The ledger file of this name has been in use. This file belongs to it.\n"

// mark writes the mark. It may fail, as on a full disk: then the next Open writes it.
func mark(lock *os.File) { _, _ = lock.WriteAt([]byte(markText), 0) }

func isMarked(lock *os.File) bool {
	info, err := lock.Stat()
	return err != nil || info.Size() > 0
}

// replace puts a file at path which fill has filled and synced under another name. That is in the same folder, as a
// rename works only within a file system.
func replace(path string, mode fs.FileMode, fill func(name string) error) error {
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	if err = errors.Join(temp.Chmod(mode), temp.Close()); err == nil {
		err = fill(temp.Name())
	}
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
		return err
	}
	return syncDir(filepath.Dir(path))
}

// initialise makes an empty file one without rows, synced.
func initialise(name string) error {
	db, err := openFile(name, bolt.Options{})
	if err != nil {
		return err
	}
	return errors.Join(db.update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket(rowBucket)
		meta, err2 := tx.CreateBucket(metaBucket)
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		return errors.Join(meta.Put(versionKey, numberKey(version)), (&state{First: 1}).put(tx))
	}), db.close())
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
