package main

import (
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
)

// The user pool, app client and user of the demo issuer.
const (
	demoPool   = "eu-west-1_aQYCzHwCz"
	demoClient = "3fe6quse1kki13s6nebi0ncnin"
	demoUser   = "julianwood"
)

// tokens are the tokens that the demo issuer gives its user, and the demo pool, where others sign up. They are empty with
// a real pool.
type tokens struct {
	valid, expired string
	users          *authtest.Pool
}

// userPool returns the pool whose users may call /me: the one on the command line, or the demo issuer's.
func userPool(o options) (auth.Issuer, tokens, error) {
	if o.issuer == "" {
		return demo()
	}
	id := path.Base(o.issuer)
	region, _, _ := strings.Cut(id, "_")
	pool := auth.Cognito(region, id, o.client)
	if pool.URL != o.issuer { // an emulator: the same tokens from another place
		pool.URL, pool.Aliases = o.issuer, nil
		pool.JWKS = strings.TrimSuffix(o.issuer, "/") + "/.well-known/jwks.json"
	}
	if o.jwks != "" {
		pool.JWKS = o.jwks
	}
	return pool, tokens{}, nil
}

// demo makes an issuer with its own keys. It returns the issuer's pool and two ID tokens of the user: one for an hour,
// and one that has expired.
func demo() (auth.Issuer, tokens, error) {
	pool := auth.Cognito(region, demoPool, demoClient)
	issuer, err := authtest.New(pool.URL)
	if err != nil {
		return pool, tokens{}, err
	}
	pool.Keys = issuer.JWKS()
	user := authtest.User{Username: demoUser, Client: demoClient, Groups: []string{"loyalty"}}
	valid, err := issuer.IDToken(user)
	if err != nil {
		return pool, tokens{}, err
	}
	user.Lifetime = -time.Minute
	expired, err := issuer.IDToken(user)
	if err != nil {
		return pool, tokens{}, fmt.Errorf("demo issuer: %w", err)
	}
	users, err := authtest.NewPool(issuer, map[string]string{demoClient: ""})
	return pool, tokens{valid, expired, users}, err
}

// signedIn tells which user of the pool has signed in.
func signedIn(pool auth.Issuer) (*auth.Verifier, error) {
	return auth.New(auth.Config{
		Issuers:   []auth.Issuer{pool},
		AllowHTTP: strings.HasPrefix(pool.JWKS, "http://"), // an emulator's, named on the command line
	})
}

// me answers a signed-in user with the contents of the token.
func me(w http.ResponseWriter, r *http.Request) {
	token, _ := auth.FromContext(r.Context())
	reply(w, http.StatusOK, struct {
		Subject  string   `json:"sub"`
		Groups   []string `json:"groups"`
		TokenUse string   `json:"token_use"`
	}{token.Subject, append([]string{}, token.Groups()...), token.Use}) // a user without groups has [], not null
}
