package journaltest_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/journal/journaltest"
)

// fault is what a journal could do wrong, and the case of the suite that has to find it.
type fault struct {
	name, found string
	run         func(t *testing.T) // the suite over a journal with the fault
}

// faults stand in files by the method that is wrong. Those that make the suite hang are [hangFaults].
var faults = slices.Concat(appendFaults, changesFaults, historyFaults, waitFaults, reopenFaults)

// over runs the suite over journals that open makes.
func over(open func(retain time.Duration) journal.Journal) func(*testing.T) {
	return func(t *testing.T) {
		journaltest.Run(t, func(_ *testing.T, retain time.Duration) journal.Journal { return open(retain) })
	}
}

// TestFaults runs the named case over a journal with the fault.
func TestFaults(t *testing.T) { runFaults(t, faults, "--- FAIL: ") }

// TestHangs: a case that a journal makes hang is named.
func TestHangs(t *testing.T) { runFaults(t, hangFaults, "panic: journaltest: ") }

// runFaults runs each fault in a process of its own.
func runFaults(t *testing.T, faults []fault, how string) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			found := strings.ReplaceAll(f.found, " ", "_")
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFaultChild$/^"+found+"$")
			child.Env = append(os.Environ(), "JOURNALTEST_FAULT="+f.name)
			out, err := child.CombinedOutput()
			require.Error(t, err, "%s", out)
			require.Regexp(t, how+"TestFaultChild/"+found+"[ \n]", string(out))
			require.NotContains(t, strings.ReplaceAll(string(out), "panic: journaltest: ", ""), "panic: ")
		})
	}
}

// TestFaultChild is the suite over the journal with the fault that the environment names.
func TestFaultChild(t *testing.T) {
	name, ok := os.LookupEnv("JOURNALTEST_FAULT")
	if !ok {
		t.Skip("started by TestFaults")
	}
	named := func(f fault) bool { return f.name == name }
	if i := slices.IndexFunc(faults, named); i >= 0 {
		journaltest.SetPatience(t, 30*time.Second)
		faults[i].run(t)
		return
	}
	journaltest.SetPatience(t, 500*time.Millisecond)
	hangFaults[slices.IndexFunc(hangFaults, named)].run(t)
}

// TestEachCaseFindsAFault: no case is there that proves nothing. Names of faults are distinct.
func TestEachCaseFindsAFault(t *testing.T) {
	found, names := make(map[string]bool), make(map[string]bool)
	for _, f := range slices.Concat(faults, hangFaults) {
		require.False(t, names[f.name], f.name)
		names[f.name], found[f.found] = true, true
	}
	for _, name := range journaltest.Cases() {
		require.True(t, found[name], "no fault is found by %q", name)
	}
	require.Len(t, found, len(journaltest.Cases()), "a fault names a case that is not there")
}
