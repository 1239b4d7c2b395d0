package admin_test

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/admin"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// planID is the id of the plan in an answer.
func planID(body string) string {
	return regexp.MustCompile(`^{"id":"([a-z0-9]{6})"`).FindStringSubmatch(body)[1]
}

// The answers of API Gateway that were recorded; see control-plane.md §3.
func TestPlanAnswers(t *testing.T) {
	p := newPlane(t, settings{})
	for body, want := range map[string]string{
		`{"name":"n"}`: `"name":"n","apiStages":[]`,
		`{"name":"n","description":"d","apiStages":[{"apiId":"demo","stage":"prod"}],"throttle":{"rateLimit":1,"burstLimit":2},
			"quota":{"limit":10,"period":"DAY"},"tags":{"a":"b"}}`: `"name":"n","description":"d","apiStages":[{"apiId":"demo","stage":"prod"}],` +
			`"throttle":{"burstLimit":2,"rateLimit":1.0},"quota":{"limit":10,"offset":0,"period":"DAY"},"tags":{"a":"b"}`,
		`{"name":"n","throttle":{"rateLimit":0.1,"burstLimit":0}}`:    `"name":"n","apiStages":[],"throttle":{"burstLimit":0,"rateLimit":0.1}`,
		`{"name":"n","throttle":{"rateLimit":200}}`:                   `"name":"n","apiStages":[],"throttle":{"burstLimit":5000,"rateLimit":200.0}`,
		`{"name":"n","throttle":{"rateLimit":500,"burstLimit":1}}`:    `"name":"n","apiStages":[],"throttle":{"burstLimit":1,"rateLimit":500.0}`,
		`{"name":"n","throttle":{},"quota":null,"tags":{}}`:           `"name":"n","apiStages":[]`,
		`{"name":"n","quota":{"limit":1,"offset":6,"period":"WEEK"}}`: `"name":"n","apiStages":[],"quota":{"limit":1,"offset":6,"period":"WEEK"}`,
		`{"name":"n","apiStages":[{"apiId":"demo","stage":"dev","throttle":{"/pets/{id}/GET":{"rateLimit":2.5,"burstLimit":5},"//GET":{"rateLimit":1,"burstLimit":1}}}]}`: `"name":"n","apiStages":[{"apiId":"demo","stage":"dev","throttle":{"//GET":{"burstLimit":1,"rateLimit":1.0},"/pets/{id}/GET":{"burstLimit":5,"rateLimit":2.5}}}]`,
	} {
		w := p.send("POST", "/usageplans", body)
		require.Equal(t, 201, w.Code, "%s: %s", body, w.Body)
		id := planID(w.Body.String())
		require.Equal(t, `{"id":"`+id+`",`+want+`}`, w.Body.String())

		whole := `{"id":"` + id + `",` + want + `}`
		if !strings.Contains(want, "tags") {
			whole = strings.TrimSuffix(whole, "}") + `,"tags":{}}`
		}
		p.want("GET", "/usageplans/"+id, "", 200, whole)
		p.want("PATCH", "/usageplans/"+id, `{"patchOperations":[]}`, 200, whole)
		bare, _, _ := strings.Cut(whole, `,"tags"`)
		list := p.send("GET", "/usageplans", "")
		require.True(t, strings.HasPrefix(list.Body.String(), `{"item":[`+bare+`}`), "%s: no tags in lists, and the newest first", list.Body)
	}
}

// A plan that API Gateway does not have is shown with what is more.
func TestPlanBeyondAPIGateway(t *testing.T) {
	p := newPlane(t, settings{plans: func(c *usageplan.Config) {
		c.Plans = []usageplan.Plan{{ID: "two", Name: "n", Quotas: []ledger.Quota{daily, {Limit: 100, Period: ledger.Monthly}}}}
	}})
	p.want("GET", "/usageplans/two", "", 200,
		`{"id":"two","name":"n","apiStages":[],"quotas":[{"limit":10,"offset":0,"period":"DAY"},{"limit":100,"offset":0,"period":"MONTH"}],"tags":{}}`)
}

func TestPlanKeyAnswers(t *testing.T) {
	p := newPlane(t, settings{})
	a, b := p.key("a", "alpha"), p.key("b", "beta")
	p.plan("gold")
	entry := func(id, name string) string { return `{"id":"` + id + `","type":"API_KEY","name":"` + name + `"}` }
	p.want("POST", "/usageplans/gold/keys", `{"keyId":"`+a+`","keyType":"API_KEY"}`, 201, entry(a, "alpha"))
	p.want("POST", "/usageplans/gold/keys", `{"keyId":"`+b+`","keyType":"API_KEY"}`, 201, entry(b, "beta"))
	p.want("GET", "/usageplans/gold/keys/"+a, "", 200, entry(a, "alpha"))
	p.want("GET", "/usageplans/gold/keys", "", 200, `{"item":[`+entry(b, "beta")+`,`+entry(a, "alpha")+`]}`)
	p.want("GET", "/usageplans/gold/keys?name=al", "", 200, `{"item":[`+entry(a, "alpha")+`]}`)
	p.want("GET", "/usageplans/gold/keys?name=lpha", "", 200, `{"item":[]}`)
	p.want("GET", "/usageplans/none/keys", "", 200, `{"item":[]}`) // as API Gateway does
	p.want("DELETE", "/usageplans/gold/keys/"+b, "", 202, "")
	p.want("GET", "/usageplans/gold/keys", "", 200, `{"item":[`+entry(a, "alpha")+`]}`)
	require.NoError(t, p.keys.Delete(t.Context(), a)) // by the program: the membership is left
	p.want("GET", "/usageplans/gold/keys", "", 200, `{"item":[]}`)

	w := p.send("GET", "/usageplans?keyId="+a, "")
	require.Contains(t, w.Body.String(), `"id":"gold"`)
	p.want("GET", "/usageplans?keyId=other", "", 200, `{"item":[]}`)
}

// What Terraform does to a plan: https://github.com/hashicorp/terraform-provider-aws, resource aws_api_gateway_usage_plan.
func TestTerraformsPatch(t *testing.T) {
	p := newPlane(t, settings{})
	p.plan("gold", daily)
	p.want("PATCH", "/usageplans/gold", `{"patchOperations":[
		{"op":"remove","path":"/apiStages","value":"demo:prod"},
		{"op":"add","path":"/apiStages","value":"demo:prod"},
		{"op":"add","path":"/apiStages","value":"demo:dev"},
		{"op":"replace","path":"/apiStages/demo:dev/throttle//pets/GET/rateLimit","value":"2.5"},
		{"op":"replace","path":"/apiStages/demo:dev/throttle//pets/GET/burstLimit","value":"5"},
		{"op":"replace","path":"/throttle/rateLimit","value":"2.5"},
		{"op":"replace","path":"/throttle/burstLimit","value":"0"},
		{"op":"replace","path":"/quota/limit","value":"100"},
		{"op":"replace","path":"/quota/offset","value":"3"},
		{"op":"replace","path":"/quota/period","value":"MONTH"}]}`, 200,
		`{"id":"gold","name":"plan gold","apiStages":[{"apiId":"demo","stage":"prod"},`+
			`{"apiId":"demo","stage":"dev","throttle":{"/pets/GET":{"burstLimit":5,"rateLimit":2.5}}}],`+
			`"throttle":{"burstLimit":0,"rateLimit":2.5},"quota":{"limit":100,"offset":3,"period":"MONTH"},"tags":{}}`)
	p.want("PATCH", "/usageplans/gold", `{"patchOperations":[{"op":"remove","path":"/apiStages","value":"demo:prod"},
		{"op":"remove","path":"/apiStages","value":"demo:dev"}]}`, 200,
		`{"id":"gold","name":"plan gold","apiStages":[],"throttle":{"burstLimit":0,"rateLimit":2.5},"quota":{"limit":100,"offset":3,"period":"MONTH"},"tags":{}}`)
	p.want("DELETE", "/usageplans/gold", "", 202, "")
	p.refuse("GET", "/usageplans/gold", "", 404, "NotFoundException", "Invalid Usage Plan ID specified")
}

// If the last operation of a PATCH is wrong, the first has changed nothing.
func TestPatchIsAllOrNothing(t *testing.T) {
	p := newPlane(t, settings{})
	p.plan("gold", daily)
	before := p.send("GET", "/usageplans/gold", "").Body.String()
	for last, text := range map[string]string{
		`{"op":"replace","path":"/quota/period","value":"YEAR"}`:        "Invalid Usage Plan quota period specified. Must be one of [DAY, WEEK, MONTH]",
		`{"op":"replace","path":"/quota/offset","value":"1"}`:           "Usage Plan quota offset must be zero in the DAY period",
		`{"op":"replace","path":"/throttle/rateLimit","value":"quick"}`: "",
		`{"op":"add","path":"/apiStages","value":"demo"}`:               "Invalid API Stage specified",
	} {
		w := p.send("PATCH", "/usageplans/gold", `{"patchOperations":[{"op":"replace","path":"/name","value":"new"},
			{"op":"remove","path":"/apiStages","value":"demo:prod"},`+last+`]}`)
		require.Equal(t, 400, w.Code, last)
		require.Contains(t, w.Body.String(), text)
		require.Equal(t, before, p.send("GET", "/usageplans/gold", "").Body.String(), last)
	}
}

// Sixty-four callers replace the stage, the throttle and the tags of one plan, while requests run and the plan is read.
// Each PATCH is one step: no request finds the plan without its stage, nobody sees half a throttle, and no tag is lost.
func TestConflictingPatchesAreSteps(t *testing.T) {
	p := newPlane(t, settings{})
	p.plan("gold")
	key := p.key("a", "a")
	p.join("gold", key)
	var writers, readers sync.WaitGroup
	var done atomic.Bool
	for range 4 {
		readers.Go(func() {
			route := usageplan.Route{API: "demo", Stage: "prod", Resource: "/pets", Method: "GET"}
			for !done.Load() {
				_, err := p.plans.Take(t.Context(), usageplan.Request{Client: key, Route: route, Cost: 1})
				if err != nil && !errors.Is(err, usageplan.ErrThrottled) {
					t.Error(err)
					return
				}
				plan, _ := p.plans.Plan("gold")
				if len(plan.Stages) != 1 || plan.Throttle != nil && float64(plan.Throttle.Burst) != plan.Throttle.Rate {
					t.Errorf("half a change: %+v", plan)
					return
				}
			}
		})
	}
	const each = 3
	for i := range 64 {
		writers.Go(func() {
			for j := range each {
				n := 1 + each*i + j
				w := p.send("PATCH", "/usageplans/gold", fmt.Sprintf(`{"patchOperations":[
					{"op":"remove","path":"/apiStages","value":"demo:prod"},{"op":"replace","path":"/throttle/rateLimit","value":"%d"},
					{"op":"add","path":"/apiStages","value":"demo:prod"},{"op":"replace","path":"/throttle/burstLimit","value":"%d"}]}`, n, n))
				if w.Code != 200 {
					t.Error(w.Body)
				}
			}
			if i < 50 { // as many tags as a plan can have
				w := p.send("PUT", "/tags/"+arn(region, "usageplans%2Fgold"), fmt.Sprintf(`{"tags":{"writer%d":"x"}}`, i))
				if w.Code != 204 {
					t.Error(w.Body)
				}
			}
		})
	}
	writers.Wait()
	done.Store(true)
	readers.Wait()
	plan, _ := p.plans.Plan("gold")
	require.Len(t, plan.Tags, 50)
	require.Equal(t, []usageplan.Stage{{API: "demo", Name: "prod"}}, plan.Stages)
	_, err := p.plans.Take(t.Context(), usageplan.Request{
		Client: key, Route: usageplan.Route{API: "demo", Stage: "prod", Resource: "/pets", Method: "GET"}, Cost: 1,
	})
	if err != nil {
		require.ErrorIs(t, err, usageplan.ErrThrottled)
	}
}

func TestRestAPIs(t *testing.T) {
	p := newPlane(t, settings{})
	const demo, other = `{"id":"demo","name":"demo","apiKeySource":"HEADER"}`, `{"id":"other","name":"other","apiKeySource":"HEADER"}`
	const prod = `{"stageName":"prod","methodSettings":{}}`
	const dev = `{"stageName":"dev","methodSettings":{"~1pets~1{id}/GET":{"throttlingBurstLimit":5,"throttlingRateLimit":2.5}}}`
	p.want("GET", "/restapis", "", 200, `{"item":[`+demo+`,`+other+`]}`)
	p.want("GET", "/restapis/demo", "", 200, demo)
	p.want("GET", "/restapis/demo/stages", "", 200, `{"item":[`+prod+`,`+dev+`]}`)
	p.want("GET", "/restapis/demo/stages/dev", "", 200, dev)
	for target, text := range map[string]string{
		"/restapis/none": "Invalid API identifier specified none", "/restapis/none/stages": "Invalid API identifier specified none",
		"/restapis/none/stages/prod": "Invalid API identifier specified none", "/restapis/other/stages/dev": "Invalid stage identifier specified",
	} {
		p.refuse("GET", target, "", 404, "NotFoundException", text)
	}

	free := newPlane(t, settings{admin: func(c *admin.Config) { c.Stages = nil }}) // plans may then open every stage
	free.want("GET", "/restapis", "", 200, `{"item":[]}`)
	require.Equal(t, 201, free.send("POST", "/usageplans", `{"name":"n","apiStages":[{"apiId":"any","stage":"thing"}]}`).Code)
}

func TestAccount(t *testing.T) {
	p := newPlane(t, settings{admin: func(c *admin.Config) { c.AccountThrottle = &ratelimit.Limit{Rate: 10_000, Burst: 5_000} }})
	const account = `{"throttleSettings":{"burstLimit":5000,"rateLimit":10000.0},"features":["UsagePlans"],"apiKeyVersion":"4"}`
	p.want("GET", "/account", "", 200, account)
	p.want("PATCH", "/account", `{"patchOperations":[{"op":"add","path":"/features","value":"UsagePlans"}]}`, 200, account)
	require.Equal(t, http.StatusBadRequest, p.send("PATCH", "/account", `{"patchOperations":[{"op":"remove","path":"/features","value":"UsagePlans"}]}`).Code)
	bare := newPlane(t, settings{})
	bare.want("GET", "/account", "", 200, `{"features":["UsagePlans"],"apiKeyVersion":"4"}`)
}

func TestTags(t *testing.T) {
	p := newPlane(t, settings{})
	key := p.key("k", "k")
	p.plan("gold")
	for _, resource := range []string{"usageplans%2Fgold", "apikeys%2F" + key} {
		target := "/tags/" + arn(region, resource)
		p.want("GET", target, "", 200, `{"tags":{}}`)
		p.want("PUT", target, `{"tags":{"a":"1","b":"2"}}`, 204, "")
		p.want("PUT", target, `{"tags":{"b":"3","c":""}}`, 204, "")
		p.want("GET", target, "", 200, `{"tags":{"a":"1","b":"3","c":""}}`)
		p.want("DELETE", target+"?tagKeys=a&tagKeys=c&tagKeys=none", "", 204, "")
		p.want("GET", target, "", 200, `{"tags":{"b":"3"}}`)
		p.refuse("DELETE", target, "", 400, "BadRequestException", "Invalid request input: parameter tagKeys is required")
		p.refuse("PUT", target, `{"tags":{"":"x"}}`, 400, "BadRequestException", "Invalid tag key specified: ''")
		p.refuse("PUT", target, `{"tags":{"aws:x":"x"}}`, 400, "BadRequestException", "Invalid tag key specified: 'aws:x'")
		p.refuse("PUT", target, `{"tags":{"x":"`+strings.Repeat("é", 257)+`"}}`, 400, "BadRequestException", "Invalid value specified for tag key 'x'")
		p.refuse("PUT", target, `{}`, 400, "BadRequestException", "Invalid request input: $.tags is required")
		require.Equal(t, 400, p.send("PUT", target, `{"tags":{`+many(50)+`}}`).Code, "51 tags")
		require.Equal(t, 204, p.send("PUT", target, `{"tags":{`+many(49)+`}}`).Code, "50 tags")
	}
	w := p.serve(signed(t, request("GET", "/tags/"+arn("us-east-1", "usageplans%2Fgold"), ""), owner, "us-east-1"))
	require.Equal(t, 200, w.Code, "the region of the request")
}

func many(n int) string {
	var tags []string
	for i := range n {
		tags = append(tags, fmt.Sprintf(`"t%d":"x"`, i))
	}
	return strings.Join(tags, ",")
}
