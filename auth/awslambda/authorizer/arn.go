package authorizer

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// methodARN matches the ARN of a method. Its groups are the ARN of the stage, and the rest: the method and the path, or
// the route, such as $connect, of a WebSocket API.
var methodARN = regexp.MustCompile(
	`\A(arn:aws[a-z-]*:execute-api:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9]+/[A-Za-z0-9_$-]+)(?:/(?s:(.*)))?\z`)

// longestARN is how many bytes the expression reads at most. API Gateway answers 414 to a request whose method ARN has
// more than 1600 bytes. This is the length after JSON is decoded.
const longestARN = 1600

// target is the method that a caller wants to invoke.
type target struct {
	arn, stage string // of the method and of the stage
	rest       string // of the ARN after the stage, without its slash
}

// parseTarget splits a method ARN. The stage cannot contain a wildcard, so that the Allow for the stage names this
// stage and no other.
func parseTarget(arn string) (target, error) {
	var m []string
	if len(arn) <= longestARN {
		m = methodARN.FindStringSubmatch(arn)
	}
	if m == nil {
		return target{}, badEvent("its method has no ARN of an API's method")
	}
	return target{arn, m[1], m[2]}, nil
}

// methodAndPath returns the method and the decoded path of the ARN. A WebSocket API has neither; its connection begins
// with GET.
func (t target) methodAndPath() (method, path string) {
	method, path, _ = strings.Cut(t.rest, "/")
	if method == "" || method[0] == '$' {
		return "GET", "/"
	}
	return method, "/" + path
}

// whole is the resource of all methods of the stage.
func (t target) whole() string { return t.stage + "/*" }

// exact returns the resource that names this method alone. It reports false if the path contains a wildcard. The client
// chooses the path, and a policy has no way to write an asterisk that is not a wildcard. Example: an Allow for the
// literal path /loyalty/* would also allow /loyalty/1. "${" begins a policy variable, such as ${aws:userid}.
//
// A path with a control character or U+FFFD cannot be named either: package policy refuses it. That is the client's
// fault, and no error of the function.
func (t target) exact() (string, bool) {
	odd := strings.ContainsFunc(t.rest, func(c rune) bool { return unicode.IsControl(c) || c == utf8.RuneError })
	return t.arn, !odd && !strings.ContainsAny(t.rest, "*?") && !strings.Contains(t.rest, "${")
}
