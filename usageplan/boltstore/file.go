package boltstore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

// resolve returns the one name of the file at path: absolute, whichever links lead to it. The file need not be there yet, but
// its folder has to. A link that leads nowhere is an error: what it stands for may come back, as a disk that is mounted.
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

// ensure makes a file without rows where there is none, or in the place of an empty one unless that has been in use. The
// empty one's permissions stay: somebody may have made it to set them. The caller holds the lock.
//
// The file is made under another name and synced, because power loss while bbolt initialises a file can leave one that it
// cannot read (https://github.com/etcd-io/bbolt/issues/567).
func ensure(path string, used bool) error {
	mode := fs.FileMode(0o600)
	info, err := os.Stat(path)
	if err == nil {
		mode = info.Mode()
		used = used || info.Size() > 0 || !mode.IsRegular() // what is wrong with it is found when it is opened
	}
	if errors.Is(err, fs.ErrNotExist) || err == nil && !used {
		var temp string
		if temp, err = initialised(path, mode.Perm()); err == nil {
			err = os.Rename(temp, path)
		}
		if err != nil {
			_ = os.Remove(temp)
		}
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path)) // also if the file was there: the process that made it may not have come to that
}

// initialised makes a file without rows, synced, in the folder of path. After an error the caller removes what is there.
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
	if err != nil {
		return err
	}
	meta, err := tx.CreateBucket(metaBucket)
	if err != nil {
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
