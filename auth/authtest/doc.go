// Package authtest is a token issuer for tests and demonstrations. It issues tokens in the form of Amazon Cognito's, or
// with any claims, and serves the key set with which they are verified.
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
// # Errors
//
// Errors have no types, since a test can only stop at one. They start with "authtest: ":
//
//	… is not an absolute URL     New: pass the issuer with its scheme and host
//	… is not one of RS256, …     Sign: pass one of the three algorithms
//	json: unsupported type       Sign, IDToken, AccessToken: pass only claims that JSON can encode
//
// Any other error comes from the generation of keys. ServeHTTP answers 404 to other paths, or the status of Fail.
//
// # Files
//
// issuer.go makes the issuer and rotates its keys, server.go serves them, token.go and cognito.go issue tokens, keys.go
// generates the keys.
package authtest
