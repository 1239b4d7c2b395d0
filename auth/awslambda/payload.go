package awslambda

import (
	"encoding/json"
	"fmt"
	"strings"
)

// maxEvent is the largest event that Lambda delivers to a synchronous invocation (Lambda quotas: 6 MB), with a margin.
const maxEvent = 6<<20 + 64<<10

// payload is an event as it came. The kind decides which of the fields that hold JSON count. It is known only after the
// last member, so these fields are read later. All texts are parts of one copy of the event, which costs one allocation
// for about a hundred members.
type payload struct {
	Event

	path     string // REST, HTTP1: without the stage; ALB: as sent
	rawPath  string // HTTP2, FunctionURL
	sentPath string // REST, HTTP1: requestContext.path
	rawQuery string // HTTP2, FunctionURL
	protocol string
	body     string
	encoded  bool // the body is in Base64

	// JSON, or "".
	headers, multiHeaders string
	query, multiQuery     string
	cookies               string

	version, routeKey string
	marks             marks
}

// marks tell the kinds of events apart, and which events are no HTTP requests. AWS gives an event no field that names
// its kind, so the kind is known by the members that only events of this kind have.
type marks struct {
	context   bool   // requestContext is an object
	twice     bool   // requestContext, or what it says about the caller, is there twice
	elb       bool   // requestContext.elb is there
	http      bool   // requestContext.http is there
	lattice   bool   // requestContext.serviceNetworkArn is there
	socket    bool   // requestContext.connectionId is there
	typ       string // of an authorizer's event
	arn       bool   // methodArn or routeArn is there
	source    string // of the records, or of an event of EventBridge
	detail    bool   // detail-type is there
	trigger   bool   // triggerSource is there
	appSync   bool   // authorizationToken is there
	cloudForm bool   // StackId is there
}

// parsePayload reads an event. It copies it once, because Lambda's runtime uses the slice again for the next event. It
// checks the syntax once for all, so the readers below need no errors.
func parsePayload(event []byte) (*payload, error) {
	switch {
	case len(event) > maxEvent:
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrEvent, maxEvent)
	case !json.Valid(event):
		return nil, fmt.Errorf("%w: it is not JSON", ErrEvent)
	}
	p := new(payload)
	r := jsonReader{text: string(event)}
	for name, ok := r.member(); ok; name, ok = r.member() {
		p.member(name, &r)
	}
	// An event of no known kind is an error, and not a request with a guessed form: a guess could take a value that the
	// sender controls for one that AWS has checked.
	if p.Kind = p.kind(); p.Kind == 0 {
		return nil, p.notHTTP()
	}
	p.settle()
	return p, nil
}

// notHTTP returns the error for an event that no handler can serve.
func (p *payload) notHTTP() error {
	what := p.marks.what()
	if what == "" {
		what = "of no known kind: " + p.lack()
	}
	return fmt.Errorf("%w: it is %s", ErrEvent, what)
}

// member reads a member of the event. If a name comes twice, the last value counts, as in encoding/json. See
// requestContext for the exception.
func (p *payload) member(name string, r *jsonReader) {
	switch name {
	case "version":
		p.version = r.string()
	case "resource":
		p.Resource = r.string()
	case "path":
		p.path = r.string()
	case "rawPath":
		p.rawPath = r.string()
	case "rawQueryString":
		p.rawQuery = r.string()
	case "httpMethod":
		p.Method = r.string()
	case "routeKey":
		p.routeKey = r.string()
	case "headers":
		p.headers = r.raw()
	case "multiValueHeaders":
		p.multiHeaders = r.raw()
	case "queryStringParameters":
		p.query = r.raw()
	case "multiValueQueryStringParameters":
		p.multiQuery = r.raw()
	case "cookies": // format 2.0
		p.cookies = r.raw()
	case "body": // null if there is none
		p.body = r.string()
	case "isBase64Encoded":
		p.encoded = r.bool()
	case "requestContext":
		p.requestContext(r)
	default:
		p.marks.member(name, r)
	}
}

// requestContext reads what AWS says about the request. AWS writes each name once. A second one is refused, because
// another reader of the event, such as a filter in front of the function, may have seen the other value.
func (p *payload) requestContext(r *jsonReader) {
	p.marks.twice = p.marks.twice || p.marks.context
	for name, ok := r.member(); ok; name, ok = r.member() {
		p.marks.context = true
		switch name {
		case "apiId":
			p.API = r.string()
		case "accountId":
			p.AccountID = r.string()
		case "stage":
			p.Stage = r.string()
		case "domainName":
			p.Domain = r.string()
		case "requestId":
			p.RequestID = r.string()
		case "path": // with the stage or the mapping key, unlike the path of the event
			p.sentPath = r.string()
		case "protocol":
			p.protocol = r.string()
		case "authorizer": // its form depends on the authorizer, so package authorizer reads it
			p.marks.twice = p.marks.twice || p.Authorizer != nil
			p.Authorizer = raw(r)
		case "identity":
			p.identity(r)
		case "http":
			p.http(r)
		case "elb":
			p.elb(r)
		case "serviceNetworkArn":
			p.marks.lattice = r.string() != ""
		case "connectionId":
			p.marks.socket = r.string() != ""
		default:
			r.skip()
		}
	}
}

// raw returns a value in its own slice, since a handler may change what it gets.
func raw(r *jsonReader) json.RawMessage {
	if text := r.raw(); text != "" {
		return json.RawMessage(text)
	}
	return nil
}

// identity reads requestContext.identity, of REST and HTTP1. It keeps the whole text too, because package authorizer
// reads the signer from it, and only some handlers need that.
func (p *payload) identity(r *jsonReader) {
	p.marks.twice = p.marks.twice || p.Identity != nil
	start := *r // a copy, so that the members can be read after the whole
	p.Identity = raw(&start)
	for name, ok := r.member(); ok; name, ok = r.member() {
		switch name {
		case "sourceIp":
			p.SourceIP = r.string()
		case "apiKeyId":
			p.APIKeyID = r.string()
		default:
			r.skip()
		}
	}
}

// http reads requestContext.http, of HTTP2 and FunctionURL. Its path is not read: it is that of rawPath.
func (p *payload) http(r *jsonReader) {
	for name, ok := r.member(); ok; name, ok = r.member() {
		p.marks.http = true
		switch name {
		case "method":
			p.Method = r.string()
		case "protocol":
			p.protocol = r.string()
		case "sourceIp":
			p.SourceIP = r.string()
		default:
			r.skip()
		}
	}
}

// elb reads requestContext.elb. The ARN of the target group is the only name that an ALB's event has, so it stands in
// API.
func (p *payload) elb(r *jsonReader) {
	for name, ok := r.member(); ok; name, ok = r.member() {
		p.marks.elb = true
		if name == "targetGroupArn" {
			p.API = r.string()
		} else {
			r.skip()
		}
	}
}

// kind returns what has made the event, or 0 if it is no HTTP request. An authorizer's event has the kind of the
// request that it asks about.
func (p *payload) kind() Kind {
	m := &p.marks
	if m.arn && m.socket {
		p.Method = "GET" // with which a WebSocket begins (RFC 6455 section 4.1); the event has no method
	}
	switch {
	case !m.context || m.twice || m.lattice || p.Method == "" || m.arn && (m.elb || m.typ != "REQUEST"):
		return 0
	case m.elb:
		return ALB
	case p.version == "2.0" && m.http: // EventBridge has a version too, "0"
		if p.ofFunctionURL() {
			return FunctionURL
		}
		return HTTP2
	case p.version == "1.0":
		return HTTP1
	case p.version == "": // the oldest format has none
		return REST
	}
	return 0
}

// ofFunctionURL reports whether an event of format 2.0 is a function URL's. Only the domain name tells it:
// "<API id>.lambda-url.<region>.on.aws". on.aws belongs to AWS, so no custom domain of an HTTP API is like that.
func (p *payload) ofFunctionURL() bool {
	rest, ok := strings.CutPrefix(p.Domain, p.API)
	return ok && strings.HasPrefix(rest, ".lambda-url.") && strings.HasSuffix(rest, ".on.aws")
}

// settle sets the fields that depend on the kind. An ALB writes no SourceIP, Stage and Resource, so what an event has
// of them does not count. remoteAddr finds the address.
func (p *payload) settle() {
	switch p.Kind {
	case HTTP2: // "$default" has no method; a function URL has only that route, so it has no Resource
		p.Resource = p.routeKey
		if _, path, ok := strings.Cut(p.routeKey, " "); ok { // "GET /pets/{id}"
			p.Resource = path
		}
	case ALB:
		p.SourceIP, p.Stage, p.Resource = "", "", ""
	}
}
