package authorizer

import (
	"encoding/json"
	"fmt"
)

// maxEvent is how many bytes an event may have. Lambda passes at most 6 MiB to a function that it invokes
// synchronously.
const maxEvent = 6 << 20

// form is the form of an event, and of its answer.
type form int

const (
	formToken   form = iota + 1 // REST API, TOKEN: the value of one header
	formRequest                 // REST or WebSocket API, REQUEST, and HTTP API with payload format 1.0
	formHTTP                    // HTTP API with payload format 2.0
	formAppSync                 // GraphQL
)

// event is the part of an authorizer's event that tells the form, and what forms without a request have. Lambda's
// runtime uses the bytes of a payload again, so nothing of them may be kept: decoding copies every string.
type event struct {
	Version            string
	Type               string
	MethodARN          string `json:"methodArn"`
	RouteARN           string `json:"routeArn"`
	AuthorizationToken string // TOKEN and AppSync; payload format 1.0 has it too, in addition to the header
	HTTPMethod         string `json:"httpMethod"` // of a request, and of REQUEST in the older formats
	RequestContext     struct {
		APIID string `json:"apiId"`
		HTTP  struct {
			Method string
		} `json:"http"`
	}

	form   form
	target target // what the caller wants to invoke; AppSync does not say it
}

// readEvent decodes an event and finds its form. Each form except AppSync's must have a well-formed ARN: it becomes the
// resource of the answer's policy, so an Allow can never name more than one stage.
func readEvent(payload []byte) (*event, error) {
	if len(payload) > maxEvent {
		return nil, badEvent("it has %d bytes, more than Lambda passes on", len(payload))
	}
	e := new(event)
	if err := json.Unmarshal(payload, e); err != nil {
		return nil, badEvent("%w", err)
	}
	e.form = e.recognise()
	arn := e.MethodARN
	switch e.form {
	case 0:
		return nil, badEvent("%s", e.what())
	case formAppSync:
		return e, nil
	case formHTTP:
		arn = e.RouteARN
	}
	var err error
	e.target, err = parseTarget(arn)
	return e, err
}

// recognise returns the form of the event, or zero. Only AppSync's events have no ARN of a method. If an event fits two
// forms, it has neither: API Gateway sends no such event, so another program has written it.
func (e *event) recognise() form {
	switch {
	case e.MethodARN != "" && e.RouteARN != "":
	case e.MethodARN != "" && e.Type == "TOKEN":
		return formToken
	case e.MethodARN != "" && e.Type == "REQUEST" && e.Version != "2.0":
		return formRequest
	case e.RouteARN != "" && e.Type == "REQUEST" && e.Version == "2.0":
		return formHTTP
	case e.MethodARN == "" && e.RouteARN == "" && e.Type == "" && e.Version == "" && e.RequestContext.APIID != "" &&
		e.AuthorizationToken != "":
		return formAppSync
	}
	return 0
}

// what describes an event without a form, so that the operator sees which trigger to remove, and the author of a test
// which member is absent.
func (e *event) what() string {
	request := e.HTTPMethod != "" || e.RequestContext.HTTP.Method != ""
	arn := "methodArn"
	if e.Version == "2.0" {
		arn = "routeArn"
	}
	switch {
	case e.MethodARN != "" && e.RouteARN != "":
		return "it has both methodArn and routeArn"
	case e.Type == "" && e.MethodARN+e.RouteARN == "" && request:
		return "it is a request to the API itself: use package awslambda"
	case e.Type == "" && e.MethodARN+e.RouteARN == "":
		return "it has neither a type nor the members of AppSync's"
	case e.Type == "TOKEN" && e.Version == "2.0", e.Type != "TOKEN" && e.Type != "REQUEST":
		return fmt.Sprintf("no authorizer has the type %.40q in version %.40q", e.Type, e.Version)
	}
	return fmt.Sprintf("its type %q in version %.40q needs a %s", e.Type, e.Version, arn)
}
