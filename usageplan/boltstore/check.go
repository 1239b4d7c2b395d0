package boltstore

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/tallygate/tallygate/usageplan/ledger"
	bolt "go.etcd.io/bbolt"
)

// check reads the whole file: each value must be whole, each row the sum of its base and its entries, and of its days.
// found, if not nil, is shown the rows.
func check(ctx context.Context, tx *bolt.Tx, found *leftovers) error {
	folded, err := checkMeta(tx)
	if err != nil {
		return err
	}
	accounts := tx.Bucket(accountBucket).Stats().KeyN // reads each page once, which is far less than to let a map of a million grow
	ledgers := accumulator{at: make(map[string]int, accounts), sums: make([]sums, 0, accounts)}
	if err := ledgers.readBase(ctx, tx); err != nil {
		return err
	}
	if err := ledgers.readLog(ctx, tx, folded); err != nil {
		return err
	}
	return ledgers.compare(ctx, tx, found)
}

// each calls f with all that a bucket has, as long as ctx lasts.
func each(ctx context.Context, b *bolt.Bucket, f func(key, value []byte) error) error {
	return b.ForEach(func(key, value []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return f(key, value)
	})
}

// accumulator adds up entries by account.
type accumulator struct {
	at   map[string]int // account key to index of sums
	sums []sums
	seen []bool
}

func (a *accumulator) sum(account []byte) *sums {
	i, ok := a.at[string(account)]
	if !ok {
		i = len(a.sums)
		a.at[string(account)] = i
		a.sums = append(a.sums, sums{})
	}
	return &a.sums[i]
}

func (a *accumulator) readBase(ctx context.Context, tx *bolt.Tx) error {
	return each(ctx, tx.Bucket(baseBucket), func(key, value []byte) error {
		s, err := readSums(value)
		*a.sum(key) = s
		return err
	})
}

// readLog adds the entries up to folded. Those after it are only read.
func (a *accumulator) readLog(ctx context.Context, tx *bolt.Tx, folded uint64) error {
	next := uint64(0)
	return each(ctx, tx.Bucket(logBucket), func(key, value []byte) error {
		if len(key) != 8 {
			return fmt.Errorf("%w: log key", ErrFormat)
		}
		seq := binary.BigEndian.Uint64(key)
		if next != 0 && seq != next {
			return fmt.Errorf("%w: record %d is missing", ErrFormat, next)
		}
		next = seq + 1
		_, err := readRecord(value, func(_ int, e *raw) error {
			if seq <= folded {
				a.sum(e.account).add(e.kind, e.granted)
			}
			return nil
		})
		return err
	})
}

// compare holds the rows against the sums.
func (a *accumulator) compare(ctx context.Context, tx *bolt.Tx, found *leftovers) error {
	a.seen = make([]bool, len(a.sums))
	state := new(ledger.State) // used again for each row; see copies what it keeps
	err := each(ctx, tx.Bucket(accountBucket), func(key, value []byte) error {
		if err := readStateInto(state, value); err != nil {
			return err
		}
		var want sums
		if i, ok := a.at[string(key)]; ok {
			want, a.seen[i] = a.sums[i], true
		}
		if err := compareState(key, state, want); err != nil {
			return err
		}
		if found == nil || !leaves(state) {
			return nil
		}
		account, err := parseAccountKey(key)
		found.see(account, state)
		return err
	})
	if err != nil {
		return err
	}
	for key, i := range a.at {
		if !a.seen[i] && a.sums[i] != (sums{}) {
			return fmt.Errorf("%w: entries of an account without a row: %q", ErrFormat, key)
		}
	}
	return nil
}

func compareState(key []byte, s *ledger.State, want sums) error {
	var days ledger.DayTotal
	for _, d := range s.Days {
		days.Used += d.Used
		days.Held += d.Held
		days.Adjustments += d.Adjustments
	}
	start, ok := startOf(key)
	switch {
	case !ok || s.Start != start:
		return fmt.Errorf("%w: row %q begins at %d", ErrFormat, key, s.Start)
	case s.Used != want.used:
		return errSum(key, "used", s.Used, want.used)
	case s.Adjustments != want.adjustments:
		return errSum(key, "adjustments", s.Adjustments, want.adjustments)
	case days.Used != s.Used:
		return errSum(key, "used by day", s.Used, days.Used)
	case days.Held != s.Held:
		return errSum(key, "held by day", s.Held, days.Held)
	case days.Adjustments != s.Adjustments:
		return errSum(key, "adjustments by day", s.Adjustments, days.Adjustments)
	}
	return nil
}

// errSum is the double entry's proof failing.
func errSum(key []byte, what string, have, want int64) error {
	return fmt.Errorf("%w: %s of %q is %d, but adds up to %d", ErrFormat, what, key, have, want)
}
