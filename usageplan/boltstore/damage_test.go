package boltstore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
	bolt "go.etcd.io/bbolt"
)

const start = int64(1_700_006_400)

func charge(subject string, n int64) ledger.Op {
	a := ledger.Account{Key: ledger.Key{Plan: "plan", Subject: subject}, Start: start}
	return ledger.Op{Kind: ledger.KindCharge, Account: a, Day: start, Time: start + 1, Limit: 1 << 40, Want: n, Min: n}
}

func apply(t testing.TB, s *boltstore.Store, ops ...ledger.Op) []ledger.Outcome {
	t.Helper()
	outs, err := s.Apply(context.Background(), ops)
	require.NoError(t, err)
	return outs
}

// filled makes a closed file with some accounts, folded and not, and returns what each has used.
func filled(t testing.TB, path string) map[string]int64 {
	t.Helper()
	used := make(map[string]int64)
	for i := range 50 {
		used[fmt.Sprint("subject", i)] = 0
	}
	for range 3 {
		s, err := boltstore.Open(path, boltstore.Config{})
		require.NoError(t, err)
		for range 10 {
			var batch []ledger.Op
			for i := range 20 {
				name := fmt.Sprint("subject", rand.IntN(50))
				batch = append(batch, charge(name, int64(1+i)))
				used[name] += int64(1 + i)
			}
			apply(t, s, batch...)
		}
		require.NoError(t, s.Close())
	}
	return used
}

func usedBy(s *boltstore.Store) (map[string]int64, error) {
	used := make(map[string]int64)
	for i := range 50 {
		name := fmt.Sprint("subject", i)
		outs, err := s.Apply(context.Background(), []ledger.Op{{Kind: ledger.KindRead, Account: charge(name, 0).Account}})
		if err != nil {
			return nil, err
		}
		used[name] = outs[0].Totals.Used
	}
	return used, nil
}

func TestLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	first := open(t, path)
	_, err := boltstore.Open(path, boltstore.Config{})
	require.ErrorIs(t, err, boltstore.ErrLocked)
	require.EqualError(t, err, "boltstore: open "+path+": boltstore: file is in use")
	require.NoError(t, first.Close())
	open(t, path)
}

// TestZero: a Store that was never opened refuses.
func TestZero(t *testing.T) {
	var s boltstore.Store
	_, err := s.Apply(t.Context(), nil)
	require.ErrorIs(t, err, boltstore.ErrClosed)
	for _, err := range s.Accounts(t.Context(), key, 0, 1) {
		require.ErrorIs(t, err, boltstore.ErrClosed)
	}
	for _, err := range s.Entries(t.Context(), 0) {
		require.ErrorIs(t, err, boltstore.ErrClosed)
	}
	_, err = s.Slot(1)
	require.ErrorIs(t, err, boltstore.ErrClosed)
	require.ErrorIs(t, s.Check(t.Context()), boltstore.ErrClosed)
	require.NoError(t, s.Close())
	var none *boltstore.Store
	require.NoError(t, none.Close())
	_, err = ledger.New(ledger.Config{Store: none})
	require.ErrorIs(t, err, ledger.ErrConfig)
	require.EqualError(t, err, "ledger: config: no store")
	_, err = boltstore.Open("", boltstore.Config{})
	require.EqualError(t, err, "boltstore: config: no path")
}

func TestNewerVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	filled(t, path)
	db, err := bolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("version"), binary.BigEndian.AppendUint64(nil, 2))
	}))
	require.NoError(t, db.Close())
	_, err = boltstore.Open(path, boltstore.Config{})
	require.ErrorIs(t, err, boltstore.ErrVersion)
}

func TestNoLedgerFile(t *testing.T) {
	tests := []struct {
		name string
		make func(path string) error
	}{
		{"text", func(path string) error { return os.WriteFile(path, make([]byte, 1<<16), 0o600) }},
		{"another bbolt file", func(path string) error {
			db, err := bolt.Open(path, 0o600, nil)
			if err != nil {
				return err
			}
			return db.Close()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "usage.db")
			require.NoError(t, tt.make(path))
			_, err := boltstore.Open(path, boltstore.Config{})
			require.ErrorIs(t, err, boltstore.ErrFormat)
		})
	}
	_, err := boltstore.Open(filepath.Join(t.TempDir(), "no", "such", "folder"), boltstore.Config{})
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = boltstore.Open(t.TempDir(), boltstore.Config{})
	require.Error(t, err, "a folder")
	_, err = boltstore.Open("x", boltstore.Config{Keep: -1})
	require.Error(t, err)
}

// TestFlippedBits: a damaged file is refused, or it shows exactly what it held before (the damage met free space, or
// the older of bbolt's two meta pages). It never panics and never shows other numbers.
func TestFlippedBits(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "usage.db")
	want := filled(t, path)
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	n := 150
	if os.Getenv("TALLYGATE_HEAVY") != "" {
		n = 1500
	}
	refused := 0
	for range n {
		bad := append([]byte(nil), good...)
		at := rand.IntN(len(bad))
		bad[at] ^= 1 << rand.IntN(8)
		require.NoError(t, os.WriteFile(path, bad, 0o600))
		refused += refusedOr(t, path, want, fmt.Sprintf("byte %d of %d", at, len(bad)))
	}
	require.NotZero(t, refused)
	t.Logf("%d of %d refused", refused, n)
}

// TestEmptyFile: an empty file that was made beforehand is as none, and keeps its permissions; one that has been in use is
// damaged.
func TestEmptyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	require.NoError(t, os.WriteFile(path, nil, 0o640))
	want := filled(t, path)
	s := open(t, path)
	got, err := usedBy(s)
	require.NoError(t, err)
	require.Equal(t, want, got)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), info.Mode().Perm())
	require.NoError(t, s.Close())
	names, err := filepath.Glob(path + ".new-*")
	require.NoError(t, err)
	require.Empty(t, names)

	require.NoError(t, os.WriteFile(path, nil, 0o640))
	_, err = boltstore.Open(path, boltstore.Config{})
	require.ErrorIs(t, err, boltstore.ErrFormat)
}

// TestEmptyFileByLink: it is filled where it is, and the link to it stays.
func TestEmptyFileByLink(t *testing.T) {
	path, link := linked(t)
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	want := filled(t, link)
	info, err := os.Lstat(link)
	require.NoError(t, err)
	require.Equal(t, os.ModeSymlink, info.Mode().Type())
	got, err := usedBy(open(t, path))
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// TestUnmarked: the lock file says whether the file has been in use. It does not say so of one that an earlier version
// made, nor after a crash before the first Open had ended; a file with something in it is opened all the same.
func TestUnmarked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, os.WriteFile(path+".new-1", []byte("half of a file"), 0o600)) // as a crash leaves one
	want := filled(t, path)
	require.NoError(t, os.Truncate(path+".lock", 0))
	s := open(t, path)
	got, err := usedBy(s)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.NoError(t, s.Close())
	require.NoError(t, os.Truncate(path, 0))
	_, err = boltstore.Open(path, boltstore.Config{})
	require.ErrorIs(t, err, boltstore.ErrFormat, "it has been marked again")
}

// TestEmptyFileOnce: of many that open an empty file at once, one gets it and the others are told that it is in use.
func TestEmptyFileOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	var locked atomic.Int64
	var opened atomic.Pointer[boltstore.Store]
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := boltstore.Open(path, boltstore.Config{})
			if errors.Is(err, boltstore.ErrLocked) {
				locked.Add(1)
			} else if err == nil {
				opened.Store(s)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 7, locked.Load())
	require.NoError(t, opened.Load().Close())
}

func TestTruncated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	want := filled(t, path)
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	for size := 0; size < len(good); size += 2048 {
		require.NoError(t, os.WriteFile(path, good[:size], 0o600))
		refusedOr(t, path, want, fmt.Sprintf("%d bytes of %d", size, len(good)))
	}
}

func refusedOr(t *testing.T, path string, want map[string]int64, what string) int {
	t.Helper()
	s, err := boltstore.Open(path, boltstore.Config{})
	if err != nil {
		require.Condition(t, func() bool { return errors.Is(err, boltstore.ErrFormat) || errors.Is(err, boltstore.ErrVersion) }, "%s: %v", what, err)
		return 1
	}
	got, err := usedBy(s)
	require.NoError(t, err, what)
	require.Equal(t, want, got, what)
	require.NoError(t, s.Close(), what)
	return 0
}
