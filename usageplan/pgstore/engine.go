package pgstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Statements of Update. Rows that are missing are made first, without a value, because only what is there can be
// locked.
//
// No deadlock can arise, because each statement goes through the keys in one order. makeRows waits for a transaction
// that has made a row of the same key and has not ended. lockRows waits for one that has locked a row. A transaction in
// makeRows has locked only the rows that it has made itself. No other transaction can see these, so none in lockRows
// waits for it.
//
// Example: one Update has the keys a and b, another b and a. Both ask for a first. One gets it, and the other waits
// before it has anything that the first could need.
const (
	makeRows = `insert into schema.rows (key) select unnest($1::bytea[]) order by 1 on conflict do nothing`
	lockRows = `select value from schema.rows where key = any($1::bytea[]) order by key for update`

	writeRows = `update schema.rows r set value = n.value
		from unnest($1::bytea[], $2::bytea[]) as n (key, value) where r.key = n.key`
	deleteRows = `delete from schema.rows where key = any($1::bytea[])`
)

// writeSize is how many rows are in one statement: 65 536 bytes each make 64 MiB. A statement has at most 1 GiB.
const writeSize = 1000

// Update implements [ledger.Engine]. It is one transaction of two round trips. It locks the rows before it calls f, so
// f is called once for each key. The stores on Redis and DynamoDB take no locks, and decide again if a row has changed
// meanwhile. Here a transaction needs two round trips in any case, and with locks it never has to repeat them.
//
// If f writes nothing, there is no commit, and nothing is left of the transaction.
func (s *Store) Update(ctx context.Context, keys []string, f func(i int, row []byte) ([]byte, error)) error {
	if len(keys) == 0 {
		return nil
	}
	u := newUpdate(keys)
	err := s.transact(ctx, func(c *pgxpool.Conn) error {
		rows, err := s.lock(ctx, c, u.sorted)
		if err == nil {
			err = u.decide(rows, f)
		}
		if err == nil && u.changed {
			err = s.write(ctx, c, u)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("pgstore: update: %w", err)
	}
	return nil
}

// update is a call of Update.
type update struct {
	order  []int    // the places of the sorted keys in the caller's slice
	sorted [][]byte // the keys in the order of the server: it compares the bytes of bytea

	written, rows [][]byte // the keys that get a row, and the rows
	deleted       [][]byte // the keys that get no row, also those whose row makeRows has made only to lock it
	changed       bool     // f has changed something
}

func newUpdate(keys []string) *update {
	u := &update{order: make([]int, len(keys)), sorted: make([][]byte, len(keys))}
	for i := range keys {
		u.order[i] = i
	}
	slices.SortFunc(u.order, func(a, b int) int { return strings.Compare(keys[a], keys[b]) })
	for at, i := range u.order {
		u.sorted[at] = []byte(keys[i])
	}
	return u
}

// lock begins a transaction and returns the rows of keys, which no other transaction can change until it ends. If
// another transaction has deleted a row between the two statements, lock begins again. If it made the row now, while it
// has locked others, two transactions could wait for each other.
func (s *Store) lock(ctx context.Context, c *pgxpool.Conn, keys [][]byte) (rows [][]byte, err error) {
	idle := time.Second + time.Duration(len(keys))*time.Millisecond // many rows take long to send
	for {
		b := begin(idle)
		b.Queue(s.in(makeRows), keys)
		b.Queue(s.in(lockRows), keys).Query(func(r pgx.Rows) (err error) {
			rows, err = pgx.CollectRows(r, pgx.RowTo[[]byte])
			return err
		})
		if err := c.SendBatch(ctx, b).Close(); err != nil || len(rows) == len(keys) {
			return rows, err
		}
		if err := rollback(ctx, c); err != nil {
			return nil, err
		}
	}
}

// decide calls f for each row, and divides the keys by what f returns. A row without a value is there only because it
// had to be locked. f sees no row then, and unless f writes one, the same commit deletes it. If nothing else changes,
// there is no commit, and the rollback takes the row away.
func (u *update) decide(rows [][]byte, f func(int, []byte) ([]byte, error)) error {
	for at, row := range rows {
		next, err := f(u.order[at], row)
		if err != nil {
			return err
		}
		u.changed = u.changed || len(next) > 0 || next != nil && row != nil
		switch {
		case len(next) > 0:
			u.written, u.rows = append(u.written, u.sorted[at]), append(u.rows, next)
		case next != nil || row == nil:
			u.deleted = append(u.deleted, u.sorted[at])
		}
	}
	return nil
}

// write makes the changes and commits them, in one request. So the rows stay locked only for this round trip and for
// the sync of the disk. If a statement fails, the server skips the rest of the request, and the commit too.
func (s *Store) write(ctx context.Context, c *pgxpool.Conn, u *update) error {
	b := &pgx.Batch{}
	for from := 0; from < len(u.written); from += writeSize {
		to := min(from+writeSize, len(u.written))
		b.Queue(s.in(writeRows), u.written[from:to], u.rows[from:to])
	}
	if len(u.deleted) > 0 {
		b.Queue(s.in(deleteRows), u.deleted)
	}
	return commit(ctx, c, b)
}

// Load implements [ledger.Engine]. It waits for no lock, and does not see what an Update has not committed yet. So it
// never finds a row without a value: the Update that has made it deletes it in the same transaction.
func (s *Store) Load(ctx context.Context, key string) (row []byte, err error) {
	if err = s.usable(ctx); err == nil {
		err = s.pool.QueryRow(ctx, s.in(`select value from schema.rows where key = $1`), []byte(key)).Scan(&row)
	}
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("pgstore: load: %w", err)
	}
	return row, nil
}
