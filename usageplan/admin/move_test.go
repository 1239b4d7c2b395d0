package admin_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/usageplan/admin"
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
