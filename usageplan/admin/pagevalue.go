package admin

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"net/http"
	"slices"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
)

// A valueView is what value.html shows: a new value, once, or that it was shown before.
type valueView struct {
	Key     apikey.Key
	Value   string
	Rotated bool
	Grace   grace  // how long the value before it stays valid
	Problem string // what has failed after the key was created
}

// A newKeyView is what newkey.html shows.
type newKeyView struct {
	Nonce string
	Plans []usageplan.Plan
}

func (p *page) showNewKey(v *visit) error { return p.newKeyAgain(v, http.StatusOK) }

func (p *page) newKeyAgain(v *visit, status int) error {
	if err := v.may("CreateApiKey"); err != nil {
		return err
	}
	return p.render(v, status, "newkey", "New key", newKeyView{newSecret(), v.plans()})
}

// newKey creates a key, and adds it to a plan if one is chosen. Its answer is that of the POST itself, and shows the
// value. If the browser sends the form again, for example by a reload, nothing is made: the id of the key comes from
// the nonce of the form, so the second one finds that there is such a key, in whatever process, or that there was one.
//
// The plan comes second, as a request of its own in API Gateway. What would refuse it is looked for before.
func (p *page) newKey(v *visit) error {
	id, plan := v.drawnID("key", 10), v.form.get("plan")
	if err := v.mayCreate(plan); err != nil {
		return err
	}
	if k, found := p.Control.config.Keys.Key(id); found {
		return p.render(v, http.StatusConflict, "value", "Already created", valueView{Key: k})
	}
	if err := p.sentBefore(id, "key", p.Control.config.Keys.History(v.r.Context(), id)); err != nil {
		return err
	}
	value := p.Control.config.Keys.Generate()
	err := v.do("CreateApiKey", details{newID: id}, map[string]any{
		"name": v.form.get("name"), "description": v.form.get("description"), "customerId": v.form.get("customer"),
		"enabled": v.form.is("enabled", "yes"), "value": string(value),
	})
	if k, found := p.Control.config.Keys.Key(id); found && errors.Is(err, apikey.ErrExists) { // twice at the same time
		return p.render(v, http.StatusConflict, "value", "Already created", valueView{Key: k})
	}
	if err != nil {
		return err
	}
	p.made.add(id)
	view := valueView{Value: string(value)}
	if plan != "" {
		if err := v.do("CreateUsagePlanKey", details{}, planKeyJSON{ID: id}.body(), plan); err != nil {
			view.Problem = problemText(pageError(err))
		}
	}
	view.Key, _ = p.Control.config.Keys.Key(id)
	return p.render(v, http.StatusOK, "value", "New key", view)
}

// mayCreate returns what speaks against a new key for the plan, as far as that is known before it is made.
func (v *visit) mayCreate(plan string) error {
	if err := v.may("CreateApiKey"); err != nil {
		return err
	}
	if plan != "" {
		if err := v.may("CreateUsagePlanKey", plan); err != nil {
			return err
		}
		if _, found := v.page.Control.config.Plans.Plan(plan); !found {
			return notFound(noPlan)
		}
	}
	if v.form.get("nonce") == "" {
		return badRequest("The form has no nonce")
	}
	return nil
}

// body returns the body of CreateUsagePlanKey.
func (w planKeyJSON) body() map[string]string {
	return map[string]string{"keyId": w.ID, "keyType": keyType}
}

// drawnID returns an id that comes from the nonce of the form and from the cookie: the same one for the same form in
// the same browser, and none that somebody could choose. It has length characters of [a-z0-9], as API Gateway's ids do.
func (v *visit) drawnID(use string, length int) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	h := hmac.New(sha256.New, []byte(v.secret))
	h.Write([]byte(use + "\x00" + v.form.get("nonce")))
	id := make([]byte, length)
	for i, b := range h.Sum(nil)[:length] {
		id[i] = letters[int(b)%len(letters)] // a little more of some letters does not matter: the id is no secret
	}
	return string(id)
}

// rotate gives a key a new value, and answers the POST itself with it. The form names the version of the key that it
// was shown with. If it is sent again, the key has another version, so nothing is done: a second rotation would end the
// value that was just shown.
func (p *page) rotate(v *visit) error {
	id := v.form.get("key")
	i := slices.IndexFunc(graces, func(g grace) bool { return g.Name == v.form.get("grace") })
	view := valueView{Rotated: true}
	again := false
	rt := rotateRoute
	rt.serve = func(s *Server, c *call) (_ result, err error) {
		if i < 0 {
			return result{}, badRequest("Choose how long the value before stays valid")
		}
		p.rotating.Lock()
		defer p.rotating.Unlock()
		k, found := s.config.Keys.Key(id)
		if again = found && version(k) != v.form.get("version"); again {
			view.Key = k
			return result{}, nil
		}
		value := s.config.Keys.Generate()
		view.Key, err = s.config.Keys.Rotate(c, id, value, graces[i].wait)
		view.Value, view.Grace = string(value), graces[i]
		return result{}, err
	}
	err := v.run(&rt, details{}, nil, id)
	switch {
	case err != nil:
		return err
	case again:
		return p.render(v, http.StatusConflict, "value", "Already changed", view)
	}
	return p.render(v, http.StatusOK, "value", "New value", view)
}
