package admin

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tallygate/tallygate/apikey"
)

// An operation is one step of a PATCH
// (https://docs.aws.amazon.com/apigateway/latest/api/API_PatchOperation.html). A value that is left out is empty.
type operation struct{ op, path, value string }

// Bounds of a PATCH. API Gateway documents none. Terraform needs two operations for each stage of a plan, and two more
// for each of the 20 methods that a stage may throttle, so these are enough for a hundred stages.
const (
	maxOperations = 5000
	maxPath       = 2048 // bytes
)

// parseOperations reads the body of a PATCH: {"patchOperations": [{"op": …, "path": …, "value": …, "from": …}]}. No
// operation of this control plane has a from, so it is read and ignored if it is empty, and otherwise refused.
func parseOperations(body []byte) ([]operation, error) {
	doc, err := parseBody(body)
	if err != nil || doc.isNull() {
		return nil, badRequest("Invalid request input")
	}
	doc.known("patchOperations")
	nodes := doc.field("patchOperations").list()
	if len(nodes) > maxOperations {
		return nil, badRequest("Too many patch operations specified, can be at most %d", maxOperations)
	}
	ops := make([]operation, 0, len(nodes))
	for _, n := range nodes {
		n.known("op", "path", "value", "from")
		op := operation{n.field("op").text(), n.field("path").text(), n.field("value").text()}
		if n.field("from").text() != "" || len(op.path) > maxPath {
			return nil, op.unsupported()
		}
		ops = append(ops, op)
	}
	if doc.finish() != nil {
		return nil, badRequest("Invalid request input")
	}
	return ops, nil
}

// is reports whether o is one of the ops on exactly the path.
func (o operation) is(path string, ops ...string) bool {
	return o.path == path && slices.Contains(ops, o.op)
}

// invalidPath is the error for a path that the op does not have, in API Gateway's words. paths are those that it has.
func (o operation) invalidPath(paths ...string) error {
	return badRequest("Invalid patch path  '%s' specified for op '%s'. Must be one of: [%s]",
		clip(o.path), clip(o.op), strings.Join(paths, ", "))
}

// unsupported is API Gateway's error for an op that a resource does not have at all.
func (o operation) unsupported() error {
	return badRequest("Invalid patch path  '%s' specified for op '%s'. Please choose supported operations",
		clip(o.path), clip(o.op))
}

// whole reads the value as a whole number that is not negative. what begins the error.
func (o operation) whole(what string) (int64, error) {
	v, err := strconv.ParseInt(o.value, 10, 64)
	if err != nil || v < 0 {
		return 0, badRequest("%s must be a non-negative numeric", what)
	}
	return v, nil
}

// number reads the value as a number that is not negative, in decimal digits. [strconv.ParseFloat] alone would also
// take "Inf", "NaN" and hexadecimal digits.
func (o operation) number(what string) (float64, error) {
	v, err := strconv.ParseFloat(o.value, 64)
	if err != nil || v < 0 || strings.Trim(o.value, "0123456789.eE+-") != "" {
		return 0, badRequest("%s must be a non-negative numeric", what)
	}
	return v, nil
}

// patchKey applies the operations to a key. It is called within [apikey.Verifier.Update], which validates the result.
// The stages of a key (/stages, /labels) are older than usage plans, and this control plane has none.
func patchKey(k *apikey.Key, ops []operation) error {
	for _, o := range ops {
		switch {
		case o.is("/name", "replace"):
			k.Name = o.value
		case o.is("/description", "replace"):
			k.Description = o.value
		case o.is("/customerId", "replace"):
			k.CustomerID = o.value
		case o.is("/enabled", "replace"):
			k.Enabled = strings.EqualFold(o.value, "true") // any other text is false, as in API Gateway
		case o.op == "replace":
			return o.invalidPath("/description", "/enabled", "/name", "/customerId")
		default:
			return o.unsupported()
		}
	}
	return nil
}

// patchUsage returns what the operations of UpdateUsage set the remaining units to. The last one counts. It reports
// false if there is none, which changes nothing.
func patchUsage(ops []operation) (remaining int64, found bool, err error) {
	for _, o := range ops {
		switch {
		case o.is("/remaining", "replace"):
			if remaining, err = o.whole("Usage remaining"); err != nil {
				return 0, false, err
			}
			found = true
		case o.op == "replace":
			return 0, false, o.invalidPath("/remaining")
		default:
			return 0, false, o.unsupported()
		}
	}
	return remaining, found, nil
}

// patchAccount checks the operations of UpdateAccount. They change nothing: usage plans are always on, and there is no
// CloudWatch role. Scripts that were written for old accounts turn usage plans on before they use them. Terraform sets
// the role to "" when it destroys an account's settings. To accept a role would promise logs that nobody writes.
func patchAccount(ops []operation) error {
	for _, o := range ops {
		switch {
		case o.is("/features", "add") && o.value == "UsagePlans":
		case o.is("/features", "add", "remove"):
			return badRequest("Invalid feature '%s' specified for op '%s'", clip(o.value), o.op)
		case o.is("/cloudwatchRoleArn", "replace") && o.value == "":
		case o.is("/cloudwatchRoleArn", "replace"):
			return badRequest("CloudWatch Logs role ARN is not supported: %s", clip(o.value))
		case o.op == "add" || o.op == "remove":
			return o.invalidPath("/features")
		case o.op == "replace":
			return o.invalidPath("/cloudwatchRoleArn")
		default:
			return o.unsupported()
		}
	}
	return nil
}
