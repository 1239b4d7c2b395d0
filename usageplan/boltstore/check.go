package boltstore

import (
	"context"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// Check reads the whole file, as it is when Check begins. It checks each page, the checksum of each row and record, and that
// none is missing.
//
// Other calls go on meanwhile. But a call that needs a larger map of the file in memory, or has to open the file again
// after an error, waits until Check has ended, and so do all calls after it. So check at a quiet time, or check a copy by
// opening it. Pages that Check still reads are not used again, so the file may grow.
//
// The error wraps [ErrFormat] if the file is damaged, [ErrReplaced], [ErrClosed], that of ctx, or what the system reports.
func (s *Store) Check(ctx context.Context) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	db, want, found := s.db, s.state, uint64(0)
	tx, p, err := s.pin()
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("boltstore: check: %w", err)
	}
	defer db.end(tx)
	records := uint64(0)
	err = p.walk(func(bucket string, key, value []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		switch bucket {
		case string(rowBucket):
			found += uint64(storedSum(value))
		case string(metaBucket):
			return nil
		default:
			records++
		}
		_, err := unseal(key, value)
		return err
	})
	if err == nil && (found != want.sum || records != want.last+1-want.first) {
		err = errMissing
	}
	if err != nil {
		return fmt.Errorf("boltstore: check: %w", err)
	}
	return nil
}

// pin begins a transaction, so that the pages of the present tree stay as they are. Nothing is written meanwhile.
func (s *Store) pin() (tx *bolt.Tx, p *pages, err error) {
	if err := s.isInPlace(); err != nil {
		return nil, nil, err
	}
	if tx, err = s.db.begin(false); err != nil {
		return nil, nil, err
	}
	if p, err = newPages(s.db.file); err != nil {
		s.db.end(tx)
	}
	return tx, p, err
}
