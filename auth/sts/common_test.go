package sts_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/xml"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
	"github.com/tallygate/tallygate/auth/policy"
	"github.com/tallygate/tallygate/auth/sts"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/sigv4/session"
)

const (
	account  = "arn:aws:iam::123456789012:"
	julian   = account + "user/julian"
	partner  = "arn:aws:iam::210987654321:user/partner"
	points   = account + "role/team/Points"
	audit    = account + "role/Audit"
	vendor   = account + "role/Vendor"
	provider = "login.example/tenant"
	client   = "3fe6quse1kki13s6nebi0ncnin"
)

// The keys of those who call.
var ring = sigv4.Keyring{
	"AKIDJULIAN":  {Secret: "julian's secret", Principal: julian},
	"AKIDPARTNER": {Secret: "partner's secret", Principal: partner},
	"AKIDNOBODY":  {Secret: "nobody's secret"}, // without a principal
	"ASIAELSE":    {Secret: "else's secret", SessionToken: "IQoJ", Principal: "arn:aws:sts::123456789012:assumed-role/Points/else"},
}

func permanent(id string) sigv4.Credentials {
	return sigv4.Credentials{AccessKeyID: id, Secret: ring[id].Secret, SessionToken: ring[id].SessionToken}
}

// allow returns a trust policy with one statement that allows.
func allow(principal, action, condition string) string {
	if condition != "" {
		condition = `,"Condition":` + condition
	}
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":` + principal + `,"Action":` + action + condition + `}}`
}

const (
	everything = `["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]`
	byToken    = `"sts:AssumeRoleWithWebIdentity"`
	federated  = `{"Federated":"` + provider + `"}`
	ofClient   = `{"StringEquals":{"` + provider + `:aud":"` + client + `"}}`
)

// world is a server and all that it needs.
type world struct {
	issuer   *authtest.Issuer
	sessions *session.Keys
	server   *sts.Server
}

var issuer = sync.OnceValue(func() *authtest.Issuer { // its keys take long to make
	i, err := authtest.New("https://" + provider)
	if err != nil {
		panic(err)
	}
	return i
})

func newSessions(t testing.TB, sealing byte) *session.Keys {
	t.Helper()
	k, err := session.New(session.Config{SealingKeys: []sigv4.Secret{sigv4.Secret(bytes.Repeat([]byte{sealing}, 32))}, Base: ring.Key})
	require.NoError(t, err)
	return k
}

func verifier(t testing.TB, keys *session.Keys, services ...string) *sigv4.Verifier {
	t.Helper()
	v, err := sigv4.NewVerifier(sigv4.VerifierConfig{Keys: keys.Key, Regions: []string{"eu-west-1"}, Services: services})
	require.NoError(t, err)
	return v
}

func tokens(t testing.TB) *auth.Verifier {
	t.Helper()
	i := auth.OIDC("https://"+provider, client)
	i.Keys = issuer().JWKS()
	v, err := auth.New(auth.Config{Issuers: []auth.Issuer{i}})
	require.NoError(t, err)
	return v
}

// newWorld returns a server with the role Points, which julian and the users of the provider may assume, Audit, which
// sessions of Points may assume, and Vendor, which the partner may assume with its external id.
func newWorld(t testing.TB, edit func(*sts.Config)) world {
	t.Helper()
	w := world{issuer: issuer(), sessions: newSessions(t, 1)}
	may, err := policy.Parse([]byte(`{"Statement":{"Effect":"Allow","Action":"sts:*","Resource":"` + vendor + `"}}`))
	require.NoError(t, err)
	c := sts.Config{
		Verifier: verifier(t, w.sessions, "sts"), Sessions: w.sessions, Tokens: tokens(t),
		Roles: []sts.Role{
			{ARN: points, MaxDuration: 2 * 3600e9, Trust: `{"Version":"2012-10-17","Statement":[
				{"Effect":"Allow","Principal":{"AWS":"` + julian + `"},"Action":` + everything + `},
				{"Effect":"Allow","Principal":` + federated + `,"Action":` + byToken + `,"Condition":` + ofClient + `}]}`},
			{ARN: audit, MaxDuration: 12 * 3600e9, Trust: allow(`{"AWS":"`+points+`"}`, everything, "")},
			{ARN: vendor, Trust: allow(`{"AWS":"210987654321"}`, `"sts:AssumeRole"`, `{"StringEquals":{"sts:ExternalId":"ticket-7"}}`)},
		},
		Policies: func(_ context.Context, id sigv4.Identity) (s policy.Set, err error) {
			if id.Principal == partner {
				s.Identity = []*policy.Policy{may}
			}
			return s, nil
		},
	}
	if edit != nil {
		edit(&c)
	}
	w.server, err = sts.New(c)
	require.NoError(t, err)
	return w
}

// trusting returns a world in which the role Points has another trust policy.
func trusting(t testing.TB, trust string) world {
	t.Helper()
	return newWorld(t, func(c *sts.Config) { c.Roles = []sts.Role{{ARN: points, Trust: trust, MaxDuration: 2 * 3600e9}} })
}

// result has the members of all answers.
type result struct {
	XMLName xml.Name
	status  int
	header  http.Header
	body    string

	Role     outcome `xml:"AssumeRoleResult"`
	ByToken  outcome `xml:"AssumeRoleWithWebIdentityResult"`
	Identity struct {
		Arn, UserId, Account string
	} `xml:"GetCallerIdentityResult"`
	MetadataID string `xml:"ResponseMetadata>RequestId"`

	Error     struct{ Type, Code, Message string }
	RequestId string
}

type outcome struct {
	Credentials struct {
		AccessKeyId, SecretAccessKey, SessionToken, Expiration string
	}
	AssumedRoleUser             struct{ AssumedRoleId, Arn string }
	PackedPolicySize            int
	SourceIdentity              string
	SubjectFromWebIdentityToken string
	Audience, Provider          string
}

// credentials returns those of either answer.
func (r result) credentials() sigv4.Credentials {
	c := r.Role.Credentials
	if c.AccessKeyId == "" {
		c = r.ByToken.Credentials
	}
	return sigv4.Credentials{AccessKeyID: c.AccessKeyId, Secret: sigv4.Secret(c.SecretAccessKey), SessionToken: sigv4.Secret(c.SessionToken)}
}

// params returns the body of a request.
func params(action string, pairs ...string) string {
	v := url.Values{"Action": {action}, "Version": {"2011-06-15"}}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v.Encode()
}

func newRequest(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.TLS = new(tls.ConnectionState)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	return r
}

func sign(t testing.TB, r *http.Request, c sigv4.Credentials) {
	t.Helper()
	signer, err := sigv4.NewSigner(sigv4.SignerConfig{
		Region: "eu-west-1", Service: "sts", MaxSpool: 1 << 20,
		Credentials: func(context.Context) (sigv4.Credentials, error) { return c, nil },
	})
	require.NoError(t, err)
	require.NoError(t, signer.Sign(r))
}

func answer(t testing.TB, h http.Handler, r *http.Request) (got result) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.NoError(t, xml.Unmarshal(w.Body.Bytes(), &got), w.Body.String())
	got.status, got.header, got.body = w.Code, w.Header(), w.Body.String()
	return got
}

// call signs a request with the credentials, if there are any, and sends it.
func (w world) call(t testing.TB, c sigv4.Credentials, action string, pairs ...string) result {
	t.Helper()
	r := newRequest(params(action, pairs...))
	if c.AccessKeyID != "" {
		sign(t, r, c)
	}
	return answer(t, w.server, r)
}

func (w world) assume(t testing.TB, c sigv4.Credentials, role string, more ...string) result {
	t.Helper()
	return w.call(t, c, "AssumeRole", append([]string{"RoleArn", role, "RoleSessionName", "mobile"}, more...)...)
}

func (w world) byToken(t testing.TB, token string, more ...string) result {
	t.Helper()
	pairs := []string{"RoleArn", points, "RoleSessionName", "mobile", "WebIdentityToken", token}
	return w.call(t, sigv4.Credentials{}, "AssumeRoleWithWebIdentity", append(pairs, more...)...)
}

func (w world) idToken(t testing.TB, claims map[string]any) string {
	t.Helper()
	all := map[string]any{"aud": client, "sub": "5f6d8a2e"}
	maps.Copy(all, claims)
	token, err := w.issuer.Sign("ES256", all)
	require.NoError(t, err)
	return token
}

func requireRefused(t testing.TB, got result, status int, code, message string) {
	t.Helper()
	require.Equal(t, []any{status, code, message}, []any{got.status, got.Error.Code, got.Error.Message}, got.body)
	require.Equal(t, "https://sts.amazonaws.com/doc/2011-06-15/", got.XMLName.Space)
	require.Equal(t, got.header.Get("X-Amzn-RequestId"), got.RequestId)
	require.NotContains(t, got.body, "SecretAccessKey")
}

// session returns what a verifier of the API finds behind a request that is signed with the credentials.
func (w world) session(t testing.TB, got result) *session.Session {
	t.Helper()
	require.Equal(t, 200, got.status, got.body)
	s, err := verified(t, w.sessions, got.credentials())
	require.NoError(t, err)
	return s
}

func verified(t testing.TB, keys *session.Keys, c sigv4.Credentials) (*session.Session, error) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/Prod/loyalty/1", nil)
	signer, err := sigv4.NewSigner(sigv4.SignerConfig{
		Region: "eu-west-1", Credentials: func(context.Context) (sigv4.Credentials, error) { return c, nil },
	})
	require.NoError(t, err)
	require.NoError(t, signer.Sign(r))
	id, err := verifier(t, keys, "execute-api").Verify(r)
	s, _ := id.Session.(*session.Session)
	return s, err
}
