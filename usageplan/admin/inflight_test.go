package admin_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/admin"
)

func patchOf(op, path, value string) string {
	return `{"patchOperations":[{"op":"` + op + `","path":"` + path + `","value":"` + value + `"}]}`
}

// What runs at once is created, shown, changed and removed by our own field and paths. Operations on anything else leave
// it as it is.
func TestInFlightOfAPlan(t *testing.T) {
	p := newPlane(t, settings{})
	w := p.send("POST", "/usageplans", `{"name":"n","inFlight":{"client":4,"total":100}}`)
	require.Equal(t, 201, w.Code, w.Body)
	id := planID(w.Body.String())
	require.Contains(t, w.Body.String(), `"inFlight":{"client":4,"total":100}`)
	of := func() usageplan.InFlight {
		plan, found := p.plans.Plan(id)
		require.True(t, found)
		return plan.InFlight
	}
	for _, step := range []struct {
		op, path, value string
		want            usageplan.InFlight
	}{
		{"replace", "/throttle/rateLimit", "5", usageplan.InFlight{Client: 4, Total: 100}},
		{"replace", "/name", "m", usageplan.InFlight{Client: 4, Total: 100}},
		{"add", "/apiStages", "demo:prod", usageplan.InFlight{Client: 4, Total: 100}},
		{"replace", "/inFlight/client", "0", usageplan.InFlight{Total: 100}},
		{"add", "/inFlight/total", "65535", usageplan.InFlight{Total: 65_535}},
		{"replace", "/inFlight/client", "1", usageplan.InFlight{Client: 1, Total: 65_535}},
		{"remove", "/inFlight", "", usageplan.InFlight{}},
	} {
		w := p.send("PATCH", "/usageplans/"+id, patchOf(step.op, step.path, step.value))
		require.Equal(t, 200, w.Code, w.Body)
		require.Equal(t, step.want, of(), step.path)
	}
	require.NotContains(t, p.send("GET", "/usageplans/"+id, "").Body.String(), "inFlight")
	for _, body := range []string{
		patchOf("replace", "/inFlight/client", "65536"), patchOf("replace", "/inFlight/client", "-1"), patchOf("replace", "/inFlight/client", ""),
		patchOf("replace", "/inFlight/client", "1.5"), patchOf("replace", "/inFlight/all", "1"), patchOf("replace", "/inFlight", "1"),
		patchOf("remove", "/inFlight/client", ""), patchOf("replace", "/inflight/client", "1"),
	} {
		require.Equal(t, 400, p.send("PATCH", "/usageplans/"+id, body).Code, body)
	}
	for _, f := range []string{`{"client":65536}`, `{"client":-1}`, `{"total":1.5}`, `{"client":"1"}`, `{"all":1}`, `4`, `[]`} {
		require.Equal(t, 400, p.send("POST", "/usageplans", `{"name":"n","inFlight":`+f+`}`).Code, f)
	}
	require.Zero(t, of())
}

// Our own export of plans keeps it. The formats of others have no place for it, and the report says so.
func TestInFlightMovesOver(t *testing.T) {
	p := newPlane(t, sealed)
	f := usageplan.InFlight{Client: 4, Total: 100}
	_, err := p.plans.CreatePlan(t.Context(), usageplan.Plan{ID: "jcfq33", Name: "P", InFlight: f})
	require.NoError(t, err)
	client := p.key("a", "a")
	require.NoError(t, p.plans.AddMembers(t.Context(), usageplan.Member{Plan: "jcfq33", Client: client, InFlight: 2}))
	q := newPlane(t, sealed)
	_, err = q.transfer(true).Import(t.Context(), source(admin.FormatPlans, p.export(admin.FormatPlans)))
	require.NoError(t, err)
	plan, _ := q.plans.Plan("jcfq33")
	require.Equal(t, f, plan.InFlight)
	own, left := "key "+client+": left out: the limits of its own under usage plan jcfq33", "usage plan jcfq33: left out: how many requests may run at once"
	for format, want := range map[admin.Format][]string{
		admin.FormatPlanKeys: {own}, admin.FormatCloudFormation: {left}, admin.FormatTerraform: {own, left},
	} {
		report, err := p.transfer(false).Export(t.Context(), new(bytes.Buffer), format, "jcfq33")
		require.NoError(t, err)
		require.ElementsMatch(t, want, report.Warnings, format)
	}
}

// The page shows it, and changes it in the forms of a plan and of a member.
func TestInFlightOnThePage(t *testing.T) {
	p := newPlane(t, visitors)
	b := signedIn(t, p).get("new-plan")
	b.post("new-plan", "nonce", b.hidden("nonce"), "name", "Streams", "period", "DAY", "inflight", "4", "inflighttotal", "100").
		want(200, `name="inflight" value="4"`, `name="inflighttotal" value="100"`)
	id := b.at.Query().Get("plan")
	edit := func(fields ...string) *browser {
		return b.post("edit-plan", append([]string{"plan", id, "name", "Streams", "period", "DAY"}, fields...)...)
	}
	edit("inflight", "5").want(200, `name="inflight" value="5"`, `name="inflighttotal" value=""`)
	edit("inflight", "65536").want(400, "must be between 0 and 65535", `value="65536"`)
	edit("inflight", "x").want(400, "must be a non-negative numeric")
	plan, _ := p.plans.Plan(id)
	require.Equal(t, usageplan.InFlight{Client: 5}, plan.InFlight)

	client := p.key("acme", "acme")
	p.join(id, client)
	b.get("key?key="+client).want(200, `name="inflight" value="" placeholder="5"`, "In flight", "requests may run at once")
	b.post("limits", "key", client, "plan", id, "inflight", "9").want(200, `name="inflight" value="9"`)
	b.get("plan?plan="+id).want(200, "its own")
	b.post("limits", "key", client, "plan", id, "inflight", "65536").want(400, "must be between 0 and 65535")
	k, _ := p.plans.Member(id, client)
	require.Equal(t, 9, k.InFlight)
	b.post("limits", "key", client, "plan", id).want(200)
	k, _ = p.plans.Member(id, client)
	require.Zero(t, k.InFlight)
}
