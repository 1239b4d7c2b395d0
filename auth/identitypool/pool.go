package identitypool

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/tallygate/tallygate/auth"
)

// Pool is an identity pool: an [http.Handler] that speaks the protocol of Amazon Cognito's identity pools. Make one
// with [New]. It is safe for concurrent use. The zero Pool refuses everything.
type Pool struct {
	config Config       // without SigningKeys
	keys   []signingKey // of GetOpenIdToken; empty if the pool does not have it
}

// New returns a pool. If the configuration has mistakes, the error joins all of them.
func New(c Config) (*Pool, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	p := &Pool{config: c}
	// The caller may change its maps and lists afterwards.
	p.config.Mappings = maps.Clone(c.Mappings)
	for name, m := range p.config.Mappings {
		p.config.Mappings[name] = Mapping{slices.Clone(m.Rules), slices.Clone(m.TokenRoles), m.DenyAmbiguous, maps.Clone(m.Tags)}
	}
	p.config.SigningKeys = nil // p.keys has them
	for _, k := range c.SigningKeys {
		key, err := newSigningKey(k)
		if err != nil {
			return nil, err // validate has found none
		}
		p.keys = append(p.keys, key)
	}
	return p, nil
}

// maxBody bounds the body of a request: ten logins, each with the longest token that package auth accepts, and the
// rest.
const maxBody = 10*16<<10 + 4<<10

// target is the header that names the operation, in AWS JSON 1.1 after the name of the service
// (https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html).
const (
	target  = "X-Amz-Target"
	service = "AWSCognitoIdentityService."
)

// operation carries out one operation, and returns what is answered and the identity that it concerns.
type operation func(*Pool, context.Context, input) (any, string, error)

// operations are those that need neither credentials nor a database.
var operations = map[string]operation{
	"GetId":                     (*Pool).getID,
	"GetCredentialsForIdentity": (*Pool).getCredentials,
	"GetOpenIdToken":            (*Pool).getOpenIDToken,
}

// others are the operations of Cognito's model that this package does not carry out
// (https://docs.aws.amazon.com/cognitoidentity/latest/APIReference/API_Operations.html).
var others = []string{
	"CreateIdentityPool", "DeleteIdentities", "DeleteIdentityPool", "DescribeIdentity", "DescribeIdentityPool",
	"GetIdentityPoolRoles", "GetOpenIdTokenForDeveloperIdentity", "GetPrincipalTagAttributeMap", "ListIdentities",
	"ListIdentityPools", "ListTagsForResource", "LookupDeveloperIdentity", "MergeDeveloperIdentities",
	"SetIdentityPoolRoles", "SetPrincipalTagAttributeMap", "TagResource", "UnlinkDeveloperIdentity", "UnlinkIdentity",
	"UntagResource", "UpdateIdentityPool",
}

// ServeHTTP answers one request. The path counts only for the two documents about GetOpenIdToken's keys, so the pool
// can be served anywhere. Clients ask for the URL that they were given as it is: a pool at /pool/ must be registered at
// /pool too, because a ServeMux would redirect there, and clients do not follow that.
func (p *Pool) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p == nil || p.config.Sessions == nil {
		(&Error{Err: ErrNotConfigured}).ServeHTTP(w, r)
		return
	}
	if document, ok := p.document(r); ok {
		w.Header().Set("Cache-Control", "public, max-age=900")
		write(w, http.StatusOK, "application/json", document)
		return
	}
	name, ours := strings.CutPrefix(r.Header.Get(target), service)
	if ours && p.config.Other != nil && slices.Contains(others, name) {
		p.config.Other.ServeHTTP(w, r)
		return
	}
	answer, identity, err := p.do(r, name, ours)
	setID(w.Header(), p.config.RequestID, r)
	id := w.Header().Get(idField)
	if err != nil {
		e := refusal(err, name, id)
		p.tell(r, &auth.Verdict{Outcome: e.outcome(), Reason: e.Reason(), Err: e, RequestID: id}, identity)
		e.ServeHTTP(w, r)
		return
	}
	p.tell(r, &auth.Verdict{Outcome: "allowed", RequestID: id}, identity)
	w.Header().Set("Cache-Control", "no-store") // it holds a secret
	write(w, http.StatusOK, jsonType, encode(answer))
}

// do reads a request and carries it out. name is what the header says after the name of the service, and ours whether
// it had that. The header comes first: a request for no operation of ours costs no reading of its body. A request with
// two such headers is refused, since a proxy may have looked at the other one.
func (p *Pool) do(r *http.Request, name string, ours bool) (answer any, identity string, err error) {
	if len(r.Header.Values(target)) != 1 || r.Method != http.MethodPost {
		return nil, "", invalid("UnknownOperationException", "")
	}
	do, known := operations[name]
	switch {
	case !ours || !known && !slices.Contains(others, name):
		return nil, "", invalid("UnknownOperationException", "")
	case !known:
		return nil, "", refused("This identity pool does not support " + name + ".")
	}
	body, err := readBody(r)
	if err != nil {
		return nil, "", err
	}
	in, err := readInput(body)
	if err != nil {
		return nil, "", err
	}
	return do(p, r.Context(), in)
}

// readBody returns the whole body. A client that stops sending is not told, so it counts as a mistake of the client.
func readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil { // only if no server has read the request
		return nil, nil
	}
	var body bytes.Buffer
	_, err := body.ReadFrom(io.LimitReader(r.Body, maxBody+1))
	switch {
	case body.Len() > maxBody:
		return nil, invalid("RequestEntityTooLargeException", "The request is too large.")
	case err != nil:
		return nil, &Error{Err: errors.Join(ErrInvalid, err), Code: "SerializationException"}
	}
	return body.Bytes(), nil
}

// tell tells Observe about a decision. The identity is empty if none is known, as after a bad token.
func (p *Pool) tell(r *http.Request, v *auth.Verdict, identity string) {
	if p.config.Observe != nil {
		v.Layer = "identitypool"
		p.config.Observe(r.Context(), auth.Event{Verdict: v, Route: r.Pattern, Client: identity, Remaining: -1})
	}
}
