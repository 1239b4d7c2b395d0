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
	"github.com/tallygate/tallygate/usageplan/ledger"
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

// TestSymlink: what was spent under one name of a file is found under the other; slot files remain beside neither.
func TestSymlink(t *testing.T) {
	slotKinds(t, func(t *testing.T) {
		boltstore.SetBootID(t, "boot 1")
		for _, reverse := range []bool{false, true} {
			path, link := linked(t)
			require.NoError(t, open(t, path).Close())
			first, second := link, path
			if reverse {
				first, second = path, link
			}
			left(t, first)
			require.NotEmpty(t, slotFiles(t, path))
			b := balance(t, second)
			require.Equal(t, [2]int64{10, 990}, [2]int64{b.Used, b.Remaining}, "nothing lost, nothing wasted")
			b = balance(t, first)
			require.Equal(t, [2]int64{10, 990}, [2]int64{b.Used, b.Remaining}, "once")
			require.Empty(t, slotFiles(t, path))
			require.Empty(t, slotFiles(t, link))
		}
	})
}

// TestLockedByLink: two names of one file exclude each other.
func TestLockedByLink(t *testing.T) {
	path, link := linked(t)
	s := open(t, path)
	_, err := boltstore.Open(link, boltstore.Config{})
	require.ErrorIs(t, err, boltstore.ErrLocked)
	require.ErrorContains(t, err, link, "the name that was given")
	require.NoError(t, s.Close())
	open(t, link)
	_, err = boltstore.Open(path, boltstore.Config{})
	require.ErrorIs(t, err, boltstore.ErrLocked)
}

// TestDanglingLink: no file is made where a link leads nowhere, and the link stays.
func TestDanglingLink(t *testing.T) {
	path, link := linked(t)
	_, err := boltstore.Open(link, boltstore.Config{})
	require.ErrorIs(t, err, os.ErrNotExist)
	names, err := os.ReadDir(filepath.Dir(link))
	require.NoError(t, err)
	require.Len(t, names, 1)
	require.NoError(t, open(t, path).Close())
	open(t, link)
}

// TestRelative: a process may change its folder while a store is open.
func TestRelative(t *testing.T) {
	boltstore.SetBootID(t, "boot 1")
	dir, elsewhere := t.TempDir(), t.TempDir()
	t.Chdir(dir)
	s, err := boltstore.Open("usage.db", boltstore.Config{})
	require.NoError(t, err)
	t.Chdir(elsewhere)
	l, err := ledger.New(ledger.Config{Store: s})
	require.NoError(t, err)
	_, err = l.Take(t.Context(), key, monthly, 10)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	names, err := os.ReadDir(elsewhere)
	require.NoError(t, err)
	require.Empty(t, names)
	b := balance(t, filepath.Join(dir, "usage.db"))
	require.Equal(t, [2]int64{10, 990}, [2]int64{b.Used, b.Remaining})
}

func TestConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	_, err := boltstore.Open("", boltstore.Config{})
	require.ErrorIs(t, err, boltstore.ErrConfig)
	_, err = boltstore.Open(path, boltstore.Config{Keep: -1})
	require.ErrorIs(t, err, boltstore.ErrConfig)
	require.EqualError(t, err, "boltstore: config: keep -1ns is negative")
	_, err = os.Stat(path)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestVersionZero: there has been no such version, so it is not a newer one.
func TestVersionZero(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	s := open(t, path)
	s.Damage(t, func(tx *bolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("version"), make([]byte, 8)) })
	require.NoError(t, s.Close())
	_, err := boltstore.Open(path, boltstore.Config{})
	require.ErrorIs(t, err, boltstore.ErrFormat)
	require.NotErrorIs(t, err, boltstore.ErrVersion)
}

// TestOtherSystem: a file from a system with another page size or byte order is refused.
func TestOtherSystem(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pages.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: 2 * os.Getpagesize()})
	require.NoError(t, err)
	require.NoError(t, db.Close())
	_, err = boltstore.Open(path, boltstore.Config{})
	require.ErrorIs(t, err, boltstore.ErrFormat)
	require.ErrorContains(t, err, "written with pages of")

	path = filepath.Join(t.TempDir(), "order.db")
	filled(t, path)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	swapMetas(b)
	require.NoError(t, os.WriteFile(path, b, 0o600))
	_, err = boltstore.Open(path, boltstore.Config{})
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
