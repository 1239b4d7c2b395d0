package admin_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/admin"
)

// The keys and plans of an API Gateway account move over. The customers notice nothing.
func ExampleTransfer_Import() {
	keys, err := apikey.New(apikey.Config{})
	if err != nil {
		log.Fatal(err)
	}
	plans, err := usageplan.New(usageplan.Config{Client: apikey.ID, API: "airline-loyalty", Stage: "Prod"})
	if err != nil {
		log.Fatal(err)
	}

	// aws apigateway get-api-keys --include-values, and so on.
	const keysJSON = `{"items": [{"id": "fr92a5qpbj", "name": "julianwood", "enabled": true,
		"value": "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT", "createdDate": "2021-03-04T10:20:30+00:00", "stageKeys": []}]}`
	const plansJSON = `{"items": [{"id": "jcfq33", "name": "RestrictUsage", "apiStages": [{"apiId": "airline-loyalty", "stage": "Prod"}]}]}`
	const membersJSON = `{"items": [{"id": "fr92a5qpbj", "type": "API_KEY"}, {"id": "deleted001", "type": "API_KEY"}]}`

	report, err := admin.Transfer{Keys: keys, Plans: plans}.Import(context.Background(),
		admin.Source{Name: "keys.json", Format: admin.FormatKeys, Text: strings.NewReader(keysJSON)},
		admin.Source{Name: "plans.json", Format: admin.FormatPlans, Text: strings.NewReader(plansJSON)},
		admin.Source{Name: "members.json", Format: admin.FormatPlanKeys, Plan: "jcfq33", Text: strings.NewReader(membersJSON)},
	)
	for _, line := range append(report.Lines, report.Warnings...) {
		fmt.Println(line)
	}
	client, errKey := keys.VerifyKey(context.Background(), "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT")
	fmt.Println(client.ID(), err, errKey)
	// Output:
	// plans.json $.items[0]: usage plan jcfq33 "RestrictUsage" added
	// keys.json $.items[0]: key fr92a5qpbj "julianwood" added
	// members.json $.items[0]: key fr92a5qpbj is in usage plan jcfq33
	// members.json $.items[1]: left out: there is no key deleted001
	// fr92a5qpbj <nil> <nil>
}
