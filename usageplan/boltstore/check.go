package boltstore

import (
	"context"
	"encoding/binary"
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
	db, want := s.db, s.state
	tx, root, p, err := s.pin()
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("boltstore: check: %w", err)
	}
	defer db.end(tx)
	found := audit{ctx: ctx}
	p.each = found.add
	if err := p.page(root, 0, nil, nil); err != nil {
		return fmt.Errorf("boltstore: check: %w", err)
	}
	return found.compare(&want)
}

// pin begins a transaction, so that the pages of the present tree stay as they are. Nothing is written meanwhile.
func (s *Store) pin() (tx *bolt.Tx, root uint64, p *pages, err error) {
	if err := s.isInPlace(); err != nil {
		return nil, 0, nil, err
	}
	if tx, err = s.db.begin(false); err != nil {
		return nil, 0, nil, err
	}
	if p, root, err = newPages(s.db.file); err != nil {
		s.db.end(tx)
	}
	return tx, root, p, err
}

// audit is what a file has.
type audit struct {
	ctx         context.Context
	sum         uint64 // of the checksums of the rows
	records     uint64
	first, last uint64 // smallest and largest number of a record
}

func (a *audit) add(bucket string, key, value []byte) error {
	err := a.ctx.Err()
	switch {
	case err != nil:
	case bucket == string(rowBucket):
		a.sum += uint64(storedSum(value))
		_, err = unseal(key, value)
	case bucket == string(logBuckets[0]), bucket == string(logBuckets[1]):
		a.number(key)
		err = readRecord(key, value, func(_, _ []byte) {})
	case bucket == string(metaBucket) && string(key) == string(stateKey):
		_, err = unseal(key, value)
	}
	return err
}

func (a *audit) number(key []byte) {
	if len(key) != 8 {
		return // and so one is missing
	}
	n := binary.BigEndian.Uint64(key)
	if a.records == 0 || n < a.first {
		a.first = n
	}
	a.last = max(a.last, n)
	a.records++
}

// compare holds what was found against the state. No number is there twice: the keys of a log ascend, and a log begins
// where the other ends.
func (a *audit) compare(want *state) error {
	records := want.last + 1 - want.first
	if a.sum != want.sum {
		return errRows(a.sum, want.sum)
	}
	if a.records != records || records > 0 && (a.first != want.first || a.last != want.last) {
		return fmt.Errorf("boltstore: check: %w: %d records from %d to %d, not %d from %d to %d",
			ErrFormat, a.records, a.first, a.last, records, want.first, want.last)
	}
	return nil
}

// errRows says that a row is missing or is an older one.
func errRows(have, want uint64) error {
	return fmt.Errorf("%w: the checksums of the rows add up to %x, not %x", ErrFormat, have, want)
}
