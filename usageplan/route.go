package usageplan

import (
	"net/http"
	"strings"
)

// A Route is the destination of a request, in API Gateway's terms.
type Route struct {
	API      string // the id of the API, e.g. "airline-loyalty"
	Stage    string // the name of the stage, e.g. "Prod"
	Resource string // the resource path as it was declared, e.g. "/loyalty/{customerId}"; [Stage] lists its forms
	Method   string // the HTTP method, e.g. "GET"
}

// text returns r for logs: "GET /pets/{id} of pets:dev", or only "pets:dev" for a route that names a stage alone.
func (r Route) text() string {
	stage := r.API + ":" + r.Stage
	if r.Method == "" && r.Resource == "" {
		return stage
	}
	return r.Method + " " + r.Resource + " of " + stage
}

// Pattern returns a function for Config.Route, for one API and stage. It reads the pattern that [http.ServeMux] or chi
// has matched and removes the method, the host and a leading "/stage". The rest is the resource: of "GET
// /Prod/pets/{id}" it is "/pets/{id}", if the stage is "Prod". The function reports false if no pattern has matched
// yet; a [Meter] must wrap the handlers of a mux, not the mux.
//
// The method is that of the pattern. For example, a HEAD request that the mux serves by a GET pattern counts as GET. If
// the pattern has no method, it is the request's. A method that API Gateway does not know is ANY then, so that callers
// cannot invent methods and get a fresh bucket for each.
//
// ServeMux's end of a path, "/{$}", is removed: "/Prod/pets/{$}" is "/pets". A pattern that ends in a slash is a
// subtree and keeps the slash: "/Prod/pets/" is "/pets/". "/" and "/Prod/" are "/{...}".
func Pattern(api, stage string) func(*http.Request) (Route, bool) {
	return func(r *http.Request) (Route, bool) {
		slash := strings.IndexByte(r.Pattern, '/')
		if slash < 0 {
			return Route{}, false
		}
		method := known(r.Method)
		if blank := strings.IndexAny(r.Pattern[:slash], " \t"); blank >= 0 { // ServeMux accepts both
			method = r.Pattern[:blank]
		}
		return Route{API: api, Stage: stage, Resource: resource(r.Pattern[slash:], stage), Method: method}, true
	}
}

// known returns the method if API Gateway can declare it, else ANY
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-method-settings.html).
func known(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions:
		return method
	}
	return anyVerb
}

// anyVerb is API Gateway's name for the methods of a resource that are not declared one by one.
const anyVerb = "ANY"

// resource returns the path of a pattern without a leading "/stage" and without ServeMux's "/{$}".
func resource(path, stage string) string {
	if rest, found := strings.CutPrefix(path[1:], stage); found && stage != "" && (rest == "" || rest[0] == '/') {
		path = rest
	}
	if exact, ends := strings.CutSuffix(path, "/{$}"); ends {
		path = exact
	}
	switch path {
	case "":
		return "/"
	case "/":
		return subtree
	}
	return path
}
