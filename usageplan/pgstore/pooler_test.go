package pgstore_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/enginetest"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/journal/journaltest"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/pgstore"
)

// startPooler starts PgBouncer in a mode before a server, with fewer connections to it than a pool has to PgBouncer. It
// returns where it is.
func startPooler(t *testing.T, s *server, mode string) (url string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgstore")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	addr := freeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	_, serverPort, _ := net.SplitHostPort(s.addr)
	settings := filepath.Join(dir, "settings")
	require.NoError(t, os.WriteFile(settings, fmt.Appendf(nil, `
[databases]
postgres = host=127.0.0.1 port=%s user=test
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = any
pool_mode = %s
default_pool_size = 3
`, serverPort, port, mode), 0o600))
	if id := serverUser(t); id != nil {
		require.NoError(t, os.Chown(dir, int(id.Uid), int(id.Gid)))
		require.NoError(t, os.Chown(settings, int(id.Uid), int(id.Gid)))
	}
	cmd := command(t, "pgbouncer", "-q", settings)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { end(cmd) })
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		return c.Close() == nil
	}, time.Minute, 10*time.Millisecond, "PgBouncer does not listen")
	return fmt.Sprintf("postgres://test@%s/postgres", addr)
}

func end(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// TestPooler: behind PgBouncer in transaction mode the store keeps the contracts. Open refuses the modes of pgx that
// rely on one process of the server.
func TestPooler(t *testing.T) {
	s := common(t)
	url := startPooler(t, s, "transaction")
	config := pgstore.Config{Pool: connect(t, options(t, url)), Namespace: fresh()}
	open(t, connect(t, options(t, s.url())), config.Namespace)
	_, err := pgstore.Open(t.Context(), config)
	require.ErrorContains(t, err, "a pooler such as PgBouncer is between")
	require.ErrorContains(t, err, "set default_query_exec_mode to exec, not cache statement")

	pool := func() *pgxpool.Pool { return connect(t, options(t, url+"?default_query_exec_mode=exec")) }
	p := pool()
	enginetest.Test(t, func(t *testing.T) ledger.Engine { return open(t, p, fresh()) })
	e := open(t, p, fresh())
	if os.Getenv("TALLYGATE_HEAVY") != "" {
		enginetest.TestShared(t, func(t *testing.T, place string) ledger.Engine { return open(t, pool(), place) })
		journaltest.Run(t, func(_ *testing.T, retain time.Duration) journal.Journal { return e.Journal(fresh(), retain) })
	}
	j, woken := e.Journal("topic", 0), make(chan error)
	go func() { woken <- j.Wait(t.Context(), 0) }()
	require.NoError(t, appendItem(t, j, 0))
	require.NoError(t, <-woken)
}

// TestPoolerModes: a store works behind PgBouncer in session mode. Open refuses statement mode with its reason.
func TestPoolerModes(t *testing.T) {
	s := common(t)
	config := pgstore.Config{Namespace: fresh()}
	open(t, connect(t, options(t, s.url())), config.Namespace)
	config.Pool = connect(t, options(t, startPooler(t, s, "session")+"?default_query_exec_mode=exec"))
	e, err := pgstore.Open(t.Context(), config)
	require.NoError(t, err)
	require.NoError(t, put(t.Context(), e, "key", "row"))
	config.Pool = connect(t, options(t, startPooler(t, s, "statement")+"?default_query_exec_mode=exec"))
	_, err = pgstore.Open(t.Context(), config)
	require.ErrorContains(t, err, "a pooler is between that takes no transactions, as PgBouncer with pool_mode statement")
}
