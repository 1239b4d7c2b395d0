//go:build !race

package ledger

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// mutant is a mistake in the protocol that the model checker must find: in a file, a text that stands there once is
// replaced by another.
type mutant struct{ name, file, text, by string }

var mutants = []mutant{
	{"a repeated batch is made again", "pass.go", "if p.recalled(r, o, ref, out) {", "if false {"},
	{
		"the number of a batch is not compared", "session.go",
		"case r.sessions[i].last == b.number:", "case r.sessions[i].last > 0:",
	},
	{"an answer is not kept", "pass.go", "		r.note(p.b, p.session, p.answers)\n", ""},
	{"a repeated batch gets a new number", "committer.go", "number: b.number, repeat: true", "number: b.number + 1, repeat: true"},
	{"a batch without an answer is not repeated", "committer.go", "		c.unknown = b.again()\n", "		c.failed(err)\n"},
	{"a charge without an answer is not given back", "committer.go", "case (o.kind == charge || o.kind == grow) && answers[i].granted > 0:", "case false:"},
	{
		"a lease counts when it reports, not when it is granted", "decide.go",
		"		s.hold(d, granted)\n		s.report(d, l, o.spent)\n",
		"		s.hold(d, max(0, o.spent-l.spent))\n		s.report(d, l, o.spent)\n",
	},
	{
		"a lease that is returned gives back what it has not reported", "decide.go",
		"max(0, min(o.want, l.granted-o.spent))", "max(0, min(o.want, l.granted-l.spent))",
	},
	{"less is granted than is of use", "decide.go", "case room > 0 && o.min <= room:", "case room > 0:"},
	{"a lost lease is not noticed", "decide.go", "	if o.held > 0 {\n", "	if false {\n"},
	{"lost units of a lease are not noticed", "decide.go", "case l.granted < o.held:", "case false:"},
	{"what was spent of a lost lease is not counted again", "committer.go", "again.want > 0", "false"},
	{"a lease without an answer is not returned in full", "counter.go", "end.want = MaxUnits", "end.want = s.granted.Load() - spent"},
	{"the rest of a lease with a slot is not given back", "recovered.go", "				ops[i].want = MaxUnits\n", ""},
}

// TestMutantsOfTheProtocolAreFound makes each mistake in a copy of the package and runs the checker on it. Each is a
// build, so only the first is made unless TALLYGATE_HEAVY is 1, which makes four, or 2, which makes all.
func TestMutantsOfTheProtocolAreFound(t *testing.T) {
	found := mutants[:1]
	switch os.Getenv("TALLYGATE_HEAVY") {
	case "":
	case "1":
		found = mutants[:4]
	default:
		found = mutants
	}
	for _, m := range found {
		t.Run(m.name, func(t *testing.T) {
			out, err := m.check(t)
			require.Error(t, err, "the mistake was not found")
			require.NotContains(t, out, "engine panicked")
			require.Regexp(t, `(?s)--- FAIL: TestEveryInterleavingKeepsTheRules.*Messages: +\tafter `, out, "it is found by a rule")
		})
	}
}

// check runs the checker with the mistake.
func (m mutant) check(t *testing.T) (out string, err error) {
	code, err := os.ReadFile(m.file)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(code), m.text), "the text stands in the file once")
	dir := t.TempDir()
	here, err := filepath.Abs(m.file)
	require.NoError(t, err)
	edited := filepath.Join(dir, m.file)
	require.NoError(t, os.WriteFile(edited, []byte(strings.Replace(string(code), m.text, m.by, 1)), 0o600))
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{here: edited}})
	require.NoError(t, err)
	file := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(file, overlay, 0o600))
	test := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-count=1", "-failfast", "-timeout=5m", "-overlay", file,
		"-run", "^TestEveryInterleavingKeepsTheRules$", ".")
	test.Env = append(os.Environ(), "TALLYGATE_HEAVY=")
	text, err := test.CombinedOutput()
	return string(text), err
}
