package policy

import (
	"net/http"
	"regexp"
	"strings"
)

// stageARN matches the ARN of an API's stage. The dollar is for $default, the stage that an HTTP API begins with.
var stageARN = regexp.MustCompile(`\Aarn:[a-z0-9-]+:execute-api:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9-]+/[A-Za-z0-9_$-]+\z`)

// api makes the ARNs of an API's methods.
type api struct {
	stage, mount string // GateConfig.StageARN and GateConfig.Mount
}

// method returns the method ARN of r, such as arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/loyalty/1.
// The path in it is decoded, as routers compare it. Package custom makes the same ARN: a policy means the same in both.
func (a api) method(r *http.Request) (string, error) {
	path, method := r.URL.Path, r.Method
	if path == "" {
		path = "/"
	}
	if method == "" { // in package http, an empty method means GET
		method = http.MethodGet
	}
	own, mounted := strings.CutPrefix(path, a.mount)
	if mounted && own == "" { // the mount itself is the root of the API
		own = "/"
	}
	// The length is checked first, since the checks below take time for each byte. If a slash is encoded, package url
	// sets RawPath. EscapedPath would hide it where the path also has a byte that ought to be encoded and is not.
	switch {
	case len(a.stage)+1+len(method)+len(own) > longest:
		return "", errURITooLong
	case !plain(path) || slash(r.URL.RawPath) || !named(method):
		return "", errAmbiguousPath
	case !mounted || own[0] != '/': // with the mount /Prod, /Production begins with it but is not below it
		return "", errNotMounted
	}
	return a.stage + "/" + method + own, nil
}

// asGET returns the method ARN of GET for the same path, and true, if arn is the method ARN of a HEAD. It must be one
// that method has made, since the stage is cut off by its length.
func (a api) asGET(arn string) (string, bool) {
	path, head := strings.CutPrefix(arn[len(a.stage):], "/HEAD/")
	if !head {
		return "", false
	}
	return a.stage + "/GET/" + path, true
}

// masked returns a method ARN as API Gateway names it in an answer: of the account it shows the last four digits.
func masked(arn string) string {
	const shown = 4
	parts := strings.SplitN(arn, ":", partsOfARN)
	account := partsOfARN - 2
	if len(parts) == partsOfARN && len(parts[account]) > shown {
		hidden := len(parts[account]) - shown
		parts[account] = strings.Repeat("*", hidden) + parts[account][hidden:]
	}
	return strings.Join(parts, ":")
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
