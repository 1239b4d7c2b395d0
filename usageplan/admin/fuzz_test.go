package admin_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/admin"
)

// Whatever a caller who may do everything sends, it gets an answer of API Gateway's form and never a fault of the
// server. What is left is whole: no membership lacks its plan.
func FuzzServer(f *testing.F) {
	for _, op := range operations {
		f.Add(op.method, op.target, "")
	}
	f.Add("POST", "/apikeys", `{"name":"n","value":"0123456789abcdefghij","enabled":true,"tags":{"a":"b"}}`)
	f.Add("POST", "/apikeys?mode=import&format=csv&failonwarnings=true", file)
	f.Add("POST", "/usageplans", `{"name":"n","apiStages":[{"apiId":"demo","stage":"prod","throttle":{"/*/*":{"rateLimit":1}}}],"quota":{"limit":1,"period":"DAY"}}`)
	f.Add("POST", "/usageplans/gold/keys", `{"keyId":"k000000000","keyType":"API_KEY"}`)
	f.Add("PATCH", "/usageplans/gold", `{"patchOperations":[{"op":"remove","path":"/apiStages","value":"demo:prod"},{"op":"remove","path":"/quota"}]}`)
	f.Add("PATCH", "/usageplans/gold/keys/k000000000/usage", `{"patchOperations":[{"op":"replace","path":"/remaining","value":"5"}]}`)
	f.Add("PATCH", "/apikeys/k000000000", `{"patchOperations":[{"op":"replace","path":"/name","value":"n"}]}`)
	f.Add("GET", "/usageplans/gold/usage?startDate=2026-11-01&endDate=2026-11-30&limit=1&position=ZAAAAAAAAAAA", "")
	f.Add("PUT", "/tags/"+arn("", "usageplans%2Fgold"), `{"tags":{"a":"b"}}`)
	f.Fuzz(func(t *testing.T, method, target, body string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || len(target) > 10_000 || strings.ContainsAny(method, " \r\n") {
			t.Skip("no request that a server could read")
		}
		p := newPlane(t, settings{admin: func(c *admin.Config) {
			c.Authenticate = func(r *http.Request) (*http.Request, error) { return r, nil }
			c.Actor = func(*http.Request) (string, bool) { return "fuzz", true }
			c.Authorize = func(*http.Request, admin.Action) error { return nil }
			c.Region = nil
		}})
		p.plan("gold", daily)
		p.join("gold", p.key("k", "k"))
		r := request("GET", "/", body)
		r.Method, r.URL = method, u
		w := p.serve(r)
		require.NotEqual(t, 500, w.Code, w.Body)
		if w.Body.Len() > 0 {
			require.True(t, json.Valid(w.Body.Bytes()), w.Body)
		}
		if w.Code >= 300 {
			require.NotEmpty(t, w.Header().Get("X-Amzn-ErrorType"))
			require.Regexp(t, `^{"message":".+"}$`, w.Body.String())
		}
		for k := range p.keys.Keys() {
			for _, m := range p.plans.Memberships(k.ID) {
				_, found := p.plans.Plan(m.Plan)
				require.True(t, found)
			}
		}
		for plan := range p.plans.Plans() {
			text, err := json.Marshal(plan)
			require.NoError(t, err)
			require.NoError(t, new(usageplan.Plan).UnmarshalJSON(text), "the plan can be stored and read")
		}
	})
}
