package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A call is a request of a caller who may make it. As a context, it has the origin that the journals keep.
type call struct {
	context.Context
	request *http.Request
	action  Action
	actor   string
	onPage  bool     // the actor has signed in at the owner's page
	details          // of an operation that comes from there
	ids     []string // those in the path, in their order
	query   url.Values
	body    []byte
}

// details are what a form of the owner's page says in addition to the operation of API Gateway. They are zero in a
// request to the control plane.
type details struct {
	newID      string            // of the key or plan that is created; it makes a form that is sent again harmless
	period     ledger.Period     // of the quota that is adjusted; zero is the first
	adjustment ledger.Adjustment // its reason and its id
}

// maxBody is API Gateway's limit of a body in bytes
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html).
const maxBody = 10 << 20

// readBody reads a body of at most maxBody bytes. It reads all of it before anything is parsed, so that a body that
// breaks off changes nothing.
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

// read returns the body as a JSON object with no other names than these. Its fields are read as if it had no mistake;
// the caller then asks for the first one by wrong.
//
// The content type is not looked at. SDKs send none with some operations, and a body is read in one way only.
func (c *call) read(names ...string) (node, error) {
	n, err := parseBody(c.body)
	if err != nil {
		return n, badRequest("Invalid request input: %v", err)
	}
	if n.isNull() {
		n.fail("is not an object")
	}
	n.known(names...)
	return n, nil
}

// maxValues bounds the values in a body. 10 MiB have room for five million, which take seconds to read. The longest PATCH
// has 20 000, and a plan with 100 stages of 500 methods has 150 000.
const maxValues = 250_000

// parseBody reads a body as JSON. Each value but the first follows a comma or the start of its object or list, so that
// their number is known before anything is parsed. It counts these characters in texts as well; the longest text that is
// accepted, a description, has at most 125 000.
func parseBody(body []byte) (node, error) {
	if bytes.Count(body, []byte(","))+bytes.Count(body, []byte("["))+bytes.Count(body, []byte("{")) > maxValues {
		return node{}, fmt.Errorf("more than %d values", maxValues)
	}
	return parseJSON(body)
}

// wrong returns the first mistake that was found in the document, or nil.
func (n node) wrong() error {
	if err := n.finish(); err != nil {
		return badRequest("Invalid request input: %v", err)
	}
	return nil
}

// parameters are the names of the control plane's parameters.
var parameters = []string{
	"customerId", "endDate", "failonwarnings", "format", "includeValue", "includeValues", "keyId", "limit", "mode", "name",
	"position", "startDate", "tagKeys",
}

// parseQuery parses a query. A parameter of the control plane that comes twice is refused, because programs differ in
// which of the two they take; tagKeys is a list. Parameters that are not known are ignored, because a presigned URL has
// the signature there. A name in another case is refused: SDKs call failonwarnings failOnWarnings, and a caller who
// writes it so by hand must not get half of an import.
func parseQuery(raw string) (url.Values, error) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return nil, badRequest("Invalid request input: the query cannot be read")
	}
	for name, values := range query {
		i := slices.IndexFunc(parameters, func(known string) bool { return strings.EqualFold(known, name) })
		if i >= 0 && name != parameters[i] {
			return nil, badRequest("Invalid request input: parameter %s is not known, but %s is", clip(name), parameters[i])
		}
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

// source returns the address that the request comes from, without its port.
func source(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return clip(r.RemoteAddr) // what an adapter sets may have no port
}
