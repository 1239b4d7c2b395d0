package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
	"github.com/tallygate/tallygate/auth/identitypool"
	"github.com/tallygate/tallygate/auth/sts"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/sigv4/session"
)

// What the clients know too.
const (
	poolID   = "eu-west-1:177a950c-2c08-43f0-9983-28727534680a"
	provider = "cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz"
	client   = "3fe6quse1kki13s6nebi0ncnin"
	account  = "arn:aws:iam::123456789012:"
)

// The trust policies. Points is for the owner of the permanent key and for users' tokens, Audit for sessions of Points,
// and Vendor for the partner of another account, who must name its customer.
var roles = []sts.Role{
	{ARN: account + "role/Points", MaxDuration: 2 * time.Hour, Trust: `{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Principal": {"AWS": "` + account + `user/julianwood"},
			"Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]},
		{"Effect": "Allow", "Principal": {"Federated": "` + provider + `"}, "Action": "sts:AssumeRoleWithWebIdentity",
			"Condition": {"StringEquals": {"` + provider + `:aud": "` + client + `"}}}]}`},
	{ARN: account + "role/Audit", MaxDuration: 12 * time.Hour, Trust: `{"Version": "2012-10-17", "Statement": {
		"Effect": "Allow", "Principal": {"AWS": "` + account + `role/Points"}, "Action": ["sts:AssumeRole", "sts:SetSourceIdentity"]}}`},
	{ARN: account + "role/Vendor", Trust: `{"Version": "2012-10-17", "Statement": {
		"Effect": "Allow", "Principal": {"AWS": "` + account + `user/julianwood"}, "Action": "sts:AssumeRole",
		"Condition": {"StringEquals": {"sts:ExternalId": "ticket-7"}}}}`},
}

// serve serves everything at one address. The folder gets three files: base (the address), token and expired.
func serve(folder string) error {
	users, err := authtest.New("https://" + provider)
	if err != nil {
		return err
	}
	user := authtest.User{Username: "julianwood", Client: client}
	token, err := users.IDToken(user)
	user.Lifetime = -time.Minute
	expired, err2 := users.IDToken(user)
	mux, err3 := handler(users)
	l, err4 := net.Listen("tcp", "127.0.0.1:0")
	if err := errors.Join(err, err2, err3, err4); err != nil {
		return err
	}
	for name, text := range map[string]string{"token": token, "expired": expired} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	fmt.Println("http://" + l.Addr().String())
	return http.Serve(l, mux)
}

func handler(users *authtest.Issuer) (http.Handler, error) {
	random := make([]byte, 64)
	_, _ = rand.Read(random)
	sessions, err := session.New(session.Config{
		SealingKeys: []sigv4.Secret{sigv4.Secret(random[:32])},
		Base: sigv4.Keyring{
			os.Getenv("AWS_ACCESS_KEY_ID"): {Secret: sigv4.Secret(os.Getenv("AWS_SECRET_ACCESS_KEY")), Principal: account + "user/julianwood"},
		}.Key,
	})
	if err != nil {
		return nil, err
	}
	issuer := auth.Cognito("eu-west-1", "eu-west-1_aQYCzHwCz", client)
	issuer.Keys = users.JWKS()
	tokens, err := auth.New(auth.Config{Issuers: []auth.Issuer{issuer}})
	if err != nil {
		return nil, err
	}
	pool, err := identitypool.New(identitypool.Config{
		ID: poolID, IdentityKey: sigv4.Secret(random[32:]), Sessions: sessions, Tokens: tokens,
		Authenticated: account + "role/Member", Unauthenticated: account + "role/Guest",
	})
	if err != nil {
		return nil, err
	}
	signed := func(services ...string) (*sigv4.Verifier, error) {
		return sigv4.NewVerifier(sigv4.VerifierConfig{Keys: sessions.Key, Regions: []string{"eu-west-1"}, Services: services})
	}
	toSTS, err := signed("sts")
	toAPI, err2 := signed("execute-api", "apigateway")
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	service, err := sts.New(sts.Config{Verifier: toSTS, Sessions: sessions, Roles: roles, Tokens: tokens})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	for path, h := range map[string]http.Handler{"/pool": pool, "/sts": service} {
		mux.Handle(path, h)
		mux.Handle(path+"/", h)
	}
	mux.Handle("GET /Prod/loyalty/{customer}", toAPI.Handler(http.HandlerFunc(who)))
	mux.Handle("GET /usageplans", toAPI.Handler(http.HandlerFunc(plans)))
	return mux, nil
}

// who answers the principal of the caller.
func who(w http.ResponseWriter, r *http.Request) {
	id, _ := sigv4.FromContext(r.Context())
	_, _ = fmt.Fprint(w, id.Principal)
}

// plans answers a call of API Gateway's control plane, whose clients any SDK has. The plan has the name of the caller.
func plans(w http.ResponseWriter, r *http.Request) {
	id, _ := sigv4.FromContext(r.Context())
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"item":[{"id":"jcfq33","name":%q}]}`, id.Principal)
}
