package admin

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"

	"github.com/tallygate/tallygate/usageplan/journal"
)

// page is the owner's page, an [http.Handler].
type page struct {
	PageConfig

	// rotating is held while a value is replaced: of two submissions of one form, the second finds the key changed.
	rotating sync.Mutex

	summaries summaries
	made      madeIDs
}

// A pageRoute is one address of the page. The addresses have one segment and name things by parameters, key and plan:
// so every link is relative to the same folder, wherever the page is mounted, and an id may have any character.
type pageRoute struct {
	method, name string
	serve        func(*page, *visit) error

	// fields are those that the form may have, apart from its token; see parseForm. A GET has none.
	fields string

	// again shows the form again if serve has failed, with what was typed and why. The status is that of the error.
	again func(p *page, v *visit, status int) error
}

// The addresses that need no session.
const (
	signInPath  = "sign-in"
	signOutPath = "sign-out"
)

// pageRoutes are the addresses of the page. Every row but the first three asks Config.Authorize before it shows or
// changes anything; a test goes through them.
var pageRoutes = []pageRoute{
	{http.MethodGet, signInPath, (*page).showSignIn, "", nil},
	{http.MethodPost, signInPath, (*page).signIn, "link", nil},
	{http.MethodPost, signOutPath, (*page).signOut, "", nil},

	{http.MethodGet, "", (*page).overview, "", nil},
	{http.MethodGet, "usage.csv", (*page).usageCSV, "", nil},

	{http.MethodGet, "new-key", (*page).showNewKey, "", nil},
	{http.MethodPost, "new-key", (*page).newKey, "nonce name description customer enabled plan", (*page).newKeyAgain},
	{http.MethodGet, "key", (*page).showKey, "", nil},
	{http.MethodPost, "edit-key", (*page).editKey, "key name description customer", (*page).keyAgain},
	{http.MethodPost, "enable", (*page).enable, "key", (*page).keyAgain},
	{http.MethodPost, "disable", (*page).disable, "key", (*page).keyAgain},
	{http.MethodPost, "rotate", (*page).rotate, "key version grace", (*page).keyAgain},
	{http.MethodPost, "delete-key", (*page).deleteKey, "key sure", (*page).keyAgain},
	{http.MethodPost, "extend", (*page).extend, "key plan period nonce units reason", (*page).keyAgain},
	{http.MethodPost, "set-remaining", (*page).setRemaining, "key plan period units reason", (*page).keyAgain},
	{http.MethodPost, "limits", (*page).setLimits, "key plan rate burst inflight DAY WEEK MONTH", (*page).keyAgain},
	{http.MethodPost, "join", (*page).join, "key to", (*page).keyAgain},
	{http.MethodPost, "move", (*page).move, "key plan to", (*page).keyAgain},
	{http.MethodPost, "leave", (*page).leave, "key plan", (*page).keyAgain},

	{http.MethodGet, "new-plan", (*page).showNewPlan, "", nil},
	{http.MethodPost, "new-plan", (*page).newPlan, "nonce stage* " + planFields, (*page).newPlanAgain},
	{http.MethodGet, "plan", (*page).showPlan, "", nil},
	{http.MethodPost, "edit-plan", (*page).editPlan, "plan " + planFields, (*page).planAgain},
	{http.MethodPost, "add-stage", (*page).addStage, "plan stage", (*page).planAgain},
	{http.MethodPost, "remove-stage", (*page).removeStage, "plan stage", (*page).planAgain},
	{http.MethodPost, "set-method", (*page).setMethod, "plan stage resource method rate burst", (*page).planAgain},
	{http.MethodPost, "remove-method", (*page).removeMethod, "plan stage method", (*page).planAgain},
	{http.MethodPost, "add-member", (*page).addMember, "plan key", (*page).planAgain},
	{http.MethodPost, "remove-member", (*page).removeMember, "plan key", (*page).planAgain},
	{http.MethodPost, "delete-plan", (*page).deletePlan, "plan sure", (*page).planAgain},
}

// planFields are the fields of a plan's texts and limits.
const planFields = "name description rate burst inflight inflighttotal limit period offset"

// A visit is one request of a browser to the page.
type visit struct {
	page   *page
	w      http.ResponseWriter
	r      *http.Request
	form   form
	actor  string // who has signed in
	secret string // of the cookie; "" if the browser has none yet
	byLink bool   // signed in by an owner link, and so can sign out here

	route   *pageRoute
	problem string // why the form has failed, if it has
}

// ServeHTTP serves one request of a browser.
func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	nameRequest(w.Header())
	setPageHeaders(w.Header())
	v := &visit{page: p, w: w, r: r}
	if redirected := v.addSlash(); redirected {
		return
	}
	if err := v.serve(); err != nil {
		v.fail(err)
	}
}

// addSlash sends a browser that asks for the folder without its slash, as http.StripPrefix may pass it on, to the one
// with it. Otherwise the relative links would lead astray.
func (v *visit) addSlash() bool {
	if v.r.URL.Path != "" {
		return false
	}
	path, _, _ := strings.Cut(v.r.RequestURI, "?")
	_, last, _ := cutLast(path)
	if last == "" {
		return false
	}
	v.redirect("./" + last + "/")
	return true
}

// serve finds the route, the person and the form, in this order. Nothing is shown to a stranger but how to sign in.
func (v *visit) serve() error {
	known := v.identify()
	err := v.find()
	public := err == nil && (v.route.name == signInPath)
	switch {
	case !known && !public:
		return v.page.stranger(v)
	case err != nil:
		return err
	}
	if v.r.Method != http.MethodPost {
		v.form, err = readParameters(v.r.URL.RawQuery)
		if err != nil {
			return err
		}
		return v.route.serve(v.page, v)
	}
	if err := v.mayPost(); err != nil {
		return err
	}
	if v.form, err = readForm(v.w, v.r, append(strings.Fields(v.route.fields), "token")); err != nil {
		return err
	}
	if !public {
		if err := v.checkToken(); err != nil {
			return err
		}
	}
	return v.post()
}

// post carries out a form. If that fails, the form is shown again.
func (v *visit) post() error {
	err := v.route.serve(v.page, v)
	if err == nil || v.route.again == nil {
		return err
	}
	e := pageError(err)
	e.SetHeader(v.w.Header())
	v.problem = problemText(e)
	if v.route.again(v.page, v, e.StatusCode()) != nil {
		return err // what the form was about is gone, or may not be seen
	}
	return nil
}

// find finds the route by the last segment of the path.
func (v *visit) find() error {
	_, name, _ := cutLast(v.r.URL.Path)
	method := v.r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	exists := false
	for i := range pageRoutes {
		if rt := &pageRoutes[i]; rt.name == name {
			if rt.method == method {
				v.route = rt
				return nil
			}
			exists = true
		}
	}
	if exists {
		v.w.Header().Set("Allow", allowed(name)) // RFC 9110 section 15.5.6
		return errMethod
	}
	return notFound("There is no such page.")
}

// allowed returns the methods of the address for the header Allow.
func allowed(name string) string {
	var methods []string
	for _, rt := range pageRoutes {
		if rt.name == name {
			methods = append(methods, rt.method)
		}
	}
	return strings.Join(methods, ", ")
}

// redirect sends the browser to another address of the page, with GET. The address is relative, and [http.Redirect]
// would make it absolute by a path that http.StripPrefix may have shortened (RFC 9110 section 10.2.2 allows both).
func (v *visit) redirect(to string) {
	v.w.Header().Set("Location", to)
	v.w.WriteHeader(http.StatusSeeOther)
}

// start begins an operation that the person asks for: it asks Config.Authorize about it.
func (v *visit) start(rt *route, ids ...string) (*call, error) {
	s := v.page.Control
	c := &call{request: v.r, ids: ids, actor: v.actor, onPage: true}
	c.action = Action{
		Operation: rt.operation, Resource: s.arn(v.r, rt.resource(ids)), Reveals: rt.reveals == always,
		Actor: v.actor, Page: true,
	}
	if err := s.authorize(c, c.action); err != nil {
		return nil, err
	}
	c.Context = journal.NewContext(v.r.Context(), journal.Origin{
		Actor: clip(v.actor), Source: source(v.r), Request: clip(v.w.Header().Get("X-Amzn-RequestId")),
	})
	return c, nil
}

// may returns the error of Config.Authorize about an operation: one that only reads, or one that comes later.
func (v *visit) may(operation string, ids ...string) error {
	_, err := v.start(pageOperation(operation), ids...)
	return err
}

// do carries out an operation of the control plane for the person. The body is written as JSON; nil is none.
func (v *visit) do(operation string, d details, body any, ids ...string) error {
	return v.run(pageOperation(operation), d, body, ids...)
}

// run is do for an operation that is not one of API Gateway's.
func (v *visit) run(rt *route, d details, body any, ids ...string) error {
	c, err := v.start(rt, ids...)
	if err != nil {
		return err
	}
	c.details = d
	if body != nil {
		if c.body, err = json.Marshal(body); err != nil {
			return err
		}
	}
	if _, err = v.page.Control.run(rt, c); err != nil {
		return refusal(err, c.action)
	}
	return nil
}

// pageOperation returns the route of an operation of the control plane. The page shows no value but that of a key which
// it creates, so no other operation reveals any here.
func pageOperation(operation string) *route {
	for _, rt := range routes {
		if rt.operation == operation {
			if operation != "CreateApiKey" {
				rt.reveals = ""
			}
			return &rt
		}
	}
	for _, rt := range []route{rotateRoute, limitsRoute} {
		if rt.operation == operation {
			return &rt
		}
	}
	return &route{operation: operation}
}

// The operations that API Gateway does not have. The forms set what they do.
var (
	rotateRoute = route{operation: "RotateApiKey", method: http.MethodPost, path: "/apikeys/*", reveals: always}
	limitsRoute = route{operation: "UpdateUsagePlanKey", method: http.MethodPatch, path: "/usageplans/*/keys/*"}
)
