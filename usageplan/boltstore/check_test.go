package boltstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	bolt "go.etcd.io/bbolt"
)

// halfway makes an open file with rows in the bucket and records in both logs.
func halfway(t *testing.T, path string) *boltstore.Store {
	t.Helper()
	boltstore.SetLimits(t, boltstore.Limits{PerRow: 100, MinBytes: 40 << 9, MaxBytes: 40 << 9, FlushRows: 9})
	filled(t, path)
	s := open(t, path)
	for i := range 45 {
		put(t, s, map[string]string{fmt.Sprint("more", i): "new"})
	}
	require.True(t, s.Extent().Checkpoint)
	return s
}

// named is the name of a bucket. Those of the logs have the number of their first record.
func named(tx *bolt.Tx, bucket string) []byte {
	var logs [][]byte
	_ = tx.ForEach(func(name []byte, _ *bolt.Bucket) error {
		if bytes.HasPrefix(name, []byte("log ")) {
			logs = append(logs, name)
		}
		return nil
	})
	switch bucket {
	case "older log":
		return logs[0]
	case "newer log":
		return logs[1]
	}
	return []byte(bucket)
}

// TestDisagreement: values that are whole but are not what the state says are found, by the next to open the file, and,
// but for the order of records, by Check.
func TestDisagreement(t *testing.T) {
	first := func(bucket string, change func(b *bolt.Bucket, key, value []byte) error) func(*bolt.Tx) error {
		return func(tx *bolt.Tx) error {
			b := tx.Bucket(named(tx, bucket))
			key, value := b.Cursor().First()
			return change(b, key, value)
		}
	}
	last := func(bucket string) func(*bolt.Tx) error {
		return func(tx *bolt.Tx) error {
			b := tx.Bucket(named(tx, bucket))
			key, _ := b.Cursor().Last()
			return b.Delete(key)
		}
	}
	remove := func(b *bolt.Bucket, key, _ []byte) error { return b.Delete(key) }
	counts := func(bucket string, more uint64) func(*bolt.Tx) error {
		return func(tx *bolt.Tx) error {
			b := tx.Bucket(named(tx, bucket))
			return b.SetSequence(b.Sequence() + more)
		}
	}
	for name, damage := range map[string]func(*bolt.Tx) error{
		"a row is missing": first("rows", remove),
		"a row is an older one": first("rows", func(b *bolt.Bucket, key, _ []byte) error {
			return b.Put(key, boltstore.Seal(string(key), []byte("older")))
		}),
		"a row too many":                first("rows", func(b *bolt.Bucket, _, _ []byte) error { return b.Put([]byte("x"), boltstore.Seal("x", []byte("y"))) }),
		"the first record is missing":   first("older log", remove),
		"the last record is missing":    last("newer log"),
		"the last of the older log":     last("older log"),
		"the first of the newer log":    first("newer log", remove),
		"a record under another number": first("older log", func(b *bolt.Bucket, _, value []byte) error { return b.Put([]byte("12345678"), value) }),
		"a log of another name": func(tx *bolt.Tx) error {
			old := tx.Bucket(named(tx, "newer log"))
			name := append([]byte("log "), bytes.Repeat([]byte{9}, 8)...)
			b, err := tx.CreateBucket(name)
			if err != nil {
				return err
			}
			if err := old.ForEach(b.Put); err != nil {
				return err
			}
			return tx.DeleteBucket(named(tx, "newer log"))
		},
		"the older log counts more": counts("older log", 1),
		"the newer log counts more": counts("newer log", 1),
		"the newer log counts less": counts("newer log", ^uint64(0)),
		"a log is missing":          func(tx *bolt.Tx) error { return tx.DeleteBucket(named(tx, "newer log")) },
		"the state is missing":      func(tx *bolt.Tx) error { return tx.Bucket([]byte("meta")).Delete([]byte("state")) },
		"a bucket in a bucket": func(tx *bolt.Tx) error {
			_, err := tx.Bucket([]byte("rows")).CreateBucket([]byte("b"))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "usage.db")
			s := halfway(t, path)
			require.NoError(t, s.Check(t.Context()))
			s.Damage(t, damage)
			inMemory := name == "the state is missing" || name == "a log of another name" || strings.Contains(name, " counts ")
			if !inMemory { // else the store does not look for it in the file
				require.ErrorIs(t, s.Check(t.Context()), boltstore.ErrFormat)
			}
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path+".copy", b, 0o600))
			_, err = boltstore.Open(path + ".copy")
			require.ErrorIs(t, err, boltstore.ErrFormat)
			s.Drop() // Close would not know what to make of it
		})
	}
}

// TestOnlyLogIsMissing: a log that is missing is found although no commit after its first has written the state.
func TestOnlyLogIsMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	s := open(t, path)
	put(t, s, map[string]string{"a": "1"})
	put(t, s, map[string]string{"a": "2"})
	s.Damage(t, func(tx *bolt.Tx) error { return tx.DeleteBucket(named(tx, "older log")) })
	require.ErrorIs(t, s.Check(t.Context()), boltstore.ErrFormat)
	s.Drop()
	_, err := s.Load(t.Context(), "a")
	require.ErrorIs(t, err, boltstore.ErrFormat)
}

// TestDamagedRow concerns calls with its key alone, and goes when the key gets a new row.
func TestDamagedRow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	s := open(t, path)
	put(t, s, map[string]string{"a": "1", "b": "2", "c": "3"})
	require.NoError(t, s.Close())
	s = open(t, path)
	s.Damage(t, func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("rows"))
		value := append([]byte(nil), b.Get([]byte("b"))...)
		value[0] ^= 1
		return b.Put([]byte("b"), value)
	})
	for range 2 {
		_, err := s.Load(t.Context(), "b")
		require.ErrorIs(t, err, boltstore.ErrFormat)
		require.ErrorContains(t, err, `"b"`)
		requireRow(t, "b", err)
		err = tryPut(s, map[string]string{"a": "4", "b": "4"})
		require.ErrorIs(t, err, boltstore.ErrFormat)
		requireRow(t, "b", err)
		requireRow(t, "bb", tryPut(s, map[string]string{"bb": "1"}))
		require.ErrorIs(t, s.Check(t.Context()), boltstore.ErrFormat)
		row, err := s.Load(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, "1", string(row), "a failed Update changes nothing")
	}
	put(t, s, map[string]string{"a": "5", "c": "6", "z": "7"})
	require.NoError(t, s.Close())
	s = open(t, path)
	row, err := s.Load(t.Context(), "c")
	require.NoError(t, err)
	require.Equal(t, "6", string(row))
}

// requireRow requires that an error tells which key to leave out: the caller's, also if the damage is in a neighbouring
// row.
func requireRow(t *testing.T, want string, err error) {
	t.Helper()
	damaged, ok := errors.AsType[interface {
		error
		Row() string
	}](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, want, damaged.Row())
}

// lapsing is a context that is over when it has been looked at so many times.
type lapsing struct {
	context.Context
	left int
}

func (c *lapsing) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestCheckEnds: a check ends with its context, wherever it is.
func TestCheckEnds(t *testing.T) {
	s := halfway(t, filepath.Join(t.TempDir(), "usage.db"))
	looks := &lapsing{t.Context(), 1 << 20}
	require.NoError(t, s.Check(looks))
	require.Greater(t, 1<<20-looks.left, 90, "each row and record")
	for n := range 1<<20 - looks.left {
		require.ErrorIs(t, s.Check(&lapsing{t.Context(), n}), context.Canceled, fmt.Sprint(n))
	}
}

// TestCheckMeanwhile: other calls get through while a file is checked again and again, also when it grows out of its
// map.
func TestCheckMeanwhile(t *testing.T) {
	boltstore.SetLimits(t, boltstore.Small)
	s := open(t, filepath.Join(t.TempDir(), "usage.db"))
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := s.Check(context.Background()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 60 {
		rows := make(map[string]string)
		for j := range 50 {
			rows[fmt.Sprint("key", i*j)] = fmt.Sprintf("%500d", i)
		}
		put(t, s, rows)
	}
	close(done)
	wg.Wait()
	require.NoError(t, s.Check(t.Context()))
}

// FuzzRecord: any bytes under a right checksum are rows or an error.
func FuzzRecord(f *testing.F) {
	f.Add([]byte("\x01a\x03row\x02bc\x00"))
	f.Add([]byte("\x01a\xff"))
	f.Fuzz(func(t *testing.T, body []byte) {
		rows, err := boltstore.ReadRecord(7, boltstore.Seal("\x00\x00\x00\x00\x00\x00\x00\x07", body))
		if err != nil {
			require.ErrorIs(t, err, boltstore.ErrFormat)
			return
		}
		size := 0
		for _, row := range rows {
			size += len(row[0]) + len(row[1]) + 2
		}
		require.LessOrEqual(t, size, len(body))
	})
}
