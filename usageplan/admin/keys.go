package admin

import (
	"net/http"

	"github.com/tallygate/tallygate/apikey"
)

// createKey is CreateApiKey. A key is disabled unless the body enables it. A value that is missing or empty is generated:
// Terraform sends "". Stage keys are older than usage plans, and this control plane has none. To ignore them would leave
// a key that opens nothing. generateDistinctId has no effect: an id is never the value.
//
// Two clients that lose the answer and repeat the request make two keys, as with API Gateway. With a value of their own,
// the second one is a conflict.
func (s *Server) createKey(c *call) (result, error) {
	n, err := c.read("name", "description", "enabled", "generateDistinctId", "value", "stageKeys", "customerId", "tags")
	if err != nil {
		return result{}, err
	}
	k := apikey.Key{
		ID: c.newID, Name: n.field("name").text(), Description: n.field("description").text(), Enabled: n.field("enabled").truth(),
		CustomerID: n.field("customerId").text(), Tags: n.field("tags").texts(),
	}
	value := apikey.Secret(n.field("value").text())
	n.field("generateDistinctId").truth()
	if len(n.field("stageKeys").list()) > 0 {
		n.field("stageKeys").fail("is not supported: use a usage plan")
	}
	if err := n.wrong(); err != nil {
		return result{}, err
	}
	if value == "" {
		value = s.config.Keys.Generate()
	}
	if k, err = s.config.Keys.Create(c, k, value); err != nil {
		return result{}, err
	}
	w := writeKey(k)
	w.Value, w.Tags = string(value), k.Tags
	return result{http.StatusCreated, w}, nil
}

// getKeys is GetApiKeys. The name is a prefix, and its case matters. Of the tags of a key, lists show nothing.
func (s *Server) getKeys(c *call) (result, error) {
	at, limit, err := c.page(keysList, defaultLimit)
	if err != nil {
		return result{}, err
	}
	keys, next, err := list(c, at, limit, func(before uint64, limit int) ([]apikey.Key, uint64) {
		return s.config.Keys.Page(c.query.Get("name"), before, limit)
	}, func(k apikey.Key) (apikey.Key, bool) {
		of := c.query.Get("customerId")
		return k, of == "" || of == k.CustomerID
	})
	if err != nil {
		return result{}, err
	}
	values, err := s.reveal(c, keys...)
	w := pageJSON[keyJSON]{Items: []keyJSON{}, Position: next}
	for _, k := range keys {
		form := writeKey(k)
		form.Value = string(values[k.ID])
		w.Items = append(w.Items, form)
	}
	return result{http.StatusOK, w}, err
}

// reveal returns the values of keys by their ids, if the caller asks for values. Values that were not sealed are
// absent. A value that no sealing key opens is an error of the server: to leave it out would look like a key that was
// never sealed. Each call is one change of the journal, which says who has seen the values. So an answer makes one
// call, when it is known which keys it shows.
func (s *Server) reveal(c *call, keys ...apikey.Key) (map[string]apikey.Secret, error) {
	if !c.action.Reveals {
		return nil, nil
	}
	ids := make([]string, len(keys))
	for i, k := range keys {
		ids[i] = k.ID
	}
	return s.config.Keys.Reveal(c, ids...)
}

// getKey is GetApiKey. In contrast to lists and to CreateApiKey, it always shows tags, even if there are none.
func (s *Server) getKey(c *call) (result, error) {
	k, found := s.config.Keys.Key(c.ids[0])
	if !found {
		return result{}, notFound(noKey)
	}
	values, err := s.reveal(c, k)
	w := writeKey(k)
	w.Value, w.Tags = string(values[k.ID]), shown(k.Tags)
	return result{http.StatusOK, w}, err
}

// updateKey is UpdateApiKey. Its answer never has the value. The operations are applied to the key as it is when the
// change is made, so two callers that patch different fields at the same time both succeed.
func (s *Server) updateKey(c *call) (result, error) {
	ops, err := parseOperations(c.body)
	if err != nil {
		return result{}, err
	}
	k, err := s.config.Keys.Update(c, c.ids[0], func(k *apikey.Key) error { return patchKey(k, ops) })
	w := writeKey(k)
	w.Tags = shown(k.Tags)
	return result{http.StatusOK, w}, err
}

// deleteKey is DeleteApiKey. The memberships go first: if the process ends in between, a key without plans is left, and
// never a membership that a later key of the same id would find. A key that another caller adds to a plan in between is
// found here or in createPlanKey.
func (s *Server) deleteKey(c *call) (result, error) {
	if _, found := s.config.Keys.Key(c.ids[0]); !found {
		return result{}, notFound(noKey)
	}
	if err := s.config.Plans.RemoveMembers(c, c.ids[0]); err != nil {
		return result{}, err
	}
	if err := s.config.Keys.Delete(c, c.ids[0]); err != nil {
		return result{}, err
	}
	return result{status: http.StatusAccepted}, s.config.Plans.RemoveMembers(c, c.ids[0])
}

// mayJoin reports whether the caller may add keys to the plan. A plan that the caller may not change is treated as one
// that does not exist.
func (s *Server) mayJoin(c *call, plan string) bool {
	_, exists := s.config.Plans.Plan(plan)
	return exists && s.authorize(c, s.planKeysAction(c, plan)) == nil
}
