package admin

import (
	"cmp"
	htmltemplate "html/template"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/internal/chart"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A usageView is the usage of a key under a plan.
type usageView struct {
	Plan      planLink
	Default   bool // the key is in no plan, and this is the one for such keys
	Problem   string
	Tiles     []tile
	Forecasts []string
	Ranges    []link
	Chart     htmltemplate.HTML
	Zone      string
}

// ranges are how many days a chart can have.
var ranges = []int{7, 30, 90}

// rangeOf returns the range of the address, or the middle one.
func rangeOf(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || !slices.Contains(ranges, n) {
		return 30
	}
	return n
}

// usageViews returns the usage of a key under each of the plans that the person may see: those that the key is in, or
// the default plan.
func (v *visit) usageViews(k apikey.Key, plans []usageplan.Plan) (views []usageView) {
	for _, id := range v.page.plansOf(k.ID) {
		i := slices.IndexFunc(plans, func(p usageplan.Plan) bool { return p.ID == id })
		if i >= 0 && v.may("GetUsage", id) == nil {
			views = append(views, v.viewUsage(k, plans[i]))
		}
	}
	return views
}

// viewUsage reads the usage of a key under a plan. If the ledger does not answer, the page says so in its place: the key
// can still be disabled.
func (v *visit) viewUsage(k apikey.Key, plan usageplan.Plan) usageView {
	m, is := v.page.Control.config.Plans.Member(plan.ID, k.ID)
	view := usageView{Plan: planLink{plan.ID, plan.Name}, Default: !is}
	now, days := time.Now(), rangeOf(v.form.get("days"))
	r, err := v.page.Control.report(v.r.Context(), plan, k.ID, days, now)
	if err != nil {
		view.Problem = "The ledger has not answered. Load the page again in a moment."
		return view
	}
	for _, st := range r.standings {
		view.Tiles = append(view.Tiles, usageTiles(&st, now)...)
		if text := forecastOf(&st, now); text != "" {
			if len(r.standings) > 1 {
				text = "Quota of the " + periodNames[st.quota.Period] + ": " + text
			}
			view.Forecasts = append(view.Forecasts, text)
		}
	}
	view.Tiles = append(view.Tiles, throttleTile(plan.Throttle, m.Throttle))
	if n := cmp.Or(m.InFlight, plan.InFlight.Client); n > 0 {
		view.Tiles = append(view.Tiles, tile{"In flight", chart.Count(int64(n)), "requests may run at once", ""})
	}
	for _, n := range ranges {
		query := url.Values{"key": {k.ID}, "days": {strconv.Itoa(n)}}
		view.Ranges = append(view.Ranges, link{strconv.Itoa(n) + " days", "key?" + query.Encode(), n == days})
	}
	q := mainQuota(plan)
	view.Zone = location(q).String()
	if len(plan.Quotas) == 0 {
		q.Period = ""
	}
	drawn := chart.Days{Of: nameOf(k.Name, k.ID), Days: r.days, Quota: q, Now: now, Since: k.Created}
	view.Chart = htmltemplate.HTML(chart.Usage(drawn)) // made of numbers and escaped texts
	return view
}

// forecastOf returns the forecast for a quota. Of a plan with several, each has its own.
func forecastOf(st *standing, now time.Time) string {
	if !st.limited {
		return ""
	}
	now = now.In(location(st.quota))
	day := ledger.Quota{Period: ledger.Daily, Location: st.quota.Location}
	midnight, _ := day.Bounds(now)
	_, reset := st.quota.Bounds(now)
	return forecast(now, midnight, reset, st.today, st.remaining)
}

// usedLabels are how the tile of what was used is called, by the period.
var usedLabels = map[ledger.Period]string{ledger.Daily: "Used today", ledger.Weekly: "Used this week", ledger.Monthly: "Used this month"}

// usageTiles are the figures of a quota: used, remaining, and when it starts anew. What leases of other processes hold is
// neither used nor remaining, so a note says how much that is.
func usageTiles(st *standing, now time.Time) []tile {
	used := tile{usedLabels[st.quota.Period], chart.Count(st.used), "", ""}
	if !st.limited {
		used.Note = "the plan has no quota"
		return []tile{used}
	}
	used.Note = "of " + chart.Count(st.bound())
	if st.adjustments != 0 {
		used.Note += ", " + signedCount(st.adjustments) + " by extension"
	}
	left := tile{"Remaining", chart.Count(st.remaining), "", "good"}
	switch {
	case st.exhausted():
		left.Level, left.Note = "bad", "refused until the reset"
	case st.near():
		left.Level = "warn"
	}
	if held := st.bound() - st.used - st.remaining; held > 0 && !st.exhausted() {
		left.Note = chart.Count(held) + " more reserved by other processes"
	}
	_, reset := st.quota.Bounds(now)
	at := reset.In(location(st.quota))
	return []tile{used, left, {"Reset", at.Format("2 Jan"), at.Format("15:04 ") + location(st.quota).String(), ""}}
}

// throttleTile is the throttle that applies to a member: its own, or that of the plan.
func throttleTile(plan, own *ratelimit.Limit) tile {
	l, note := plan, ""
	if own != nil {
		l, note = own, ", of this key alone"
	}
	if l == nil {
		return tile{"Throttle", "none", "the plan has none", ""}
	}
	return tile{"Throttle", writeRate(l.Rate) + " / s", "burst " + chart.Count(l.Burst) + note, ""}
}
