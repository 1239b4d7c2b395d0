// Package custom lets a function of yours decide who may call, as a Lambda authorizer of Amazon API Gateway does: it
// gets the caller's credential and the method asked for, and returns a policy or a plain yes or no, which is cached.
//
//	guard, err := custom.New(custom.Config{
//		StageARN: "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod",
//		Authorize: func(ctx context.Context, e custom.Event) (custom.Result, error) {
//			user, err := sessions.Lookup(ctx, strings.TrimPrefix(e.AuthorizationToken, "Bearer "))
//			if errors.Is(err, sessions.ErrNotFound) {
//				return custom.Result{}, custom.ErrUnauthorized // 401, and no other error: a client discards its token then
//			}
//			return custom.Result{PrincipalID: user.ID, Policy: user.Policy}, err
//		},
//	})
//	http.Handle("/", guard.Handler(next)) // in next: custom.ID(r), custom.FromContext(r.Context())
//
// # Two types
//
// A [TOKEN] authorizer looks at one header, Authorization unless told otherwise, whose value may have to match an
// expression. A [REQUEST] authorizer looks at its identity sources, such as [Header] and [Query], and gets the request.
// A request that lacks the header, or any one of the sources, or has one of them twice, is refused without a call.
//
// # Answers
//
//	credential missing, ambiguous or not matched; [ErrUnauthorized]   401 {"message":"Unauthorized"}
//	no statement of the policy matches, or a plain no                 403 {"Message":"User is not authorized to access this resource"}
//	a statement denies                                                403 {"Message":"User is not authorized to access this resource with an explicit deny"}
//	any other error, a panic, no answer in time, an invalid result    500 {"message":null}
//	method ARN of more than 1600 bytes                                414 {"message":"Request URI too long"}
//	a path or method whose meaning is open, such as /a/../b or get    400 {"message":"Bad Request"}
//
// The capital M and the null are API Gateway's. The header WWW-Authenticate of a 401 is not; RFC 9110 section 15.5.2
// demands it.
//
// # The cache
//
// A result is kept for [Config.TTL] under the values of all identity sources, hashed, and serves every method: it is
// the policy that is kept, and it is evaluated anew for the method of each request. So a policy that names one method
// denies the others for as long as it is kept; name all that the caller may do. What the result depends on must be an
// identity source: a function that looks at the path should have it among them. Requests with the same values that arrive
// while the function runs wait for its answer: a thousand make one call. The call has the values of the first request's
// context, but not its end, and a time limit of its own.
//
// Errors are not kept, with one exception that is off by default: [Config.RefusalTTL] keeps [ErrUnauthorized], so that a
// flood of one bad credential is not a flood of calls. Failures, panics and time limits are never kept. Refusals are
// bounded in number and size and do not drive out results. A flood of many different credentials still makes a call for
// each: put a rate rule in front.
//
// # Paths and characters
//
// Policies are evaluated for the decoded path, as routers compare it: for /loyalty/%C3%A9 the method ARN ends in
// /loyalty/é, and a policy must say é. A question mark in a policy is one character, here é; see package policy.
//
// # Next to a JWT verifier
//
// AnyOf of package auth accepts either this function's credentials or JWTs. A TOKEN authorizer then reads the same header
// as the verifier, which takes every word for a JWT unless told otherwise: Foreign in auth.Config names the words that
// are left to the authorizer. [Config.ValidationExpression] must match these, with the scheme before them, and no JWT:
//
//	session := regexp.MustCompile(`^session-[0-9a-f]+$`)
//	tokens, err := auth.New(auth.Config{Issuers: issuers, Foreign: session.MatchString})
//	sessions, err := custom.New(custom.Config{ValidationExpression: `(?i:Bearer )session-[0-9a-f]+`, Authorize: lookUp})
//	h := auth.AnyOf(tokens, sessions).Handler(next)
//
// A word that Foreign leaves and the expression does not match is refused, and so is garbage or a JWE, also next to a good
// credential of a third kind. Without an expression the authorizer claims JWTs too, and then both must accept them. An
// authorizer that does not look at Authorization needs none of this.
//
// # Dry run
//
// [Config.AllowDespite] lets a refused request pass in Handler. It carries no identity, not even that of an outer
// authorizer of this package, and its body is untouched. A credential that a dry run lets pass proves nothing.
//
// # What it does not do
//
// It does not retry, and it cannot take a result back before its time; keep results for a short time where that
// matters. WebSocket APIs ask on $connect, that is on the request that upgrades. Tokens that are JWTs of a known
// issuer need no function: see package auth. CORS preflights carry no credential: answer them outside of Handler.
//
// # Differences from API Gateway
//
// A policy lets a HEAD through only if it allows both the HEAD and the GET of that path, and a denial of either denies:
// an [http.ServeMux] runs the handler of "GET /admin" for HEAD /admin too, while for API Gateway the two are different
// methods. A method that is not written in capitals is refused where there is a StageARN or a Mount, since a handler
// for every method would serve it though the policy names others. A function that decides by Event.Request or
// Event.MethodARN itself must treat HEAD as GET.
//
// # Sources
//
// API Gateway Developer Guide: "Use API Gateway Lambda authorizers" with its pages on input, output and configuration,
// "Control access to HTTP APIs with AWS Lambda authorizers", "Gateway response types", "Quotas".
package custom
