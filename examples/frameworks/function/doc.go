// Package function has only tests. They run the functions in its folders as Lambda does: as processes with
// github.com/aws/aws-lambda-go, which take events from a Runtime API.
//
//   - loyalty is the loyalty API behind a REST API and a function URL. A DynamoDB table counts its quotas for all
//     environments.
//   - authorizer is the Lambda authorizer of that API.
//   - template.yaml deploys both with the AWS Serverless Application Model.
//
// The tests also run authorizers for HTTP APIs and AppSync, and a function whose callers API Gateway has verified.
//
// They show what a process loses and keeps when Lambda freezes it, gives it several events at once, or reads an
// answer slowly. One prints how many signed requests reach a handler through each kind of event, here and with
// aws-lambda-go-api-proxy and lambdaurl:
//
//	go test -v -run Signatures ./function
//
// The Runtime API and the events are emulated from AWS's documentation. The template is compared with the programs, and
// was never deployed. Nothing here has run on AWS.
package function
