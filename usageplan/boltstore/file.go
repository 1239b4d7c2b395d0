package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tallygate/tallygate/usageplan/internal/filelock"
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
func ensure(path string, used bool) error {
	mode := fs.FileMode(0o600)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case used || info.Size() > 0 || !info.Mode().IsRegular(): // what is wrong with it is found when it is opened
		return syncDir(filepath.Dir(path)) // the process that made it may not have come to that
	default:
		mode = info.Mode().Perm()
	}
	temp, err := initialised(path, mode)
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp)
		return err
	}
	return syncDir(filepath.Dir(path))
}

// initialised makes a file without rows, synced, in the folder of path. After an error the caller removes what is
// there.
func initialised(path string, mode fs.FileMode) (name string, err error) {
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return "", err
	}
	name = temp.Name()
	if err := errors.Join(temp.Chmod(mode), temp.Close()); err != nil {
		return name, err
	}
	db, err := openFile(name, options())
	if err != nil {
		return name, err
	}
	return name, errors.Join(db.update(makeBuckets), db.close())
}

func makeBuckets(tx *bolt.Tx) error {
	_, err := tx.CreateBucket(rowBucket)
	meta, err2 := tx.CreateBucket(metaBucket)
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	none := state{First: 1}
	return errors.Join(meta.Put(versionKey, numberKey(version)), none.put(tx))
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

// verify checks the pages of a file before bbolt opens it to write. It returns what the state calls Sum.
func verify(path string) (sum uint64, err error) {
	if info, err := os.Stat(path); err == nil && info.Size() == 0 {
		return 0, fmt.Errorf("%w: 0 bytes", ErrFormat) // bbolt would take it for a new file
	}
	db, err := openFile(path, &bolt.Options{Timeout: filelock.Wait, ReadOnly: true}) // does not look at pages
	if err != nil {
		return 0, err
	}
	defer db.close()
	err = db.view(func(tx *bolt.Tx) error {
		return walk(db.file, tx, func(bucket string, _, value []byte) error {
			if isSummed(bucket) {
				sum += uint64(storedSum(value))
			}
			return nil
		})
	})
	return sum, err
}
