package admin_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/admin"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// orders yields the numbers below n in every order.
func orders(n int) func(yield func([]int) bool) {
	return func(yield func([]int) bool) { permute(make([]int, 0, n), n, yield) }
}

func permute(chosen []int, n int, yield func([]int) bool) bool {
	if len(chosen) == n {
		return yield(chosen)
	}
	for i := range n {
		if !slices.Contains(chosen, i) && !permute(append(chosen, i), n, yield) {
			return false
		}
	}
	return true
}

// A document is a source that can be read more than once.
type document struct {
	format     admin.Format
	name, text string
}

// inOrder returns the documents as sources in the given order.
func inOrder(documents []document, order []int) []admin.Source {
	var sources []admin.Source
	for _, i := range order {
		s := source(documents[i].format, documents[i].text)
		s.Name = documents[i].name
		sources = append(sources, s)
	}
	return sources
}

// journaled returns a plane with two plans for one stage, and a function that returns how far its journals have come.
func journaled(t *testing.T, edits ...func(*usageplan.Config)) (*plane, func() [2]uint64) {
	keys, plans := journal.Memory(0), journal.Memory(0)
	p := newPlane(t, settings{
		keys: func(c *apikey.Config) {
			sealed.keys(c)
			c.Pepper, c.Journal = "a pepper of thirty-two bytes ...", keys
		},
		plans: func(c *usageplan.Config) {
			c.Journal = plans
			for _, edit := range edits {
				edit(c)
			}
		},
	})
	p.plan("jcfq33", daily)
	p.plan("silver", daily)
	return p, func() [2]uint64 { return [2]uint64{head(t, keys), head(t, plans)} }
}

func head(t *testing.T, j journal.Journal) (last uint64) {
	for c, err := range j.Changes(t.Context(), 0) {
		require.NoError(t, err)
		last = c.Revision
	}
	return last
}

// The keys of the sources below: two of a listing, by their values, and one that only files have.
const (
	twoKeys = `[{"id": "aaaaaaaaaa", "value": "aaaaaaaaaaaaaaaaaaaa1", "name": "a"}, {"id": "bbbbbbbbbb", "value": "bbbbbbbbbbbbbbbbbbbb2", "name": "b"}]`
	rowOfA  = "Name,Key,UsagePlanIds\na,aaaaaaaaaaaaaaaaaaaa1,"
	rowOfC  = "Name,Key,UsagePlanIds\nc,cccccccccccccccccccc3,"
)

// What one source says of a new key and what another one says are checked together, before anything has changed.
func TestStrictImportOfSeveralSourcesThatDisagree(t *testing.T) {
	for _, tt := range []struct {
		name      string
		documents []document
		want      string // of the last document, or of either of two equal ones
	}{
		{"a file and a listing put a new key into two plans for a stage", []document{
			{admin.FormatKeys, "keys", twoKeys},
			{admin.FormatPlanKeys, "members", `[{"id": "aaaaaaaaaa"}]`},
			{admin.FormatCSV, "file", rowOfA + "silver\n"},
		}, `file: left out: Line 2: key aaaaaaaaaa is in usage plan jcfq33 for API stage demo:prod`},
		{"two files do, and a listing has the key", []document{
			{admin.FormatKeys, "keys", twoKeys}, {admin.FormatCSV, "file", rowOfA + "silver\n"}, {admin.FormatCSV, "file", rowOfA + "jcfq33\n"},
		}, `file: left out: Line 2: key aaaaaaaaaa is in usage plan (jcfq33|silver) for API stage demo:prod`},
		{"two files do, and only they have the key", []document{
			{admin.FormatKeys, "keys", twoKeys}, {admin.FormatCSV, "file", rowOfC + "silver\n"}, {admin.FormatCSV, "file", rowOfC + "jcfq33\n"},
		}, `file: left out: Line 2: key [a-z0-9]{10} is in usage plan (jcfq33|silver) for API stage demo:prod`},
		{"the row of a new key names a plan that there is not", []document{
			{admin.FormatKeys, "keys", twoKeys}, {admin.FormatCSV, "file", rowOfA + "none\n"},
		}, `file: left out: Line 2: there is no usage plan none`},
		{"what remained for a key that a file puts into another plan", []document{
			{admin.FormatKeys, "keys", twoKeys},
			{admin.FormatCSV, "file", rowOfA + "silver\n"},
			{admin.FormatUsage, "usage", usageOf("aaaaaaaaaa", 4)},
		}, `usage \$.items.aaaaaaaaaa: left out: key aaaaaaaaaa is not in usage plan jcfq33`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for order := range orders(len(tt.documents)) {
				p, heads := journaled(t)
				state, before := p.state(), heads()
				report, err := p.transfer(true).Import(t.Context(), inOrder(tt.documents, order)...)
				require.ErrorIs(t, err, admin.ErrInvalid)
				require.Len(t, report.Warnings, 1)
				require.Regexp(t, "^"+tt.want+"$", report.Warnings[0])
				require.Empty(t, report.Lines)
				require.Equal(t, before, heads())
				require.Equal(t, state, p.state())

				report, err = p.transfer(false).Import(t.Context(), inOrder(tt.documents, order)...)
				require.NoError(t, err)
				require.Len(t, report.Warnings, 1)
				require.Regexp(t, "^"+tt.want+"$", report.Warnings[0])
				require.Equal(t, before[0]+1, heads()[0], "the keys of all sources are one change")
			}
		})
	}
}

// A file may be the only source that says that a new key of another source is in a plan. Its usage is then known.
func TestStrictImportOfSeveralSourcesThatAgree(t *testing.T) {
	documents := []document{
		{admin.FormatKeys, "keys", twoKeys},
		{admin.FormatCSV, "file", "Name,Key,UsagePlanIds\nrow,aaaaaaaaaaaaaaaaaaaa1,jcfq33\nc,cccccccccccccccccccc3,silver\n"},
		{admin.FormatPlanKeys, "members", `[{"id": "bbbbbbbbbb"}]`},
		{admin.FormatUsage, "usage", usageOf("aaaaaaaaaa", 4)},
	}
	for order := range orders(len(documents)) {
		p, heads := journaled(t)
		before := heads()
		report, err := p.transfer(true).Import(t.Context(), inOrder(documents, order)...)
		require.NoError(t, err)
		require.Empty(t, report.Warnings)
		require.Equal(t, [2]uint64{before[0] + 1, before[1] + 1}, heads())
		c, err := p.keys.VerifyKey(t.Context(), "cccccccccccccccccccc3")
		require.NoError(t, err)
		require.ElementsMatch(t, []string{
			`file: key aaaaaaaaaa "row" added`, `keys $[1]: key bbbbbbbbbb "b" added`, `file: key ` + c.ID() + ` "c" added`,
			"file: key aaaaaaaaaa is in usage plan jcfq33", "members $[0]: key bbbbbbbbbb is in usage plan jcfq33",
			"file: key " + c.ID() + " is in usage plan silver",
			"usage $.items.aaaaaaaaaa: key aaaaaaaaaa in usage plan jcfq33: 4 units remain",
			"usage plan jcfq33: 1 keys are not listed by get-usage, and keep the quota that they have",
		}, report.Lines)
		balance, err := p.plans.Balance(t.Context(), usageplan.QuotaKey{Plan: "jcfq33", Client: "aaaaaaaaaa"})
		require.NoError(t, err)
		require.EqualValues(t, 4, balance.Remaining)
	}
}

// usageOf is what get-usage prints for the present day, if so much remains of a key's quota.
func usageOf(key string, remaining int) string {
	today := day(time.Now())
	return fmt.Sprintf(`{"usagePlanId": "jcfq33", "startDate": %q, "endDate": %q, "items": {%q: [[1, %d]]}}`,
		today, today, key, remaining)
}

// A file that cannot be read fails the import before the keys of other sources are there.
func TestImportOfAFileThatCannotBeRead(t *testing.T) {
	p, heads := journaled(t)
	before := heads()
	_, err := p.transfer(false).Import(t.Context(), source(admin.FormatKeys, twoKeys), source(admin.FormatCSV, "Name;Key\n"))
	require.ErrorIs(t, err, admin.ErrInvalid)
	require.ErrorContains(t, err, "csv: API Key file separates its columns by semicolons, not by a comma")
	require.Equal(t, before, heads())
}

// What the meter alone knows about plans is found out before the keys are there.
func TestImportOfAPlanThatTheMeterCannotHave(t *testing.T) {
	p, heads := journaled(t, func(c *usageplan.Config) { c.Routes = []string{"GET /pets"} })
	before := heads()
	for _, strict := range []bool{true, false} {
		report, err := p.transfer(strict).Import(t.Context(), source(admin.FormatKeys, twoKeys), source(admin.FormatPlans,
			`[{"id": "x", "name": "X", "apiStages": [{"apiId": "demo", "stage": "prod", "throttle": {"/cats/GET": {"rateLimit": 1}}}]}]`))
		require.ErrorIs(t, err, usageplan.ErrInvalid)
		require.ErrorContains(t, err, "fits none of Config.Routes")
		require.Empty(t, report)
		require.Equal(t, before, heads())
	}
}
