package admin

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A planView is what plan.html shows.
type planView struct {
	Plan    usageplan.Plan
	Limits  planLimits
	Stages  []stageView
	Missing []string // the declared stages that the plan does not open, as "api:stage"
	AnyAPI  bool     // the program declares no stages, so that their names are typed
	Verbs   []string

	ShowsMembers bool // the person may see them
	Members      []memberView
	More         string // where the list goes on, "" at its end
	Later        bool   // this is not its first page
}

// planLimits are the texts and limits of a plan as the fields of a form have them.
type planLimits struct {
	Name, Description                  string
	Rate, Burst, Limit, Period, Offset string
	InFlight, InFlightTotal            string // "" for no bound
	Periods                            []ledger.Period
	Several                            bool   // several quotas, which these fields cannot have
	Location                           string // where the day of the quota begins, "" for UTC
}

// A stageView is a stage of a plan, with the throttles of its methods by their names.
type stageView struct {
	Name    string // as "api:stage"
	Methods []methodView
}

type methodView struct {
	Name        string // as "/pets/{id}/GET"
	Rate, Burst string
}

// A memberView is a line of the list of members.
type memberView struct {
	Client string
	Key    apikey.Key // zero if the client is no key, or no longer
	IsKey  bool
	State  keyState
	Own    bool // it has limits of its own
}

// membersPage is how many members a page has.
const membersPage = 50

// verbs are the methods that a throttle can be of, in the order of a list; see [usageplan.Stage].
var verbs = []string{"ANY", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}

// showPlan shows a plan, its members, and all that can be done with it.
func (p *page) showPlan(v *visit) error { return p.planAgain(v, http.StatusOK) }

// planAgain is showPlan with another status, after a form has failed.
func (p *page) planAgain(v *visit, status int) error {
	id := v.form.get("plan")
	if err := v.may("GetUsagePlan", id); err != nil {
		return err
	}
	plan, found := p.Control.config.Plans.Plan(id)
	if !found {
		return notFound(noPlan)
	}
	view := planView{Plan: plan, Limits: limitsOf(plan), AnyAPI: len(p.Control.config.Stages) == 0, Verbs: verbs}
	for _, s := range plan.Stages {
		view.Stages = append(view.Stages, viewStage(s))
	}
	for _, s := range p.Control.config.Stages {
		if !opens(plan, s) {
			view.Missing = append(view.Missing, stageName(s))
		}
	}
	if v.may("GetUsagePlanKeys", id) == nil {
		if err := v.members(&view); err != nil {
			return err
		}
	}
	return p.render(v, status, "plan", nameOf(plan.Name, id), view)
}

// members adds a page of members to the view. They are found by their place in the order of creation, so a plan of many
// members costs no more than one of few.
func (v *visit) members(view *planView) error {
	c := call{query: url.Values{"position": {v.form.get("position")}}}
	at, err := c.position(planKeysList)
	if err != nil {
		return err
	}
	members, next := v.page.Control.config.Plans.Members(view.Plan.ID, at.before, membersPage)
	now := time.Now()
	for _, m := range members {
		k, is := v.page.Control.config.Keys.Key(m.Client)
		view.Members = append(view.Members, memberView{m.Client, k, is, switchOf(k, now), hasOwn(m)})
	}
	view.ShowsMembers, view.Later = true, at.before != 0
	if next != 0 {
		view.More = position{list: planKeysList, before: next}.String()
	}
	return nil
}

func limitsOf(p usageplan.Plan) planLimits {
	l := planLimits{Name: p.Name, Description: p.Description, Period: string(ledger.Daily), Offset: "0"}
	l.Periods = []ledger.Period{ledger.Daily, ledger.Weekly, ledger.Monthly}
	l.Rate, l.Burst = writeThrottle(p.Throttle, "")
	l.InFlight, l.InFlightTotal = writeInFlight(p.InFlight.Client, ""), writeInFlight(p.InFlight.Total, "")
	if l.Several = len(p.Quotas) > 1; l.Several || len(p.Quotas) == 0 {
		return l
	}
	q := p.Quotas[0]
	l.Limit, l.Period, l.Offset = strconv.FormatInt(q.Limit, 10), string(q.Period), strconv.Itoa(q.Offset)
	l.Location = location(q).String()
	return l
}

func viewStage(s usageplan.Stage) stageView {
	view := stageView{Name: stageName(s)}
	limits := writeLimits(s.Methods)
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		rate, burst := writeThrottle(&ratelimit.Limit{Rate: float64(limits[name].Rate), Burst: limits[name].Burst}, "")
		view.Methods = append(view.Methods, methodView{name, rate, burst})
	}
	return view
}

func stageName(s usageplan.Stage) string { return s.API + ":" + s.Name }

// toPlan sends the browser to the plan of the form, with a notice.
func (v *visit) toPlan(id, done string) error {
	return v.finish("plan", done, "plan", id)
}
