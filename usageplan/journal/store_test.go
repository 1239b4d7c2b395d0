package journal_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/journal/journaltest"
)

// smallPages is a store in memory whose pages have one change, or a few of the items.
type smallPages struct {
	mu      sync.Mutex
	head    uint64
	records []journal.Change // up to the head, with all items, without bytes
	items   map[string]journal.Item
	latest  map[string]uint64 // the last change of each item
}

func newSmallPages() *smallPages {
	return &smallPages{items: make(map[string]journal.Item), latest: make(map[string]uint64)}
}

func (s *smallPages) Append(ctx context.Context, c journal.Change, oldest time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.head+1 != c.Revision {
		return journal.ErrBehind
	}
	s.head = c.Revision
	encoded, _ := c.AppendBinary(nil) // so the codec is tested as well
	if err := c.UnmarshalBinary(encoded); err != nil {
		return err
	}
	for i, it := range c.Items {
		s.items[it.Name], s.latest[it.Name] = it, s.head
		c.Items[i].Value = nil
	}
	for s.records = append(s.records, c); s.records[0].Revision < s.head && s.records[0].Time.Before(oldest); {
		for _, it := range s.records[0].Items {
			if s.latest[it.Name] == s.records[0].Revision && it.Gone {
				delete(s.items, it.Name)
				delete(s.latest, it.Name)
			}
		}
		s.records = s.records[1:]
	}
	return nil
}

func (s *smallPages) Page(ctx context.Context, after uint64, all bool) (uint64, []journal.Change, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.records {
		if c.Revision <= after {
			continue
		}
		items := c.Items
		c.Items = nil
		for _, it := range items {
			if all {
				c.Items = append(c.Items, it)
			} else if s.latest[it.Name] == c.Revision {
				c.Items = append(c.Items, owned(s.items[it.Name]))
			}
		}
		return s.head, []journal.Change{c}, ctx.Err()
	}
	return s.head, nil, ctx.Err()
}

func owned(it journal.Item) journal.Item {
	it.Value = bytes.Clone(it.Value)
	return it
}

func (s *smallPages) Items(ctx context.Context, from string) (items []journal.Item, next string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.items)) {
		if len(items) > 2+len(s.items)/5 {
			return items, name, ctx.Err()
		}
		if it := s.items[name]; name >= from && !it.Gone {
			items = append(items, owned(it))
		}
	}
	return items, "", ctx.Err()
}

func (s *smallPages) History(ctx context.Context, item string, before uint64) ([]journal.Change, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range slices.Backward(s.records) {
		i := slices.IndexFunc(c.Items, func(it journal.Item) bool { return it.Name == item })
		if i >= 0 && (before == 0 || c.Revision < before) {
			c.Items = []journal.Item{c.Items[i]}
			return []journal.Change{c}, ctx.Err()
		}
	}
	return nil, ctx.Err()
}

func (s *smallPages) Wait(ctx context.Context, after uint64) error {
	for {
		s.mu.Lock()
		head := s.head
		s.mu.Unlock()
		if head > after || ctx.Err() != nil {
			return ctx.Err()
		}
		time.Sleep(time.Millisecond)
	}
}

// TestJournalOfAStore: the journal of a store keeps the contract, however small the pages are.
func TestJournalOfAStore(t *testing.T) {
	journaltest.Run(t, func(_ *testing.T, retain time.Duration) journal.Journal {
		return journal.New("small", retain, newSmallPages())
	})
}

// TestCopyReadsTheRecordsOfAStore: Copy does not ask a journal of New for the history of each item.
func TestCopyReadsTheRecordsOfAStore(t *testing.T) {
	for _, shape := range shapes {
		source, names := scene(t, 5, shape[0], shape[1])
		there, back := newSmallPages(), journal.Memory(0)
		j := journal.New("there", 0, noHistory{there})
		require.NoError(t, journal.Copy(t.Context(), j, source), "%v", shape)
		require.NoError(t, journal.Copy(t.Context(), back, j), "%v", shape)
		require.Equal(t, tell(t, journal.New("there", 0, there), names), tell(t, back, names), "%v", shape)
	}
}

type noHistory struct{ *smallPages }

func (noHistory) History(context.Context, string, uint64) ([]journal.Change, error) {
	return nil, errors.New("asked for a history")
}

// wrong is a store that answers what it was told to.
type wrong struct {
	*smallPages
	head    uint64
	changes []journal.Change
	err     error
}

func (w wrong) Page(context.Context, uint64, bool) (uint64, []journal.Change, error) {
	return w.head, w.changes, w.err
}

func (w wrong) History(context.Context, string, uint64) ([]journal.Change, error) {
	return w.changes, w.err
}

// TestWrongStore: a store that fails, or whose pages do not follow each other, is an error with the name of the
// journal, and not a sequence without an end.
func TestWrongStore(t *testing.T) {
	one := []journal.Change{{Revision: 3, Items: []journal.Item{{Name: "a"}}}}
	for name, w := range map[string]wrong{
		"down":             {err: errors.New("down")},
		"always one page":  {head: 5, changes: one},
		"head behind":      {head: 1, changes: one},
		"records are gone": {head: 9, changes: []journal.Change{{Revision: 3}, {Revision: 5}}},
	} {
		w.smallPages = newSmallPages()
		j := journal.New("wrong", 0, w)
		records := j.(interface {
			Records(context.Context) iter.Seq2[journal.Change, error]
		})
		for _, read := range []iter.Seq2[journal.Change, error]{
			j.Changes(t.Context(), 2), j.History(t.Context(), "a"), records.Records(t.Context()),
		} {
			n, last := 0, error(nil)
			for _, err := range read {
				require.NoError(t, last, "%s: it goes on after an error", name)
				last = err
				n++
				require.Less(t, n, 10, "%s: it has no end", name)
			}
			require.ErrorContains(t, last, "wrong: ", name)
			require.ErrorIs(t, last, cmp.Or(w.err, last))
		}
	}
}

// TestCodec: what is encoded is read back, apart from what is below a millisecond. What is cut or changed is an error,
// or another change.
func TestCodec(t *testing.T) {
	for _, c := range []journal.Change{
		{},
		{Revision: 1 << 63, Time: time.UnixMilli(-1).UTC(), Operation: "Put"},
		{
			Revision: 7, Time: time.UnixMilli(1e12).UTC(), Operation: "Put",
			Origin: journal.Origin{Actor: "\x00\xff", Source: "192.0.2.7", Request: "r"},
			Items:  []journal.Item{{Name: "a", Value: []byte("bytes")}, {Name: "b", Gone: true}, {Name: "c", Value: []byte{}}},
		},
	} {
		b, err := c.AppendBinary([]byte("before"))
		require.NoError(t, err)
		b = bytes.TrimPrefix(b, []byte("before"))
		var got journal.Change
		require.NoError(t, got.UnmarshalBinary(b))
		require.Equal(t, c, got)
		require.Error(t, got.UnmarshalBinary(append([]byte{2}, b[1:]...)), "another version")
		for n := range b {
			if err := got.UnmarshalBinary(b[:n]); err == nil {
				require.Less(t, len(got.Items), len(c.Items), "cut between two items")
			}
		}
	}
}

func FuzzCodec(f *testing.F) {
	b, _ := journal.Change{Operation: "Put", Items: []journal.Item{{Name: "a", Value: []byte("v")}, {Name: "b", Gone: true}}}.AppendBinary(nil)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var c, again journal.Change
		if c.UnmarshalBinary(b) == nil {
			b, _ := c.AppendBinary(nil)
			require.NoError(t, again.UnmarshalBinary(b))
			require.Equal(t, c, again)
		}
	})
}
