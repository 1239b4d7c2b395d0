package admin

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// createPlan is CreateUsagePlan. Mistakes in the form of the JSON come before those in what it says, because a number
// that cannot be read counts as 0, and "must be a non-negative numeric" would mislead.
func (s *Server) createPlan(c *call) (result, error) {
	n, err := c.read("name", "description", "apiStages", "throttle", "quota", "inFlight", "tags")
	if err != nil {
		return result{}, err
	}
	p, err := s.readPlan(n)
	if bad := n.wrong(); bad != nil {
		return result{}, bad
	}
	if err != nil {
		return result{}, err
	}
	p.ID = c.newID
	if p, err = s.config.Plans.CreatePlan(c, p); err != nil {
		return result{}, err
	}
	w := writePlan(p)
	w.Tags = p.Tags
	return result{http.StatusCreated, w}, nil
}

// readPlan reads the body of CreateUsagePlan. Mistakes in the form of the JSON are recorded in n. The texts are API
// Gateway's, so they are checked for here, and what is left to the meter should find nothing but a stage that is listed
// twice.
func (s *Server) readPlan(n node) (p usageplan.Plan, err error) {
	p = usageplan.Plan{Name: n.field("name").text(), Description: n.field("description").text(), Tags: n.field("tags").texts()}
	if err := checkTexts(p); err != nil {
		return p, err
	}
	if err := checkTags(p.Tags); err != nil {
		return p, err
	}
	if p.Throttle, err = readLimit(n.field("throttle")); err != nil {
		return p, err
	}
	if p.Quotas, err = readQuota(n.field("quota")); err != nil {
		return p, err
	}
	if p.InFlight, err = readInFlight(n.field("inFlight")); err != nil {
		return p, err
	}
	p.Stages, err = s.readStages(n.field("apiStages"), p.Name)
	return p, err
}

// Bounds of a plan's texts in characters. API Gateway documents none; these are those of its keys.
const (
	maxName        = 1024
	maxDescription = 125_000
)

// checkTexts returns what is wrong with the texts of a plan, or nil.
func checkTexts(p usageplan.Plan) error {
	switch {
	case p.Name == "" || utf8.RuneCountInString(p.Name) > maxName:
		return badRequest("Invalid Usage Plan name specified.")
	case utf8.RuneCountInString(p.Description) > maxDescription:
		return badRequest("Invalid Usage Plan description specified.")
	}
	return nil
}

// readQuota reads a quota in API Gateway's form; nil if there is none. Terraform leaves out an offset of 0.
func readQuota(n node) ([]ledger.Quota, error) {
	n.known("limit", "offset", "period")
	if n.isNull() {
		return nil, nil
	}
	q := ledger.Quota{
		Limit: n.field("limit").whole(), Offset: int(max(-1, min(n.field("offset").whole(), maxOffset))),
		Period: ledger.Period(n.field("period").text()),
	}
	return []ledger.Quota{q}, checkQuota(q)
}

// maxOffset is above the offsets of every period, and an int on every machine.
const maxOffset = 1 << 16

// readStages reads the stages of the plan of that name. They must exist: a plan with a misspelt stage would refuse its
// members, who see only "Forbidden".
func (s *Server) readStages(n node, plan string) ([]usageplan.Stage, error) {
	var stages []usageplan.Stage
	for _, n := range n.list() {
		n.known("apiId", "stage", "throttle")
		stage := usageplan.Stage{API: n.field("apiId").text(), Name: n.field("stage").text()}
		switch {
		case strings.TrimSpace(stage.API) == "" || strings.TrimSpace(stage.Name) == "":
			return nil, badRequest("Invalid API Stage {api: %s, stage: %s} specified for usageplan %s",
				clip(stage.API), clip(stage.Name), clip(plan))
		case !s.exists(stage.API, stage.Name):
			return nil, notFound("API Stage not found: %s:%s", clip(stage.API), clip(stage.Name))
		}
		var err error
		if stage.Methods, err = readMethods(n.field("throttle")); err != nil {
			return nil, err
		}
		stages = append(stages, stage)
	}
	return stages, nil
}

// getPlans is GetUsagePlans, newest first. A meter has few plans, API Gateway at most 300, so all are read for a page.
func (s *Server) getPlans(c *call) (result, error) {
	at, limit, err := c.page(plansList, defaultLimit)
	if err != nil {
		return result{}, err
	}
	w := pageJSON[planJSON]{Items: []planJSON{}}
	plans := s.plansAfter(c.query.Get("keyId"), at)
	for i, p := range plans {
		if i == limit {
			last := plans[i-1]
			w.Position = position{plansList, uint64(last.Created.UnixNano()), last.ID}.String()
			break
		}
		w.Items = append(w.Items, writePlan(p))
	}
	return result{http.StatusOK, w}, nil
}

// plansAfter returns the plans that come after a position, newest first: all, or those that a key is in. A position has
// the id of the last plan that was shown, and when it was created: if that plan is gone, the list goes on with the first
// one that is not younger. So of plans that were created at the same instant, some may come twice, and none is missing.
func (s *Server) plansAfter(key string, at position) []usageplan.Plan {
	plans := slices.Collect(s.config.Plans.Plans())
	from := 0
	if at.after != "" {
		if from = slices.IndexFunc(plans, func(p usageplan.Plan) bool { return p.ID == at.after }) + 1; from == 0 {
			created := time.Unix(0, int64(at.before))
			from = slices.IndexFunc(plans, func(p usageplan.Plan) bool { return !p.Created.After(created) })
		}
	}
	if from < 0 {
		return nil
	}
	return slices.DeleteFunc(plans[from:], func(p usageplan.Plan) bool {
		_, is := s.config.Plans.Member(p.ID, key)
		return key != "" && !is
	})
}

// getPlan is GetUsagePlan. In contrast to lists and to CreateUsagePlan, it always shows tags, even if there are none.
func (s *Server) getPlan(c *call) (result, error) {
	p, found := s.config.Plans.Plan(c.ids[0])
	if !found {
		return result{}, notFound(noPlan)
	}
	w := writePlan(p)
	w.Tags = shown(p.Tags)
	return result{http.StatusOK, w}, nil
}

// updatePlan is UpdateUsagePlan. All operations of one PATCH are one step. Terraform removes every stage of a plan and
// adds the new ones in one PATCH: requests see the plan before or after it, and a stage that comes again keeps its
// buckets.
func (s *Server) updatePlan(c *call) (result, error) {
	ops, err := parseOperations(c.body)
	if err != nil {
		return result{}, err
	}
	p, err := s.config.Plans.UpdatePlan(c, c.ids[0], func(p *usageplan.Plan) error { return patchPlan(p, ops, s.exists) })
	w := writePlan(p)
	w.Tags = shown(p.Tags)
	return result{http.StatusOK, w}, err
}

// deletePlan is DeleteUsagePlan. A plan that opens stages is not deleted, because its members would lose them. API
// Gateway's answer to that is a bad request and not a conflict. Memberships of a plan without stages go with it.
func (s *Server) deletePlan(c *call) (result, error) {
	err := s.config.Plans.DeletePlan(c, c.ids[0])
	if p, _ := s.config.Plans.Plan(c.ids[0]); errors.Is(err, usageplan.ErrConflict) && len(p.Stages) > 0 {
		err = badRequest("Cannot delete Usage Plan %s because there are API Stages associated with it, including %s:%s",
			p.ID, p.Stages[0].API, p.Stages[0].Name)
	}
	return result{status: http.StatusAccepted}, err
}
