package admin

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
)

// keyType is API Gateway's only type of usage plan key.
const keyType = "API_KEY"

// planKeysAction is what a caller needs to be allowed to add a key to the plan.
func (s *Server) planKeysAction(c *call, plan string) Action {
	return Action{
		Operation: "CreateUsagePlanKey", Resource: s.arn(c.request, "/usageplans/"+url.PathEscape(plan)+"/keys"),
		Actor: c.actor, Page: c.onPage,
	}
}

// createPlanKey is CreateUsagePlanKey. The key is looked up before the plan, as in API Gateway. It is looked up again
// afterwards, because a membership must not outlive its key: one that DeleteApiKey has not seen is removed here.
func (s *Server) createPlanKey(c *call) (result, error) {
	n, err := c.read("keyId", "keyType")
	if err != nil {
		return result{}, err
	}
	id, kind := n.field("keyId").text(), n.field("keyType").text()
	if err := n.wrong(); err != nil {
		return result{}, err
	}
	if kind != keyType {
		return result{}, badRequest("Invalid key type specified. Must be one of [%s]", keyType)
	}
	k, found := s.config.Keys.Key(id)
	if !found {
		return result{}, notFound(noKey)
	}
	if err := s.config.Plans.AddMembers(c, usageplan.Member{Plan: c.ids[0], Client: id}); err != nil {
		return result{}, s.associated(err, c.ids[0], id)
	}
	if _, found := s.config.Keys.Key(id); !found {
		if err := s.config.Plans.RemoveMembers(c, id); err != nil {
			return result{}, err // it is not known whether the membership is gone, so the caller has to ask again
		}
		return result{}, notFound(noKey)
	}
	return s.showPlanKey(c, http.StatusCreated, k)
}

// associated returns the conflict of a key that is to join a plan with a plan that it is in already. Other errors it
// returns as they are. API Gateway's text for this is not known.
func (s *Server) associated(err error, plan, key string) error {
	if !errors.Is(err, usageplan.ErrExists) && !errors.Is(err, usageplan.ErrConflict) {
		return err
	}
	wanted, _ := s.config.Plans.Plan(plan)
	for _, m := range s.config.Plans.Memberships(key) {
		other, _ := s.config.Plans.Plan(m.Plan) // it may be the same plan, which shares its first stage with itself
		if stage, both := shared(&other, &wanted); both {
			return conflict("API Key %s is already associated with usage plan %s for API stage %s:%s",
				key, m.Plan, stage.API, stage.Name)
		}
	}
	return conflict("API Key %s is already associated with usage plan %s", key, plan)
}

// opens reports whether the plan opens the stage.
func opens(p usageplan.Plan, stage usageplan.Stage) bool {
	for _, s := range p.Stages {
		if s.API == stage.API && s.Name == stage.Name {
			return true
		}
	}
	return false
}

// showPlanKey answers with a usage plan key, and with its value if it is known: API Gateway always shows it here.
func (s *Server) showPlanKey(c *call, status int, k apikey.Key) (result, error) {
	values, err := s.reveal(c, k)
	return result{status, writePlanKey(k, values[k.ID])}, err
}

// getPlanKeys is GetUsagePlanKeys. Of a plan that does not exist the list is empty, as in API Gateway. Members that are
// no keys, or no longer, are not listed.
func (s *Server) getPlanKeys(c *call) (result, error) {
	at, limit, err := c.page(planKeysList, defaultLimit)
	if err != nil {
		return result{}, err
	}
	keys, next, err := list(c, at, limit, func(before uint64, limit int) ([]usageplan.Member, uint64) {
		return s.config.Plans.Members(c.ids[0], before, limit)
	}, func(m usageplan.Member) (apikey.Key, bool) {
		k, found := s.config.Keys.Key(m.Client)
		return k, found && strings.HasPrefix(k.Name, c.query.Get("name"))
	})
	if err != nil {
		return result{}, err
	}
	values, err := s.reveal(c, keys...)
	w := pageJSON[planKeyJSON]{Items: []planKeyJSON{}, Position: next}
	for _, k := range keys {
		w.Items = append(w.Items, writePlanKey(k, values[k.ID]))
	}
	return result{http.StatusOK, w}, err
}

// getPlanKey is GetUsagePlanKey.
func (s *Server) getPlanKey(c *call) (result, error) {
	k, err := s.planKey(c.ids[0], c.ids[1])
	if err != nil {
		return result{}, err
	}
	return s.showPlanKey(c, http.StatusOK, k)
}

// planKey returns the key of the given id if it is in the plan. For a key that is in another plan, API Gateway's text
// names the plan as what is wrong.
func (s *Server) planKey(plan, id string) (apikey.Key, error) {
	k, found := s.config.Keys.Key(id)
	if !found {
		return k, notFound(noKey)
	}
	if _, is := s.config.Plans.Member(plan, id); !is {
		return k, notFound(noPlan)
	}
	return k, nil
}

// deletePlanKey is DeleteUsagePlanKey. The usage of the key stays, and getUsage goes on to list it.
func (s *Server) deletePlanKey(c *call) (result, error) {
	if _, err := s.planKey(c.ids[0], c.ids[1]); err != nil {
		return result{}, err
	}
	return result{status: http.StatusAccepted}, s.config.Plans.RemoveMembers(c, c.ids[1], c.ids[0])
}
