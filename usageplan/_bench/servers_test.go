package bench

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
	"strings"
	"syscall"
	"testing"
	"time"
)

// server is a store's server, on a free port and in a folder of its own, with the settings that the store's package
// asks for.
type server struct {
	addr, dir string
	command   func() *exec.Cmd
	ready     func(ctx context.Context) error // returns nil when the server answers
	quit      syscall.Signal                  // ends all processes of the server at once
	cmd       *exec.Cmd
}

// prepare makes the folder and finds a port.
func prepare(b *testing.B, quit syscall.Signal) (s *server, port string) {
	b.Helper()
	dir, err := os.MkdirTemp("", "bench")
	check(b, err)
	s = &server{addr: freeAddr(b), dir: dir, quit: quit}
	_, port, _ = net.SplitHostPort(s.addr)
	return s, port
}

// freeAddr returns an address on which nobody listens. It has a random port below those that a system chooses itself,
// for connections and for listeners. So no program is given it before the server has it, or while the server is down.
func freeAddr(b *testing.B) string {
	b.Helper()
	for range 100 {
		addr := fmt.Sprint("127.0.0.1:", 10_000+rand.IntN(20_000))
		if l, err := net.Listen("tcp", addr); err == nil {
			check(b, l.Close())
			return addr
		}
	}
	b.Fatal("no port is free")
	return ""
}

// run starts the process and waits until it answers.
func (s *server) run(b *testing.B) {
	b.Helper()
	s.cmd = s.command()
	check(b, s.cmd.Start())
	for begun := time.Now(); s.ready(context.Background()) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > time.Minute {
			b.Fatal("the server does not answer: ", s.cmd.Path)
		}
	}
}

// end ends the server and removes its files.
func (s *server) end() {
	s.kill()
	_ = os.RemoveAll(s.dir)
}

// kill ends the server as a crash would. The files stay.
func (s *server) kill() {
	s.signal(syscall.SIGCONT)
	_ = s.cmd.Process.Signal(s.quit)
	_ = s.cmd.Wait()
}

// hang stops the server. Its connections stay, and nothing answers.
func (s *server) hang() { s.signal(syscall.SIGSTOP) }

// signal sends a signal to all processes of the server: a PostgreSQL server has one for each connection.
func (s *server) signal(sig syscall.Signal) {
	pid := s.cmd.Process.Pid
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	for child := range strings.FieldsSeq(string(children)) {
		if n, err := strconv.Atoi(child); err == nil {
			_ = syscall.Kill(n, sig) // it may have ended
		}
	}
	_ = syscall.Kill(pid, sig)
}

// program returns the path of a server's program. The benchmark is skipped where it is not installed, but not in CI.
func program(b *testing.B, name string) string {
	b.Helper()
	path, err := exec.LookPath(name)
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); err != nil && len(found) > 0 {
		path, err = found[len(found)-1], nil // where Debian puts what is not for users
	}
	if err != nil && os.Getenv("CI") == "" {
		b.Skip(name, " is not installed")
	}
	check(b, err)
	return path
}

// redisServer starts a server that syncs each write before it confirms it, unless args say otherwise. Its file is not
// written anew when it has grown, so that no row of a benchmark pays for those before it.
func redisServer(b *testing.B, args ...string) *server {
	path := program(b, "redis-server")
	s, port := prepare(b, syscall.SIGKILL)
	args = append([]string{
		"--bind", "127.0.0.1", "--port", port, "--dir", s.dir, "--save", "", "--appendonly", "yes", "--appendfsync", "always",
		"--auto-aof-rewrite-percentage", "0", "--loglevel", "warning", "--logfile", filepath.Join(s.dir, "log"),
	}, args...)
	s.command = func() *exec.Cmd { return exec.Command(path, args...) }
	s.ready = func(ctx context.Context) error {
		c := redisClient(s.addr)
		defer c.Close()
		return c.Ping(ctx).Err()
	}
	s.run(b)
	return s
}

// postgresServer starts a server with the settings of a new installation, which make each commit durable.
func postgresServer(b *testing.B) *server {
	initdb, postgres, as := program(b, "initdb"), program(b, "postgres"), serverUser(b)
	s, port := prepare(b, syscall.SIGQUIT) // SIGKILL would end the others only after their next answer
	if as != nil {
		check(b, os.Chown(s.dir, int(as.Uid), int(as.Gid)))
	}
	command := func(path string, args ...string) *exec.Cmd {
		cmd := exec.Command(path, append(args, "-D", s.dir)...)
		cmd.Dir, cmd.SysProcAttr = s.dir, &syscall.SysProcAttr{Credential: as}
		return cmd
	}
	if out, err := command(initdb, "--no-sync", "--username=test", "--auth=trust").CombinedOutput(); err != nil {
		b.Fatalf("initdb: %v: %s", err, out)
	}
	s.command = func() *exec.Cmd {
		return command(postgres, "-c", "listen_addresses=127.0.0.1", "-c", "port="+port, "-c", "unix_socket_directories=")
	}
	s.ready = func(ctx context.Context) error {
		p, err := postgresPool(ctx, s.addr)
		if err != nil {
			return err
		}
		defer p.Close()
		return p.Ping(ctx)
	}
	s.run(b)
	return s
}

// serverUser returns the user of the server if the benchmark runs as root, and nil otherwise: PostgreSQL refuses to run
// as root.
func serverUser(b *testing.B) *syscall.Credential {
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("nobody")
	check(b, err)
	uid, err := strconv.Atoi(u.Uid)
	check(b, err)
	gid, err := strconv.Atoi(u.Gid)
	check(b, err)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// dynamoServer starts dynalite, which keeps what it has in files.
func dynamoServer(b *testing.B) *server {
	path := program(b, "dynalite")
	s, port := prepare(b, syscall.SIGKILL)
	survive, err := filepath.Abs("../dynamostore/testdata/survive.js")
	check(b, err)
	s.command = func() *exec.Cmd {
		cmd := exec.Command(path, "--host", "127.0.0.1", "--port", port, "--createTableMs", "0", "--path", s.dir)
		cmd.Env = append(os.Environ(), "NODE_OPTIONS=--require="+survive)
		return cmd
	}
	s.ready = func(ctx context.Context) error {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", s.addr)
		if err != nil {
			return err
		}
		return c.Close()
	}
	s.run(b)
	return s
}
