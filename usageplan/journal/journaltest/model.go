package journaltest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/journal"
)

// model is a journal together with the changes that it should have. It is for one goroutine. The exception is commit:
// one goroutine may commit what was planned, while another one reads and checks.
type model struct {
	journal.Journal
	t      *testing.T
	retain time.Duration

	planned []journal.Change // the change at index i has the revision i+1
	head    atomic.Uint64    // so many of them were appended
}

func put(name, value string) journal.Item { return journal.Item{Name: name, Value: []byte(value)} }
func gone(name string) journal.Item       { return journal.Item{Name: name, Gone: true} }

// append appends a change that is decided now.
func (m *model) append(items ...journal.Item) {
	m.t.Helper()
	m.appendAt(time.Now(), items...)
}

// appendAt appends a change that was decided at a time. The zone and the texts differ from change to change, so that a
// journal that mixes them up is found.
func (m *model) appendAt(at time.Time, items ...journal.Item) {
	m.t.Helper()
	m.plan(at, items...)
	m.commit()
}

// plan adds a change to those that are to be appended.
func (m *model) plan(at time.Time, items ...journal.Item) {
	n := len(m.planned) + 1
	m.planned = append(m.planned, journal.Change{
		Revision: uint64(n),
		Time:     at.In(time.FixedZone("", n*60)),
		Origin: journal.Origin{
			Actor: fmt.Sprint("actor ", n), Source: fmt.Sprint("source ", n), Request: fmt.Sprint("request ", n),
		},
		Operation: fmt.Sprint("operation ", n),
		Items:     cloned(items),
	})
}

// commit appends the next change of the plan. The journal gets a revision and a mark that it has to ignore, and a slice
// of items that it may neither change nor keep: commit overwrites it afterwards.
func (m *model) commit() {
	m.t.Helper()
	after := m.head.Load()
	want := m.planned[after]
	c := want
	c.Revision, c.Snapshot, c.Items = 1<<40, true, cloned(want.Items)
	revision, err := m.Append(m.t.Context(), after, c)
	if err != nil || revision != after+1 {
		m.t.Errorf("Append after %d: got revision %d, %v", after, revision, err)
	}
	if !slices.EqualFunc(c.Items, want.Items, same) {
		m.t.Error("Append has changed the slice of items")
	}
	overwrite(c.Items)
	m.head.Store(after + 1)
}

// state returns the items as they are after a revision.
func (m *model) state(revision uint64) map[string]string {
	items := make(map[string]string)
	for _, c := range m.planned[:revision] {
		take(items, c.Items)
	}
	return items
}

func take(state map[string]string, items []journal.Item) {
	for _, it := range items {
		if it.Gone {
			delete(state, it.Name)
		} else {
			state[it.Name] = string(it.Value)
		}
	}
}

// check reads from every position, and the history of every name.
func (m *model) check() {
	m.t.Helper()
	for after := range m.head.Load() + 1 {
		m.checkFrom(after, func() {})
	}
	names := make(map[string]bool)
	for _, c := range m.planned[:m.head.Load()] {
		for _, it := range c.Items {
			names[it.Name] = true
		}
	}
	for name := range names {
		m.checkHistory(name)
	}
}

// checkFrom reads on like a reader that has the state of the revision after. It calls between after each change. The
// test fails unless the reader ends in the right state, at the head of the beginning or above.
func (m *model) checkFrom(after uint64, between func()) {
	m.t.Helper()
	atLeast, items := m.head.Load(), m.state(after)
	last, first := journal.Change{Revision: after}, true
	for c, err := range m.Changes(m.t.Context(), after) {
		if err == nil {
			err = m.follows(c, last, first)
		}
		if err != nil {
			m.t.Fatalf("Changes after %d: %v", after, err)
		}
		if c.Snapshot && first {
			clear(items)
		}
		take(items, c.Items)
		last, first = journal.Change{Revision: c.Revision, Snapshot: c.Snapshot}, false
		overwrite(c.Items)
		between()
	}
	if last.Revision < atLeast {
		m.t.Fatalf("Changes after %d end at %d; the head is %d", after, last.Revision, atLeast)
	}
	if want := m.state(last.Revision); !maps.Equal(items, want) {
		m.t.Fatalf("Changes after %d up to %d: got %s; want %s", after, last.Revision, show(items), show(want))
	}
}

// follows returns an error unless c may be yielded after last.
func (m *model) follows(c, last journal.Change, first bool) error {
	for _, it := range c.Items {
		if it.Gone != (it.Value == nil) || it.Gone && c.Snapshot {
			return fmt.Errorf("revision %d: %q has the bytes %v, gone %t", c.Revision, it.Name, it.Value, it.Gone)
		}
	}
	switch {
	case !c.Snapshot && c.Revision == last.Revision+1:
		return m.recorded(c)
	case c.Snapshot && first && c.Revision >= last.Revision:
	case c.Snapshot && last.Snapshot && c.Revision == last.Revision:
	default:
		return fmt.Errorf("revision %d (snapshot %t) comes after %d (snapshot %t)",
			c.Revision, c.Snapshot, last.Revision, last.Snapshot)
	}
	return nil
}

// recorded returns an error unless c is what was appended. Items may be left out.
func (m *model) recorded(c journal.Change) error {
	if c.Revision == 0 || c.Revision > uint64(len(m.planned)) {
		return fmt.Errorf("revision %d was never appended", c.Revision)
	}
	want := m.planned[c.Revision-1]
	if c.Time.Location() != time.UTC || c.Time.Sub(want.Time).Abs() >= time.Millisecond {
		return fmt.Errorf("revision %d: got the time %v; want %v", c.Revision, c.Time, want.Time.UTC())
	}
	if c.Origin != want.Origin || c.Operation != want.Operation {
		return fmt.Errorf("revision %d: got %q by %q; want %q by %q",
			c.Revision, c.Operation, c.Origin, want.Operation, want.Origin)
	}
	appended := make(map[string]journal.Item, len(want.Items))
	for _, it := range want.Items {
		appended[it.Name] = it
	}
	for _, it := range c.Items {
		if !same(it, appended[it.Name]) {
			return fmt.Errorf("revision %d: %.40q was not appended as %.40q, gone %t", c.Revision, it.Name, it.Value, it.Gone)
		}
	}
	return nil
}

// checkHistory fails unless the history of an item has its latest changes, newest first, and at least those whose
// records must still be there.
func (m *model) checkHistory(name string) {
	m.t.Helper()
	got := m.history(name)
	for _, want := range slices.Backward(m.planned[:m.head.Load()]) {
		i := slices.IndexFunc(want.Items, func(it journal.Item) bool { return it.Name == name })
		if i < 0 {
			continue
		}
		if len(got) == 0 {
			if m.retain == 0 || time.Since(want.Time) < m.retain {
				m.t.Fatalf("the history of %.40q ends before revision %d", name, want.Revision)
			}
			return
		}
		if got[0].Revision != want.Revision || got[0].Items[0].Gone != want.Items[i].Gone {
			m.t.Fatalf("the history of %.40q has %v; want revision %d, gone %t", name, got[0], want.Revision, want.Items[i].Gone)
		}
		got = got[1:]
	}
	if len(got) > 0 {
		m.t.Fatalf("the history of %.40q goes on with %v", name, got[0])
	}
}

// history returns the history of an item, each change of which is what was appended.
func (m *model) history(name string) (changes []journal.Change) {
	m.t.Helper()
	for c, err := range m.History(m.t.Context(), name) {
		if err == nil && (len(c.Items) != 1 || c.Items[0].Name != name || c.Items[0].Value != nil || c.Snapshot) {
			err = fmt.Errorf("got %v", c)
		}
		if err == nil {
			err = m.recorded(journal.Change{Revision: c.Revision, Time: c.Time, Origin: c.Origin, Operation: c.Operation})
		}
		if err != nil {
			m.t.Fatalf("the history of %.40q: %v", name, err)
		}
		item := c.Items[0]
		overwrite(c.Items)
		c.Items = []journal.Item{item}
		changes = append(changes, c)
	}
	return changes
}

// same compares items. Empty bytes are as good as none: only reading tells these apart, by Gone.
func same(a, b journal.Item) bool {
	return a.Name == b.Name && a.Gone == b.Gone && bytes.Equal(a.Value, b.Value)
}

func cloned(items []journal.Item) []journal.Item {
	items = slices.Clone(items)
	for i := range items {
		items[i].Value = bytes.Clone(items[i].Value)
	}
	return items
}

// overwrite changes all that a journal could have kept or given away of its own.
func overwrite(items []journal.Item) {
	for i := range items {
		clear(items[i].Value)
		items[i] = journal.Item{Name: "overwritten", Value: []byte("overwritten")}
	}
}

// show is a state in a message, of which it shows the beginning.
func show(items map[string]string) string {
	return fmt.Sprintf("%d items %.200q", len(items), fmt.Sprint(items))
}
