// Package authtest is a token issuer and a user pool for tests and demonstrations. The issuer issues tokens in the form
// of Amazon Cognito's, or with any claims, and serves the key set with which they are verified. The pool gives such
// tokens to users who sign up and in. Neither must be used in production.
//
//	issuer, err := authtest.New("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz")
//	token, err := issuer.IDToken(authtest.User{Username: "julianwood", Client: "3fe6quse1kki13s6nebi0ncnin"})
//
// A verifier gets the keys in one of three ways:
//   - as a document, [Issuer.JWKS], without a server;
//   - from a server, since the issuer is an [http.Handler];
//   - through the issuer as its Transport, [Issuer.RoundTrip]. This needs no server either, and a test can fetch keys
//     in the fake time of testing/synctest.
//
// The third way makes rotations quick to test:
//
//	synctest.Test(t, func(t *testing.T) {
//		v, err := auth.New(auth.Config{Issuers: []auth.Issuer{auth.OIDC(issuer.URL(), "api")}, Transport: issuer})
//		… // a token verifies
//		err = issuer.RotateWithOverlap()
//		time.Sleep(10 * time.Second) // takes no time; the shortest pause between two fetches
//		… // a token of the new keys verifies, and so does the old one
//		issuer.Retire()
//		… // its documentation says when the verifier notices
//	})
//
// A test can make the issuer fail ([Issuer.Fail]) or slow ([Issuer.Slow]), and count how often the keys are fetched
// ([Issuer.Fetches]). An [Issuer] is safe for concurrent use.
//
// The keys live in memory, and each call of [New] generates new ones. Do not protect anything of value with them. The
// package does not import testing.
//
// # The user pool
//
// A [Pool] speaks the wire format of Cognito's API (AWS JSON 1.1), so a test can run the code that signs users up and in:
//
//	pool, err := authtest.NewPool(issuer, map[string]string{"3fe6quse1kki13s6nebi0ncnin": ""})
//	server := httptest.NewServer(pool) // the endpoint of boto3, aws-cli, or any other SDK
//	… // SignUp
//	code := pool.Code("julianwood") // instead of an e-mail
//
// It has these operations:
//   - SignUp, ConfirmSignUp, ResendConfirmationCode;
//   - InitiateAuth and RespondToAuthChallenge with USER_PASSWORD_AUTH, USER_SRP_AUTH, REFRESH_TOKEN_AUTH and the
//     challenge NEW_PASSWORD_REQUIRED. The proof of SRP is verified;
//   - GetTokensFromRefreshToken, without rotation; RevokeToken, GetUser, GlobalSignOut;
//   - AdminCreateUser, also with MessageAction RESEND or SUPPRESS; AdminAddUserToGroup.
//
// Refusals have Cognito's types and, where they are known, its texts. Names of users are as they are written: letter case
// counts, and an e-mail address is no second name. It differs from Cognito in these ways:
//   - Nothing is sent, and nothing limits how often a password or a code is tried.
//   - A request for an Admin operation must be signed, but its signature is not verified.
//   - A group exists as soon as it has a user. Any custom attribute exists, and none is required.
//   - A challenge of SRP can be answered again, with the same proof, for three minutes.
//   - GetUser and GlobalSignOut take access tokens of the issuer's present keys only.
//   - The answer to a sign-up has details of delivery even for a user without an e-mail address.
//   - It holds at most 10 000 users and 100 000 sign-ins. After that it answers LimitExceededException.
//
// Verifiers outside the pool do not notice that a token was revoked, as with Cognito.
//
// # Errors
//
// Errors have no types, since a test can only stop at one. They start with "authtest: ":
//
//	… is not an absolute URL     New: pass the issuer with its scheme and host
//	… is not one of RS256, …     Sign: pass one of the three algorithms
//	the pool has no …            NewPool: pass an issuer and at least one app client
//	… does not end in the id …   NewPool: the issuer's URL must end in a pool's id, as in eu-west-1_aQYCzHwCz
//	json: unsupported type       Sign, IDToken, AccessToken: pass only claims that JSON can encode
//
// Any other error comes from the generation of keys. ServeHTTP answers 404 to other paths, or the status of Fail.
//
// # Files
//
// issuer.go makes the issuer and rotates its keys, server.go serves them, token.go and cognito.go issue tokens, keys.go
// generates the keys. pool.go reads the requests to a pool, member.go has its users, signin.go their sign-ins and tokens,
// srp.go the arithmetic of SRP.
//
// # Sources
//
//   - https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/
//   - https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pool-managing-errors.html
//   - RFC 5054 for SRP, with the changes that srp.go tells.
package authtest
