// Package authorizer connects this module with the authorizers of API Gateway, in both directions. An [Authorizer] is a
// Lambda authorizer, made of any verifier of this module: API Gateway or AppSync asks it who the caller is, before the
// API's function or integration runs. [Authorized] is for that function: it makes what API Gateway has verified, by any
// authorizer, a proof of the packages here.
//
//	users, err := auth.New(auth.Config{Issuers: issuers})
//	a, err := authorizer.New(authorizer.Config{Mode: users, Principal: auth.ID})
//	lambda.Start(a) // of github.com/aws/aws-lambda-go/lambda
//
//	verified, err := authorizer.NewAuthorized(authorizer.AuthorizedConfig{
//		APIs: []string{"a1b2c3d4e5"}, JWT: true,
//		Issuers: map[string][]string{"https://login.example": {"loyalty"}},
//	})
//	f, err := awslambda.New(awslambda.Config{Handler: auth.AnyOf(verified).Handler(next)}) // in next: auth.ID(r)
//
// # What an Authorizer proves
//
// It answers that a caller may invoke an API only if [Config].Mode has accepted the request that the event describes,
// and [Config].Principal has a name for the caller. It takes these events, and recognises them by their members:
//
//	event                       answer                             401 is possible
//	TOKEN, REST API             policy                             yes
//	REQUEST, REST or WebSocket  policy                             yes
//	REQUEST, HTTP API 1.0       policy                             yes
//	REQUEST, HTTP API 2.0       policy, or Simple: isAuthorized    no, 403
//	AppSync                     isAuthorized                       always, instead of 403
//
// If the mode refuses, the status of its error decides:
//
//   - 401 becomes the error "Unauthorized" if the event allows it. API Gateway answers that with 401. For other events
//     401 is a refusal.
//   - 408, 425 and 429 are a function error. A refusal would be kept and would shut the caller out for as long, and a 401
//     would make it discard a good token. API Gateway answers 500, which clients of AWS try again. A mode that limits
//     its callers belongs in the API's function, which can answer 429.
//   - Any other status from 400 to 499 is a refusal: a policy that denies the stage, or isAuthorized false.
//     A request that net/http's server would refuse, such as one with two hosts, is refused in the same way.
//   - Any other status, or none, is a function error. API Gateway answers 500 and caches nothing. An example is a key
//     set that cannot be fetched: the caller's token may be good, and a client discards a token on 401.
//
// # The cache of API Gateway
//
// By default API Gateway keeps an answer for 300 seconds and applies it to requests with the same identity sources,
// whatever their method and path. Three rules follow:
//
//   - The Allow names the whole stage: its resource ends in /*. An Allow for the method of the first request would
//     refuse the caller's next method.
//   - Everything by which the mode decides MUST be an identity source of the authorizer in API Gateway. For example, a
//     mode that reads x-api-key needs method.request.header.x-api-key as a source. A TOKEN event has one source, and so
//     has AppSync: their modes see only that token, the method and the path.
//   - A mode that decides by the request, and not by the caller alone, must not be cached. SigV4 is one: the signature
//     covers one method, path and query. Package custom is another: its function may return a policy. For these, set
//     authorizerResultTtlInSeconds to 0 and [Config].Uncached. Without Uncached such a decision is [ErrResult], and the
//     caller is not let in. If you write a mode that decides by the method, set Uncached too: this package cannot
//     recognise it.
//
// With Uncached the Allow names only the method and the path of this request. A path that contains a wildcard of the
// policy language (* or ? or ${) is then refused, since no policy can name it: an Allow for the literal path /loyalty/*
// would allow /loyalty/1 too. So is a path with a control character.
//
// A kept answer outlives the token that it was made for. Keep answers for a shorter time than tokens live.
//
// # Bodies
//
// No event of an authorizer has the request's body. So this package cannot read a body that may exist, and a mode that
// reads it refuses the request. For SigV4 that means: GET, HEAD and OPTIONS are verified if they declare no body. Every
// other method is refused, because a signature for no body would let in a request with any body. REST APIs do not pass
// on Content-Length, so the API's handler must not read the body of a GET, HEAD or OPTIONS. Verify signed bodies in the
// function that gets them, with package awslambda. A request that declares UNSIGNED-PAYLOAD is accepted if the
// verifier's AllowUnsignedPayload is set.
//
// # What an Authorizer does not do
//
// It verifies no keys that AWS has issued. It cannot answer 400 or 413, which become refusals, nor 429, which becomes
// 500. On HTTP APIs a signed path with an encoded slash, or with escapes in lower case, is refused, since the event has
// the decoded path. Behind a mapping key SigV4 needs [Config].BasePaths.
//
// That API Gateway answers the error "Unauthorized" with 401 is documented for REST APIs. For payload format 1.0 of
// HTTP APIs it is not. An HTTP API that needs a 401 can leave the identity source to API Gateway, which answers 401 if
// it is absent.
//
// # What the API gets
//
// principalId is the caller's name. [Config].Context adds other values for the API's handler. AppSync and the payload
// format 2.0 of HTTP APIs do not pass on principalId, so there it is one of these values too. In REST APIs the values
// reach the handler as text. usageIdentifierKey is for a REST API whose ApiKeySourceType is AUTHORIZER.
//
// # What an Authorized proves
//
// It proves that the invoker of the function says who the caller is. That is as true as the invoker: a program that may
// use lambda:InvokeFunction for the function can write any event, and claim to be any caller. Grant that permission to
// API Gateway only. A function URL that is open to everyone does not weaken this, because Lambda itself writes those
// events. Clients write the headers, and Authorized reads none.
//
// Each kind of event has its own members for the caller, in requestContext. Each authorizer that [AuthorizedConfig]
// accepts becomes the proof of one package:
//
//	authorizer         REST API                    HTTP API 2.0        function URL      proof of package
//	Cognito user pool  authorizer.claims           -                   -                 auth
//	JWT                -                           authorizer.jwt      -                 auth
//	Lambda             authorizer, by principalId  authorizer.lambda   -                 custom
//	IAM                identity.userArn            authorizer.iam      authorizer.iam    sigv4
//	API key            identity.apiKeyId           -                   -                 apikey
//
// A Lambda authorizer chooses the names of its values. A value that it has named claims, jwt or iam is part of its
// context, and never the proof of another authorizer. In payload format 1.0 of HTTP APIs a JWT authorizer and a Lambda
// authorizer can set the same members, so both are refused there, and IAM alone is accepted.
//
// An event is refused if it comes from a load balancer, or from an API or a function URL that is not listed; if it was
// authorized by a kind that is not listed, or by none; and if its token has another issuer or audience, or expired more
// than a minute ago.
//
// What the proofs contain:
//
//   - API Gateway makes a text of each claim. In the Token, times, email_verified, phone_number_verified, groups,
//     scopes and audiences have their types again; any other claim stays a text. A group whose name contains a comma
//     (REST APIs) or a blank (HTTP APIs) looks like two groups, and a single group "[admins]" (HTTP APIs) like
//     "admins". Do not use such names where a group decides: a member of the one group "guests,admins" would be in
//     "admins". The same is true of scopes in a list. No [auth.Rules] are applied. Demand scopes and groups in the
//     handler, with Token.HasScope and Token.InGroup.
//   - The identity of package custom has the context of the Lambda authorizer, and no UsageIdentifierKey. Its
//     PrincipalID is empty if an HTTP API's authorizer has put no principalId into its context, as an [Authorizer]
//     does. Behind an Authorizer the proof is always that of package custom, also if its Mode was a verifier of package
//     auth: ask custom.ID, which is what Principal has returned, and not auth.ID.
//   - The identity of package sigv4 has the access key, the service, and as Principal the ARN of the caller. A user of
//     an identity pool has the pool's identity instead, since all users share the ARN. The other fields are empty, so
//     UnsignedPayload is false also where the payload was not signed.
//   - The client of package apikey has the id of the key, and no name. API keys name a program, not a user.
//
// [auth.AnyOf] gives an Authorized a Handler, an ErrorHandler and Observe, and joins it with other modes. Do not join it
// with package sigv4 where AWS verifies signatures: that package would refuse them, because it cannot know the keys of
// AWS.
//
// An Authorized accepts any of the kinds that it lists. So with IAM and APIKeys it lets an event through that has only a
// key. If both must be there, demand both behind it: the handler asks sigv4.ID and apikey.ID, or a usageplan.Meter whose
// Client is apikey.ID refuses those without a key. A second Authorized that lists only APIKeys does not help, since it
// refuses every event that IAM has authorized. The example "key" shows it.
//
// The errors of an Authorized are [auth.Error] values. They wrap [auth.ErrMissing] if the event names no caller,
// [auth.ErrRefused] for a source or a kind that is not listed, [auth.ErrMalformed] for members that its kind of event
// does not have, and [auth.ErrIssuer], [auth.ErrAudience] or [auth.ErrNotCurrent] for a token.
//
// # Errors of an Authorizer
//
// Invoke returns errors to Lambda, which logs them. No client sees their texts, except "Unauthorized".
//
//   - [ErrNotConfigured]: make the authorizer with [New].
//   - [ErrEvent]: the function was invoked with an event that is not an authorizer's; the text says what it is. Remove
//     the trigger, or use package awslambda.
//   - [ErrResult]: correct what the text names, a function of [Config] or Uncached.
//
// Invoke also returns a mode's error whose status is 500 or more, or 408, 425 or 429, and an error for a panic of a
// mode or of a function of [Config], or if it calls runtime.Goexit. New reports all mistakes of a [Config] at once;
// each names the field.
//
// An Authorizer keeps nothing of an event. A panic fails only its own invocation. It is safe for concurrent use, as
// Lambda's managed instances need.
//
// # Files
//
// authorizer.go is the decision of an Authorizer. event.go and arn.go read the event, request.go makes the request that
// the mode gets, and response.go writes the answer. config.go and error.go are what users see of it.
//
// authorized.go is the decision of an Authorized. proof.go finds what an event says, and claims.go makes a token of it.
//
// # Sources
//
// API Gateway Developer Guide: "Use API Gateway Lambda authorizers" with its pages on input and output, "Control access
// to HTTP APIs with AWS Lambda authorizers", "Control access to WebSocket APIs with Lambda REQUEST authorizers";
// AppSync Developer Guide: "AWS_LAMBDA authorization"; IAM User Guide: "IAM JSON policy elements: Resource".
package authorizer
