package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
)

// Ctrl-C at a terminal reaches all processes of the program at once. They still end in order, and what the owner has
// made is gone: with a server of the program's own its folder, and in another store the key and the plan.
func TestInterruptLeavesNothing(t *testing.T) {
	t.Run("its own Redis", func(t *testing.T) {
		installed(t, "redis-server")
		t.Setenv("TMPDIR", t.TempDir())
		interrupted(t)
		left, err := os.ReadDir(os.TempDir())
		require.NoError(t, err)
		require.Empty(t, left)
	})
	t.Run("another store", func(t *testing.T) {
		address := ownRedis(t)
		interrupted(t, "-store", address)
		s, err := openStore(t.Context(), address, false)
		require.NoError(t, err)
		defer func() { require.NoError(t, s.close()) }()
		keys, err := apikey.New(apikey.Config{Journal: s.journal("keys", 0), Pepper: pepper})
		require.NoError(t, err)
		require.Zero(t, keys.Stats().Keys)
		plans, err := usageplan.New(usageplan.Config{Client: apikey.ID, API: apiID, Stage: stage, Journal: s.journal("plans", 0)})
		require.NoError(t, err)
		require.Zero(t, plans.Stats().Plans)
		require.Positive(t, plans.Stats().Revision, "there was one")
	})
}

// interrupted starts the program with -hold, in a process group as a terminal makes it, and interrupts the group.
func interrupted(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], append(args, "-hold")...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out := &printed{until: "Ctrl-C ends the nodes.", done: make(chan struct{})}
	var errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, &errs
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-out.done:
	case err := <-ended:
		require.Fail(t, "the program has ended", "%v: %s", err, errs.String())
	}
	require.NoError(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGINT))
	require.NoError(t, <-ended, errs.String())
	require.Empty(t, errs.String())
}

// printed closes done when a text was written.
type printed struct {
	text  strings.Builder
	until string
	done  chan struct{}
}

func (p *printed) Write(b []byte) (int, error) {
	before := strings.Contains(p.text.String(), p.until)
	n, err := p.text.Write(b)
	if !before && strings.Contains(p.text.String(), p.until) {
		close(p.done)
	}
	return n, err
}
