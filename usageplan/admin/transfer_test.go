package admin_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/admin"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// What aws-cli prints for a small account.
const (
	keysListing = `{"items": [
		{"id": "fr92a5qpbj", "value": "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT", "name": "julianwood", "enabled": true,
		 "createdDate": "2021-03-04T10:20:30+01:00", "lastUpdatedDate": "2021-03-04T10:20:30+01:00", "stageKeys": []},
		{"id": "58v93i1885", "value": "0123456789abcdefghij0123456789", "description": "d", "customerId": "c1", "enabled": false,
		 "createdDate": 1614853230, "stageKeys": ["a/b"]}
	]}`
	plansListing = `{"items": [
		{"id": "jcfq33", "name": "RestrictUsage", "apiStages": [{"apiId": "demo", "stage": "prod", "throttle": {"/pets/{id}/GET": {"rateLimit": 0.5, "burstLimit": 1}}}],
		 "throttle": {"burstLimit": 2, "rateLimit": 1.0}, "quota": {"limit": 10, "offset": 0, "period": "DAY"}},
		{"id": "open01", "name": "Open", "apiStages": []}
	]}`
	planKeysListing = `{"items": [{"id": "fr92a5qpbj", "type": "API_KEY", "name": "julianwood"}, {"id": "58v93i1885", "type": "API_KEY"}]}`
)

// usageListing is what get-usage prints for two days up to today.
func usageListing() string {
	now := time.Now()
	return fmt.Sprintf(`{"usagePlanId": "jcfq33", "startDate": %q, "endDate": %q, "items": {"fr92a5qpbj": [[10, 0], [6, 4]], "58v93i1885": [[0, 10], [0, 10]]}}`,
		day(now.AddDate(0, 0, -1)), day(now))
}

func source(format admin.Format, text string) admin.Source {
	return admin.Source{Name: string(format), Format: format, Text: strings.NewReader(text), Plan: "jcfq33"}
}

// account returns the sources of the small account.
func account() []admin.Source {
	return []admin.Source{
		source(admin.FormatUsage, usageListing()), source(admin.FormatPlanKeys, planKeysListing),
		source(admin.FormatPlans, plansListing), source(admin.FormatKeys, keysListing),
	}
}

// sealed makes a plane keep values.
var sealed = settings{keys: func(c *apikey.Config) {
	c.Sealer, _ = apikey.NewSealer(apikey.Secret(strings.Repeat("s", 32)))
}}

func (p *plane) transfer(strict bool) admin.Transfer {
	return admin.Transfer{Keys: p.keys, Plans: p.plans, FailOnWarnings: strict}
}

// state returns all that an import can change.
func (p *plane) state() string {
	var b strings.Builder
	for k := range p.keys.Keys() {
		k.LastUsed, k.Updated, k.Created = time.Time{}, time.Time{}, k.Created.Truncate(time.Second)
		values, err := p.keys.Reveal(p.t.Context(), k.ID)
		require.NoError(p.t, err)
		fmt.Fprintln(&b, k, string(values[k.ID])) // a Secret would print the same for every value
	}
	for plan := range p.plans.Plans() {
		text, err := json.Marshal(plan)
		require.NoError(p.t, err)
		fmt.Fprintln(&b, string(text))
		members, _ := p.plans.Members(plan.ID, 0, 1000)
		for _, m := range members {
			balance, _ := p.plans.Balance(p.t.Context(), usageplan.QuotaKey{Plan: m.Plan, Client: m.Client})
			fmt.Fprintln(&b, m, balance.Remaining)
		}
	}
	return b.String()
}

func TestImportMovesAnAccount(t *testing.T) {
	p := newPlane(t, sealed)
	report, err := p.transfer(true).Import(t.Context(), account()...)
	require.NoError(t, err)
	require.Empty(t, report.Warnings)
	require.Equal(t, []string{
		`get-usage-plans $.items[1]: usage plan open01 "Open" added`,
		`get-usage-plans $.items[0]: usage plan jcfq33 "RestrictUsage" added`,
		`get-api-keys $.items[1]: key 58v93i1885 "" added`,
		`get-api-keys $.items[0]: key fr92a5qpbj "julianwood" added`,
		`get-usage-plan-keys $.items[1]: key 58v93i1885 is in usage plan jcfq33`,
		`get-usage-plan-keys $.items[0]: key fr92a5qpbj is in usage plan jcfq33`,
		`get-usage $.items.58v93i1885: key 58v93i1885 in usage plan jcfq33: 10 units remain`,
		`get-usage $.items.fr92a5qpbj: key fr92a5qpbj in usage plan jcfq33: 4 units remain`,
	}, report.Lines)

	c, err := p.keys.VerifyKey(t.Context(), "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT")
	require.NoError(t, err)
	require.Equal(t, "fr92a5qpbj", c.ID())
	k, found := p.keys.Key("58v93i1885")
	require.True(t, found)
	require.Equal(t, "c1", k.CustomerID)
	require.Equal(t, time.Date(2021, 3, 4, 10, 20, 30, 0, time.UTC), k.Created)
	plan, found := p.plans.Plan("jcfq33")
	require.True(t, found)
	require.Equal(t, &ratelimit.Limit{Rate: 1, Burst: 2}, plan.Throttle)
	require.Equal(t, map[string]ratelimit.Limit{"/pets/{id}/GET": {Rate: 0.5, Burst: 1}}, plan.Stages[0].Methods)

	// What is used afterwards counts, and to repeat the import does not give it back.
	p.take("fr92a5qpbj", 1)
	before := p.state()
	report, err = p.transfer(true).Import(t.Context(), account()...)
	require.NoError(t, err)
	require.Equal(t, `get-usage-plans $.items[1]: usage plan open01 "Open" replaced`, report.Lines[0])
	require.Equal(t, `get-api-keys $.items[1]: key 58v93i1885 "" replaced`, report.Lines[2])
	require.Equal(t, before, p.state())
	balance, err := p.plans.Balance(t.Context(), usageplan.QuotaKey{Plan: "jcfq33", Client: "fr92a5qpbj"})
	require.NoError(t, err)
	require.EqualValues(t, 3, balance.Remaining)
}

// The ledger and the journals name the actor of the context.
func TestImportIsMadeByTheActorOfTheContext(t *testing.T) {
	p := newPlane(t, settings{keys: sealed.keys, plans: func(c *usageplan.Config) { c.Journal = journal.Memory(0) }})
	ctx, begin := journal.NewContext(t.Context(), journal.Origin{Actor: "operator"}), time.Now()
	_, err := p.transfer(true).Import(ctx, account()...)
	require.NoError(t, err)
	var actors []string
	for c, err := range p.plans.History(ctx, "jcfq33", "fr92a5qpbj") {
		require.NoError(t, err)
		actors = append(actors, c.Actor)
	}
	for c, err := range p.plans.Adjustments(ctx, usageplan.QuotaKey{Plan: "jcfq33", Client: "fr92a5qpbj"}, begin, time.Now()) {
		require.NoError(t, err)
		actors = append(actors, c.Actor)
	}
	require.Equal(t, []string{"operator", "operator"}, actors, "a membership and an adjustment")
}

// Resources of a CloudFormation stack have tags that only AWS may set. They go, and their keys and plans come.
func TestImportDropsTagsOfAWSsOwn(t *testing.T) {
	const tags = `"tags": {"aws:cloudformation:stack-name": "s", "a": "b"}`
	p := newPlane(t, sealed)
	report, err := p.transfer(true).Import(t.Context(),
		source(admin.FormatKeys, `[{"id": "aaaaaaaaaa", "value": "aaaaaaaaaaaaaaaaaaaa1", `+tags+`}]`),
		source(admin.FormatPlans, `[{"id": "gold", "name": "P", `+tags+`}]`))
	require.NoError(t, err)
	require.Contains(t, report.Lines, "get-api-keys $[0]: 1 tags of AWS's own not taken over")
	for _, resource := range []string{"usageplans%2Fgold", "apikeys%2Faaaaaaaaaa"} {
		p.want("PUT", "/tags/"+arn(region, resource), `{"tags":{"c":"d"}}`, 204, "")
		p.want("GET", "/tags/"+arn(region, resource), "", 200, `{"tags":{"a":"b","c":"d"}}`)
	}
}

// Every mistake is told, leaves out what it is in and nothing else, and with FailOnWarnings nothing changes.
func TestImportTellsWhatItLeavesOut(t *testing.T) {
	today := day(time.Now())
	usage := func(plan, items string) string {
		return fmt.Sprintf(`{"usagePlanId": %q, "startDate": %q, "endDate": %q, "items": %s}`, plan, today, today, items)
	}
	for _, tt := range []struct {
		name   string
		source admin.Source
		want   string
	}{
		{"a key without its value", source(admin.FormatKeys, `[{"id": "aaaaaaaaaa", "enabled": true}]`), "get-api-keys $[0]: left out: key aaaaaaaaaa without its value; list keys with --include-values"},
		{"a key without an id", source(admin.FormatKeys, `{"value": "v"}`), "get-api-keys $: left out: a key without an id"},
		{"an unknown field", source(admin.FormatKeys, `[{"id": "aaaaaaaaaa", "Enabled": true}]`), "get-api-keys $[0]: left out: $[0].Enabled is not a known field"},
		{"a wrong type", source(admin.FormatKeys, `[{"id": "aaaaaaaaaa", "enabled": "true"}]`), "get-api-keys $[0]: left out: $[0].enabled is not true or false"},
		{"a wrong date", source(admin.FormatKeys, `[{"id": "aaaaaaaaaa", "createdDate": "today"}]`), "get-api-keys $[0]: left out: $[0].createdDate is no time"},
		{"no object", source(admin.FormatKeys, `["aaaaaaaaaa"]`), "get-api-keys $[0]: left out: $[0] is not an object"},
		{"a key twice", source(admin.FormatKeys, `[{"id": "aaaaaaaaaa", "value": "aaaaaaaaaaaaaaaaaaaa1"}, {"id": "aaaaaaaaaa", "value": "aaaaaaaaaaaaaaaaaaaa2"}]`), "get-api-keys $[0]: left out: a second key aaaaaaaaaa"},
		{"a value that another key has", source(admin.FormatKeys, `[{"id": "aaaaaaaaaa", "value": "value-of-the-old-key-00"}]`), "get-api-keys $[0]: left out: Key aaaaaaaaaa: API Key already exists"},
		{"a short value", source(admin.FormatKeys, `[{"id": "aaaaaaaaaa", "value": "short"}]`), "get-api-keys $[0]: left out: Key aaaaaaaaaa: API Key value should be at least 20 characters"},
		{"a bad id", source(admin.FormatKeys, `[{"id": "A", "value": "aaaaaaaaaaaaaaaaaaaa1"}]`), "get-api-keys $[0]: left out: Key A: Invalid API Key identifier specified"},
		{"a row with a mistake", source(admin.FormatCSV, "Name,Key\na,short\n"), "csv: left out: Line 2: API Key value should be at least 20 characters"},
		{"a row with an unknown plan", source(admin.FormatCSV, "Name,Key,UsagePlanIds\na,aaaaaaaaaaaaaaaaaaaa1,none\n"), "csv: left out: Line 2: there is no usage plan none"},

		{"a plan with a mistake", source(admin.FormatPlans, `[{"id": "p", "name": "P", "throttle": {"rateLimit": "1"}, "x": 1}]`), "get-usage-plans $[0]: left out: usageplan: invalid: $.x is not a field of API Gateway's; $.throttle.rateLimit is not a number"},
		{"a plan twice", source(admin.FormatPlans, `[{"id": "p", "name": "P"}, {"id": "p", "name": "Q"}]`), "get-usage-plans $[0]: left out: a second plan p"},
		{"no plan", source(admin.FormatPlans, `[5]`), "get-usage-plans $[0]: left out: usageplan: invalid: $ is not an object; $.name is required"},

		{"an unknown key", source(admin.FormatPlanKeys, `[{"id": "aaaaaaaaaa", "type": "API_KEY"}]`), "get-usage-plan-keys $[0]: left out: there is no key aaaaaaaaaa"},
		{"a key of another type", source(admin.FormatPlanKeys, `[{"keyId": "aaaaaaaaaa", "keyType": "TOKEN"}]`), "get-usage-plan-keys $[0]: left out: $[0].keyType is not API_KEY"},
		{"a key of another plan", source(admin.FormatPlanKeys, `[{"keyId": "aaaaaaaaaa", "usagePlanId": "x"}]`), "get-usage-plan-keys $[0]: left out: $[0].usagePlanId is not jcfq33"},
		{"a plan key without an id", source(admin.FormatPlanKeys, `[{"type": "API_KEY"}]`), "get-usage-plan-keys $[0]: left out: a usage plan key without its ids"},
		{"a second plan for a stage", source(admin.FormatPlanKeys, `[{"id": "old0000000"}]`), "get-usage-plan-keys $[0]: left out: key old0000000 is in usage plan other for API stage demo:prod"},
		{"a plan that does not exist", admin.Source{Name: "x", Format: admin.FormatPlanKeys, Text: strings.NewReader(`[{"id": "old0000000"}]`), Plan: "none"}, "x $[0]: left out: there is no usage plan none"},

		{"usage of no plan", source(admin.FormatUsage, usage("none", `{"old0000000": [[0, 1]]}`)), "get-usage $.items.old0000000: left out: there is no usage plan none"},
		{"usage of a key that is not in the plan", source(admin.FormatUsage, usage("jcfq33", `{"old0000000": [[0, 1]]}`)), "get-usage $.items.old0000000: left out: key old0000000 is not in usage plan jcfq33"},
		{"usage of a plan without a quota", source(admin.FormatUsage, usage("other", `{"old0000000": [[0, 1]]}`)), "get-usage $.items.old0000000: left out: usage plan other has 0 quotas, not one"},
		{"too few days", source(admin.FormatUsage, usage("jcfq33", `{"in00000000": []}`)), "get-usage $.items.in00000000: left out: $.items.in00000000 has 0 days, not 1"},
		{"no pair", source(admin.FormatUsage, usage("jcfq33", `{"in00000000": [[1]]}`)), "get-usage $.items.in00000000: left out: $.items.in00000000[0] is not a pair"},
		{"no number", source(admin.FormatUsage, usage("jcfq33", `{"in00000000": [[1, "2"]]}`)), "get-usage $.items.in00000000: left out: $.items.in00000000[0][1] is not a number"},
		{"fewer than none", source(admin.FormatUsage, usage("jcfq33", `{"in00000000": [[1, -2]]}`)), "get-usage $.items.in00000000: left out: -2 units cannot remain"},
		{"the future", source(admin.FormatUsage, `{"usagePlanId": "jcfq33", "startDate": "2999-01-01", "endDate": "2999-01-01", "items": {"in00000000": [[1, 2]]}}`), "get-usage $.items.in00000000: left out: $.items.in00000000 has only days to come"},

		{"a reference", source(admin.FormatCloudFormation, `{"Resources": {"P": {"Type": "AWS::ApiGateway::UsagePlan", "Properties": {"ApiStages": [{"ApiId": {"Ref": "Api"}, "Stage": "prod"}]}}}}`), "cloudformation $.Resources.P: left out: $.Resources.P.Properties.ApiStages[0].ApiId refers to Api: Source.Refs says what it stands for"},
		{"a function", source(admin.FormatCloudFormation, `{"Resources": {"P": {"Type": "AWS::ApiGateway::UsagePlan", "Properties": {"UsagePlanName": {"Fn::Sub": "x"}}}}}`), "cloudformation $.Resources.P: left out: $.Resources.P.Properties.UsagePlanName has Fn::Sub, which is not evaluated"},
		{"an unknown property", source(admin.FormatCloudFormation, `{"Resources": {"P": {"Type": "AWS::ApiGateway::UsagePlan", "Properties": {"Name": "x"}}}}`), "cloudformation $.Resources.P: left out: usageplan: invalid: $.Name is not a field of API Gateway's, but name is"},
		{"a property twice", source(admin.FormatCloudFormation, `{"Resources": {"P": {"Type": "AWS::ApiGateway::UsagePlan", "Properties": {"UsagePlanName": "x", "name": "y"}}}}`), "cloudformation $.Resources.P: left out: $.Resources.P.Properties.name is given twice"},
		{"no properties", source(admin.FormatCloudFormation, `{"Resources": {"P": {"Type": "AWS::ApiGateway::UsagePlan"}}}`), "cloudformation $.Resources.P: left out: $.Resources.P.Properties is not an object"},
		{"a tag twice", source(admin.FormatCloudFormation, `{"Resources": {"P": {"Type": "AWS::ApiGateway::UsagePlan", "Properties": {"Tags": [{"Key": "a", "Value": "b"}, {"Key": "a", "Value": "c"}]}}}}`), "cloudformation $.Resources.P: left out: a tag is not {Key, Value}, or given twice"},

		{"two blocks", source(admin.FormatTerraform, state("aws_api_gateway_usage_plan", `{"id": "p", "name": "P", "quota_settings": [{}, {}]}`)), "terraform $.resources[0].instances[0].attributes: left out: $.resources[0].instances[0].attributes.quota_settings has 2 blocks"},
		{"a method twice", source(admin.FormatTerraform, state("aws_api_gateway_usage_plan", `{"id": "p", "name": "P", "api_stages": [{"api_id": "a", "stage": "s", "throttle": [{"path": "/a/GET"}, {"path": "/a/GET"}]}]}`)), "terraform $.resources[0].instances[0].attributes: left out: $.resources[0].instances[0].attributes.api_stages[0].throttle[1].path is given twice"},
		{"a period that there is not", source(admin.FormatTerraform, state("aws_api_gateway_usage_plan", `{"id": "p", "name": "P", "quota_settings": [{"limit": 1, "offset": 0, "period": "YEAR"}]}`)), "terraform $.resources[0].instances[0].attributes: left out: usageplan: invalid: $.quota.period is not DAY, WEEK or MONTH"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlane(t, sealed)
			p.plan("jcfq33", daily)
			p.plan("other")
			_, err := p.keys.Import(t.Context(), []apikey.Row{
				{Entry: apikey.Entry{Key: apikey.Key{ID: "old0000000"}, Value: "value-of-the-old-key-00"}},
				{Entry: apikey.Entry{Key: apikey.Key{ID: "in00000000"}, Value: "value-of-a-member-00"}},
			}, apikey.ImportOptions{FailOnWarnings: true})
			require.NoError(t, err)
			p.join("other", "old0000000")
			p.join("jcfq33", "in00000000")
			before := p.state()
			text := read(t, tt.source)
			more := source(admin.FormatKeys, `[{"id": "zzzzzzzzzz", "value": "zzzzzzzzzzzzzzzzzzzz1"}]`)
			report, err := p.transfer(true).Import(t.Context(), more, withText(tt.source, text))
			require.ErrorIs(t, err, admin.ErrInvalid)
			require.Equal(t, []string{tt.want}, report.Warnings)
			require.Empty(t, report.Lines)
			require.Equal(t, before, p.state(), "nothing has changed")

			more.Text = strings.NewReader(`[{"id": "zzzzzzzzzz", "value": "zzzzzzzzzzzzzzzzzzzz1"}]`)
			report, err = p.transfer(false).Import(t.Context(), more, withText(tt.source, text))
			require.NoError(t, err)
			require.Equal(t, []string{tt.want}, report.Warnings)
			require.Contains(t, report.Lines, `get-api-keys $[0]: key zzzzzzzzzz "" added`)
		})
	}
}

// state returns a Terraform state with one resource.
func state(kind, attributes string) string {
	return fmt.Sprintf(`{"version": 4, "resources": [{"mode": "managed", "type": %q, "instances": [{"attributes": %s}]}]}`, kind, attributes)
}

func read(t *testing.T, s admin.Source) string {
	t.Helper()
	var b bytes.Buffer
	_, err := b.ReadFrom(s.Text)
	require.NoError(t, err)
	return b.String()
}

func withText(s admin.Source, text string) admin.Source {
	s.Text = strings.NewReader(text)
	return s
}

// A source that is not what it says, or only a part of it, fails the import even without FailOnWarnings.
func TestImportRefusesSources(t *testing.T) {
	for _, tt := range []struct {
		source admin.Source
		want   string
	}{
		{source(admin.FormatKeys, `{"items": []`), "get-api-keys: at offset 12: unexpected EOF"},
		{source(admin.FormatKeys, `{"items": [], "items": []}`), `"items" is given twice`},
		{source(admin.FormatKeys, `{"items": [], "NextToken": "x"}`), "get-api-keys: $.NextToken says that there are more pages"},
		{source(admin.FormatPlans, `{"item": [], "position": "x"}`), "get-usage-plans: $.position says that there are more pages"},
		{source(admin.FormatPlans, `{"items": {}}`), "get-usage-plans: $.items is not a list"},
		{source(admin.FormatPlans, `{"items": [], "Plans": []}`), "get-usage-plans: $.Plans is not a known field"},
		{admin.Source{Name: "k", Format: admin.FormatPlanKeys, Text: strings.NewReader(`[]`)}, "k: Source.Plan is required"},
		{source(admin.FormatUsage, `{"usagePlanId": "p", "startDate": "2026-01-02", "endDate": "2026-01-01", "items": {}}`), "get-usage: $ has 0 days, not 1 to 366"},
		{source(admin.FormatUsage, `{"usagePlanId": "p", "startDate": "2026-1-2", "endDate": "2026-01-01", "items": {}}`), "get-usage: $.startDate is no date of the form YYYY-MM-DD"},
		{source(admin.FormatUsage, `{"usagePlanId": "p", "startDate": "2026-01-01", "endDate": "2026-01-01", "items": {}, "position": "x"}`), "get-usage: $.position says that there are more pages"},
		{source(admin.FormatUsage, `{"usagePlanId": "p", "startDate": "2026-01-01", "endDate": "2026-01-01", "items": []}`), "get-usage: $.items is not an object"},
		{source(admin.FormatCloudFormation, `{}`), "cloudformation: $.Resources is required"},
		{source(admin.FormatCloudFormation, `AWSTemplateFormatVersion: 2010-09-09`), "cloudformation: at offset 0: invalid character 'A'"},
		{source(admin.FormatTerraform, `{"version": 3, "modules": []}`), "terraform: $.version is not 4"},
		{source(admin.FormatTerraform, `{"values": {"root_module": {"resources": 5}}}`), "terraform: $.values.root_module.resources is not a list"},
		{admin.Source{Format: admin.FormatKeys}, "get-api-keys: Source.Text is required"},
		{source("yaml", ``), `yaml: there is no format "yaml"`},
		{admin.Source{Name: "broken", Format: admin.FormatKeys, Text: iotest.ErrReader(errors.New("no disk"))}, "broken: no disk"},
		{admin.Source{Name: "broken", Format: admin.FormatCSV, Text: iotest.ErrReader(errors.New("no disk"))}, "broken: no disk"},
	} {
		p := newPlane(t, sealed)
		report, err := p.transfer(false).Import(t.Context(), source(admin.FormatPlans, plansListing), tt.source)
		require.ErrorIs(t, err, admin.ErrInvalid, tt.want)
		require.ErrorContains(t, err, tt.want)
		require.Empty(t, report.Lines)
		require.Empty(t, p.state())
	}
	_, err := admin.Transfer{}.Import(t.Context())
	require.ErrorIs(t, err, admin.ErrNotConfigured)
	_, err = admin.Transfer{}.Export(t.Context(), new(bytes.Buffer), admin.FormatKeys, "")
	require.ErrorIs(t, err, admin.ErrNotConfigured)
}

// A plan that its members could not have does not replace the one they have.
func TestImportKeepsMembersPlans(t *testing.T) {
	p := newPlane(t, sealed)
	p.plan("jcfq33", daily)
	_, err := p.plans.CreatePlan(t.Context(), usageplan.Plan{ID: "dev", Name: "D", Stages: served[1:2]})
	require.NoError(t, err)
	id := p.key("a", "a")
	p.join("dev", id)
	require.NoError(t, p.plans.AddMembers(t.Context(), usageplan.Member{Plan: "jcfq33", Client: id, Limits: map[ledger.Period]int64{ledger.Daily: 5}}))
	before := p.state()
	for plan, want := range map[string]string{
		`{"id": "dev", "name": "D", "apiStages": [{"apiId": "demo", "stage": "prod"}]}`:                                           "key a000000000 is in usage plan jcfq33 for API stage demo:prod",
		`{"id": "jcfq33", "name": "J", "apiStages": [{"apiId": "demo", "stage": "dev"}], "quota": {"limit": 1, "period": "DAY"}}`: "key a000000000 is in usage plan dev for API stage demo:dev",
		`{"id": "jcfq33", "name": "J", "quota": {"limit": 1, "period": "WEEK"}}`:                                                  "key a000000000 has a limit of its own per DAY",
	} {
		report, err := p.transfer(false).Import(t.Context(), source(admin.FormatPlans, plan))
		require.NoError(t, err)
		require.Equal(t, []string{"get-usage-plans $: left out: " + want}, report.Warnings)
		require.Equal(t, before, p.state())
	}
	// Who joins meanwhile joins the plan as it is.
	second := p.key("b", "b")
	p.join("jcfq33", second)
	members := source(admin.FormatPlanKeys, `[{"id": "`+second+`"}]`)
	members.Plan = "dev"
	report, err := p.transfer(false).Import(t.Context(), members,
		source(admin.FormatPlans, `{"id": "dev", "name": "D", "apiStages": [{"apiId": "demo", "stage": "prod"}]}`))
	require.NoError(t, err)
	require.Equal(t, []string{"get-usage-plan-keys $[0]: key b000000000 is in usage plan dev"}, report.Lines)

	// Two plans exchange their stages.
	report, err = p.transfer(true).Import(t.Context(), source(admin.FormatPlans, `[
		{"id": "dev", "name": "D", "apiStages": [{"apiId": "demo", "stage": "prod"}]},
		{"id": "jcfq33", "name": "J", "apiStages": [{"apiId": "demo", "stage": "dev"}], "quota": {"limit": 1, "period": "DAY"}}]`))
	require.NoError(t, err)
	require.Len(t, report.Lines, 2)
}

// A key file may be the only source that says who is in a plan. The first import sets what remained, not the second.
func TestImportSetsWhatRemainedForMembersOfAKeyFile(t *testing.T) {
	p := newPlane(t, sealed)
	report, err := p.transfer(false).Import(t.Context(), source(admin.FormatUsage, usageListing()),
		source(admin.FormatPlans, plansListing), source(admin.FormatKeys, keysListing),
		source(admin.FormatCSV, "Name,Key,UsagePlanIds\nj,67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT,jcfq33\n"))
	require.NoError(t, err)
	require.Equal(t, []string{"get-usage $.items.58v93i1885: left out: key 58v93i1885 is not in usage plan jcfq33"},
		report.Warnings)
	balance, err := p.plans.Balance(t.Context(), usageplan.QuotaKey{Plan: "jcfq33", Client: "fr92a5qpbj"})
	require.NoError(t, err)
	require.EqualValues(t, 4, balance.Remaining)
}

// A key that was left out joins no plan.
func TestImportLeavesOutMembershipsOfKeysThatWereLeftOut(t *testing.T) {
	p := newPlane(t, sealed)
	p.plan("jcfq33", daily)
	report, err := p.transfer(false).Import(t.Context(), source(admin.FormatPlanKeys, `[{"id": "aaaaaaaaaa"}, {"id": "bbbbbbbbbb"}]`),
		source(admin.FormatKeys, `[{"id": "aaaaaaaaaa", "value": "short"}, {"id": "bbbbbbbbbb", "value": "bbbbbbbbbbbbbbbbbbbb1"}]`))
	require.NoError(t, err)
	require.Equal(t, []string{
		"get-api-keys $[0]: left out: Key aaaaaaaaaa: API Key value should be at least 20 characters",
		"get-usage-plan-keys $[0]: left out: there is no key aaaaaaaaaa",
	}, report.Warnings)
	members, _ := p.plans.Members("jcfq33", 0, 10)
	require.Equal(t, []usageplan.Member{{Plan: "jcfq33", Client: "bbbbbbbbbb"}}, members)
}

// In the west, the present day of UTC has not come yet.
func TestImportKnowsTheDayOfTheQuota(t *testing.T) {
	west, err := time.LoadLocation("America/Los_Angeles")
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) { // it is midnight of UTC
		p := newPlane(t, sealed)
		p.plan("jcfq33", ledger.Quota{Limit: 10, Period: ledger.Daily, Location: west})
		id := p.key("a", "a")
		p.join("jcfq33", id)
		now := time.Now().UTC()
		for date, want := range map[string]string{
			day(now):                   "2000-01-01 is not in the current period, which keeps the quota that it has",
			day(now.AddDate(0, 0, -1)): "4 units remain",
		} {
			report, err := p.transfer(true).Import(t.Context(), source(admin.FormatUsage, fmt.Sprintf(
				`{"usagePlanId": "jcfq33", "startDate": %q, "endDate": %q, "items": {%q: [[1, 4]]}}`, date, date, id)))
			require.NoError(t, err)
			require.Equal(t, []string{"get-usage $.items.a000000000: key a000000000 in usage plan jcfq33: " + want}, report.Lines)
		}
	})
}

// aws-cli may have lost pages of get-usage.
func TestImportTellsWhoseUsageIsNotListed(t *testing.T) {
	p := newPlane(t, sealed)
	_, err := p.transfer(true).Import(t.Context(), account()...)
	require.NoError(t, err)
	today := day(time.Now())
	report, err := p.transfer(true).Import(t.Context(), source(admin.FormatUsage, fmt.Sprintf(
		`{"usagePlanId": "jcfq33", "startDate": %q, "endDate": %q, "items": {"fr92a5qpbj": [[1, 2]]}}`, today, today)))
	require.NoError(t, err)
	require.Equal(t, []string{
		"get-usage $.items.fr92a5qpbj: key fr92a5qpbj in usage plan jcfq33: 2 units remain",
		"usage plan jcfq33: 1 keys are not listed by get-usage, and keep the quota that they have",
	}, report.Lines)
}

// A day that is not in the current period says nothing about it.
func TestImportSetsTheCurrentPeriodOnly(t *testing.T) {
	p := newPlane(t, sealed)
	p.plan("jcfq33", daily)
	id := p.key("a", "a")
	p.join("jcfq33", id)
	report, err := p.transfer(true).Import(t.Context(), source(admin.FormatUsage,
		`[{"usagePlanId": "jcfq33", "startDate": "2026-01-01", "endDate": "2026-01-02", "values": {}, "position": "x"},
		  {"usagePlanId": "jcfq33", "startDate": "2026-01-01", "endDate": "2026-01-02", "values": {"`+id+`": [[1, 9], [4, 5]]}}]`))
	require.NoError(t, err)
	require.Equal(t, []string{"get-usage $[1].values.a000000000: key a000000000 in usage plan jcfq33: 2026-01-02 is not in the current period, which keeps the quota that it has"}, report.Lines)
	balance, err := p.plans.Balance(t.Context(), usageplan.QuotaKey{Plan: "jcfq33", Client: id})
	require.NoError(t, err)
	require.EqualValues(t, 10, balance.Remaining)
}

const template = `{
	"Parameters": {"Stage": {"Type": "String", "Default": "prod"}, "Rate": {"Type": "Number", "Default": 2.5}},
	"Resources": {
		"Gold": {"Type": "AWS::ApiGateway::UsagePlan", "DependsOn": "x", "Properties": {
			"UsagePlanName": "gold", "Description": {"Ref": "AWS::NoValue"},
			"ApiStages": [{"ApiId": {"Ref": "Api"}, "Stage": {"Ref": "Stage"}, "Throttle": {"/pets/GET": {"RateLimit": "0.5", "BurstLimit": 3}}}],
			"Throttle": {"RateLimit": {"Ref": "Rate"}, "BurstLimit": "20"},
			"Quota": {"Limit": "1000", "Period": "MONTH", "Offset": 2},
			"Tags": [{"Key": "team", "Value": "100"}]
		}},
		"Nameless": {"Type": "AWS::ApiGateway::UsagePlan", "Properties": {}},
		"Key": {"Type": "AWS::ApiGateway::ApiKey", "Properties": {}},
		"Api": {"Type": "AWS::ApiGateway::RestApi"}
	}
}`

func TestImportReadsTemplates(t *testing.T) {
	p := newPlane(t, sealed)
	s := source(admin.FormatCloudFormation, template)
	s.Refs = map[string]string{"Api": "demo"}
	report, err := p.transfer(true).Import(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, []string{
		"cloudformation $.Resources.Key: not imported: a template has no ids and values of keys; use get-api-keys and get-usage-plan-keys",
		`cloudformation $.Resources.Gold: usage plan Gold "gold" added`,
		`cloudformation $.Resources.Nameless: usage plan Nameless "Nameless" added`,
	}, report.Lines)
	got, found := p.plans.Plan("Gold")
	require.True(t, found)
	got.Created = time.Time{}
	require.Equal(t, usageplan.Plan{
		ID: "Gold", Name: "gold", Tags: map[string]string{"team": "100"}, Throttle: &ratelimit.Limit{Rate: 2.5, Burst: 20},
		Quotas: []ledger.Quota{{Limit: 1000, Offset: 2, Period: ledger.Monthly}},
		Stages: []usageplan.Stage{{API: "demo", Name: "prod", Methods: map[string]ratelimit.Limit{"/pets/GET": {Rate: 0.5, Burst: 3}}}},
	}, got)
}

// What `terraform show -json` prints, with a module in a module.
const shown = `{"format_version": "1.0", "terraform_version": "1.11.4", "values": {"outputs": {}, "root_module": {
	"resources": [
		{"address": "aws_api_gateway_api_key.a", "mode": "managed", "type": "aws_api_gateway_api_key", "name": "a", "values": {
			"id": "fr92a5qpbj", "value": "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT", "name": "julianwood", "enabled": true, "description": "Managed by Terraform",
			"customer_id": "", "created_date": "2021-03-04T09:20:30Z", "last_updated_date": "2021-03-04T09:20:30Z", "arn": "arn", "tags": {"a": "b"}, "tags_all": {"a": "b"}}},
		{"mode": "data", "type": "aws_api_gateway_api_key", "values": {"id": "x"}}
	],
	"child_modules": [{"child_modules": [{"resources": [
		{"mode": "managed", "type": "aws_api_gateway_usage_plan", "values": {"id": "jcfq33", "name": "gold", "description": null, "product_code": null, "tags": null,
			"api_stages": [{"api_id": "demo", "stage": "prod", "throttle": [{"path": "pets/GET", "rate_limit": 0.5, "burst_limit": 3}]}],
			"throttle_settings": [{"rate_limit": 5, "burst_limit": 0}], "quota_settings": [{"limit": 20, "offset": 0, "period": "WEEK"}]}},
		{"mode": "managed", "type": "aws_api_gateway_usage_plan_key", "values": {"id": "fr92a5qpbj", "key_id": "fr92a5qpbj", "key_type": "API_KEY", "usage_plan_id": "jcfq33"}},
		{"mode": "managed", "type": "aws_lambda_function", "values": {"id": "x"}}
	]}]}]
}}}`

func TestImportReadsTerraform(t *testing.T) {
	p := newPlane(t, sealed)
	report, err := p.transfer(true).Import(t.Context(), source(admin.FormatTerraform, shown))
	require.NoError(t, err)
	require.Len(t, report.Lines, 3)
	data := strings.Replace(state("aws_api_gateway_api_key", `{"id": "x"}`), "managed", "data", 1)
	report, err = p.transfer(true).Import(t.Context(), source(admin.FormatTerraform, data))
	require.NoError(t, err)
	require.Empty(t, report.Lines)
	k, _ := p.keys.Key("fr92a5qpbj")
	require.Equal(t, "Managed by Terraform", k.Description)
	require.Equal(t, map[string]string{"a": "b"}, k.Tags)
	got, found := p.plans.Plan("jcfq33")
	require.True(t, found)
	require.Equal(t, &ratelimit.Limit{Rate: 5}, got.Throttle)
	require.Equal(t, []ledger.Quota{{Limit: 20, Period: ledger.Weekly}}, got.Quotas)
	require.Equal(t, map[string]ratelimit.Limit{"pets/GET": {Rate: 0.5, Burst: 3}}, got.Stages[0].Methods)
	require.Equal(t, []usageplan.Member{{Plan: "jcfq33", Client: "fr92a5qpbj"}}, p.plans.Memberships("fr92a5qpbj"))
}

// A listing has no tags, so those that are there stay.
func TestImportKeepsTags(t *testing.T) {
	p := newPlane(t, sealed)
	_, err := p.transfer(true).Import(t.Context(), account()...)
	require.NoError(t, err)
	tags := map[string]string{"a": "b"}
	_, err = p.plans.UpdatePlan(t.Context(), "jcfq33", func(p *usageplan.Plan) error { p.Tags = tags; return nil })
	require.NoError(t, err)
	_, err = p.keys.Update(t.Context(), "fr92a5qpbj", func(k *apikey.Key) error { k.Tags = tags; return nil })
	require.NoError(t, err)
	_, err = p.transfer(true).Import(t.Context(), account()...)
	require.NoError(t, err)
	plan, _ := p.plans.Plan("jcfq33")
	require.Equal(t, tags, plan.Tags)
	k, _ := p.keys.Key("fr92a5qpbj")
	require.Equal(t, tags, k.Tags)
}

// What is exported in all formats and imported elsewhere is the same there.
func TestExportIsReadBack(t *testing.T) {
	p := newPlane(t, sealed)
	_, err := p.transfer(true).Import(t.Context(), account()...)
	require.NoError(t, err)
	_, err = p.plans.UpdatePlan(t.Context(), "jcfq33", func(p *usageplan.Plan) error {
		p.Tags, p.Description = map[string]string{"a": "<b>"}, "d"
		return nil
	})
	require.NoError(t, err)
	p.take("fr92a5qpbj", 1)
	for _, formats := range [][]admin.Format{
		{admin.FormatKeys, admin.FormatPlans, admin.FormatPlanKeys, admin.FormatUsage},
		{admin.FormatTerraform, admin.FormatUsage},
	} {
		q := newPlane(t, sealed)
		var sources []admin.Source
		for _, f := range formats {
			sources = append(sources, source(f, p.export(f)))
		}
		_, err := q.transfer(true).Import(t.Context(), sources...)
		require.NoError(t, err)
		require.Equal(t, p.state(), q.state(), "%v: the same, in the same order", formats)
	}
	q := newPlane(t, sealed)
	_, err = q.transfer(true).Import(t.Context(), source(admin.FormatCloudFormation, p.export(admin.FormatCloudFormation)))
	require.NoError(t, err)
	for want := range p.plans.Plans() {
		got, found := q.plans.Plan(want.ID)
		require.True(t, found)
		got.Created = want.Created
		require.Equal(t, want, got)
	}
}

func (p *plane) export(format admin.Format) string {
	p.t.Helper()
	var text bytes.Buffer
	_, err := p.transfer(true).Export(p.t.Context(), &text, format, "jcfq33")
	require.NoError(p.t, err)
	return text.String()
}

// The file that FormatCSV writes is one that ImportApiKeys reads.
func TestExportedFileIsReadBack(t *testing.T) {
	p, q := newPlane(t, sealed), newPlane(t, sealed)
	_, err := p.transfer(true).Import(t.Context(), account()...)
	require.NoError(t, err)
	file := p.export(admin.FormatCSV)
	require.Equal(t, "Name,Key,Description,Enabled,UsagePlanIds\n"+
		"58v93i1885,0123456789abcdefghij0123456789,d,false,jcfq33\n"+
		"julianwood,67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT,,true,jcfq33\n", file)
	report, err := q.transfer(true).Import(t.Context(), source(admin.FormatCSV, file), source(admin.FormatPlans, p.export(admin.FormatPlans)))
	require.NoError(t, err)
	require.Len(t, report.Lines, 6)
	c, err := q.keys.VerifyKey(t.Context(), "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT")
	require.NoError(t, err)
	require.Len(t, q.plans.Memberships(c.ID()), 1)
}

// What a format has no place for is told, and with FailOnWarnings nothing is written.
func TestExportTellsWhatItLeavesOut(t *testing.T) {
	p := newPlane(t, settings{}) // no sealer
	p.key("a", "a")
	_, err := p.plans.CreatePlan(t.Context(), usageplan.Plan{ID: "p", Name: "P", ProductCode: "c", Quotas: []ledger.Quota{
		daily, {Limit: 20, Period: ledger.Weekly},
	}})
	require.NoError(t, err)
	_, err = p.plans.CreatePlan(t.Context(), usageplan.Plan{ID: "-", Name: "no letter", Quotas: []ledger.Quota{daily}})
	require.NoError(t, err)
	require.NoError(t, p.plans.AddMembers(t.Context(), usageplan.Member{Plan: "-", Client: "a000000000", Limits: map[ledger.Period]int64{ledger.Daily: 5}}))
	require.NoError(t, p.plans.AddMembers(t.Context(), usageplan.Member{Plan: "-", Client: "gone"}))
	for format, want := range map[admin.Format][]string{
		admin.FormatCSV:      {"key a000000000: left out: its value, which is not sealed"},
		admin.FormatKeys:     {"key a000000000: left out: its value, which is not sealed"},
		admin.FormatPlanKeys: {"key a000000000: left out: the limits of its own under usage plan -", "key gone: left out: it does not exist"},
		admin.FormatUsage:    {"key a000000000: left out: the limits of its own under usage plan -"},
		admin.FormatCloudFormation: {
			"usage plan -: left out: a template cannot have its id", "usage plan p: left out: quotas that API Gateway cannot have",
			"usage plan p: left out: the product code",
		},
		admin.FormatTerraform: {
			"key a000000000: left out: its value, which is not sealed", "key a000000000: left out: the limits of its own under usage plan -",
			"usage plan p: left out: quotas that API Gateway cannot have",
		},
	} {
		var text bytes.Buffer
		report, err := p.transfer(true).Export(t.Context(), &text, format, "-")
		require.ErrorIs(t, err, admin.ErrInvalid, format)
		require.ElementsMatch(t, want, report.Warnings, format)
		require.Empty(t, text.String(), format)
		report, err = p.transfer(false).Export(t.Context(), &text, format, "-")
		require.NoError(t, err, format)
		require.ElementsMatch(t, want, report.Warnings, format)
		require.NotEmpty(t, text.String(), format)
		if format == admin.FormatCSV {
			require.Equal(t, "Name,Key,Description,Enabled,UsagePlanIds\n", text.String())
		}
	}
	for plan, want := range map[string]error{"none": admin.ErrNotFound, "p": admin.ErrInvalid} {
		_, err = p.transfer(false).Export(t.Context(), new(bytes.Buffer), admin.FormatUsage, plan)
		require.ErrorIs(t, err, want)
	}
	_, err = p.transfer(false).Export(t.Context(), new(bytes.Buffer), "yaml", "")
	require.ErrorIs(t, err, admin.ErrInvalid)
}

// FuzzTransfer checks that any document is imported or refused, that a strict import does not change anything when it
// fails, and that what is imported is exported and imported again without a warning.
func FuzzTransfer(f *testing.F) {
	formats := []admin.Format{
		admin.FormatCSV, admin.FormatKeys, admin.FormatPlans, admin.FormatPlanKeys, admin.FormatUsage, admin.FormatCloudFormation, admin.FormatTerraform,
	}
	f.Add(0, "Name,Key,UsagePlanIds\na,aaaaaaaaaaaaaaaaaaaa1,open01\n")
	f.Add(0, rowOfA+"jcfq33\n")
	f.Add(0, rowOfA+"\"open01,none\"\n")
	f.Add(1, keysListing)
	f.Add(2, plansListing)
	f.Add(3, planKeysListing)
	f.Add(4, `{"usagePlanId": "jcfq33", "startDate": "2026-01-01", "endDate": "2026-01-01", "values": {"fr92a5qpbj": [[1, 2]]}}`)
	f.Add(5, template)
	f.Add(6, shown)
	f.Add(6, state("aws_api_gateway_usage_plan", `{"id": "p", "name": "P", "throttle_settings": [{"rate_limit": 1e9}]}`))
	f.Fuzz(func(t *testing.T, format int, text string) {
		if format < 0 || format >= len(formats) {
			return
		}
		p := newPlane(t, sealed)
		_, err := p.transfer(true).Import(t.Context(), account()...)
		require.NoError(t, err)
		before := p.state()
		sources := func() []admin.Source {
			return []admin.Source{source(formats[format], text), source(admin.FormatKeys, twoKeys)}
		}
		if _, err := p.transfer(true).Import(t.Context(), sources()...); err != nil {
			require.Equal(t, before, p.state())
			_, _ = p.transfer(false).Import(t.Context(), sources()...)
		}
		q := newPlane(t, sealed)
		_, err = q.transfer(true).Import(t.Context(), source(admin.FormatKeys, p.export(admin.FormatKeys)),
			source(admin.FormatPlans, p.export(admin.FormatPlans)))
		require.NoError(t, err)
	})
}
