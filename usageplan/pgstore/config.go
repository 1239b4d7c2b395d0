package pgstore

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Config says which database a [Store] uses.
type Config struct {
	// Pool has the connections. Required. It stays the caller's: close it after the store. A call uses one connection
	// of it. See the package documentation for its options.
	Pool *pgxpool.Pool

	// Namespace is the schema that has the tables. Required: 1 to 63 letters, digits and ".-_:". Stores with one
	// namespace in one database are the same store, so all programs that share a ledger have the same namespace.
	Namespace string

	// AllowWeakDurability lets a ledger in exact mode use a server that may lose what it has confirmed, or whose
	// settings cannot be read. False refuses it: see [Store.Durable].
	AllowWeakDurability bool
}

// At most 63 bytes: PostgreSQL cuts a longer name, so that two could become one (NAMEDATALEN,
// https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS).
var namespaces = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,63}$`)

// maxConnect is how long the pool may try to connect. While a server hangs, each call occupies one more of the pool's
// connections. They are free again only when this time is over, even if the server is well before.
const maxConnect = 10 * time.Second

// validate reports every mistake of c at once.
func (c Config) validate() error {
	var errs []error
	mistake := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("pgstore: "+format, args...))
		}
	}
	mistake(!namespaces.MatchString(c.Namespace),
		"namespace %.70q is not 1 to 63 letters, digits and .-_: signs", c.Namespace)
	if c.Pool == nil {
		mistake(true, "no pool")
		return errors.Join(errs...)
	}
	o := c.Pool.Config().ConnConfig
	within := o.ConnectTimeout
	if within <= 0 {
		within = 2 * time.Minute // what pgxpool makes of it
	}
	mistake(within > maxConnect, "the pool tries to connect for %v: set connect_timeout to 1 to 10 seconds", within)
	mistake(o.ValidateConnect == nil && severalHosts(o),
		"the pool has several hosts and may read from a standby: set target_session_attrs to read-write")
	mistake(wantsStandby(o), "the pool connects to a standby: set target_session_attrs to read-write")
	return errors.Join(errs...)
}

// severalHosts reports whether the pool has more than one server to connect to. A fallback may also be the same server
// with other TLS settings.
func severalHosts(o *pgx.ConnConfig) bool {
	for _, other := range o.Fallbacks {
		if other.Host != o.Host || other.Port != o.Port {
			return true
		}
	}
	return false
}

// wantsStandby reports whether target_session_attrs is one of those that choose a standby. prefer-standby takes a
// primary as long as there is no standby, so the server that Open finds says nothing about later connections.
func wantsStandby(o *pgx.ConnConfig) bool {
	return slices.ContainsFunc([]pgconn.ValidateConnectFunc{
		pgconn.ValidateConnectTargetSessionAttrsPreferStandby, pgconn.ValidateConnectTargetSessionAttrsStandby,
		pgconn.ValidateConnectTargetSessionAttrsReadOnly,
	}, func(f pgconn.ValidateConnectFunc) bool {
		return reflect.ValueOf(o.ValidateConnect).Pointer() == reflect.ValueOf(f).Pointer()
	})
}

// check returns an error unless the server is a primary with the tables of this version. It notes whether a pooler is
// between.
func (s *Store) check(ctx context.Context) error {
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	present, err := 0, s.checkServer(ctx, c)
	if err == nil {
		present, err = s.version(ctx, c)
	}
	if err != nil {
		return err
	}
	return versionError(present)
}

// checkServer returns an error unless the server is a primary, and the mode of the pool fits it and what is between.
func (s *Store) checkServer(ctx context.Context, c *pgxpool.Conn) error {
	var process uint32
	var standby, readable bool
	// The mode needs nothing of a pooler.
	err := c.QueryRow(ctx, `select pg_backend_pid(), pg_is_in_recovery(),
		current_setting('bytea_output') = 'hex' and current_setting('DateStyle') like 'ISO%'`, pgx.QueryExecModeExec).
		Scan(&process, &standby, &readable)
	if err != nil {
		return err
	}
	// When a connection begins, the server tells the number of its process. A pooler tells another number, because one
	// connection to it uses many processes of the server in turn.
	s.pooled = process != c.Conn().PgConn().PID()
	mode := c.Conn().Config().DefaultQueryExecMode
	within := staysWithinRequest(mode)
	switch {
	case standby:
		return errors.New("the server is a standby")
	case s.pooled && !within:
		return fmt.Errorf("a pooler such as PgBouncer is between: set default_query_exec_mode to exec, not %v", mode)
	case within && !readable: // these modes get values as text, and pgx reads only this form
		return fmt.Errorf("default_query_exec_mode %v needs the settings bytea_output hex and DateStyle ISO", mode)
	case s.pooled:
		return transacts(ctx, c)
	}
	return nil
}

// transacts returns an error unless a transaction may take several requests. PgBouncer refuses that in statement mode.
func transacts(ctx context.Context, c *pgxpool.Conn) error {
	err := pgx.BeginFunc(ctx, c, func(pgx.Tx) error { return nil })
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("a pooler is between that takes no transactions, as PgBouncer with pool_mode statement: %w",
			err)
	}
	return err
}

// staysWithinRequest reports whether a mode leaves nothing at the server that a later request needs. The next request
// outside a transaction may reach another process of the server, which does not know a statement that was prepared.
func staysWithinRequest(mode pgx.QueryExecMode) bool {
	return mode == pgx.QueryExecModeExec || mode == pgx.QueryExecModeSimpleProtocol
}
