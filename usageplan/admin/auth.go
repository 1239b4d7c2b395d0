package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/tallygate/tallygate/usageplan/journal"
)

// An Action is what a caller asks for: the question that [Config].Authorize answers.
type Action struct {
	// Operation is API Gateway's name of it, such as "CreateUsagePlan". A CSV file with usage plans is asked about
	// twice: as ImportApiKeys, and as CreateUsagePlanKey for each plan.
	Operation string

	// Resource is the ARN of what it is done to, as IAM policies name it: "arn:aws:apigateway:eu-west-1::/apikeys/abc".
	// For the operations on tags, it is the ARN of the tagged resource.
	Resource string

	// Reveals says that the answer shows values of keys. Apart from CreateApiKey, which always shows the value of the
	// new key, that needs keys with sealed values.
	Reveals bool
}

// maxBody is API Gateway's limit of a body in bytes.
const maxBody = 10 << 20

// A call is a request of a caller who may make it.
type call struct {
	context.Context
	request *http.Request
	action  Action
	actor   string
	ids     []string // those in the path, in their order
	query   url.Values
	body    []byte
}

// admit authenticates a request, authorizes it and reads its body. The body may have been read before, to verify the
// signature.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, rt *route, ids []string) (*call, error) {
	if r.Body == nil { // a request that no server has read, as a test or an adapter makes it
		r.Body = http.NoBody
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody+1) // a byte more, so that sigv4 answers in its own way
	r, err := s.config.Authenticate(r)
	if err != nil {
		return nil, err
	}
	c := &call{request: r, ids: ids}
	var named bool
	if c.actor, named = s.config.Actor(r); !named {
		return nil, &Error{Err: fmt.Errorf("%w: Config.Actor names no caller", ErrDenied)}
	}
	if c.query, err = parseQuery(r.URL.RawQuery); err != nil {
		return nil, err
	}
	if c.action, err = s.action(c, rt); err != nil {
		return nil, err
	}
	if err := s.authorize(c, c.action); err != nil {
		return nil, err
	}
	if c.body, err = readBody(r.Body); err != nil {
		return nil, refusal(err, c.action)
	}
	c.Context = journal.NewContext(r.Context(), journal.Origin{
		Actor: c.actor, Source: source(r), Request: w.Header().Get("X-Amzn-RequestId"),
	})
	return c, nil
}

// action returns what the call asks for.
func (s *Server) action(c *call, rt *route) (Action, error) {
	a := Action{Operation: rt.operation, Resource: s.arn(c.request, rt.resource(c.ids)), Reveals: rt.reveals == "always"}
	if strings.HasPrefix(rt.path, "/tags/") {
		kind, id, err := s.parseARN(c.request, c.ids[0])
		if err != nil {
			return a, refusal(err, a)
		}
		a.Resource = s.arn(c.request, "/"+kind+"/"+url.PathEscape(id))
	}
	if rt.reveals != "" && !a.Reveals {
		var err error
		if a.Reveals, err = c.flag(rt.reveals); err != nil {
			return a, refusal(err, a)
		}
	}
	return a, nil
}

// authorize asks Config.Authorize. The text for the client is that of IAM.
func (s *Server) authorize(c *call, a Action) error {
	err := s.config.Authorize(c.request, a)
	if err == nil {
		return nil
	}
	return &Error{
		Err:    fmt.Errorf("%w: %w", ErrDenied, err),
		Action: a,
		Message: fmt.Sprintf("User: %s is not authorized to perform: apigateway:%s on resource: %s",
			clip(c.actor), c.request.Method, clip(a.Resource)),
	}
}

// arn returns the ARN of a path, in the region of the request
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/arn-format-reference.html).
func (s *Server) arn(r *http.Request, path string) string {
	region := ""
	if s.config.Region != nil {
		region, _ = s.config.Region(r)
	}
	return "arn:aws:apigateway:" + region + "::" + path
}

// readBody reads a body of at most maxBody bytes.
func readBody(body io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(body, maxBody+1))
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case tooLarge, len(text) > maxBody:
		return nil, ErrTooLarge
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return text, nil
}

// source returns the address that the request comes from.
func source(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return clip(r.RemoteAddr)
}

// parseQuery parses a query. A parameter of the control plane that comes twice is refused, except tagKeys, which is a
// list. Parameters that are not known are ignored, because a presigned URL has the signature there.
func parseQuery(raw string) (url.Values, error) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return nil, badRequest("Invalid request input: the query cannot be read")
	}
	for name, values := range query {
		if len(values) > 1 && name != "tagKeys" && !strings.HasPrefix(name, "X-Amz-") {
			return nil, badRequest("Invalid request input: parameter %s is given twice", clip(name))
		}
	}
	return query, nil
}

// flag returns the value of a boolean parameter, false if it is not given.
func (c *call) flag(name string) (bool, error) {
	switch strings.ToLower(c.query.Get(name)) {
	case "true":
		return true, nil
	case "false", "":
		return false, nil
	}
	return false, badRequest("Invalid request input: parameter %s is neither true nor false", name)
}
