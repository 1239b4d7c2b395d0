package custom

import (
	"net/http"
	"regexp"
	"strings"
)

// maxARN is how many bytes a method ARN may have. API Gateway answers 414 to a request whose method ARN is longer.
const maxARN = 1600

// stageARN matches the ARN of an API's stage.
var stageARN = regexp.MustCompile(`\Aarn:[a-z0-9-]+:execute-api:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9-]+/[A-Za-z0-9_$-]+\z`)

// methods makes the ARNs of an API's methods.
type methods struct {
	stage, mount string // Config.StageARN and Config.Mount
}

// named reports whether method consists of capitals and hyphens. Other methods are refused: some routers take get for
// GET, and a slash in a method would shift the path in the method ARN.
func named(method string) bool {
	for i := range len(method) {
		if b := method[i]; b != '-' && (b < 'A' || b > 'Z') {
			return false
		}
	}
	return method != ""
}

// arn returns the method ARN of r, such as arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/loyalty/1. It
// returns "" if there is no stage. The path in it is decoded, as routers compare it.
func (m methods) arn(r *http.Request) (string, error) {
	if m.stage == "" && m.mount == "" {
		return "", nil
	}
	path, method := r.URL.Path, or(r.Method, http.MethodGet) // in package http, an empty method means GET
	if path == "" {
		path = "/"
	}
	own, mounted := strings.CutPrefix(path, m.mount)
	if mounted && own == "" {
		own = "/"
	}
	// The length is checked first, since the checks below take time for each byte. If a slash is encoded, package url
	// sets RawPath. EscapedPath would hide it where the path also has a byte that ought to be encoded and is not.
	if m.stage != "" && len(m.stage)+1+len(method)+len(own) > maxARN {
		return "", errURITooLong
	}
	if !plain(path) || slash(r.URL.RawPath) || !named(method) {
		return "", errAmbiguousPath
	}
	if !mounted || own[0] != '/' {
		return "", errNotMounted
	}
	if m.stage == "" {
		return "", nil
	}
	return m.stage + "/" + method + own, nil
}

// asGET returns the method ARN of GET for the same path, and true, if arn is the method ARN of a HEAD.
func (m methods) asGET(arn string) (string, bool) {
	path, head := strings.CutPrefix(arn, m.stage+"/HEAD/")
	if !head {
		return "", false
	}
	return m.stage + "/GET/" + path, true
}

// plain reports whether path begins with a slash and has no empty parts and no parts "." and "..". A router may resolve
// such parts, and then serves another path than the one that the policy was evaluated for. The last part may be empty.
func plain(path string) bool {
	return strings.HasPrefix(path, "/") && !strings.Contains(path, "//") &&
		!strings.Contains(path, "/./") && !strings.HasSuffix(path, "/.") &&
		!strings.Contains(path, "/../") && !strings.HasSuffix(path, "/..")
}

// slash reports whether path has an encoded slash. Some routers take it for a separator, others do not.
func slash(path string) bool {
	return strings.Contains(path, "%2F") || strings.Contains(path, "%2f")
}
