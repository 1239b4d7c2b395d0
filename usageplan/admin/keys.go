package admin

import (
	"errors"
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
		Name: n.field("name").text(), Description: n.field("description").text(), Enabled: n.field("enabled").truth(),
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
	w := pageJSON[keyJSON]{Items: []keyJSON{}}
	w.Items, w.Position, err = list(c, at, limit, func(before uint64, limit int) ([]apikey.Key, uint64) {
		return s.config.Keys.Page(c.query.Get("name"), before, limit)
	}, func(k apikey.Key) (keyJSON, bool, error) {
		if of := c.query.Get("customerId"); of != "" && of != k.CustomerID {
			return keyJSON{}, false, nil
		}
		w, err := s.show(c, k)
		return w, err == nil, err
	})
	return result{http.StatusOK, w}, err
}

// show returns the form of a key, with its value if the caller asks for it and it is known.
func (s *Server) show(c *call, k apikey.Key) (keyJSON, error) {
	w := writeKey(k)
	var err error
	if c.action.Reveals {
		w.Value, err = s.value(k.ID)
	}
	return w, err
}

// value returns the value of a key, or "" if it was not sealed or the key has just been deleted. A value that no sealing
// key opens is an error of the server: to leave it out would look like a key that was never sealed.
func (s *Server) value(id string) (string, error) {
	v, _, err := s.config.Keys.Value(id)
	if errors.Is(err, apikey.ErrNotFound) {
		return "", nil
	}
	return string(v), err
}

// getKey is GetApiKey. In contrast to lists and to CreateApiKey, it always shows tags, even if there are none.
func (s *Server) getKey(c *call) (result, error) {
	k, found := s.config.Keys.Key(c.ids[0])
	if !found {
		return result{}, notFound(noKey)
	}
	w, err := s.show(c, k)
	w.Tags = shown(k.Tags)
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
