package admin

import (
	"slices"
	"strings"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// The paths of UpdateUsagePlan, by op
// (https://docs.aws.amazon.com/apigateway/latest/api/patch-operations.html#UpdateUsagePlan-Patch). Errors list them.
// Those of remove are in API Gateway's own order and spelling. For the other ops no answer of API Gateway is known.
var planPaths = map[string][]string{
	"add": {
		"/apiStages", "/productCode", "/quota/limit", "/quota/offset", "/quota/period", "/throttle/rateLimit",
		"/throttle/burstLimit", stagePath, methodPath + "/rateLimit", methodPath + "/burstLimit",
	},
	"replace": {
		"/name", "/description", "/productCode", "/quota/limit", "/quota/offset", "/quota/period", "/throttle/rateLimit",
		"/throttle/burstLimit", stagePath, methodPath + "/rateLimit", methodPath + "/burstLimit",
	},
	"remove": {"/apiStages", "/quota", "/throttle", "/productCode", methodPath, stagePath},
}

const (
	stagePath  = "/apiStages/<apidId:stageName>/throttle"
	methodPath = stagePath + "/<resourcePath>/<httpMethod>"
)

// API Gateway's limits of an account. They replace a half of a throttle that was never given, as in [usageplan.Load].
const (
	accountRate  = 10_000
	accountBurst = 5_000
)

// A planPatch is a plan while operations are applied to it.
type planPatch struct {
	*usageplan.Plan
	exists func(api, stage string) bool // whether the stage exists; nil: every stage does
	quota  bool                         // an operation has changed the quota
}

// patchPlan applies the operations to a plan, in their order. It is called within [usageplan.Meter.UpdatePlan], with a
// plan of its own, so the whole PATCH is one step: requests see the plan before it or after it, and if an operation has
// a mistake, nothing has changed. What can be wrong only as a whole, such as a quota without a period, is checked at
// the end. So the order of the operations on one throttle or quota does not matter.
func patchPlan(p *usageplan.Plan, ops []operation, exists func(api, stage string) bool) error {
	patch := planPatch{Plan: p, exists: exists}
	for _, o := range ops {
		if err := patch.apply(o); err != nil {
			return err
		}
	}
	if patch.quota && len(p.Quotas) > 0 {
		return checkQuota(p.Quotas[0])
	}
	return nil
}

// apply applies one operation.
func (p *planPatch) apply(o operation) error {
	path, isStage := strings.CutPrefix(o.path, "/apiStages/")
	field, isThrottle := strings.CutPrefix(o.path, "/throttle/")
	switch {
	case !slices.Contains([]string{"add", "replace", "remove"}, o.op):
		return o.unsupported()
	case isStage:
		return p.patchStage(o, path)
	case o.is("/apiStages", "add"):
		return p.addStage(o.value)
	case o.is("/apiStages", "remove"):
		return p.removeStage(o.value)
	case o.is("/throttle", "remove"):
		p.Throttle = nil
	case isThrottle && o.op != "remove":
		if p.Throttle == nil {
			p.Throttle = &ratelimit.Limit{Rate: accountRate, Burst: accountBurst}
		}
		return patchLimit(p.Throttle, o, field)
	case isInFlight(o):
		return p.patchInFlight(o)
	case o.is("/quota", "remove"), strings.HasPrefix(o.path, "/quota/") && o.op != "remove":
		return p.patchQuota(o)
	default:
		return p.patchText(o)
	}
	return nil
}

// patchText changes the plan's texts.
func (p *planPatch) patchText(o operation) error {
	switch {
	case o.is("/name", "replace"):
		p.Name = o.value
		return checkTexts(*p.Plan)
	case o.is("/description", "replace"):
		p.Description = o.value
		return checkTexts(*p.Plan)
	case o.is("/productCode", "add", "replace"):
		p.ProductCode = o.value
	case o.is("/productCode", "remove"):
		p.ProductCode = ""
	default:
		return o.invalidPath(planPaths[o.op]...)
	}
	return nil
}

// patchLimit changes the named half of a throttle.
func patchLimit(l *ratelimit.Limit, o operation, field string) (err error) {
	switch field {
	case "rateLimit":
		l.Rate, err = o.number("Usage Plan throttle rate limit")
	case "burstLimit":
		l.Burst, err = o.whole("Usage Plan throttle burst limit")
	default:
		return o.invalidPath(planPaths[o.op]...)
	}
	return err
}

// patchQuota changes the plan's quota, gives it one, or removes it. A quota that is being given starts with a limit that
// cannot be, so that checkQuota finds out whether a limit was given. A plan with several quotas is none of API Gateway's,
// and no operation can say which of them it means.
func (p *planPatch) patchQuota(o operation) (err error) {
	if len(p.Quotas) > 1 {
		return badRequest("Usage Plan %s has %d quotas, which patch operations cannot tell apart", p.ID, len(p.Quotas))
	}
	p.quota = true
	if o.op == "remove" {
		p.Quotas = nil
		return nil
	}
	q := ledger.Quota{Limit: -1} // not given yet
	if len(p.Quotas) == 1 {
		q = p.Quotas[0]
	}
	switch o.path {
	case "/quota/limit":
		q.Limit, err = o.whole("Usage Plan quota limit")
	case "/quota/offset":
		q.Offset, err = o.offset()
	case "/quota/period":
		q.Period = ledger.Period(o.value)
	default:
		return o.invalidPath(planPaths[o.op]...)
	}
	p.Quotas = []ledger.Quota{q}
	return err
}

// offset reads the value as the offset of a quota. Whether it fits the period is known only at the end.
func (o operation) offset() (int, error) {
	v, err := o.whole("Usage Plan quota offset")
	return int(min(v, 1<<16)), err // far above every period's offsets, and an int everywhere
}

// checkQuota returns what is wrong with a quota, in API Gateway's words, or nil.
func checkQuota(q ledger.Quota) error {
	switch {
	case q.Limit < 1: // API Gateway's text, although 0 is not negative
		return badRequest("Usage Plan quota limit must be a non-negative numeric")
	case q.Limit > ledger.MaxUnits:
		return badRequest("Usage Plan quota limit can be at most %d", int64(ledger.MaxUnits))
	case q.Period != ledger.Daily && q.Period != ledger.Weekly && q.Period != ledger.Monthly:
		return badRequest("Invalid Usage Plan quota period specified. Must be one of [DAY, WEEK, MONTH]")
	case q.Period == ledger.Daily && q.Offset != 0:
		return badRequest("Usage Plan quota offset must be zero in the DAY period")
	case q.Period == ledger.Weekly && (q.Offset < 0 || q.Offset > 6):
		return badRequest("Usage Plan quota offset must be between 0 and 6 inclusive in the WEEK period")
	case q.Period == ledger.Monthly && (q.Offset < 0 || q.Offset > 27):
		return badRequest("Usage Plan quota offset must be between 0 and 27 inclusive in the MONTH period")
	}
	return nil
}
