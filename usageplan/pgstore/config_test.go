package pgstore_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/pgstore"
)

// TestOpenReportsEachMistake: Open and Create join the mistakes of the configuration and of the pool's options.
func TestOpenReportsEachMistake(t *testing.T) {
	o := options(t, "postgres://test@one.invalid,two.invalid/postgres")
	o.ConnConfig.ConnectTimeout = 0
	for name, c := range map[string]struct {
		config pgstore.Config
		want   []string
	}{
		"nothing": {pgstore.Config{}, []string{`pgstore: namespace "" is not 1 to 63 letters`, "pgstore: no pool"}},
		"pool": {pgstore.Config{Pool: connect(t, o), Namespace: `a"b`}, []string{
			`pgstore: namespace "a\"b" is not 1 to 63 letters`,
			"pgstore: the pool tries to connect for 2m0s: set connect_timeout to 1 to 10 seconds",
			"pgstore: the pool has several hosts and may read from a standby: set target_session_attrs to read-write",
		}},
	} {
		_, err := pgstore.Open(t.Context(), c.config)
		for _, want := range c.want {
			require.ErrorContains(t, err, want, name)
			require.ErrorContains(t, pgstore.Create(t.Context(), c.config), want, name)
		}
	}
}

// TestOpenRefusesStandbys: a pool that chooses a standby when there is one is refused, also while it has a primary.
func TestOpenRefusesStandbys(t *testing.T) {
	for _, choice := range []string{"prefer-standby", "standby", "read-only"} {
		c := pgstore.Config{Pool: connect(t, options(t, common(t).url()+"?target_session_attrs="+choice)), Namespace: "gateway"}
		_, err := pgstore.Open(t.Context(), c)
		require.ErrorContains(t, err, "pgstore: the pool connects to a standby: set target_session_attrs to read-write", choice)
	}
	for _, choice := range []string{"read-write", "primary", "any"} {
		open(t, connect(t, options(t, common(t).url()+"?target_session_attrs="+choice)), fresh())
	}
}

// TestOpenNeedsTables: Open makes no tables. It says what to do if they are missing or of a newer release.
func TestOpenNeedsTables(t *testing.T) {
	p := connect(t, options(t, common(t).url()))
	c := pgstore.Config{Pool: p, Namespace: fresh()}
	_, err := pgstore.Open(t.Context(), c)
	require.ErrorIs(t, err, pgstore.ErrVersion)
	require.ErrorContains(t, err, "tables are missing or of another version: the schema has none; call Create")
	open(t, p, c.Namespace)
	_, err = p.Exec(t.Context(), fmt.Sprintf("update %q.version set version = version + 1", c.Namespace))
	require.NoError(t, err)
	_, err = pgstore.Open(t.Context(), c)
	require.ErrorIs(t, err, pgstore.ErrVersion)
	require.ErrorContains(t, err, "use a newer one")
	require.ErrorIs(t, pgstore.Create(t.Context(), c), pgstore.ErrVersion)
}

// TestCreateIsIdempotent: Create may be called at any time, also by several programs at once, and changes no rows. It
// is so whatever transactions are by default.
func TestCreateIsIdempotent(t *testing.T) {
	for _, isolation := range []string{"read committed", "repeatable read", "serializable"} {
		o := options(t, common(t).url())
		o.ConnConfig.RuntimeParams["default_transaction_isolation"] = isolation
		o.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
		t.Run(isolation, func(t *testing.T) { testCreateIsIdempotent(t, connect(t, o)) })
	}
}

func testCreateIsIdempotent(t *testing.T, p *pgxpool.Pool) {
	c := pgstore.Config{Pool: p, Namespace: fresh()}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := pgstore.Create(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	e := open(t, p, c.Namespace)
	require.NoError(t, put(t.Context(), e, "key", "row"))
	require.NoError(t, pgstore.Create(t.Context(), c))
	row, err := e.Load(t.Context(), "key")
	require.NoError(t, err)
	require.Equal(t, "row", string(row))
}

// TestRoleNeedsNoDDL: a role with the rights that Create's documentation lists can use the store and not make one.
func TestRoleNeedsNoDDL(t *testing.T) {
	s := common(t)
	owner := connect(t, options(t, s.url()))
	c := pgstore.Config{Pool: owner, Namespace: fresh()}
	open(t, owner, c.Namespace)
	schema := fmt.Sprintf("%q", c.Namespace)
	for _, sql := range []string{
		"create role program login",
		"grant usage on schema " + schema + " to program",
		"grant select, insert, update, delete on all tables in schema " + schema + " to program",
	} {
		_, err := owner.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	o := options(t, s.url())
	o.ConnConfig.User = "program"
	c.Pool = connect(t, o)
	e, err := pgstore.Open(t.Context(), c)
	require.NoError(t, err)
	require.NoError(t, put(t.Context(), e, "key", "row"))
	require.NoError(t, appendItem(t, e.Journal("keys", 0), 0))
	require.NoError(t, pgstore.Create(t.Context(), c), "the tables are there")
	c.Namespace = fresh()
	require.ErrorContains(t, pgstore.Create(t.Context(), c), "permission denied")
}

// TestModes: a store works in each mode in which pgx can send statements.
func TestModes(t *testing.T) {
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		o := options(t, common(t).url())
		o.ConnConfig.DefaultQueryExecMode = mode
		e := open(t, connect(t, o), fresh())
		for range 3 {
			require.NoError(t, put(t.Context(), e, "key\x00\xff", "row\x00\xff"), mode)
		}
		row, err := e.Load(t.Context(), "key\x00\xff")
		require.NoError(t, err, mode)
		require.Equal(t, "row\x00\xff", string(row), mode)
		for key, err := range e.Keys(t.Context(), "key") {
			require.NoError(t, err, mode)
			require.Equal(t, "key\x00\xff", key, mode)
		}
		require.NoError(t, appendItem(t, e.Journal("keys", 0), 0), mode)
		for c, err := range e.Journal("keys", 0).Changes(t.Context(), 0) {
			require.NoError(t, err, mode)
			require.Equal(t, "\x00\xff", string(c.Items[0].Value), mode)
		}
		for c, err := range e.Journal("keys", 0).History(t.Context(), "0") {
			require.NoError(t, err, mode)
			require.Equal(t, []journal.Item{{Name: "0"}}, c.Items, mode)
		}
		require.NoError(t, e.Durable(t.Context()), mode)
	}
}

// TestTextNeedsSettings: Open refuses the settings with which pgx cannot read what a mode gets as text. In other modes
// a store works with them.
func TestTextNeedsSettings(t *testing.T) {
	for name, value := range map[string]string{"bytea_output": "escape", "DateStyle": "German, DMY"} {
		o := options(t, common(t).url())
		o.ConnConfig.RuntimeParams[name] = value
		e := open(t, connect(t, o), fresh())
		require.NoError(t, put(t.Context(), e, "key", "row"))
		_, err := e.Now(t.Context())
		require.NoError(t, err)
		for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
			o.ConnConfig.DefaultQueryExecMode = mode
			_, err := pgstore.Open(t.Context(), pgstore.Config{Pool: connect(t, o), Namespace: "gateway"})
			require.ErrorContains(t, err, "needs the settings bytea_output hex and DateStyle ISO", name)
		}
	}
}

// TestDurable: exact mode refuses each setting by which a confirmed write may be lost, unless the program allows it.
func TestDurable(t *testing.T) {
	s := start(t, "-c", "fsync=off", "-c", "full_page_writes=off")
	p := connect(t, options(t, s.url()+"?options=-csynchronous_commit%3Doff"))
	c := pgstore.Config{Pool: p, Namespace: fresh()}
	e := open(t, p, c.Namespace)
	_, err := p.Exec(t.Context(), fmt.Sprintf("alter table %q.rows set unlogged", c.Namespace))
	require.NoError(t, err)
	_, err = ledger.New(ledger.Config{Engine: e, Exact: true})
	require.ErrorIs(t, err, pgstore.ErrWeak)
	for _, want := range []string{"fsync is off", "full_page_writes is off", "synchronous_commit is off", "a table is UNLOGGED"} {
		require.ErrorContains(t, err, want)
	}
	l, err := ledger.New(ledger.Config{Engine: e})
	require.NoError(t, err, "a leased ledger")
	require.NoError(t, l.Close())

	c.AllowWeakDurability = true
	e, err = pgstore.Open(t.Context(), c)
	require.NoError(t, err)
	require.NoError(t, e.Durable(t.Context()))
}

// TestDurableFailover: exact mode refuses a server with a standby that may take over without the last writes. If the
// server waits for it, exact mode accepts it. A role without rights sees the standby as well.
func TestDurableFailover(t *testing.T) {
	s := start(t)
	p := connect(t, options(t, s.url()))
	c := pgstore.Config{Pool: p, Namespace: fresh()}
	require.NoError(t, open(t, p, c.Namespace).Durable(t.Context()))
	do := func(sql string) {
		_, err := p.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	do("create role program login")
	do(fmt.Sprintf("grant usage on schema %q to program", c.Namespace))
	do(fmt.Sprintf("grant select on all tables in schema %q to program", c.Namespace))
	o := options(t, s.url())
	o.ConnConfig.User = "program"
	program := connect(t, o)

	standby := s.standby()
	weak := func(pool *pgxpool.Pool) error {
		c.Pool = pool
		e, err := pgstore.Open(t.Context(), c)
		require.NoError(t, err)
		return e.Durable(t.Context())
	}
	require.Eventually(t, func() bool { return weak(p) != nil }, 30*time.Second, 20*time.Millisecond)
	for _, pool := range []*pgxpool.Pool{p, program} {
		require.ErrorIs(t, weak(pool), pgstore.ErrWeak)
		require.ErrorContains(t, weak(pool), "a standby is connected and synchronous_standby_names is empty")
	}
	do("alter system set synchronous_standby_names = '*'")
	do("select pg_reload_conf()")
	require.Eventually(t, func() bool { return weak(p) == nil && weak(program) == nil }, 30*time.Second, 20*time.Millisecond)
	do("alter system reset synchronous_standby_names")
	do("select pg_reload_conf()")
	require.Eventually(t, func() bool { return weak(p) != nil }, 30*time.Second, 20*time.Millisecond)
	standby.crash()
	require.Eventually(t, func() bool { return weak(p) == nil }, 30*time.Second, 20*time.Millisecond)
}

// TestDurableStandbys: with synchronous standbys, a commit must wait until one of them has it on disk.
func TestDurableStandbys(t *testing.T) {
	for commit, weak := range map[string]bool{
		"on": false, "remote_apply": false, "remote_write": true, "local": true, "off": true,
	} {
		require.Equal(t, weak, pgstore.Weak(commit, "standby") != nil, commit)
		require.Equal(t, commit == "off", pgstore.Weak(commit, "") != nil, commit)
	}
}
