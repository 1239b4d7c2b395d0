package journal

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"
)

// Memory returns an empty journal in memory. It keeps the records of changes for retain; 0 stands for 400 days. It is
// for tests, and for programs whose control state may end with them.
func Memory(retain time.Duration) Journal {
	return &memory{retain: cmp.Or(retain, 400*24*time.Hour), items: make(map[string]stored), grown: make(chan struct{})}
}

type memory struct {
	retain time.Duration

	mu      sync.Mutex
	head    uint64
	records []Change // without bytes; the last one has the revision head
	items   map[string]stored
	grown   chan struct{} // closed by the next Append
}

// stored is an item with the revision that has put or removed it. A removed one stays as long as its record.
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
	c.Revision, c.Snapshot, c.Items = m.head, false, slices.Clone(c.Items)
	for i := range c.Items {
		it := &c.Items[i]
		m.items[it.Name] = stored{Item{it.Name, present(*it), it.Gone}, m.head}
		it.Value = nil
	}
	m.records = append(m.records, c)
	m.prune(time.Now().Add(-m.retain))
	close(m.grown)
	m.grown = make(chan struct{})
	return m.head, nil
}

// present returns a copy of an item's bytes: not nil, unless it is gone.
func present(it Item) []byte {
	if it.Gone {
		return nil
	}
	return append([]byte{}, it.Value...)
}

// prune drops the oldest records whose time is before t, but never the last one.
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
		}
		for _, c := range changes {
			if !yield(c, nil) {
				return
			}
		}
	}
}

// since returns copies of what Changes yields.
func (m *memory) since(ctx context.Context, after uint64) ([]Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch first := m.head - uint64(len(m.records)); {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case after > m.head:
		return nil, fmt.Errorf("journal: after revision %d, the head is %d", after, m.head)
	case after < first:
		return m.snapshot(), nil
	default:
		var changes []Change
		for _, c := range m.records[after-first:] {
			changes = append(changes, m.current(c))
		}
		return changes, nil
	}
}

// current returns c with the bytes of those of its items that no later change has changed.
func (m *memory) current(c Change) Change {
	var items []Item
	for _, it := range c.Items {
		if now := m.items[it.Name]; now.revision == c.Revision {
			items = append(items, Item{it.Name, bytes.Clone(now.Value), now.Gone})
		}
	}
	c.Items = items
	return c
}

func (m *memory) snapshot() []Change {
	c := Change{Revision: m.head, Snapshot: true}
	for _, name := range slices.Sorted(maps.Keys(m.items)) {
		if it := m.items[name]; !it.Gone {
			c.Items = append(c.Items, Item{Name: name, Value: bytes.Clone(it.Value)})
		}
	}
	return []Change{c}
}

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
		m.mu.Lock()
		records := m.records // records do not change
		m.mu.Unlock()
		if err := ctx.Err(); err != nil {
			yield(Change{}, err)
			return
		}
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
