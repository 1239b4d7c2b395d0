package admin

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A keyView is what key.html shows.
type keyView struct {
	Key     apikey.Key
	State   keyState
	Valid   string // from when until when, "" if always
	Version string // of the key, for the form that rotates its value; see rotate
	Nonce   string // for the forms that extend a quota
	Graces  []grace
	Members []membershipView
	Hidden  bool             // the key is in plans that the person may not see
	Joins   []usageplan.Plan // plans that the key is not in
	Usage   []usageView
	History historyView
}

// A membershipView is a plan that the key is in, with what the forms about it need.
type membershipView struct {
	Plan        usageplan.Plan
	Default     bool   // the key is in no plan, and has that of [usageplan.Config].Default
	Rate, Burst string // of the member's own throttle, "" if it has none
	Quotas      []quotaView
	Moves       []usageplan.Plan // where the key can move

	PlanRate, PlanBurst string // of the plan's throttle

	InFlight, PlanInFlight string // how many of its requests may run at once, "" if it has no bound of its own
}

// memberForms are a membership with the page that it is shown on.
type memberForms struct {
	Layout layout
	Member membershipView
}

func formsOf(l layout, m membershipView) memberForms { return memberForms{l, m} }

// A quotaView is a quota of a member.
type quotaView struct {
	Period ledger.Period
	Limit  int64  // of the plan
	Own    string // the member's own limit, "" if it has none
}

// Name returns what people call the period.
func (q quotaView) Name() string { return strings.ToLower(string(q.Period)) }

// showKey shows a key, its usage, and all that can be done with it.
func (p *page) showKey(v *visit) error { return p.keyAgain(v, http.StatusOK) }

// keyAgain is showKey with another status, after a form has failed.
func (p *page) keyAgain(v *visit, status int) error {
	id := v.form.get("key")
	if err := v.may("GetApiKey", id); err != nil {
		return err
	}
	k, found := p.Control.config.Keys.Key(id)
	if !found {
		return notFound(noKey)
	}
	now := time.Now()
	view := keyView{Key: k, State: switchOf(k, now), Valid: validity(k), Version: version(k), Nonce: newSecret(), Graces: graces}
	plans := v.plans()
	open := v.open(plans)
	for _, m := range p.memberships(id) {
		if i := slices.IndexFunc(plans, func(of usageplan.Plan) bool { return of.ID == m.Plan }); i >= 0 {
			_, is := p.Control.config.Plans.Member(m.Plan, id)
			view.Members = append(view.Members, viewMembership(m, plans[i], open))
			view.Members[len(view.Members)-1].Default = !is
		} else {
			view.Hidden = true
		}
	}
	for _, plan := range open {
		if _, is := p.Control.config.Plans.Member(plan.ID, id); !is {
			view.Joins = append(view.Joins, plan)
		}
	}
	view.Usage, view.History = v.usageViews(k, plans), v.history(k, plans)
	return p.render(v, status, "key", nameOf(k.Name, k.ID), view)
}

// switchOf returns whether the value of a key is accepted, whatever its plans say.
func switchOf(k apikey.Key, now time.Time) keyState {
	switch st := stateOf(k, now, true, nil); st.Text {
	case "active":
		return keyState{"enabled", "good"}
	default:
		return keyState{st.Text, "bad"}
	}
}

// validity says from when until when a key is valid, in UTC: a key has no plan whose zone it could be in.
func validity(k apikey.Key) string {
	var parts []string
	if !k.NotBefore.IsZero() {
		parts = append(parts, "from "+instantAt(k.NotBefore, time.UTC).Text)
	}
	if !k.Expires.IsZero() {
		parts = append(parts, "until "+instantAt(k.Expires, time.UTC).Text)
	}
	if len(parts) == 0 {
		return ""
	}
	return "Valid " + strings.Join(parts, " ")
}

// memberships returns the memberships of a key. One that has none has the default plan, if there is one: its quota can
// be extended as well.
func (p *page) memberships(key string) []usageplan.Member {
	if members := p.Control.config.Plans.Memberships(key); len(members) > 0 {
		return members
	}
	if plan := p.Control.config.Plans.Default(); plan != "" {
		return []usageplan.Member{{Plan: plan, Client: key}}
	}
	return nil
}

// plans returns the plans that the person may see, newest first.
func (v *visit) plans() []usageplan.Plan {
	if v.may("GetUsagePlans") != nil {
		return nil
	}
	var plans []usageplan.Plan
	for plan := range v.page.Control.config.Plans.Plans() {
		if v.may("GetUsagePlan", plan.ID) == nil {
			plans = append(plans, plan)
		}
	}
	return plans
}

// open returns those of the plans that the person may add keys to.
func (v *visit) open(plans []usageplan.Plan) (open []usageplan.Plan) {
	for _, plan := range plans {
		if v.may("CreateUsagePlanKey", plan.ID) == nil {
			open = append(open, plan)
		}
	}
	return open
}

// viewMembership returns the membership m of a plan. open are the plans that the person may add keys to.
func viewMembership(m usageplan.Member, plan usageplan.Plan, open []usageplan.Plan) membershipView {
	view := membershipView{Plan: plan}
	view.Rate, view.Burst = writeThrottle(m.Throttle, "")
	view.PlanRate, view.PlanBurst = writeThrottle(plan.Throttle, "no limit")
	view.InFlight, view.PlanInFlight = writeInFlight(m.InFlight, ""), writeInFlight(plan.InFlight.Client, "no limit")
	for _, q := range plan.Quotas {
		quota := quotaView{Period: q.Period, Limit: q.Limit}
		if own, has := m.Limits[q.Period]; has {
			quota.Own = strconv.FormatInt(own, 10)
		}
		view.Quotas = append(view.Quotas, quota)
	}
	for _, other := range open {
		if other.ID != plan.ID {
			view.Moves = append(view.Moves, other)
		}
	}
	return view
}

// writeThrottle writes the two halves of a throttle as forms take them; none if there is no throttle.
func writeThrottle(l *ratelimit.Limit, none string) (rate, burst string) {
	if l == nil {
		return none, none
	}
	return strconv.FormatFloat(l.Rate, 'f', -1, 64), strconv.FormatInt(l.Burst, 10)
}

// nameOf returns what a thing is called: its name, or its id if it has none.
func nameOf(name, id string) string {
	if name == "" {
		return id
	}
	return name
}

// toKey sends the browser back to the key of the form, with a notice.
func (v *visit) toKey(done string) error {
	return v.finish("key", done, "key", v.form.get("key"))
}

// A patchJSON is the body of a PATCH.
type patchJSON struct {
	Operations []operationJSON `json:"patchOperations"`
}

type operationJSON struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value string `json:"value,omitempty"`
}

// patch returns the body of a PATCH that replaces one value.
func patch(path, value string) patchJSON {
	return patchJSON{[]operationJSON{{"replace", path, value}}}
}

// editKey changes the texts of a key, as far as they differ from what it has.
func (p *page) editKey(v *visit) error {
	k, found := p.Control.config.Keys.Key(v.form.get("key"))
	var body patchJSON
	for _, text := range []struct{ path, was, is string }{
		{"/name", k.Name, v.form.get("name")},
		{"/description", k.Description, v.form.get("description")},
		{"/customerId", k.CustomerID, v.form.get("customer")},
	} {
		if text.was != text.is || !found { // a key that is not there fails below
			body.Operations = append(body.Operations, operationJSON{"replace", text.path, text.is})
		}
	}
	if err := v.do("UpdateApiKey", details{}, body, v.form.get("key")); err != nil {
		return err
	}
	return v.toKey("key-edited")
}

func (p *page) enable(v *visit) error  { return v.turn("true", "key-enabled") }
func (p *page) disable(v *visit) error { return v.turn("false", "key-disabled") }

// turn enables or disables the key of the form.
func (v *visit) turn(enabled, done string) error {
	if err := v.do("UpdateApiKey", details{}, patch("/enabled", enabled), v.form.get("key")); err != nil {
		return err
	}
	return v.toKey(done)
}

// deleteKey deletes a key, if the box is ticked that says so: nothing brings it back.
func (p *page) deleteKey(v *visit) error {
	if err := v.may("DeleteApiKey", v.form.get("key")); err != nil {
		return err
	}
	if !v.form.is("sure", "yes") {
		return badRequest("Tick the box to say that the key is to be deleted")
	}
	if err := v.do("DeleteApiKey", details{}, nil, v.form.get("key")); err != nil {
		return err
	}
	return v.finish("./", "key-deleted", "", "")
}

// version returns a text that changes with every change of the key.
func version(k apikey.Key) string { return strconv.FormatInt(k.Updated.UnixNano(), 36) }

// A grace is a choice of how long the value before stays valid.
type grace struct {
	Name, Text string
	wait       time.Duration
}

var graces = []grace{
	{"0", "not at all: requests with it are refused at once", 0},
	{"1h", "for an hour", time.Hour},
	{"1d", "for a day", 24 * time.Hour},
	{"7d", "for seven days", 7 * 24 * time.Hour},
}
