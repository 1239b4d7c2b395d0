package boltstore

import (
	"bytes"
	"context"
	"iter"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// keysAtOnce is how many keys Keys reads while it has the store locked.
const keysAtOnce = 1000

// Keys implements [ledger.Engine]. It first yields the keys in memory, then those in the file, some at a time, so that
// other calls get through.
//
// A checkpoint may meanwhile move a key from memory to the file. It is yielded once all the same, because what memory had is
// remembered. A key that is made or deleted meanwhile is yielded or not.
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
// A key that a flipped bit has changed may seem to have another prefix. It then stands before the first or after the last of
// this one, as keys ascend, so both of these are checked too.
func (s *Store) storedKeys(ctx context.Context, prefix, at string) (keys []string, next string, err error) {
	if err := s.enter(ctx); err != nil {
		return nil, "", err
	}
	defer s.mu.Unlock()
	err = s.db.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(rowBucket).Cursor()
		if _, err := find(c, []byte(at)); err != nil {
			return err
		}
		for key, value := c.Seek([]byte(at)); key != nil; key, value = c.Next() {
			if _, ok := unseal(key, value); !ok {
				return rowError(key)
			}
			if !bytes.HasPrefix(key, []byte(prefix)) {
				return nil
			}
			if len(keys) == keysAtOnce {
				next = string(key)
				return nil
			}
			keys = append(keys, string(key))
		}
		return nil
	})
	return keys, next, s.failed(err)
}
