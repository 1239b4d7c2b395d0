package admin

import (
	"fmt"
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
	// For the operations on tags, it is the ARN of the tagged resource. Ids are escaped as in a path.
	Resource string

	// Reveals says that the answer shows values of keys. Apart from CreateApiKey, which always shows the value of the
	// new key, that needs keys with sealed values.
	Reveals bool

	// Actor is the verified sender: the name that [Config].Actor returned, or the person who has signed in at the owner's
	// page, as [PageConfig].Who names them; "owner" if they came by an owner link.
	Actor string

	// Page says that the sender has signed in at the owner's page and has not signed the request. So Authorize must not
	// look for a signature, and Actor is a name of another kind: an access key and a person may be called the same.
	//
	// The page also has operations that API Gateway does not have: RotateApiKey, of a key, and UpdateUsagePlanKey, of a
	// key in a plan, which changes its limits there. Extensions are UpdateUsage. To move a key is CreateUsagePlanKey of the
	// new plan and DeleteUsagePlanKey of the old one.
	Page bool
}

// admit authenticates a request, authorizes it and reads its body, in this order: a caller who may not ask is
// not told what is wrong with the question. To verify the signature, the body may have been read before.
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
		return nil, refusal(err, c.action)
	}
	if err := s.authorize(c, c.action); err != nil {
		return nil, err
	}
	if c.body, err = readBody(r.Body); err != nil {
		return nil, refusal(err, c.action)
	}
	c.Context = journal.NewContext(r.Context(), journal.Origin{
		Actor: clip(c.actor), Source: source(r), Request: clip(w.Header().Get("X-Amzn-RequestId")),
	})
	return c, nil
}

// action returns what the call asks for. Of a request whose parameters cannot be read that is not known, so it is
// refused before Authorize is asked.
func (s *Server) action(c *call, rt *route) (a Action, err error) {
	a = Action{Operation: rt.operation, Resource: s.arn(c.request, rt.resource(c.ids)), Actor: c.actor, Page: c.onPage}
	if strings.HasPrefix(rt.path, "/tags/") {
		kind, id, err := s.parseARN(c.request, c.ids[0])
		if err != nil {
			return a, err
		}
		a.Resource = s.arn(c.request, "/"+kind+"/"+url.PathEscape(id))
	}
	switch rt.reveals {
	case "":
	case always:
		a.Reveals = true
	default:
		a.Reveals, err = c.flag(rt.reveals)
	}
	return a, err
}

// authorize asks Config.Authorize. The text for the client is that of IAM
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html).
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

// arn returns the ARN of a path, in the region of the request. API Gateway's ARNs have no account
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/arn-format-reference.html).
func (s *Server) arn(r *http.Request, path string) string {
	region := ""
	if s.config.Region != nil {
		region, _ = s.config.Region(r)
	}
	return "arn:aws:apigateway:" + region + "::" + path
}
