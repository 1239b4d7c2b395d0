package admin

// An Action is what a caller asks for: the question that [Config].Authorize answers.
type Action struct {
	// Operation is API Gateway's name of it, such as "CreateUsagePlan".
	Operation string

	// Resource is the ARN of what it is done to, as IAM policies name it: "arn:aws:apigateway:eu-west-1::/apikeys/abc".
	Resource string
}
