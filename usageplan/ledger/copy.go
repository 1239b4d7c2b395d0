package ledger

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// Copy writes all rows of one engine to another: for example those of a file to a database that several machines share,
// or back. A ledger over the copy answers as one over the source does: balances, usage, keys, and adjustments with who
// and why. It tells the crossings that nobody has been told.
//
// The target must be empty, or have a part of the same copy. So Copy can be called again after an error or a kill, with
// the same engines. It then goes on, and nothing is counted twice. Before Copy returns nil, it has compared all rows of
// both engines.
//
// Close every ledger over both engines before. Copy notices many changes that are made meanwhile, but not all of them.
// It cannot see what a ledger admits from a lease.
//
// A ledger that was killed has left leases open. If it had [Config].Slots, first make a ledger over the source with
// these slots, and close it. That ends the leases, with what was spent of each. Copy ends the others. Nobody knows what
// was spent of them, so their units stay counted against the limit of their period, but not as used.
//
// Open leases are not copied, because nobody could end them. An [Owner] could even take them for its own, since its
// openings may have the same numbers as those of the source. Which batches have been made is not copied either: no
// ledger repeats them over the copy.
//
// Causes: [ErrDiffers]; [ErrLeased]; [ErrInvalid] if an engine is nil; [ErrUnavailable] if an engine fails or a row
// cannot be read. The text names the row.
func Copy(ctx context.Context, to, from Engine) error {
	if isNil(to) || isNil(from) {
		return &Error{Err: fmt.Errorf("%w: a copy needs two engines", errConfig)}
	}
	c := copier{to: to, from: from}
	if o, is := from.(Owner); is {
		c.owned, c.owner = true, uint64(o.Owner())
	}
	// The first step finds other data before anything is written. The last two find rows that somebody has changed
	// meanwhile, in the source and in the target.
	for _, step := range []struct {
		of Engine
		do func(ctx context.Context, keys []string) error
	}{{to, c.compare}, {from, c.write}, {from, c.compare}, {to, c.compare}} {
		if err := eachKeys(ctx, step.of, step.do); err != nil {
			return asError(err)
		}
	}
	return nil
}

// asError returns err as an [*Error]. An engine may have wrapped one that was made here. Any other comes from an engine
// or a row.
func asError(err error) error {
	if e, is := errors.AsType[*Error](err); is {
		return e
	}
	return &Error{Err: ErrUnavailable, Cause: err}
}

// copyKeys is how many rows Copy has in memory at once: at most 32 MB for each engine.
const copyKeys = 500

// eachKeys calls do with the keys of an engine, some at a time. The slice is do's only during the call.
func eachKeys(ctx context.Context, e Engine, do func(ctx context.Context, keys []string) error) error {
	keys := make([]string, 0, copyKeys)
	for key, err := range e.Keys(ctx, "") {
		if err != nil {
			return err
		}
		if keys = append(keys, key); len(keys) < copyKeys {
			continue
		}
		if err := do(ctx, keys); err != nil {
			return err
		}
		keys = keys[:0]
	}
	return do(ctx, keys)
}

// copier copies the rows of one engine to another.
type copier struct {
	to, from Engine
	owned    bool
	owner    uint64 // the number of the source's present opening, if it is owned
}

// write gives the target the rows of some keys. It leaves a row that is there already, and replaces none: it cannot
// tell a row that it has written before from one that a ledger has changed since.
func (c *copier) write(ctx context.Context, keys []string) error {
	rows, err := c.source(ctx, keys)
	if err != nil {
		return err
	}
	return c.to.Update(ctx, keys, func(i int, row []byte) ([]byte, error) {
		if row == nil {
			return bytes.Clone(rows[i]), nil // the engine keeps it, and may call again
		}
		return nil, differ(keys[i], row, rows[i])
	})
}

// compare returns an error unless both engines have the same rows for some keys.
func (c *copier) compare(ctx context.Context, keys []string) error {
	want, err := c.source(ctx, keys)
	if err != nil {
		return err
	}
	got, err := readRows(ctx, c.to, keys)
	for i := range got {
		err = cmp.Or(err, differ(keys[i], got[i], want[i]))
	}
	return err
}

// differ returns an error unless a key has the same row in both engines, or none.
func differ(key string, got, want []byte) error {
	if !bytes.Equal(got, want) {
		return &Error{Err: fmt.Errorf("%w: row %q", ErrDiffers, key)}
	}
	return nil
}

// source returns the rows of some keys as the target is to have them, nil where there is none.
func (c *copier) source(ctx context.Context, keys []string) ([][]byte, error) {
	rows, err := readRows(ctx, c.from, keys)
	for i, row := range rows {
		if err == nil && row != nil {
			rows[i], err = c.freed(keys[i], row)
		}
	}
	return rows, err
}

// readRows returns copies of rows. An Update that changes nothing reads them with one call.
func readRows(ctx context.Context, e Engine, keys []string) ([][]byte, error) {
	rows := make([][]byte, len(keys))
	err := e.Update(ctx, keys, func(i int, row []byte) ([]byte, error) {
		rows[i] = bytes.Clone(row)
		return nil, nil
	})
	return rows, err
}

// freed returns a row without leases and sessions, in the format that it has. A row that has none stays as it is, to
// the byte. What a head is about to move has leases and sessions too.
//
// Example: a lease was granted 40 units, of which 16 were reported as spent. So the account has counted 40, of which the
// lease holds 24. The copy has counted 40 and holds 24, and has no lease.
func (c *copier) freed(key string, row []byte) (_ []byte, err error) {
	var r, items record
	switch key[0] {
	case indexRow:
		return row, nil
	case headRow, historyRow, pageRow:
		err = r.decode(row)
	default:
		err = errNewer
	}
	if err == nil && r.moving.to.letter != 0 {
		err = items.readContents(r.moving.items)
	}
	if err != nil {
		return nil, fmt.Errorf("row %q: %w", key, err)
	}
	if c.isHeld(&r) || c.isHeld(&items) {
		return nil, &Error{Err: fmt.Errorf("%w: row %q", ErrLeased, key)}
	}
	moved := items.free()
	if moved {
		r.moving.items = items.contents()
	}
	if !r.free() && !moved {
		return row, nil
	}
	return r.encode(row[0])
}

// isHeld reports whether r has a lease of a ledger over the present opening of the source: it may be alive.
func (c *copier) isHeld(r *record) bool {
	return c.owned && slices.ContainsFunc(r.states, func(s state) bool {
		return slices.ContainsFunc(s.open, func(l leased) bool { return l.id>>32 == c.owner })
	})
}

// free takes out leases and sessions, and reports whether there were any.
func (r *record) free() (found bool) {
	found = len(r.sessions) > 0
	r.sessions = nil
	for i := range r.states {
		found = found || len(r.states[i].open) > 0
		r.states[i].open = nil
	}
	return found
}
