package main

import (
	"cmp"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/identitypool"
	"github.com/tallygate/tallygate/auth/policy"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/sigv4/session"
	"github.com/tallygate/tallygate/usageplan"
)

const (
	awsAccount = "123456789012"
	memberRole = "arn:aws:iam::" + awsAccount + ":role/Member"
)

// What callers of the IAM route may do, by the role of their session. Permanent keys have no role.
var documents = map[string]string{
	"": `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "execute-api:Invoke",
		"Resource": "arn:aws:execute-api:*:` + awsAccount + `:*"}}`,
	memberRole: `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "execute-api:Invoke",
		"Resource": "arn:aws:execute-api:*:` + awsAccount + `:*/*/GET/loyalty/*"}}`,
}

// callers are those of /me and of the IAM route. At /me they are users of the pool. At the IAM route they are the
// customer, who has a permanent key, and users with temporary credentials of an identity pool.
type callers struct {
	users     *auth.Verifier
	pool      *identitypool.Pool
	signature *sigv4.Verifier
	policies  map[string]*policy.Policy // by role
}

// newCallers makes both keys from the pepper, so that identities and sessions outlive a restart with -data.
func newCallers(o options, s store, userPool auth.Issuer) (c callers, err error) {
	users, errUsers := signedIn(userPool)
	sealing, errSealing := hkdf.Key(sha256.New, []byte(s.pepper), nil, "sessions", 32)
	naming, errNaming := hkdf.Key(sha256.New, []byte(s.pepper), nil, "identities", 32)
	keys, errKeys := session.New(session.Config{SealingKeys: []sigv4.Secret{sigv4.Secret(sealing)}, Base: o.customer().Key})
	if err := errors.Join(errUsers, errSealing, errNaming, errKeys); err != nil {
		return callers{}, err
	}
	pool, errPool := identitypool.New(identitypool.Config{
		ID: o.identityPool(), IdentityKey: sigv4.Secret(naming), Sessions: keys, Tokens: users, Authenticated: memberRole,
	})
	signature, err := sigv4.NewVerifier(sigv4.VerifierConfig{Keys: keys.Key, Regions: []string{o.region}})
	c = callers{users, pool, signature, make(map[string]*policy.Policy)}
	for role, document := range documents {
		var errParse error
		c.policies[role], errParse = policy.Parse([]byte(document))
		err = errors.Join(err, errParse)
	}
	return c, errors.Join(err, errPool)
}

// identityPool is the id of the identity pool, which begins with its region.
func (o options) identityPool() string { return o.region + ":177a950c-2c08-43f0-9983-28727534680a" }

// provider is the name of the user pool in requests to the identity pool: its URL without the scheme.
func (o options) provider() string {
	if o.issuer == "" {
		return "cognito-idp." + region + ".amazonaws.com/" + demoPool
	}
	_, name, _ := strings.Cut(o.issuer, "://")
	return name
}

// guard passes a request to a stage on if it is signed, and if the caller's policies allow it.
func (c callers) guard(o options, of usageplan.Stage) (func(http.Handler) http.Handler, error) {
	gate, err := policy.NewGate(policy.GateConfig{
		StageARN:      "arn:aws:execute-api:" + o.region + ":" + awsAccount + ":" + of.API + "/" + of.Name,
		Mount:         "/" + of.Name,
		Authorization: "AWS_IAM",
		Principal:     sigv4.ID,
		Policies: func(r *http.Request) (policy.Set, error) {
			// Another role has no policy, which refuses. An identity pool issues no session policies; AssumeRole does,
			// and then they belong into Session.
			return policy.Set{Identity: []*policy.Policy{c.policies[role(r)]}}, nil
		},
		Facts: func(r *http.Request, facts *policy.Request) { facts.SessionIssuer = role(r) },
	})
	return func(next http.Handler) http.Handler { return c.signature.Handler(gate.Handler(next)) }, err
}

// role returns the role of the session that a request was signed in, "" if it was signed by a permanent key. A session
// without a role has its own name here, for which there is no policy: it must not pass for a permanent key.
func role(r *http.Request) string {
	if s, ok := session.FromContext(r.Context()); ok {
		return cmp.Or(s.Role, s.Principal)
	}
	return ""
}
