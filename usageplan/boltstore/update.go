package boltstore

import (
	"context"
	"errors"
	"fmt"
)

// Update implements [ledger.Engine]. It is one commit for all keys whose rows change, and none if no row does. After an
// error that does not come from f, the next call opens the file again.
func (s *Store) Update(ctx context.Context, keys []string, f func(i int, row []byte) ([]byte, error)) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	changes, err := s.decide(keys, f)
	if err != nil || len(changes) == 0 {
		return err
	}
	err = s.db.update(s.write(changes))
	if err == nil { // the commit may have gone to a file that nobody will open again
		err = s.isInPlace()
	}
	if err != nil {
		s.drop()
		return fmt.Errorf("boltstore: write: %w", err)
	}
	s.acknowledge(changes)
	s.last = s.state.last
	return nil
}

// change is a new row of a key. An empty row deletes.
type change struct {
	key string
	row []byte
}

// decide calls f for each key and returns the rows that change. No change is in memory yet, so an error, or a panic of f,
// leaves everything as it was.
func (s *Store) decide(keys []string, f func(i int, row []byte) ([]byte, error)) ([]change, error) {
	changes := make([]change, 0, len(keys))
	rows := s.reader()
	defer rows.end()
	for i, key := range keys {
		row, err := s.row(rows, key)
		if err != nil {
			return nil, err
		}
		if row, err = f(i, row); err != nil {
			return nil, err
		}
		if len(row) > maxRow {
			return nil, fmt.Errorf("boltstore: a row of %d bytes", len(row))
		}
		if row != nil {
			changes = append(changes, change{key, row})
		}
	}
	return changes, nil
}

// Load implements [ledger.Engine].
func (s *Store) Load(ctx context.Context, key string) ([]byte, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	rows := s.reader()
	defer rows.end()
	row, err := s.row(rows, key)
	return append([]byte(nil), row...), err
}

// row returns the present row of a key, nil if it has none. The slice is valid until the next call.
func (s *Store) row(rows *rowReader, key string) ([]byte, error) {
	if len(key) == 0 || len(key) > maxKey {
		return nil, fmt.Errorf("boltstore: a key of %d bytes", len(key))
	}
	if row, ok := s.recent(key); ok {
		return row, nil
	}
	row, err := rows.get(key)
	if err != nil && !errors.Is(err, errRow) {
		rows.end() // the file cannot be closed before
		s.drop()
	}
	if err != nil {
		return nil, fmt.Errorf("boltstore: read: %w", err)
	}
	return row, nil
}
