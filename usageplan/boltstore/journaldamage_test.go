package boltstore_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/journal"
	bolt "go.etcd.io/bbolt"
)

// written is what a file with two journals has.
type written struct {
	items     map[string]string
	history   map[string][]journal.Change
	positions map[uint64]replica // what readers had that have not read on since
}

// write fills two journals. The first has many small changes, and a large one.
func write(t *testing.T, s *boltstore.Store) written {
	j := s.Journal("keys", 0)
	w := written{history: make(map[string][]journal.Change), positions: make(map[uint64]replica)}
	large := edit()
	for i := range 300 {
		it := journal.Item{Name: fmt.Sprintf("item %03d", i), Value: []byte(strings.Repeat("v", 40))}
		large.Items = append(large.Items, it)
	}
	_, err := j.Append(t.Context(), 0, large)
	require.NoError(t, err)
	appendTo(t, s.Journal("plans", 0), 0, "plan", "gold", "gone", "-")
	for head := uint64(1); head < 40; {
		if head%13 == 0 {
			var r replica
			require.NoError(t, r.read(t.Context(), j))
			w.positions[head] = r
		}
		i := rand.IntN(300)
		value := strings.Repeat("w", rand.IntN(99))
		if rand.IntN(3) == 0 {
			value = "-"
		}
		head = appendTo(t, j, head, fmt.Sprintf("item %03d", i), value, fmt.Sprintf("item %03d", 300+head), "new")
		put(t, s, map[string]string{fmt.Sprint("row ", i): "row"})
	}
	w.items, _ = itemsOf(t, j)
	for i := range 345 {
		item := fmt.Sprintf("item %03d", i)
		w.history[item] = historyOf(t, j, item)
	}
	return w
}

// requireSoundOr requires that all which can be read of a file is what was written. It reports whether something
// cannot.
func requireSoundOr(t *testing.T, path string, w written, what string) (unread bool) {
	t.Helper()
	damaged := func(err error) bool {
		if err != nil {
			require.True(t, isRefused(err), "%s: %v", what, err)
			unread = true
		}
		return err != nil
	}
	s, err := boltstore.Open(path)
	if damaged(err) {
		return true
	}
	defer s.Close()
	j := s.Journal("keys", 0)
	var all replica
	if !damaged(all.read(t.Context(), j)) {
		require.True(t, maps.Equal(w.items, all.items), what)
	}
	for _, r := range w.positions {
		if !damaged(r.read(t.Context(), j)) {
			require.True(t, maps.Equal(w.items, r.items), what)
		}
	}
	var plans replica
	if !damaged(plans.read(t.Context(), s.Journal("plans", 0))) {
		require.Equal(t, map[string]string{"plan": "gold"}, plans.items, what)
	}
	unreadItems := 0
	for item, want := range w.history {
		i := 0
		for c, err := range j.History(t.Context(), item) {
			if damaged(err) {
				unreadItems++
				i = len(want)
				break
			}
			require.Equal(t, want[i], c, what)
			i++
		}
		require.Equal(t, len(want), i, what)
	}
	if err := s.Check(t.Context()); unread {
		require.Error(t, err, what)
	} else {
		damaged(err)
	}
	return unread
}

// TestFlippedBitsInAJournal: a damaged file is refused, or what is damaged cannot be read. Nothing else is shown, and
// nothing is missing.
func TestFlippedBitsInAJournal(t *testing.T) {
	for name, leave := range map[string]func(t *testing.T, s *boltstore.Store, path string){
		"closed": func(t *testing.T, s *boltstore.Store, _ string) { require.NoError(t, s.Close()) },
		"killed": func(t *testing.T, s *boltstore.Store, path string) {
			b := readFile(t, path)
			require.NoError(t, s.Close())
			require.NoError(t, os.WriteFile(path, b, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			boltstore.SmallChunks(t)
			path := filepath.Join(t.TempDir(), "usage.db")
			s := open(t, path)
			w := write(t, s)
			leave(t, s, path)
			good := readFile(t, path)
			require.False(t, requireSoundOr(t, path, w, "undamaged"))
			step := 2003
			if os.Getenv("TALLYGATE_HEAVY") != "" {
				step = 509
			}
			unread, n := 0, 0
			for _, at := range flips(good, step, "item 007") {
				if name == "killed" && at < 2*os.Getpagesize() {
					continue // see killed
				}
				bad := append([]byte(nil), good...)
				bad[at] ^= 1 << rand.IntN(8)
				require.NoError(t, os.WriteFile(path, bad, 0o600))
				n++
				if requireSoundOr(t, path, w, fmt.Sprintf("byte %d of %d", at, len(bad))) {
					unread++
				}
			}
			require.NotZero(t, unread)
			t.Logf("%d of %d found", unread, n)
		})
	}
}

// TestDamagedMetaPage of a closed file loses nothing, also if the last change was that of a journal: the other page
// leads to a commit that has it too.
func TestDamagedMetaPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	s := open(t, path)
	for i := range uint64(3) {
		appendTo(t, s.Journal("keys", 0), i, fmt.Sprint(i), "x")
	}
	require.NoError(t, s.Close())
	good := readFile(t, path)
	for page := range 2 {
		bad := append([]byte(nil), good...)
		bad[page*os.Getpagesize()+20] ^= 1
		require.NoError(t, os.WriteFile(path, bad, 0o600))
		s := open(t, path)
		items, head := itemsOf(t, s.Journal("keys", 0))
		require.Len(t, items, 3)
		require.EqualValues(t, 3, head)
		require.NoError(t, s.Close())
	}
}

// TestDamagedItem concerns what asks for it, and nothing else. The store goes on without opening its file again.
func TestDamagedItem(t *testing.T) {
	for name, tt := range map[string]struct {
		bucket, key string
		value       func([]byte) []byte
		want        error
	}{
		"an item":                   {"items keys", "b", flipped, boltstore.ErrFormat},
		"an item of a later codec":  {"items keys", "b", later, boltstore.ErrVersion},
		"a record":                  {"records keys", "\x00\x00\x00\x00\x00\x00\x00\x02", flipped, boltstore.ErrFormat},
		"a record of a later codec": {"records keys", "\x00\x00\x00\x00\x00\x00\x00\x02", later, boltstore.ErrVersion},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, filepath.Join(t.TempDir(), "usage.db"))
			j := s.Journal("keys", 0)
			for i, item := range []string{"a", "b", "c"} {
				appendTo(t, j, uint64(i), item, "1")
			}
			appendTo(t, s.Journal("plans", 0), 0, "b", "gold")
			s.Damage(t, func(tx *bolt.Tx) error {
				b := tx.Bucket([]byte(tt.bucket))
				value := tt.value(b.Get([]byte(tt.key))[:len(b.Get([]byte(tt.key)))-4])
				sealed := boltstore.Seal(tt.key, value)
				if tt.want == boltstore.ErrFormat {
					sealed[0] ^= 1
				}
				return b.Put([]byte(tt.key), sealed)
			})
			opened := s.Opened()
			for _, err := range j.History(t.Context(), "b") {
				require.ErrorIs(t, err, tt.want)
				require.ErrorContains(t, err, `journal "keys"`)
			}
			behind := replica{head: 1}
			require.ErrorIs(t, behind.read(t.Context(), j), tt.want)
			require.Zero(t, behind.items, "all or nothing")
			require.Len(t, historyOf(t, j, "a"), 1)
			ahead := replica{head: 2}
			require.NoError(t, ahead.read(t.Context(), j))
			require.Equal(t, map[string]string{"c": "1"}, ahead.items)
			require.ErrorIs(t, s.Check(t.Context()), boltstore.ErrFormat)
			if tt.bucket == "items keys" {
				_, err := j.Append(t.Context(), 3, edit("a", "2", "b", "2"))
				require.ErrorIs(t, err, tt.want)
				require.ErrorIs(t, new(replica).read(t.Context(), j), tt.want)
			}
			appendTo(t, j, 3, "a", "2", "c", "-")
			require.Len(t, historyOf(t, j, "a"), 2)
			plans, _ := itemsOf(t, s.Journal("plans", 0))
			require.Equal(t, map[string]string{"b": "gold"}, plans)
			put(t, s, map[string]string{"row": "1"})
			require.Same(t, opened, s.Opened(), "the same opening of the file")
			s.Drop()
		})
	}
}

func flipped(b []byte) []byte { return append([]byte(nil), b...) }

func later(b []byte) []byte {
	b = append([]byte(nil), b...)
	b[0] += 2
	return b
}

// TestDisagreementOfAJournal: values that are whole, but of which one is missing or an older one, are found by the next
// to open the file and by Check.
func TestDisagreementOfAJournal(t *testing.T) {
	first := func(bucket string, change func(b *bolt.Bucket, key, value []byte) error) func(*bolt.Tx) error {
		return func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte(bucket))
			key, value := b.Cursor().First()
			return change(b, key, value)
		}
	}
	remove := func(b *bolt.Bucket, key, _ []byte) error { return b.Delete(key) }
	for name, tt := range map[string]struct {
		damage func(*bolt.Tx) error
		want   error
	}{
		"an item is missing":  {first("items keys", remove), boltstore.ErrFormat},
		"a record is missing": {first("records keys", remove), boltstore.ErrFormat},
		"an item is an older one": {first("items keys", func(b *bolt.Bucket, key, _ []byte) error {
			return b.Put(key, boltstore.Seal(string(key), []byte("\x01\x02older")))
		}), boltstore.ErrFormat},
		"the items are missing": {func(tx *bolt.Tx) error {
			return tx.DeleteBucket([]byte("items keys"))
		}, boltstore.ErrFormat},
		"the records are missing": {func(tx *bolt.Tx) error {
			return tx.DeleteBucket([]byte("records keys"))
		}, boltstore.ErrFormat},
		"the last record is missing": {func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte("records keys"))
			key, _ := b.Cursor().Last()
			return b.Delete(key)
		}, boltstore.ErrFormat},
		"the head is another one": {func(tx *bolt.Tx) error {
			return tx.Bucket([]byte("records keys")).SetSequence(1)
		}, boltstore.ErrFormat},
		"a topic of another name": {func(tx *bolt.Tx) error {
			from := tx.Bucket([]byte("items keys"))
			to, err := tx.CreateBucket([]byte("items keyz"))
			if err == nil {
				err = from.ForEach(to.Put)
			}
			if err == nil {
				err = tx.DeleteBucket([]byte("items keys"))
			}
			return err
		}, boltstore.ErrFormat},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "usage.db")
			s := open(t, path)
			appendTo(t, s.Journal("keys", 0), 0, "a", "1")
			appendTo(t, s.Journal("keys", 0), 1, "a", "2", "b", "1")
			require.NoError(t, s.Check(t.Context()))
			s.Damage(t, tt.damage)
			require.ErrorIs(t, s.Check(t.Context()), tt.want)
			require.NoError(t, os.WriteFile(path+".copy", readFile(t, path), 0o600))
			_, err := boltstore.Open(path + ".copy")
			require.ErrorIs(t, err, tt.want)
			s.Drop()
		})
	}
}

// FuzzJournal: any bytes under a right checksum are an item or a record, or an error. A record that is read is written
// as it was.
func FuzzJournal(f *testing.F) {
	f.Add([]byte("\x01\x02bytes"))
	f.Add([]byte("\x02\x03"))
	f.Add([]byte("\x01\x01\x0f\x01\x00\x00\x00\x0e\xe0\x00\x00\x00\x00\x00\x00\x00\xff\xff" +
		"\x01a\x01b\x01c\x01d\x04name\x02\x01\x04\x01n\x02\x02\x03"))
	f.Add([]byte("\x01\x02"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		require.True(t, isRefused(boltstore.ReadItem(body)))
		if again, err := boltstore.ReadChange(body); err == nil {
			_, err := boltstore.ReadChange(again)
			require.NoError(t, err)
		} else {
			require.True(t, isRefused(err), "%v", err)
		}
	})
}

func isRefused(err error) bool {
	return err == nil || errors.Is(err, boltstore.ErrFormat) || errors.Is(err, boltstore.ErrVersion)
}
