package main

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"
	"github.com/stretchr/testify/require"
)

// childVariable lets the test binary be the program itself, which starts itself again for its nodes.
const childVariable = "FLEET_CHILD"

func TestMain(m *testing.M) {
	logging.Disable() // the client logs each connection that breaks
	if os.Getenv(childVariable) != "" {
		main()
		return
	}
	flag.Parse()
	_ = os.Setenv(childVariable, "1")
	_ = os.Unsetenv(storeVariable)
	os.Exit(m.Run())
}

// program runs the program and returns what it prints. Quotas are by the day, so a run across midnight UTC proves
// nothing and is repeated.
func program(t *testing.T, args ...string) string {
	t.Helper()
	for {
		today := time.Now().UTC().YearDay()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, os.Args[0], args...)
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it ends what it has started
		cmd.WaitDelay = time.Minute
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if time.Now().UTC().YearDay() != today {
			continue
		}
		require.NoError(t, err, "%s", out)
		return string(out)
	}
}

// A row is a line of a table that the program prints.
type row struct{ admitted, throttled, exceeded int }

var (
	line   = regexp.MustCompile(`^(a|b|c|all) +(\d+) +(\d+) +(\d+)(?:  of a quota of (\d+))?$`)
	wasted = regexp.MustCompile(`(?m)^Node b was killed\. Units granted to it and not used: (\d+)$`)
)

// tables returns the tables, and the quotas that stand below them.
func tables(t *testing.T, out string) (all []map[string]row, quotas []int) {
	t.Helper()
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		require.NoError(t, err)
		return n
	}
	for text := range strings.Lines(out) {
		if strings.HasPrefix(text, "node ") {
			all = append(all, map[string]row{})
		}
		m := line.FindStringSubmatch(strings.TrimSuffix(text, "\n"))
		if m == nil {
			continue
		}
		require.NotEmpty(t, all, "the first table has a head")
		all[len(all)-1][m[1]] = row{number(m[2]), number(m[3]), number(m[4])}
		if m[1] == "all" {
			quotas = append(quotas, number(m[5]))
		}
	}
	return all, quotas
}

// requireSums checks that the last line of a table has the sums of the others.
func requireSums(t *testing.T, rows map[string]row) {
	t.Helper()
	var sum row
	for _, name := range names {
		n, listed := rows[name]
		require.True(t, listed, name)
		sum = row{sum.admitted + n.admitted, sum.throttled + n.throttled, sum.exceeded + n.exceeded}
	}
	require.Equal(t, sum, rows["all"])
}

// Three processes admit the day's quota and not one request more, wherever it is kept. After the owner has raised it on
// node a, each node admits one more. After the owner has disabled the key there, no node does.
func TestNodesShareOneQuota(t *testing.T) {
	eachStore(t, func(t *testing.T, args ...string) {
		out := program(t, args...)
		all, quotas := tables(t, out)
		require.Equal(t, []int{10, 13}, quotas, out)
		for i, rows := range all {
			requireSums(t, rows)
			require.Equal(t, quotas[i], rows["all"].admitted, out)
		}
		for _, name := range names {
			require.Equal(t, 1, all[0][name].exceeded, "each client asks until the quota refuses it\n%s", out)
			require.Equal(t, all[0][name].admitted+1, all[1][name].admitted, out)
		}
		require.Contains(t, out, "\nNode c refuses it.\nNode b refuses it.\nNode a refuses it.\n")
	})
}

// What was granted to a node that is killed, and what the others admit, is the quota to the unit.
func TestKilledNodeWastesOnlyWhatItHeld(t *testing.T) {
	eachStore(t, func(t *testing.T, args ...string) {
		out := program(t, append(args, "-kill", "-quota", "200", "-rate", "400", "-burst", "50")...)
		all, quotas := tables(t, out)
		require.Equal(t, []int{200, 202}, quotas, out)
		held := wasted.FindStringSubmatch(out)
		require.NotNil(t, held, out)
		lost, err := strconv.Atoi(held[1])
		require.NoError(t, err)
		for i, rows := range all {
			requireSums(t, rows)
			require.Equal(t, quotas[i], rows["all"].admitted+lost, out)
		}
		require.LessOrEqual(t, all[0]["b"].admitted, 40, "it is killed then")
		require.Less(t, lost, 100, "a lease is a part of what is left")
		require.Equal(t, all[0]["b"], all[1]["b"])
		require.Contains(t, out, "\nNode c refuses it.\nNode a refuses it.\n")
	})
}

// Mistakes of the command line are told, without a password.
func TestMistakesAreTold(t *testing.T) {
	for _, tt := range []struct{ name, store, want string }{
		{"unknown store", "mysql://user:secret@host", `-store begins with "mysql", want redis://, postgres:// or dynamodb://`},
		{"bad Redis address", "redis://user:secret@host:x", "invalid port"},
		{"bad PostgreSQL address", "postgres://user:secret@host:x/y", "invalid port"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := run(t.Context(), []string{"-store", tt.store}, os.Stderr)
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "secret")
		})
	}
	require.ErrorContains(t, run(t.Context(), []string{"more"}, os.Stderr), `unexpected argument "more"`)
	for _, none := range [][]string{{"-burst", "0"}, {"-rate", "0"}, {"-rate", "NaN"}} {
		require.ErrorContains(t, run(t.Context(), none, os.Stderr), "admits nothing", none)
	}
}
