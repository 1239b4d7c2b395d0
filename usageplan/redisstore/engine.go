package redisstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/redis/go-redis/v9"
)

// batchSize is how many keys are in one request and its answer. More would take longer than a short timeout allows.
const batchSize = 250

// Update implements [ledger.Engine]. For each 250 keys it takes one round trip if this store was the last to write
// them, and two if it was not. It takes one more each time that others change the same rows meanwhile. After an error
// it sends nothing again.
//
// A row that is damaged, or a value of another type in its place, is an error that wraps [ErrFormat]. If nothing has
// been changed yet, the error has the method Row, which returns the key.
func (s *Store) Update(ctx context.Context, keys []string, f func(i int, row []byte) ([]byte, error)) error {
	u := update{store: s, f: f}
	for from := 0; from < len(keys); from += batchSize {
		batch := make([]decision, min(batchSize, len(keys)-from))
		for k := range batch {
			batch[k].i, batch[k].key = from+k, keys[from+k]
			batch[k].row, batch[k].index = s.rowName(keys[from+k])
		}
		if err := u.run(ctx, batch); err != nil {
			s.forgetAll(keys[from : from+len(batch)])
			return fmt.Errorf("redisstore: rows: %w", err)
		}
	}
	return nil
}

// Load implements [ledger.Engine]. It is an update of one row that changes nothing.
func (s *Store) Load(ctx context.Context, key string) (row []byte, err error) {
	err = s.Update(ctx, []string{key}, func(_ int, now []byte) ([]byte, error) {
		row = now
		return nil, nil
	})
	return row, err
}

// update is a call of Update on its way.
type update struct {
	store *Store
	f     func(int, []byte) ([]byte, error)
	wrote bool // a write has been sent
}

// decision is a key of an update.
type decision struct {
	i          int
	key        string
	row, index string
	now        string // the version and the row on the server, or nothing
	next       []byte // the version and the row that f wants, or nothing
	guess      bool   // now is remembered, and may be old
	late       bool   // another writer was faster, at least once
	cmd        once
}

// run reads the rows of a batch, and decides and writes until all are written. A round repeats only the rows for which
// another writer was faster. That writer has made progress then, so processes cannot block each other.
func (u *update) run(ctx context.Context, batch []decision) error {
	batch, err := u.read(ctx, batch)
	for err == nil && len(batch) > 0 {
		if batch, err = u.decide(ctx, batch); err == nil {
			batch, err = u.swap(ctx, batch)
		}
	}
	return err
}

// decide calls f for each row, and returns the decisions that the server must see: those that write, and those that
// leave a row as it is which is only remembered.
func (u *update) decide(ctx context.Context, batch []decision) ([]decision, error) {
	writes := batch[:0]
	for _, d := range batch {
		next, err := u.call(ctx, &d)
		if err != nil {
			return nil, err
		}
		if next == nil || len(next) == 0 && len(d.now) <= versionSize {
			if d.next = nil; d.guess {
				writes = append(writes, d)
			}
			continue
		}
		d.next = binary.BigEndian.AppendUint64(make([]byte, 0, versionSize+len(next)), rand.Uint64())
		d.next = append(d.next, next...)
		writes = append(writes, d)
	}
	return writes, nil
}

// call calls f for a row. An error of f ends the update. But f may have refused on a row that is only remembered. Then
// call asks the server, and if the row has changed, f decides again on the present one.
func (u *update) call(ctx context.Context, d *decision) (next []byte, err error) {
	for {
		var row []byte
		if len(d.now) > versionSize {
			row = []byte(d.now[versionSize:])
		}
		next, refused := u.f(d.i, row)
		if refused == nil || !d.guess {
			return next, refused
		}
		changed, _, err := u.send(ctx, []decision{*d}, "", "")
		if err != nil {
			return nil, err
		}
		if len(changed) == 0 {
			return nil, refused
		}
		*d = changed[0]
	}
}

// swap writes the decisions. For a row that should stay as remembered, it asks whether it is. It returns the decisions
// that were too late, with the row that is there now.
//
// A request has the digest of the script, which is shorter than the script. A server that was restarted does not know
// it. It executes nothing then, and gets the script with a second request.
func (u *update) swap(ctx context.Context, batch []decision) ([]decision, error) {
	late, unknown, err := u.send(ctx, batch, "evalsha", swapHash)
	if err == nil && len(unknown) > 0 {
		unknown, _, err = u.send(ctx, unknown, "eval", swapScript)
		late = append(late, unknown...)
	}
	return late, err
}

// send sends a command for each decision: a call of the script that writes its row, or GET. It returns the decisions
// whose answer is a row or no row, and those whose script the server does not know. All others have been written, or
// their rows are as remembered.
func (u *update) send(ctx context.Context, batch []decision, how, script string) (rows, unknown []decision, err error) {
	if err := u.store.usable(ctx); err != nil || len(batch) == 0 {
		return nil, nil, err
	}
	pipe := u.store.client.Pipeline()
	for k := range batch {
		d := &batch[k]
		args := []any{"get", d.row}
		if d.next != nil {
			u.wrote = true
			args = []any{how, script, 2, d.row, d.index, d.now[:min(len(d.now), versionSize)], d.next, d.key}
		}
		d.cmd = once{redis.NewCmd(ctx, args...)}
		_ = pipe.Process(ctx, d.cmd)
	}
	_, err = pipe.Exec(ctx) // an error from the server belongs to one command, and is looked at there
	if _, answered := errors.AsType[redis.Error](err); err != nil && !answered {
		return nil, nil, err
	}
	rows = batch[:0]
	for _, d := range batch {
		answer, err := d.cmd.Result()
		row, isRow := answer.(string)
		switch {
		case err != nil && redis.HasErrorPrefix(err, "NOSCRIPT"):
			unknown = append(unknown, d)
		case err != nil && redis.HasErrorPrefix(err, "WRONGTYPE"), isRow && len(row) < versionSize:
			return nil, nil, u.damaged(d.key)
		case isRow && d.guess && d.next == nil && row == d.now: // f has seen it, and leaves it
		case errors.Is(err, redis.Nil), isRow:
			if d.guess || d.next != nil {
				d.late = true
				u.store.remembered.forget(d.row)
			}
			d.now, d.guess = row, false
			rows = append(rows, d)
		case err != nil:
			return nil, nil, err
		case !d.late:
			u.store.remembered.put(d.row, string(d.next))
		}
	}
	return rows, unknown, nil
}

// damaged returns the error for a row that is not as this package writes it. It is a [rowError] as long as the update
// has written no other row.
func (u *update) damaged(key string) error {
	err := fmt.Errorf("%w: row of %q", ErrFormat, key)
	if u.wrote {
		return err
	}
	return rowError{err, key}
}

// rowError is an error that concerns the row of one key, while nothing has been changed. See [ledger.Engine].
type rowError struct {
	error
	key string
}

// Row returns the key.
func (e rowError) Row() string { return e.key }

func (e rowError) Unwrap() error { return e.error }
