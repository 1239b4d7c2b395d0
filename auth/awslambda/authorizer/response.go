package authorizer

import (
	"encoding/json"
	"maps"
	"net/http"
	"time"

	"github.com/tallygate/tallygate/auth/custom"
	"github.com/tallygate/tallygate/auth/policy"
	"github.com/tallygate/tallygate/sigv4"
)

// policyResponse is the answer with a policy document: to REST and WebSocket APIs, and to HTTP APIs without simple
// responses. Each of the three answers is its own type, so none can have a member of another.
type policyResponse struct {
	PrincipalID        string          `json:"principalId"`
	PolicyDocument     policy.Document `json:"policyDocument"`
	Context            map[string]any  `json:"context,omitempty"` // API Gateway takes no objects and no lists
	UsageIdentifierKey string          `json:"usageIdentifierKey,omitempty"`
}

// simpleResponse is the simple answer to HTTP APIs.
type simpleResponse struct {
	IsAuthorized bool           `json:"isAuthorized"`
	Context      map[string]any `json:"context,omitempty"`
}

// graphQLResponse is the answer to AppSync.
//
// The zero value refuses, so a member that is forgotten lets nobody in.
type graphQLResponse struct {
	IsAuthorized    bool           `json:"isAuthorized"`
	ResolverContext map[string]any `json:"resolverContext,omitempty"`
	DeniedFields    []string       `json:"deniedFields,omitempty"`
	TTLOverride     *int64         `json:"ttlOverride,omitempty"` // seconds
}

const policyVersion = "2012-10-17"

// deny returns the answer that refuses a caller. REST and HTTP APIs then answer with 403, AppSync with 401. The Deny
// names the whole stage. A Deny for one method would mean the same: without an Allow, every other method is refused
// too.
func (a *Authorizer) deny(e *event, principal string) ([]byte, error) {
	switch {
	case e.form == formAppSync:
		return json.Marshal(graphQLResponse{TTLOverride: a.uncachedTTL()})
	case e.form == formHTTP && a.simple:
		return json.Marshal(simpleResponse{})
	}
	return json.Marshal(policyResponse{PrincipalID: principal, PolicyDocument: document(policy.Statement{
		Effect: "Deny", Action: []string{policy.Invoke}, Resource: []string{e.target.whole()},
	})})
}

// allow returns the answer that lets the caller of r in. A caller without a name is refused: the API could neither
// count the caller nor log it, and API Gateway demands a principalId with each policy.
func (a *Authorizer) allow(e *event, r *http.Request) ([]byte, error) {
	principal, ok := a.principal(r)
	if !ok || principal == "" {
		return a.deny(e, anonymous)
	}
	if !a.uncached && boundToRequest(r) {
		return nil, badResult("a signature or a function has decided about this request only: " +
			"set the result's TTL to 0, and Uncached")
	}
	values, err := a.contextOf(e, r, principal)
	if err != nil {
		return nil, err
	}
	switch {
	case e.form == formAppSync:
		return a.allowFields(r, values)
	case e.form == formHTTP && a.simple:
		return marshal(simpleResponse{true, values})
	}
	statements, ok := a.statementsFor(e, r)
	if !ok {
		return a.deny(e, principal)
	}
	response := policyResponse{PrincipalID: principal, PolicyDocument: document(statements...), Context: values}
	// API Gateway answers 500 to a document that it does not understand. Here the function's log says why.
	if _, err := policy.New(response.PolicyDocument); err != nil {
		return nil, badResult("%w", err)
	}
	if a.usageKey != nil && e.form != formHTTP {
		response.UsageIdentifierKey, _ = a.usageKey(r)
	}
	return marshal(response)
}

// statementsFor returns what the caller may invoke. It reports false if that cannot be written: see [target.exact].
//
// The Allow names the whole stage, since API Gateway keeps it under the credential and applies it to the caller's
// requests for other methods. An Allow for this method alone would refuse them until it expires.
func (a *Authorizer) statementsFor(e *event, r *http.Request) ([]policy.Statement, bool) {
	if a.statements != nil {
		return a.statements(r, e.target.stage), true
	}
	resource, ok := e.target.whole(), true
	if a.uncached {
		resource, ok = e.target.exact()
	}
	return []policy.Statement{{Effect: "Allow", Action: []string{policy.Invoke}, Resource: []string{resource}}}, ok
}

// allowFields returns the answer that lets the caller in to AppSync. AppSync asks about the whole API, so the answer
// cannot allow one operation: it can only deny fields. Statements would be lost, and with them the limits that they
// describe. So they are an error, and nobody is let in.
func (a *Authorizer) allowFields(r *http.Request, values map[string]any) ([]byte, error) {
	if a.statements != nil {
		return nil, badResult("AppSync takes no Statements")
	}
	response := graphQLResponse{IsAuthorized: true, ResolverContext: values, TTLOverride: a.uncachedTTL()}
	if a.deniedFields != nil {
		response.DeniedFields = a.deniedFields(r)
	}
	if a.ttl != nil { // AppSync takes whole seconds, and at most an hour
		if ttl, ok := a.ttl(r); ok {
			seconds := int64(min(max(ttl, 0), time.Hour) / time.Second)
			response.TTLOverride = &seconds
		}
	}
	return marshal(response)
}

// uncachedTTL is AppSync's ttlOverride for results that must not be kept, or nil.
func (a *Authorizer) uncachedTTL() *int64 {
	if !a.uncached {
		return nil
	}
	return new(int64)
}

// contextOf returns what the handler of the API is told. It contains the name of the caller where principalId itself is
// not passed on: in payload format 2.0 and by AppSync.
func (a *Authorizer) contextOf(e *event, r *http.Request, principal string) (map[string]any, error) {
	values := map[string]any{}
	if a.context != nil {
		maps.Copy(values, a.context(r))
	}
	if _, taken := values[principalName]; taken {
		return nil, badResult("the name principalId in the context is reserved")
	}
	if e.form != formHTTP || !a.simple {
		for name, value := range values {
			if !scalar(value) {
				return nil, badResult("the context's %.100q is a %T, but must be a string, number or boolean",
					name, value)
			}
		}
	}
	if e.form == formHTTP || e.form == formAppSync {
		values[principalName] = principal
	}
	return values, nil
}

const principalName = "principalId"

// boundToRequest reports whether the proof is about more than the caller. A signature covers the method, path and query
// of one request, and a custom authorizer may have evaluated a policy for one method. If API Gateway kept the Allow for
// the stage, it would let in the same credential with any other method, path and query.
func boundToRequest(r *http.Request) bool {
	_, signed := sigv4.FromContext(r.Context())
	_, decided := custom.FromContext(r.Context())
	return signed || decided
}

// scalar reports whether v is a string, a boolean or a number. API Gateway answers 500 if a context contains an object,
// a list or null. Here the error names the value, and it is found before the answer is sent.
func scalar(v any) bool {
	switch v.(type) {
	case string, bool, json.Number, float32, float64,
		int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return true
	}
	return false
}

// document returns a policy. Its version is the current one: the older one has no policy variables, so "${" would be
// text.
func document(statements ...policy.Statement) policy.Document {
	return policy.Document{Version: policyVersion, Statement: statements}
}

// marshal encodes an answer that contains values from the functions of [Config]. JSON may have no form for one of them,
// such as a NaN or a channel.
func marshal(response any) ([]byte, error) {
	text, err := json.Marshal(response)
	if err != nil {
		return nil, badResult("%w", err)
	}
	return text, nil
}
