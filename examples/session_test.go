package examples_test

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
	"github.com/tallygate/tallygate/auth/identitypool"
	"github.com/tallygate/tallygate/auth/policy"
	"github.com/tallygate/tallygate/auth/sts"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/sigv4/session"
)

const (
	roleOfUsers   = "arn:aws:iam::123456789012:role/Member"
	roleOfService = "arn:aws:iam::123456789012:role/Points"
	loyaltyStage  = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod"
)

// sessionGate asks the policies of the session's role, and the session policy, whether the caller may call a method.
// roles has the policies of each role.
func sessionGate(roles map[string][]*policy.Policy) (*policy.Gate, error) {
	return policy.NewGate(policy.GateConfig{
		StageARN: loyaltyStage, Mount: "/Prod", Authorization: "AWS_IAM", Principal: sigv4.ID,
		Policies: func(r *http.Request) (policy.Set, error) {
			s, ok := session.FromContext(r.Context())
			if !ok { // a permanent key; here none has policies
				return policy.Set{}, nil
			}
			set := policy.Set{Identity: roles[s.Role]}
			if s.Policy != "" { // without this, the session could do all that the role may do
				narrow, err := policy.Parse([]byte(s.Policy)) // with sts.Config.Keys, if you set them
				if err != nil {
					return policy.Set{}, err
				}
				set.Session = []*policy.Policy{narrow}
			}
			return set, nil
		},
		Facts: func(r *http.Request, about *policy.Request) {
			s, ok := session.FromContext(r.Context())
			if !ok {
				return
			}
			about.SessionIssuer, about.PrincipalTags = s.Role, s.Tags
			about.Values = map[string]any{"aws:TokenIssueTime": s.Issued}
			if s.SourceIdentity != "" {
				about.Values["aws:SourceIdentity"] = s.SourceIdentity
			}
		},
	})
}

// Temporary credentials from end to end: a user of a user pool gets them from an identity pool, and a service with a
// permanent key from STS. One API verifies both, and a gate decides by role, tags and session policy.
func Example_temporaryCredentials() {
	const client, provider = "3fe6quse1kki13s6nebi0ncnin", "cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz"
	sealing, naming := sigv4.Secret(strings.Repeat("s", 32)), sigv4.Secret(strings.Repeat("n", 32)) // random in production
	sessions := ready(session.New(session.Config{SealingKeys: []sigv4.Secret{sealing}, Base: sigv4.Keyring{
		"AKIDEXAMPLE": {Secret: "secret", Principal: "arn:aws:iam::123456789012:user/nightly"}, // trust policies name ARNs
	}.Key}))
	users := ready(authtest.New("https://" + provider)) // authtest.NewPool adds sign-up and sign-in
	tokens := ready(auth.New(auth.Config{
		Issuers: []auth.Issuer{auth.Cognito("eu-west-1", "eu-west-1_aQYCzHwCz", client)}, Transport: users,
	}))
	pool := ready(identitypool.New(identitypool.Config{
		ID: "eu-west-1:177a950c-2c08-43f0-9983-28727534680a", IdentityKey: naming, Sessions: sessions, Tokens: tokens,
		Authenticated: roleOfUsers,
		Mappings:      map[string]identitypool.Mapping{provider: {Tags: map[string]string{"user": "cognito:username"}}},
	}))
	callers := ready(sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys: sessions.Key, Regions: []string{"eu-west-1"}, Services: []string{"sts"},
	}))
	roles := ready(sts.New(sts.Config{Verifier: callers, Sessions: sessions, Roles: []sts.Role{{ARN: roleOfService, Trust: `{
		"Version": "2012-10-17",
		"Statement": {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:user/nightly"}, "Action": "sts:AssumeRole"}
	}`}}}))
	own := ready(policy.Parse([]byte(`{"Version": "2012-10-17", "Statement": {
		"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "` + loyaltyStage + `/GET/users/${aws:PrincipalTag/user}"
	}}`)))
	all := ready(policy.Parse([]byte(`{"Version": "2012-10-17", "Statement": {
		"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "` + loyaltyStage + `/*"
	}}`)))
	gate := ready(sessionGate(map[string][]*policy.Policy{roleOfUsers: {own}, roleOfService: {all}}))
	signature := ready(sigv4.NewVerifier(sigv4.VerifierConfig{Keys: sessions.Key, Regions: []string{"eu-west-1"}}))
	api := signature.Handler(gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, _ := session.FromContext(r.Context())
		_, role, _ := strings.Cut(s.Role, "/")
		_, _ = fmt.Fprintln(w, role, s.Tags)
	})))

	token := ready(users.IDToken(authtest.User{Username: "julian", Client: client}))
	credentials := map[string]sigv4.Credentials{
		"user": ofUser(pool, `"Logins": {"`+provider+`": "`+token+`"}`),
		"service": ofService(roles, url.Values{
			"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "RoleArn": {roleOfService}, "RoleSessionName": {"tonight"},
			"Policy": {`{"Version": "2012-10-17", "Statement": {
				"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "` + loyaltyStage + `/GET/users/*"
			}}`},
		}),
	}
	for _, call := range []string{
		"user GET /Prod/users/julian", "user GET /Prod/users/maria",
		"service GET /Prod/users/maria", "service DELETE /Prod/users/maria",
	} {
		part := strings.Fields(call)
		r := signedBy(credentials[part[0]], "execute-api", httptest.NewRequest(part[1], part[2], nil))
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		_, why, _ := strings.Cut(strings.TrimSpace(w.Body.String()), " because ")
		if w.Code == http.StatusOK {
			why = w.Body.String()
		}
		fmt.Println(call, w.Code, strings.TrimRight(why, "\"}\n"))
	}
	// Output:
	// user GET /Prod/users/julian 200 Member map[user:julian]
	// user GET /Prod/users/maria 403 no identity-based policy allows the execute-api:Invoke action
	// service GET /Prod/users/maria 200 Points map[]
	// service DELETE /Prod/users/maria 403 no session policy allows the execute-api:Invoke action
}

// ofUser asks an identity pool as AWS's SDKs do: first for the identity of a login, then for its credentials.
func ofUser(pool http.Handler, logins string) sigv4.Credentials {
	var answer struct {
		IdentityId  string
		Credentials struct{ AccessKeyId, SecretKey, SessionToken string }
	}
	ask := func(operation, body string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("X-Amz-Target", "AWSCognitoIdentityService."+operation)
		w := httptest.NewRecorder()
		pool.ServeHTTP(w, r)
		_ = json.Unmarshal(w.Body.Bytes(), &answer)
	}
	ask("GetId", `{"IdentityPoolId": "eu-west-1:177a950c-2c08-43f0-9983-28727534680a", `+logins+`}`)
	ask("GetCredentialsForIdentity", `{"IdentityId": "`+answer.IdentityId+`", `+logins+`}`)
	c := answer.Credentials
	return sigv4.Credentials{AccessKeyID: c.AccessKeyId, Secret: sigv4.Secret(c.SecretKey), SessionToken: sigv4.Secret(c.SessionToken)}
}

// ofService has the permanent key of the service assume a role, as AWS's SDKs do.
func ofService(roles http.Handler, form url.Values) sigv4.Credentials {
	r := signedBy(sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", Secret: "secret"}, "sts",
		httptest.NewRequest(http.MethodPost, "/", strings.NewReader(form.Encode())))
	w := httptest.NewRecorder()
	roles.ServeHTTP(w, r)
	var answer struct {
		Credentials struct{ AccessKeyId, SecretAccessKey, SessionToken string } `xml:"AssumeRoleResult>Credentials"`
	}
	_ = xml.Unmarshal(w.Body.Bytes(), &answer)
	c := answer.Credentials
	return sigv4.Credentials{AccessKeyID: c.AccessKeyId, Secret: sigv4.Secret(c.SecretAccessKey), SessionToken: sigv4.Secret(c.SessionToken)}
}

// signedBy signs a request.
func signedBy(c sigv4.Credentials, service string, r *http.Request) *http.Request {
	signer := ready(sigv4.NewSigner(sigv4.SignerConfig{
		Region: "eu-west-1", Service: service, MaxSpool: 1 << 16,
		Credentials: func(context.Context) (sigv4.Credentials, error) { return c, nil },
	}))
	return ready(r, signer.Sign(r))
}

// ready returns what is part of the program and cannot fail there.
func ready[T any](made T, err error) T {
	if err != nil {
		panic(err)
	}
	return made
}
