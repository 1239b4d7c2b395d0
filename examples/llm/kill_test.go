package main

import (
	"bufio"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// TestMain lets the test binary be the program itself, for tests that kill it.
func TestMain(m *testing.M) {
	if os.Getenv("LLM_CHILD") != "" {
		main()
		return
	}
	flag.Parse()
	os.Exit(m.Run())
}

// child starts the program as a process of its own. It returns the URL of the API, and what kills the process with
// SIGKILL.
func child(t *testing.T, args ...string) (url string, kill func()) {
	t.Helper()
	c := exec.Command(os.Args[0], append([]string{"-addr", "127.0.0.1:0"}, args...)...)
	c.Env = append(os.Environ(), "LLM_CHILD=1")
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	kill = func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
	t.Cleanup(kill)
	first, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return strings.TrimPrefix(strings.TrimSpace(first), "Gateway on "), kill
}

// What a stream has taken stays counted if the process is killed: nothing more, and nothing less. The day's budget goes
// on where it was.
func TestKillKeepsWhatWasTaken(t *testing.T) {
	const tokens = step + 30 // more than was reserved at first
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		say(w, tokens)
		<-r.Context().Done() // it hangs
	}))
	defer up.Close()
	for {
		today, dir := time.Now().UTC().YearDay(), t.TempDir()
		url, kill := child(t, "-data", dir, "-upstream", up.URL, "-budget", "1000")
		body := strings.Replace(streaming, "small", "gpt-4o-mini", 1)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/chat/completions", strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+key)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		lines := bufio.NewScanner(res.Body)
		for range 2 * tokens { // an event has two lines
			require.True(t, lines.Scan())
		}
		kill()
		_ = res.Body.Close()
		quotas, closeStore, err := openStore(dir)
		require.NoError(t, err)
		b, err := quotas.Balance(t.Context(), ledger.Key{Plan: "daily-tokens/DAY", Subject: "fr92a5qpbj"}, ledger.Quota{Limit: 1000, Period: ledger.Daily})
		require.NoError(t, err)
		require.NoError(t, closeStore())
		if time.Now().UTC().YearDay() != today {
			continue // a day that ended meanwhile took its budget with it
		}
		require.EqualValues(t, (len(body)+3)/4+tokens, b.Used)
		return
	}
}
