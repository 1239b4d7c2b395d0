package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/admin"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// The error catalogue of control-plane.md §5, in API Gateway's words.
func TestErrorCatalogue(t *testing.T) {
	p := newPlane(t, settings{})
	in, out := p.key("in", "in"), p.key("out", "out")
	p.plan("gold", daily)
	p.plan("second", daily)
	p.join("gold", in)
	const (
		value                  = "0123456789abcdefghij0123456789"
		noPlan, noKey          = "Invalid Usage Plan ID specified", "Invalid API Key identifier specified"
		bad, missing, conflict = "BadRequestException", "NotFoundException", "ConflictException"
	)
	require.Equal(t, 201, p.send("POST", "/apikeys", `{"value":"`+value+`"}`).Code)
	operation := func(op, path, value string) string {
		return `{"patchOperations":[{"op":"` + op + `","path":"` + path + `","value":"` + value + `"}]}`
	}
	plan := func(fields string) string { return `{"name":"n",` + fields + `}` }
	for _, row := range []struct {
		method, target, body string
		status               int
		code, text           string
	}{
		{"GET", "/usageplans/none", "", 404, missing, noPlan},
		{"PATCH", "/usageplans/none", operation("replace", "/name", "x"), 404, missing, noPlan},
		{"DELETE", "/usageplans/none", "", 404, missing, noPlan},
		{"GET", "/usageplans/none/usage?startDate=2026-01-01&endDate=2026-01-01", "", 404, missing, noPlan},
		{"GET", "/usageplans/none/keys/" + in, "", 404, missing, noPlan},
		{"GET", "/usageplans/gold/keys/" + out, "", 404, missing, noPlan},
		{"GET", "/usageplans/gold/keys/none", "", 404, missing, noKey},
		{"DELETE", "/usageplans/gold/keys/" + out, "", 404, missing, noPlan},
		{"DELETE", "/usageplans/none/keys/" + in, "", 404, missing, noPlan},
		{"DELETE", "/usageplans/gold/keys/none", "", 404, missing, noKey},
		{"POST", "/usageplans/none/keys", `{"keyId":"` + out + `","keyType":"API_KEY"}`, 404, missing, noPlan},
		{"POST", "/usageplans/none/keys", `{"keyId":"none","keyType":"API_KEY"}`, 404, missing, noKey}, // the key is looked up first
		{"POST", "/usageplans/gold/keys", `{"keyId":"` + out + `"}`, 400, bad, "Invalid key type specified. Must be one of [API_KEY]"},
		{
			"POST", "/usageplans/gold/keys", `{"keyId":"` + in + `","keyType":"API_KEY"}`, 409, conflict,
			"API Key " + in + " is already associated with usage plan gold for API stage demo:prod",
		},
		{
			"POST", "/usageplans/second/keys", `{"keyId":"` + in + `","keyType":"API_KEY"}`, 409, conflict,
			"API Key " + in + " is already associated with usage plan gold for API stage demo:prod",
		},
		{"PATCH", "/usageplans/none/keys/" + in + "/usage", operation("replace", "/remaining", "5"), 404, missing, noPlan},
		{"PATCH", "/usageplans/gold/keys/" + out + "/usage", operation("replace", "/remaining", "5"), 404, missing, noPlan},
		{"PATCH", "/usageplans/gold/keys/" + out + "/usage", `{"patchOperations":[]}`, 404, missing, noPlan},
		{"PATCH", "/usageplans/gold/keys/none/usage", operation("replace", "/remaining", "5"), 404, missing, noKey},

		{"GET", "/apikeys/none", "", 404, missing, noKey},
		{"PATCH", "/apikeys/none", operation("replace", "/name", "x"), 404, missing, noKey},
		{"DELETE", "/apikeys/none", "", 404, missing, noKey},
		{"POST", "/apikeys", `{"value":"` + value[:19] + `"}`, 400, bad, "API Key value should be at least 20 characters"},
		{"POST", "/apikeys", `{"value":"` + strings.Repeat("x", 129) + `"}`, 400, bad, "API Key value exceeds maximum size of 128 characters"},
		{"POST", "/apikeys", `{"name":"` + strings.Repeat("x", 1025) + `"}`, 400, bad, "Invalid API Key name, can be at most 1024 characters."},
		{"POST", "/apikeys", `{"description":"` + strings.Repeat("x", 125_001) + `"}`, 400, bad, "Invalid API Key description specified."},
		{"PATCH", "/apikeys/" + in, operation("replace", "/description", strings.Repeat("x", 125_001)), 400, bad, "Invalid API Key description specified."},
		{"POST", "/apikeys", `{"value":"` + value + `"}`, 409, conflict, "API Key already exists"},
		{
			"PATCH", "/apikeys/" + in, operation("replace", "/id", "x"), 400, bad,
			"Invalid patch path  '/id' specified for op 'replace'. Must be one of: [/description, /enabled, /name, /customerId]",
		},
		{
			"POST", "/apikeys", `{"stageKeys":[{"restApiId":"demo","stageName":"prod"}]}`, 400, bad,
			"Invalid request input: $.stageKeys is not supported: use a usage plan",
		},

		{"PATCH", "/usageplans/gold", operation("remove", "/apiStages/x:dev", ""), 400, bad, "Invalid patch path  '/apiStages/x:dev' specified for op 'remove'. " +
			"Must be one of: [/apiStages, /quota, /throttle, /productCode, /apiStages/<apidId:stageName>/throttle/<resourcePath>/<httpMethod>, /apiStages/<apidId:stageName>/throttle]"},
		{"PATCH", "/usageplans/gold", operation("remove", "/apiStages", ""), 400, bad, "Invalid API Stage specified"},
		{"PATCH", "/usageplans/gold", operation("remove", "/apiStages", "demo"), 400, bad, "Invalid API Stage specified"},
		{"PATCH", "/usageplans/gold", operation("remove", "/apiStages", "demo:none"), 404, missing, "Invalid API Stage {api: demo, stage: none} specified for usageplan gold"},
		{"PATCH", "/usageplans/gold", operation("add", "/apiStages", "demo:none"), 404, missing, "API Stage not found: demo:none"},
		{"POST", "/usageplans", plan(`"apiStages":[{"apiId":"demo"}]`), 400, bad, "Invalid API Stage {api: demo, stage: } specified for usageplan n"},
		{"POST", "/usageplans", plan(`"apiStages":[{"apiId":" ","stage":"prod"}]`), 400, bad, "Invalid API Stage {api:  , stage: prod} specified for usageplan n"},
		{"PATCH", "/usageplans/gold", operation("add", "/apiStages", "demo: "), 400, bad, "Invalid API Stage specified"},
		{"POST", "/usageplans", plan(`"apiStages":[{"apiId":"demo","stage":"none"}]`), 404, missing, "API Stage not found: demo:none"},
		{
			"POST", "/usageplans", plan(`"apiStages":[{"apiId":"demo","stage":"prod","throttle":{"pets":{"rateLimit":1}}}]`), 400, bad,
			"Invalid method {resourcePath: /,method: pets} specified",
		},
		{"POST", "/usageplans", plan(`"quota":{"period":"DAY"}`), 400, bad, "Usage Plan quota limit must be a non-negative numeric"},
		{"POST", "/usageplans", plan(`"quota":{"limit":0,"period":"DAY"}`), 400, bad, "Usage Plan quota limit must be a non-negative numeric"},
		{"POST", "/usageplans", plan(`"quota":{"limit":-1,"period":"DAY"}`), 400, bad, "Usage Plan quota limit must be a non-negative numeric"},
		{"POST", "/usageplans", plan(`"quota":{"limit":1}`), 400, bad, "Invalid Usage Plan quota period specified. Must be one of [DAY, WEEK, MONTH]"},
		{"POST", "/usageplans", plan(`"quota":{"limit":1,"period":"YEAR"}`), 400, bad, "Invalid Usage Plan quota period specified. Must be one of [DAY, WEEK, MONTH]"},
		{"POST", "/usageplans", plan(`"quota":{"limit":1,"period":"DAY","offset":1}`), 400, bad, "Usage Plan quota offset must be zero in the DAY period"},
		{"POST", "/usageplans", plan(`"quota":{"limit":1,"period":"WEEK","offset":7}`), 400, bad, "Usage Plan quota offset must be between 0 and 6 inclusive in the WEEK period"},
		{"POST", "/usageplans", plan(`"quota":{"limit":1,"period":"MONTH","offset":28}`), 400, bad, "Usage Plan quota offset must be between 0 and 27 inclusive in the MONTH period"},
		{
			"POST", "/usageplans", plan(`"quota":{"limit":1,"period":"MONTH","offset":-9223372036854775808}`), 400, bad,
			"Usage Plan quota offset must be between 0 and 27 inclusive in the MONTH period",
		},
		{"POST", "/usageplans", plan(`"throttle":{"rateLimit":-1}`), 400, bad, "Usage Plan throttle rate limit must be a non-negative numeric"},
		{"POST", "/usageplans", plan(`"throttle":{"burstLimit":-1}`), 400, bad, "Usage Plan throttle burst limit must be a non-negative numeric"},
		{"POST", "/usageplans", `{"name":""}`, 400, bad, "Invalid Usage Plan name specified."},
		{"POST", "/usageplans", `{}`, 400, bad, "Invalid Usage Plan name specified."},
		{"POST", "/usageplans", `{"name":"` + strings.Repeat("é", 1025) + `"}`, 400, bad, "Invalid Usage Plan name specified."},
		{"POST", "/usageplans", plan(`"description":"` + strings.Repeat("x", 125_001) + `"`), 400, bad, "Invalid Usage Plan description specified."},
		{"PATCH", "/usageplans/gold", operation("replace", "/name", strings.Repeat("x", 1025)), 400, bad, "Invalid Usage Plan name specified."},
		{
			"PATCH", "/usageplans/gold", operation("add", "/productCode", strings.Repeat("x", 1<<20)), 400, bad,
			"The change is too large: at most 10 000 keys or plans, each of 1 MiB",
		},
		{"PATCH", "/usageplans/gold", operation("replace", "/description", strings.Repeat("x", 125_001)), 400, bad, "Invalid Usage Plan description specified."},
		{"POST", "/usageplans", plan(`"tags":{"aws:a":"b"}`), 400, bad, "Invalid tag key specified: 'aws:a'"},
		{"DELETE", "/usageplans/gold", "", 400, bad, "Cannot delete Usage Plan gold because there are API Stages associated with it, including demo:prod"},

		{"POST", "/apikeys?mode=import&format=csv", "Name\na\n", 400, bad, "Missing required column 'Key'"},
		{"POST", "/apikeys?mode=import&format=xml", "", 400, bad, "Invalid format specified: xml"},
		{"POST", "/apikeys?mode=import", "", 400, bad, "Invalid format specified: "},
		{"POST", "/apikeys?mode=export&format=csv", "", 400, bad, "Invalid mode specified: export"},

		{"GET", "/tags/" + arn(region, "apikeys%2Fnone"), "", 404, missing, noKey},
		{"PUT", "/tags/" + arn(region, "apikeys%2Fnone"), `{"tags":{"a":"b"}}`, 404, missing, noKey},
		{"DELETE", "/tags/" + arn(region, "usageplans%2Fnone") + "?tagKeys=a", "", 404, missing, noPlan},
		{"GET", "/tags/" + arn(region, "usageplans%2Fnone"), "", 404, missing, noPlan},
		{"GET", "/tags/" + arn(region, "restapis%2Fdemo"), "", 404, missing, "Invalid resource identifier specified: arn:aws:apigateway:eu-west-1::/restapis/demo"},
		{"GET", "/tags/" + arn(region, "apikeys%2F"), "", 404, missing, "Invalid resource identifier specified: arn:aws:apigateway:eu-west-1::/apikeys/"},
		{"GET", "/tags/" + arn(region, "apikeys%2Fa%2Fb"), "", 404, missing, "Invalid resource identifier specified: arn:aws:apigateway:eu-west-1::/apikeys/a/b"},
		{"GET", "/tags/" + arn("us-east-1", "apikeys%2F"+in), "", 400, bad, "Invalid region specified in the ARN: arn:aws:apigateway:us-east-1::/apikeys/" + in},
		{"GET", "/tags/gold", "", 400, bad, "Invalid ARN specified in the request: gold"},
		{"GET", "/tags/arn%3Aaws%3As3%3A%3A%3Abucket", "", 400, bad, "Invalid ARN specified in the request: arn:aws:s3:::bucket"},
	} {
		p.refuse(row.method, row.target, row.body, row.status, row.code, row.text)
	}
	w := p.send("POST", "/usageplans", plan(`"apiStages":[`+strings.Repeat(`{"apiId":"demo","stage":"prod"},`, 2)+`{"apiId":"demo","stage":"prod"}]`))
	require.Regexp(t, `^{"message":"plan \\"[a-z0-9]{6}\\": stages\[1\]: demo:prod is listed twice; plan .* stages\[2\]: demo:prod is listed twice"}$`, w.Body.String(), "one line")
	require.Equal(t, 201, p.send("POST", "/usageplans", `{"name":"third"}`).Code)
	third := planID(strings.TrimPrefix(p.send("GET", "/usageplans?limit=1", "").Body.String(), `{"item":[`))
	p.join(third, in)
	w = p.send("PATCH", "/usageplans/"+third, operation("add", "/apiStages", "demo:prod"))
	require.Equal(t, 409, w.Code, w.Body)
	require.Regexp(t, `^{"message":"client \\"`+in+`\\" is in plan \\"gold\\" for demo:prod`, w.Body.String(), "what helps, without the cause")
	require.NoError(t, p.plans.RemoveMembers(t.Context(), in, third))
	require.Len(t, p.plans.Memberships(in), 1, "nothing has changed")
	require.Empty(t, p.plans.Memberships(out))
}

// A body that could be read in two ways, or has what is not known, is refused whole.
func TestMalformedBodies(t *testing.T) {
	p := newPlane(t, settings{})
	key := p.key("k", "k")
	p.plan("gold", daily)
	shapes := []string{
		"", " ", "null", "[]", `""`, "1", "{", "}", `{"name":"a"`, `{"name":"a"}}`, `{"name":"a"} {}`, `{"name":"a"},`, `{name:"a"}`,
		`{"name":'a'}`, `{"Name":"a"}`, `{"NAME":"a"}`, `{"name":"a","name":"b"}`, `{"name":"a","extra":1}`, `{"name":"a\ud800"`,
		"{\"name\":\"\xff\"}", "\xff\xfe{\x00}\x00", `{"":""}`, strings.Repeat("[", 100_000), strings.Repeat(`{"a":`, 100_000), `{"a":[` + strings.Repeat("1,", 300_000) + "1]}",
		`{"name":["a"]}`, `{"name":{}}`, `{"name":1}`, `{"name":true}`, `{"tags":[]}`, `{"tags":{"a":1}}`, `{"tags":{"a":"b","a":"c"}}`,
	}
	for _, target := range []string{
		"POST /apikeys", "POST /usageplans", "POST /usageplans/gold/keys", "PUT /tags/" + arn(region, "usageplans%2Fgold"),
		"PATCH /apikeys/" + key, "PATCH /usageplans/gold", "PATCH /usageplans/gold/keys/" + key + "/usage", "PATCH /account",
	} {
		method, path, _ := strings.Cut(target, " ")
		for _, body := range shapes {
			requireBad(t, p.send(method, path, body), target+" "+fmt.Sprintf("%.40q", body))
		}
	}
	for target, bodies := range map[string][]string{
		"POST /apikeys": {`{"enabled":"true"}`, `{"enabled":1}`, `{"generateDistinctId":"x"}`, `{"value":1}`, `{"stageKeys":{}}`, `{"customerId":[]}`},
		"POST /usageplans": {
			`{"name":"n","apiStages":{}}`, `{"name":"n","apiStages":["demo:prod"]}`, `{"name":"n","apiStages":[{"apiId":"demo","stage":"prod","x":1}]}`,
			`{"name":"n","apiStages":[null]}`, `{"name":"n","apiStages":[{"apiId":"demo","stage":"prod"},{"apiId":"demo","stage":"prod"}]}`,
			`{"name":"n","throttle":[]}`, `{"name":"n","throttle":{"rateLimit":"1"}}`, `{"name":"n","throttle":{"rateLimit":1e999}}`, `{"name":"n","throttle":{"burstLimit":1.5}}`,
			`{"name":"n","throttle":{"burstLimit":99999999999999999999}}`, `{"name":"n","throttle":{"RateLimit":1}}`, `{"name":"n","quota":7}`,
			`{"name":"n","quota":{"limit":"10","period":"DAY"}}`, `{"name":"n","quota":{"limit":1.5,"period":"DAY"}}`, `{"name":"n","quota":{"limit":9223372036854775807,"period":"DAY"}}`,
			`{"name":"n","quota":{"limit":10,"period":"day"}}`, `{"name":"n","quota":{"limit":10,"period":1}}`, `{"name":"n","quota":{"limit":10,"period":"WEEK","offset":4294967296}}`,
			`{"name":"n","quota":{"limit":10,"period":"DAY","location":"UTC"}}`, `{"name":"n","id":"abc"}`, `{"name":"n","productCode":"x"}`,
			`{"name":"n","apiStages":[{"apiId":"demo","stage":"prod","throttle":{"/pets/GET":{"rateLimit":1},"~1pets/GET":{"rateLimit":2}}}]}`,
			`{"name":"n","apiStages":[{"apiId":"demo","stage":"prod","throttle":[]}]}`,
		},
		"POST /usageplans/gold/keys": {`{"keyId":"` + key + `","keyType":"api_key"}`, `{"keyId":["` + key + `"],"keyType":"API_KEY"}`, `{"keyid":"` + key + `","keyType":"API_KEY"}`},
	} {
		method, path, _ := strings.Cut(target, " ")
		for _, body := range bodies {
			requireBad(t, p.send(method, path, body), target+" "+body)
		}
	}
	p.want("GET", "/usageplans/gold/keys", "", 200, `{"item":[]}`)
	require.NotContains(t, p.send("GET", "/usageplans", "").Body.String(), `"n"`, "no plan was created")
	require.Equal(t, key, p.only())
}

func TestMalformedQueries(t *testing.T) {
	p := newPlane(t, settings{})
	p.plan("gold", daily)
	const usage = "/usageplans/gold/usage?startDate=2026-01-01&endDate=2026-01-02"
	lists := []string{"/apikeys?", "/usageplans?", "/usageplans/gold/keys?", usage + "&"}
	for _, list := range lists {
		for _, query := range []string{
			"limit=x", "limit=1.5", "limit=0x10", "limit=1&limit=2", "limit=%201", "name=a&name=b", "keyId=a&keyId=b",
			"position=%2B", "position=eA", "position=" + strings.Repeat("a", 5000), "position=awAAAAAAAAAA" + strings.Repeat("AAAA", 500), "position=e&position=f", "position=AAAAAAAAAAAA", "position=%00", "position=a3AAAA==",
		} {
			requireBad(t, p.send("GET", list+query, ""), list+query)
		}
		for _, query := range []string{"limit=", "limit=0", "limit=-1", "limit=501", "limit=99999999999999999999", "limit=-99999999999999999999", "position=", "unknown=1"} {
			require.Equal(t, 200, p.send("GET", list+query, "").Code, "%s%s: the default applies", list, query)
		}
	}
	for _, target := range []string{
		"/apikeys?includeValues=1", "/apikeys?includeValues=yes", "/apikeys/none?includeValue=t",
		"/usageplans/gold/usage", "/usageplans/gold/usage?startDate=2026-01-01", "/usageplans/gold/usage?endDate=2026-01-01",
		"/usageplans/gold/usage?startDate=2026-1-1&endDate=2026-01-02", "/usageplans/gold/usage?startDate=2026-02-30&endDate=2026-03-01",
		"/usageplans/gold/usage?startDate=2026-01-02&endDate=2026-01-01", "/usageplans/gold/usage?startDate=2025-01-01&endDate=2026-01-02",
		"/usageplans/gold/usage?startDate=0001-01-01&endDate=9999-12-31", "/usageplans/gold/usage?startDate=2026-01-01T00:00:00Z&endDate=2026-01-02",
	} {
		requireBad(t, p.send("GET", target, ""), target)
	}
	requireBad(t, p.send("POST", "/apikeys?mode=import&format=csv&failonwarnings=maybe", file), "failonwarnings")
	p.refuse("POST", "/apikeys?mode=import&format=csv&failOnWarnings=true", file, 400, "BadRequestException",
		"Invalid request input: parameter failOnWarnings is not known, but failonwarnings is")
	require.Equal(t, 200, p.send("GET", "/usageplans/gold/usage?startDate=2025-01-01&endDate=2026-01-01", "").Code, "366 days")
}

func requireBad(t *testing.T, w interface {
	Result() *http.Response
}, what string,
) {
	t.Helper()
	res := w.Result()
	require.Equal(t, 400, res.StatusCode, what)
	require.Equal(t, "BadRequestException", res.Header.Get("X-Amzn-ErrorType"), what)
	require.NotEmpty(t, res.Header.Get("X-Amzn-RequestId"), what)
}

// down is a journal that does not answer.
type down struct{ journal.Journal }

func (down) Append(context.Context, uint64, journal.Change) (uint64, error) {
	return 0, errors.New("no answer")
}

// A store that does not answer is a 503, which SDKs repeat, and never a refusal of the caller.
func TestStoreThatDoesNotAnswer(t *testing.T) {
	p := newPlane(t, settings{keys: func(c *apikey.Config) {
		c.Journal, c.Pepper = down{journal.Memory(0)}, apikey.Secret(strings.Repeat("p", 32))
	}})
	w := p.send("POST", "/apikeys", `{}`)
	requireRefusal(t, w, 503, "ServiceUnavailableException", "Service Unavailable", "journal")
	require.Equal(t, "1", w.Header().Get("Retry-After"))
	plans := newPlane(t, settings{plans: func(c *usageplan.Config) { c.Journal = down{journal.Memory(0)} }})
	requireRefusal(t, plans.send("POST", "/usageplans", `{"name":"n"}`), 503, "ServiceUnavailableException", "Service Unavailable", "journal of plans")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := signed(t, request("POST", "/apikeys", `{}`), owner, region).WithContext(ctx)
	require.Equal(t, 503, newPlane(t, settings{}).serve(r).Code)
}

// The journal says who has changed what, from where and in which request.
func TestChangesHaveTheirOrigin(t *testing.T) {
	j := journal.Memory(0)
	p := newPlane(t, settings{keys: func(c *apikey.Config) { c.Journal, c.Pepper = j, apikey.Secret(strings.Repeat("p", 32)) }})
	w := p.send("POST", "/apikeys", `{}`)
	for c, err := range j.Changes(t.Context(), 0) {
		require.NoError(t, err)
		require.Equal(t, journal.Origin{Actor: owner, Source: "192.0.2.1", Request: w.Header().Get("X-Amzn-RequestId")}, c.Origin)
		require.Equal(t, "CreateApiKey", c.Operation)
	}
}

func TestErrorsTell(t *testing.T) {
	e := &admin.Error{Err: admin.ErrNotFound, Message: "no such key", Action: admin.Action{Operation: "GetApiKey", Resource: "arn:x"}}
	require.Equal(t, "admin: GetApiKey arn:x: what the request names does not exist: no such key", e.Error())
	require.ErrorIs(t, e, admin.ErrNotFound)
	require.Equal(t, "Not Found", (&admin.Error{Err: admin.ErrNotFound}).ErrorMessage())
}
