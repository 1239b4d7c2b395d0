package admin

import (
	"crypto/hmac"
	"net/http"
	"net/url"
)

// finish sends the browser from a form that has succeeded to an address of the page, with a notice. about names the
// parameter that the address has: "key", "plan" or none.
func (v *visit) finish(to, done, about, id string) error {
	query := url.Values{"done": {done}, "proof": {v.proof(done, id)}}
	if about != "" {
		query.Set(about, id)
	}
	v.redirect(to + "?" + query.Encode())
	return nil
}

// proof returns what an address with a notice has, so that nobody else can make one. A link that says that a key was
// disabled, although it was not, would have a person undo that.
func (v *visit) proof(done, id string) string { return v.mac("done", done+"\x00"+id) }

// notice returns what the form before has done. It is said once: the next link does not have the parameter.
func (v *visit) notice() notice {
	if v.r.Method == http.MethodPost || v.actor == "" || v.secret == "" {
		return notice{}
	}
	done, id := v.form.get("done"), v.form.get("key")+v.form.get("plan") // an address has one of them
	if !hmac.Equal([]byte(v.form.get("proof")), []byte(v.proof(done, id))) {
		return notice{}
	}
	return notices[done]
}

// notices are the texts after a form that has succeeded, by the parameter done.
var notices = map[string]notice{
	"key-deleted":     {Text: "The key is deleted. Its value opens nothing any more."},
	"key-edited":      {Text: "The key is changed."},
	"key-disabled":    {Text: "The key is disabled. Its requests are refused from now on.", Undo: "enable"},
	"key-enabled":     {Text: "The key is enabled. Its requests are admitted from now on.", Undo: "disable"},
	"key-joined":      {Text: "The key is in the plan."},
	"key-left":        {Text: "The key has left the plan. What it has used stays in the reports."},
	"key-moved":       {Text: "The key has moved to the other plan."},
	"limits-set":      {Text: "The limits of this key are changed. They act on its next request."},
	"extended":        {Text: "The quota of this period is extended."},
	"remaining-set":   {Text: "What is left in this period is set."},
	"plan-created":    {Text: "The plan is created."},
	"plan-edited":     {Text: "The plan is changed. Its limits act on the next request."},
	"plan-deleted":    {Text: "The plan is deleted."},
	"stages-edited":   {Text: "The stages of the plan are changed."},
	"throttle-edited": {Text: "The throttles of the stage are changed."},
	"members-edited":  {Text: "The members of the plan are changed."},
}
