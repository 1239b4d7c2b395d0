package dynamostore_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/dynamostore"
)

// server is a dynalite of a test, on a free port.
type server struct {
	t    testing.TB
	addr string
	args []string
	cmd  *exec.Cmd
}

// start starts a server. With --path it keeps what it has in files. A test is skipped where there is no server, but not
// in CI.
func start(t testing.TB, args ...string) *server {
	t.Helper()
	s := prepare(t, args...)
	s.run()
	t.Cleanup(s.kill)
	return s
}

func prepare(t testing.TB, args ...string) *server {
	t.Helper()
	if _, err := exec.LookPath("dynalite"); err != nil && os.Getenv("CI") == "" {
		t.Skip("dynalite is not installed")
	}
	addr := freeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	return &server{t: t, addr: addr, args: append([]string{"--host", "127.0.0.1", "--port", port, "--createTableMs", "0"}, args...)}
}

// run starts the process and waits until it answers.
func (s *server) run() {
	s.t.Helper()
	s.cmd = exec.Command("dynalite", s.args...)
	survive, err := filepath.Abs("testdata/survive.js")
	require.NoError(s.t, err)
	s.cmd.Env = append(os.Environ(), "NODE_OPTIONS=--require="+survive)
	require.NoError(s.t, s.cmd.Start())
	c := client(options(s.addr))
	require.Eventually(s.t, func() bool {
		_, err := c.ListTables(context.Background(), &dynamodb.ListTablesInput{})
		return err == nil
	}, time.Minute, 20*time.Millisecond, "the server does not answer")
}

// kill ends the process as a crash would.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
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

// transport sends requests and counts them by operation. UpdateTimeToLive it answers itself: dynalite does not know it.
type transport struct {
	http.RoundTripper
	count sync.Map // operation -> *atomic.Int64
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	n, _ := t.count.LoadOrStore(operation, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
	if operation == "UpdateTimeToLive" {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}")), Request: r}, nil
	}
	return t.RoundTripper.RoundTrip(r)
}

// sent returns how many requests of an operation were sent since the last call.
func (t *transport) sent(operation string) int64 {
	n, ok := t.count.Load(operation)
	if !ok {
		return 0
	}
	return n.(*atomic.Int64).Swap(0)
}

// options are those that the package documentation recommends.
func options(addr string) dynamodb.Options {
	h := http.DefaultTransport.(*http.Transport).Clone()
	h.MaxIdleConnsPerHost = 50
	return dynamodb.Options{
		Region:       "eu-west-1",
		BaseEndpoint: aws.String("http://" + addr),
		HTTPClient:   &http.Client{Transport: &transport{RoundTripper: h}},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}, nil
		}),
	}
}

func client(o dynamodb.Options) *dynamodb.Client { return dynamodb.New(o) }

// open makes the table and opens a store.
func open(t testing.TB, c *dynamodb.Client, namespace string) *dynamostore.Store {
	t.Helper()
	config := dynamostore.Config{Client: c, Table: "tallygate", Namespace: namespace}
	require.NoError(t, dynamostore.Create(context.Background(), config))
	s, err := dynamostore.Open(context.Background(), config)
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
		s.kill()
	}
	os.Exit(code)
}
