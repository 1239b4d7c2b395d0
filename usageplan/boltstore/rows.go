package boltstore

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// Limits of the contract of [ledger.Engine].
const maxKey, maxRow = 1200, 1 << 16

// keysAtOnce is how many keys Keys reads while it has the store locked.
const keysAtOnce = 1000

// Update implements [ledger.Engine]. It is one commit for all keys whose rows change, and none if no row does. After an
// error that does not come from f, the next call opens the file again.
//
// If the row of a key is damaged, Update changes nothing. The error then has a method Row, which returns the key, so
// that the caller can leave that key out and make the rest:
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
	if err := s.commit(func(tx *bolt.Tx) error { return s.write(tx, changes) }); err != nil {
		return err
	}
	for _, c := range changes {
		s.now[c.key] = c.row
	}
	s.turn()
	return nil
}

// change is a new row of a key. An empty row deletes.
type change struct {
	key string
	row []byte
}

// decide calls f for each key and returns the rows that change. No change is in memory yet, so an error, or a panic of
// f, leaves everything as it was.
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

// Load implements [ledger.Engine]. It is an Update that changes nothing.
func (s *Store) Load(ctx context.Context, key string) (row []byte, err error) {
	err = s.Update(ctx, []string{key}, func(_ int, now []byte) ([]byte, error) {
		row = bytes.Clone(now)
		return nil, nil
	})
	return row, err
}

// rows returns the present rows of keys, nil where there is none. Those that the tail does not have it copies from the
// file: that is mapped into memory, where a fault is an error only here. They are read in one transaction, and in none
// if the tail has all, as is usual for keys that are in use.
func (s *Store) rows(keys []string) ([][]byte, error) {
	rows := make([][]byte, len(keys))
	var others []int
	for i, key := range keys {
		if len(key) == 0 || len(key) > maxKey {
			return nil, fmt.Errorf("boltstore: a key of %d bytes", len(key))
		}
		row, ok := s.now[key]
		if !ok {
			row, ok = s.before[key]
		}
		if len(row) > 0 {
			rows[i] = row
		} else if !ok {
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

// rowError is the error for a key whose row is damaged.
type rowError string

func (e rowError) Error() string {
	return fmt.Sprintf("%v: row at or next to key %q", ErrFormat, string(e))
}
func (e rowError) Unwrap() error { return ErrFormat }

// Row returns the key.
func (e rowError) Row() string { return string(e) }

// find returns the row of a key, nil if there is none.
//
// That there is none has to be proved as well. Were one bit of the stored key "bob" flipped to "bab", the key "bob"
// would seem new and its count would begin again. Open has checked that the keys of the file ascend, so "bab" then
// still stands where "bob" would: next to the place that the cursor finds. So the two rows around that place are
// checked.
func find(c *bolt.Cursor, key []byte) ([]byte, error) {
	k, sealed := c.Seek(key)
	row, ok := unseal(k, sealed)
	if ok && string(k) == string(key) {
		return row, nil
	}
	before := c.Prev
	if k == nil { // all keys are less
		before, ok = c.Last, true
	}
	if k, sealed = before(); ok && k != nil {
		_, ok = unseal(k, sealed)
	}
	if !ok {
		return nil, partial{rowError(key)}
	}
	return nil, nil
}

// Keys implements [ledger.Engine]. It first yields the keys in memory, then those in the file, some at a time, so that
// other calls get through.
//
// A checkpoint may meanwhile move a key from memory to the file. It is yielded once all the same, because what memory
// had is remembered. A key that is made or deleted meanwhile is yielded or not.
func (s *Store) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		tail, err := s.tailKeys(ctx, prefix)
		for key, exists := range tail {
			if exists && !yield(key, nil) {
				return
			}
		}
		for at, more := prefix, err == nil; more; more = at != "" {
			var keys []string
			keys, at, err = s.storedKeys(ctx, prefix, at)
			for _, key := range keys {
				if _, ok := tail[key]; !ok && !yield(key, nil) {
					return
				}
			}
		}
		if err != nil {
			yield("", err)
		}
	}
}

// tailKeys returns the keys with a prefix that the tail has: true, or false if they have been deleted.
func (s *Store) tailKeys(ctx context.Context, prefix string) (map[string]bool, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	keys := make(map[string]bool)
	for _, rows := range []map[string][]byte{s.before, s.now} {
		for key, row := range rows {
			if strings.HasPrefix(key, prefix) {
				keys[key] = len(row) > 0
			}
		}
	}
	return keys, nil
}

// storedKeys returns keys of the bucket with a prefix, from at on. If there are more, next is where they begin.
//
// A key that a flipped bit has changed may seem to have another prefix. It then stands before the first or after the
// last of this one, as keys ascend, so both of these are checked too.
func (s *Store) storedKeys(ctx context.Context, prefix, at string) (keys []string, next string, err error) {
	err = s.view(ctx, func(tx *bolt.Tx) error {
		c := tx.Bucket(rowBucket).Cursor()
		if _, err := find(c, []byte(at)); err != nil {
			return err
		}
		for key, value := c.Seek([]byte(at)); key != nil; key, value = c.Next() {
			switch _, ok := unseal(key, value); {
			case !ok:
				return partial{rowError(key)}
			case !bytes.HasPrefix(key, []byte(prefix)):
				return nil
			case len(keys) == keysAtOnce:
				next = string(key)
				return nil
			}
			keys = append(keys, string(key))
		}
		return nil
	})
	return keys, next, err
}
