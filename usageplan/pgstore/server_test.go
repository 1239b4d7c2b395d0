package pgstore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/pgstore"
)

// server is a PostgreSQL server of a test, on a free port and in a folder of its own.
type server struct {
	t    testing.TB
	addr string
	dir  string
	args []string
	cmd  *exec.Cmd
}

// start starts a server with the settings of a new installation, unless args say otherwise. A test is skipped where
// there is no server, but not in CI.
func start(t testing.TB, args ...string) *server {
	t.Helper()
	s := prepare(t)
	t.Cleanup(func() { _ = os.RemoveAll(s.dir) })
	s.args = append(s.args, args...)
	s.run()
	t.Cleanup(s.crash)
	return s
}

// prepare makes the files of a server.
func prepare(t testing.TB) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgstore")
	require.NoError(t, err)
	addr := freeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	if id := serverUser(t); id != nil {
		require.NoError(t, os.Chown(dir, int(id.Uid), int(id.Gid)))
	}
	s := &server{t: t, addr: addr, dir: dir, args: []string{
		"-D", dir, "-c", "listen_addresses=127.0.0.1", "-c", "port=" + port, "-c", "unix_socket_directories=",
	}}
	out, err := command(t, "initdb", "--no-sync", "--username=test", "--auth=trust", "--encoding=UTF8", "-D", dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return s
}

// standby starts a server that follows s.
func (s *server) standby() *server {
	s.t.Helper()
	dir, err := os.MkdirTemp("", "pgstore")
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if id := serverUser(s.t); id != nil {
		require.NoError(s.t, os.Chown(dir, int(id.Uid), int(id.Gid)))
	}
	out, err := command(s.t, "pg_basebackup", "-d", s.url(), "-D", dir, "-R", "-c", "fast", "--no-sync").CombinedOutput()
	require.NoError(s.t, err, "%s", out)
	addr := freeAddr(s.t)
	_, port, _ := net.SplitHostPort(addr)
	follower := &server{t: s.t, addr: addr, dir: dir, args: []string{
		"-D", dir, "-c", "listen_addresses=127.0.0.1", "-c", "port=" + port, "-c", "unix_socket_directories=",
	}}
	follower.run()
	s.t.Cleanup(follower.crash)
	return follower
}

// run starts the process and waits until it answers.
func (s *server) run() {
	s.t.Helper()
	s.cmd = command(s.t, "postgres", s.args...)
	log, err := os.OpenFile(filepath.Join(s.dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) // pg_basebackup reads it
	require.NoError(s.t, err)
	defer log.Close()
	s.cmd.Stderr = log
	require.NoError(s.t, s.cmd.Start())
	require.Eventually(s.t, func() bool {
		p, err := pgxpool.New(context.Background(), s.url())
		if err != nil {
			return false
		}
		defer p.Close()
		return p.Ping(context.Background()) == nil
	}, 60*time.Second, 20*time.Millisecond, "the server does not answer")
}

// crash ends all processes of the server at once, and leaves the files as they are. PostgreSQL calls it an immediate
// shutdown. SIGKILL would end the first process alone, and the others after their next answer.
func (s *server) crash() {
	_ = s.cmd.Process.Signal(syscall.SIGQUIT)
	_ = s.cmd.Wait()
}

func (s *server) url() string { return fmt.Sprintf("postgres://test@%s/postgres", s.addr) }

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

// The ports of servers count from a random one, as other processes start servers at the same time.
var (
	firstPort = rand.Uint32N(20_000)
	ports     atomic.Uint32
)

// freeAddr returns an address on which nobody listens. Its port is below those that a system chooses itself, for
// connections and for listeners. So no program is given it before the server has it, or while the server is down.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 20_000 {
		addr := fmt.Sprint("127.0.0.1:", 10_000+(firstPort+ports.Add(1))%20_000)
		if l, err := net.Listen("tcp", addr); err == nil {
			require.NoError(t, l.Close())
			return addr
		}
	}
	require.Fail(t, "no port is free")
	return ""
}

// options are those that the package documentation recommends. A busy machine takes long to connect.
func options(t testing.TB, url string) *pgxpool.Config {
	t.Helper()
	o, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	o.ConnConfig.ConnectTimeout = 10 * time.Second
	return o
}

// connect returns a pool that the test closes.
func connect(t testing.TB, o *pgxpool.Config) *pgxpool.Pool {
	t.Helper()
	p, err := pgxpool.NewWithConfig(context.Background(), o)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

// open makes the tables and opens a store.
func open(t testing.TB, p *pgxpool.Pool, namespace string) *pgstore.Store {
	t.Helper()
	c := pgstore.Config{Pool: p, Namespace: namespace}
	require.NoError(t, pgstore.Create(context.Background(), c))
	s, err := pgstore.Open(context.Background(), c)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

var shared struct {
	once sync.Once
	*server
}

// common returns a server for all tests that neither stop it nor need other settings.
func common(t testing.TB) *server {
	t.Helper()
	command(t, "postgres") // skips each test, and not the first one alone
	shared.once.Do(func() {
		s := prepare(t)
		s.run()
		shared.server = s
	})
	require.NotNil(t, shared.server, "the server has not started for an earlier test")
	return shared.server
}

func TestMain(m *testing.M) {
	code := m.Run()
	if s := shared.server; s != nil {
		s.crash()
		_ = os.RemoveAll(s.dir)
	}
	os.Exit(code)
}
