package boltstore

import (
	"context"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// Check reads the whole file, as it is when Check begins. It checks each page, the checksum of each row, item
// and record, and that none is missing.
//
// Other calls go on meanwhile. But a call that needs a larger map of the file in memory, or has to open the file again
// after an error, waits until Check has ended, and so do all calls after it. So check at a quiet time, or check a copy
// by opening it. Pages that Check still reads are not used again, so the file may grow.
//
// The error wraps [ErrFormat] if the file is damaged, [ErrReplaced], [ErrClosed], that of ctx, or what the system
// reports.
func (s *Store) Check(ctx context.Context) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	db, want := s.db, s.state
	err := s.isInPlace()
	var tx *bolt.Tx // keeps the pages of the present tree as they are
	if err == nil {
		tx, err = db.begin(false)
		err = s.failed(err)
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	defer db.end(tx)
	sum, records := uint64(0), uint64(0)
	err = walk(db.file, tx, func(bucket string, key, value []byte) error {
		switch {
		case bucket == string(metaBucket):
			return nil
		case isSummed(bucket):
			sum += uint64(storedSum(value))
		default:
			records++
		}
		if _, ok := unseal(key, value); !ok {
			return fmt.Errorf("%w: checksum of %q in bucket %q", ErrFormat, key, bucket)
		}
		return ctx.Err()
	})
	if err == nil && (sum != want.Sum || records != want.Last+1-want.First) {
		err = errMissing
	}
	if err == nil {
		err = guard(func() error { return checkJournals(tx) })
	}
	return err
}
