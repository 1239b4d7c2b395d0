package ratelimit

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A mutant is a mistake in the algorithm that the histories must find.
type mutant struct {
	name     string
	file     string
	old, new string
}

var mutants = []mutant{
	{
		"stale clock taken for a wrapped word", "word.go",
		"if u > line {", "if u > line && (u <= clock+s.burst || u == frozen) {",
	},
	{
		"clock rewound: a forgotten bucket is full when it was not yet", "keyed.go",
		"return t, now + int64(t.seg.wait(now, t.floor.Load()))", "return t, now",
	},
	{
		"clock rewound: a reading from before the limit counts", "clock.go",
		"if now <= s.start {\n\t\treturn 1", "if now <= s.start {\n\t\treturn 1 + s.units(uint64(s.start-now))",
	},
	{
		"refund given twice", "all.go",
		"r.giveBack(c.again(r), Taken{o, n})", "r.giveBack(c.again(r), Taken{o, n})\n\t\tr.giveBack(c.again(r), Taken{o, n})",
	},
	{
		"what has flowed back given back again", "word.go",
		"return s.cost(k.n) - max(clock-s.at(k.now), 0)", "return s.cost(k.n)",
	},
	{
		"refund above the burst", "word.go",
		"return max(u-s.cost(n), min(u, full))", "return u - s.cost(n)",
	},
	{
		"slot reused under its former owner", "table.go",
		"if u == frozen || !t.owned(slot, f) {\n\t\t\treturn outcome{verdict: moved}\n\t\t}\n\t\tif u > line", "if u == frozen {\n\t\t\treturn outcome{verdict: moved}\n\t\t}\n\t\tif u > line",
	},
	{
		"slot reused without a tag: its word does not rise", "shard.go",
		"t.floor.Store(clock) // which was not below it\n", "",
	},
	{
		"slot reused before its bucket is full", "shard.go",
		"clock := t.seg.at(now)\n\tfor {", "clock := t.seg.at(now) + 4\n\tfor {",
	},
	{
		"limit changed beside a take that goes on under the old one", "bucket.go",
		"u := c.word.Swap(frozen)\n\tc.seg.next", "u := c.word.Load()\n\tc.seg.next",
	},
	{
		"bucket forgotten by a key without its own limit any more", "keyed.go",
		"t.floor.Store(clock) // as when any other full bucket is forgotten", "",
	},
	{
		"cancel gives back what others stand on", "reserve.go",
		"p.word-c.seg.at(now())) - later", "p.word-c.seg.at(now()))",
	},
	{
		"cancel gives back the same instants again", "reserve.go",
		"c.reused = u", "_ = u",
	},
	{
		"cancel gives back what has flowed back by itself", "reserve.go",
		"min(p.cost, p.word-c.seg.at(now()))", "(p.cost + 0*now())",
	},
	{
		"refund under those who wait", "bucket.go",
		"if c.queued.Load() {", "if c.queued.Load() && n > 8 {",
	},
	{
		"reservation overtakes", "reserve.go",
		"next := max(u, clock) + n*s.scale", "next := max(min(u, clock+s.burst), clock) + n*s.scale",
	},
	{
		"lost update", "word.go",
		"word.CompareAndSwap(u, next)", "word.Swap(next) != frozen",
	},
}

// yields lets other goroutines in after each step that matters, so that few processors show what many would.
var yields = regexp.MustCompile(`(?m)^.*(word\(?(slot)?\)?\.Load\(\)|\.Swap\(frozen\)|:= t\.find\(f\)|seg\.Store\(next\))$`)

func TestMutantsAreFound(t *testing.T) {
	found := mutants[:1] // each is a build
	if heavy(100) == 100 {
		found = mutants
		require.NoError(t, histories(t, mutant{}), "the histories are linearizable without a mutation, whoever is let in")
	}
	for _, m := range found {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			err := histories(t, m)
			require.Error(t, err, "the mutation was not found")
			require.Regexp(t, "not linearizable|Not equal|is not less than|Should be (empty|true|zero)", err.Error())
		})
	}
}

type failure string

func (f failure) Error() string { return string(f) }

// histories runs the tests of histories with yields and a mutation.
func histories(t *testing.T, m mutant) error {
	dir, replace := t.TempDir(), map[string]string{}
	write := func(name, text string) {
		here, err := filepath.Abs(name)
		require.NoError(t, err)
		replace[here] = filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(replace[here], []byte(text), 0o600))
	}
	write("yield.go", "package ratelimit\n\nimport \"runtime\"\n\nfunc yield() { runtime.Gosched() }\n")
	for _, name := range []string{"all.go", "bucket.go", "clock.go", "keyed.go", "reserve.go", "shard.go", "table.go", "word.go"} {
		source, err := os.ReadFile(name)
		require.NoError(t, err)
		text := string(source)
		if name == m.file {
			require.Equal(t, 1, strings.Count(text, m.old), "the mutation's place is found once")
			text = strings.Replace(text, m.old, m.new, 1)
		}
		write(name, yields.ReplaceAllString(text, "$0\nyield()"))
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	file := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(file, overlay, 0o600))
	test := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-count=1", "-failfast", "-timeout=60s", "-overlay", file, "-run", "^Test((Bucket|Table|All|Reserve)Histories|(All|Reserve)WindowBound|AllOverTime|GiveBackLate)$", ".")
	test.Env = append(os.Environ(), "TALLYGATE_HEAVY=")
	if out, err := test.CombinedOutput(); err != nil {
		return failure(out)
	}
	return nil
}
