package boltstore

import (
	"context"
	"encoding/binary"
	"iter"

	"github.com/tallygate/tallygate/usageplan/ledger"
	bolt "go.etcd.io/bbolt"
)

// leftovers are what earlier lives left open, as of Open.
type leftovers struct {
	leases    map[ledger.Account][]ledger.OldOpenLease
	crossings map[ledger.Account]ledger.UntoldCrossings
}

// leaves reports whether a state has anything open.
func leaves(s *ledger.State) bool { return len(s.Leases) > 0 || s.Crossed != s.Told }

// see notes what of an account is open; a later look replaces an earlier one.
func (l *leftovers) see(a ledger.Account, s *ledger.State) {
	if l.leases == nil {
		l.leases, l.crossings = make(map[ledger.Account][]ledger.OldOpenLease), make(map[ledger.Account]ledger.UntoldCrossings)
	}
	delete(l.leases, a)
	delete(l.crossings, a)
	for _, lease := range s.Leases {
		l.leases[a] = append(l.leases[a], ledger.OldOpenLease{Account: a, Lease: lease})
	}
	if s.Crossed != s.Told && len(s.Days) > 0 {
		l.crossings[a] = ledger.UntoldCrossings{Account: a, Day: s.Days[len(s.Days)-1].Day, Totals: s.Totals}
	}
}

// Leases implements [ledger.Recoverer]. It yields the leases open when the file was opened: their holders have let go
// of the file.
func (s *Store) Leases(context.Context) iter.Seq2[ledger.OldOpenLease, error] {
	return func(yield func(ledger.OldOpenLease, error) bool) {
		for _, leases := range s.left.leases {
			for _, l := range leases {
				if !yield(l, nil) {
					return
				}
			}
		}
	}
}

// Crossings implements [ledger.Recoverer]. It yields those untold when the file was opened, whatever has been told
// since: a second ledger over the same Store tells them again.
func (s *Store) Crossings(context.Context) iter.Seq2[ledger.UntoldCrossings, error] {
	return func(yield func(ledger.UntoldCrossings, error) bool) {
		for _, u := range s.left.crossings {
			if !yield(u, nil) {
				return
			}
		}
	}
}

// Entries implements [ledger.Auditor]. A record that is compacted while the caller iterates is left out.
func (s *Store) Entries(ctx context.Context, after uint64) iter.Seq2[ledger.Entry, error] {
	return func(yield func(ledger.Entry, error) bool) {
		for {
			entries, err := s.someEntries(ctx, after)
			if err != nil {
				yield(ledger.Entry{}, err)
				return
			}
			if len(entries) == 0 {
				return
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
				after = e.Seq
			}
		}
	}
}

// someEntries reads the entries of one record, the first with any above after.
func (s *Store) someEntries(ctx context.Context, after uint64) (entries []ledger.Entry, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(); err != nil {
		return nil, err
	}
	err = s.db.view(func(tx *bolt.Tx) error { return readEntries(tx, after, &entries) })
	return entries, err
}

func readEntries(tx *bolt.Tx, after uint64, entries *[]ledger.Entry) error {
	c := tx.Bucket(logBucket).Cursor()
	for key, value := c.Seek(seqKey(after / maxRecord)); key != nil && len(*entries) == 0; key, value = c.Next() {
		first := binary.BigEndian.Uint64(key) * maxRecord
		_, err := readRecord(value, func(i int, e *raw) error {
			if first+uint64(i) <= after {
				return nil
			}
			entry, err := e.entry(first + uint64(i))
			*entries = append(*entries, entry)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
