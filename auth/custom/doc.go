// Package custom lets a function of yours decide who may call, as a Lambda authorizer of Amazon API Gateway does. The
// function gets the caller's credential and the method that the request is for. It returns a policy or a plain yes or
// no, which is kept for a while.
//
//	guard, err := custom.New(custom.Config{
//		StageARN: "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod",
//		Authorize: func(ctx context.Context, e custom.Event) (custom.Result, error) {
//			user, err := sessions.Lookup(ctx, strings.TrimPrefix(e.AuthorizationToken, "Bearer "))
//			if errors.Is(err, sessions.ErrNotFound) {
//				// This error, and no other, is answered with 401, on which a client discards its token.
//				return custom.Result{}, custom.ErrUnauthorized
//			}
//			return custom.Result{PrincipalID: user.ID, Policy: user.Policy}, err
//		},
//	})
//	http.Handle("/", guard.Handler(next)) // in next: custom.ID(r), custom.FromContext(r.Context())
//
// An [Authorizer] and everything that it hands out is safe for concurrent use.
//
// # Two types
//
// A TOKEN authorizer reads one header, by default Authorization. [Config.ValidationExpression] may say what form its
// value must have. A REQUEST authorizer, which [Config.ByRequest] makes, reads its identity sources, such as [Header]
// and [Query], and the function also gets the request. If the header or any source is absent or occurs twice, the
// request is refused without a call.
//
// # The cache
//
// A result is kept for [Config.TTL] under a hash of the values of all identity sources, and serves requests for every
// method. What is kept is the policy, which is evaluated for the method of each request. Two rules follow:
//   - A policy must name everything that the caller may do. If it names only the method of the first request, it denies
//     all others for as long as it is kept.
//   - Everything that the result depends on must be an identity source. For example, a function that looks at the path
//     needs the path as a source.
//
// Requests with the same values that arrive while the function runs wait for its answer: a thousand make one call. The
// call has the context values of the first of them. It does not end with that request, but only after [Config.Timeout].
//
// Errors are not kept, with one exception that is off by default: [Config.RefusalTTL] keeps [ErrUnauthorized], so that
// a flood of one bad credential is not a flood of calls. Failures, panics and timeouts are never kept. Kept refusals
// are bounded in number and size, and never take the place of results. A flood of many different credentials still
// makes a call for each: put a rate limit in front.
//
// A policy may have conditions and variables: those about the time, TLS and the User-Agent, and others if [Config.Facts]
// brings the values that they ask for. They are judged anew for each request.
//
// # Paths and characters
//
// Policies are evaluated for the decoded path, as routers compare it: for /loyalty/%C3%A9 the method ARN ends in
// /loyalty/é, and a policy must say é. A question mark in a policy matches one character, here é; see package policy.
//
// # Next to a JWT verifier
//
// AnyOf of package auth accepts either a credential of this package or a JWT. Both a TOKEN authorizer and the JWT
// verifier then read the Authorization header, and the verifier takes every token for a JWT unless its Foreign says
// that a token is not its own. [Config.ValidationExpression] must match exactly those tokens, with the scheme before
// them, and no JWT:
//
//	session := regexp.MustCompile(`^session-[0-9a-f]+$`)
//	tokens, err := auth.New(auth.Config{Issuers: issuers, Foreign: session.MatchString})
//	sessions, err := custom.New(custom.Config{ValidationExpression: `(?i:Bearer )session-[0-9a-f]+`, Authorize: lookUp})
//	h := auth.AnyOf(tokens, sessions).Handler(next)
//
// A token for which Foreign is true but which the expression does not match is refused. So is any other text that is
// neither a session nor a JWT, even if the request also has a good credential of a third kind. Without an expression
// the authorizer takes JWTs for its own as well, and then both must accept them. None of this matters to an authorizer
// that does not read the Authorization header.
//
// # Dry run
//
// With [Config.AllowDespite], Handler may let a refused request pass. The request then carries no identity, not even
// that of an outer authorizer of this package, and its body is untouched. A credential that was let pass proves
// nothing.
//
// # Observation
//
// [Config.Observe] is told each [Decision]: the reason, the caller and the id of the request. The answer to a refusal
// has the same id in X-Amzn-RequestId. [Authorizer.Stats] tells how much the cache holds.
//
// # What it does not do
//
// It does not retry. It cannot revoke a result before its time: keep results for a short time if that matters.
// WebSocket APIs authorize on $connect, which is the request that upgrades the connection. Tokens that are JWTs of a
// known issuer need no function: see package auth. CORS preflight requests carry no credential: answer them outside of
// Handler.
//
// # Differences from API Gateway
//
// A policy lets a HEAD request pass only if it allows both HEAD and GET of that path, and a denial of either denies.
// The reason is that an [http.ServeMux] runs the handler of "GET /admin" for HEAD /admin too, while API Gateway has two
// methods. A function that decides by Event.Request or Event.MethodARN itself must treat HEAD as GET.
//
// A method that is not written in capitals is refused if there is a StageARN or a Mount: a handler for every method
// would serve it, although the policy names others. An answer with status 401 has the header WWW-Authenticate, which
// API Gateway does not send, because RFC 9110 section 15.5.2 requires it.
//
// # Errors
//
// Every refusal is an [*Error]. Its cause, to be matched with [errors.Is], decides the answer. The capital M and the
// null are API Gateway's:
//
//	cause             the client sees                              the operator
//	ErrMissing        401 {"message":"Unauthorized"}               does nothing: the client sent no credential
//	ErrMalformed      401 {"message":"Unauthorized"}               checks ValidationExpression if it happens often
//	ErrUnauthorized   401 {"message":"Unauthorized"}               does nothing: the credential is not valid
//	ErrDenied         403 {"Message":"User is not authorized …"}   changes the policy if the caller may use the method
//	ErrPath           400 {"message":"Bad Request"}                checks Mount, if the path is not /a/../b or the like
//	                  or 414 {"message":"Request URI too long"}    shortens paths: a method ARN has at most 1600 bytes
//	ErrFailed         500 {"message":null}                         reads the error: the function or its store failed
//	ErrNotConfigured  500 {"message":"Internal server error"}      makes the authorizer with New
//
// The text of the error says more than the cause: for example, whether the function panicked or returned a result that
// breaks a rule. The whole text of a 403 is "User is not authorized to access this resource", with " with an explicit
// deny" after it if a statement denies. New reports all mistakes of a [Config] at once; each names the field.
//
// # Files
//
// A request passes source.go and query.go (credential), arn.go (method), cache.go, function.go (the call), result.go
// (the decision); authorizer.go joins them. config.go, handler.go, identity.go, error.go, observe.go
// and stats.go are what users see of it.
//
// # Sources
//
// API Gateway Developer Guide: "Use API Gateway Lambda authorizers" with its pages on input, output and configuration,
// "Control access to HTTP APIs with AWS Lambda authorizers", "Gateway response types", "Quotas".
package custom
