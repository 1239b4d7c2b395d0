package admin

import (
	"net/http"
	"net/url"
	"strings"
)

// A route is one operation of the control plane.
type route struct {
	operation string
	method    string
	path      string // a segment "*" stands for an id
	serve     func(*Server, *call) (result, error)
	reveals   string // always, or the query parameter by which the caller asks for values of keys
}

// always is the reveals of an operation that shows values of keys without being asked.
const always = "always"

// routes are API Gateway's operations on keys, plans, usage, tags and the account, and those by which clients find APIs
// and stages. The first match counts (https://docs.aws.amazon.com/apigateway/latest/api/API_Operations.html).
//
// It is a table and not an http.ServeMux, because each operation has more than a handler: its name and its resource for
// Authorize. A mux would also redirect unclean paths and answer 404 and 405, where API Gateway answers 403.
var routes = []route{
	{"ImportApiKeys", http.MethodPost, "/apikeys", (*Server).importKeys, ""}, // with ?mode=import
	{"CreateApiKey", http.MethodPost, "/apikeys", (*Server).createKey, always},
	{"GetApiKeys", http.MethodGet, "/apikeys", (*Server).getKeys, "includeValues"},
	{"GetApiKey", http.MethodGet, "/apikeys/*", (*Server).getKey, "includeValue"},
	{"UpdateApiKey", http.MethodPatch, "/apikeys/*", (*Server).updateKey, ""},
	{"DeleteApiKey", http.MethodDelete, "/apikeys/*", (*Server).deleteKey, ""},

	{"CreateUsagePlan", http.MethodPost, "/usageplans", (*Server).createPlan, ""},
	{"GetUsagePlans", http.MethodGet, "/usageplans", (*Server).getPlans, ""},
	{"GetUsagePlan", http.MethodGet, "/usageplans/*", (*Server).getPlan, ""},
	{"UpdateUsagePlan", http.MethodPatch, "/usageplans/*", (*Server).updatePlan, ""},
	{"DeleteUsagePlan", http.MethodDelete, "/usageplans/*", (*Server).deletePlan, ""},

	{"CreateUsagePlanKey", http.MethodPost, "/usageplans/*/keys", (*Server).createPlanKey, always},
	{"GetUsagePlanKeys", http.MethodGet, "/usageplans/*/keys", (*Server).getPlanKeys, always},
	{"GetUsagePlanKey", http.MethodGet, "/usageplans/*/keys/*", (*Server).getPlanKey, always},
	{"DeleteUsagePlanKey", http.MethodDelete, "/usageplans/*/keys/*", (*Server).deletePlanKey, ""},

	{"GetUsage", http.MethodGet, "/usageplans/*/usage", (*Server).getUsage, ""},
	{"UpdateUsage", http.MethodPatch, "/usageplans/*/keys/*/usage", (*Server).updateUsage, ""},

	{"TagResource", http.MethodPut, "/tags/*", (*Server).tagResource, ""},
	{"UntagResource", http.MethodDelete, "/tags/*", (*Server).untagResource, ""},
	{"GetTags", http.MethodGet, "/tags/*", (*Server).getTags, ""},

	{"GetAccount", http.MethodGet, "/account", (*Server).getAccount, ""},
	{"UpdateAccount", http.MethodPatch, "/account", (*Server).updateAccount, ""},

	{"GetRestApis", http.MethodGet, "/restapis", (*Server).getAPIs, ""},
	{"GetRestApi", http.MethodGet, "/restapis/*", (*Server).getAPI, ""},
	{"GetStages", http.MethodGet, "/restapis/*/stages", (*Server).getStages, ""},
	{"GetStage", http.MethodGet, "/restapis/*/stages/*", (*Server).getStage, ""},
}

// find returns the route of r and the ids in its path.
//
// It reads the path as it was sent. The ARN in /tags/{arn} has an escaped slash, and is one segment. Nothing is cleaned:
// a path with an empty segment, or with an escape in a name that needs none, has no route.
func find(r *http.Request) (*route, []string, error) {
	path := r.URL.EscapedPath()
	for i := range routes {
		rt := &routes[i]
		if rt.method != r.Method {
			continue
		}
		if ids, ok := rt.match(path); ok && (rt.operation != "ImportApiKeys" || imports(r)) {
			return rt, ids, nil
		}
	}
	return nil, nil, ErrNoRoute
}

// imports reports whether a POST to /apikeys imports a file. Whether the mode is the right one is looked at later, when
// the caller is known.
func imports(r *http.Request) bool { return r.URL.Query().Has("mode") }

// match returns what the ids of the route stand for in path. Each has at least one character.
func (rt *route) match(path string) (ids []string, ok bool) {
	pattern := rt.path
	for pattern != "" {
		var want, got string
		want, pattern = segment(pattern)
		if path == "" {
			return nil, false
		}
		got, path = segment(path)
		if want != "*" {
			if got != want {
				return nil, false
			}
			continue
		}
		id, err := url.PathUnescape(got)
		if err != nil || id == "" {
			return nil, false
		}
		ids = append(ids, id)
	}
	return ids, path == ""
}

// segment returns the first segment of a path, without its slash, and the rest, which is empty or begins with a slash.
func segment(path string) (first, rest string) {
	path = strings.TrimPrefix(path, "/")
	if i := strings.IndexByte(path, '/'); i >= 0 {
		return path[:i], path[i:]
	}
	return path, ""
}

// resource returns the path of what the route is about, as it stands in an ARN. An id is escaped there, so that none
// can pass for another path: a plan of the id "a/keys" is "/usageplans/a%2Fkeys".
func (rt *route) resource(ids []string) string {
	path := rt.path
	for _, id := range ids {
		path = strings.Replace(path, "*", url.PathEscape(id), 1)
	}
	return path
}
