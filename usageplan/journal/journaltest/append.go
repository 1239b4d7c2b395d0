package journaltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/journal"
)

// testEmpty: a journal without changes has no items and no history, and nobody can be ahead of it.
//
// Finds: an error where there is nothing; silence where a reader has followed another journal.
func testEmpty(t *testing.T, open opener) {
	m := open(0)
	m.check()
	if got := m.history("x"); len(got) > 0 {
		t.Errorf("history of an item that never was: %v", got)
	}
	for _, err := range m.Changes(t.Context(), 1) {
		if err != nil {
			return
		}
	}
	t.Error("Changes after 1 of an empty journal: no error")
}

// testItems: items are put, replaced, removed and put again, several in one change. It is no error to remove what is
// not there.
//
// Finds: an item that is lost or left; empty bytes that come back as nil; a time that is changed or not in UTC; texts
// of the origin that are mixed up; a revision or a mark of the caller that is kept.
func testItems(t *testing.T, open opener) {
	m := open(0)
	for _, items := range [][]journal.Item{
		{put("x", "1")},
		{put("x", "2"), put("y", "")},
		{put("z", "\x00\xff"), gone("x"), put("y", "3")},
		{gone("x"), gone("never")},
		{put("x", "4")},
		{gone("z"), gone("y"), gone("x")},
		{put("y", "5")},
	} {
		m.append(items...)
		m.check()
	}
}

// testNames: names are bytes, whole and exact.
//
// Finds: names that are cut, trimmed, folded in case, normalized, or end at a zero byte.
func testNames(t *testing.T, open opener) {
	m := open(0)
	long := strings.Repeat("n", 1199)
	names := []string{
		"a", "A", "a ", " a", "a\x00", "a\x00b", "\x00", "\xff", "\xff\xff", "\x00\x00", "a/b", "a%2Fb", "{a}", ".", "..",
		"e\u0301", "\u00e9", "\xe9", "01234567", long, long + "n", long + "o", long[:255], long[:256],
	}
	for i, name := range names {
		m.append(put(name, fmt.Sprint(i)))
	}
	m.check()
	for i, name := range names {
		if i%2 == 0 {
			m.append(gone(name))
		}
	}
	m.check()
}

// testBehind: an Append anywhere but at the head stores nothing.
//
// Finds: a journal that appends at its own head; that refuses only writers below the head; whose error does not wrap
// ErrBehind; that has written a part when it refuses.
func testBehind(t *testing.T, open opener) {
	m := open(0)
	refuse := func(after uint64) {
		t.Helper()
		items := []journal.Item{put("x", "refused"), put("y", "")}
		revision, err := m.Append(t.Context(), after, journal.Change{Time: time.Now(), Items: items})
		if !errors.Is(err, journal.ErrBehind) {
			t.Errorf("Append after %d, the head is %d: got revision %d, %v", after, m.head.Load(), revision, err)
		}
	}
	refuse(1)
	m.check()
	for range 3 {
		m.append(put("x", "1"))
		for _, after := range []uint64{0, m.head.Load() - 1, m.head.Load() + 1, 1 << 60} {
			refuse(after)
		}
		m.check()
	}
}

// testBounds: a change outside the bounds is refused, and nothing of it is stored.
//
// Finds: bounds that are missing or differ, and items that are stored before the one that is refused. A journal that
// calls Validate first has none of this.
func testBounds(t *testing.T, open opener) {
	m := open(0)
	m.append(put("x", "1"))
	long, mebibyte := strings.Repeat("n", 1201), strings.Repeat("v", 1<<20)
	many := make([]journal.Item, 10_001)
	for i := range many {
		many[i] = put(fmt.Sprint(i), "")
	}
	much := slices.Clone(many[:64]) // each has 1 MiB in addition to its name
	for i := range much {
		much[i].Value = []byte(mebibyte)
	}
	one := []journal.Item{put("x", "refused")}
	for name, c := range map[string]journal.Change{
		"no items":             {},
		"10 001 items":         {Items: many},
		"no name":              {Items: []journal.Item{put("x", "refused"), put("", "")}},
		"a name of 1 201":      {Items: []journal.Item{put("x", "refused"), put(long, "")}},
		"a name twice":         {Items: []journal.Item{put("x", "refused"), put("y", ""), gone("x")}},
		"1 MiB and a byte":     {Items: []journal.Item{put("x", "refused"), put("y", mebibyte+"v")}},
		"more than 64 MiB":     {Items: much},
		"an operation of 1201": {Items: one, Operation: long},
		"a source of 1 201":    {Items: one, Origin: journal.Origin{Source: long}},
	} {
		if revision, err := m.Append(t.Context(), 1, c); !errors.Is(err, journal.ErrTooLarge) {
			t.Errorf("%s: got revision %d, %v", name, revision, err)
		}
		m.check()
	}
}

// testMany: a change of 10 000 items is stored whole, and in one step.
//
// Finds: a limit of the database on one statement or transaction; a change that becomes several revisions.
func testMany(t *testing.T, open opener) {
	m := open(0)
	many := make([]journal.Item, 10_000)
	for i := range many {
		many[i] = put(fmt.Sprintf("item %05d", i), fmt.Sprint("value ", i))
	}
	m.append(many...)
	for i := range many {
		many[i] = gone(many[i].Name)
	}
	m.append(many[1:]...)
	m.checkFrom(0, func() {})
	m.checkFrom(1, func() {})
	for _, i := range []int{0, 1, 5000, 9999} {
		m.checkHistory(many[i].Name)
	}
}

// testLarge: a change of 64 MiB in items of 1 MiB with their names is stored whole, and so is an item of 1 MiB that
// has a name as well. It does without the model, whose copies of all this take long under the race detector.
//
// Finds: a limit of the database on one value or transaction.
func testLarge(t *testing.T, open opener) {
	m := open(0)
	value, sizes := bytes.Repeat([]byte("v"), 1<<20), make(map[string]int)
	item := func(name string, size int) journal.Item {
		sizes[name] = size
		return journal.Item{Name: name, Value: value[:size]}
	}
	items := make([]journal.Item, 64)
	for i := range items {
		name := fmt.Sprintf("item %d", i)
		items[i] = item(name, 1<<20-len(name))
	}
	for i, items := range [][]journal.Item{items, {item(strings.Repeat("n", 1200), 1<<20)}} {
		if _, err := m.Append(t.Context(), uint64(i), journal.Change{Time: time.Now(), Items: items}); err != nil {
			t.Fatalf("Append of %d items of 1 MiB: %v", len(items), err)
		}
	}
	missing := maps.Clone(sizes)
	for c, err := range m.Changes(t.Context(), 0) {
		if err != nil {
			t.Fatalf("Changes: %v", err)
		}
		for _, it := range c.Items {
			if !bytes.Equal(it.Value, value[:sizes[it.Name]]) {
				t.Errorf("%.40q: got %d bytes; want %d", it.Name, len(it.Value), sizes[it.Name])
			}
			delete(missing, it.Name)
		}
	}
	if len(missing) > 0 {
		t.Errorf("%d items are missing", len(missing))
	}
}

// testSuperseded: of many changes of one item each has its record, and the last one the bytes.
//
// Finds: a change that is left out because all its items are superseded, which leaves a gap.
func testSuperseded(t *testing.T, open opener) {
	m := open(0)
	for i := range 30 {
		m.append(put("x", fmt.Sprint(i)), put(fmt.Sprint("y", i%3), fmt.Sprint(i)))
	}
	m.check()
}

// testOwnership reads twice. In every case the model overwrites what it has passed to the journal and what it got. Here
// nothing else happens in between.
//
// Finds: a journal that keeps the slice or the bytes of Append, or changes them; that yields its own.
func testOwnership(t *testing.T, open opener) {
	for _, compacted := range []bool{false, true} {
		m := open(retention)
		if compacted {
			m.appendAt(old(), put("x", "old"))
			m.compact()
		}
		m.append(put("x", "1"), put("y", "2"), gone("z"))
		m.check()
		m.check()
	}
}

// testEndedContext: with a context that has ended, Append stores nothing. A reader must not take a sequence that was
// cut for all there is.
//
// Finds: a change that is stored all the same; a sequence that ends early without an error, or goes on after one.
func testEndedContext(t *testing.T, open opener) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	m := open(0)
	for range 10 {
		if _, err := m.Append(ended, m.head.Load(), journal.Change{Items: []journal.Item{put("x", "1")}}); err == nil {
			t.Error("Append with an ended context: no error")
		}
		m.check()
		m.append(put("x", "2"))
	}
	for name, changes := range m.sequences(ended) {
		n, failed := 0, false
		for _, err := range changes {
			if n++; failed {
				t.Errorf("%s goes on after an error", name)
			}
			failed = err != nil
		}
		if !failed && n < 10 {
			t.Errorf("%s with an ended context: %d changes and no error", name, n)
		}
	}
}
