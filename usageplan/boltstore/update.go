package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// Limits of the contract of [ledger.Engine].
const (
	maxKey = 1200
	maxRow = 1 << 16
)

// Update implements [ledger.Engine]. It is one commit for all keys whose rows change, and none if no row does. After an
// error that does not come from f, the next call opens the file again.
//
// If the row of a key is damaged, Update changes nothing. The error then has a method Row, which returns the key, so that the
// caller can leave that key out and make the rest:
//
//	if damaged, ok := errors.AsType[interface{ error; Row() string }](err); ok { ... damaged.Row() ... }
func (s *Store) Update(ctx context.Context, keys []string, f func(i int, row []byte) ([]byte, error)) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	changes, err := s.decide(keys, f)
	if err != nil || len(changes) == 0 {
		return err
	}
	err = s.db.update(func(tx *bolt.Tx) error { return s.write(tx, changes) })
	if err == nil {
		err = s.isInPlace() // the commit may have gone to a file that nobody will open again
	}
	if err != nil {
		return s.failed(err)
	}
	for _, c := range changes {
		s.now[c.key] = c.row
	}
	s.turn()
	s.last = s.state.Last
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
	rows, err := s.rows(keys)
	if err != nil {
		return nil, err
	}
	changes := make([]change, 0, len(keys))
	for i, row := range rows {
		if row, err = f(i, row); err != nil {
			return nil, err
		}
		if len(row) > maxRow {
			return nil, fmt.Errorf("boltstore: a row of %d bytes", len(row))
		}
		if row != nil {
			changes = append(changes, change{keys[i], row})
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
	rows, err := s.rows([]string{key})
	if err != nil {
		return nil, err
	}
	return bytes.Clone(rows[0]), nil
}

// rows returns the present rows of keys, nil where there is none. Those that the tail does not have it copies from the file:
// that is mapped into memory, where a fault is an error only here. They are read in one transaction, and in none if the tail
// has all, as is usual for keys that are in use.
func (s *Store) rows(keys []string) ([][]byte, error) {
	rows := make([][]byte, len(keys))
	var others []int
	for i, key := range keys {
		if len(key) == 0 || len(key) > maxKey {
			return nil, fmt.Errorf("boltstore: a key of %d bytes", len(key))
		}
		var ok bool
		if rows[i], ok = s.recent(key); !ok {
			others = append(others, i)
		}
	}
	if len(others) == 0 {
		return rows, nil
	}
	err := s.db.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(rowBucket).Cursor()
		for _, i := range others {
			row, err := find(c, []byte(keys[i]))
			if err != nil {
				return err
			}
			rows[i] = bytes.Clone(row)
		}
		return nil
	})
	return rows, s.failed(err)
}

// failed drops what is in memory after an error, but not if only a row is damaged: other keys go on.
func (s *Store) failed(err error) error {
	var damaged rowError
	if err != nil && !errors.As(err, &damaged) {
		s.drop()
	}
	return err
}
