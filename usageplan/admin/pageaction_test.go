package admin_test

import (
	"maps"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// hidden returns the value of a hidden field of the page that is shown.
func (b *browser) hidden(name string) string {
	b.t.Helper()
	m := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(b.shown)
	require.NotNil(b.t, m, "%s in %s", name, b.shown)
	return m[1]
}

// value returns the new value that is shown.
func (b *browser) value() string {
	b.t.Helper()
	m := shownValue.FindStringSubmatch(b.shown)
	require.NotNil(b.t, m, b.shown)
	return m[1]
}

var shownValue = regexp.MustCompile(`<input id="value" class="value" value="([^"]+)" readonly`)

func TestNewKeyShowsItsValueOnce(t *testing.T) {
	p := newPlane(t, visitors)
	p.plan("gold", daily)
	b := signedIn(t, p).get("new-key").want(200, "gold")
	form := b.fields("nonce", b.hidden("nonce"), "name", "acme", "customer", "c1", "description", "one\r\ntwo", "enabled", "yes", "plan", "gold")
	b.submit("new-key", form).want(200, "The key <bdi>acme</bdi> is created")
	client, err := p.keys.VerifyKey(t.Context(), b.value())
	require.NoError(t, err)
	k := client.Key()
	require.Equal(t, apikey.Key{
		ID: k.ID, Name: "acme", CustomerID: "c1", Description: "one\ntwo", Enabled: true,
		Created: k.Created, Updated: k.Updated, LastUsed: k.LastUsed,
	}, k)
	_, is := p.plans.Member("gold", k.ID)
	require.True(t, is)

	value := b.value()
	b.submit("new-key", form).want(409, "This was done already", "key?key="+k.ID) // a reload
	require.NotContains(t, b.shown, value)
	require.EqualValues(t, 1, p.keys.Stats().Keys)
	b.get("key?key="+k.ID).want(200, "acme")
	require.NotContains(t, b.shown, value)
}

// What would refuse the plan is looked for before the key is made.
func TestNewKeyIsNotMadeForAPlanThatDoesNotExist(t *testing.T) {
	p := newPlane(t, visitors)
	b := signedIn(t, p).get("new-key")
	b.post("new-key", "nonce", b.hidden("nonce"), "plan", "none").want(404, "Invalid Usage Plan ID specified", "New key")
	require.Zero(t, p.keys.Stats().Keys)
}

func TestRotateShowsTheValueOnce(t *testing.T) {
	p := newPlane(t, visitors)
	old := p.keys.Generate()
	k, err := p.keys.Create(t.Context(), apikey.Key{Name: "acme", Enabled: true}, old)
	require.NoError(t, err)
	b := signedIn(t, p).get("key?key=" + k.ID)
	form := b.fields("key", k.ID, "version", b.hidden("version"), "grace", "1h")
	b.submit("rotate", form).want(200, "New value of <bdi>acme</bdi>", "stays valid for an hour")
	value := b.value()
	b.submit("rotate", form).want(409, "Nothing was changed") // a reload
	require.NotContains(t, b.shown, value)
	for _, v := range []string{value, string(old)} {
		_, err = p.keys.VerifyKey(t.Context(), v)
		require.NoError(t, err)
	}

	b.get("key?key=" + k.ID)
	b.post("rotate", "key", k.ID, "version", b.hidden("version"), "grace", "0").want(200)
	for _, v := range []string{value, string(old)} {
		_, err = p.keys.VerifyKey(t.Context(), v)
		require.ErrorIs(t, err, apikey.ErrUnknown)
	}
	b.get("key?key=" + k.ID)
	b.post("rotate", "key", k.ID, "version", b.hidden("version"), "grace", "1000d").want(400, "Choose how long")
}

func TestDisabledKeyCanBeEnabledByTheNotice(t *testing.T) {
	p := newPlane(t, visitors)
	id := p.key("acme", "acme")
	b := signedIn(t, p).get("key?key=" + id)
	b.post("disable", "key", id).want(200, "The key is disabled", `action="enable"`, "Undo")
	require.Equal(t, []string{"key-disabled", id}, []string{b.at.Query().Get("done"), b.at.Query().Get("key")})
	k, _ := p.keys.Key(id)
	require.False(t, k.Enabled)
	b.post("enable", "key", id).want(200, "The key is enabled")
	k, _ = p.keys.Key(id)
	require.True(t, k.Enabled)
}

// Nobody else can make a link by which the page says that something was done, and offers to undo it.
func TestNoticesAreNotForged(t *testing.T) {
	p := newPlane(t, visitors)
	id, other := p.key("acme", "acme"), p.key("other", "other")
	b := signedIn(t, p).get("key?key=" + id)
	b.post("disable", "key", id).want(200, "The key is disabled")
	good := b.at.Query()
	b.get("key?"+good.Encode()).want(200, "The key is disabled")
	for name, value := range map[string]string{"proof": "", "done": "key-enabled", "key": other} {
		forged := b.at.Query()
		forged.Set(name, value)
		b.get("key?" + forged.Encode()).want(200)
		require.NotContains(t, b.shown, `class="notice"`, name)
		b.get("key?" + good.Encode())
	}
	stranger := signedIn(t, p).get("key?" + good.Encode()).want(200)
	require.NotContains(t, stranger.shown, `class="notice"`, "another session")
}

func TestKeyIsEdited(t *testing.T) {
	p := newPlane(t, visitors)
	id := p.key("acme", "acme")
	b := signedIn(t, p).get("key?key=" + id)
	b.post("edit-key", "key", id, "name", "n", "customer", "c", "description", "d").want(200, "The key is changed")
	k, _ := p.keys.Key(id)
	require.Equal(t, []string{"n", "c", "d"}, []string{k.Name, k.CustomerID, k.Description})
	long := strings.Repeat("x", 1025)
	b.post("edit-key", "key", id, "name", long, "customer", "c", "description", "typed").want(400, `role="alert"`, long, "typed")
	b.post("edit-key", "key", "none", "name", "n").want(404, "Invalid API Key identifier specified")
}

func TestKeyIsDeletedOnlyForSure(t *testing.T) {
	p := newPlane(t, visitors)
	id := p.key("acme", "acme")
	b := signedIn(t, p).get("key?key=" + id)
	b.post("delete-key", "key", id).want(400, "Tick the box")
	b.post("delete-key", "key", id, "sure", "yes").want(200, "The key is deleted")
	require.Zero(t, p.keys.Stats().Keys)
	b.post("delete-key", "key", id, "sure", "yes").want(404)
}

func TestQuotaIsExtendedOnceForOneForm(t *testing.T) {
	p := newPlane(t, visitors)
	p.plan("gold", daily)
	id := p.key("acme", "acme")
	p.join("gold", id)
	b := signedIn(t, p).get("key?key=" + id)
	form := b.fields("key", id, "plan", "gold", "period", "DAY", "nonce", b.hidden("nonce"), "units", "5", "reason", " launch week ")
	for range 3 {
		b.submit("extend", form).want(200, "The quota of this period is extended")
	}
	balance, err := p.plans.Balance(t.Context(), usageplan.QuotaKey{Plan: "gold", Client: id})
	require.NoError(t, err)
	require.EqualValues(t, 5, balance.Adjustments)
	for change, err := range p.plans.Adjustments(t.Context(), usageplan.QuotaKey{Plan: "gold", Client: id}, time.Time{}, time.Now()) {
		require.NoError(t, err)
		require.Equal(t, []any{"launch week", "owner", int64(5)}, []any{change.Reason, change.Actor, change.Delta})
	}
	for _, bad := range []struct {
		field, value string
		status       int
		text         string
	}{
		{"units", "6", 409, "was sent before with another number"},
		{"units", "0", 400, "must be between 1 and"},
		{"units", "-1", 400, "non-negative"},
		{"units", "9007199254740993", 400, "must be between 1 and"},
		{"units", "five", 400, "non-negative"},
		{"reason", " ", 400, "Say why"},
		{"reason", strings.Repeat("x", 513), 400, "at most 512 bytes"},
		{"period", "MONTH", 400, ""},
		{"plan", "none", 404, ""},
		{"nonce", "", 400, "no nonce"},
	} {
		broken := url.Values{}
		maps.Copy(broken, form)
		broken.Set(bad.field, bad.value)
		b.submit("extend", broken).want(bad.status, bad.text)
	}
	balance, _ = p.plans.Balance(t.Context(), usageplan.QuotaKey{Plan: "gold", Client: id})
	require.EqualValues(t, 5, balance.Adjustments)
}

// A client of the default plan is in no plan, and its quota can be extended.
func TestQuotaOfTheDefaultPlanIsExtended(t *testing.T) {
	s := visitors
	s.plans = func(c *usageplan.Config) {
		c.Default = "free"
		c.Plans = []usageplan.Plan{{ID: "free", Name: "Free", Quotas: []ledger.Quota{daily}, Stages: served[:1]}}
	}
	p := newPlane(t, s)
	id := p.key("acme", "acme")
	b := signedIn(t, p).get("key?key="+id).want(200, "Default plan", "Add to a plan")
	require.NotContains(t, b.shown, `action="leave"`)
	b.post("extend", "key", id, "plan", "free", "period", "DAY", "nonce", "n", "units", "5", "reason", "why").want(200)
	b.post("set-remaining", "key", id, "plan", "free", "period", "DAY", "units", "7").want(200)
	balance, err := p.plans.Balance(t.Context(), usageplan.QuotaKey{Plan: "free", Client: id})
	require.NoError(t, err)
	require.EqualValues(t, 7, balance.Remaining)
}

func TestRemainingIsSet(t *testing.T) {
	p := newPlane(t, visitors)
	p.plan("gold", daily, ledger.Quota{Limit: 100, Period: ledger.Monthly})
	id := p.key("acme", "acme")
	p.join("gold", id)
	p.take(id, 7)
	b := signedIn(t, p).get("key?key=" + id)
	for period, want := range map[ledger.Period]int64{ledger.Daily: 50, ledger.Monthly: 60} {
		b.post("set-remaining", "key", id, "plan", "gold", "period", string(period), "units", text(want), "reason", "why").want(200, "is set")
		balance, err := p.plans.Balance(t.Context(), usageplan.QuotaKey{Plan: "gold", Client: id, Period: period})
		require.NoError(t, err)
		require.Equal(t, want, balance.Remaining)
	}
	b.post("set-remaining", "key", id, "plan", "gold", "period", "DAY", "units", "x").want(400, "Usage remaining must be a non-negative numeric")
	other := p.key("other", "other")
	b.post("set-remaining", "key", other, "plan", "gold", "period", "DAY", "units", "1").want(404)
}

func TestMemberHasLimitsOfItsOwn(t *testing.T) {
	p := newPlane(t, visitors)
	p.plan("gold", daily)
	id := p.key("acme", "acme")
	p.join("gold", id)
	b := signedIn(t, p).get("key?key=" + id)
	b.post("limits", "key", id, "plan", "gold", "rate", "2.5", "burst", "5", "DAY", "50").want(200, `value="2.5"`, `value="50"`)
	m, _ := p.plans.Member("gold", id)
	require.Equal(t, usageplan.Member{
		Plan: "gold", Client: id, Throttle: &ratelimit.Limit{Rate: 2.5, Burst: 5}, Limits: map[ledger.Period]int64{ledger.Daily: 50},
	}, m)
	for _, bad := range [][]string{
		{"rate", "1"},
		{"burst", "1"},
		{"rate", "x", "burst", "1"},
		{"rate", "1e999", "burst", "1"},
		{"rate", "1", "burst", "1.5"},
		{"DAY", "-1"},
		{"DAY", "x"},
		{"MONTH", "5"},
	} {
		b.post("limits", append([]string{"key", id, "plan", "gold"}, bad...)...).want(400, `class="problem"`)
	}
	b.post("limits", "key", id, "plan", "gold").want(200)
	m, _ = p.plans.Member("gold", id)
	require.Equal(t, usageplan.Member{Plan: "gold", Client: id}, m)
	b.post("limits", "key", id, "plan", "none").want(404)
}

// A form that fails is often not on the page any more: somebody else was quicker, in another window. Its problem stands
// above the page then, and once.
func TestProblemOfAFormThatIsGoneIsShown(t *testing.T) {
	p := newFilled(t, visitors)
	b := signedIn(t, p)
	for _, test := range []struct {
		form   string
		fields []string
		status int
		want   string
	}{
		{"leave", []string{"key", "acme000000", "plan", "iron"}, 404, "Invalid Usage Plan ID specified"},
		{"move", []string{"key", "acme000000", "plan", "iron", "to", "gold"}, 404, "Invalid Usage Plan ID specified"},
		{"limits", []string{"key", "acme000000", "plan", "iron", "DAY", "5"}, 404, "Invalid Usage Plan ID specified"},
		{"extend", []string{"key", "acme000000", "plan", "iron", "period", "DAY", "units", "5", "reason", "r", "nonce", "n"}, 404, "The key is not in this plan"},
		{"extend", []string{"key", "acme000000", "plan", "gold", "period", "WEEK", "units", "5", "reason", "r", "nonce", "n"}, 400, "has no quota for the period WEEK"},
		{"remove-member", []string{"plan", "gold", "key", "gone000000"}, 404, "Invalid"},
		{"remove-stage", []string{"plan", "gold", "stage", "demo:gone"}, 404, "stage: gone"},
		{"limits", []string{"key", "acme000000", "plan", "gold", "DAY", "x"}, 400, "must be a non-negative numeric"}, // it is there
	} {
		b.get(home)
		b.submit(test.form, b.fields(test.fields...)).want(test.status)
		problems := problemText.FindAllStringSubmatch(b.shown, -1)
		require.Len(t, problems, 1, "%s %v", test.form, test.fields)
		require.Contains(t, problems[0][1], test.want, test.form)
	}
}

var problemText = regexp.MustCompile(`<p class="problem" role="alert"[^>]*>([^<]+)<`)

func TestKeyMovesBetweenPlans(t *testing.T) {
	p := newPlane(t, visitors)
	p.plan("gold", daily)
	p.plan("iron", daily)
	id := p.key("acme", "acme")
	b := signedIn(t, p).get("key?key="+id).want(200, "No usage plan")
	b.post("join", "key", id, "to", "gold").want(200, "The key is in the plan")
	b.post("join", "key", id, "to", "iron").want(409, "is already associated with usage plan gold for API stage demo:prod")
	b.post("move", "key", id, "plan", "gold", "to", "gold").want(409, "in this plan already")
	b.post("move", "key", id, "plan", "gold", "to", "none").want(404)
	b.post("move", "key", id, "plan", "gold", "to", "iron").want(200, "has moved")
	ms := p.plans.Memberships(id)
	require.Len(t, ms, 1)
	require.Equal(t, "iron", ms[0].Plan)
	b.post("move", "key", id, "plan", "gold", "to", "iron").want(404)
	b.post("leave", "key", id, "plan", "iron").want(200, "has left")
	require.Empty(t, p.plans.Memberships(id))
	b.post("leave", "key", id, "plan", "iron").want(404)
}

func TestPlanIsCreatedAndEdited(t *testing.T) {
	p := newPlane(t, visitors)
	b := signedIn(t, p).get("new-plan").want(200, "demo:dev")
	form := b.fields("nonce", b.hidden("nonce"), "name", "Gold", "description", "d", "rate", "1.5", "burst", "3", "limit", "10",
		"period", "WEEK", "offset", "1", "stage", "demo:prod", "stage", "other:prod")
	b.submit("new-plan", form).want(200, "The plan is created", "Gold")
	id := b.at.Query().Get("plan")
	b.submit("new-plan", form).want(200)
	require.Equal(t, id, b.at.Query().Get("plan"), "sent twice, made once")
	plan, _ := p.plans.Plan(id)
	require.Equal(t, usageplan.Plan{
		ID: id, Name: "Gold", Description: "d", Throttle: &ratelimit.Limit{Rate: 1.5, Burst: 3}, Created: plan.Created,
		Quotas: []ledger.Quota{{Limit: 10, Period: ledger.Weekly, Offset: 1}},
		Stages: []usageplan.Stage{
			{API: "demo", Name: "prod"}, {API: "other", Name: "prod"},
		},
	}, plan)

	b.post("edit-plan", "plan", id, "name", "Iron", "description", "", "rate", "", "burst", "", "limit", "", "period", "DAY", "offset", "").
		want(200, "The plan is changed")
	plan, _ = p.plans.Plan(id)
	require.Nil(t, plan.Throttle)
	require.Empty(t, plan.Quotas)
	require.Equal(t, "Iron", plan.Name)
	b.post("edit-plan", "plan", id, "name", "Iron", "rate", "7", "burst", "0", "limit", "5", "period", "MONTH", "offset", "2").want(200)
	plan, _ = p.plans.Plan(id)
	require.Equal(t, &ratelimit.Limit{Rate: 7}, plan.Throttle)
	require.Equal(t, []ledger.Quota{{Limit: 5, Period: ledger.Monthly, Offset: 2}}, plan.Quotas)
}

// The texts are those of the API, and the fields keep what was typed.
func TestPlanFormsShowTheMistake(t *testing.T) {
	p := newPlane(t, visitors)
	p.plan("gold", daily)
	b := signedIn(t, p)
	for _, bad := range []struct {
		field, value, text string
		status             int
	}{
		{"name", "", "Invalid Usage Plan name specified.", 400},
		{"rate", "fast", "Usage Plan throttle rate limit must be a non-negative numeric", 400},
		{"burst", "", "Usage Plan throttle burst limit must be a non-negative numeric", 400},
		{"limit", "0", "Usage Plan quota limit must be a non-negative numeric", 400},
		{"period", "YEAR", "Invalid Usage Plan quota period specified. Must be one of [DAY, WEEK, MONTH]", 400},
		{"offset", "7", "Usage Plan quota offset must be zero in the DAY period", 400},
	} {
		for _, form := range [][]string{{"new-plan", "nonce", "n"}, {"edit-plan", "plan", "gold"}} {
			values := b.get(home + "plan?plan=gold").fields(append(form[1:], "name", "Gold", "description", "typed", "rate", "1",
				"burst", "2", "limit", "10", "period", "DAY", "offset", "0")...)
			values.Set(bad.field, bad.value)
			b.submit(form[0], values).want(bad.status, bad.text, "typed", `class="problem"`)
		}
	}
	b.get(home+"new-plan").post("new-plan", "nonce", "n", "name", "x", "stage", "no:where").want(404, "API Stage not found: no:where")
	require.EqualValues(t, 1, p.plans.Stats().Plans)
}

func TestStagesAndMethodsAreEdited(t *testing.T) {
	p := newPlane(t, visitors)
	p.plan("gold")
	b := signedIn(t, p).get("plan?plan=gold").want(200, "demo:prod")
	b.post("add-stage", "plan", "gold", "stage", "demo:dev").want(200, "The stages of the plan are changed")
	b.post("add-stage", "plan", "gold", "stage", "demo:dev").want(409, "is already associated")
	b.post("set-method", "plan", "gold", "stage", "demo:dev", "resource", "/pets/{id}", "method", "GET", "rate", "2.5", "burst", "5").want(200, "/pets/{id}/GET")
	b.post("set-method", "plan", "gold", "stage", "demo:dev", "resource", "/", "method", "ANY", "rate", "1", "burst", "1").want(200, "//ANY")
	for _, resource := range []string{"a", "pets/{id}", "", " /a", "~1a", "*"} {
		b.post("set-method", "plan", "gold", "stage", "demo:dev", "resource", resource, "method", "GET", "rate", "1", "burst", "1").
			want(400, "begins with a slash")
	}
	b.post("set-method", "plan", "gold", "stage", "demo:dev", "resource", "/a", "method", "GET", "rate", "x", "burst", "1").want(400, "rate limit must be")
	b.post("set-method", "plan", "gold", "stage", "no:where", "resource", "/a", "method", "GET", "rate", "1", "burst", "1").want(404)
	plan, _ := p.plans.Plan("gold")
	require.Equal(t, map[string]ratelimit.Limit{"/pets/{id}/GET": {Rate: 2.5, Burst: 5}, "//ANY": {Rate: 1, Burst: 1}}, plan.Stages[1].Methods)
	b.post("remove-method", "plan", "gold", "stage", "demo:dev", "method", "/pets/{id}/GET").want(200)
	b.post("remove-method", "plan", "gold", "stage", "demo:dev", "method", "//ANY").want(200)
	b.post("remove-method", "plan", "gold", "stage", "demo:dev", "method", "//ANY").want(404)
	b.post("remove-stage", "plan", "gold", "stage", "demo:prod").want(200)
	b.post("delete-plan", "plan", "gold", "sure", "yes").want(400, "including demo:dev")
	b.post("remove-stage", "plan", "gold", "stage", "demo:dev").want(200, "admits nothing")
	b.post("delete-plan", "plan", "gold").want(400, "Tick the box")
	b.post("delete-plan", "plan", "gold", "sure", "yes").want(200, "The plan is deleted")
	require.Zero(t, p.plans.Stats().Plans)
}

func TestMembersOfPlanComeInPagesOfFifty(t *testing.T) {
	p := newPlane(t, visitors)
	p.plan("gold")
	for i := range 120 {
		p.join("gold", p.key("k"+text(int64(100+i)), "n"+text(int64(100+i))))
	}
	b := signedIn(t, p).get("plan?plan=gold")
	next := regexp.MustCompile(`href="(plan\?plan=gold&amp;position=[^"]+)"`)
	var sizes []int
	for {
		sizes = append(sizes, strings.Count(b.shown, `action="remove-member"`))
		m := next.FindStringSubmatch(b.shown)
		if m == nil {
			break
		}
		b.get(strings.ReplaceAll(m[1], "&amp;", "&")).want(200)
	}
	require.Equal(t, []int{50, 50, 20}, sizes)
	b.get("plan?plan=gold&position=nonsense").want(400)
	b.get("plan?plan=gold").post("remove-member", "plan", "gold", "key", "k1000000000"[:10]).want(200, "The members of the plan are changed")
	b.post("add-member", "plan", "gold", "key", " k1000000000"[:11]).want(200)
	b.post("add-member", "plan", "gold", "key", "none").want(404, "Invalid API Key identifier specified", `value="none"`)
}
