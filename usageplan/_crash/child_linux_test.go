package crash

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/stretchr/testify/require"
)

// mount shows a disk as a folder until unmount is called.
func mount(t *testing.T, d *disk) (dir string, unmount func()) {
	dir = t.TempDir()
	server, err := fs.Mount(dir, &folder{disk: d}, &fs.Options{MountOptions: fuse.MountOptions{DirectMount: true, FsName: "crash"}})
	if err != nil {
		t.Skipf("cannot mount: %v", err)
	}
	return dir, func() { _ = server.Unmount() }
}

// serve runs a test in a child, does what it asks for, and reports how often it asked. What else the child prints is
// logged.
func serve(t *testing.T, timeout time.Duration, test string, env []string, answers map[string]func()) (asked int) {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+test+"$")
	child.Env = append(os.Environ(), env...)
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	require.NoError(t, err)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	for lines := bufio.NewScanner(out); lines.Scan(); {
		answer := answers[lines.Text()]
		if answer == nil {
			t.Log(lines.Text())
			continue
		}
		asked++
		answer()
		_, _ = fmt.Fprintln(in)
	}
	require.NoError(t, child.Wait())
	return asked
}

// ask is the child's side of serve: it returns when what it asks for has been done.
func ask(t *testing.T, what string) {
	fmt.Println(what)
	_, err := bufio.NewReader(os.Stdin).ReadString('\n')
	require.NoError(t, err)
}
