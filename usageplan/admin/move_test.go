package admin_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/admin"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/journal/journaltest"
)

// A whole account has at most 10 000 keys and 300 plans. With each key in two plans, it takes three changes.
func TestImportOfAFullAccount(t *testing.T) {
	const keys, plans = 10_000, 300
	var k, p strings.Builder
	members := make([]strings.Builder, plans)
	for i := range keys {
		fmt.Fprintf(&k, `,{"id":"%010d","value":"value-%020d","name":"client %d","enabled":true}`, i, i, i)
		for _, plan := range []int{i % plans, (i + 1) % plans} {
			fmt.Fprintf(&members[plan], `,{"id":"%010d","type":"API_KEY"}`, i)
		}
	}
	sources := []admin.Source{source(admin.FormatKeys, "["+k.String()[1:]+"]")}
	for i := range plans {
		fmt.Fprintf(&p, `,{"id":"plan%d","name":"P","apiStages":[{"apiId":"api%d","stage":"prod"}]}`, i, i)
		s := source(admin.FormatPlanKeys, "["+members[i].String()[1:]+"]")
		s.Plan = fmt.Sprintf("plan%d", i)
		sources = append(sources, s)
	}
	sources = append(sources, source(admin.FormatPlans, "["+p.String()[1:]+"]"))
	c := newPlane(t, sealed)
	report, err := c.transfer(true).Import(t.Context(), sources...)
	require.NoError(t, err)
	require.Len(t, report.Lines, keys+plans+2*keys)
	require.Len(t, c.plans.Memberships("0000000007"), 2)
}

// A listing and two files that name the same membership make it once.
func TestImportOfAMembershipThatIsListedTwice(t *testing.T) {
	const row = "Name,Key,UsagePlanIds\na,aaaaaaaaaaaaaaaaaaaa1,jcfq33\n"
	c := newPlane(t, sealed)
	_, err := c.transfer(true).Import(t.Context(),
		source(admin.FormatPlans, `[{"id": "jcfq33", "name": "P", "apiStages": [{"apiId": "demo", "stage": "prod"}]}]`),
		source(admin.FormatKeys, `[{"id": "aaaaaaaaaa", "value": "aaaaaaaaaaaaaaaaaaaa1"}]`),
		source(admin.FormatPlanKeys, `[{"id": "aaaaaaaaaa"}]`), source(admin.FormatCSV, row), source(admin.FormatCSV, row))
	require.NoError(t, err)
	require.Equal(t, []usageplan.Member{{Plan: "jcfq33", Client: "aaaaaaaaaa"}}, c.plans.Memberships("aaaaaaaaaa"))
}

// The last row for a key counts, even if the key exists, and also while a strict import looks for what it would leave out.
func TestStrictImportOfAKeyThatIsListedTwice(t *testing.T) {
	const row = "Name,Key,UsagePlanIds\na,aaaaaaaaaaaaaaaaaaaa1,jcfq33\nb,aaaaaaaaaaaaaaaaaaaa1,gold\n"
	c := newPlane(t, sealed)
	c.plan("jcfq33")
	c.plan("gold")
	_, err := c.transfer(true).Import(t.Context(), source(admin.FormatKeys, `[{"id": "aaaaaaaaaa", "value": "aaaaaaaaaaaaaaaaaaaa1"}]`))
	require.NoError(t, err)
	_, err = c.transfer(true).Import(t.Context(), source(admin.FormatCSV, row))
	require.NoError(t, err)
	require.Equal(t, []usageplan.Member{{Plan: "gold", Client: "aaaaaaaaaa"}}, c.plans.Memberships("aaaaaaaaaa"))
}

// Over journals that lose requests and answers, an import is repeated until it succeeds. Then the state is that of an
// import without losses, and memberships have never been there before their keys.
func TestImportIsCompletedByRepeatingIt(t *testing.T) {
	want := newPlane(t, sealed)
	_, err := want.transfer(true).Import(t.Context(), account()...)
	require.NoError(t, err)
	failed := 0
	for seed := range uint64(200) {
		log := journal.Memory(0)
		keys, plans := &line{log}, &line{journal.Memory(0)}
		c := newPlane(t, settings{
			keys: func(c *apikey.Config) {
				sealed.keys(c)
				c.Pepper, c.Journal = "a pepper of thirty-two bytes ...", keys
			},
			plans: func(c *usageplan.Config) { c.Journal = plans },
		})
		keys.Journal, plans.Journal = journaltest.Lossy(keys.Journal, seed), journaltest.Lossy(plans.Journal, seed+1000)
		for {
			_, err := c.transfer(true).Import(t.Context(), account()...)
			for p := range c.plans.Plans() {
				members, _ := c.plans.Members(p.ID, 0, 100)
				for _, m := range members {
					_, found := c.keys.Key(m.Client)
					require.True(t, found)
				}
			}
			if err == nil {
				break
			}
			failed++
			require.ErrorIs(t, err, journal.ErrUnavailable)
		}
		keys.Journal = log // state reveals values
		require.Equal(t, want.state(), c.state())
	}
	require.NotZero(t, failed)
}

// A line leads to a journal, and may be replaced by a worse one.
type line struct{ journal.Journal }
