package awslambda

import (
	"context"
	"encoding/json"
)

// Kind says which service has written an event.
type Kind uint8

// The kinds of events that hold an HTTP request. The zero value is none of them.
const (
	REST        Kind = iota + 1 // a REST API of API Gateway
	HTTP1                       // an HTTP API with payload format 1.0
	HTTP2                       // an HTTP API with payload format 2.0
	FunctionURL                 // a function URL
	ALB                         // an Application Load Balancer
)

var kindNames = [...]string{
	"unknown", "REST API", "HTTP API 1.0", "HTTP API 2.0", "function URL", "Application Load Balancer",
}

// String returns the name of the kind in the words of AWS.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return kindNames[0]
}

// Event is what an event says about its request that [http.Request] has no field for. A field that the kind does not
// have is empty. A handler may keep an Event and its fields after the invocation. But each text is a part of one copy
// of the whole event, and keeps all of it in memory: use [strings.Clone] for a text that is kept for long.
//
// An Event is as true as its invoker: a caller who may use lambda:InvokeFunction can write any event.
type Event struct {
	Kind Kind

	// API is the id of the API or of the function URL. For an ALB it is the ARN of the target group.
	API string

	// Stage is the name of the stage, such as "Prod", or "$default".
	Stage string

	// Resource is the path of the route as it was declared, such as "/pets/{id}". It is "$default" for the route of an
	// HTTP API that takes what no other route matches. Function URLs and ALBs have no routes.
	Resource string

	Method    string // of the request, such as "GET"
	Domain    string // the domain name that the client called; ALBs do not tell it
	RequestID string // API Gateway's or Lambda's id of the request
	AccountID string // the account that owns the API
	SourceIP  string // the address of the client, without a port

	// APIKeyID is the id of the API key that a REST API has verified.
	APIKeyID string

	// Authorizer is requestContext.authorizer as it came: what API Gateway or Lambda has verified about the caller. It
	// is nil if there is none.
	Authorizer json.RawMessage

	// Identity is requestContext.identity as it came. REST APIs and format 1.0 have it.
	Identity json.RawMessage
}

// contextKey is the key of an *Event in a context.
type contextKey struct{}

// invocation is a context with an event. It takes one allocation, and context.WithValue takes two.
type invocation struct {
	context.Context
	event *Event
}

// Value returns the event for its key, and what the parent has for any other.
func (c *invocation) Value(key any) any {
	if key == (contextKey{}) {
		return c.event
	}
	return c.Context.Value(key)
}

// NewContext returns a context that carries an event. [Function] does the same; tests of handlers use it.
func NewContext(ctx context.Context, e *Event) context.Context { return &invocation{ctx, e} }

// FromContext returns the event of a request that a [Function] serves. Do not change it: other layers read it too.
func FromContext(ctx context.Context) (*Event, bool) {
	e, _ := ctx.Value(contextKey{}).(*Event)
	return e, e != nil
}
