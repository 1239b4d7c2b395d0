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
	check := func(_ apikey.Key, ids []string) error {
		for _, id := range ids {
			if _, found := plans.Plan(id); !found {
				return fmt.Errorf("there is no usage plan %s", id)
			}
		}
		return nil
	}
	imported, err := keys.Import(ctx, strings.NewReader(file), apikey.ImportOptions{Check: check})
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
	// 1 [Line 3: there is no usage plan gone] <nil>
	// <nil>
	// 1 member
}
