package boltstore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
	bolt "go.etcd.io/bbolt"
)

// TestUnreadableRowIsNamed: an Update that meets a damaged row says for which of its keys. That may be one without a
// row, which is the neighbour of the damaged one.
func TestUnreadableRowIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	s := open(t, path)
	put(t, s, map[string]string{"a": "1", "b": "2", "d": "3"})
	require.NoError(t, s.Close())
	s = open(t, path)
	damage(t, s, "b")
	for _, key := range []string{"b", "bb", "c"} {
		err := s.Update(t.Context(), []string{"a", key, "d"}, func(int, []byte) ([]byte, error) { return []byte("9"), nil })
		require.ErrorIs(t, err, boltstore.ErrFormat)
		var named interface{ Row() string }
		require.ErrorAs(t, err, &named)
		require.Equal(t, key, named.Row())
	}
	require.Equal(t, "1", string(load(t, s, "a")), "nothing has changed")
}

func load(t *testing.T, s *boltstore.Store, key string) []byte {
	t.Helper()
	row, err := s.Load(t.Context(), key)
	require.NoError(t, err)
	return row
}

// damage flips a bit of a row in its bucket.
func damage(t *testing.T, s *boltstore.Store, key string) {
	s.Damage(t, func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("rows"))
		value := append([]byte(nil), b.Get([]byte(key))...)
		value[1] ^= 1
		return b.Put([]byte(key), value)
	})
}

const customers = 4

func customer(i int) ledger.Key { return ledger.Key{Plan: "gold", Subject: fmt.Sprint("customer ", i)} }

// used makes a file in which each customer has adjustments on a page, and old accounts, and crossings that nobody has
// been told.
func used(t *testing.T, path string) (rows []string) {
	s := open(t, path)
	l, err := ledger.New(ledger.Config{Engine: s, Exact: true})
	require.NoError(t, err)
	for i := range customers {
		ref, err := l.Ref(customer(i))
		require.NoError(t, err)
		for month := range 9 {
			_, err = ref.TakeAt(t.Context(), time.Now().AddDate(0, 0, 31*(month-9)), monthly(), 600)
			require.NoError(t, err)
		}
		for n := range 5 {
			_, err = l.Extend(t.Context(), customer(i), monthly(), ledger.Adjustment{ID: fmt.Sprint(n), Delta: 1})
			require.NoError(t, err)
		}
	}
	for row, err := range s.Keys(t.Context(), "") {
		require.NoError(t, err)
		rows = append(rows, row)
	}
	require.NoError(t, l.Close())
	require.NoError(t, s.Close())
	return rows
}

// TestUnreadableRowConcernsItsKeyAlone: whichever row is damaged, a ledger starts over the file, and refuses its
// customer at most. All others are served, also those that are in one commit with that one.
func TestUnreadableRowConcernsItsKeyAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	rows, letters := used(t, path), make(map[byte]bool)
	good := readFile(t, path)
	for _, row := range rows {
		letters[row[0]] = true
		require.NoError(t, os.WriteFile(path, good, 0o600))
		s := open(t, path)
		damage(t, s, row)
		for _, exact := range []bool{true, false} {
			l, err := ledger.New(ledger.Config{Engine: s, Exact: exact, OnThreshold: func(ledger.Crossing) {}})
			require.NoError(t, err, "%q", row)
			for key, err := range refused(t, l) {
				require.True(t, strings.Contains(row, key.Plan+key.Subject), "%q is damaged, %v", row, err)
			}
			_ = l.Close()
		}
		require.NoError(t, s.Close())
	}
	require.Len(t, letters, 4, "heads, history, pages and the index")
}

// refused are the customers for whom a call fails, of calls that come at once.
func refused(t *testing.T, l *ledger.Ledger) map[ledger.Key]error {
	var mu sync.Mutex
	failed := make(map[ledger.Key]error)
	var calls sync.WaitGroup
	for i := range customers {
		for _, call := range []func(context.Context, ledger.Key) error{
			func(ctx context.Context, key ledger.Key) error {
				_, err := l.Take(ctx, key, monthly(), 1)
				return err
			},
			func(ctx context.Context, key ledger.Key) error {
				_, err := l.Extend(ctx, key, monthly(), ledger.Adjustment{ID: "new", Delta: 1})
				return err
			},
		} {
			calls.Go(func() {
				if err := call(t.Context(), customer(i)); err != nil {
					mu.Lock()
					defer mu.Unlock()
					failed[customer(i)] = err
				}
			})
		}
	}
	calls.Wait()
	return failed
}
