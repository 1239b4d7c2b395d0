// Package auth lets requests through that bring a valid JSON Web Token, as API Gateway's Cognito and JWT authorizers
// do.
//
// It proves that the token was signed by a key of the issuer that it names, is within its time, was issued for this
// service, and meets the rules of the route. The smallest use:
//
//	v, err := auth.New(auth.Config{
//		Issuers: []auth.Issuer{auth.Cognito("eu-west-1", "eu-west-1_aQYCzHwCz", "3fe6quse1kki13s6nebi0ncnin")},
//	})
//	…
//	http.Handle("GET /me", v.Handler(me)) // me finds the token with auth.FromContext
//
// [Cognito], [OIDC], [AWSIdentity] and [ALB] make the usual issuers; an [Issuer] literal makes any other.
// [Verifier.With] adds scopes, groups and other [Rules] for a route. [AnyOf] accepts several kinds of credentials.
// [Verifier.VerifyToken] does without HTTP.
//
// # Issuers
//
//	issuer                              made by                    the token must
//	Cognito's user pool                 Cognito                    have token_use, and its client where that says
//	OpenID Connect provider             OIDC                       be for one of the audiences, in aud
//	IAM principals of an AWS account    AWSIdentity                the same; Token.AWSPrincipal tells who
//	Microsoft Entra, many tenants       OIDC, {tenantid} in URL    have iss with its tid put in, be of a tenant allowed,
//	                                                               and be signed by a key of that tenant or of all
//	SPIFFE trust domain                 URL spiffe://DOMAIN        have sub of the domain, and aud; iss is not needed
//	Application Load Balancer           ALB                        have its ARN, issuer, client and exp in the header
//
// Outside [Cognito] and [ALB] a token without aud is refused with ErrAudience (RFC 8725 section 3.9), although its
// client fits; [Issuer].AllowClientID is what HTTP APIs do. A tenant that is not allowed, a load balancer or a trust
// domain that is not known is ErrIssuer. [Rules].TokenUse tells ID and access tokens apart where the issuer marks them,
// and refuses the others with ErrTokenUse; see [Token.Use].
//
// # What is refused
//
// There is one mode, and it is strict. A token has three segments of base64url without padding (but see [ALB]), line
// breaks or stray bits; at most 16 KiB, of which 2 KiB header. Header and claims are JSON objects in which no name
// occurs twice, and which are within the bounds below. In a header no two names differ in letter case alone. typ is
// absent, JWT or at+jwt, of a JWT-SVID JWT or JOSE; crit and b64 are refused, since no extension is understood (RFC
// 7515 section 4.1.11, RFC 7797 section 7); jwk, jku, x5u and x5c are never followed. iss must be configured, exp
// present. The signature is RS, PS, ES (256, 384, 512) or EdDSA over Ed25519 (which RFC 9864 names Ed25519), and made
// by a key whose type, curve, alg, use and key_ops all fit (RFC 8725 section 3.1); none and HS are not known at all. PS
// salts are as long as the hash.
//
// # Claims
//
// A claim's type is checked when something looks at it. iss, aud, exp, nbf and iat decide about every token: one of
// another type is refused. Any other claim may be anything. If it is null or of another type, its accessor says that it
// is not there, and so does a rule that asks for it. scope is split at runs of blanks, and scp counts where scope is
// not there.
//
// Names are case-sensitive (RFC 7519 section 4), and some readers of the same token are not. So a name that decides may
// not occur in another letter case as well: those five, and what the issuer's settings or a rule in force look at.
// Other claims may differ in letter case alone. [Claims] matches names exactly where a struct's tags name them.
//
// [ID] is the issuer and the subject. An access token without a subject, as RFC 9068 forbids and some issuers write,
// was issued to a client for itself: its ID is the issuer and client_id, in a form that no subject can have.
//
// # Bounds
//
// Where one key of 2048 bits fits, no token costs more than about twice a valid one of the usual size, which the
// benchmarks of the worst tokens show; what other keys cost is told below. That is why a text may hold, besides being
// short:
//
//	members of all objects together       256, with names of at most 256 bytes
//	elements of all arrays together       768 in the longest claims
//	escapes of all strings together       512 in the longest claims, fewer if they are in many strings
//	depth of nested objects and arrays    7
//	characters of a number                32
//
// Elements, members and escapes share one account, which header and claims have in common: 1536, and one more for each
// 3 bytes that the claims set has less than 12 KiB. An element takes 2, a member 6 and one more for each 8 bytes of its
// name, an escape 3, a string with escapes 8 more if it is kept, a capital letter in a short name 10. So claims of 12
// KiB may have 700 elements and 20 members, or 200 members; and claims of 6 KiB about twice as much. A list of 600
// roles of 17 bytes is as long as a token can be.
//
// # Answers
//
// Every refusal is an [*Error] that wraps one of the causes and knows its answer, by default that of a REST API:
//
//	cause                                   status  X-Amzn-ErrorType             message
//	ErrAmbiguous                            400     BadRequestException          Bad Request
//	ErrExpired                              401     UnauthorizedException        The incoming token has expired
//	ErrGroup, ErrRefused                    403     AccessDeniedException        User is not authorized to access this resource
//	ErrNotConfigured                        500     ApiConfigurationException    Internal server error
//	ErrUnavailable                          503     ServiceUnavailableException  Service Unavailable
//	all others                              401     UnauthorizedException        Unauthorized
//
// 401 carries WWW-Authenticate, 503 carries Retry-After. A missing scope is 401 as with a REST API's Cognito
// authorizer; the styles [HTTPAPI] and [Bearer] say 403, and [AppSync] speaks GraphQL. They are values for
// [Config].ErrorHandler and for that of any other package. No answer repeats what the client sent.
//
// [Config].AllowDespite lets refused requests through, for a dry run or to fail open. The handler then finds no token.
//
// # Keys
//
// Each issuer has a key set of its own, so that issuer A's token signed by issuer B's key is refused. A token with a
// kid is verified by a key of that kid. A token without one is verified by the key whose certificate has its x5t or
// x5t#S256 (as the JWK says, or computed of its x5c), else by any key that has no other one. Where several keys fit,
// the first four are tried, in the order of the set; a token of a fifth is refused like a forged one, with
// ErrSignature.
//
// A key set is a JSON object of at most 150 000 bytes and 100 keys, in which keys is there once. Keys that cannot be
// used are left out, one by one: those with a member twice, nested too deep, private, symmetric, for encryption, of an
// unknown type or curve, of coordinates of another length than RFC 7518 section 6.2.1.2 says, Ed25519 points of small
// order, RSA keys below 2048 bits or above 4096 ([Issuer].AllowLongRSA: 8192). Members that are null or empty, or that
// do not concern the key's type, are ignored. [Error.Error] tells why a key was left out, of a token that names it, and
// of a set without a usable key, which is as good as none. A discovery document is read as strictly as a token, and
// must be the issuer's.
//
// What a forged token costs depends on the key that refuses it, relative to RSA of 2048 bits and times the keys tried:
//
//	RSA 2048  Ed25519  P-256  RSA 3072  RSA 4096  P-384  RSA 8192  P-521
//	1         1.5      2      5         9         16     33        51
//
// An issuer that may choose should use P-256, Ed25519 or RSA of 2048 bits; [Issuer].Algorithms leaves others out.
//
// # When keys are fetched
//
// A key set is fetched when a request first needs it, or by [Verifier.Prefetch]: over https, without leaving the host,
// after the discovery document, if there is one, so keys that move are found. Each of the two documents has
// [Config].FetchTimeout, 1.5 s by default. The set is fetched anew when its Cache-Control says so (without one every 15
// minutes, at the latest after a day), and when no key of it fits a token; but never within 10 seconds of the last
// fetch. A bad signature fetches nothing.
//
// There is one fetch at a time, in a goroutine that ends by its own time limits. Only a request that cannot be judged
// without it waits, no longer than its own context: the first ones, and those whose token names a key that is not
// there. When keys are due, the request that finds it so begins a fetch, and all requests, this one too, are judged by
// the keys there are until it ends. So a key that its issuer has taken out of the set is used until the first fetch
// after its time. A process that runs only during requests, as on Lambda, may not finish a fetch that nobody waits for:
// from an hour after keys are due the request that begins a fetch waits for it, unless the server failed within the
// last hour.
//
// While fetching fails the last good keys are used, for [Config].MaxStale beyond their time. After a failure the next
// fetch is 10 seconds away, or one second if there are no keys. Where no key can be had the answer is 503, not 401, on
// which clients throw good tokens away. But a token whose key is not in a set that was fetched within the last 10
// seconds is refused with 401 and ErrKey: an issuer should publish a key at least 10 seconds before it signs with it.
//
// # Tokens seen before
//
// A verified token is remembered by its SHA-256, within [Config].CacheBytes, so that it costs little more than that
// hash the next time, however long it is. Its times, its revocation and the rules are looked at every time, and it is
// forgotten when the key that signed it leaves the key set.
//
// # What it does not do
//
// It does not decrypt (JWE), does not follow OAuth's introspection, and does not bind tokens to a client's key (DPoP,
// mTLS). It cannot know that a token was revoked; [Config].Revoked can. It takes no part in signing users in.
//
// # Differences from API Gateway
//
// A bad credential next to a good one refuses ([AnyOf]); AppSync ignores a bad JWT next to a good API key. A TOKEN
// authorizer of auth/custom may stand next to a verifier and read the same header: [Config].Foreign names its words.
// HTTP APIs accept RSA only; here an issuer's other asymmetric keys work, unless [Issuer].Algorithms says otherwise.
// HTTP APIs take client_id for an aud that is not there; here that is an option. A second
// token in the query (access_token) is refused with 400 (RFC 6750 section 2). exp is required everywhere.
//
// # Sources
//
// RFC 7515, 7517, 7518, 7519, 7797, 8037, 8725, 9068, 9111, 9864, 6750; OpenID Connect Discovery 1.0;
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-integrate-with-cognito.html,
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html,
// https://docs.aws.amazon.com/appsync/latest/devguide/security-authz.html,
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound_token_claims.html,
// https://learn.microsoft.com/entra/identity-platform/access-tokens,
// https://github.com/spiffe/spiffe/blob/main/standards/JWT-SVID.md. Signing methods are those of
// golang-jwt/jwt, key lookup is that of MicahParks/keyfunc over a storage of our own; the front end that reads tokens
// is our own because golang-jwt's takes duplicate members, ignores crit, and spends a millisecond on a header of 18
// KB.
package auth
