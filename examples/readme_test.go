package examples_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// firstSnippet returns the first Go program of README.md.
func firstSnippet(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(text), "```go\n")
	require.True(t, found)
	require.Less(t, strings.Count(before, "\n"), 12, "code stands at the top")
	program, _, found := strings.Cut(rest, "```\n")
	require.True(t, found)
	require.LessOrEqual(t, strings.Count(program, "\n"), 30, "lines")
	require.LessOrEqual(t, strings.Count(string(text), "\n"), 150, "lines of README.md")
	return program
}

// freeAddress returns an address that a program may listen at. Its port lies below those that systems give to sockets
// which ask for any port, so no other test gets it meanwhile.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		listener, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", 20_000+rand.IntN(10_000)))
		if err == nil {
			require.NoError(t, listener.Close())
			return listener.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

// The first program in README.md builds and runs, and refuses and admits what README.md says.
func TestReadmeProgramRuns(t *testing.T) {
	const address, key = "127.0.0.1:8080", "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT"
	free := freeAddress(t)
	program := firstSnippet(t)
	require.Equal(t, 1, strings.Count(program, address))

	dir := t.TempDir()
	source, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "main")
	require.NoError(t, os.WriteFile(source, []byte(strings.Replace(program, address, free, 1)), 0o600))
	build := exec.Command("go", "build", "-o", binary, source)
	build.Dir = root // whose module it imports
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))

	require.NoError(t, os.MkdirAll(filepath.Join(dir, "loyalty"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "loyalty", "points.txt"), []byte("900"), 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	server := exec.CommandContext(ctx, binary)
	server.Dir = dir
	require.NoError(t, server.Start())
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	defer func() { cancel(); <-ended }()

	ask := func(value string) (int, error) {
		r, err := http.NewRequest(http.MethodGet, "http://"+free+"/Prod/loyalty/points.txt", nil)
		require.NoError(t, err)
		r.Header.Set("x-api-key", value)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, err
		}
		return res.StatusCode, res.Body.Close()
	}
	status, err := ask("unknown")
	for err != nil { // until it listens
		select {
		case end := <-ended:
			ended <- end
			t.Fatal("the program has ended: ", end)
		default:
			time.Sleep(10 * time.Millisecond)
			status, err = ask("unknown")
		}
	}
	require.Equal(t, http.StatusForbidden, status)
	status, err = ask(key)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status)
}

// README.md links to every package that users import, and to nothing that does not exist.
func TestReadmeLinksToEveryPackage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	linked := map[string]bool{}
	for _, m := range regexp.MustCompile(`\]\(([a-z0-9/_]+)\)`).FindAllStringSubmatch(string(text), -1) {
		require.DirExists(t, filepath.Join(root, m[1]))
		linked[m[1]] = true
	}
	for dir := range packages(t) {
		ours := strings.HasPrefix(dir, "examples") || strings.Contains(dir, "internal/")
		require.True(t, linked[dir] || ours, "README.md does not link to %s", dir)
	}
}
