package pgstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// transact calls f with a connection. It rolls back what f has begun there and not committed.
//
// f must use this connection for all of a transaction. If it asked the pool for a second one, all goroutines could hold
// one connection and wait forever for another.
func (s *Store) transact(ctx context.Context, f func(*pgxpool.Conn) error) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release() // it closes a connection that is still in a transaction
	err = f(c)
	if !c.Conn().IsClosed() && c.Conn().PgConn().TxStatus() != 'I' {
		_ = rollback(ctx, c)
	}
	return err
}

// begin returns a batch that begins a transaction. Each row is locked as it is now, and not as it was when the
// transaction began, whatever the default of the database is.
//
// Between two requests of a transaction, others wait for its rows. So the server ends it if the next request does not
// come within idle: the process may have been stopped, or its machine may be gone.
func begin(idle time.Duration) *pgx.Batch {
	b := &pgx.Batch{}
	b.Queue("begin isolation level read committed, read write")
	b.Queue("select set_config('idle_in_transaction_session_timeout', $1, true)", fmt.Sprint(idle.Milliseconds()))
	return b
}

// commit sends b as the last request of a transaction. After an error, the server may have committed or not. If a
// statement before has failed, the server answers COMMIT with ROLLBACK and without an error, so commit looks at the
// answer.
func commit(ctx context.Context, c *pgxpool.Conn, b *pgx.Batch) error {
	b.Queue("commit").Exec(func(tag pgconn.CommandTag) error {
		if tag.String() != "COMMIT" { // the server has rolled it back
			return fmt.Errorf("the server answers COMMIT with %s", tag)
		}
		return nil
	})
	return c.SendBatch(ctx, b).Close()
}

func rollback(ctx context.Context, c *pgxpool.Conn) error {
	_, err := c.Exec(ctx, "rollback")
	return err
}

// query returns what a statement yields.
func query[T any](ctx context.Context, s *Store, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, s.in(sql), args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scan)
}
