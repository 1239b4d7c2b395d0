package admin

import (
	"errors"
	"math"
	"net/http"
	"strings"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// maxReason is what the ledger keeps of a reason, in bytes.
const maxReason = 512

// quotaOf returns the quota that the form is about, and the adjustment that it asks for. The id of the adjustment comes
// from the nonce of the form, so that the ledger makes an adjustment once, however often the form is sent.
func (v *visit) quotaOf() (usageplan.QuotaKey, ledger.Adjustment, error) {
	k := usageplan.QuotaKey{
		Plan: v.form.get("plan"), Client: v.form.get("key"), Period: ledger.Period(v.form.get("period")),
	}
	adj := ledger.Adjustment{Reason: strings.TrimSpace(v.form.get("reason"))}
	if nonce := v.form.get("nonce"); nonce != "" {
		adj.ID = "page-" + v.mac("adjust", nonce)
	}
	if len(adj.Reason) > maxReason {
		return k, adj, badRequest("The reason can have at most %d bytes", maxReason)
	}
	p, found := v.page.Control.config.Plans.Plan(k.Plan)
	if !found {
		return k, adj, notFound(noPlan)
	}
	if !has(p, k.Period) {
		return k, adj, badRequest("Usage Plan %s has no quota for the period %s", clip(k.Plan), clip(string(k.Period)))
	}
	return k, adj, nil
}

// extend adds units to the present period of a quota. A reason is required: it is what the history is for. API Gateway
// has no operation for it but UpdateUsage, which sets what remains, so that is what Authorize is asked about.
func (p *page) extend(v *visit) error {
	key, plan := v.form.get("key"), v.form.get("plan")
	err := v.run(&route{
		operation: "UpdateUsage", method: http.MethodPatch, path: "/usageplans/*/keys/*/usage",
		serve: func(s *Server, c *call) (result, error) {
			k, adj, err := v.quotaOf()
			if err != nil {
				return result{}, err
			}
			if adj.Delta, err = (operation{value: v.form.get("units")}).whole("The number of units"); err != nil {
				return result{}, err
			}
			switch {
			case adj.Delta < 1 || adj.Delta > ledger.MaxUnits:
				return result{}, badRequest("The number of units must be between 1 and %d", int64(ledger.MaxUnits))
			case adj.Reason == "":
				return result{}, badRequest("Say why: the reason is kept in the history")
			case adj.ID == "":
				return result{}, badRequest("The form has no nonce")
			}
			_, err = s.config.Plans.Extend(c, k, adj)
			return result{}, extendError(err)
		},
	}, details{}, nil, plan, key)
	if err != nil {
		return err
	}
	return v.toKey("extended")
}

// extendError says what an error means for the form that extends a quota. Others it returns as they are.
func extendError(err error) error {
	switch {
	case errors.Is(err, usageplan.ErrNoQuota):
		return notFound("The key is not in this plan")
	case errors.Is(err, ledger.ErrAdjustment): // the same form with another number, or more than a balance can be
		return conflict("This form was sent before with another number, or there are too many extensions. " +
			"Nothing was changed now")
	}
	return err
}

// setRemaining sets what is left in the present period of a quota.
func (p *page) setRemaining(v *visit) error {
	if err := v.may("UpdateUsage", v.form.get("plan"), v.form.get("key")); err != nil {
		return err
	}
	k, adj, err := v.quotaOf()
	if err != nil {
		return err
	}
	d := details{period: k.Period, adjustment: adj}
	if err := v.do("UpdateUsage", d, patch("/remaining", v.form.get("units")), k.Plan, k.Client); err != nil {
		return err
	}
	return v.toKey("remaining-set")
}

// setLimits gives a member limits of its own, or takes them away where a field is empty.
func (p *page) setLimits(v *visit) error {
	key, plan := v.form.get("key"), v.form.get("plan")
	rt := limitsRoute
	rt.serve = func(s *Server, c *call) (result, error) {
		throttle, err := v.throttle()
		if err != nil {
			return result{}, err
		}
		limits, err := v.ownLimits()
		if err != nil {
			return result{}, err
		}
		inFlight, err := v.inFlight("inflight")
		if err != nil {
			return result{}, err
		}
		_, err = s.config.Plans.UpdateMember(c, plan, key, func(m *usageplan.Member) error {
			m.Throttle, m.Limits, m.InFlight = throttle, limits, inFlight
			return nil
		})
		return result{}, err
	}
	if err := v.run(&rt, details{}, nil, plan, key); err != nil {
		return err
	}
	return v.toKey("limits-set")
}

// throttle returns the throttle of the form, nil if both of its fields are empty.
func (v *visit) throttle() (*ratelimit.Limit, error) {
	rate, burst := v.form.get("rate"), v.form.get("burst")
	if rate == "" && burst == "" {
		return nil, nil
	}
	var l ratelimit.Limit
	if err := patchLimit(&l, operation{value: rate}, "rateLimit"); err != nil {
		return nil, err
	}
	if math.IsInf(l.Rate, 0) {
		return nil, badRequest("Usage Plan throttle rate limit must be a non-negative numeric")
	}
	return &l, patchLimit(&l, operation{value: burst}, "burstLimit")
}

// ownLimits returns the limits of quotas in the form, by their periods.
func (v *visit) ownLimits() (map[ledger.Period]int64, error) {
	var limits map[ledger.Period]int64
	for _, period := range []ledger.Period{ledger.Daily, ledger.Weekly, ledger.Monthly} {
		text := v.form.get(string(period))
		if text == "" {
			continue
		}
		limit, err := (operation{value: text}).whole("Usage Plan quota limit")
		if err != nil {
			return nil, err
		}
		if limits == nil {
			limits = make(map[ledger.Period]int64)
		}
		limits[period] = limit
	}
	return limits, nil
}

// join adds the key to a plan.
func (p *page) join(v *visit) error {
	key, to := v.form.get("key"), v.form.get("to")
	if err := v.do("CreateUsagePlanKey", details{}, planKeyJSON{ID: key}.body(), to); err != nil {
		return err
	}
	return v.toKey("key-joined")
}

// leave takes the key out of a plan.
func (p *page) leave(v *visit) error {
	if err := v.do("DeleteUsagePlanKey", details{}, nil, v.form.get("plan"), v.form.get("key")); err != nil {
		return err
	}
	return v.toKey("key-left")
}

// move takes the key from one plan to another in one step: no request finds it in both, or in neither. The limits of
// its own that it had end, because they were set next to those of the old plan. What it has used in the new plan before
// is still used. A person who may remove a key from the one plan and add it to the other may move it.
func (p *page) move(v *visit) error {
	key, plan, to := v.form.get("key"), v.form.get("plan"), v.form.get("to")
	if err := v.may("CreateUsagePlanKey", to); err != nil {
		return err
	}
	err := v.run(&route{
		operation: "DeleteUsagePlanKey", method: http.MethodDelete, path: "/usageplans/*/keys/*",
		serve: func(s *Server, c *call) (result, error) {
			if _, err := s.planKey(plan, key); err != nil {
				return result{}, err
			}
			if plan == to {
				return result{}, conflict("The key is in this plan already")
			}
			_, err := s.config.Plans.UpdateMember(c, plan, key, func(m *usageplan.Member) error {
				m.Plan, m.Throttle, m.Limits, m.InFlight = to, nil, nil, 0
				return nil
			})
			return result{}, s.associated(err, to, key)
		},
	}, details{}, nil, plan, key)
	if err != nil {
		return err
	}
	return v.toKey("key-moved")
}
