package boltstore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
	bolt "go.etcd.io/bbolt"
)

// replica is what a reader of a journal has.
type replica struct {
	head  uint64
	items map[string]string
}

// read reads on.
func (r *replica) read(ctx context.Context, j journal.Journal) error {
	items := maps.Clone(r.items)
	head, reset := r.head, false
	for c, err := range j.Changes(ctx, r.head) {
		if err != nil {
			return err
		}
		if c.Snapshot && !reset {
			items, reset = nil, true
		}
		if items == nil {
			items = make(map[string]string)
		}
		for _, it := range c.Items {
			items[it.Name] = string(it.Value)
			if it.Gone {
				delete(items, it.Name)
			}
		}
		head = c.Revision
	}
	r.head, r.items = head, items
	return nil
}

// itemsOf is all that a journal has, and its head.
func itemsOf(t testing.TB, j journal.Journal) (map[string]string, uint64) {
	t.Helper()
	var r replica
	require.NoError(t, r.read(t.Context(), j))
	return r.items, r.head
}

func historyOf(t testing.TB, j journal.Journal, item string) (changes []journal.Change) {
	t.Helper()
	for c, err := range j.History(t.Context(), item) {
		require.NoError(t, err)
		changes = append(changes, c)
	}
	return changes
}

// edit makes a change of items by name and value; "-" removes one.
func edit(pairs ...string) journal.Change {
	c := journal.Change{Time: time.Now().UTC().Round(0), Operation: "Edit", Origin: journal.Origin{Actor: "rig"}}
	for i := 0; i < len(pairs); i += 2 {
		it := journal.Item{Name: pairs[i], Value: []byte(pairs[i+1])}
		if pairs[i+1] == "-" {
			it = journal.Item{Name: pairs[i], Gone: true}
		}
		c.Items = append(c.Items, it)
	}
	return c
}

func appendTo(t testing.TB, j journal.Journal, after uint64, pairs ...string) uint64 {
	t.Helper()
	head, err := j.Append(t.Context(), after, edit(pairs...))
	require.NoError(t, err)
	require.Equal(t, after+1, head)
	return head
}

func someChange() journal.Change {
	pairs := make(map[string]string)
	for range 1 + rand.IntN(30) {
		value := strings.Repeat(string(rune('a'+rand.IntN(26))), rand.IntN(60))
		switch rand.IntN(10) {
		case 0:
			value = strings.Repeat("long", 3000)
		case 1, 2, 3:
			value = "-"
		}
		pairs[fmt.Sprint("item ", rand.IntN(60))] = value
	}
	var flat []string
	for name, value := range pairs {
		flat = append(flat, name, value)
	}
	c := edit(flat...)
	c.Actor = strings.Repeat("actor", rand.IntN(240))
	return c
}

// TestJournalAgainstMemory: over openings, kills and commits of the ledger, a journal of a file is as one in memory,
// from wherever it is read.
func TestJournalAgainstMemory(t *testing.T) {
	boltstore.SetLimits(t, boltstore.Small)
	boltstore.SmallChunks(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "usage.db")
	s := open(t, path)
	want := journal.Memory(0)
	var readers [5]replica
	for round := range uint64(150) {
		c := someChange()
		got := s.Journal("keys", 0)
		for _, j := range []journal.Journal{want, got} {
			head, err := j.Append(t.Context(), round, c)
			require.NoError(t, err)
			require.Equal(t, round+1, head)
			_, err = j.Append(t.Context(), round, c)
			require.ErrorIs(t, err, journal.ErrBehind)
		}
		put(t, s, map[string]string{fmt.Sprint(round % 7): "row"})
		switch rand.IntN(20) {
		case 0:
			require.NoError(t, s.Close())
			s = open(t, path)
		case 1: // what a killed process leaves
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			path = filepath.Join(dir, fmt.Sprintf("%d.db", round))
			require.NoError(t, os.WriteFile(path, b, 0o600))
			require.NoError(t, s.Close())
			s = open(t, path)
		case 2:
			require.NoError(t, s.Check(t.Context()))
		}
		got = s.Journal("keys", 0)
		items, head := itemsOf(t, want)
		r := &readers[rand.IntN(len(readers))]
		require.NoError(t, r.read(t.Context(), got))
		require.Equal(t, items, r.items)
		require.Equal(t, head, r.head)
		item := fmt.Sprint("item ", rand.IntN(60))
		require.Equal(t, historyOf(t, want, item), historyOf(t, got, item))
	}
	require.Len(t, rowsOf(t, s), 7)
}

// TestJournalBeginsWithItsFirstChange: a file from before there were journals opens, and what is refused makes none.
func TestJournalBeginsWithItsFirstChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	want := filled(t, path)
	s := open(t, path)
	j := s.Journal("keys", 0)
	_, err := j.Append(t.Context(), 1, edit("a", "1"))
	require.ErrorIs(t, err, journal.ErrBehind)
	_, err = j.Append(t.Context(), 0, journal.Change{})
	require.ErrorIs(t, err, journal.ErrTooLarge)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = j.Append(ended, 0, edit("a", "1"))
	require.ErrorIs(t, err, context.Canceled)
	items, head := itemsOf(t, j)
	require.Empty(t, items)
	require.Zero(t, head)
	require.Empty(t, historyOf(t, j, "a"))
	require.NotContains(t, bucketsOf(t, s), "items keys")
	appendTo(t, j, 0, "a", "1")
	require.Subset(t, bucketsOf(t, s), []string{"items keys", "records keys"})
	require.NoError(t, s.Check(t.Context()))
	require.NoError(t, s.Close())
	s = open(t, path)
	items, _ = itemsOf(t, s.Journal("keys", 0))
	require.Equal(t, map[string]string{"a": "1"}, items)
	require.Equal(t, want, rowsOf(t, s))
}

func bucketsOf(t *testing.T, s *boltstore.Store) (names []string) {
	s.Damage(t, func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, _ *bolt.Bucket) error {
			names = append(names, string(name))
			return nil
		})
	})
	return names
}

func TestTopicsAreIndependent(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "usage.db"))
	keys, plans := s.Journal("keys", 0), s.Journal("plans", 0)
	appendTo(t, keys, 0, "a", "key")
	appendTo(t, plans, 0, "a", "plan")
	appendTo(t, s.Journal("keys", 0), 1, "a", "-")
	items, head := itemsOf(t, plans)
	require.Equal(t, map[string]string{"a": "plan"}, items)
	require.EqualValues(t, 1, head)
	require.Len(t, historyOf(t, keys, "a"), 2)
	appendTo(t, s.Journal(strings.Repeat("x", 1000), 0), 0, "a", "1")
	appendTo(t, s.Journal("", 0), 0, "a", "1")
	require.NoError(t, s.Check(t.Context()))
}

// TestOldRecordsAreDropped with the items that they have removed, and no others; some with each Append.
func TestOldRecordsAreDropped(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "usage.db"))
	j := s.Journal("keys", time.Hour)
	old := func(after uint64, pairs ...string) {
		c := edit(pairs...)
		c.Time = c.Time.Add(-2 * time.Hour)
		_, err := s.Journal("keys", 24*time.Hour).Append(t.Context(), after, c)
		require.NoError(t, err)
	}
	old(0, "stays", "1", "goes", "1", "again", "1")
	old(1, "goes", "-", "again", "-")
	old(2, "again", "2")
	require.Len(t, historyOf(t, j, "again"), 3)
	require.Equal(t, []string{"again", "goes", "stays"}, stored(t, s, "items keys"))
	appendTo(t, j, 3, "new", "1")
	require.Equal(t, []string{"again", "new", "stays"}, stored(t, s, "items keys"))
	require.Len(t, stored(t, s, "records keys"), 1)
	for _, item := range []string{"stays", "goes", "again"} {
		require.Empty(t, historyOf(t, j, item))
	}
	behind := replica{head: 1, items: map[string]string{"stays": "1", "goes": "1", "again": "1"}}
	require.NoError(t, behind.read(t.Context(), j))
	require.Equal(t, map[string]string{"stays": "1", "again": "2", "new": "1"}, behind.items)
	appendTo(t, j, 4, "again", "-", "goes", "2")
	require.Len(t, historyOf(t, j, "again"), 1)
	require.NoError(t, s.Check(t.Context()))
	var lone int
	for after := uint64(5); after < 3005; after++ {
		old(after, "x", "1")
		lone++
	}
	appendTo(t, j, 3005, "y", "1")
	require.Equal(t, lone+3, len(stored(t, s, "records keys")), "the first is younger than all these")
}

// TestDroppingIsBounded: no Append has more to drop than about a thousand items.
func TestDroppingIsBounded(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "usage.db"))
	keep, drop := s.Journal("keys", 1000*time.Hour), s.Journal("keys", time.Hour)
	var head uint64
	for range 3000 {
		c := edit("x", "1")
		c.Time = c.Time.Add(-2 * time.Hour)
		var err error
		head, err = keep.Append(t.Context(), head, c)
		require.NoError(t, err)
	}
	for _, want := range []int{2001, 1002, 3, 4} {
		head = appendTo(t, drop, head, "y", "1")
		require.Len(t, stored(t, s, "records keys"), want)
	}
}

// stored are the keys of a bucket.
func stored(t *testing.T, s *boltstore.Store, bucket string) (keys []string) {
	s.Damage(t, func(tx *bolt.Tx) error {
		return tx.Bucket([]byte(bucket)).ForEach(func(key, _ []byte) error {
			keys = append(keys, string(key))
			return nil
		})
	})
	return keys
}

// TestLargestChange that the contract allows, and one of items with the largest names.
func TestLargestChange(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "usage.db"))
	j := s.Journal("keys", 0)
	wide, deep := edit(), edit()
	for i := range 10_000 {
		name := fmt.Sprintf("%0*d", 1200, i)
		wide.Items = append(wide.Items, journal.Item{Name: name, Value: []byte{1}})
	}
	for i := range 63 {
		deep.Items = append(deep.Items, journal.Item{Name: fmt.Sprint(i), Value: make([]byte, 1<<20)})
	}
	for after, c := range []journal.Change{wide, deep} {
		_, err := j.Append(t.Context(), uint64(after), c)
		require.NoError(t, err)
	}
	items, _ := itemsOf(t, j)
	require.Len(t, items, 10_063)
	require.Len(t, historyOf(t, j, wide.Items[7777].Name), 1)
	for c, err := range j.Changes(t.Context(), 1) {
		require.NoError(t, err)
		require.Equal(t, deep.Items, c.Items)
	}
	require.NoError(t, s.Check(t.Context()))
}

// TestWaitEnds when a change comes, also one of another value of the same topic, when its context ends, and when the
// store is closed.
func TestWaitEnds(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "usage.db"))
	j := s.Journal("keys", 0)
	wait := func(ctx context.Context, j journal.Journal, after uint64) chan error {
		done := make(chan error, 1)
		go func() { done <- j.Wait(ctx, after) }()
		time.Sleep(5 * time.Millisecond)
		return done
	}
	first, second := wait(t.Context(), j, 0), wait(t.Context(), s.Journal("keys", 0), 1)
	other := wait(t.Context(), s.Journal("plans", 0), 0)
	appendTo(t, s.Journal("keys", 0), 0, "a", "1")
	require.NoError(t, <-first)
	require.NoError(t, j.Wait(t.Context(), 0))
	appendTo(t, j, 1, "a", "2")
	require.NoError(t, <-second)
	ctx, cancel := context.WithCancel(t.Context())
	ended := wait(ctx, j, 2)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	last := wait(t.Context(), j, 2)
	require.NoError(t, s.Close())
	require.ErrorIs(t, <-last, boltstore.ErrClosed)
	require.ErrorIs(t, <-other, boltstore.ErrClosed)
	require.ErrorIs(t, j.Wait(t.Context(), 0), boltstore.ErrClosed)
	_, err := j.Append(t.Context(), 2, edit("a", "3"))
	require.ErrorIs(t, err, boltstore.ErrClosed)
	require.ErrorIs(t, new(replica).read(t.Context(), j), boltstore.ErrClosed)
	require.ErrorIs(t, new(boltstore.Store).Journal("keys", 0).Wait(t.Context(), 0), boltstore.ErrClosed)
}

// TestReadersHoldUpNobody: while a reader is between two changes, the store appends, checks, opens its file again and
// grows; and the reader gets all of it.
func TestReadersHoldUpNobody(t *testing.T) {
	boltstore.SmallChunks(t)
	s := open(t, filepath.Join(t.TempDir(), "usage.db"))
	j := s.Journal("keys", 0)
	for i := range uint64(20) {
		appendTo(t, j, i, fmt.Sprintf("item %02d", i), strings.Repeat("x", 50))
	}
	head := uint64(20)
	var r replica
	r.items = make(map[string]string)
	for c, err := range j.Changes(t.Context(), 0) {
		require.NoError(t, err)
		for _, it := range c.Items {
			if r.items[it.Name] = string(it.Value); it.Gone {
				delete(r.items, it.Name)
			}
		}
		if r.head = c.Revision; head < 24 {
			i := head - 20
			gone, large := fmt.Sprintf("item %02d", 2*i), fmt.Sprintf("item %02d", 19-i)
			head = appendTo(t, j, head, gone, "-", large, strings.Repeat("y", 1<<20), "z", fmt.Sprint(i))
			require.NoError(t, s.Check(t.Context()))
			s.Drop()
		}
	}
	want, _ := itemsOf(t, j)
	require.Equal(t, want, r.items)
	require.Equal(t, head, r.head)
	require.Equal(t, "3", want["z"])
}

// TestReaderOfDroppedRecords: a reader that is so slow that the records after its snapshot have been dropped is told
// so.
func TestReaderOfDroppedRecords(t *testing.T) {
	boltstore.SmallChunks(t)
	s := open(t, filepath.Join(t.TempDir(), "usage.db"))
	j := s.Journal("keys", time.Hour)
	for i := range uint64(20) {
		appendTo(t, j, i, fmt.Sprintf("item %02d", i), strings.Repeat("x", 50))
	}
	var head uint64 = 20
	var failed error
	for c, err := range j.Changes(t.Context(), 0) {
		if failed = err; err != nil {
			break
		}
		require.EqualValues(t, 20, c.Revision)
		if head == 20 {
			old := edit("item 00", "-")
			old.Time = old.Time.Add(-2 * time.Hour)
			for range 40 {
				var err error
				head, err = s.Journal("keys", time.Nanosecond).Append(t.Context(), head, old)
				require.NoError(t, err)
			}
		}
	}
	require.ErrorContains(t, failed, "records after 20 were dropped")
	items, _ := itemsOf(t, j)
	require.Len(t, items, 19)
}

// TestJournalBesideALedger: writers of two topics and takers of units, at once.
func TestJournalBesideALedger(t *testing.T) {
	boltstore.SetLimits(t, boltstore.Small)
	boltstore.SmallChunks(t)
	s := open(t, filepath.Join(t.TempDir(), "usage.db"))
	l, err := ledger.New(ledger.Config{Engine: s, Exact: true})
	require.NoError(t, err)
	const each = 40
	var wg sync.WaitGroup
	for w := range 4 {
		j := s.Journal([]string{"keys", "plans"}[w%2], 0)
		wg.Go(func() {
			var r replica
			for range each {
				for {
					n := len(r.items["n"]) + 1
					c := edit("n", strings.Repeat("i", n), fmt.Sprint("item ", n), "x")
					_, err := j.Append(context.Background(), r.head, c)
					if err == nil {
						break
					}
					if !errors.Is(err, journal.ErrBehind) {
						t.Error(err)
						return
					}
					if err := r.read(context.Background(), j); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
		wg.Go(func() {
			for range each {
				if _, err := l.Take(context.Background(), customer(w), monthly(), 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, topic := range []string{"keys", "plans"} {
		items, head := itemsOf(t, s.Journal(topic, 0))
		require.EqualValues(t, 2*each, head)
		require.Len(t, items["n"], 2*each)
		require.Len(t, items, 1+2*each)
	}
	for w := range 4 {
		b, err := l.Balance(t.Context(), customer(w), monthly())
		require.NoError(t, err)
		require.EqualValues(t, each, b.Used)
	}
	require.NoError(t, l.Close())
	require.NoError(t, s.Check(t.Context()))
}

// TestNamesOfAnyBytes: the names of items may be any bytes.
func TestNamesOfAnyBytes(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "usage.db"))
	j := s.Journal("keys", 0)
	names := []string{"\x00", "\xff\xff", "a", "a\x00", strings.Repeat("\xff", 1200)}
	for i, name := range names {
		appendTo(t, j, uint64(i), name, "")
	}
	items, _ := itemsOf(t, j)
	require.ElementsMatch(t, names, slices.Collect(maps.Keys(items)))
	for i, name := range names {
		h := historyOf(t, j, name)
		require.Len(t, h, 1)
		require.EqualValues(t, i+1, h[0].Revision)
	}
	require.Empty(t, historyOf(t, j, "b"))
	for c, err := range j.Changes(t.Context(), 4) {
		require.NoError(t, err)
		require.Equal(t, []journal.Item{{Name: names[4], Value: []byte{}}}, c.Items, "an item without bytes is there")
	}
}
