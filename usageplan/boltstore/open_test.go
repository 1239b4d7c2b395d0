package boltstore_test

import (
	"encoding/binary"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	bolt "go.etcd.io/bbolt"
)

// linked returns two names of one file, in two folders. The file is not there yet.
func linked(t *testing.T) (path, link string) {
	t.Helper()
	path, link = filepath.Join(t.TempDir(), "usage.db"), filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Skipf("no symbolic links: %v", err)
	}
	return path, link
}

// TestLockedByLink: two names of one file exclude each other.
func TestLockedByLink(t *testing.T) {
	path, link := linked(t)
	s := open(t, path)
	_, err := boltstore.Open(link)
	require.ErrorIs(t, err, boltstore.ErrLocked)
	require.ErrorContains(t, err, link, "the name that was given")
	require.NoError(t, s.Close())
	open(t, link)
	_, err = boltstore.Open(path)
	require.ErrorIs(t, err, boltstore.ErrLocked)
}

// TestDanglingLink: no file is made where a link leads nowhere, and the link stays.
func TestDanglingLink(t *testing.T) {
	path, link := linked(t)
	_, err := boltstore.Open(link)
	require.ErrorIs(t, err, os.ErrNotExist)
	names, err := os.ReadDir(filepath.Dir(link))
	require.NoError(t, err)
	require.Len(t, names, 1)
	require.NoError(t, open(t, path).Close())
	open(t, link)
}

// TestRelative: a process may change its folder while a store is open.
func TestRelative(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	t.Chdir(dir)
	s, err := boltstore.Open("usage.db")
	require.NoError(t, err)
	t.Chdir(elsewhere)
	put(t, s, map[string]string{"a": "1"})
	require.NoError(t, s.Close())
	names, err := os.ReadDir(elsewhere)
	require.NoError(t, err)
	require.Empty(t, names)
	require.Equal(t, map[string]string{"a": "1"}, rowsOf(t, open(t, filepath.Join(dir, "usage.db"))))
}

// TestVersionZero: there has been no such version, so it is not a newer one.
func TestVersionZero(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	s := open(t, path)
	s.Damage(t, func(tx *bolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("version"), make([]byte, 8)) })
	require.NoError(t, s.Close())
	_, err := boltstore.Open(path)
	require.ErrorIs(t, err, boltstore.ErrFormat)
	require.NotErrorIs(t, err, boltstore.ErrVersion)
}

// TestOtherSystem: a file from a system with another page size or byte order is refused.
func TestOtherSystem(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pages.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: 2 * os.Getpagesize()})
	require.NoError(t, err)
	require.NoError(t, db.Close())
	_, err = boltstore.Open(path)
	require.ErrorIs(t, err, boltstore.ErrFormat)
	require.ErrorContains(t, err, "written with pages of")

	path = filepath.Join(t.TempDir(), "order.db")
	filled(t, path)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	swapMetas(b)
	require.NoError(t, os.WriteFile(path, b, 0o600))
	_, err = boltstore.Open(path)
	require.ErrorIs(t, err, boltstore.ErrFormat)
}

// swapMetas writes bbolt's two meta pages in the other byte order, each with its right checksum.
func swapMetas(file []byte) {
	for at := range 2 {
		b := file[at*os.Getpagesize():]
		for _, width := range []int{8, 2, 2, 4 /* page */, 4, 4, 4, 4, 8, 8, 8, 8, 8 /* meta */} {
			slices.Reverse(b[:width])
			b = b[width:]
		}
		sum := fnv.New64a()
		_, _ = sum.Write(file[at*os.Getpagesize()+16:][:56])
		binary.NativeEndian.PutUint64(b, sum.Sum64())
		slices.Reverse(b[:8])
	}
}
