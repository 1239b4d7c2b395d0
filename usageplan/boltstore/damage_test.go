package boltstore_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	bolt "go.etcd.io/bbolt"
)

// filled makes a closed file with some rows, and returns them.
func filled(t testing.TB, path string) map[string]string {
	t.Helper()
	rows := make(map[string]string)
	for range 3 {
		s, err := boltstore.Open(path)
		require.NoError(t, err)
		for range 10 {
			changes := make(map[string]string)
			for range 20 {
				changes[fmt.Sprint("subject", rand.IntN(50))] = strings.Repeat("x", 1+rand.IntN(99))
			}
			put(t, s, changes)
			maps.Insert(rows, maps.All(changes))
		}
		require.NoError(t, s.Close())
	}
	return rows
}

func TestLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	first := open(t, path)
	_, err := boltstore.Open(path)
	require.ErrorIs(t, err, boltstore.ErrLocked)
	require.EqualError(t, err, "boltstore: open "+path+": boltstore: file is in use")
	require.NoError(t, first.Close())
	open(t, path)
}

// TestZero: a Store that was never opened refuses.
func TestZero(t *testing.T) {
	var s boltstore.Store
	require.ErrorIs(t, tryPut(&s, nil), boltstore.ErrClosed)
	_, err := tryRows(&s)
	require.ErrorIs(t, err, boltstore.ErrClosed)
	_, err = s.Load(t.Context(), "a")
	require.ErrorIs(t, err, boltstore.ErrClosed)
	require.ErrorIs(t, s.Check(t.Context()), boltstore.ErrClosed)
	require.NoError(t, s.Close())
	var none *boltstore.Store
	require.NoError(t, none.Close())
	_, err = boltstore.Open("")
	require.ErrorIs(t, err, os.ErrInvalid)
	require.EqualError(t, err, "boltstore: no path: invalid argument")
}

func TestNewerVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	filled(t, path)
	db, err := bolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("version"), binary.BigEndian.AppendUint64(nil, 3))
	}))
	require.NoError(t, db.Close())
	_, err = boltstore.Open(path)
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
			_, err := boltstore.Open(path)
			require.ErrorIs(t, err, boltstore.ErrFormat)
		})
	}
	_, err := boltstore.Open(filepath.Join(t.TempDir(), "no", "such", "folder"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = boltstore.Open(t.TempDir())
	require.Error(t, err, "a folder")
}

// TestEmptyFile: an empty file that was made beforehand is as none, and keeps its permissions; one that has been in use
// is damaged.
func TestEmptyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	require.NoError(t, os.WriteFile(path, nil, 0o640))
	want := filled(t, path)
	s := open(t, path)
	got := rowsOf(t, s)
	require.Equal(t, want, got)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), info.Mode().Perm())
	require.NoError(t, s.Close())
	names, err := filepath.Glob(path + ".new-*")
	require.NoError(t, err)
	require.Empty(t, names)

	require.NoError(t, os.WriteFile(path, nil, 0o640))
	_, err = boltstore.Open(path)
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
	require.Equal(t, want, rowsOf(t, open(t, path)))
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
	got := rowsOf(t, s)
	require.Equal(t, want, got)
	require.NoError(t, s.Close())
	require.NoError(t, os.Truncate(path, 0))
	_, err := boltstore.Open(path)
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
			s, err := boltstore.Open(path)
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

// TestTornSectors: so it is with a sector that has nothing, noise, or what stands elsewhere in the file, as an older
// copy of it does.
func TestTornSectors(t *testing.T) {
	const sector = 512
	path := filepath.Join(t.TempDir(), "usage.db")
	want := killed(t, path)
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	n, refused := 75, 0
	if os.Getenv("TALLYGATE_HEAVY") != "" {
		n = 2000
	}
	metas, sectors := 2*os.Getpagesize()/sector, len(good)/sector
	for range n {
		at := metas + rand.IntN(sectors-metas)
		torn := make([]byte, sector)
		switch rand.IntN(3) {
		case 0:
			copy(torn, good[rand.IntN(sectors)*sector:])
		case 1:
			for i := range torn {
				torn[i] = byte(rand.Uint32())
			}
		}
		bad := append([]byte(nil), good...)
		copy(bad[at*sector:], torn)
		require.NoError(t, os.WriteFile(path, bad, 0o600))
		if refusedOr(t, path, want, fmt.Sprintf("sector %d of %d", at, sectors)) {
			refused++
		}
	}
	require.NotZero(t, refused)
	t.Logf("%d of %d refused", refused, n)
}

// refusedOr reports whether a file is refused. If it is not, no key may have a wrong row: it has the right one, or it
// cannot be read.
func refusedOr(t *testing.T, path string, want map[string]string, what string) bool {
	t.Helper()
	s, err := boltstore.Open(path)
	if err != nil {
		require.Condition(t, func() bool { return errors.Is(err, boltstore.ErrFormat) || errors.Is(err, boltstore.ErrVersion) }, "%s: %v", what, err)
		return true
	}
	defer s.Close()
	unread := 0
	for key, row := range want {
		got, err := s.Load(t.Context(), key)
		if err != nil {
			require.ErrorIs(t, err, boltstore.ErrFormat, what)
			unread++
			continue
		}
		require.Equal(t, row, string(got), "%s: %s", what, key)
	}
	require.LessOrEqual(t, unread, 1, what)
	row, err := s.Load(t.Context(), "nobody")
	require.Nil(t, row, what)
	all := 0
	for key, keysErr := range s.Keys(t.Context(), "") {
		if keysErr != nil {
			err = keysErr
			break
		}
		require.Contains(t, want, key, what)
		all++
	}
	if err == nil {
		require.Equal(t, len(want), all, what)
	}
	if err := s.Check(t.Context()); unread > 0 || err != nil {
		require.ErrorIs(t, err, boltstore.ErrFormat, what)
	}
	return false
}

// TestFlippedBits: a damaged file is refused, or only the row that is damaged cannot be read. It never panics and never
// shows other rows, nor hides one.
func TestFlippedBits(t *testing.T) {
	for name, make := range map[string]func(t *testing.T, path string) map[string]string{
		"closed": func(t *testing.T, path string) map[string]string { return filled(t, path) },
		"killed": killed,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "usage.db")
			want := make(t, path)
			good, err := os.ReadFile(path)
			require.NoError(t, err)
			step := 509
			if os.Getenv("TALLYGATE_HEAVY") != "" {
				step = 127
			}
			refused, n := 0, 0
			for _, at := range flips(good, step, "subject7") {
				if name == "killed" && at < 2*os.Getpagesize() {
					continue // see killed
				}
				bad := append([]byte(nil), good...)
				bad[at] ^= 1 << rand.IntN(8)
				require.NoError(t, os.WriteFile(path, bad, 0o600))
				n++
				if refusedOr(t, path, want, fmt.Sprintf("byte %d of %d", at, len(bad))) {
					refused++
				}
			}
			require.NotZero(t, refused)
			t.Logf("%d of %d refused", refused, n)
		})
	}
}

// flips returns the places of a file at which a test flips a bit: every step-th from a random one, and each place where
// the file has text. One of these must be in use, so a test that notices nothing at all is wrong. Of the others, most
// may be in free pages.
func flips(file []byte, step int, text string) (places []int) {
	for at := rand.IntN(step); at < len(file); at += step {
		places = append(places, at)
	}
	for at := 0; ; at++ {
		next := bytes.Index(file[at:], []byte(text))
		if next < 0 {
			return places
		}
		at += next
		places = append(places, at)
	}
}

// killed makes a file with both logs, as a killed process leaves it. A flipped bit in its newer meta page cannot be
// told from a commit that the power cut has torn: that page is then left out, and the commit with it.
func killed(t *testing.T, path string) map[string]string {
	boltstore.SetLimits(t, boltstore.Limits{PerRow: 100, MinBytes: 40 << 9, MaxBytes: 40 << 9, FlushRows: 9})
	want := filled(t, path)
	s := open(t, path)
	for i := range 45 {
		rows := map[string]string{fmt.Sprint("subject", i): "new", fmt.Sprint("more", i): "new"}
		put(t, s, rows)
		maps.Insert(want, maps.All(rows))
	}
	require.True(t, s.Extent().Checkpoint)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, os.WriteFile(path, b, 0o600))
	return want
}
