// Package auth lets requests through that bring a valid JSON Web Token, as API Gateway's Cognito and JWT authorizers
// do.
//
// It proves four things about a token: a key of the issuer that it names has signed it, its times are valid now, it was
// issued for this service, and it satisfies the rules of the route. The smallest use:
//
//	v, err := auth.New(auth.Config{
//		Issuers: []auth.Issuer{auth.Cognito("eu-west-1", "eu-west-1_aQYCzHwCz", "3fe6quse1kki13s6nebi0ncnin")},
//	})
//	…
//	http.Handle("GET /me", v.Handler(me)) // me finds the token with auth.FromContext
//
// [Cognito], [OIDC], [AWSIdentity] and [ALB] make the usual issuers; an [Issuer] literal makes any other.
// [Verifier.With] adds scopes, groups and other [Rules] for a route. [AnyOf] accepts several kinds of credentials.
// [Verifier.VerifyToken] works without HTTP.
//
// # Issuers
//
//	issuer                              made by                    the token must
//	Cognito's user pool                 Cognito                    have token_use, and its client as that says
//	OpenID Connect provider             OIDC                       have one of the audiences in aud
//	IAM principals of an AWS account    AWSIdentity                the same; Token.AWSPrincipal returns the principal
//	Microsoft Entra, many tenants       OIDC, {tenantid} in URL    have iss with its tid in it, be of an allowed tenant,
//	                                                               and be signed by a key of that tenant or of all
//	SPIFFE trust domain                 URL spiffe://DOMAIN        have a sub of the domain, and aud; iss is not needed
//	Application Load Balancer           ALB                        have its ARN, issuer, client and exp in the header
//
// Except for [Cognito] and [ALB], a token without aud is refused with ErrAudience even if its client is accepted (RFC
// 8725 section 3.9). [Issuer].AllowClientID accepts such tokens, as HTTP APIs do. An unknown tenant, load balancer or
// trust domain is ErrIssuer. [Rules].TokenUse demands ID or access tokens if the issuer marks them, and refuses all
// other tokens with ErrAudience; see [Token].Use.
//
// # What is refused
//
// There is one mode, and it is strict:
//
//   - A token has three segments of base64url, without padding (but see [ALB]), line breaks or stray bits. It has at
//     most 16 KiB, of which the header has at most 2 KiB.
//   - Header and claims are JSON objects within the bounds below. No name occurs twice in an object. In a header, no
//     two names differ only in letter case.
//   - typ is absent, JWT or at+jwt; for a JWT-SVID also JOSE.
//   - crit and b64 are refused, because no extension is supported (RFC 7515 section 4.1.11, RFC 7797 section 7).
//   - jwk, jku, x5u and x5c are never used.
//   - iss must be configured, and exp must be present.
//   - The signature is RS, PS, ES (256, 384, 512) or EdDSA over Ed25519 (which RFC 9864 names Ed25519). The type,
//     curve, alg, use and key_ops of the key must all fit (RFC 8725 section 3.1). none and HS are not implemented. A PS
//     salt is as long as the hash.
//
// # Claims
//
// A claim's type is checked when something uses the claim. iss, aud, exp, nbf and iat decide about every token, so a
// token is refused if one of them has the wrong type. Any other claim may hold anything. If it is null or has the wrong
// type, its accessor and the rules treat it as absent. scope is split at blanks, and scp is used if there is no scope.
//
// Names are case-sensitive (RFC 7519 section 4), but some other readers of the same token ignore case. Therefore a
// claim that decides must not occur in another letter case as well. These are the five claims above and those that the
// issuer's settings or a rule in force use. Other claims may differ only in letter case. [Claims] matches names exactly
// if a struct's tags name them.
//
// [ID] is the issuer and the subject. RFC 9068 forbids access tokens without a subject, but some issuers write them for
// a client that acts for itself. The ID of such a token is the issuer and client_id, in a form that no subject can
// have.
//
// # Bounds
//
// If one RSA key of 2048 bits fits, no token takes more than about twice the time of a valid one of the usual size. The
// benchmarks of the worst tokens show this; the costs of other keys are listed below. To keep this promise, header and
// claims have bounds on more than their length:
//
//	members of all objects together       256, with names of at most 256 bytes
//	elements of all arrays together       768 in the longest claims
//	escapes of all strings together       512 in the longest claims, fewer if they are in many strings
//	depth of nested objects and arrays    7
//	characters of a number                32
//
// Elements, members and escapes share one budget for header and claims together. It is 1536, plus one for each 3 bytes
// by which the claims set is shorter than 12 KiB. An element takes 2. A member takes 6, and one more for each 8 bytes
// of its name. An escape takes 3. A string with escapes takes 8 more if it is kept. A capital letter in a short name
// takes 10. Claims of 12 KiB may therefore have 700 elements and 20 members, or 200 members. Claims of 6 KiB may have
// about twice as many. A list of 600 roles of 17 bytes each fits; it is as long as a token can be.
//
// # Answers
//
// Every refusal is an [*Error] that wraps one of the causes below and knows its answer. By default that is the answer
// of a REST API:
//
//	status  X-Amzn-ErrorType             message
//	400     BadRequestException          Bad Request
//	401     UnauthorizedException        The incoming token has expired, or Unauthorized
//	403     AccessDeniedException        User is not authorized to access this resource
//	500     ApiConfigurationException    Internal server error
//	503     ServiceUnavailableException  Service Unavailable
//
// The causes, and what the operator does about each:
//
//   - [ErrNotConfigured]: 500. Make the verifier with [New], and handle its error.
//   - [ErrMissing]: 401. Nothing, or find what removes the Authorization header. If the token is elsewhere, set
//     [Config].Source.
//   - [ErrAmbiguous]: 400. Find what adds the second token: the client, or a proxy that adds or joins headers.
//   - [ErrMalformed]: 401. Read the text. Opaque tokens need another mode and [Config].Foreign.
//   - [ErrIssuer]: 401. Compare the iss, tenant or trust domain with [Issuer].URL, Aliases and Tenants.
//   - [ErrUnavailable]: 503. See in the text why the key set cannot be fetched, or why [Config].Revoked failed, and
//     repair that.
//   - [ErrSignature]: 401. The text says which of three it is. If the signing algorithm is not accepted, add it to
//     [Issuer].Algorithms; none and HS are never accepted. If no key fits, read why the key was left out, and publish a
//     key 10 seconds before it signs. If the signature does not match, do nothing: the token was changed or forged. But
//     if [Issuer].Keys is set, check that it is current.
//   - [ErrAudience]: 401. Compare aud and client with [Issuer].Audiences; see [Issuer].AllowClientID. If the text says
//     that the use is not accepted, have the client send the other token. [Token].Use says how issuers mark theirs.
//   - [ErrNotCurrent]: 401. Nothing: the client gets a new token. If the text says that the token is not valid yet,
//     synchronise the clocks or set [Config].Leeway.
//   - [ErrTooOld]: 401. Nothing: the user signs in again, as [Rules].MaxAge or MaxAuthAge demands.
//   - [ErrScope]: 401. Grant the client the scope that the text names.
//   - [ErrRefused]: 403. Add the user to a group of [Rules].AnyGroup, and check [Issuer].GroupsClaim and DenyByDefault.
//     Or read the error of [Rules].Check, which is wrapped.
//
// 400 and 401 carry WWW-Authenticate, 503 carries Retry-After. A missing scope is 401, as in a REST API's Cognito
// authorizer. The styles [HTTPAPI] and [Bearer] answer it with 403, and [AppSync] answers in GraphQL. Use them as
// [Config].ErrorHandler or as that of any other package. No answer repeats what the client sent.
//
// [Config].AllowDespite lets refused requests through, for a dry run or to fail open. The handler then finds no token.
//
// [Config].Observe is told each decision, with words that can be labels of a metric. An [Event] names the request by the
// id that its answer carries, so that a client's report can be found in the logs.
//
// # Keys
//
// Each issuer has a key set of its own, so a token of issuer A that is signed by a key of issuer B is refused. A token
// with a kid is verified by a key of that kid. A token without a kid is verified by the key whose certificate has its
// x5t or x5t#S256 (as the JWK says, or computed from its x5c), otherwise by any key that has no different one. If
// several keys fit, the first four are tried, in the order of the set. A token of a fifth key is refused like a forged
// one, with ErrSignature.
//
// A key set is a JSON object of at most 150 000 bytes and 100 keys, in which keys occurs once. A key that cannot be
// used is left out and does not affect the others. These are keys that
//
//   - have a member twice, or are nested too deep,
//   - are private, symmetric, for encryption, or of an unknown type or curve,
//   - have coordinates of another length than RFC 7518 section 6.2.1.2 says,
//   - are Ed25519 points of small order,
//   - are RSA keys below 2048 bits or above 4096 bits ([Issuer].AllowLongRSA: 8192).
//
// Members that are null or empty, or that do not concern the key's type, are ignored. [Error.Error] says why a key was
// left out if a token names it, or if the set has no usable key, which counts as a failed fetch. A discovery document
// is read as strictly as a token, and its issuer must be the configured one.
//
// The cost of a forged token depends on the key that refuses it. Relative to RSA of 2048 bits, and to be multiplied by
// the number of keys tried:
//
//	RSA 2048  Ed25519  P-256  RSA 3072  RSA 4096  P-384  RSA 8192  P-521
//	1         1.5      2      5         9         16     33        51
//
// An issuer that can choose should use P-256, Ed25519 or RSA of 2048 bits. [Issuer].Algorithms excludes others.
//
// # When keys are fetched
//
// A key set is fetched when a request first needs it, or by [Verifier.Prefetch]. The fetch uses https and does not
// leave the host. If there is a discovery document it is fetched each time before the set, so keys that move are found.
// Each of the two documents has the time limit [Config].FetchTimeout, 1.5 s by default.
//
// The set is fetched again when its Cache-Control says so (after 15 minutes if it has none, and after a day at the
// latest), and when no key of it fits a token. Two fetches are at least 10 seconds apart. A bad signature fetches
// nothing.
//
// There is one fetch at a time, in a goroutine that ends by its own time limits. Only a request that cannot be answered
// without the fetch waits for it, no longer than its own context: the first requests, and those whose token names an
// unknown key. When keys are due, the first request after that starts a fetch. All requests, including this one, use
// the current keys until the fetch ends. So a key that its issuer has removed is used until the first fetch after the
// due time.
//
// A process that runs only during requests, as on Lambda, may not finish a fetch that no request waits for. Therefore,
// from an hour after keys are due, the request that starts a fetch waits for it, unless the server failed within the
// last hour. If the process was frozen during a fetch, the first request after the thaw waits for one new fetch at
// most. A fetch that is older than twice [Config].FetchTimeout is overtaken by another, and the failure of one that was
// frozen sets no pause. At most four fetches run at once then. Call [Verifier.Prefetch] in the init phase, so that no
// request has to wait for the first fetch.
//
// While fetching fails, the last good keys are used for [Config].MaxStale after they are due. After a failure the next
// fetch is possible in 10 seconds, or in one second if there are no usable keys. If there are none, the answer is 503
// and not 401, because clients discard their tokens on 401. But a token whose key is missing in a set that was fetched
// within the last 10 seconds is refused with 401 and ErrSignature: an issuer should publish a key at least 10 seconds
// before it signs with it.
//
// [Config].ObserveFetch is told each fetch and which keys are in use after it. [Verifier.Stats] returns the same at any
// time. An alarm is due when a [Fetch] has failed and its Until comes near.
//
// # Tokens seen before
//
// A verified token is remembered by its SHA-256, within [Config].CacheBytes. The next time it costs little more than
// that hash, whatever its length. Its times, its revocation and the rules are checked every time. It is forgotten when
// the key that signed it leaves the key set.
//
// # What it does not do
//
// It does not decrypt (JWE), does not call OAuth's introspection, and does not bind tokens to a client's key (DPoP,
// mTLS). It cannot know that a token was revoked; [Config].Revoked can. It does not sign users in.
//
// # Differences from API Gateway
//
// A bad credential refuses the request even if there is a good one ([AnyOf]); AppSync ignores a bad JWT then. A TOKEN
// authorizer of auth/custom and a verifier can read the same header: [Config].Foreign names the authorizer's words.
// HTTP APIs accept RSA only; here an issuer's other asymmetric keys work, unless [Issuer].Algorithms says otherwise.
// HTTP APIs use client_id if there is no aud; here that is an option. A second token in the query (access_token) is
// refused with 400 (RFC 6750 section 2). exp is always required.
//
// # Files
//
// verifier.go is the entry, and request.go that for HTTP. verify.go verifies a token: compact.go and header.go read its
// form, claims.go reads its claims into a claimSet, of which callers get the Token, and issuerstate.go judges them.
// keyset.go fetches keys, keylist.go and jwk.go read them. json*.go is the JSON reader. error.go, answers.go and
// style.go answer. observe.go and stats.go tell the application.
//
// # Sources
//
// RFC 7515, 7517, 7518, 7519, 7797, 8037, 8725, 9068, 9111, 9864, 6750; OpenID Connect Discovery 1.0;
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-integrate-with-cognito.html,
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html,
// https://docs.aws.amazon.com/appsync/latest/devguide/security-authz.html,
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound_token_claims.html,
// https://learn.microsoft.com/entra/identity-platform/access-tokens,
// https://github.com/spiffe/spiffe/blob/main/standards/JWT-SVID.md.
//
// Signing methods are those of golang-jwt/jwt, and key look-up is that of MicahParks/keyfunc over a storage of this
// package. The reader of tokens is this package's own, because golang-jwt's accepts duplicate members, ignores crit,
// and spends a millisecond on a header of 18 KB.
package auth
