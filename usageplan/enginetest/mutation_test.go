package enginetest_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/enginetest"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// fault is what an engine could do wrong, and the case of the suite that has to find it.
type fault struct {
	name, found string
	run         func(t *testing.T) // the suite over an engine with the fault
}

// faults stand in files by what is wrong. Those that make the suite hang are [hangFaults].
var faults = slices.Concat(rowFaults, callFaults, conflictFaults, keysFaults, endFaults, placeFaults)

// over runs the suite over engines that open makes.
func over(open func() ledger.Engine) func(*testing.T) {
	return func(t *testing.T) { enginetest.Test(t, func(*testing.T) ledger.Engine { return open() }) }
}

// TestFaults runs the named case over an engine with the fault.
func TestFaults(t *testing.T) { runFaults(t, faults, "--- FAIL: ") }

// TestHangs: a case that an engine makes hang is named.
func TestHangs(t *testing.T) { runFaults(t, hangFaults, "panic: enginetest: ") }

// runFaults runs each fault in a process of its own.
func runFaults(t *testing.T, faults []fault, how string) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			found := strings.ReplaceAll(f.found, " ", "_")
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFaultChild$/^"+found+"$")
			child.Env = append(os.Environ(), "ENGINETEST_FAULT="+f.name)
			out, err := child.CombinedOutput()
			require.Error(t, err, "%s", out)
			require.Regexp(t, how+"TestFaultChild/"+found+"[ \n]", string(out))
		})
	}
}

// TestFaultChild is the suite over the engine with the fault that the environment names.
func TestFaultChild(t *testing.T) {
	name, ok := os.LookupEnv("ENGINETEST_FAULT")
	if !ok {
		t.Skip("started by TestFaults")
	}
	named := func(f fault) bool { return f.name == name }
	if i := slices.IndexFunc(faults, named); i >= 0 {
		enginetest.SetRecovery(t, time.Second) // it fails in any case
		faults[i].run(t)
		return
	}
	enginetest.SetPatience(t, 200*time.Millisecond)
	hangFaults[slices.IndexFunc(hangFaults, named)].run(t)
}

// TestEachCaseFindsAFault: no case is there that proves nothing. Names of faults are distinct.
func TestEachCaseFindsAFault(t *testing.T) {
	found, names := make(map[string]bool), make(map[string]bool)
	for _, f := range slices.Concat(faults, hangFaults) {
		require.False(t, names[f.name], f.name)
		names[f.name], found[f.found] = true, true
	}
	for _, name := range enginetest.Cases() {
		require.True(t, found[name], "no fault is found by %q", name)
	}
	require.Len(t, found, len(enginetest.Cases()), "a fault names a case that is not there")
}
