package usageplan_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// listing is what `aws apigateway get-usage-plans` prints.
const listing = `{
    "items": [
        {
            "id": "jcfq33",
            "name": "RestrictUsage",
            "description": "the tutorial's",
            "apiStages": [
                {"apiId": "airline-loyalty", "stage": "Prod", "throttle": {
                    "/loyalty/{customerId}/GET": {"rateLimit": 0.5, "burstLimit": 1},
                    "//GET": {"rateLimit": 2.0, "burstLimit": 4}
                }}
            ],
            "throttle": {"burstLimit": 2, "rateLimit": 1.0},
            "quota": {"limit": 10, "offset": 0, "period": "DAY"},
            "productCode": null,
            "tags": {"team": "x"}
        },
        {"id": "open01", "name": "Open", "apiStages": []}
    ]
}`

func TestLoadListing(t *testing.T) {
	got, err := usageplan.Load(strings.NewReader(listing))
	require.NoError(t, err)
	require.Equal(t, []usageplan.Plan{
		{
			ID: "jcfq33", Name: "RestrictUsage", Description: "the tutorial's", Tags: map[string]string{"team": "x"},
			Throttle: &ratelimit.Limit{Rate: 1, Burst: 2},
			Quotas:   []ledger.Quota{{Limit: 10, Period: ledger.Daily}},
			Stages: []usageplan.Stage{{API: "airline-loyalty", Name: "Prod", Methods: map[string]ratelimit.Limit{
				"/loyalty/{customerId}/GET": {Rate: 0.5, Burst: 1},
				"//GET":                     {Rate: 2, Burst: 4},
			}}},
		},
		{ID: "open01", Name: "Open"},
	}, got)
	for _, p := range got {
		require.NoError(t, p.Validate())
	}
}

func TestLoadForms(t *testing.T) {
	body := `{"name": "a", "quota": {"limit": 5, "period": "WEEK", "offset": 1}}`
	for _, text := range []string{body, "[" + body + "]", `{"item": [` + body + `]}`, " " + body + "\n"} {
		plans, err := usageplan.Load(strings.NewReader(text))
		require.NoError(t, err, text)
		require.Equal(t, []usageplan.Plan{{ID: "a", Name: "a", Quotas: []ledger.Quota{{Limit: 5, Period: ledger.Weekly, Offset: 1}}}}, plans)
	}
}

func TestLoadReportsMistakes(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"not JSON", `{"name": `, []string{"unexpected EOF"}},
		{"trailing data", `{"name": "a"} x`, []string{"data after the value"}},
		{"two values", `{"name": "a"} {"name": "b"}`, []string{"data after the value"}},
		{"name twice", `{"name": "a", "name": "b"}`, []string{`name "name" is given twice`}},
		{"too deep", strings.Repeat("[", 40), []string{"nested too deeply"}},
		{"wrong types", `[{"name": 1, "throttle": [], "quota": "x", "apiStages": {}}]`, []string{
			"$[0].name is not a string", "$[0].throttle is not an object", "$[0].quota is not an object", "$[0].apiStages is not a list",
		}},
		{"unknown fields", `{"name": "a", "rate": 1, "throttle": {"rateLimit": 1, "burstLimit": 1, "burst": 2}}`, []string{
			"$.rate is not a field of API Gateway's", "$.throttle.burst is not a field of API Gateway's",
		}},
		{"ranges", `{"name": "a", "throttle": {"rateLimit": -1, "burstLimit": 1.5}, "quota": {"limit": -1, "period": "DAY", "offset": 3}}`, []string{
			"$.throttle.burstLimit is not a whole number", "$.throttle ratelimit:", "$.quota",
		}},
		{"methods", `{"name": "a", "apiStages": [{"stage": "s", "throttle": {"pets": {"rateLimit": 1, "burstLimit": 1}}}]}`, []string{
			"$.apiStages[0].apiId is required", `method "pets" is not of the form`,
		}},
		{"product", `{"name": "a", "productCode": "abc"}`, []string{"AWS Marketplace"}},
		{"nameless", `{}`, []string{"$.name is required"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := usageplan.Load(strings.NewReader(tt.text))
			require.ErrorIs(t, err, usageplan.ErrInvalid)
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

func TestLoadMembers(t *testing.T) {
	for _, text := range []string{
		`{"items": [{"id": "fr92a5qpbj", "type": "API_KEY", "name": "julianwood", "value": "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT"}]}`,
		`{"usagePlanId": "jcfq33", "keyId": "fr92a5qpbj", "keyType": "API_KEY"}`,
	} {
		got, err := usageplan.LoadMembers("jcfq33", strings.NewReader(text))
		require.NoError(t, err)
		require.Equal(t, []usageplan.Member{{Plan: "jcfq33", Client: "fr92a5qpbj"}}, got)
	}
	_, err := usageplan.LoadMembers("jcfq33", strings.NewReader(`[{"id": "a", "type": "JWT"}, {}]`))
	require.ErrorContains(t, err, "$[0].type is not API_KEY")
	require.ErrorContains(t, err, "$[1].id is required")
}

// Whatever Load accepts are valid plans.
func FuzzLoad(f *testing.F) {
	f.Add(listing)
	f.Add(`{"name": "a", "throttle": {"rateLimit": 1e400, "burstLimit": 1}}`)
	f.Add(`{"items": [{"name": "a", "apiStages": [{"apiId": "x", "stage": "y", "throttle": {"/*/*": {"rateLimit": 1, "burstLimit": 1}}}]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		plans, err := usageplan.Load(strings.NewReader(text))
		if err != nil {
			require.ErrorIs(t, err, usageplan.ErrInvalid)
			return
		}
		for _, p := range plans {
			require.NoError(t, p.Validate())
		}
	})
}
