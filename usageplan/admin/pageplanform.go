package admin

import (
	"errors"
	"net/http"
	"strings"

	"github.com/tallygate/tallygate/usageplan"
)

// A newPlanView is what newplan.html shows.
type newPlanView struct {
	Nonce  string
	Limits planLimits
	Stages []string // the declared ones, as "api:stage"
}

// limitFields are the texts and limits of a plan with the form that they are shown in.
type limitFields struct {
	Form   failedForm
	Limits planLimits
}

func fieldsOf(f failedForm, l planLimits) limitFields { return limitFields{f, l} }

func (p *page) showNewPlan(v *visit) error { return p.newPlanAgain(v, http.StatusOK) }

func (p *page) newPlanAgain(v *visit, status int) error {
	if err := v.may("CreateUsagePlan"); err != nil {
		return err
	}
	view := newPlanView{Nonce: newSecret(), Limits: limitsOf(usageplan.Plan{})}
	for _, s := range p.Control.config.Stages {
		view.Stages = append(view.Stages, stageName(s))
	}
	return p.render(v, status, "newplan", "New plan", view)
}

// newPlan creates a plan by CreateUsagePlan. Numbers are checked by the rules of PATCH, which takes them as texts, as a
// form does: the texts of both are the same. Sent again, the form finds the plan that it has made.
func (p *page) newPlan(v *visit) error {
	if err := v.may("CreateUsagePlan"); err != nil {
		return err
	}
	if v.form.get("nonce") == "" {
		return badRequest("The form has no nonce")
	}
	id := v.drawnID("plan", 6)
	if _, found := p.Control.config.Plans.Plan(id); found {
		return v.toPlan(id, "plan-created")
	}
	if err := p.sentBefore(id, "plan", p.Control.config.Plans.History(v.r.Context(), id, "")); err != nil {
		return err
	}
	body, err := v.planBody()
	if err != nil {
		return err
	}
	err = v.do("CreateUsagePlan", details{newID: id}, body)
	if err != nil && !errors.Is(err, usageplan.ErrExists) { // the same form twice at the same time
		return err
	}
	p.made.add(id)
	return v.toPlan(id, "plan-created")
}

// planBody returns the form as the body of CreateUsagePlan.
func (v *visit) planBody() (map[string]any, error) {
	body := map[string]any{"name": v.form.get("name"), "description": v.form.get("description")}
	throttle, err := v.throttle()
	if err != nil {
		return nil, err
	}
	if throttle != nil {
		body["throttle"] = writeLimit(*throttle)
	}
	if body["quota"], err = v.quota(); err != nil {
		return nil, err
	}
	if body["inFlight"], err = v.planInFlight(); err != nil {
		return nil, err
	}
	body["apiStages"], err = v.stages()
	return body, err
}

// stages returns the stages of the form. An empty one is a field that was left empty.
func (v *visit) stages() (stages []stageJSON, err error) {
	for _, name := range v.form["stage"] {
		if name == "" {
			continue
		}
		s, ok := splitStage(name)
		if !ok {
			return nil, badRequest("Invalid API Stage specified")
		}
		stages = append(stages, stageJSON{API: s.API, Name: s.Name})
	}
	return stages, nil
}

// quota returns the quota of the form as CreateUsagePlan takes it, nil if its limit is empty.
func (v *visit) quota() (any, error) {
	if v.form.get("limit") == "" {
		return nil, nil
	}
	limit, err := (operation{value: v.form.get("limit")}).whole("Usage Plan quota limit")
	if err != nil {
		return nil, err
	}
	offset, err := (operation{value: v.offset()}).offset()
	return map[string]any{"limit": limit, "offset": offset, "period": v.form.get("period")}, err
}

// offset returns the offset of the form. Empty is the first day of the period.
func (v *visit) offset() string {
	if v.form.get("offset") == "" {
		return "0"
	}
	return v.form.get("offset")
}

// editPlan changes texts and limits in one PATCH, so that requests see the plan before it or after it. Where both
// halves of a throttle are empty, or the limit of a quota is, there is none.
func (p *page) editPlan(v *visit) error {
	id := v.form.get("plan")
	ops := []operationJSON{
		{"replace", "/name", v.form.get("name")}, {"replace", "/description", v.form.get("description")},
	}
	if v.form.get("rate") == "" && v.form.get("burst") == "" {
		ops = append(ops, operationJSON{"remove", "/throttle", ""})
	} else {
		ops = append(ops, operationJSON{"replace", "/throttle/rateLimit", v.form.get("rate")},
			operationJSON{"replace", "/throttle/burstLimit", v.form.get("burst")})
	}
	ops = append(ops, v.inFlightOps()...)
	plan, _ := p.Control.config.Plans.Plan(id)
	switch {
	case len(plan.Quotas) > 1: // the form does not show several
	case v.form.get("limit") == "":
		ops = append(ops, operationJSON{"remove", "/quota", ""})
	default:
		ops = append(ops, operationJSON{"replace", "/quota/limit", v.form.get("limit")},
			operationJSON{"replace", "/quota/period", v.form.get("period")},
			operationJSON{"replace", "/quota/offset", v.offset()})
	}
	return v.patchPlan("plan-edited", ops...)
}

// patchPlan carries out a PATCH of the plan of the form.
func (v *visit) patchPlan(done string, ops ...operationJSON) error {
	id := v.form.get("plan")
	if err := v.do("UpdateUsagePlan", details{}, patchJSON{ops}, id); err != nil {
		return err
	}
	return v.toPlan(id, done)
}

func (p *page) addStage(v *visit) error {
	return v.patchPlan("stages-edited", operationJSON{"add", "/apiStages", v.form.get("stage")})
}

func (p *page) removeStage(v *visit) error {
	return v.patchPlan("stages-edited", operationJSON{"remove", "/apiStages", v.form.get("stage")})
}

// setMethod throttles a method of a stage, or changes its throttle. Paths of resources begin with a slash. Without one,
// the throttle would be of a path that no request has, and would not act.
func (p *page) setMethod(v *visit) error {
	if !strings.HasPrefix(v.form.get("resource"), "/") {
		return badRequest("The path of a resource begins with a slash, as in /pets/{id}")
	}
	path := v.methodPath(v.form.get("resource"), v.form.get("method"))
	return v.patchPlan("throttle-edited", operationJSON{"replace", path + "/rateLimit", v.form.get("rate")},
		operationJSON{"replace", path + "/burstLimit", v.form.get("burst")})
}

func (p *page) removeMethod(v *visit) error {
	resource, verb, _ := cutLast(v.form.get("method"))
	return v.patchPlan("throttle-edited", operationJSON{"remove", v.methodPath(resource, verb), ""})
}

// methodPath returns the path of a method's throttle in a PATCH. Slashes of names are escaped as in a JSON pointer, so
// that the path is read as it is meant (RFC 6901 section 3).
func (v *visit) methodPath(resource, verb string) string {
	escape := strings.NewReplacer("~", "~0", "/", "~1").Replace
	return "/apiStages/" + escape(v.form.get("stage")) + "/throttle/" + escape(resource) + "/" + escape(verb)
}

func (p *page) addMember(v *visit) error {
	id := v.form.get("plan")
	body := planKeyJSON{ID: strings.TrimSpace(v.form.get("key"))}.body()
	if err := v.do("CreateUsagePlanKey", details{}, body, id); err != nil {
		return err
	}
	return v.toPlan(id, "members-edited")
}

func (p *page) removeMember(v *visit) error {
	id := v.form.get("plan")
	if err := v.do("DeleteUsagePlanKey", details{}, nil, id, v.form.get("key")); err != nil {
		return err
	}
	return v.toPlan(id, "members-edited")
}

// deletePlan deletes a plan, if the box is ticked that says so.
func (p *page) deletePlan(v *visit) error {
	id := v.form.get("plan")
	if err := v.may("DeleteUsagePlan", id); err != nil {
		return err
	}
	if !v.form.is("sure", "yes") {
		return badRequest("Tick the box to say that the plan is to be deleted")
	}
	if err := v.do("DeleteUsagePlan", details{}, nil, id); err != nil {
		return err
	}
	return v.finish("./", "plan-deleted", "", "")
}
