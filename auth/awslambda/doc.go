// Package awslambda serves the HTTP requests in the events of AWS Lambda with any [http.Handler], so that a handler and
// the middleware around it run in a Lambda function as they run in a server.
//
//	f, err := awslambda.New(awslambda.Config{Handler: mux})
//	…
//	lambda.Start(f)        // of github.com/aws/aws-lambda-go/lambda; a whole answer
//	lambda.Start(f.Stream) // or an answer in parts
//
// It reads the events of REST APIs, of HTTP APIs in the payload formats 1.0 and 2.0, of function URLs and of
// Application Load Balancers (ALBs), and answers each in its own format. It proves nothing about a caller. It delivers
// what the proofs of other packages need: the path and the query that a client has signed with SigV4, cookies, the
// host, and the client's address. It imports the standard library only: the runtime takes handlers by their shape.
//
// # The request
//
//   - RequestURI is what the client has sent, with the stage or the mapping key of a custom domain. URL.Path is the
//     path without both. So package sigv4 verifies the one, and a mux routes by the other. [Config].BasePaths has the
//     mapping keys, which no event tells.
//   - Host is the host that the client has sent. It is not in Header, as in net/http.
//   - Header has each value of REST APIs, of payload format 1.0 and of ALBs with multi-value headers as its own
//     element. The other events have values joined with commas, and they stay so. Cookies are joined with semicolons.
//   - RemoteAddr is the client's address with the port 0, "203.0.113.9:0" or "[2001:db8::1]:0". For an ALB it is the
//     last address in X-Forwarded-For, with its port if the ALB adds that. So the ALB must append to that field, which
//     is its default. If it removes the field, RemoteAddr is empty. If it preserves the field, the client chooses the
//     address.
//   - Body is in memory, and ContentLength is its length.
//   - Context is the invocation's, with its deadline and what the runtime has put into it.
//
// A request that net/http's server would refuse, such as one with the path "/%zz", is answered with 400 and does not
// reach the handler.
//
// [Function.Request] makes the same request without serving it, also of the event of an authorizer.
//
// [FromContext] returns what the event says beyond the request, such as the id of the API, the stage, the resource and
// the method. These four are the fields of a usageplan.Route; see the example.
//
// # A handler that ran in a server
//
// The middleware stays as it is. These settings change:
//
//   - Behind an API, the patterns of a mux have no stage: "GET /Prod/pets/{id}" becomes "GET /pets/{id}". Nothing must
//     remove the stage again: leave out http.StripPrefix and policy.GateConfig.Mount. RequestURI has the stage, so
//     sigv4.VerifierConfig.PathPrefix stays empty, too.
//   - Clients of a function URL usually sign for the service "lambda". A sigv4 verifier accepts only what is in
//     VerifierConfig.Services, which is "execute-api" if it is empty.
//   - A custom domain with a mapping key needs [Config].BasePaths.
//   - API Gateway can verify the caller before it invokes the function. Then package authorizer takes the place of the
//     verifiers.
//   - Limits need a server that keeps them: see "What counts per environment".
//
// The folder examples/frameworks/function has whole functions, with a template that deploys them.
//
// # Events by hand
//
// A test can write an event. These members tell what it is; the others may be absent:
//
//	REST API         httpMethod, path, requestContext (apiId, stage, path), without version
//	HTTP API 1.0     the same, with version "1.0" and requestContext.domainName "API.execute-api.REGION.amazonaws.com"
//	HTTP API 2.0     version "2.0", rawPath, requestContext (apiId, stage, http.method)
//	function URL     the same, with requestContext.domainName "API.lambda-url.REGION.on.aws"
//	load balancer    httpMethod, path, requestContext.elb.targetGroupArn
//
// API is the apiId. An event of a signed request also needs the header host, and the path as it was signed: with the
// stage, it is requestContext.path or rawPath.
//
// # The answer
//
// Status, header and body follow the rules of net/http's server: the header counts as it was at WriteHeader, the
// Content-Type is found in the first 512 bytes if it was not set, HEAD has no body, and a body that is longer than its
// Content-Length is refused. A body that is not UTF-8 is delivered in Base64. ALBs get a statusDescription.
//
// A handler that panics fails its own invocation, with a [*PanicError]. Without this package, a panic makes the runtime
// end the process, and with it all other invocations of an environment that serves several at once
// (AWS_LAMBDA_MAX_CONCURRENCY).
//
// [Function.Stream] delivers an answer in parts. The handler flushes as in a server, and waits while the client is
// slow.
//
// # What it does not do
//
//   - 1xx answers, trailers, Hijack and HTTP/2 push cannot be delivered. The first two are left out; the writer does
//     not have the methods of the others. Under Invoke, and for HTTP APIs and ALBs, it does not have Flush either.
//   - HTTP APIs decode the path. It is escaped again as net/url escapes: "%2F" reaches the handler as "/", escapes in
//     lower case come back in upper case, and "%40" and "%2B" as "@" and "+". A client that has signed such a path with
//     SigV4 is refused. AWS cuts the path at a decoded "?".
//   - ALBs without multi-value headers deliver the last of several parameters or fields with one name, so a signature
//     over all of them is refused. They take one cookie; two are [ErrAnswer].
//   - REST APIs deliver a binary body unchanged, and decode Base64 in an answer, only for the media types in
//     binaryMediaTypes. This package cannot see that setting.
//   - CloudFront, in front of edge-optimised APIs, adds X-Amz-Cf-Id. sigv4.VerifierConfig.AllowUnsignedHeaders accepts
//     it.
//   - Keys that AWS has issued are known to AWS only. Package sigv4 verifies signatures of keys that you have issued.
//   - BasePaths has one mapping key for each domain. If an API is mapped twice on one domain, the other key stays in
//     the path of a REST API, and with payload format 2.0 a signed request under the other key is refused.
//   - Events of WebSocket APIs, VPC Lattice, queues, buckets and authorizers are refused with [ErrEvent].
//
// # What counts per environment
//
// Lambda starts about as many environments as there are requests at one time. Each has its own memory and its own /tmp.
//
//   - A token bucket of package ratelimit, or a throttle of a usage plan, bounds the rate of its environment only. With
//     50 environments, 50 times the rate may pass. Divide the rate by the reserved concurrency, or let package
//     redislimit keep the buckets.
//   - A quota in memory or in a file under /tmp is a quota per environment: with a quota of 100, three environments
//     admit 300 requests. Quotas need a shared store: redisstore, pgstore or dynamostore.
//   - Use the ledger's exact mode with such a store. In leased mode each environment takes units in advance. Lambda
//     ends environments without notice, so the units that an environment has not spent are lost to the key.
//   - Each environment has its own cache of key sets, verified tokens and decisions. That is safe, and costs one fetch
//     for each environment. Call auth's Prefetch before lambda.Start: the init phase has more processor time, and then
//     no request waits.
//   - Lambda freezes an environment between invocations. No package here needs a goroutine in the background to be
//     right. Time passes during the freeze, so afterwards buckets may be full and tokens may have expired.
//
// # Who may invoke
//
// This package believes every event. A caller who may use lambda:InvokeFunction can write any event, with any address,
// path and authorizer. Grant that permission only to the services in front of the function. The invoker also chooses
// the TenantID of Lambda's tenant isolation.
//
// Health checks of an ALB have no credentials, and no X-Forwarded-For, so their RemoteAddr is empty. Serve their path
// outside of all checks.
//
// # Bounds
//
// An event has at most 6 MB, as Lambda delivers it. It is copied once, and its body once more. A whole answer has at
// most 6 MB of JSON, or 1 MiB for an ALB. So a body in Base64 has at most 4.5 MB. A stream holds 4 KiB.
//
// # Errors
//
// An error of Invoke or Stream is a function error. The client gets 502, or 500 from an HTTP API, without the text. The
// causes, and what the operator does about each:
//
//   - [ErrNotConfigured]: make the function with [New], and handle its error.
//   - [ErrEvent]: the text says what the event is. Remove that trigger, or give it another function. If the event is
//     malformed, AWS has not written it: find who invokes the function directly.
//   - [ErrAnswer]: the text says what the kind of event cannot carry, and how to change that. If the answer is too
//     large, answer less, use [Function.Stream], or redirect to a signed URL of S3.
//   - [ErrAborted]: the handler panicked with [http.ErrAbortHandler], or wrote less than its Content-Length.
//   - [*PanicError]: mend the handler. The text has the stack. In mid-stream it goes into a trailer, so it is cut after
//     about 2.8 KB.
//   - an error of the context: the invocation's deadline passed during a stream.
//   - "the handler did not return": it called runtime.Goexit. Let it return.
//
// # Files
//
// event.go is what a handler can read of an event. payload.go reads events with jsonread.go, and nothttp.go names those
// that are no requests. request.go and target.go make the request. recorder.go and answer.go write the answer, and
// stream.go writes it in parts.
//
// # Sources
//
// The AWS documentation "Working with AWS Lambda proxy integrations for HTTP APIs", "Lambda proxy integrations in API
// Gateway", "Invoking Lambda function URLs", "Lambda functions as targets for Application Load Balancers", "Response
// streaming for Lambda functions", "Lambda quotas" and "Using the Lambda runtime API"; RFC 9110, RFC 6265, RFC 8259.
package awslambda
