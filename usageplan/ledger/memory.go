package ledger

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
)

// NewMemory returns an empty engine that keeps its rows in memory. It is for tests, demos and counts that may die with
// the process. Several ledgers may share it.
func NewMemory() Engine { return &memory{rows: make(map[string][]byte)} }

// memory is an engine over a map. It is no [Owner], so several ledgers over it are like several machines.
type memory struct {
	mu   sync.Mutex
	rows map[string][]byte // nil once closed
}

// begin locks m. It does not if ctx or m has ended.
func (m *memory) begin(ctx context.Context) error {
	m.mu.Lock()
	err := ctx.Err()
	if m.rows == nil {
		err = errors.New("memory engine is closed")
	}
	if err != nil {
		m.mu.Unlock()
	}
	return err
}

// Update holds the lock throughout, so no row changes between f and the write.
func (m *memory) Update(ctx context.Context, keys []string, f func(i int, row []byte) ([]byte, error)) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	for i, key := range keys {
		switch row, err := f(i, m.rows[key]); {
		case err != nil:
			return err
		case len(row) > 0:
			m.rows[key] = row
		case row != nil:
			delete(m.rows, key)
		}
	}
	return nil
}

// Load implements [Engine].
func (m *memory) Load(ctx context.Context, key string) ([]byte, error) {
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	return bytes.Clone(m.rows[key]), nil
}

// Keys yields the keys that there are when it begins. It holds no lock while it yields, so the caller may use m.
func (m *memory) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := m.begin(ctx); err != nil {
			yield("", err)
			return
		}
		keys := slices.Collect(maps.Keys(m.rows))
		m.mu.Unlock()
		for _, key := range keys {
			if strings.HasPrefix(key, prefix) && !yield(key, nil) {
				return
			}
		}
	}
}

// Close forgets the rows.
func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows = nil
	return nil
}
