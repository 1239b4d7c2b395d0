package main

import (
	"bufio"
	"context"
	"flag"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/usageplan/boltstore"
)

// TestMain lets the test binary be the program itself, for tests that kill it.
func TestMain(m *testing.M) {
	if os.Getenv("LOYALTY_CHILD") != "" {
		main()
		return
	}
	flag.Parse()
	os.Exit(m.Run())
}

// child starts the program as a process of its own. It returns the address of the API, the address of the control plane,
// and what kills the process with SIGKILL.
func child(t *testing.T, args ...string) (url, control string, kill func()) {
	t.Helper()
	c := exec.Command(os.Args[0], append([]string{"-addr", "127.0.0.1:0", "-admin", "127.0.0.1:0"}, args...)...)
	c.Env = append(os.Environ(), "LOYALTY_CHILD=1")
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	kill = func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
	t.Cleanup(kill)
	help := bufio.NewScanner(out)
	for help.Scan() && control == "" {
		if address, is := strings.CutPrefix(help.Text(), "Loyalty API on "); is {
			url = address
		}
		if _, rest, is := strings.Cut(help.Text(), "--endpoint-url "); is {
			control, _, _ = strings.Cut(rest, " ")
		}
	}
	require.NotEmpty(t, url)
	require.NotEmpty(t, control)
	return url, control, kill
}

// ask asks a running program once and returns the status.
func ask(t *testing.T, url string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+route, nil)
	require.NoError(t, err)
	withKey(apiKey)(r)
	signed(t, accessKey, secretKey, 0)(r)
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode
}

// kill -9, start again: the quota goes on where it was.
func TestQuotaSurvivesKill(t *testing.T) {
	for {
		today := time.Now().UTC().YearDay()
		statuses, used := sixLives(t)
		if time.Now().UTC().YearDay() != today {
			continue // a day that ended meanwhile took its quota with it
		}
		require.Equal(t, append(slices.Repeat([]int{http.StatusOK}, 10), http.StatusTooManyRequests), statuses)
		require.EqualValues(t, 10, used)
		return
	}
}

// sixLives asks twice in each of five lives of the program, which have a fresh burst of two each, and once in a sixth.
// It returns the answers, and what is counted in the end.
func sixLives(t *testing.T) (statuses []int, used int64) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "made", "by", "the", "example")
	for range 5 {
		url, _, kill := child(t, "-data", dir)
		statuses = append(statuses, ask(t, url), ask(t, url))
		kill()
	}
	url, _, kill := child(t, "-data", dir)
	statuses = append(statuses, ask(t, url))
	_, err := openStore(dir, false)
	require.ErrorIs(t, err, boltstore.ErrLocked, "one process at a time")
	kill()

	again, err := openStore(dir, false)
	require.NoError(t, err)
	pool, _, err := userPool(options{})
	require.NoError(t, err)
	svc, err := newService(defaults(), pool, again, accountLimit)
	require.NoError(t, err)
	used = standing(t, svc.api, shapes["server"]).Used
	require.NoError(t, again.Close())
	return statuses, used
}

func TestTemporaryStoreIsRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, run(ctx, []string{"-addr", "127.0.0.1:0", "-admin", "127.0.0.1:0"}, io.Discard))
	left, err := os.ReadDir(os.TempDir())
	require.NoError(t, err)
	require.Empty(t, left)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = openStore(filepath.Join(file, "folder"), false)
	require.ErrorContains(t, err, file, "a file is no folder")
}

// Without the secrets, no key would be found. The program says so, and neither loses nor replaces a key.
func TestMissingSecretsAreNoticed(t *testing.T) {
	dir := t.TempDir()
	secrets := filepath.Join(dir, "secrets")
	inProcess(t, dir, func(_, control http.Handler) { manage(t, control, 201, "POST", "/apikeys", `{"name":"a"}`) })
	require.NoError(t, os.Rename(secrets, secrets+".away"))
	_, err := openStore(dir, false)
	require.ErrorContains(t, err, "the file of their secrets is missing")
	require.NoFileExists(t, secrets)
	require.NoError(t, os.WriteFile(secrets, []byte("short"), 0o600))
	_, err = openStore(dir, false)
	require.ErrorContains(t, err, "has 5 bytes, want 64")
	require.NoError(t, os.Rename(secrets+".away", secrets))
	inProcess(t, dir, func(_, control http.Handler) {
		require.Len(t, manage(t, control, 200, "GET", "/apikeys", "")["item"], 1)
	})
}
