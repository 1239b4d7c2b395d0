package journal

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"
)

// Memory returns an empty journal in memory. It keeps the records of changes for retain; 0 or less stands for 400 days.
// It is for tests, and for programs whose control state may end with them.
func Memory(retain time.Duration) Journal {
	if retain <= 0 {
		retain = 400 * 24 * time.Hour
	}
	return &memory{retain: retain, items: make(map[string]stored), grown: make(chan struct{})}
}

// memory is the journal that Memory returns. A reader copies what it needs under the mutex and yields it without. So a
// slow reader stops nobody, and may use the journal in its own loop.
type memory struct {
	retain time.Duration

	mu      sync.Mutex
	head    uint64
	records []Change // without bytes; the last one has the revision head; an element never changes
	items   map[string]stored
	grown   chan struct{} // closed by the next Append
}

// stored is an item with the revision that has put or removed it. Its bytes never change, so they can be read without
// the mutex. A removed item stays as long as the record of its removal.
type stored struct {
	Item
	revision uint64
}

func (m *memory) Append(ctx context.Context, after uint64, c Change) (uint64, error) {
	if err := cmp.Or(ctx.Err(), c.Validate()); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if after != m.head {
		return 0, fmt.Errorf("%w: at %d, not %d", ErrBehind, after, m.head)
	}
	m.head++
	c.Revision, c.Time, c.Snapshot, c.Items = m.head, c.Time.UTC(), false, owned(c.Items)
	for i, it := range c.Items {
		m.items[it.Name] = stored{it, m.head}
		c.Items[i].Value = nil
	}
	m.records = append(m.records, c)
	m.prune(time.Now().Add(-m.retain))
	close(m.grown)
	m.grown = make(chan struct{})
	return m.head, nil
}

// owned returns copies of items. Their bytes are nil for items that are gone, and only for these. Append needs copies,
// since the caller may use its bytes again, and so do readers, to whom their bytes belong.
func owned(items []Item) []Item {
	items = slices.Clone(items)
	for i, it := range items {
		if items[i].Value = nil; !it.Gone {
			items[i].Value = append([]byte{}, it.Value...)
		}
	}
	return items
}

// prune drops the oldest records whose time is before t, but never the last one. The caller must hold mu.
//
// It stops at the first record that is young enough. Times come from the clocks of several writers, so an older one may
// stand behind it. That one stays, because records must have no gaps: since finds a record by its distance from the
// head.
func (m *memory) prune(t time.Time) {
	for len(m.records) > 1 && m.records[0].Time.Before(t) {
		for _, it := range m.records[0].Items {
			if now := m.items[it.Name]; now.Gone && now.revision == m.records[0].Revision {
				delete(m.items, it.Name)
			}
		}
		m.records = m.records[1:]
	}
}

func (m *memory) Changes(ctx context.Context, after uint64) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		changes, err := m.since(ctx, after)
		if err != nil {
			yield(Change{}, err)
			return
		}
		for _, c := range changes {
			if c.Items = owned(c.Items); !yield(c, nil) {
				return
			}
		}
	}
}

// since returns what Changes yields. Its bytes are those of the journal.
func (m *memory) since(ctx context.Context, after uint64) ([]Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch first := m.head - uint64(len(m.records)); {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case after > m.head:
		return nil, fmt.Errorf("journal: revision %d has been read, but the head is %d: "+
			"changes are lost, or this is another journal", after, m.head)
	case after < first:
		return []Change{m.snapshot()}, nil
	default:
		changes := slices.Clone(m.records[after-first:])
		for i := range changes {
			changes[i].Items = m.latest(changes[i])
		}
		return changes, nil
	}
}

// latest returns those of a change's items that no later change has changed, with their bytes. The caller must hold mu.
func (m *memory) latest(c Change) (items []Item) {
	for _, it := range c.Items {
		if now := m.items[it.Name]; now.revision == c.Revision {
			items = append(items, now.Item)
		}
	}
	return items
}

// snapshot returns all items as one change. The caller must hold mu.
func (m *memory) snapshot() Change {
	c := Change{Revision: m.head, Snapshot: true}
	for now := range maps.Values(m.items) {
		if !now.Gone {
			c.Items = append(c.Items, now.Item)
		}
	}
	return c
}

// Wait takes the head and the channel under one lock. Otherwise a change in between would close a channel that Wait has
// not seen, and Wait would miss it.
func (m *memory) Wait(ctx context.Context, after uint64) error {
	for {
		m.mu.Lock()
		head, grown := m.head, m.grown
		m.mu.Unlock()
		if head > after {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (m *memory) History(ctx context.Context, item string) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(Change{}, err)
			return
		}
		m.mu.Lock()
		records := m.records // safe without the mutex: Append adds behind them, and prune moves only its own slice
		m.mu.Unlock()
		for _, c := range slices.Backward(records) {
			if i := slices.IndexFunc(c.Items, func(it Item) bool { return it.Name == item }); i >= 0 {
				c.Items = []Item{c.Items[i]}
				if !yield(c, nil) {
					return
				}
			}
		}
	}
}
