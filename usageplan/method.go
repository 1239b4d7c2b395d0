package usageplan

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// A method is one method of a stage. That of a throttle has its resource in the form of parseResource, that of a route
// as the route has it.
type method struct{ resource, verb string }

// everyMethod stands for the methods that are not listed. No route has it: resources begin with a slash.
var everyMethod = method{"*", "*"}

// parseMethod reads the key of a method throttle, "/resource/path/VERB": the last slash parts path and verb. Tools
// write it in several ways: CloudFormation "/*/*" and Terraform "*/*"; patch operations "~1pets~1{id}/GET"
// (https://docs.aws.amazon.com/apigateway/latest/api/patch-operations.html, by RFC 6901 section 3), Terraform's method
// settings "pets/GET" and API Gateway itself "/pets/GET".
func parseMethod(key string) (method, error) {
	text := pointer.Replace(key)
	if text == "/*/*" || text == "*/*" {
		return everyMethod, nil
	}
	i := strings.LastIndexByte(text, '/')
	if i < 1 || !capitals(text[i+1:]) || strings.TrimLeft(text[:i], "/") == "*" {
		return method{}, fmt.Errorf("method %q is neither /resource/path/METHOD nor /*/*; METHOD is in capitals, and ANY is all", clip(key))
	}
	resource, err := parseResource("/" + strings.TrimLeft(text[:i], "/"))
	if err != nil {
		return method{}, fmt.Errorf("method %q fits no route: %w", clip(key), err)
	}
	return method{resource, text[i+1:]}, nil
}

// pointer undoes the escapes of a JSON pointer in one pass, as RFC 6901 section 4 wants it.
var pointer = strings.NewReplacer("~1", "/", "~0", "~")

func capitals(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// The forms of a path parameter in parseResource's result: it has no name, and may stand for the rest of the path.
const (
	oneSegment  = "{}"
	allSegments = "{+}"
)

// parseResource returns a resource path without what does not matter for the match: names of parameters, a slash at the
// end, escapes. It refuses a path that no route can have.
func parseResource(path string) (string, error) {
	path = strings.TrimSuffix(unescape(path), "/{$}")      // ServeMux's end of the path
	if before, all := strings.CutSuffix(path, "/*"); all { // chi's
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

func checkSegments(path string) (string, error) {
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		switch {
		case s == "":
			return "", errors.New("it has an empty segment")
		case s == "." || s == "..":
			return "", errors.New("it is not a clean path") // ServeMux redirects to the clean one
		case s != strings.TrimSpace(s):
			return "", errors.New("it has a segment with a blank at its end")
		}
		if strings.Contains(s, allSegments) && (s != allSegments || i < len(segments)-1) {
			return "", errors.New("a parameter for the rest of the path is not the last segment")
		}
	}
	return path, nil
}

// cutParameter returns the form of the parameter that s begins with, after its opening brace, and what follows it.
// "{proxy+}" is API Gateway's, "{proxy...}" ServeMux's; chi's "{id:[0-9]{3}}" is one segment.
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

// unescape undoes percent-encoding, as ServeMux does in its patterns. A slash that is encoded parts no segments and
// stays.
func unescape(path string) string {
	if strings.IndexByte(path, '%') < 0 {
		return path
	}
	if plain, err := url.PathUnescape(encodedSlash.Replace(path)); err == nil {
		return plain
	}
	return path
}

// encodedSlash encodes encoded slashes once more.
var encodedSlash = strings.NewReplacer("%2f", "%252F", "%2F", "%252F")

// How well the resource of a route fits that of a throttle.
const (
	noFit   = iota
	baseFit // the route is a subtree that begins with the throttle's resource
	fullFit
)

// subtree is the resource of ServeMux's pattern "/", below which everything is. Other subtrees are told by the slash
// that they end in.
const subtree = "/{...}"

// fit compares the resource of a route with one of parseResource. It does not allocate: it runs in every request.
func fit(throttle, route string) int {
	var space [maxShape]byte
	return newShape(space[:0], route).fits(throttle)
}

// A shape is the resource of a route in the form of parseResource. Of a subtree, the first base bytes are the resource
// that it begins with.
type shape struct {
	text []byte
	base int
}

// maxShape is more than most resources have, so that their shapes need no allocation.
const maxShape = 128

// newShape appends the shape of a route to space. A parameter without an end has none, which fits nothing.
func newShape(space []byte, route string) shape {
	switch {
	case route == "" || route == "/":
		return shape{append(space, '/'), 0}
	case route == subtree:
		return shape{append(space, "/"+allSegments...), 1}
	case strings.HasSuffix(route, "/{$}"):
		return newShape(space, route[:len(route)-len("/{$}")])
	}
	head, isProxy := strings.CutSuffix(route, "/*") // chi's
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

// appendForms appends a resource with the forms of its parameters in place of the parameters.
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

func (s shape) fits(throttle string) int {
	switch throttle {
	case string(s.text):
		return fullFit
	case string(s.text[:s.base]):
		return baseFit
	}
	return noFit
}
