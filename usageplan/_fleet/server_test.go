package fleet

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"
	"github.com/stretchr/testify/require"
)

// The scenarios wait more than they work, for servers that hang and for periods that end. So more of them run at a time
// than there are processors.
func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "4")
	logging.Disable() // the client logs each connection that breaks, and these tests break many
	m.Run()
}

// heavy says that the faults are to last as long as in production.
func heavy() bool { return os.Getenv("TALLYGATE_HEAVY") != "" }

// server is a store that several processes share.
type server interface {
	// place is how a process reaches the server, in a namespace of its own.
	place(namespace string) place

	// kill ends the server as a crash would. run starts it, also again with the same files, and waits until it answers.
	kill()
	run()

	// signal stops all processes of the server, or lets them go on.
	signal(syscall.Signal)
}

// backends are the stores under test. A test is skipped where its server is not installed, but not in CI.
var backends = []struct {
	name  string
	start func(t *testing.T) server
}{
	{"redis", func(t *testing.T) server { return startRedis(t) }},
	{"cluster", func(t *testing.T) server { return startCluster(t) }},
	{"postgres", func(t *testing.T) server { return startPostgres(t) }},
	{"dynamo", func(t *testing.T) server { return startDynamo(t) }},
}

// eachBackend runs a test with a server of its own for each store. Several of them run at a time.
func eachBackend(t *testing.T, test func(t *testing.T, s server)) {
	t.Parallel()
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			test(t, b.start(t))
		})
	}
}

// process is a server's process that ends with the test, if not before.
type process struct{ cmd *exec.Cmd }

func (p *process) start(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	require.NoError(t, cmd.Start())
	p.cmd = cmd
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// installed skips a test where a program is not installed, but not in CI.
func installed(t testing.TB, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil && os.Getenv("CI") == "" {
		t.Skipf("%s is not installed", program)
	}
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

func portOf(t testing.TB, addr string) string {
	_, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	return port
}

// again calls f until it returns true. A server has some minutes, as the machine may be busy.
func again(t testing.TB, f func() bool, what string) {
	t.Helper()
	require.Eventually(t, f, 3*time.Minute, 10*time.Millisecond, what)
}
