package usageplan

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// A method is one method of a stage. The resource of a throttle is in the form that parseResource returns, the resource
// of a route as the route spells it.
type method struct{ resource, verb string }

// everyMethod is the key "/*/*", which stands for all methods without a key. It is no route's method, because a
// resource begins with a slash.
var everyMethod = method{"*", "*"}

// parseMethod reads the key of a method throttle, "/resource/path/VERB". The last slash separates the resource and the
// verb. It reads the spellings of several tools: API Gateway's "/pets/GET" and "/*/*", Terraform's "pets/GET" and
// "*/*", and those of patch operations, "~1pets~1{id}/GET"
// (https://docs.aws.amazon.com/apigateway/latest/api/patch-operations.html, with the escapes of RFC 6901 section 3).
func parseMethod(key string) (method, error) {
	text := pointer.Replace(key)
	if text == "/*/*" || text == "*/*" {
		return everyMethod, nil
	}
	i := strings.LastIndexByte(text, '/')
	if i < 1 || !capitals(text[i+1:]) || strings.TrimLeft(text[:i], "/") == "*" {
		return method{}, fmt.Errorf("method %q is neither /resource/path/METHOD nor /*/*; METHOD is in capitals, and ANY is all",
			clip(key))
	}
	resource, err := parseResource("/" + strings.TrimLeft(text[:i], "/"))
	if err != nil {
		return method{}, fmt.Errorf("method %q fits no route: %w", clip(key), err)
	}
	return method{resource, text[i+1:]}, nil
}

// pointer undoes the escapes of a JSON pointer. It does so in one pass, so that "~01" is "~1" and not "/" (RFC 6901
// section 4).
var pointer = strings.NewReplacer("~1", "/", "~0", "~")

// capitals reports whether s consists of A to Z and is not empty.
func capitals(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// What parseResource writes in place of a path parameter.
const (
	oneSegment  = "{}"  // it matches one segment, or a part of one
	allSegments = "{+}" // it matches the rest of the path
)

// parseResource returns the canonical form of a resource path: parameters without names, no slash at the end, no
// escapes. For example, "/pets/{id}/" is "/pets/{}", and "/files/{proxy+}" is "/files/{+}". It refuses a path that no
// route can have.
func parseResource(path string) (string, error) {
	path = strings.TrimSuffix(unescape(path), "/{$}")      // ServeMux's end of a path
	if before, all := strings.CutSuffix(path, "/*"); all { // chi's parameter for the rest of a path
		path = before + "/" + allSegments
	} else {
		path = strings.TrimSuffix(path, "/")
	}
	if path == "" {
		return "/", nil
	}
	var b strings.Builder
	for rest := path; rest != ""; {
		literal, after, isParameter := strings.Cut(rest, "{")
		if strings.ContainsAny(literal, "}*?#") {
			return "", fmt.Errorf("%q is not a part of a path", clip(literal))
		}
		b.WriteString(literal)
		if rest = ""; isParameter {
			form, end, closed := cutParameter(after)
			if !closed {
				return "", errors.New("a parameter has no end")
			}
			b.WriteString(form)
			rest = end
		}
	}
	return checkSegments(b.String())
}

// checkSegments returns the path, or an error if no route can have it.
func checkSegments(path string) (string, error) {
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		switch {
		case s == "":
			return "", errors.New("it has an empty segment")
		case s == "." || s == "..":
			return "", errors.New("it is not a clean path") // ServeMux redirects a request for it
		case s != strings.TrimSpace(s):
			return "", errors.New("it has a segment with a blank at its end")
		}
		if strings.Contains(s, allSegments) && (s != allSegments || i < len(segments)-1) {
			return "", errors.New("a parameter for the rest of the path is not the last segment")
		}
	}
	return path, nil
}

// cutParameter reads a path parameter. s begins after its opening brace. It returns the parameter's form and what
// follows the closing brace. API Gateway's "{proxy+}" and ServeMux's "{proxy...}" are allSegments. All others are
// oneSegment, such as chi's "{id:[0-9]{3}}", which has braces inside.
func cutParameter(s string) (form, rest string, closed bool) {
	depth := 1
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			depth--
		}
		if depth > 0 {
			continue
		}
		name := s[:i]
		if (strings.HasSuffix(name, "+") || strings.HasSuffix(name, "...")) && !strings.Contains(name, ":") {
			return allSegments, s[i+1:], true
		}
		return oneSegment, s[i+1:], true
	}
	return "", "", false
}

// unescape undoes percent-encoding, as ServeMux does in its patterns. An encoded slash stays encoded, because it does
// not separate segments.
func unescape(path string) string {
	if strings.IndexByte(path, '%') < 0 {
		return path
	}
	if plain, err := url.PathUnescape(encodedSlash.Replace(path)); err == nil {
		return plain
	}
	return path
}

// encodedSlash encodes encoded slashes a second time, so that decoding once leaves them encoded.
var encodedSlash = strings.NewReplacer("%2f", "%252F", "%2F", "%252F")

// How well the resource of a route fits the resource of a throttle.
const (
	noFit   = iota
	baseFit // the route is the subtree below the throttle's resource: route "/pets/", throttle "/pets"
	fullFit // they are the same resource: route "/pets/", throttle "/pets/{proxy+}"
)

// subtree is the resource of ServeMux's pattern "/", which matches every path. Any other subtree is known by the slash
// at its end; "/" itself is the root.
const subtree = "/{...}"

// fit compares the resource of a route with a resource of parseResource. It runs in every request and does not
// allocate. For example:
//
//	throttle "/pets/{}",  route "/pets/{id}"         fullFit
//	throttle "/pets/{}",  route "/pets/{id:[0-9]+}"  fullFit: chi's parameter with an expression
//	throttle "/pets/{+}", route "/pets/"             fullFit: a subtree is the rest of the path
//	throttle "/pets",     route "/pets/"             baseFit
//	throttle "/pets",     route "/pets/{id}"         noFit
func fit(throttle, route string) int {
	var space [maxShape]byte
	return newShape(space[:0], route).fits(throttle)
}

// A shape is the resource of a route in the form of parseResource. For a subtree, text[:base] is the resource below
// which it is: "/pets/" has the text "/pets/{+}" and the base "/pets".
type shape struct {
	text []byte
	base int // 0 if the route is no subtree
}

// maxShape is the length of a shape in bytes that needs no allocation. Most resources are shorter.
const maxShape = 128

// newShape appends the shape of a route to space. A route with a parameter that is not closed has the zero shape, which
// fits no throttle.
func newShape(space []byte, route string) shape {
	switch {
	case route == "" || route == "/":
		return shape{append(space, '/'), 0}
	case route == subtree:
		return shape{append(space, "/"+allSegments...), 1}
	case strings.HasSuffix(route, "/{$}"):
		return newShape(space, route[:len(route)-len("/{$}")])
	}
	head, isProxy := strings.CutSuffix(route, "/*") // chi's parameter for the rest of a path
	isSubtree := false
	if !isProxy {
		head, isSubtree = strings.CutSuffix(head, "/")
	}
	text, closed := appendForms(space, head)
	if !closed {
		return shape{}
	}
	s := shape{text: text}
	if isSubtree {
		s.base = len(text)
	}
	if isProxy || isSubtree {
		s.text = append(text, "/"+allSegments...)
	}
	return s
}

// appendForms appends a resource in which each parameter is replaced by its form. It reports false if a parameter is
// not closed.
func appendForms(b []byte, resource string) (text []byte, closed bool) {
	for {
		literal, after, isParameter := strings.Cut(resource, "{")
		b = append(b, literal...)
		if !isParameter {
			return b, true
		}
		form, rest, closed := cutParameter(after)
		if !closed {
			return nil, false
		}
		b, resource = append(b, form...), rest
	}
}

// fits returns how well s fits the throttle's resource.
func (s shape) fits(throttle string) int {
	switch throttle {
	case string(s.text):
		return fullFit
	case string(s.text[:s.base]):
		return baseFit
	}
	return noFit
}
