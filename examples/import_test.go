package examples_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
)

// API Gateway's key file names the usage plans of each key. Import adds the keys, and the caller adds the memberships.
// Both are control changes: with a Journal in each package, they are stored.
func Example_import() {
	ctx := context.Background()
	keys, err := apikey.New(apikey.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	plans, err := usageplan.New(usageplan.Config{
		Client: apikey.ID, API: "airline-loyalty", Stage: "Prod",
		Plans: []usageplan.Plan{{ID: "jcfq33", Name: "partners", Stages: []usageplan.Stage{{API: "airline-loyalty", Name: "Prod"}}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	file := `Name,Key,UsagePlanIds
hotel,hotel-67sfLSq19U1GuGk1RB5DwaS7EIYs,jcfq33
ferry,ferry-67sfLSq19U1GuGk1RB5DwaS7EIYs,gone
`
	known := func(id string) bool { _, found := plans.Plan(id); return found }
	imported, err := keys.Import(ctx, strings.NewReader(file), apikey.ImportOptions{KnownPlan: known})
	fmt.Println(len(imported.Keys), imported.Warnings, err)
	var members []usageplan.Member
	for key, ids := range imported.PlanIDs {
		for _, id := range ids {
			members = append(members, usageplan.Member{Plan: id, Client: key})
		}
	}
	fmt.Println(plans.Import(ctx, nil, members))
	page, _ := plans.Members("jcfq33", 0, 25)
	fmt.Println(len(page), "member")
	// Output:
	// 1 [Line 3: Invalid Usage Plan ID specified] <nil>
	// <nil>
	// 1 member
}
