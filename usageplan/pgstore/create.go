package pgstore

import (
	"context"
	"embed"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// The files are the steps from one version of the tables to the next. A step that has been released never changes.
//
//go:embed schema/*.sql
var steps embed.FS

// version is that of the tables which this package uses: the last step.
const version = 1

// Create makes the schema and its tables, or brings tables of an earlier version up to this one. It changes nothing if
// they are up to date, so each start of a program may call it, also several at once. Open does not call it, because it
// needs rights that a program in production should not have: to create the schema in the database unless it exists, and
// to create tables there.
//
// After the owner has called Create, a program of another role needs only this:
//
//	grant usage on schema "gateway" to program;
//	grant select, insert, update, delete on all tables in schema "gateway" to program;
//
// Create is one transaction: after an error, nothing has changed, unless the answer to its commit was lost. The error
// joins all mistakes of the configuration. It wraps [ErrVersion] if a newer release of this package has made the
// tables.
func Create(ctx context.Context, c Config) error {
	if err := c.validate(); err != nil {
		return err
	}
	s := c.store()
	err := pgx.BeginTxFunc(ctx, c.Pool, creation, func(tx pgx.Tx) error { return s.create(ctx, tx, c.Namespace) })
	if err != nil {
		return fmt.Errorf("pgstore: create: %w", err)
	}
	return nil
}

// creation replaces the defaults of the database. With repeatable read, a caller that has waited for the lock would not
// see what another caller has made meanwhile.
var creation = pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}

// create executes the steps that are missing. The lock lets one caller at a time do so.
func (s *Store) create(ctx context.Context, tx pgx.Tx, namespace string) error {
	lock := "select pg_advisory_xact_lock(hashtextextended('tallygate ' || $1, 0))"
	if _, err := tx.Exec(ctx, lock, namespace); err != nil {
		return err
	}
	present, err := s.version(ctx, tx)
	if err != nil {
		return err
	}
	if present > version {
		return versionError(present)
	}
	if present == 0 {
		if err := s.createSchema(ctx, tx, namespace); err != nil {
			return err
		}
	}
	for step := present + 1; step <= version; step++ {
		if err := s.step(ctx, tx, step); err != nil {
			return fmt.Errorf("version %d: %w", step, err)
		}
	}
	return nil
}

// createSchema makes the schema and the table of its version. It uses a schema that is there already: then the role
// needs no right to create schemas, which CREATE SCHEMA IF NOT EXISTS would demand even so.
func (s *Store) createSchema(ctx context.Context, tx pgx.Tx, namespace string) error {
	var exists bool
	err := tx.QueryRow(ctx, "select exists (select from pg_namespace where nspname = $1)", namespace).Scan(&exists)
	if err == nil && !exists {
		_, err = tx.Exec(ctx, "create schema "+s.identifier())
	}
	if err == nil {
		_, err = tx.Exec(ctx, s.in("create table schema.version as select 0 as version"))
	}
	return err
}

// step executes one of the files. A file has several statements, and only PostgreSQL's simple protocol takes these at
// once.
func (s *Store) step(ctx context.Context, tx pgx.Tx, number int) error {
	sql, err := steps.ReadFile(fmt.Sprintf("schema/%d.sql", number))
	if err == nil {
		_, err = tx.Conn().PgConn().Exec(ctx, s.in(string(sql))).ReadAll()
	}
	if err == nil {
		_, err = tx.Exec(ctx, s.in("update schema.version set version = $1"), number)
	}
	return err
}

// querier is a pool, or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// version returns that of the tables, or 0 if there are none.
func (s *Store) version(ctx context.Context, q querier) (present int, err error) {
	var exists bool
	err = q.QueryRow(ctx, "select to_regclass($1) is not null", s.in("schema.version")).Scan(&exists)
	if err == nil && exists {
		err = q.QueryRow(ctx, s.in("select version from schema.version")).Scan(&present)
	}
	return present, err
}

// versionError returns an error unless the tables have the version of this package.
func versionError(present int) error {
	switch {
	case present > version:
		return fmt.Errorf("%w: they have version %d, and this release knows %d; use a newer one",
			ErrVersion, present, version)
	case present == 0:
		return fmt.Errorf("%w: the schema has none; call Create", ErrVersion)
	case present < version:
		return fmt.Errorf("%w: they have version %d, and this release needs %d; call Create",
			ErrVersion, present, version)
	}
	return nil
}
