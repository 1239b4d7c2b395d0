package pgstore

import (
	"context"
	"errors"
	"fmt"
)

// readSettings also looks for a table that a crash empties, and for standbys. Each role may see that a receiver of the
// log is connected, and its name, but not how far it is. A subscriber of logical replication cannot take over. Neither
// can pg_basebackup and pg_receivewal, which are known by their default names.
const readSettings = `select current_setting('fsync'), current_setting('full_page_writes'),
	current_setting('synchronous_commit'), current_setting('synchronous_standby_names'),
	exists (select from pg_class where relnamespace = to_regnamespace($1) and relkind = 'r' and relpersistence <> 'p'),
	exists (select from pg_stat_replication r where application_name not in ('pg_basebackup', 'pg_receivewal')
		and not exists (select from pg_replication_slots where active_pid = r.pid and slot_type = 'logical'))`

// settings are those on which it depends what a crash of the server loses.
type settings struct {
	fsync, fullPages string // on or off
	commit           string // synchronous_commit, of this role in this database
	standbys         string // synchronous_standby_names
	unlogged         bool   // a table is UNLOGGED
	followed         bool   // a standby is connected
}

// Durable implements [ledger.Durable]. The server needs fsync and full_page_writes on, and synchronous_commit not off.
// If a standby is connected, it may take over. So synchronous_standby_names must be set then, and with that,
// synchronous_commit must be on or remote_apply: a commit waits until a standby has it on disk. No table may have been
// made UNLOGGED. Otherwise, or if that cannot be read, the error wraps [ErrWeak]. With [Config].AllowWeakDurability it
// is nil.
//
// The sources are https://www.postgresql.org/docs/current/runtime-config-wal.html and, for what crashes truncate,
// https://www.postgresql.org/docs/current/sql-createtable.html#SQL-CREATETABLE-UNLOGGED.
func (s *Store) Durable(ctx context.Context) error {
	if err := s.usable(ctx); err != nil || s.allowWeak {
		return err
	}
	var now settings
	err := s.pool.QueryRow(ctx, readSettings, s.identifier()).
		Scan(&now.fsync, &now.fullPages, &now.commit, &now.standbys, &now.unlogged, &now.followed)
	if err != nil {
		return fmt.Errorf("%w: its settings cannot be read: %w", ErrWeak, err)
	}
	return now.weak()
}

// weak reports each reason why a confirmed write may be lost.
func (s settings) weak() error {
	var errs []error
	because := func(weak bool, why string) {
		if weak {
			errs = append(errs, fmt.Errorf("%w: %s", ErrWeak, why))
		}
	}
	because(s.fsync != "on", "fsync is "+s.fsync)
	because(s.fullPages != "on", "full_page_writes is "+s.fullPages)
	because(s.commit == "off", "synchronous_commit is off")
	because(s.followed && s.standbys == "", "a standby is connected and synchronous_standby_names is empty: "+
		"one that takes over may not have the last writes")
	because(s.standbys != "" && (s.commit == "local" || s.commit == "remote_write"),
		"synchronous_commit is "+s.commit+", and a standby that takes over may not have the last writes")
	because(s.unlogged, "a table is UNLOGGED, and a crash empties it")
	return errors.Join(errs...)
}
