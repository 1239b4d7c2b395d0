package usageplan

import (
	"net/http"
	"strings"
)

// A Route is where a request goes, in API Gateway's terms.
type Route struct {
	API      string // the id of the API, e.g. "airline-loyalty"
	Stage    string // the name of the stage, e.g. "Prod"
	Resource string // the resource path as declared, e.g. "/loyalty/{customerId}"; see [Stage] for its forms
	Method   string // the HTTP method, e.g. "GET"
}

// Pattern returns a route source for one api and stage. It reads the pattern that [http.ServeMux] or chi matched,
// drops method, host and a leading "/stage", and takes the rest as the resource path: "GET /Prod/pets/{id}" is the
// resource "/pets/{id}" of stage "Prod". A method in the pattern wins over the request's, so a HEAD request that the
// mux serves by a GET pattern counts against GET. Where the pattern names none, a method that API Gateway does not know
// is ANY: callers cannot invent methods, each with buckets of its own.
//
// ServeMux's end of the path, "{$}", is dropped with the slash before it: "/Prod/pets/{$}" is "/pets". A pattern that
// ends in a slash is a subtree and keeps the slash, "/pets/"; "/" and "/Prod/" are "/{...}".
//
// It reports false where no pattern has matched yet: a [Meter] wraps the handlers of a mux, not the mux itself.
func Pattern(api, stage string) func(*http.Request) (Route, bool) {
	return func(r *http.Request) (Route, bool) {
		slash := strings.IndexByte(r.Pattern, '/')
		if slash < 0 {
			return Route{}, false
		}
		method := known(r.Method)
		if blank := strings.IndexAny(r.Pattern[:slash], " \t"); blank >= 0 { // ServeMux takes either
			method = r.Pattern[:blank]
		}
		return Route{API: api, Stage: stage, Resource: resource(r.Pattern[slash:], stage), Method: method}, true
	}
}

// known returns the method if API Gateway can declare it, else ANY
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-method-settings.html).
func known(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return anyVerb
}

// anyVerb is API Gateway's name for the methods of a resource that are not declared one by one.
const anyVerb = "ANY"

// resource drops a leading "/stage" and ServeMux's end marker from a pattern's path.
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
