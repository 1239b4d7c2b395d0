package boltstore_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
)

func open(t testing.TB, path string) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// put gives keys new rows in one Update. An empty row deletes.
func put(t testing.TB, s *boltstore.Store, rows map[string]string) {
	t.Helper()
	require.NoError(t, tryPut(s, rows))
}

func tryPut(s *boltstore.Store, rows map[string]string) error {
	keys := slices.Collect(maps.Keys(rows))
	return s.Update(context.Background(), keys, func(i int, _ []byte) ([]byte, error) {
		return append([]byte{}, rows[keys[i]]...), nil
	})
}

// rowsOf is all that a store has.
func rowsOf(t testing.TB, s *boltstore.Store) map[string]string {
	t.Helper()
	rows, err := tryRows(s)
	require.NoError(t, err)
	return rows
}

func tryRows(s *boltstore.Store) (map[string]string, error) {
	rows := make(map[string]string)
	for key, err := range s.Keys(context.Background(), "") {
		if err != nil {
			return nil, err
		}
		row, err := s.Load(context.Background(), key)
		if err != nil {
			return nil, err
		}
		rows[key] = string(row)
	}
	return rows, nil
}

// TestAgainstMap: a store over many checkpoints, openings and kills is as a map.
func TestAgainstMap(t *testing.T) {
	boltstore.SetLimits(t, boltstore.Small)
	dir := t.TempDir()
	path := filepath.Join(dir, "usage.db")
	s := open(t, path)
	want := make(map[string]string)
	checkpoints, kills := 0, 0
	for round := range 600 {
		before := s.Extent()
		changes := make(map[string]string)
		for range 1 + rand.IntN(8) {
			row := strings.Repeat(string(rune('a'+rand.IntN(26))), rand.IntN(60))
			if rand.IntN(20) == 0 {
				row = strings.Repeat("long", 3000)
			}
			changes[fmt.Sprintf("key %d", rand.IntN(60))] = row
		}
		put(t, s, changes)
		for key, row := range changes {
			if want[key] = row; row == "" {
				delete(want, key)
			}
		}
		if now := s.Extent(); now.First > before.First {
			checkpoints++
		}
		switch rand.IntN(30) {
		case 0:
			require.NoError(t, s.Close())
			s = open(t, path)
		case 1: // what a killed process leaves
			kills++
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			path = filepath.Join(dir, fmt.Sprintf("%d.db", round))
			require.NoError(t, os.WriteFile(path, b, 0o600))
			require.NoError(t, s.Close())
			s = open(t, path)
		case 2:
			require.NoError(t, s.Check(t.Context()))
		}
		require.Equal(t, want, rowsOf(t, s))
	}
	require.Greater(t, checkpoints, 20)
	require.Positive(t, kills)
}

// TestKeysWhileChanging: keys that stay are yielded once while others come and go and checkpoints happen.
func TestKeysWhileChanging(t *testing.T) {
	boltstore.SetLimits(t, boltstore.Small)
	s := open(t, filepath.Join(t.TempDir(), "usage.db"))
	const n = 2500
	all := make(map[string]string)
	for i := range n {
		all[fmt.Sprintf("a%04d", i)] = "x"
	}
	all["b"], all["A"] = "y", "y"
	put(t, s, all)
	seen := make(map[string]int)
	i := 0
	for key, err := range s.Keys(t.Context(), "a") {
		require.NoError(t, err)
		seen[key]++
		if i++; i%50 == 0 {
			put(t, s, map[string]string{fmt.Sprintf("a%04d", (i*7)%n): "z", fmt.Sprintf("new%d", i): "w", fmt.Sprintf("new%d", i-50): ""})
		}
	}
	require.Len(t, seen, n)
	for key, times := range seen {
		require.Equal(t, 1, times, key)
	}
	for range s.Keys(t.Context(), "a") {
		break
	}
}

// TestBounds: what the contract does not allow is an error, and changes nothing.
func TestBounds(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "usage.db"))
	long := strings.Repeat("k", 1200)
	most := strings.Repeat("r", 1<<16)
	put(t, s, map[string]string{long: most, "\x00": "zero"})
	want := rowsOf(t, s)
	require.Equal(t, map[string]string{long: most, "\x00": "zero"}, want)
	for _, rows := range []map[string]string{{"": "x"}, {long + "k": "x"}, {"a": most + "r"}} {
		require.Error(t, tryPut(s, rows))
		require.Equal(t, want, rowsOf(t, s))
	}
	_, err := s.Load(t.Context(), "")
	require.Error(t, err)
	require.NoError(t, s.Update(t.Context(), nil, nil))
}

// TestErrorOfF: nothing is changed, and the store goes on. So does it after a panic.
func TestErrorOfF(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "usage.db"))
	put(t, s, map[string]string{"a": "1"})
	extent := s.Extent()
	update := func(fail func() error) error {
		return s.Update(t.Context(), []string{"a", "b", "c"}, func(i int, _ []byte) ([]byte, error) {
			if i == 1 {
				return nil, fail()
			}
			return []byte("2"), nil
		})
	}
	require.ErrorIs(t, update(func() error { return os.ErrInvalid }), os.ErrInvalid)
	require.Panics(t, func() { _ = update(func() error { panic("f") }) })
	require.Equal(t, map[string]string{"a": "1"}, rowsOf(t, s))
	require.Equal(t, extent, s.Extent(), "no commit")
}

// TestOwner: no two openings have the same number, and a zero Store has none.
func TestOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	for want := range uint32(4) {
		s, err := boltstore.Open(path)
		require.NoError(t, err)
		require.Equal(t, want+1, s.Owner())
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, s.Close())
		if want%2 == 0 { // as a killed process leaves it
			require.NoError(t, os.WriteFile(path, b, 0o600))
		}
	}
	require.Zero(t, new(boltstore.Store).Owner())
}

// TestLoadIsACopy of what the store has in memory or in the file.
func TestLoadIsACopy(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "usage.db"))
	put(t, s, map[string]string{"a": "row"})
	for range 2 {
		row, err := s.Load(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, "row", string(row))
		copy(row, bytes.Repeat([]byte{'x'}, 3))
	}
	row, err := s.Load(t.Context(), "none")
	require.NoError(t, err)
	require.Nil(t, row)
}
