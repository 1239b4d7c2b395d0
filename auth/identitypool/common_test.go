package identitypool_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
	"github.com/tallygate/tallygate/auth/identitypool"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/sigv4/session"
)

const (
	poolID   = "eu-west-1:177a950c-2c08-43f0-9983-28727534680a"
	userPool = "cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz"
	client   = "3fe6quse1kki13s6nebi0ncnin"
	member   = "arn:aws:iam::123456789012:role/Member"
	admin    = "arn:aws:iam::123456789012:role/staff/Admin"
	guest    = "arn:aws:iam::123456789012:role/Guest"
)

// world is a pool and all that it needs.
type world struct {
	issuer   *authtest.Issuer
	sessions *session.Keys
	pool     *identitypool.Pool
}

func newSessions(t testing.TB, sealing ...byte) *session.Keys {
	t.Helper()
	var c session.Config
	for _, n := range sealing {
		c.SealingKeys = append(c.SealingKeys, sigv4.Secret(bytes.Repeat([]byte{n}, 32)))
	}
	k, err := session.New(c)
	require.NoError(t, err)
	return k
}

// The issuers of all tests. Their keys take long to make.
var (
	users  = sync.OnceValue(func() *authtest.Issuer { return newIssuer("https://" + userPool) })
	others = sync.OnceValue(func() *authtest.Issuer { return newIssuer("https://login.example") })
)

func newIssuer(url string) *authtest.Issuer {
	issuer, err := authtest.New(url)
	if err != nil {
		panic(err)
	}
	return issuer
}

// newWorld returns a pool for the users of one user pool, without unauthenticated identities.
func newWorld(t testing.TB, edit func(*identitypool.Config)) world {
	t.Helper()
	w := world{issuer: users(), sessions: newSessions(t, 1)}
	c := identitypool.Config{
		ID: poolID, IdentityKey: sigv4.Secret(strings.Repeat("i", 32)), Sessions: w.sessions,
		Tokens: verifier(t, w.issuer), Authenticated: member,
	}
	if edit != nil {
		edit(&c)
	}
	var err error
	w.pool, err = identitypool.New(c)
	require.NoError(t, err)
	return w
}

func verifier(t testing.TB, issuer *authtest.Issuer, more ...auth.Issuer) *auth.Verifier {
	t.Helper()
	cognito := auth.Cognito("eu-west-1", "eu-west-1_aQYCzHwCz", client)
	cognito.Keys = issuer.JWKS()
	v, err := auth.New(auth.Config{Issuers: append(more, cognito)})
	require.NoError(t, err)
	return v
}

// idToken returns an ID token of a user.
func (w world) idToken(t testing.TB, user string, edits ...func(*authtest.User)) string {
	t.Helper()
	u := authtest.User{Username: user, Client: client}
	for _, edit := range edits {
		edit(&u)
	}
	token, err := w.issuer.IDToken(u)
	require.NoError(t, err)
	return token
}

func claim(name string, value any) func(*authtest.User) {
	return func(u *authtest.User) { u.Claims = map[string]any{name: value} }
}

// result has the members of all answers.
type result struct {
	status      int
	header      http.Header
	body        string
	IdentityId  string
	Token       string
	Credentials struct {
		AccessKeyId, SecretKey, SessionToken string
		Expiration                           float64
	}
	Type    string `json:"__type"`
	Message string `json:"message"`
}

// send sends a body, which is a text, or anything that has a JSON form.
func send(t testing.TB, h http.Handler, operation string, body any, edits ...func(*http.Request)) (got result) {
	t.Helper()
	text, isText := body.(string)
	if !isText {
		encoded, err := json.Marshal(body)
		require.NoError(t, err)
		text = string(encoded)
	}
	r := httptest.NewRequest(http.MethodPost, "/pool", strings.NewReader(text))
	r.Header.Set("X-Amz-Target", "AWSCognitoIdentityService."+operation)
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	for _, edit := range edits {
		edit(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got), w.Body.String())
	got.status, got.header, got.body = w.Code, w.Header(), w.Body.String()
	return got
}

type object = map[string]any

func logins(pairs ...string) object {
	all := object{}
	for i := 0; i < len(pairs); i += 2 {
		all[pairs[i]] = pairs[i+1]
	}
	return all
}

func (w world) getID(t testing.TB, pairs ...string) result {
	t.Helper()
	return send(t, w.pool, "GetId", object{"IdentityPoolId": poolID, "Logins": logins(pairs...)})
}

func (w world) credentials(t testing.TB, identity string, pairs ...string) result {
	t.Helper()
	return send(t, w.pool, "GetCredentialsForIdentity", object{"IdentityId": identity, "Logins": logins(pairs...)})
}

func requireRefused(t testing.TB, got result, status int, code, message string) {
	t.Helper()
	require.Equal(t, []any{status, code, message}, []any{got.status, got.Type, got.Message})
	require.Equal(t, code, got.header.Get("X-Amzn-ErrorType"))
	require.Equal(t, "application/x-amz-json-1.1", got.header.Get("Content-Type"))
	require.NotEmpty(t, got.header.Get("X-Amzn-RequestId"))
	require.Empty(t, got.Credentials.AccessKeyId)
	require.Empty(t, got.IdentityId)
}

// verify signs a request with credentials and returns the session that a verifier finds.
func verify(t testing.TB, keys *session.Keys, got result) (*session.Session, error) {
	t.Helper()
	c := got.Credentials
	signer, err := sigv4.NewSigner(sigv4.SignerConfig{
		Region: "eu-west-1", Credentials: func(context.Context) (sigv4.Credentials, error) {
			return sigv4.Credentials{
				AccessKeyID: c.AccessKeyId, Secret: sigv4.Secret(c.SecretKey), SessionToken: sigv4.Secret(c.SessionToken),
			}, nil
		},
	})
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodGet, "/Prod/loyalty/1", nil)
	require.NoError(t, signer.Sign(r))
	v, err := sigv4.NewVerifier(sigv4.VerifierConfig{Keys: keys.Key, Regions: []string{"eu-west-1"}})
	require.NoError(t, err)
	id, err := v.Verify(r)
	s, _ := id.Session.(*session.Session)
	return s, err
}

// signers are signing keys.
type signers = []crypto.Signer

func rsaKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	return key
}

// served sends requests to a handler without a network.
type served struct{ handler http.Handler }

func (s served) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w.Result(), nil
}
