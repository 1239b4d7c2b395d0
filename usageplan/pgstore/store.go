package pgstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Causes, for [errors.Is].
var (
	// ErrClosed: the store has been closed, or it is the zero Store, which was never opened.
	ErrClosed = errors.New("pgstore: store is closed")

	// ErrVersion: the tables are missing, or they are those of another version of this package. The message says
	// whether to call [Create] or to use a newer release.
	ErrVersion = errors.New("pgstore: tables are missing or of another version")

	// ErrWeak: the server may lose what it has confirmed, or its settings cannot be read. See [Store.Durable] and
	// [Config].AllowWeakDurability.
	ErrWeak = errors.New("pgstore: server may lose what it has confirmed")
)

// Store is a [ledger.Engine], a [ledger.Clock] and a [ledger.Durable] in a PostgreSQL database, which any number of
// processes may share. It has journals too. Make one with [Open]. It is safe for concurrent use.
type Store struct {
	pool   *pgxpool.Pool
	schema string // as an identifier of SQL, with the dot behind it

	pooled    bool // a pooler stands between this process and the server
	allowWeak bool

	life   context.Context // ends with Close; nil in the zero Store
	end    context.CancelFunc
	listen sync.Once
	bell   bell // rings when a journal may have changed
}

var (
	_ ledger.Engine  = (*Store)(nil)
	_ ledger.Clock   = (*Store)(nil)
	_ ledger.Durable = (*Store)(nil)
)

// Open returns a store over c.Pool. It asks the server, and writes nothing. The tables must be there: see [Create].
//
// The error joins all mistakes of the configuration. If there are none, it says what is wrong with the server. It wraps
// [ErrVersion] if the tables are missing or of another version.
func Open(ctx context.Context, c Config) (*Store, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	s := c.store()
	if err := s.check(ctx); err != nil {
		return nil, fmt.Errorf("pgstore: open: %w", err)
	}
	return s, nil
}

func (c Config) store() *Store {
	s := &Store{pool: c.Pool, schema: pgx.Identifier{c.Namespace}.Sanitize() + ".", allowWeak: c.AllowWeakDurability}
	s.life, s.end = context.WithCancel(context.Background())
	return s
}

// identifier returns the name of the store's schema, quoted for SQL.
func (s *Store) identifier() string { return strings.TrimSuffix(s.schema, ".") }

// in returns a statement with the store's schema in place of "schema.". A search_path would be simpler, but a pooler
// may give each transaction to another process, which does not have it.
func (s *Store) in(sql string) string { return strings.ReplaceAll(sql, "schema.", s.schema) }

// usable returns an error unless the store is open and ctx has not ended.
func (s *Store) usable(ctx context.Context) error {
	if s == nil || s.life == nil || s.life.Err() != nil {
		return ErrClosed
	}
	return ctx.Err()
}

// Now implements [ledger.Clock]. It returns the time of the server.
func (s *Store) Now(ctx context.Context) (now time.Time, err error) {
	if err = s.usable(ctx); err == nil {
		err = s.pool.QueryRow(ctx, "select clock_timestamp()").Scan(&now)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("pgstore: time of the server: %w", err)
	}
	return now, nil
}

// Close ends the store: later calls fail with [ErrClosed], and the connection that listens is closed. The pool stays
// open, as it is the caller's. Close always returns nil. The store may be closed already, zero or nil.
func (s *Store) Close() error {
	if s != nil && s.life != nil {
		s.end()
	}
	return nil
}
