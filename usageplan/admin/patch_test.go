package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// requireRefused requires an error with the status and exactly the text for the client.
func requireRefused(t *testing.T, err error, status int, want string) {
	t.Helper()
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, want, e.ErrorMessage())
	require.Equal(t, status, e.StatusCode())
}

func TestOperationsAreParsedStrictly(t *testing.T) {
	const invalid = "Invalid request input"
	for _, tt := range []struct{ body, want string }{
		{``, invalid},
		{`[]`, invalid},
		{`{"patchOperations": {}}`, invalid},
		{`{"patchOperations": ["replace"]}`, invalid},
		{`{"PatchOperations": []}`, invalid},
		{`{"patchOperations": [{"op": "replace", "path": "/name", "value": 5}]}`, invalid},
		{`{"patchOperations": [{"op": "replace", "path": "/enabled", "value": false}]}`, invalid},
		{`{"patchOperations": [{"op": "replace", "Path": "/name"}]}`, invalid},
		{`{"patchOperations": [{"op": "replace", "op": "add", "path": "/name"}]}`, invalid},
		{`{"patchOperations": []} {}`, invalid},
		{
			`{"patchOperations": [{"op": "move", "from": "/name", "path": "/description"}]}`,
			"Invalid patch path  '/description' specified for op 'move'. Please choose supported operations",
		},
		{`{"patchOperations": [` + strings.Repeat(`{},`, maxOperations) + `{}]}`, "Too many patch operations specified, can be at most 5000"},
	} {
		ops, err := parseOperations([]byte(tt.body))
		requireRefused(t, err, http.StatusBadRequest, tt.want)
		require.Nil(t, ops)
	}
	ops, err := parseOperations([]byte(`{"patchOperations": [{"op": "replace", "path": "/name", "value": "a", "from": ""}, {"op": "remove", "path": "/quota"}]}`))
	require.NoError(t, err)
	require.Equal(t, []operation{{"replace", "/name", "a"}, {"remove", "/quota", ""}}, ops)
	for _, body := range []string{`{}`, `{"patchOperations": null}`, `{"patchOperations": []}`} { // no change, as aws-cli sends it
		ops, err := parseOperations([]byte(body))
		require.NoError(t, err)
		require.Empty(t, ops)
	}
}

func TestPatchKey(t *testing.T) {
	for _, tt := range []struct {
		op   operation
		want apikey.Key
	}{
		{operation{"replace", "/name", "b"}, apikey.Key{Name: "b"}},
		{operation{"replace", "/name", ""}, apikey.Key{}},
		{operation{"replace", "/description", "b"}, apikey.Key{Name: "a", Description: "b"}},
		{operation{"replace", "/customerId", "b"}, apikey.Key{Name: "a", CustomerID: "b"}},
		{operation{"replace", "/enabled", "true"}, apikey.Key{Name: "a", Enabled: true}},
		{operation{"replace", "/enabled", "True"}, apikey.Key{Name: "a", Enabled: true}},
		{operation{"replace", "/enabled", "not-a-boolean"}, apikey.Key{Name: "a"}},
	} {
		k := apikey.Key{Name: "a"}
		require.NoError(t, patchKey(&k, []operation{tt.op}))
		require.Equal(t, tt.want, k)
	}
	const paths = "Must be one of: [/description, /enabled, /name, /customerId]"
	for _, tt := range []struct {
		op   operation
		want string
	}{
		{operation{"replace", "/id", "b"}, "Invalid patch path  '/id' specified for op 'replace'. " + paths},
		{operation{"replace", "/Name", "b"}, "Invalid patch path  '/Name' specified for op 'replace'. " + paths},
		{operation{"add", "/name", "b"}, "Invalid patch path  '/name' specified for op 'add'. Please choose supported operations"},
		{operation{"add", "/stages", "a/b"}, "Invalid patch path  '/stages' specified for op 'add'. Please choose supported operations"},
		{operation{"remove", "/labels", "a/b"}, "Invalid patch path  '/labels' specified for op 'remove'. Please choose supported operations"},
		{operation{"", "", ""}, "Invalid patch path  '' specified for op ''. Please choose supported operations"},
	} {
		requireRefused(t, patchKey(&apikey.Key{}, []operation{tt.op}), http.StatusBadRequest, tt.want)
	}
}

func TestPatchUsage(t *testing.T) {
	remaining, found, err := patchUsage([]operation{{"replace", "/remaining", "3"}, {"replace", "/remaining", "25"}})
	require.NoError(t, err)
	require.True(t, found)
	require.EqualValues(t, 25, remaining)
	_, found, err = patchUsage(nil)
	require.NoError(t, err)
	require.False(t, found)
	for _, tt := range []struct {
		op   operation
		want string
	}{
		{operation{"replace", "/remaining", "-1"}, "Usage remaining must be a non-negative numeric"},
		{operation{"replace", "/remaining", ""}, "Usage remaining must be a non-negative numeric"},
		{operation{"replace", "/remaining", "1e3"}, "Usage remaining must be a non-negative numeric"},
		{operation{"replace", "/remaining", "9223372036854775808"}, "Usage remaining must be a non-negative numeric"},
		{operation{"replace", "/used", "1"}, "Invalid patch path  '/used' specified for op 'replace'. Must be one of: [/remaining]"},
		{operation{"add", "/remaining", "1"}, "Invalid patch path  '/remaining' specified for op 'add'. Please choose supported operations"},
	} {
		_, found, err := patchUsage([]operation{{"replace", "/remaining", "3"}, tt.op})
		requireRefused(t, err, http.StatusBadRequest, tt.want)
		require.False(t, found)
	}
}

func TestPatchAccount(t *testing.T) {
	require.NoError(t, patchAccount([]operation{{"add", "/features", "UsagePlans"}, {"replace", "/cloudwatchRoleArn", ""}}))
	for _, tt := range []struct {
		op   operation
		want string
	}{
		{operation{"add", "/features", "Other"}, "Invalid feature 'Other' specified for op 'add'"},
		{operation{"remove", "/features", "UsagePlans"}, "Invalid feature 'UsagePlans' specified for op 'remove'"},
		{operation{"add", "/x", ""}, "Invalid patch path  '/x' specified for op 'add'. Must be one of: [/features]"},
		{operation{"replace", "/cloudwatchRoleArn", "arn"}, "CloudWatch Logs role ARN is not supported: arn"},
		{operation{"replace", "/x", ""}, "Invalid patch path  '/x' specified for op 'replace'. Must be one of: [/cloudwatchRoleArn]"},
		{operation{"copy", "/features", ""}, "Invalid patch path  '/features' specified for op 'copy'. Please choose supported operations"},
	} {
		requireRefused(t, patchAccount([]operation{tt.op}), http.StatusBadRequest, tt.want)
	}
}

// start is the plan that the tests patch.
func start() *usageplan.Plan {
	return &usageplan.Plan{
		ID: "jcfq33", Name: "Gold", Throttle: &ratelimit.Limit{Rate: 1, Burst: 2},
		Quotas: []ledger.Quota{{Limit: 10, Period: ledger.Daily}},
		Stages: []usageplan.Stage{
			{API: "pets", Name: "prod", Methods: map[string]ratelimit.Limit{"/pets/{id}/GET": {Rate: 3, Burst: 4}}},
			{API: "pets", Name: "dev"},
		},
	}
}

func exists(api, _ string) bool { return api == "pets" }

func TestPatchPlan(t *testing.T) {
	for _, tt := range []struct {
		name string
		ops  []operation
		want func(*usageplan.Plan)
	}{
		{"nothing", nil, func(*usageplan.Plan) {}},
		{"texts", []operation{{"replace", "/name", "b"}, {"replace", "/description", "c"}}, func(p *usageplan.Plan) {
			p.Name, p.Description = "b", "c"
		}},
		{"a product", []operation{{"add", "/productCode", "x"}, {"replace", "/productCode", "y"}}, func(p *usageplan.Plan) {
			p.ProductCode = "y"
		}},
		{"no product", []operation{{"add", "/productCode", "x"}, {"remove", "/productCode", ""}}, func(*usageplan.Plan) {}},
		{"no description", []operation{{"replace", "/description", "c"}, {"replace", "/description", ""}}, func(*usageplan.Plan) {}},
		{"the throttle", []operation{{"replace", "/throttle/rateLimit", "2.5"}, {"add", "/throttle/burstLimit", "5"}}, func(p *usageplan.Plan) {
			p.Throttle = &ratelimit.Limit{Rate: 2.5, Burst: 5}
		}},
		{"a burst of zero, which refuses everything", []operation{{"replace", "/throttle/burstLimit", "0"}}, func(p *usageplan.Plan) {
			p.Throttle.Burst = 0
		}},
		{"no throttle", []operation{{"remove", "/throttle", ""}}, func(p *usageplan.Plan) { p.Throttle = nil }},
		{"half a throttle after none", []operation{{"remove", "/throttle", ""}, {"add", "/throttle/rateLimit", "0.1"}}, func(p *usageplan.Plan) {
			p.Throttle = &ratelimit.Limit{Rate: 0.1, Burst: 5000}
		}},
		{"the quota, in any order", []operation{
			{"replace", "/quota/offset", "27"}, {"replace", "/quota/period", "MONTH"}, {"replace", "/quota/limit", "100"},
		}, func(p *usageplan.Plan) { p.Quotas[0] = ledger.Quota{Limit: 100, Offset: 27, Period: ledger.Monthly} }},
		{"another quota", []operation{
			{"remove", "/quota", ""}, {"add", "/quota/limit", "7"}, {"add", "/quota/period", "WEEK"}, {"add", "/quota/offset", "6"},
		}, func(p *usageplan.Plan) { p.Quotas[0] = ledger.Quota{Limit: 7, Offset: 6, Period: ledger.Weekly} }},
		{"no quota", []operation{{"remove", "/quota", ""}}, func(p *usageplan.Plan) { p.Quotas = nil }},
		{"no quota where there is none", []operation{{"remove", "/quota", ""}, {"remove", "/quota", ""}}, func(p *usageplan.Plan) { p.Quotas = nil }},
		{"a stage more", []operation{{"add", "/apiStages", "pets:test"}}, func(p *usageplan.Plan) {
			p.Stages = append(p.Stages, usageplan.Stage{API: "pets", Name: "test"})
		}},
		{"a stage less", []operation{{"remove", "/apiStages", "pets:prod"}}, func(p *usageplan.Plan) { p.Stages = p.Stages[1:] }},
		{"no stages", []operation{{"remove", "/apiStages", "pets:prod"}, {"remove", "/apiStages", "pets:dev"}}, func(p *usageplan.Plan) {
			p.Stages = []usageplan.Stage{}
		}},
		{"Terraform's update: all stages off and on again, then the throttles", []operation{
			{"remove", "/apiStages", "pets:prod"},
			{"remove", "/apiStages", "pets:dev"},
			{"add", "/apiStages", "pets:prod"},
			{"add", "/apiStages", "pets:dev"},
			{"replace", "/apiStages/pets:prod/throttle//pets/{id}/GET/rateLimit", "8"},
			{"replace", "/apiStages/pets:prod/throttle//pets/{id}/GET/burstLimit", "9"},
		}, func(p *usageplan.Plan) { p.Stages[0].Methods["/pets/{id}/GET"] = ratelimit.Limit{Rate: 8, Burst: 9} }},
		{"no method throttles", []operation{{"remove", "/apiStages/pets:prod/throttle", ""}}, func(p *usageplan.Plan) { p.Stages[0].Methods = nil }},
		{"all method throttles", []operation{{
			"replace", "/apiStages/pets:prod/throttle",
			`{"/a/GET": {"rateLimit": 1.5, "burstLimit": 2}, "//POST": {"rateLimit": 1}, "/b/ANY": {"burstLimit": 0}, "/c/GET": {}, "*/*": {"rateLimit": 9.0, "burstLimit": 9.0}}`,
		}}, func(p *usageplan.Plan) {
			p.Stages[0].Methods = map[string]ratelimit.Limit{
				"/a/GET": {Rate: 1.5, Burst: 2}, "//POST": {Rate: 1, Burst: 5000}, "/b/ANY": {Rate: 10000}, "/*/*": {Rate: 9, Burst: 9},
			}
		}},
		{"method throttles of a stage that has none", []operation{{"add", "/apiStages/pets:dev/throttle", `{}`}}, func(p *usageplan.Plan) {
			p.Stages[1].Methods = map[string]ratelimit.Limit{}
		}},
		{"a method less", []operation{{"remove", "/apiStages/pets:prod/throttle/pets/{other}/GET", ""}}, func(p *usageplan.Plan) {
			p.Stages[0].Methods = map[string]ratelimit.Limit{}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, want := start(), start()
			require.NoError(t, patchPlan(got, tt.ops, exists))
			tt.want(want)
			require.Equal(t, want, got)
		})
	}
}

// Every tool spells the path of a method in its own way.
func TestPatchMethodSpellings(t *testing.T) {
	for _, tt := range []struct{ path, want string }{
		{"/pets/GET", "/pets/GET"},
		{"//pets/GET", "/pets/GET"},
		{"/~1pets/GET", "/pets/GET"},
		{"/~1pets~1GET", "/pets/GET"},
		{"/a~01b/GET", "/a~1b/GET"},
		{"//GET", "//GET"},
		{"///GET", "//GET"},
		{"/~1/GET", "//GET"},
		{"/*/*", "/*/*"},
		{"//*/*", "/*/*"},
		{"/pets/{petId}/GET", "/pets/{id}/GET"}, // the key that the plan has
		{"/pets/{proxy+}/GET", "/pets/{proxy+}/GET"},
		{"//rateLimit/GET", "/rateLimit/GET"},
		{"/pets/ANY", "/pets/ANY"},
	} {
		p := start()
		require.NoError(t, patchPlan(p, []operation{
			{"add", "/apiStages/pets:prod/throttle" + tt.path + "/rateLimit", "0.5"},
			{"replace", "/apiStages/pets:prod/throttle" + tt.path + "/burstLimit", "7"},
		}, exists))
		require.Equal(t, ratelimit.Limit{Rate: 0.5, Burst: 7}, p.Stages[0].Methods[tt.want], tt.path)
		require.NoError(t, patchPlan(p, []operation{{"remove", "/apiStages/pets:prod/throttle" + tt.path, ""}}, exists))
		require.NotContains(t, p.Stages[0].Methods, tt.want, tt.path)
	}
}

func TestPatchPlanRefuses(t *testing.T) {
	add := strings.Join(planPaths["add"], ", ")
	replace := strings.Join(planPaths["replace"], ", ")
	const remove = "/apiStages, /quota, /throttle, /productCode, /apiStages/<apidId:stageName>/throttle/<resourcePath>/<httpMethod>, /apiStages/<apidId:stageName>/throttle"
	for _, tt := range []struct {
		op     operation
		status int
		want   string
	}{
		{operation{"remove", "/apiStages/x:dev", ""}, 400, "Invalid patch path  '/apiStages/x:dev' specified for op 'remove'. Must be one of: [" + remove + "]"},
		{operation{"remove", "/quota/limit", ""}, 400, "Invalid patch path  '/quota/limit' specified for op 'remove'. Must be one of: [" + remove + "]"},
		{operation{"remove", "/throttle/rateLimit", ""}, 400, "Invalid patch path  '/throttle/rateLimit' specified for op 'remove'. Must be one of: [" + remove + "]"},
		{operation{"remove", "/name", ""}, 400, "Invalid patch path  '/name' specified for op 'remove'. Must be one of: [" + remove + "]"},
		{operation{"add", "/name", "a"}, 400, "Invalid patch path  '/name' specified for op 'add'. Must be one of: [" + add + "]"},
		{operation{"add", "/quota", "{}"}, 400, "Invalid patch path  '/quota' specified for op 'add'. Must be one of: [" + add + "]"},
		{operation{"replace", "/id", "a"}, 400, "Invalid patch path  '/id' specified for op 'replace'. Must be one of: [" + replace + "]"},
		{operation{"replace", "/apiStages", "pets:prod"}, 400, "Invalid patch path  '/apiStages' specified for op 'replace'. Must be one of: [" + replace + "]"},
		{operation{"replace", "/quota/x", "1"}, 400, "Invalid patch path  '/quota/x' specified for op 'replace'. Must be one of: [" + replace + "]"},
		{operation{"replace", "/throttle/x", "1"}, 400, "Invalid patch path  '/throttle/x' specified for op 'replace'. Must be one of: [" + replace + "]"},
		{operation{"replace", "/apiStages/pets:prod/throttle/pets/GET", "1"}, 400, "Invalid patch path  '/apiStages/pets:prod/throttle/pets/GET' specified for op 'replace'. Must be one of: [" + replace + "]"},
		{operation{"replace", "/apiStages/pets:prod/throttlex", "1"}, 400, "Invalid patch path  '/apiStages/pets:prod/throttlex' specified for op 'replace'. Must be one of: [" + replace + "]"},
		{operation{"copy", "/name", "a"}, 400, "Invalid patch path  '/name' specified for op 'copy'. Please choose supported operations"},
		{operation{"test", "/apiStages/pets:prod/throttle", "{}"}, 400, "Invalid patch path  '/apiStages/pets:prod/throttle' specified for op 'test'. Please choose supported operations"},
		{operation{"replace", "/name", ""}, 400, "Invalid Usage Plan name specified."},

		{operation{"remove", "/apiStages", ""}, 400, "Invalid API Stage specified"},
		{operation{"remove", "/apiStages", "pets"}, 400, "Invalid API Stage specified"},
		{operation{"add", "/apiStages", "pets:"}, 400, "Invalid API Stage specified"},
		{operation{"remove", "/apiStages", "pets:none"}, 404, "Invalid API Stage {api: pets, stage: none} specified for usageplan jcfq33"},
		{operation{"remove", "/apiStages", "none:prod"}, 404, "Invalid API Stage {api: none, stage: prod} specified for usageplan jcfq33"},
		{operation{"add", "/apiStages", "none:prod"}, 404, "API Stage not found: none:prod"},
		{operation{"add", "/apiStages", "pets:prod"}, 409, "API Stage pets:prod is already associated with usage plan jcfq33"},
		{operation{"remove", "/apiStages/pets:none/throttle", ""}, 404, "Invalid API Stage {api: pets, stage: none} specified for usageplan jcfq33"},
		{operation{"remove", "/apiStages/pets/throttle", ""}, 400, "Invalid API Stage specified"},

		{operation{"replace", "/quota/limit", "0"}, 400, "Usage Plan quota limit must be a non-negative numeric"},
		{operation{"replace", "/quota/limit", "-5"}, 400, "Usage Plan quota limit must be a non-negative numeric"},
		{operation{"replace", "/quota/limit", "ten"}, 400, "Usage Plan quota limit must be a non-negative numeric"},
		{operation{"replace", "/quota/limit", "9223372036854775807"}, 400, "Usage Plan quota limit can be at most 9007199254740992"},
		{operation{"replace", "/quota/period", "YEAR"}, 400, "Invalid Usage Plan quota period specified. Must be one of [DAY, WEEK, MONTH]"},
		{operation{"replace", "/quota/offset", "1"}, 400, "Usage Plan quota offset must be zero in the DAY period"},
		{operation{"replace", "/quota/offset", "x"}, 400, "Usage Plan quota offset must be a non-negative numeric"},
		{operation{"replace", "/quota/offset", "4294967296"}, 400, "Usage Plan quota offset must be zero in the DAY period"},

		{operation{"replace", "/throttle/rateLimit", "-1"}, 400, "Usage Plan throttle rate limit must be a non-negative numeric"},
		{operation{"replace", "/throttle/rateLimit", "NaN"}, 400, "Usage Plan throttle rate limit must be a non-negative numeric"},
		{operation{"replace", "/throttle/rateLimit", "Inf"}, 400, "Usage Plan throttle rate limit must be a non-negative numeric"},
		{operation{"replace", "/throttle/rateLimit", "0x10"}, 400, "Usage Plan throttle rate limit must be a non-negative numeric"},
		{operation{"replace", "/throttle/rateLimit", "1e999"}, 400, "Usage Plan throttle rate limit must be a non-negative numeric"},
		{operation{"replace", "/throttle/burstLimit", "1.5"}, 400, "Usage Plan throttle burst limit must be a non-negative numeric"},

		{operation{"remove", "/apiStages/pets:prod/throttle/cats/GET", ""}, 404, "Invalid method {resourcePath: /cats,method: GET} specified"},
		{operation{"remove", "/apiStages/pets:prod/throttle/GET", ""}, 400, "Invalid method {resourcePath: /,method: GET} specified"},
		{operation{"remove", "/apiStages/pets:prod/throttle/", ""}, 400, "Invalid method {resourcePath: /,method: } specified"},
		{operation{"replace", "/apiStages/pets:prod/throttle/pets/get/rateLimit", "1"}, 400, "Invalid method {resourcePath: /pets,method: get} specified"},
		{operation{"replace", "/apiStages/pets:prod/throttle/pets/*/rateLimit", "1"}, 400, "Invalid method {resourcePath: /pets,method: *} specified"},
		{operation{"replace", "/apiStages/pets:prod/throttle/rateLimit", "1"}, 400, "Invalid method {resourcePath: /,method: } specified"},
		{operation{"replace", "/apiStages/pets:prod/throttle/pets/GET/rateLimit", "x"}, 400, "Usage Plan throttle rate limit must be a non-negative numeric"},
		{operation{"add", "/apiStages/pets:prod/throttle", ""}, 400, "Invalid patch value specified for path '/apiStages/pets:prod/throttle'. Must be a JSON object"},
		{operation{"add", "/apiStages/pets:prod/throttle", "[" + strings.Repeat("[],", 300_000) + "[]]"}, 400, "Invalid patch value specified for path '/apiStages/pets:prod/throttle'. Must be a JSON object"},
		{operation{"add", "/apiStages/pets:prod/throttle", "null"}, 400, "Invalid patch value specified for path '/apiStages/pets:prod/throttle'. Must be a JSON object"},
		{operation{"add", "/apiStages/pets:prod/throttle", "[]"}, 400, "Invalid patch value specified for path '/apiStages/pets:prod/throttle': $ is not an object"},
		{operation{"add", "/apiStages/pets:prod/throttle", `{"/a/GET": {"RateLimit": 1}}`}, 400, "Invalid patch value specified for path '/apiStages/pets:prod/throttle': $./a/GET.RateLimit is not a known field"},
		{operation{"add", "/apiStages/pets:prod/throttle", `{"/a/GET": {"rateLimit": -1}}`}, 400, "Usage Plan throttle rate limit must be a non-negative numeric"},
		{operation{"add", "/apiStages/pets:prod/throttle", `{"/a/GET": {"burstLimit": -1}}`}, 400, "Usage Plan throttle burst limit must be a non-negative numeric"},
		{operation{"add", "/apiStages/pets:prod/throttle", `{"/a": {"burstLimit": 1}}`}, 400, "Invalid method {resourcePath: /,method: a} specified"},
		{operation{"add", "/apiStages/pets:prod/throttle", `{"/{a}/GET": {"burstLimit": 1}, "/{b}/GET": {"burstLimit": 1}}`}, 400, "Invalid method {resourcePath: /{b},method: GET} specified"},
		{operation{"add", "/apiStages/pets:prod/throttle", manyMethods()}, 400, "Too many methods specified, can be at most 500"},
	} {
		requireRefused(t, patchPlan(start(), []operation{{"replace", "/description", "d"}, tt.op}, exists), tt.status, tt.want)
	}
	for _, offset := range []struct{ period, offset, want string }{
		{"WEEK", "7", "Usage Plan quota offset must be between 0 and 6 inclusive in the WEEK period"},
		{"MONTH", "28", "Usage Plan quota offset must be between 0 and 27 inclusive in the MONTH period"},
	} {
		err := patchPlan(start(), []operation{{"replace", "/quota/offset", offset.offset}, {"replace", "/quota/period", offset.period}}, exists)
		requireRefused(t, err, http.StatusBadRequest, offset.want)
	}
}

func manyMethods() string {
	methods := make(map[string]any)
	for i := range maxMethods + 1 {
		methods["/"+strings.Repeat("a", i+1)+"/GET"] = map[string]int{"burstLimit": 1}
	}
	text, _ := json.Marshal(methods)
	return string(text)
}

func TestPatchPlanBoundsMethods(t *testing.T) {
	var ops []operation
	for i := range maxMethods + 1 {
		ops = append(ops, operation{"add", fmt.Sprintf("/apiStages/pets:dev/throttle/p%d/GET/rateLimit", i), "1"})
	}
	p := start()
	require.NoError(t, patchPlan(p, ops[:maxMethods], nil))
	require.Len(t, p.Stages[1].Methods, maxMethods)
	requireRefused(t, patchPlan(start(), ops, nil), http.StatusBadRequest, "Too many methods specified, can be at most 500")
}

// A quota must be given as a whole, but not in one operation.
func TestPatchQuotaIsCheckedAtTheEnd(t *testing.T) {
	p := start()
	requireRefused(t, patchPlan(p, []operation{{"remove", "/quota", ""}, {"add", "/quota/period", "DAY"}}, nil),
		http.StatusBadRequest, "Usage Plan quota limit must be a non-negative numeric")
	p = start()
	requireRefused(t, patchPlan(p, []operation{{"remove", "/quota", ""}, {"add", "/quota/limit", "5"}}, nil),
		http.StatusBadRequest, "Invalid Usage Plan quota period specified. Must be one of [DAY, WEEK, MONTH]")
	p = start()
	p.Quotas[0].Limit = 0 // declared in Go; another operation does not touch it
	require.NoError(t, patchPlan(p, []operation{{"replace", "/name", "b"}}, nil))
	p.Quotas = append(p.Quotas, ledger.Quota{Limit: 5, Period: ledger.Weekly})
	for _, op := range []operation{{"replace", "/quota/limit", "5"}, {"remove", "/quota", ""}} {
		requireRefused(t, patchPlan(p, []operation{op}, nil),
			http.StatusBadRequest, "Usage Plan jcfq33 has 2 quotas, which patch operations cannot tell apart")
	}
}

// FuzzPatchPlan checks that any body is applied or refused with an Error, within the bounds of a plan.
func FuzzPatchPlan(f *testing.F) {
	for _, body := range []string{
		`{"patchOperations": [{"op": "replace", "path": "/throttle/rateLimit", "value": "2.5"}, {"op": "remove", "path": "/quota"}]}`,
		`{"patchOperations": [{"op": "remove", "path": "/apiStages", "value": "pets:prod"}, {"op": "add", "path": "/apiStages", "value": "pets:prod"}]}`,
		`{"patchOperations": [{"op": "add", "path": "/apiStages/pets:prod/throttle//a/{b}/GET/rateLimit", "value": "1"}]}`,
		`{"patchOperations": [{"op": "add", "path": "/apiStages/pets:prod/throttle/~1a~1GET/burstLimit", "value": "1"}]}`,
		`{"patchOperations": [{"op": "add", "path": "/apiStages/pets:dev/throttle", "value": "{\"/{x\/GET\": {\"rateLimit\": 1e9}}"}]}`,
		`{"patchOperations": [{"op": "replace", "path": "/quota/offset", "value": "99999999999"}, {"op": "replace", "path": "/quota/period", "value": "WEEK"}]}`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		ops, err := parseOperations([]byte(body))
		p := start()
		if err == nil {
			err = patchPlan(p, ops, exists)
		}
		if err != nil {
			var e *Error
			require.ErrorAs(t, err, &e)
			require.NotEqual(t, http.StatusInternalServerError, e.StatusCode())
			return
		}
		require.NotEmpty(t, p.Name)
		for _, q := range p.Quotas {
			require.NoError(t, q.Validate())
		}
		for _, s := range p.Stages {
			require.LessOrEqual(t, len(s.Methods), maxMethods)
			for key, limit := range s.Methods {
				require.False(t, limit.Rate < 0 || limit.Burst < 0)
				again, err := parseMethodKey(key[1:])
				require.NoError(t, err)
				spelling, found := findMethod(s.Methods, again)
				require.True(t, found)
				require.Equal(t, key, spelling)
			}
		}
	})
}
