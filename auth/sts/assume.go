package sts

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tallygate/tallygate/auth/policy"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/sigv4/session"
)

// request is what both ways to assume a role ask for.
type request struct {
	role     string            // its ARN
	name     string            // of the session
	source   string            // the source identity; "" for none, as for the next three
	external string            // the external id: for which customer a third party acts
	tags     map[string]string // session tags, by their names
	policy   string            // the session policy, as JSON
	duration time.Duration     // of the session; never zero
}

// read reads the parameters that both ways have. It asks for nothing but their form, as AWS does before it looks at the
// caller.
func (c call) read() (q request, err error) {
	if err = c.refuseUnsupported(); err != nil {
		return q, err
	}
	if q.role, err = c.required("RoleArn", shapeRole); err != nil {
		return q, err
	}
	if !isARN(q.role) {
		return q, invalid("ValidationError", clip(q.role)+" is invalid")
	}
	if q.name, err = c.required("RoleSessionName", shapeSession); err != nil {
		return q, err
	}
	if q.duration, err = c.duration(); err != nil {
		return q, err
	}
	q.policy, err = c.optional("Policy", shapePolicy)
	return q, err
}

// readSigned reads the parameters of AssumeRole.
func (c call) readSigned() (q request, err error) {
	if q, err = c.read(); err != nil {
		return q, err
	}
	if q.tags, err = c.tags(); err != nil {
		return q, err
	}
	if q.source, err = c.optional("SourceIdentity", shapeSource); err != nil {
		return q, err
	}
	q.external, err = c.optional("ExternalId", shapeExternal)
	return q, err
}

// assumeRole is AssumeRole: a caller with credentials gets those of a role.
//
// The policies decide before anything about the role is looked at. A caller that they do not allow gets the same answer
// if there is no such role, or if it has asked for too long a session.
func (s *Server) assumeRole(ctx context.Context, c call) (any, string, error) {
	q, err := c.readSigned()
	if err != nil {
		return nil, "", err
	}
	// from is nil for a permanent key. The source identity of a session stays the same through a chain of roles: it says
	// who is behind all of them (IAM User Guide, "Monitor and control actions taken with assumed roles").
	from, _ := c.id.Session.(*session.Session)
	if from != nil && from.SourceIdentity != "" {
		if q.source != "" && q.source != from.SourceIdentity {
			return nil, "", deny(c, q.role, setSourceIdentity)
		}
		q.source = from.SourceIdentity
	}
	set, err := s.policies(ctx, c.id, from)
	if err != nil {
		return nil, "", err
	}
	r, err := s.facts(c.r, q)
	if err != nil {
		return nil, "", err
	}
	r.Principal = c.id.Principal
	describe(r, from)
	role := s.roles[q.role]
	if action, ok := allows(set, role, r, q); !ok {
		return nil, "", deny(c, q.role, action)
	}
	// The key source may know sessions that package session has not issued. Their principal tells.
	chained := from != nil || strings.Contains(c.id.Principal, ":assumed-role/")
	if err := q.checkDuration(role, chained); err != nil {
		return nil, "", err
	}
	result, err := s.issue(role, q)
	return result, "", err
}

// deny is AWS's answer to a caller that may not do something to a role. It is the same if there is no such role.
// The cause, which only logs have, tells what the operator can change.
func deny(c call, role, action string) error {
	err := denied("User: " + clip(c.id.Principal) + " is not authorized to perform: " + action + " on resource: " + clip(role))
	if !strings.HasPrefix(c.id.Principal, "arn:") {
		err.Err = fmt.Errorf("%w (the Principal of its access key is no ARN, so it belongs to no account)", ErrRefused)
	}
	return err
}

// policies returns the policies of a caller: those that Config.Policies knows, and the session policy if its
// credentials are of a session that has one. The trust policy is not among them; allows adds it.
func (s *Server) policies(ctx context.Context, id sigv4.Identity, from *session.Session) (set policy.Set, err error) {
	if s.config.Policies != nil {
		if set, err = s.config.Policies(ctx, id); err != nil {
			return policy.Set{}, unavailable(fmt.Errorf("Config.Policies: %w", err))
		}
	}
	if from != nil && from.Policy != "" {
		p, err := policy.Parse([]byte(from.Policy), s.config.Keys...)
		if err != nil {
			// Nobody knows what the session may do, so it may do nothing.
			return policy.Set{}, &Error{Err: fmt.Errorf("%w: the policy of the session: %w", ErrRefused, err)}
		}
		set.Session = append(slices.Clip(set.Session), p) // a copy: the application may share its list
	}
	return set, nil
}

// facts returns what policies may ask about a request, apart from its caller. A parameter that is not there is an
// absent key. An empty text would be a value, and a condition such as {"Null": {"sts:ExternalId": "true"}} would not
// hold.
func (s *Server) facts(r *http.Request, q request) (*policy.Request, error) {
	address, found := s.sourceIP(r)
	if !found || !address.IsValid() { // a condition such as NotIpAddress would hold for an address that is not known
		return nil, &Error{Err: fmt.Errorf("%w: the client's address is not known", ErrRefused)}
	}
	p := &policy.Request{
		Resource: q.role, SourceIP: address, SecureTransport: s.secureTransport(r), UserAgent: r.UserAgent(),
		Values: map[string]any{"sts:RoleSessionName": q.name, "sts:DurationSeconds": int(q.duration / time.Second)},
	}
	if q.source != "" {
		p.Values["sts:SourceIdentity"] = q.source
	}
	if q.external != "" {
		p.Values["sts:ExternalId"] = q.external
	}
	for name, value := range q.tags {
		p.Values["aws:RequestTag/"+name] = value
	}
	if len(q.tags) > 0 {
		p.Values["aws:TagKeys"] = slices.Sorted(maps.Keys(q.tags))
	}
	return p, nil
}

// sourceIP returns the address of the client. The adapter of a Lambda function gives one without a port.
func (s *Server) sourceIP(r *http.Request) (netip.Addr, bool) {
	if s.config.SourceIP != nil {
		return s.config.SourceIP(r)
	}
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return peer.Addr(), true
	}
	peer, err := netip.ParseAddr(r.RemoteAddr)
	return peer, err == nil
}

// secureTransport reports whether the client has sent the request by TLS.
func (s *Server) secureTransport(r *http.Request) bool {
	if s.config.SecureTransport != nil {
		return s.config.SecureTransport(r)
	}
	return r.TLS != nil
}

// describe adds what is known about the session of a caller. from is nil for a permanent key. Its Tags are those of the
// caller, aws:PrincipalTag/…; the tags that it asks for are aws:RequestTag/….
func describe(r *policy.Request, from *session.Session) {
	if from == nil {
		return
	}
	r.SessionIssuer, r.PrincipalTags = from.Role, from.Tags
	r.Values["aws:TokenIssueTime"] = from.Issued
	if from.SourceIdentity != "" {
		r.Values["aws:SourceIdentity"] = from.SourceIdentity
	}
}

// allows reports whether the policies allow a request to assume the role. If not, it returns the action that they do
// not allow: tags and a source identity have actions of their own.
func allows(set policy.Set, role *role, r *policy.Request, q request) (action string, ok bool) {
	needed := []string{assumeRole}
	if r.Principal == "" { // the caller has a token and no credentials
		needed[0] = assumeByToken
	}
	if len(q.tags) > 0 {
		needed = append(needed, tagSession)
	}
	if q.source != "" {
		needed = append(needed, setSourceIdentity)
	}
	if role == nil { // there is no such role, which must look like a role that does not trust the caller
		return needed[0], false
	}
	set.Resource = role.trust
	for _, action := range needed {
		r.Action = action
		if set.Evaluate(r) != policy.Allow {
			return action, false
		}
	}
	return "", true
}

// checkDuration refuses a session that would last too long. It comes after the decision, so that a stranger does not
// learn about the role.
func (q *request) checkDuration(r *role, chained bool) error {
	switch {
	case chained && q.duration > usual:
		return invalid("ValidationError", "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	case q.duration > r.most:
		return invalid("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	return nil
}

// issue issues the credentials of a role. The policies have allowed it. The session policy is checked here, since every
// gate would refuse a session whose policy it cannot parse.
func (s *Server) issue(r *role, q request) (i issued, err error) {
	if q.policy != "" {
		if err := checkSessionPolicy(q.policy, s.config.Keys); err != nil {
			return i, err
		}
	}
	// The clock starts now, and not when the request was signed.
	principal, expires := r.session(q.name), time.Now().Add(q.duration)
	c, err := s.config.Sessions.Issue(session.Session{
		Principal: principal, Role: r.arn, SourceIdentity: q.source, Tags: q.tags, Policy: q.policy, Expires: expires,
	})
	switch {
	case errors.Is(err, session.ErrInvalid): // with the policy and the tags it is too long
		return i, &Error{
			Err: fmt.Errorf("%w: %w", ErrInvalid, err), Code: "PackedPolicyTooLarge",
			Message: "Packed size of session tags and session policy consumes more than 100% of allotted space.",
		}
	case err != nil:
		return i, unavailable(err)
	}
	i = issued{
		Credentials: credentials{c.AccessKeyID, string(c.Secret), string(c.SessionToken), expires.UTC().Format(time.RFC3339)},
		User:        assumedRoleUser{uniqueID("AROA", r.arn) + ":" + q.name, principal},
		Source:      q.source,
	}
	// In percent. AWS has a limit for the packed policy and tags; here the whole token has one.
	if q.policy != "" || len(q.tags) > 0 {
		size := 100 * len(c.SessionToken) / maxToken
		i.PackedPolicySize = &size
	}
	return i, nil
}

// maxToken is the length of the longest session token, see package session.
const maxToken = 4096

// checkSessionPolicy refuses a session policy that a gate could not evaluate. It has no Principal: it is about one
// session, and package policy would accept the element as that of a resource policy.
func checkSessionPolicy(text string, keys []policy.Key) error {
	_, err := policy.Parse([]byte(text), keys...)
	if err == nil && hasPrincipal(text) {
		err = errors.New("a session policy has no Principal")
	}
	if err != nil {
		return &Error{
			Err: fmt.Errorf("%w: %w", ErrInvalid, err), Code: "MalformedPolicyDocument", Message: "Syntax errors in policy.",
		}
	}
	return nil
}
