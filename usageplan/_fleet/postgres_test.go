package fleet

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/pgstore"
)

// postgres is a server with the settings of a new installation, so it syncs each commit.
type postgres struct {
	process
	t    testing.TB
	addr string
	args []string
}

func startPostgres(t testing.TB) *postgres {
	t.Helper()
	dir, err := os.MkdirTemp("", "fleet")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if id := serverUser(t); id != nil {
		require.NoError(t, os.Chown(dir, int(id.Uid), int(id.Gid)))
	}
	initdb := command(t, "initdb", "--no-sync", "--username=test", "--auth=trust", "--encoding=UTF8", "-D", dir)
	out, err := initdb.CombinedOutput()
	require.NoError(t, err, "%s", out)
	addr := freeAddr(t)
	s := &postgres{t: t, addr: addr, args: []string{
		"-D", dir, "-c", "listen_addresses=127.0.0.1", "-c", "port=" + portOf(t, addr), "-c", "unix_socket_directories=",
	}}
	s.run()
	t.Cleanup(func() { s.kill() })
	return s
}

func (s *postgres) run() {
	s.start(s.t, command(s.t, "postgres", s.args...))
	again(s.t, func() bool {
		c, err := pgx.Connect(context.Background(), s.url())
		if err != nil {
			return false
		}
		return c.Close(context.Background()) == nil
	}, "the server does not answer")
}

// kill ends all processes of the server at once, and leaves the files as they are. PostgreSQL calls it an immediate
// shutdown. SIGKILL would end the first process alone, and the others after their next answer.
func (s *postgres) kill() {
	_ = s.cmd.Process.Signal(syscall.SIGQUIT)
	_ = s.cmd.Wait()
}

// signal reaches the process of each connection too.
func (s *postgres) signal(sig syscall.Signal) {
	pid := s.cmd.Process.Pid
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	require.NoError(s.t, err)
	for child := range strings.FieldsSeq(string(list)) {
		n, err := strconv.Atoi(child)
		require.NoError(s.t, err)
		_ = syscall.Kill(n, sig) // it may have ended
	}
	require.NoError(s.t, syscall.Kill(pid, sig))
}

func (s *postgres) url() string { return fmt.Sprintf("postgres://test@%s/postgres", s.addr) }

// place makes the tables of the namespace, which processes do not do themselves.
func (s *postgres) place(namespace string) place {
	pool, err := pgxpool.New(context.Background(), s.url()+"?connect_timeout=10")
	require.NoError(s.t, err)
	defer pool.Close()
	require.NoError(s.t, pgstore.Create(context.Background(), pgstore.Config{Pool: pool, Namespace: namespace}))
	return place{Kind: "postgres", Addrs: []string{s.addr}, Namespace: namespace}
}

// openPostgres opens a store. The mode of the statements lets a proxy see each of them.
func (p place) openPostgres(ctx context.Context) (ledger.Engine, error) {
	o, err := pgxpool.ParseConfig(fmt.Sprintf("postgres://test@%s/postgres", p.through(p.Addrs[0])))
	if err != nil {
		return nil, err
	}
	o.MaxConns = 4
	o.ConnConfig.ConnectTimeout = 10 * time.Second
	o.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	pool, err := pgxpool.NewWithConfig(ctx, o)
	if err != nil {
		return nil, err
	}
	return pgstore.Open(ctx, pgstore.Config{Pool: pool, Namespace: p.Namespace})
}

// command returns a program of the server, as a user who is not root: the server refuses to run as root.
func command(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(name)
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); err != nil && len(found) > 0 {
		path, err = found[len(found)-1], nil // where Debian puts what is not for users
	}
	if err != nil && os.Getenv("CI") == "" {
		t.Skipf("%s is not installed", name)
	}
	require.NoError(t, err)
	cmd := exec.Command(path, args...)
	cmd.Dir = os.TempDir()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: serverUser(t)}
	return cmd
}

// serverUser returns the user of the server if the test runs as root, and nil otherwise.
func serverUser(t testing.TB) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("nobody")
	require.NoError(t, err)
	uid, err := strconv.Atoi(u.Uid)
	require.NoError(t, err)
	gid, err := strconv.Atoi(u.Gid)
	require.NoError(t, err)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
