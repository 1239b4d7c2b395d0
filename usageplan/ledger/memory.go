package ledger

import (
	"bytes"
	"context"
	"errors"
	"iter"
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

var errMemoryClosed = errors.New("memory engine is closed")

// enter locks m, unless ctx or m has ended.
func (m *memory) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	if m.rows == nil {
		m.mu.Unlock()
		return errMemoryClosed
	}
	return nil
}

// Update calls f under the lock, so nobody changes a row in between, and none is called twice.
func (m *memory) Update(ctx context.Context, keys []string, f func(i int, row []byte) ([]byte, error)) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	for i, key := range keys {
		row, err := f(i, m.rows[key])
		switch {
		case err != nil:
			return err
		case row == nil:
		case len(row) == 0:
			delete(m.rows, key)
		default:
			m.rows[key] = row
		}
	}
	return nil
}

func (m *memory) Load(ctx context.Context, key string) ([]byte, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	return bytes.Clone(m.rows[key]), nil
}

func (m *memory) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		keys, err := m.keys(ctx, prefix)
		if err != nil {
			yield("", err)
			return
		}
		for _, key := range keys {
			if !yield(key, nil) {
				return
			}
		}
	}
}

func (m *memory) keys(ctx context.Context, prefix string) (keys []string, err error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	for key := range m.rows {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows = nil
	return nil
}
