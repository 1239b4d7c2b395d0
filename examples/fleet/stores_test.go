package main

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// eachStore runs a test over each store that is installed, one after the other. In CI all of them are. test gets the
// flags of the program.
func eachStore(t *testing.T, test func(t *testing.T, args ...string)) {
	t.Run("its own Redis", func(t *testing.T) {
		installed(t, "redis-server")
		test(t)
	})
	t.Run("Redis", func(t *testing.T) { test(t, "-store", ownRedis(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, "-store", startPostgres(t)) })
	t.Run("DynamoDB", func(t *testing.T) {
		startDynalite(t)
		test(t, "-store", "dynamodb://fleet")
	})
}

// installed skips a test where a program is not installed, but not in CI.
func installed(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil && os.Getenv("CI") == "" {
		t.Skipf("%s is not installed", program)
	}
}

// ownRedis starts a server as the program does, and returns its address.
func ownRedis(t *testing.T) string {
	t.Helper()
	installed(t, "redis-server")
	address, stop, err := startRedis(t.Context())
	require.NoError(t, err)
	t.Cleanup(stop)
	return address
}

// startPostgres starts a server with the settings of a new installation, so it syncs each commit.
func startPostgres(t *testing.T) (address string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "fleet")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if id := serverUser(t); id != nil {
		require.NoError(t, os.Chown(dir, int(id.Uid), int(id.Gid)))
	}
	initdb := postgres(t, "initdb", "--no-sync", "--username=test", "--auth=trust", "--encoding=UTF8", "-D", dir)
	out, err := initdb.CombinedOutput()
	require.NoError(t, err, "%s", out)
	port, err := freePort()
	require.NoError(t, err)
	server := postgres(t, "postgres", "-D", dir, "-c", "listen_addresses=127.0.0.1", "-c", "port="+port,
		"-c", "unix_socket_directories=")
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGQUIT) // ends the processes of its connections too
		_ = server.Wait()
	})
	address = fmt.Sprintf("postgres://test@127.0.0.1:%s/postgres", port)
	require.NoError(t, again(t.Context(), func() (bool, error) {
		c, err := pgx.Connect(t.Context(), address)
		if err != nil {
			return false, nil
		}
		return true, c.Close(context.Background())
	}))
	return address
}

// postgres returns a program of the server, as a user who is not root: the server refuses to run as root.
func postgres(t *testing.T, name string, args ...string) *exec.Cmd {
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
func serverUser(t *testing.T) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("nobody")
	require.NoError(t, err)
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	require.NoError(t, err)
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	require.NoError(t, err)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// startDynalite starts an independent implementation of DynamoDB's protocol, and has the environment lead there.
func startDynalite(t *testing.T) {
	t.Helper()
	installed(t, "dynalite")
	port, err := freePort()
	require.NoError(t, err)
	cmd := exec.Command("dynalite", "--host", "127.0.0.1", "--port", port, "--createTableMs", "0", "--path", t.TempDir())
	survive, err := filepath.Abs("../../usageplan/dynamostore/testdata/survive.js")
	require.NoError(t, err)
	cmd.Env = append(os.Environ(), "NODE_OPTIONS=--require="+survive)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	address := net.JoinHostPort("127.0.0.1", port)
	require.NoError(t, again(t.Context(), func() (bool, error) {
		c, err := net.Dial("tcp", address)
		return err == nil && c.Close() == nil, nil
	}))
	before := httptest.NewServer(expiry(httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address})))
	t.Cleanup(before.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_DYNAMODB": before.URL, "AWS_REGION": region, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
}

// expiry answers UpdateTimeToLive itself, as dynalite does not know it.
func expiry(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".UpdateTimeToLive") {
			w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte("{}"))), 10)) // or the client warns
			_, _ = io.WriteString(w, "{}")
			return
		}
		next.ServeHTTP(w, r)
	})
}
