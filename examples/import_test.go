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
	rows, err := apikey.ReadCSV(strings.NewReader(file))
	if err != nil {
		fmt.Println(err)
		return
	}
	rows, err = keys.Import(ctx, rows, apikey.ImportOptions{Check: check})
	if err != nil {
		fmt.Println(err)
		return
	}
	var members []usageplan.Member
	for _, row := range rows {
		if row.Err != nil {
			fmt.Println(row.Err)
			continue
		}
		for _, id := range row.PlanIDs {
			members = append(members, usageplan.Member{Plan: id, Client: row.Key.ID})
		}
	}
	fmt.Println(plans.Import(ctx, nil, members))
	page, _ := plans.Members("jcfq33", 0, 25)
	fmt.Println(len(page), "member")
	// Output:
	// Line 3: there is no usage plan gone
	// <nil>
	// 1 member
}
