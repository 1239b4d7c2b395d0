package awslambda

import "fmt"

// member reads a member that only tells what an event is. Such an event is refused in any case; its marks are kept so
// that the error can name the trigger.
func (m *marks) member(name string, r *jsonReader) {
	switch name {
	case "type": // TOKEN or REQUEST, of an authorizer
		m.typ = r.string()
	case "methodArn", "routeArn": // of every authorizer of API Gateway, and of no other event
		m.arn = r.string() != ""
	case "Records": // SQS, SNS, S3, SES, and the streams of Kinesis and DynamoDB
		m.records(r)
	case "source": // EventBridge
		m.source = r.string()
	case "eventSource": // of the brokers of Kafka and MQ
		m.source = r.string()
	case "detail-type":
		m.detail = r.string() != ""
	case "triggerSource": // user pools, such as "PreSignUp_SignUp"
		m.trigger = r.string() != ""
	case "authorizationToken": // AppSync; API Gateway's have it too, and methodArn, which is asked for first
		m.appSync = r.string() != ""
	case "raw_path": // the first format of VPC Lattice
		m.lattice = r.string() != ""
	case "StackId": // a custom resource, whose stack waits for an hour if nobody answers
		m.cloudForm = r.string() != ""
	default:
		r.skip()
	}
}

// records reads the source of the records, which is the same in all. SNS begins the name with a capital letter.
func (m *marks) records(r *jsonReader) {
	for r.element() {
		for name, ok := r.member(); ok; name, ok = r.member() {
			if name == "eventSource" || name == "EventSource" {
				m.source = r.string()
			} else {
				r.skip()
			}
		}
	}
}

// what describes an event that holds no HTTP request, so that the operator sees which trigger to remove. It is ""
// if the event has no mark. The order matters: an authorizer's event of a WebSocket API has the marks of both, and the
// first is the reason.
//
// The texts that come from the event are cut and quoted. The invoker has written them, and they go to a log, where a
// line break could begin a line that looks like another's.
func (m *marks) what() string {
	switch {
	case m.twice:
		return "not written by AWS: requestContext, authorizer or identity comes twice"
	case m.arn:
		return fmt.Sprintf("an authorizer's event of type %.16q: use package authorizer", m.typ)
	case m.appSync:
		return "an authorizer's event of AppSync: use package authorizer"
	case m.socket:
		return "an event of a WebSocket API"
	case m.lattice:
		return "an event of VPC Lattice"
	case m.detail:
		return fmt.Sprintf("an event of EventBridge from %.64q", m.source)
	case m.trigger:
		return "a trigger of a Cognito user pool"
	case m.cloudForm:
		return "a custom resource of CloudFormation"
	case m.source != "":
		return fmt.Sprintf("an event of %.64q", m.source)
	}
	return ""
}

// lack says what an event without any mark would need to be a request. People see it who write events by hand.
func (p *payload) lack() string {
	const method = "requestContext.http.method"
	switch {
	case !p.marks.context:
		return "it has no requestContext"
	case p.version == "2.0" && !p.marks.http:
		return "version 2.0 needs " + method
	case p.Method == "":
		return "it has neither httpMethod nor " + method
	case p.version == "" && p.marks.http:
		return "with " + method + " it needs version 2.0"
	}
	return fmt.Sprintf("its version is %.16q", p.version)
}
