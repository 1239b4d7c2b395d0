package boltstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
	bolt "go.etcd.io/bbolt"
)

// compacted makes an open file that has rows, part of whose entries are in the log and part in the base.
func compacted(t *testing.T, path string) *boltstore.Store {
	t.Helper()
	filled(t, path)
	time.Sleep(2 * time.Hour)
	for range 2 { // closing folds and compacts
		s, err := boltstore.Open(path, boltstore.Config{Keep: time.Hour})
		require.NoError(t, err)
		for range 10 {
			apply(t, s, charge("subject1", 1), charge("subject2", 1))
		}
		require.NoError(t, s.Close())
	}
	return open(t, path)
}

// TestDisagreement: values that are whole but do not agree with each other are found, by Check and by the next to open
// the file.
func TestDisagreement(t *testing.T) {
	row := func(change func(*ledger.State)) func(*bolt.Tx) error {
		return func(tx *bolt.Tx) error {
			rows := tx.Bucket([]byte("accounts"))
			key, value := rows.Cursor().First()
			s, err := boltstore.DecodeState(value)
			if err != nil {
				return err
			}
			change(s)
			return rows.Put(key, boltstore.EncodeState(s))
		}
	}
	first := func(bucket string, change func(b *bolt.Bucket, key, value []byte) error) func(*bolt.Tx) error {
		return func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte(bucket))
			key, value := b.Cursor().First()
			return change(b, key, value)
		}
	}
	remove := func(b *bolt.Bucket, key, _ []byte) error { return b.Delete(key) }
	add := func(b *bolt.Bucket, key, value []byte, used, adjustments int64) error {
		sums, err := boltstore.AddSums(value, used, adjustments)
		return errors.Join(err, b.Put(key, sums))
	}
	tests := []struct {
		name   string
		damage func(*bolt.Tx) error
		want   string
	}{
		{"none", row(func(*ledger.State) {}), ""},
		{"used", row(func(s *ledger.State) { s.Used--; s.Days[0].Used-- }), "used of"},
		{"used by day", row(func(s *ledger.State) { s.Days[0].Used-- }), "used by day of"},
		{"used on another day", row(func(s *ledger.State) { s.Days = append(s.Days, ledger.DayTotal{Day: s.Start + 1, Used: 1}) }), "used by day of"},
		{"held", row(func(s *ledger.State) { s.Held++ }), "held by day of"},
		{"held by day", row(func(s *ledger.State) { s.Days[0].Held-- }), "held by day of"},
		{"adjustments", row(func(s *ledger.State) { s.Adjustments++; s.Days[0].Adjustments++ }), "adjustments of"},
		{"adjustments by day", row(func(s *ledger.State) { s.Days[0].Adjustments++ }), "adjustments by day of"},
		{"start", row(func(s *ledger.State) { s.Start++ }), "begins at"},
		{"no row", first("accounts", remove), "without a row"},
		{"no base", first("base", remove), "used of"},
		{"used in the base", first("base", func(b *bolt.Bucket, key, value []byte) error { return add(b, key, value, 1, 0) }), "used of"},
		{"adjustments in the base", first("base", func(b *bolt.Bucket, key, value []byte) error { return add(b, key, value, 0, 1) }), "adjustments of"},
		{"base of nobody", first("base", func(b *bolt.Bucket, _, _ []byte) error { return add(b, []byte("x"), nil, 1, 0) }), "without a row"},
		{"no first record", first("log", remove), "used of"},
		{"no second record", first("log", func(b *bolt.Bucket, _, _ []byte) error {
			c := b.Cursor()
			c.First()
			key, _ := c.Next()
			return b.Delete(key)
		}), "is missing"},
		{"key of a record", first("log", func(b *bolt.Bucket, _, value []byte) error { return b.Put([]byte("x"), value) }), "log key"},
		{"fold mark", func(tx *bolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("folded"), make([]byte, 8)) }, "used of"},
		{"length of fold mark", func(tx *bolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("folded"), nil) }, "no version"},
		{"no bucket", func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("base")) }, "no bucket"},
		{"checksum", first("accounts", func(b *bolt.Bucket, key, value []byte) error {
			return b.Put(key, append(value[:len(value)-1:len(value)-1], value[len(value)-1]^1))
		}), "checksum"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "usage.db")
				s := compacted(t, path)
				require.NoError(t, s.Check(t.Context()))
				s.Damage(t, tt.damage)
				b, err := os.ReadFile(path)
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(path+".copy", b, 0o600))
				again, openErr := boltstore.Open(path+".copy", boltstore.Config{})
				if tt.want == "" {
					require.NoError(t, openErr)
					require.NoError(t, again.Close())
					require.NoError(t, s.Check(t.Context()))
					return
				}
				for _, err := range []error{s.Check(t.Context()), openErr} {
					require.ErrorIs(t, err, boltstore.ErrFormat)
					require.ErrorContains(t, err, tt.want)
				}
			})
		})
	}
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

// TestCheckEnds: a check ends with its context, wherever it is: in base, log or rows.
func TestCheckEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := compacted(t, filepath.Join(t.TempDir(), "usage.db"))
		values := 0
		s.Damage(t, func(tx *bolt.Tx) error {
			for _, name := range []string{"base", "log", "accounts"} {
				n := tx.Bucket([]byte(name)).Stats().KeyN
				require.GreaterOrEqual(t, n, 10, name)
				values += n
			}
			return nil
		})
		looks := &lapsing{t.Context(), 1 << 20}
		require.NoError(t, s.Check(looks))
		require.GreaterOrEqual(t, 1<<20-looks.left, values)
		for n := range 1<<20 - looks.left {
			require.ErrorIs(t, s.Check(&lapsing{t.Context(), n}), context.Canceled, fmt.Sprint(n))
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, open(t, filepath.Join(t.TempDir(), "empty.db")).Check(ctx), context.Canceled)
}

// TestCheckMeanwhile: other calls get through while a file is checked again and again, also when it grows out of its map.
func TestCheckMeanwhile(t *testing.T) {
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
	op := charge("a", 1)
	op.Reason = strings.Repeat("x", 500)
	for range 40 {
		apply(t, s, slices.Repeat([]ledger.Op{op}, 100)...)
		for _, err := range s.Accounts(t.Context(), op.Account.Key, start, start) {
			require.NoError(t, err)
		}
	}
	close(done)
	wg.Wait()
	require.NoError(t, s.Check(t.Context()))
}
