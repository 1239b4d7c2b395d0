package admin

import (
	"math"
	"strings"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
)

// patchMethods applies an operation on the method throttles of a stage. path is what follows "throttle" in its path.
//
// API Gateway's documentation writes a method as <resourcePath>/<httpMethod>. Terraform puts a slash before that even
// if the resource path begins with one, "//pets/GET". The escapes of a JSON pointer, "/~1pets/GET", are read as well.
// The root is "///GET", "//GET" or "/~1/GET".
func patchMethods(s *usageplan.Stage, o operation, path string) error {
	switch {
	case path == "":
		return patchAllMethods(s, o)
	case o.op == "remove":
		return removeMethod(s, path)
	}
	path, field, _ := cutLast(path)
	if field != "rateLimit" && field != "burstLimit" {
		return o.invalidPath(planPaths[o.op]...)
	}
	key, err := parseMethodKey(strings.TrimPrefix(path, "/"))
	if err != nil {
		return err
	}
	limit := ratelimit.Limit{Rate: accountRate, Burst: accountBurst}
	if spelling, found := findMethod(s.Methods, key); found {
		key, limit = spelling, s.Methods[spelling]
	} else if len(s.Methods) >= maxMethods {
		return tooManyMethods()
	}
	if err := patchLimit(&limit, o, field); err != nil {
		return err
	}
	if s.Methods == nil {
		s.Methods = make(map[string]ratelimit.Limit)
	}
	s.Methods[key] = limit
	return nil
}

// removeMethod removes the throttle of one method.
func removeMethod(s *usageplan.Stage, path string) error {
	key, err := parseMethodKey(strings.TrimPrefix(path, "/"))
	if err != nil {
		return err
	}
	spelling, found := findMethod(s.Methods, key)
	if !found {
		return notFound("Invalid method {%s} specified", methodText(key))
	}
	delete(s.Methods, spelling)
	return nil
}

// maxMethods is how many methods of a stage this control plane throttles. API Gateway's limit is 20
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html).
const maxMethods = 500

func tooManyMethods() error {
	return badRequest("Too many methods specified, can be at most %d", maxMethods)
}

// patchAllMethods applies an operation on all method throttles of a stage together. Add does what replace does, as in
// RFC 6902 section 4.1.
func patchAllMethods(s *usageplan.Stage, o operation) (err error) {
	if o.op == "remove" {
		s.Methods = nil
		return nil
	}
	doc, err := parseBody([]byte(o.value)) // a body may hide its values in the escapes of a text
	if err != nil || doc.isNull() {
		return badRequest("Invalid patch value specified for path '%s'. Must be a JSON object", clip(o.path))
	}
	s.Methods, err = readMethods(doc)
	if err == nil && doc.finish() != nil {
		err = badRequest("Invalid patch value specified for path '%s': %v", clip(o.path), doc.finish())
	}
	return err
}

// readMethods reads method throttles of a body or of a patch value, in API Gateway's form:
//
//	{"/pets/GET": {"rateLimit": 1.0, "burstLimit": 2}}
//
// A half that is left out is the account's; if both are, there is no throttle. See [usageplan.Load], which has the same
// rules.
func readMethods(n node) (map[string]ratelimit.Limit, error) {
	names := n.names()
	if len(names) > maxMethods {
		return nil, tooManyMethods()
	}
	methods := make(map[string]ratelimit.Limit)
	for _, name := range names {
		key, err := parseMethodKey(strings.TrimPrefix(name, "/"))
		if err != nil {
			return nil, err
		}
		if _, twice := findMethod(methods, key); twice {
			return nil, badRequest("Invalid method {%s} specified", methodText(key))
		}
		limit, err := readLimit(n.field(name))
		if err != nil {
			return nil, err
		}
		if limit != nil {
			methods[key] = *limit
		}
	}
	return methods, nil
}

// readLimit reads a throttle in API Gateway's form, or returns nil if it has neither half.
func readLimit(n node) (*ratelimit.Limit, error) {
	n.known("rateLimit", "burstLimit")
	rate, burst := n.field("rateLimit"), n.field("burstLimit")
	if rate.isNull() && burst.isNull() {
		return nil, nil
	}
	l := ratelimit.Limit{Rate: accountRate, Burst: accountBurst}
	if !rate.isNull() {
		l.Rate = rate.number()
	}
	if !burst.isNull() {
		l.Burst = burst.whole()
	}
	switch {
	case l.Rate < 0 || math.IsInf(l.Rate, 0):
		return nil, badRequest("Usage Plan throttle rate limit must be a non-negative numeric")
	case l.Burst < 0:
		return nil, badRequest("Usage Plan throttle burst limit must be a non-negative numeric")
	}
	return &l, nil
}

// parseMethodKey returns the key of a method throttle in API Gateway's form, "/pets/{id}/GET" or "//GET". text is the
// key without its first slash, "pets/{id}/GET", or any spelling of patchMethods.
func parseMethodKey(text string) (string, error) {
	resource, verb, found := cutLast(pointer.Replace(text))
	key := "/" + strings.TrimPrefix(resource, "/") + "/" + verb
	if key == "/*/*" {
		return key, nil
	}
	if !found || verb == "" || strings.Trim(verb, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "", badRequest("Invalid method {%s} specified", methodText(key))
	}
	return key, nil
}

// pointer undoes the escapes of a JSON pointer (RFC 6901 section 4) in one pass, so that "~01" is "~1".
var pointer = strings.NewReplacer("~1", "/", "~0", "~")

// cutLast splits text at its last slash.
func cutLast(text string) (before, after string, found bool) {
	i := strings.LastIndexByte(text, '/')
	if i < 0 {
		return "", text, false
	}
	return text[:i], text[i+1:], true
}

// methodText writes a method as the errors of API Gateway do.
func methodText(key string) string {
	resource, verb, _ := cutLast(key)
	return "resourcePath: " + clip(resource) + ",method: " + clip(verb)
}

// findMethod returns the key in methods that stands for the same method as key, in whatever spelling. A plan may have
// been declared in Go or by another tool.
func findMethod(methods map[string]ratelimit.Limit, key string) (string, bool) {
	if _, found := methods[key]; found {
		return key, true
	}
	plain := plainKey(key)
	for spelling := range methods {
		if plainKey(spelling) == plain {
			return spelling, true
		}
	}
	return "", false
}

// plainKey returns a key without what does not matter for the method that it stands for: escapes, the slashes around
// the resource, and the names of path parameters. "/pets/{id}/GET" is "pets/{}/GET", and so is "~1pets~1{petId}/GET".
func plainKey(key string) string {
	resource, verb, _ := cutLast(pointer.Replace(key))
	var b strings.Builder
	for rest := strings.Trim(resource, "/"); rest != ""; {
		literal, after, _ := strings.Cut(rest, "{")
		name, end, isParameter := strings.Cut(after, "}")
		b.WriteString(literal)
		if isParameter {
			b.WriteString("{" + strings.TrimLeft(name, nameLetters) + "}")
		}
		rest = end
	}
	return b.String() + "/" + verb
}

// nameLetters are the characters of the name of a path parameter. What follows the name, such as "+", does matter.
const nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
