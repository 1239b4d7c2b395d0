package custom

import (
	"net/http"
	"regexp"
	"strings"
)

// maxARN is the length of a method ARN from which on API Gateway answers 414.
const maxARN = 1600

var stageARN = regexp.MustCompile(`\Aarn:[a-z0-9-]+:execute-api:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9-]+/[A-Za-z0-9_$-]+\z`)

// methods names the methods of an API.
type methods struct {
	stage, mount string
}

// named reports whether a method is one that has a name: routers differ in whether get is GET, and a slash would move the
// path.
func named(method string) bool {
	for i := range len(method) {
		if b := method[i]; b != '-' && (b < 'A' || b > 'Z') {
			return false
		}
	}
	return method != ""
}

// arn returns the method ARN of r, such as arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/loyalty/1,
// or "" where there is no stage. Its path is the decoded one, as routers compare it.
func (m methods) arn(r *http.Request) (string, error) {
	if m.stage == "" && m.mount == "" {
		return "", nil
	}
	path, method := r.URL.Path, or(r.Method, http.MethodGet) // as package http has it
	if path == "" {
		path = "/"
	}
	own, mounted := strings.CutPrefix(path, m.mount)
	if mounted && own == "" {
		own = "/"
	}
	if m.stage != "" && len(m.stage)+1+len(method)+len(own) > maxARN { // before the path is walked
		return "", ErrURITooLong
	}
	if !mounted || !plain(path) || slash(r.URL.EscapedPath()) || !named(method) || own[0] != '/' {
		return "", ErrPath
	}
	if m.stage == "" {
		return "", nil
	}
	return m.stage + "/" + method + own, nil
}

// asGET returns the method ARN of the GET that a HEAD may be served as, and whether arn is that of a HEAD.
func (m methods) asGET(arn string) (string, bool) {
	path, head := strings.CutPrefix(arn, m.stage+"/HEAD/")
	if !head {
		return "", false
	}
	return m.stage + "/GET/" + path, true
}

// plain reports whether path begins with a slash and has no part that a router may remove or go back by: a policy
// would be evaluated for another path than the one that is served. The last part may be empty.
func plain(path string) bool {
	return strings.HasPrefix(path, "/") && !strings.Contains(path, "//") &&
		!strings.Contains(path, "/./") && !strings.HasSuffix(path, "/.") &&
		!strings.Contains(path, "/../") && !strings.HasSuffix(path, "/..")
}

// slash reports whether an encoded slash is in path: routers differ in whether it separates.
func slash(path string) bool {
	return strings.Contains(path, "%2F") || strings.Contains(path, "%2f")
}
