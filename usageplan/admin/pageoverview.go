package admin

import (
	"context"
	htmltemplate "html/template"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/internal/chart"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// An overviewView is what overview.html shows. Who may not read something does not see it: a part of it is absent then.
type overviewView struct {
	Tiles    []tile
	Counted  string // how old the sums in the tiles are, or why there are none
	Keys     *keysView
	Plans    []planLine
	MayPlans bool

	MorePlans string // the address of the next page of plans; "" at the end
	From, To  string // the days of a file of usage, unless others are chosen
}

// A tile is a figure of the page.
type tile struct {
	Label, Figure string
	Note          string
	Level         string // the class: good, warn, bad or ""
}

// A keysView is one page of keys.
type keysView struct {
	Search, Sort string
	Sorts        []link
	Rows         []keyLine
	First, Next  string // addresses; "" if there is none
	Empty        string // why there are no rows
	Unknown      bool   // the ledger has not answered for at least one row
	Reads        bool   // the person may read the usage of at least one plan
}

// A link is one of several views of the same thing.
type link struct {
	Text, Address string
	Current       bool
}

// A keyLine is a line of the list of keys.
type keyLine struct {
	ID, Name, Customer string
	State              keyState
	Plans              []planLink
	Meter              *meterView // nil if nothing is metered, or the person may not see it
	Unknown            bool       // the ledger has not answered
	Spark              htmltemplate.HTML
	LastUse            instant
}

type planLink struct{ ID, Name string }

// A keyState is what becomes of the requests of a key, in a word, with its class.
type keyState struct{ Text, Level string }

// A meterView shows how much of a quota is used.
type meterView struct {
	Level           string
	Percent         int
	Used, Remaining string
	Bound           string // "" without a limit
	Period          string
}

// A planLine is a line of the list of plans.
type planLine struct {
	ID, Name        string
	Throttle        string
	Quotas          []string
	Stages, Members string
	Today           string
}

// overview shows the keys and the plans. It reads from the ledger what the shown keys have used; the sums over all keys
// come from the summary.
func (p *page) overview(v *visit) error {
	plans := v.plans()
	keys, errKeys := v.startReading("GetApiKeys")
	if errKeys != nil && len(plans) == 0 {
		return errKeys
	}
	readable := v.readable(plans)
	sum, errSum := p.summaries.get(v.r.Context(), p.Control.summarize)
	d := lastDays(ledger.Quota{}, sparkDays, time.Now())
	view := overviewView{
		MayPlans: v.may("GetUsagePlans") == nil, Counted: counting(sum, errSum),
		From: d.first.Format(time.DateOnly), To: d.last.Format(time.DateOnly),
	}
	if errKeys == nil {
		var err error
		if view.Keys, err = p.viewKeys(v, keys, plans, readable, sum); err != nil {
			return err
		}
	}
	view.Tiles = p.tiles(errKeys == nil, plans, readable, sum)
	shown, more := pageOfPlans(plans, v.form.get("after"))
	for _, plan := range shown {
		view.Plans = append(view.Plans, viewPlanRow(plan, readable[plan.ID], v.may("GetUsagePlanKeys", plan.ID) == nil, sum))
	}
	if more {
		view.MorePlans = "./?" + url.Values{"after": {shown[len(shown)-1].ID}}.Encode() + "#plans"
	}
	return p.render(v, http.StatusOK, "overview", p.Title, view)
}

// startReading begins an operation that reads a list; see start.
func (v *visit) startReading(operation string, ids ...string) (*call, error) {
	c, err := v.start(pageOperation(operation), ids...)
	if err == nil {
		c.query = url.Values(v.form)
	}
	return c, err
}

// readable returns the plans whose usage the person may read, by their ids.
func (v *visit) readable(plans []usageplan.Plan) map[string]bool {
	may := make(map[string]bool, len(plans))
	for _, p := range plans {
		may[p.ID] = v.may("GetUsage", p.ID) == nil
	}
	return may
}

// counting says how old the sums are, or why there are none.
func counting(sum *summary, err error) string {
	switch {
	case sum == nil && err != nil:
		return "The sums could not be counted: the store has not answered."
	case sum == nil:
		return "The sums are being counted. Load the page again in a moment."
	}
	switch age := passed(sum.at); {
	case err != nil:
		return "The sums are those of " + ago(age) + ". The store has not answered since."
	case age < 2*time.Second:
		return "The sums were counted just now."
	case age < 2*time.Minute:
		return "The sums were counted " + counted(int(age/time.Second), "second") + " ago."
	default:
		return "The sums were counted " + ago(age) + ", and are being counted anew."
	}
}

// tiles returns the figures at the top. What a person may not read is in none of them.
func (p *page) tiles(mayKeys bool, plans []usageplan.Plan, readable map[string]bool, sum *summary) []tile {
	var total planSummary
	reads := false
	for _, plan := range plans {
		if !readable[plan.ID] {
			continue
		}
		reads = true
		if sum != nil && sum.plans[plan.ID] != nil {
			of := sum.plans[plan.ID]
			total.today += of.today
			total.period += of.period
			total.near += of.near
			total.exhausted += of.exhausted
		}
	}
	figure := func(n int64) string {
		if sum == nil {
			return "–"
		}
		return chart.Count(n)
	}
	level := func(n int, of string) string {
		if n == 0 {
			return ""
		}
		return of
	}
	var tiles []tile
	if reads {
		tiles = append(tiles,
			tile{"Requests today", figure(total.today), "units admitted and counted", ""},
			tile{"This period", figure(total.period), "in the day, week or month of each quota", ""})
	}
	if mayKeys {
		tiles = append(tiles, tile{"Keys", chart.Count(int64(p.Control.config.Keys.Stats().Keys)), "in " + counted(len(plans), "plan"), ""})
	}
	if reads {
		tiles = append(tiles,
			tile{"Near their limit", figure(int64(total.near)), "80 % or more used", level(total.near, "warn")},
			tile{"Exhausted", figure(int64(total.exhausted)), "refused until the next period", level(total.exhausted, "bad")},
			tile{"Throttled", chart.Count(int64(p.Control.config.Plans.Stats().Throttled)), "refused by this process so far", ""})
	}
	return tiles
}

// viewKeys returns the page of keys that the address asks for.
func (p *page) viewKeys(
	v *visit, c *call, plans []usageplan.Plan, readable map[string]bool, sum *summary,
) (*keysView, error) {
	by := sortingOf(v.form.get("sort"))
	view := &keysView{Search: v.form.get("search"), Sort: by.name, Reads: len(plans) > 0}
	readsAll := true // the order of use tells of the usage of every plan, also of those that are not shown
	for plan := range p.Control.config.Plans.Plans() {
		readsAll = readsAll && readable[plan.ID]
	}
	for _, s := range sortings {
		if s.list == keysByUse && !readsAll {
			if by.list == keysByUse {
				return nil, &Error{Err: ErrDenied, Message: "You may not read the usage of every plan, so the keys cannot be sorted by it."}
			}
			continue
		}
		view.Sorts = append(view.Sorts, link{s.text, keysAddress(view.Search, s.name, ""), s.name == by.name})
	}
	at, err := c.position(by.list)
	if err != nil {
		return nil, err
	}
	keys, next, err := by.keys(&listing{c, p.Control.config.Keys, at, view.Search, sum})
	if err != nil {
		return nil, err
	}
	if next != "" {
		view.Next = keysAddress(view.Search, by.name, next)
	}
	if v.form.get("position") != "" {
		view.First = keysAddress(view.Search, by.name, "")
	}
	known := make(map[string]usageplan.Plan, len(plans))
	for _, plan := range plans {
		known[plan.ID] = plan
	}
	for _, k := range keys {
		// After one failure the ledger is not asked about the other keys: each might take its whole timeout.
		row := p.viewKeyRow(c, k, known, readable, view.Unknown)
		view.Rows, view.Unknown = append(view.Rows, row), view.Unknown || row.Unknown
	}
	view.Empty = whyEmpty(view, sum)
	return view, nil
}

// whyEmpty says why a page has no keys.
func whyEmpty(view *keysView, sum *summary) string {
	switch {
	case len(view.Rows) > 0:
		return ""
	case view.Sort == "use" && sum == nil:
		return "The keys are being counted. Load the page again in a moment."
	case view.Next != "":
		return "None of the keys so far matches. The search goes on with the next page."
	case view.Search != "":
		return "No key has a name that begins with this text, in the same case, and none has it as its customer or id."
	case view.First != "":
		return "There are no more keys."
	}
	return "There is no key yet."
}

// keysAddress returns the address of a page of keys.
func keysAddress(search, sort, position string) string {
	query := url.Values{}
	for name, value := range map[string]string{"search": search, "sort": sort, "position": position} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return "./?" + query.Encode()
}

// sparkDays is how many days the small charts have.
const sparkDays = 30

// viewKeyRow reads what a key has used. A key that is in several plans shows the one of which the least is left. If the
// ledger does not answer, or down says that it is not to be asked, the usage is unknown.
func (p *page) viewKeyRow(
	ctx context.Context, k apikey.Key, plans map[string]usageplan.Plan, readable map[string]bool, down bool,
) keyLine {
	now := time.Now()
	row := keyLine{ID: k.ID, Name: k.Name, Customer: k.CustomerID}
	var tightest *standing
	var used []int64
	ids := p.plansOf(k.ID)
	for _, id := range ids {
		plan, known := plans[id]
		if known {
			row.Plans = append(row.Plans, planLink{plan.ID, plan.Name})
		}
		if row.Unknown = row.Unknown || readable[id] && down; !readable[id] || row.Unknown {
			continue
		}
		r, err := p.Control.report(ctx, plan, k.ID, sparkDays, now)
		if err != nil {
			row.Unknown = true
			continue
		}
		used = addDays(used, r.days)
		if st := r.tightest(); tightest == nil || st.share() > tightest.share() {
			tightest = &st
		}
	}
	if row.Unknown {
		row.State, row.LastUse = switchOf(k, now), instant{Text: "unknown"}
		if k.LastUsed.Unix() > 0 {
			row.LastUse = agoAt(k.LastUsed, now)
		}
		return row
	}
	if tightest != nil {
		row.Meter = viewMeter(tightest)
		row.Spark = htmltemplate.HTML(chart.Spark(used)) // made of numbers
	}
	row.LastUse = lastUse(k, used, now)
	row.State = stateOf(k, now, len(ids) > 0, tightest)
	return row
}

// plansOf returns the ids of the plans that apply to a client: those that it is in, or the default plan.
func (p *page) plansOf(client string) (ids []string) {
	for _, m := range p.Control.config.Plans.Memberships(client) {
		ids = append(ids, m.Plan)
	}
	if of := p.Control.config.Plans.Default(); len(ids) == 0 && of != "" {
		ids = append(ids, of)
	}
	return ids
}

// addDays adds what was used on the days of a report, from the latest back. Plans may have their midnights in different
// places, and so different dates.
func addDays(sum []int64, days []ledger.Day) []int64 {
	if sum == nil {
		sum = make([]int64, sparkDays)
	}
	for i, d := range days {
		if at := len(sum) - len(days) + i; at >= 0 {
			sum[at] += d.Used
		}
	}
	return sum
}

// stateOf returns what becomes of the requests of a key. What refuses all of them comes first.
func stateOf(k apikey.Key, now time.Time, planned bool, st *standing) keyState {
	switch {
	case !k.Enabled:
		return keyState{"disabled", ""}
	case !k.Expires.IsZero() && !now.Before(k.Expires):
		return keyState{"expired", ""}
	case now.Before(k.NotBefore):
		return keyState{"not valid yet", ""}
	case !planned:
		return keyState{"no plan", ""}
	case st != nil && st.exhausted():
		return keyState{"exhausted", "bad"}
	case st != nil && st.near():
		return keyState{"near limit", "warn"}
	}
	return keyState{"active", "good"}
}

// viewMeter returns how much of a quota is used. The part is rounded down, so that 100 % means that nothing is left.
func viewMeter(st *standing) *meterView {
	m := &meterView{Used: chart.Count(st.used), Period: periodNames[st.quota.Period]}
	if !st.limited {
		return m
	}
	m.Bound, m.Remaining, m.Percent = chart.Count(st.bound()), chart.Count(st.remaining), int(100*st.share())
	m.Level = "good"
	switch {
	case st.exhausted():
		m.Level = "bad"
	case st.near():
		m.Level = "warn"
	}
	return m
}

// pageOfPlans returns the page of plans after the one of the id, or the first page, and whether there are more. If that
// plan is gone, the list begins anew.
func pageOfPlans(plans []usageplan.Plan, after string) (page []usageplan.Plan, more bool) {
	from := slices.IndexFunc(plans, func(p usageplan.Plan) bool { return p.ID == after }) + 1
	to := min(len(plans), from+pageSize)
	return plans[from:to], to < len(plans)
}

// viewPlanRow returns the line of a plan. readable says that the person may read its usage, and listed that they may
// list its members.
func viewPlanRow(plan usageplan.Plan, readable, listed bool, sum *summary) planLine {
	row := planLine{
		ID: plan.ID, Name: plan.Name, Throttle: writeLimitText(plan.Throttle), Stages: chart.Count(int64(len(plan.Stages))),
		Members: "–", Today: "–",
	}
	for _, q := range plan.Quotas {
		row.Quotas = append(row.Quotas, writeQuotaText(q.Limit, q.Period))
	}
	if sum != nil && sum.plans[plan.ID] != nil {
		if listed {
			row.Members = chart.Count(int64(sum.plans[plan.ID].members))
		}
		if readable {
			row.Today = chart.Count(sum.plans[plan.ID].today)
		}
	}
	return row
}
