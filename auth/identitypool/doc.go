// Package identitypool exchanges the token of a user who has signed in for temporary AWS credentials, as the identity
// pools of Amazon Cognito do. AWS's SDKs use it by its URL. The credentials sign requests for a [sigv4.Verifier] with
// the same [session.Keys].
//
//	pool, err := identitypool.New(identitypool.Config{
//		ID:            "eu-west-1:177a950c-2c08-43f0-9983-28727534680a",
//		IdentityKey:   key,      // at least 32 random bytes, which never change
//		Sessions:      sessions, // a *session.Keys
//		Tokens:        tokens,   // an *auth.Verifier
//		Authenticated: "arn:aws:iam::123456789012:role/Member",
//	})
//	…
//	mux.Handle("/pool", pool) // SDKs post to the URL as it is
//	mux.Handle("/pool/", pool)
//
// It proves that the caller holds a valid token for each provider that the request names in Logins, and gives the
// caller the identity of that login. It stores nothing. The token is an ID token, as at AWS: an access token of a user
// pool is refused. A name in Logins is the URL of the token's issuer without its scheme.
//
// A request that is signed with the credentials has a session in its context: its Role and Tags are what a gate of
// package policy needs. The file examples/session_test.go shows how they get there.
//
// # Operations
//
//	GetId                        the caller's identity
//	GetCredentialsForIdentity    credentials of the caller's role for an hour
//	GetOpenIdToken               a token for AssumeRoleWithWebIdentity, for 10 minutes; off by default
//
// The protocol is AWS JSON 1.1. These operations need no credentials. All others need a database or change the pool.
// [Config].Other answers them, or they are refused.
//
// # Identities
//
// An identity is the Region of the pool, a colon and a UUID. That of a login is an HMAC of the token's issuer and
// subject under [Config].IdentityKey: it stays the same on every node, after every restart, and when the sealing keys
// of the sessions change. An identity without a login is random and carries a MAC, so that the pool knows its own.
//
// Who knows an unauthenticated identity gets its credentials, as at AWS. It never gets more than the role
// [Config].Unauthenticated allows, and that role is off by default.
//
// One login is one identity. Several logins of one user, or an unauthenticated identity that becomes a user's, need a
// database: [Config].Link.
//
// # Roles
//
// A user gets the role of the first [Rule] that matches the token, else the one that the token names, else
// [Config].Authenticated. A role that the token names must be listed in [Mapping].TokenRoles. CustomRoleArn chooses
// among the roles in cognito:roles.
//
// The principal of a session is arn:aws:sts::ACCOUNT:assumed-role/ROLE/IDENTITY. At AWS the last part is
// CognitoIdentityCredentials for everybody; here it is the identity, so that limits and logs tell users apart. AWS's
// condition key cognito-identity.amazonaws.com:sub is that last part.
//
// # What it does not do
//
// It does not decide what a role may do: package policy does. AWS narrows the credentials of unauthenticated identities
// by a session policy of its own; here the role's policies alone decide. It does not accept developer identities or
// SAML. It sets no CORS headers. Guard it by a rate limit: each request costs the verification of a token.
//
// # Errors
//
// Every refusal is an [*Error] with AWS's name and text. Answers have AWS's status, except that a dependency that is
// down is always 503, so that clients try again.
//
//   - [ErrNotConfigured]: 500 InternalErrorException. Make the pool with [New], and handle its error.
//   - [ErrInvalid]: 400 InvalidParameterException, ValidationException, SerializationException (no JSON object, or a
//     name that occurs twice), UnknownOperationException, ResourceNotFoundException (another pool),
//     InvalidIdentityPoolConfigurationException (add the role to [Mapping].TokenRoles), 413
//     RequestEntityTooLargeException. Correct the client, or its URL.
//   - [ErrRefused]: 400 NotAuthorizedException. Its text says which: the token is expired, forged, of another issuer or
//     audience, or no ID token; the identity is not that of the login; there are no unauthenticated identities; no
//     role. The wrapped error of package auth says more.
//   - [ErrUnavailable]: 503 ExternalServiceException if the keys of a provider cannot be fetched, else
//     InternalErrorException if Config.Link or a signing key has failed. Repair what the text names.
//
// # Files
//
// pool.go (the handler), input.go (what a request says), login.go (who it is from), identity.go (ids), role.go,
// operations.go, openid.go (GetOpenIdToken), error.go, config.go.
//
// # Sources
//
// Amazon Cognito Identity Pools API Reference; Amazon Cognito Developer Guide: "Identity pools authentication flow",
// "Using role-based access control", "Using attributes for access control"; RFC 7515, 7517, 7518, 7638, 9562.
package identitypool
