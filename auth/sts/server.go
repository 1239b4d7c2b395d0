package sts

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/sigv4"
)

// Server is a security token service: an [http.Handler] that speaks the protocol of AWS STS. Make one with [New]. It is
// safe for concurrent use. The zero Server refuses everything.
type Server struct {
	config Config           // without Roles
	roles  map[string]*role // by their ARN; they never change
}

// New returns a server. If the configuration has mistakes, the error joins all of them.
func New(c Config) (*Server, error) {
	roles, err := c.validate()
	if err != nil {
		return nil, err
	}
	s := &Server{config: c, roles: roles}
	s.config.Roles, s.config.Keys = nil, slices.Clone(c.Keys)
	return s, nil
}

const (
	// maxBody is enough for the longest token (20 000 bytes), the longest policy (2 048 characters) and fifty tags, of
	// which many characters are escaped as three bytes.
	maxBody = 64 << 10
	version = "2011-06-15" // of STS's only API; a request must name it
)

// An action carries out a request, and returns what is answered and the name of the caller.
type action struct {
	do     func(*Server, context.Context, call) (result any, caller string, err error)
	signed bool // the request needs a signature, which is verified before do is called
}

// actionsByName are all actions. Any other name is answered InvalidAction, and is in no event.
var actionsByName = map[string]action{
	"AssumeRole":                {(*Server).assumeRole, true},
	"AssumeRoleWithWebIdentity": {(*Server).assumeByToken, false},
	"GetCallerIdentity":         {(*Server).getCallerIdentity, true},
}

// call is a request: its parameters, and who has signed it.
type call struct {
	form
	r  *http.Request  // its body has been read
	id sigv4.Identity // zero if the action needs no signature
}

// ServeHTTP answers one request, whatever its path is. So the server can stand anywhere, but a pattern that ends in a
// slash needs another without: clients ask for the URL that they were given, and do not follow a ServeMux's redirect.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s == nil || s.config.Sessions == nil {
		(&Error{Err: ErrNotConfigured}).ServeHTTP(w, r)
		return
	}
	setID(w.Header(), s.config.RequestID, r)
	id := w.Header().Get(idField)
	name, result, caller, err := s.do(r)
	if err != nil {
		e := refusal(err, name, id)
		s.tell(r, &auth.Verdict{Outcome: e.outcome(), Reason: e.Reason(), Err: e, RequestID: id}, caller)
		e.ServeHTTP(w, r)
		return
	}
	s.tell(r, &auth.Verdict{Outcome: "allowed", RequestID: id}, caller)
	write(w, http.StatusOK, envelope(name, result, id))
}

// refusal returns the Error of a request. It is a copy: the error may be one that Config.Policies returns each time.
func refusal(err error, name, id string) *Error {
	e := Error{Err: err}
	if own, ok := errors.AsType[*Error](err); ok {
		e = *own
	}
	e.Action, e.RequestID = name, id
	return &e
}

// tell tells Observe about a decision. The caller is "" if nobody was verified.
func (s *Server) tell(r *http.Request, v *auth.Verdict, caller string) {
	if s.config.Observe != nil {
		v.Layer = "sts"
		s.config.Observe(r.Context(), auth.Event{Verdict: v, Route: r.Pattern, Client: caller, Remaining: -1})
	}
}

// do reads a request, verifies its signature if its action needs one, and carries it out. The name is empty unless it
// is that of an action, so what a client makes up does not become the label of a metric. The caller is who has signed
// the request, or whom its token is about; it is empty if that was not verified.
//
// The body is read into memory first. The parameters come from these bytes, and so does the hash that the signature
// covers. A reader of forms that read the body before the verifier would leave nothing to verify.
func (s *Server) do(r *http.Request) (name string, result any, caller string, err error) {
	body, err := readBody(r)
	if err != nil {
		return "", nil, "", err
	}
	f, err := parameters(r, body)
	if err != nil {
		return "", nil, "", err
	}
	name = f["Action"]
	a, known := actionsByName[name]
	switch {
	case !known || f["Version"] != version:
		return "", nil, "", invalid("InvalidAction", "Could not find operation "+clip(name)+" for version "+clip(f["Version"]))
	case r.Method == http.MethodGet && name != "GetCallerIdentity":
		// Only GetCallerIdentity is used as a presigned URL. URLs get into logs, and the others have tokens as parameters.
		return name, nil, "", invalid("InvalidAction", "The action "+name+" needs the method POST.")
	}
	c := call{form: f, r: r}
	if a.signed {
		if c.id, err = s.verify(r, body); err != nil {
			return name, nil, "", err
		}
		caller = c.id.Principal
	}
	result, by, err := a.do(s, r.Context(), c)
	if by != "" {
		caller = by
	}
	return name, result, caller, err
}

// verify returns who has signed a request with the body. The verifier gets a copy of the request, as it reads the body
// and may replace it. With UNSIGNED-PAYLOAD a proxy could replace the parameters, so such a signature is refused.
func (s *Server) verify(r *http.Request, body []byte) (sigv4.Identity, error) {
	signed := *r
	signed.Body = io.NopCloser(bytes.NewReader(body))
	id, err := s.config.Verifier.Verify(&signed)
	switch {
	case err != nil:
		return id, refuseSignature(err)
	case id.UnsignedPayload && len(body) > 0:
		return sigv4.Identity{}, &Error{Err: ErrRefused, Code: "SignatureDoesNotMatch", Message: "The body is not signed."}
	}
	if id.Principal == "" { // a policy would take an empty one for a caller without credentials
		id.Principal = id.AccessKeyID
	}
	return id, nil
}

// parameters returns the parameters of a request: those in the body, or in the query of a GET. Parameters in both could
// be read in two ways. Those of a signature in the query are no parameters.
func parameters(r *http.Request, body []byte) (form, error) {
	query, err := readForm(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	for name := range query {
		if strings.HasPrefix(strings.ToLower(name), "x-amz-") {
			delete(query, name)
		}
	}
	switch {
	case r.Method == http.MethodGet && len(body) == 0:
		return query, nil
	case r.Method == http.MethodPost && len(query) == 0:
		return readForm(string(body))
	}
	return nil, malformed(errors.New("neither a POST with parameters in the body nor a GET without a body"))
}

// readBody returns the whole body. One byte more than is allowed is read, to tell a body of maxBody bytes from a longer
// one.
func readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	var body bytes.Buffer
	_, err := body.ReadFrom(io.LimitReader(r.Body, maxBody+1))
	switch {
	case body.Len() > maxBody || len(r.URL.RawQuery) > maxBody:
		return nil, &Error{
			Err: ErrInvalid, Code: "RequestEntityTooLarge", Message: "The request is too large.",
			status: http.StatusRequestEntityTooLarge,
		}
	case err != nil:
		return nil, malformed(err)
	}
	return body.Bytes(), nil
}
