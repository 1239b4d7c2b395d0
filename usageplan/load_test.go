package usageplan_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

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

func TestLoadReadsAListing(t *testing.T) {
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
		require.NoError(t, usageplan.ValidatePlan(p))
	}
}

func TestLoadReadsEveryForm(t *testing.T) {
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
		{"no value", `[a]`, []string{"at offset 1", "invalid character"}},
		{"name twice", `[{"name": "a", "throttle": {"rateLimit": 1, "rateLimit": 2, "burstLimit": 1}}, {"bad": 1}]`, []string{
			"$[0].throttle.rateLimit is given twice", "$[1].bad is not a field",
		}},
		{"id twice", `[{"name": "a"}, {"name": "a"}]`, []string{`$[1] is a second plan of id "a"`}},
		{"one page of several", `{"items": [{"name": "a"}], "NextToken": "x"}`, []string{"$.NextToken says that there are more pages"}},
		{"too large", `{"name": "a", "throttle": {"rateLimit": 1, "burstLimit": 99999999999999999999}}`, []string{"$.throttle.burstLimit is out of range"}},
		{"empty method", `{"name": "a", "apiStages": [{"apiId": "x", "stage": "y", "throttle": {"": {"rateLimit": 1, "burstLimit": 1}}}]}`, []string{`$.apiStages[0].throttle[""] method`}},
		{"local time", `{"name": "a", "quotas": [{"limit": 1, "period": "DAY", "location": "Local"}]}`, []string{"not the name of a time zone"}},
		{"too deep", strings.Repeat("[", 40), []string{"nested too deeply"}},
		{"wrong types", `[{"name": 1, "throttle": [], "quota": "x", "apiStages": {}}]`, []string{
			"$[0].name is not a string", "$[0].throttle is not an object", "$[0].quota is not an object", "$[0].apiStages is not a list",
		}},
		{"unknown fields", `{"name": "a", "rate": 1, "throttle": {"rateLimit": 1, "burstLimit": 1, "burst": 2}}`, []string{
			"$.rate is not a field of API Gateway's", "$.throttle.burst is not a field of API Gateway's",
		}},
		{"ranges", `{"name": "a", "throttle": {"rateLimit": 1, "burstLimit": 1.5}, "apiStages": [{"apiId": "a", "stage": "s", "throttle": {"/a/GET": {"rateLimit": -1, "burstLimit": 1}}}], "quota": {"limit": -1, "period": "DAY", "offset": 3}}`, []string{
			"$.throttle.burstLimit is not a whole number", "$.quota invalid quota: limit -1", "$.apiStages[0].throttle[\"/a/GET\"] ratelimit: rate -1",
		}},
		{"methods", `{"name": "a", "apiStages": [{"stage": "s", "throttle": {"pets": {"rateLimit": 1, "burstLimit": 1}}}]}`, []string{
			"$.apiStages[0].apiId is required", `method "pets" is neither`,
		}},
		{"nameless", `{}`, []string{"$.name is required"}},
		{"absences", `{"quota": {"period": "DAY"}, "apiStages": [{}]}`, []string{"$.name is required", "$.quota.limit is required", "$.apiStages[0].apiId is required"}},
		{"throttle of nothing but a mistake", `{"name": "a", "throttle": {"burst": 5}}`, []string{"$.throttle.burst is not a field"}},
		{"burst below zero", `{"name": "a", "throttle": {"burstLimit": -1, "rateLimit": 5}}`, []string{"$.throttle ratelimit: burst -1 is not within"}},
		{"CloudFormation's names", `{"name": "a", "ApiStages": [], "throttle": {"RateLimit": 1}}`, []string{"$.ApiStages is not a field of API Gateway's, but apiStages is", "$.throttle.RateLimit is not a field of API Gateway's, but rateLimit is"}},
		{"Terraform's names", `{"name": "a", "api_stages": []}`, []string{"$.api_stages is not a field of API Gateway's, but apiStages is"}},
		{"metadata within a plan", `{"items": [{"name": "a", "ResponseMetadata": {}}]}`, []string{"$.items[0].ResponseMetadata is not a field"}},
		{"UTF-16 as PowerShell writes it", "\xff\xfe{\x00}\x00", []string{"the text is UTF-16, not UTF-8"}},
		{"UTF-16, big-endian", "\xfe\xff\x00{\x00}", []string{"the text is UTF-16, not UTF-8"}},
		{"half a surrogate pair", `{"items": [{"id": "\ud800"}]}`, []string{"the text is not UTF-8"}},
		{"a pair in the wrong order", `{"items": [{"id": "\ude00\ud83d"}]}`, []string{"the text is not UTF-8"}},
		{"half a pair before an escaped backslash", `{"items": [{"id": "\ud83d\\ude00"}]}`, []string{"the text is not UTF-8"}},
		{"Latin-1", "{\"items\": [{\"id\": \"\xe9\"}]}", []string{"the text is not UTF-8"}},
		{"UTF-16 without a mark", "{\x00}\x00", []string{"the text is UTF-16, not UTF-8"}},
		{"a mark and nothing", "\ufeff", []string{"unexpected EOF"}},
		{"half a number", `{"name": "a", "throttle": {"rateLimit": 1, "burstLimit": 5.5}}`, []string{"$.throttle.burstLimit is not a whole number"}},
		{"two spellings", `{"name": "a", "apiStages": [{"apiId": "x", "stage": "y", "throttle": {
			"/*/*": {"rateLimit": 1, "burstLimit": 1}, "*/*": {"rateLimit": 2, "burstLimit": 2}}}]}`, []string{`methods "*/*" and "/*/*" are the same`}},
		{"lower case", `{"name": "a", "apiStages": [{"apiId": "x", "stage": "y", "throttle": {"/a/get": {"rateLimit": 1, "burstLimit": 1}}}]}`, []string{`method "/a/get" is neither`}},
		{"stage twice", `{"name": "a", "apiStages": [{"apiId": "x", "stage": "y"}, {"apiId": "x", "stage": "y"}]}`, []string{"x:y is listed twice"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			plans, err := usageplan.Load(strings.NewReader(tt.text))
			require.ErrorIs(t, err, usageplan.ErrInvalid)
			require.Nil(t, plans)
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

// The outputs of aws-cli, of the SDKs and of scripts that use them.
func TestLoadWhatToolsPrint(t *testing.T) {
	plan := func(limit *ratelimit.Limit, methods map[string]ratelimit.Limit) []usageplan.Plan {
		return []usageplan.Plan{{ID: "jcfq33", Name: "a", Throttle: limit, Stages: []usageplan.Stage{{API: "x", Name: "y", Methods: methods}}}}
	}
	sold := plan(nil, nil)
	sold[0].ProductCode = "abc"
	const metadata = `"ResponseMetadata": {"RequestId": "c6c7", "HTTPStatusCode": 200, "HTTPHeaders": {"date": "x"}, "RetryAttempts": 0}`
	for _, tt := range []struct {
		name, text string
		want       []usageplan.Plan
	}{
		{"a byte order mark", "\ufeff" + `{"id": "jcfq33", "name": "a", "apiStages": [{"apiId": "x", "stage": "y"}]}`, plan(nil, nil)},
		{"boto3, a page", `{` + metadata + `, "items": [{"id": "jcfq33", "name": "a", "apiStages": [{"apiId": "x", "stage": "y"}]}]}`, plan(nil, nil)},
		{"boto3, one plan", `{` + metadata + `, "id": "jcfq33", "name": "a", "apiStages": [{"apiId": "x", "stage": "y"}]}`, plan(nil, nil)},
		{"boto3, plans one by one", `[{"id": "jcfq33", "name": "a", "apiStages": [{"apiId": "x", "stage": "y"}], ` + metadata + `}]`, plan(nil, nil)},
		{"JavaScript", `{"$metadata": {"httpStatusCode": 200, "attempts": 1}, "items": [{"id": "jcfq33", "name": "a", "apiStages": [{"apiId": "x", "stage": "y"}]}]}`, plan(nil, nil)},
		{"PHP", `{"items": [{"id": "jcfq33", "name": "a", "apiStages": [{"apiId": "x", "stage": "y"}]}], "@metadata": {"statusCode": 200, "effectiveUri": "u"}}`, plan(nil, nil)},
		{"a rate alone", `{"id": "jcfq33", "name": "a", "apiStages": [{"apiId": "x", "stage": "y"}], "throttle": {"rateLimit": 5.0}}`, plan(&ratelimit.Limit{Rate: 5, Burst: 5000}, nil)},
		{"a burst alone", `{"id": "jcfq33", "name": "a", "apiStages": [{"apiId": "x", "stage": "y"}], "throttle": {"burstLimit": 5}}`, plan(&ratelimit.Limit{Rate: 10000, Burst: 5}, nil)},
		{"a burst of zero, as Terraform writes it where none is given", `{"id": "jcfq33", "name": "a", "apiStages": [{"apiId": "x", "stage": "y"}], "throttle": {"burstLimit": 0, "rateLimit": 5.0}}`, plan(&ratelimit.Limit{Rate: 5}, nil)},
		{"zeros, as CDK writes them", `{"id": "jcfq33", "name": "a", "apiStages": [{"apiId": "x", "stage": "y", "throttle": {"/a/ANY": {"burstLimit": 0, "rateLimit": 0.0}}}]}`, plan(nil, map[string]ratelimit.Limit{"/a/ANY": {}})},
		{"a null", `{"id": "jcfq33", "name": "a", "apiStages": [{"apiId": "x", "stage": "y"}], "throttle": {"burstLimit": 5, "rateLimit": null}}`, plan(&ratelimit.Limit{Rate: 10000, Burst: 5}, nil)},
		{"an empty throttle", `{"id": "jcfq33", "name": "a", "apiStages": [{"apiId": "x", "stage": "y"}], "throttle": {}}`, plan(nil, nil)},
		{
			"methods of one field, and of none, as CDK writes them",
			`{"id": "jcfq33", "name": "a", "apiStages": [{"apiId": "x", "stage": "y", "throttle": {"/a/GET": {"rateLimit": 2}, "/b/ANY": {"burstLimit": 3}, "/c/ANY": {}}}]}`,
			plan(nil, map[string]ratelimit.Limit{"/a/GET": {Rate: 2, Burst: 5000}, "/b/ANY": {Rate: 10000, Burst: 3}}),
		},
		{"product", `{"id": "jcfq33", "name": "a", "apiStages": [{"apiId": "x", "stage": "y"}], "productCode": "abc"}`, sold},
		{"whole numbers with a point", `{"id": "jcfq33", "name": "a", "apiStages": [{"apiId": "x", "stage": "y"}], "throttle": {"burstLimit": 1e3, "rateLimit": 5}}`, plan(&ratelimit.Limit{Rate: 5, Burst: 1000}, nil)},
	} {
		got, err := usageplan.Load(strings.NewReader(tt.text))
		require.NoError(t, err, tt.name)
		require.Equal(t, tt.want, got, tt.name)
	}
}

// For any text, the error is short, and making it takes time that is linear in the text.
func TestLoadBoundsItsMistakes(t *testing.T) {
	long := strings.Repeat("x", 1<<16)
	for name, text := range map[string]string{
		"many mistakes": `[` + strings.Repeat(`{"a":1},`, 100_000) + `{}]`,
		"a long name":   `{"` + long + `": {"` + long + `": [` + strings.Repeat("1,", 100_000) + `1]}}`,
		"a long id":     `[{"name": "` + long + `"}, {"name": "` + long + `"}]`,
		"a long stage":  `{"name": "a", "apiStages": [{"apiId": "` + long + `", "stage": "s"}, {"apiId": "` + long + `", "stage": "s"}]}`,
		"a long method": `{"name": "a", "apiStages": [{"apiId": "a", "stage": "s", "throttle": {"` + long + `": {"rateLimit": 1}}}]}`,
	} {
		_, err := usageplan.Load(strings.NewReader(text))
		require.ErrorIs(t, err, usageplan.ErrInvalid, name)
		require.Less(t, len(err.Error()), 16<<10, name)
	}
	many := `[` + strings.Repeat(`{"a":1},`, 100_000) + `{}]`
	_, err := usageplan.Load(strings.NewReader(many))
	require.ErrorContains(t, err, "\nand more")
}

// Every plan that Load returns is valid.
func FuzzLoad(f *testing.F) {
	f.Add(listing)
	f.Add(`{"name": "a", "throttle": {"rateLimit": 1e400, "burstLimit": 1}}`)
	f.Add("\ufeff" + `{"name": "a", "throttle": {"burstLimit": 5.0}, "ResponseMetadata": {}}`)
	f.Add("{\x00}\x00")
	f.Add(`{"items": [{"name": "a", "apiStages": [{"apiId": "x", "stage": "y", "throttle": {"/*/*": {"rateLimit": 1, "burstLimit": 1}}}]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		plans, err := usageplan.Load(strings.NewReader(text))
		if err != nil {
			require.ErrorIs(t, err, usageplan.ErrInvalid)
			return
		}
		for _, p := range plans {
			require.NoError(t, usageplan.ValidatePlan(p))
			text, err := json.Marshal(p)
			require.NoError(t, err)
			var back usageplan.Plan
			require.NoError(t, json.Unmarshal(text, &back))
			again, err := json.Marshal(back)
			require.NoError(t, err)
			require.Equal(t, string(text), string(again))
		}
	})
}

func TestPlanThatCannotBeKeptIsRefused(t *testing.T) {
	for _, zone := range []*time.Location{time.FixedZone("MYZONE", 3600), time.FixedZone("", 3600), time.FixedZone("UTC", 3600), time.FixedZone("CET", 5*3600), time.Local} {
		p := usageplan.Plan{ID: "p", Name: "P", Quotas: []ledger.Quota{{Limit: 1, Period: ledger.Daily, Location: zone}}}
		require.ErrorContains(t, usageplan.ValidatePlan(p), "time zone", "%v", zone)
	}
	require.ErrorContains(t, usageplan.ValidatePlan(usageplan.Plan{ID: "p\xff", Name: "P"}), "UTF-8")
	zone, err := time.LoadLocation("America/New_York")
	require.NoError(t, err)
	for _, zone := range []*time.Location{nil, time.UTC, zone} {
		p := usageplan.Plan{ID: "p", Name: "P", Quotas: []ledger.Quota{{Limit: 1, Period: ledger.Daily, Location: zone}}}
		require.NoError(t, usageplan.ValidatePlan(p))
	}
}
