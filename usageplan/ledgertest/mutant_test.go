package ledgertest_test

import (
	"cmp"
	"context"
	"iter"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/ledgertest"
)

// faults are what engines could do wrong, and the case of the suite that has to find it.
var faults = []struct {
	name, found string
	change      func(*ledger.Op)
	batch       batch
}{
	{"none", "", nil, nil},
	{"plan ignored", "lookalike_keys", func(o *ledger.Op) { o.Account.Plan = "plan" }, nil},
	{"plan and subject joined", "lookalike_keys", joined(""), nil},
	{"joined by a mark", "lookalike_keys", joined(":"), nil},
	{"case folded", "lookalike_keys", subject(strings.ToLower), nil},
	{"blanks trimmed", "lookalike_keys", subject(strings.TrimSpace), nil},
	{"UTF-8 repaired", "lookalike_keys", subject(func(s string) string { return strings.ToValidUTF8(s, "\ufffd") }), nil},
	{"Unicode composed", "lookalike_keys", subject(strings.NewReplacer("e\u0301", "\u00e9").Replace), nil},
	{"ends at a zero byte", "lookalike_keys", subject(func(s string) string { s, _, _ = strings.Cut(s, "\x00"); return s }), nil},
	{"subjects of 255 bytes", "lookalike_keys", subject(func(s string) string { return s[:min(len(s), 255)] }), nil},
	{"subjects of 511 bytes", "lookalike_keys", subject(func(s string) string { return s[:min(len(s), 511)] }), nil},
	{"ids of 64 bytes", "lookalike_ids", func(o *ledger.Op) { o.ID = o.ID[:min(len(o.ID), 64)] }, nil},
	{"ids of 511 bytes", "lookalike_ids", func(o *ledger.Op) { o.ID = o.ID[:min(len(o.ID), 511)] }, nil},
	{"limits as float32", "units", func(o *ledger.Op) { o.Limit = int64(float32(o.Limit)) }, nil},
	{"limits up to 2^40", "units", func(o *ledger.Op) { o.Limit = min(o.Limit, 1<<40) }, nil},
	{"limits in force ignored", "present_limit", func(o *ledger.Op) { o.InForce = false }, nil},
	{"limits below 2^53", "units", func(o *ledger.Op) { o.Limit = min(o.Limit, 1<<53-1) }, nil},
	{"amounts as float32", "units", func(o *ledger.Op) { o.Want = int64(float32(o.Want)) }, nil},
	{"spends of 32 bits", "units", func(o *ledger.Op) { o.Spent = int64(int32(o.Spent)) }, nil},
	{"leases as doubles", "kept", func(o *ledger.Op) { o.Lease = uint64(float64(o.Lease)) }, nil},
	{"leases of 63 bits", "kept", func(o *ledger.Op) { o.Lease &^= 1 << 63 }, nil},
	{"days reopened", "stale", func(o *ledger.Op) { o.Day = max(o.Day, 20_010*86400) }, nil},
	{"no time before 1970", "epoch", func(o *ledger.Op) { o.Account.Start = max(o.Account.Start, 0) }, nil},
	{"operations one by one", "batches", nil, oneByOne},
	{"keys one by one", "batches", nil, keyByKey},
	{"outcomes used again", "kept", nil, reusing()},
}

// mutant is an engine with one fault: what it makes of an operation, and of the key that Accounts asks for, or how it
// applies a batch.
type mutant struct {
	*ledger.OldMemory
	change func(*ledger.Op)
	batch  batch
}

type (
	batch func(apply, []ledger.Op) ([]ledger.Outcome, error)
	apply func([]ledger.Op) ([]ledger.Outcome, error)
)

func (m *mutant) Apply(ctx context.Context, ops []ledger.Op) ([]ledger.Outcome, error) {
	ops = slices.Clone(ops)
	for i := range ops {
		if m.change != nil {
			m.change(&ops[i])
		}
	}
	whole := func(ops []ledger.Op) ([]ledger.Outcome, error) { return m.Memory.Apply(ctx, ops) }
	if m.batch == nil {
		return whole(ops)
	}
	return m.batch(whole, ops)
}

func (m *mutant) Accounts(ctx context.Context, key ledger.Key, from, to int64) iter.Seq2[ledger.State, error] {
	o := ledger.Op{Account: ledger.Account{Key: key}}
	if m.change != nil {
		m.change(&o)
	}
	return m.Memory.Accounts(ctx, o.Account.Key, from, to)
}

func subject(f func(string) string) func(*ledger.Op) {
	return func(o *ledger.Op) { o.Account.Subject = f(o.Account.Subject) }
}

func joined(mark string) func(*ledger.Op) {
	return func(o *ledger.Op) { o.Account.Key = ledger.Key{Subject: o.Account.Plan + mark + o.Account.Subject} }
}

func oneByOne(do apply, ops []ledger.Op) ([]ledger.Outcome, error) {
	return split(do, ops, func(a, b ledger.Op) bool { return false })
}

// keyByKey writes so; it reads all keys at once.
func keyByKey(do apply, ops []ledger.Op) ([]ledger.Outcome, error) {
	slices.SortStableFunc(ops, func(a, b ledger.Op) int { return cmp.Compare(a.Account.Subject, b.Account.Subject) })
	return split(do, ops, func(a, b ledger.Op) bool { return a.Kind == ledger.KindRead || a.Account.Key == b.Account.Key })
}

// split makes one call of neighbours that belong together.
func split(do apply, ops []ledger.Op, together func(a, b ledger.Op) bool) (outs []ledger.Outcome, err error) {
	for len(ops) > 0 && err == nil {
		n := 1
		for n < len(ops) && together(ops[0], ops[n]) {
			n++
		}
		var out []ledger.Outcome
		out, err = do(ops[:n])
		outs, ops = append(outs, out...), ops[n:]
		runtime.Gosched()
	}
	return outs, err
}

func reusing() batch {
	var kept []ledger.Outcome
	return func(do apply, ops []ledger.Op) ([]ledger.Outcome, error) {
		outs, err := do(ops)
		kept = append(kept[:0], outs...)
		return kept, err
	}
}

// TestFaults runs the suite, in a process of its own, over engines with one fault each.
func TestFaults(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFaultChild$/"+f.found)
			child.Env = append(os.Environ(), "LEDGERTEST_FAULT="+f.name)
			out, err := child.CombinedOutput()
			if f.found == "" {
				require.NoError(t, err, "%s", out)
				return
			}
			require.Error(t, err, "%s", out)
			require.Contains(t, string(out), "--- FAIL: TestFaultChild/"+f.found)
		})
	}
}

// TestFaultChild is the suite over the engine with the fault that the environment names.
func TestFaultChild(t *testing.T) {
	name, ok := os.LookupEnv("LEDGERTEST_FAULT")
	if !ok {
		t.Skip("started by TestFaults")
	}
	for _, f := range faults {
		if f.name == name {
			ledgertest.Test(t, func(*testing.T) ledger.Store { return &mutant{ledger.NewOldMemory(), f.change, f.batch} })
		}
	}
}
