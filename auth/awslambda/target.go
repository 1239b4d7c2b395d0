package awslambda

import (
	"net/url"
	"strings"
)

// target sets the path and the query of a request, in two forms. RequestURI is what the client has sent, and has signed
// with SigV4. URL is what a mux routes by: its path has no stage and no mapping key, so that one mux serves all.
//
// REST APIs, function URLs and ALBs deliver the path as it was sent. HTTP APIs decode it. It is escaped again as
// net/url escapes, so "%2F" has become "/", and "%c3" comes out as "%C3".
func (p *payload) target(base map[string]string) (requestURI string, u *url.URL, err error) {
	sent, path, query := p.rawPath, p.rawPath, p.rawQuery
	switch p.Kind {
	case REST:
		sent, path, query = p.sentPath, p.withoutKey(p.path, base), p.rebuiltQuery(appendEscaped)
	case HTTP1:
		path = escapePath(p.withoutKey(p.withoutStage(p.path), base))
		sent, query = escapePath(p.sentPath), p.rebuiltQuery(appendEscaped)
	case HTTP2:
		sent, path = p.pathsOfHTTP2(base)
	case ALB: // an ALB decodes neither the path nor the parameters
		sent, path, query = p.path, p.path, p.rebuiltQuery(appendRaw)
	}
	if path == "" { // of a WebSocket API's authorizer
		path = "/"
	}
	if sent == "" { // an event that was written by hand
		sent = path
	}
	if u, err = parsePath(path); err != nil || query == "" {
		return sent, u, err
	}
	u.RawQuery = query
	return sent + "?" + query, u, checkQuery(query)
}

// parsePath reads a path as net/http reads a request line.
func parsePath(path string) (*url.URL, error) {
	if strings.ContainsAny(path, "?#") || path[0] != '/' && path != "*" {
		return nil, errTarget
	}
	if strings.IndexByte(path, '%') < 0 && isPlain(path) { // most paths: saves the parser's work
		return &url.URL{Path: path}, nil
	}
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return nil, errTarget
	}
	return u, nil
}

// isPlain reports whether a path has only bytes that no URL escapes.
func isPlain(path string) bool {
	for i := range len(path) {
		if !unreserved[path[i]] && path[i] != '/' {
			return false
		}
	}
	return true
}

// checkQuery refuses what cannot stand in a request line: blanks and control characters. A handler that copies the
// query into another request or a log must not copy a line break. The handler decides about everything else, such as
// malformed escapes: net/http's server passes them on too.
func checkQuery(query string) error {
	for i := range len(query) {
		if query[i] <= ' ' || query[i] == 0x7f {
			return errTarget
		}
	}
	return nil
}

// pathsOfHTTP2 returns what the client has sent and the path of the route. rawPath always begins with the stage, unless
// that is $default, and never has the mapping key of a custom domain. A client sends the stage to the default domain
// name, and the mapping key to a custom one.
//
// Example: stage Prod, mapping key v1. A request for https://api.example.com/v1/pets has the rawPath /Prod/pets.
func (p *payload) pathsOfHTTP2(base map[string]string) (sent, path string) {
	path = escapePath(p.withoutStage(p.rawPath))
	if p.onDefaultDomain() {
		return escapePath(p.rawPath), path
	}
	if key := base[p.Domain]; key != "" {
		return "/" + key + path, path
	}
	return path, path
}

// withoutStage removes the stage from a path that begins with it. In format 1.0 path has the stage only if it is the
// same as requestContext.path and the client has called the default domain name.
func (p *payload) withoutStage(path string) string {
	if p.Stage == "" || p.Stage == "$default" || p.Kind == HTTP1 && (path != p.sentPath || !p.onDefaultDomain()) {
		return path
	}
	return withoutPrefix(path, p.Stage)
}

// withoutKey removes the mapping key of a custom domain from the path of a REST API or of format 1.0. AWS removes the
// stage from such a path, but not the key: then the path is the same as requestContext.path.
//
// Example: mapping key v1. A request for https://api.example.com/v1/pets has the path /v1/pets, and one for the default
// domain name the path /pets.
func (p *payload) withoutKey(path string, base map[string]string) string {
	if key := base[p.Domain]; key != "" && path == p.sentPath {
		return withoutPrefix(path, key)
	}
	return path
}

// withoutPrefix removes whole segments that a path begins with.
func withoutPrefix(path, segments string) string {
	rest, ok := strings.CutPrefix(path, "/"+segments)
	switch {
	case ok && rest == "":
		return "/"
	case ok && rest[0] == '/':
		return rest
	}
	return path
}

// onDefaultDomain reports whether the client has called the API's default domain and not a custom one. It asks the
// domainName, which AWS writes, and not the Host field, which the client writes. So no client can choose with which of
// two paths its signature is compared.
//
// The default domain is "<API id>.execute-api.<region>.…"; any other is a custom one.
func (p *payload) onDefaultDomain() bool {
	rest, ok := strings.CutPrefix(p.Domain, p.API)
	return ok && strings.HasPrefix(rest, ".execute-api.")
}

// escapePath returns the escaped form of a decoded path. It is what most clients have sent, since most URL libraries
// escape the same characters. What they escape in another way cannot be known from a decoded path; doc.go has the list.
func escapePath(path string) string {
	if isPlain(path) {
		return path
	}
	return (&url.URL{Path: path}).EscapedPath()
}

// rebuiltQuery makes a query of the parameters, in the order of the event. The order in which the client sent them is
// lost. That does not matter for a signature, because SigV4 sorts them. write appends a name or a value.
func (p *payload) rebuiltQuery(write func([]byte, string) []byte) string {
	parameters := p.multiQuery
	if parameters == "" {
		parameters = p.query
	}
	if parameters == "" || parameters == "{}" {
		return ""
	}
	query := make([]byte, 0, len(parameters)+len(parameters)/2)
	eachValue(parameters, func(name, value string) {
		if len(query) > 0 {
			query = append(query, '&')
		}
		query = append(write(query, name), '=')
		query = write(query, value)
	})
	return string(query)
}

// eachValue calls do for each value of an object whose members are strings or lists of strings. It leaves out members
// of any other type. AWS writes null for a field or a parameter that is not there.
func eachValue(object string, do func(name, value string)) {
	r := jsonReader{text: object}
	for name, ok := r.member(); ok; name, ok = r.member() {
		if r.space(); r.text[r.at] != '[' {
			if r.text[r.at] == '"' {
				do(name, r.string())
			} else {
				r.skip()
			}
			continue
		}
		for r.element() {
			do(name, r.string())
		}
	}
}

// unreserved are the characters that SigV4 does not escape (RFC 3986 section 2.3).
var unreserved = func() (set [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") {
		set[c] = true
	}
	return set
}()

// appendEscaped writes a decoded name or value. A blank becomes %20, because for SigV4 a "+" is a plus sign. net/url
// would write "+" for it.
func appendEscaped(to []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; unreserved[c] {
			to = append(to, c)
		} else {
			to = append(to, '%', digits[c>>4], digits[c&15])
		}
	}
	return to
}

// appendRaw writes a name or value that was not decoded, as an ALB delivers it.
func appendRaw(to []byte, s string) []byte { return append(to, s...) }
