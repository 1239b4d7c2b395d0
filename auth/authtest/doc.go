// Package authtest is a token issuer for tests and demonstrations: an [http.Handler] that serves a key set and issues
// tokens of the form of Cognito's, or any other.
//
//	issuer, err := authtest.New("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz")
//	token, err := issuer.IDToken(authtest.User{Username: "julianwood", Client: "3fe6quse1kki13s6nebi0ncnin"})
//
// A verifier takes the keys as a document ([Issuer.JWKS], no server needed), from wherever the handler is served, or from
// the issuer as its Transport ([Issuer.RoundTrip]), which needs no server either and lets a test fetch keys in fake time:
//
//	synctest.Test(t, func(t *testing.T) {
//		v, err := auth.New(auth.Config{Issuers: []auth.Issuer{auth.OIDC(issuer.URL(), "api")}, Transport: issuer})
//		… // a token verifies
//		err = issuer.RotateWithOverlap()
//		time.Sleep(10 * time.Second) // takes no time; the least pause between two fetches
//		… // a token of the new keys verifies, and so does the old one
//		issuer.Retire()
//		… // see there when the verifier notices
//	})
//
// Switches make the issuer fail, slow down or change its keys, and a counter tells how often the keys were fetched.
//
// Its keys live in memory and are made anew by each [New]: do not let anything of value depend on them. The package
// does not import testing.
package authtest
