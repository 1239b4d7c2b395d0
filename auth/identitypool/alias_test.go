package identitypool_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/identitypool"
)

// renamed is an issuer that has had another URL before.
func renamed() auth.Issuer {
	i := auth.OIDC("https://login.example", client)
	i.Aliases, i.Keys = []string{"https://a.example"}, others().JWKS()
	return i
}

func signAs(t *testing.T, issuer, subject string) string {
	t.Helper()
	token, err := others().Sign("ES256", object{"iss": issuer, "aud": client, "sub": subject})
	require.NoError(t, err)
	return token
}

// A user of an issuer with an alias may name the provider in two ways. The mapping applies to both.
func TestMappingAppliesToAliases(t *testing.T) {
	w := newWorld(t, func(c *identitypool.Config) {
		c.Tokens = verifier(t, users(), renamed())
		c.Mappings = map[string]identitypool.Mapping{"login.example": {DenyAmbiguous: true}}
	})
	for _, pair := range [][2]string{
		{"login.example", "https://login.example"}, {"login.example", "https://a.example"}, {"a.example", "https://a.example"},
	} {
		token := signAs(t, pair[1], "s")
		id := w.getID(t, pair[0], token)
		require.Equal(t, 200, id.status, id.body)
		requireRefused(t, w.credentials(t, id.IdentityId, pair[0], token), 400, "NotAuthorizedException", "No role is assigned to this identity.")
	}
	got := w.getID(t, "a.example", signAs(t, "https://login.example", "s"))
	requireRefused(t, got, 400, "NotAuthorizedException", "Invalid login token. Issuer doesn't match providerName")
}

// The order of the identities that Link gets does not depend on which name of a provider the caller chooses.
func TestLinkGetsIdentitiesInOneOrder(t *testing.T) {
	var asked []string
	w := newWorld(t, func(c *identitypool.Config) {
		c.Tokens = verifier(t, users(), renamed())
		c.Link = func(_ context.Context, ids []string, _ string) (string, error) {
			asked = ids
			return ids[0], nil
		}
	})
	mine, token := w.idToken(t, "julianwood"), signAs(t, "https://a.example", "s")
	first := w.getID(t, "login.example", token, userPool, mine).IdentityId
	want := asked
	require.Len(t, want, 2)
	require.Equal(t, first, w.getID(t, "a.example", token, userPool, mine).IdentityId)
	require.Equal(t, want, asked)
}

// A token without an audience may have been issued for any service, also where the verifier accepts it by its client.
func TestTokenWithoutAudienceIsRefused(t *testing.T) {
	for name, edit := range map[string]func(*auth.Issuer){
		"by its client": func(i *auth.Issuer) { i.AllowClientID = true },
		"any audience":  func(i *auth.Issuer) { i.Audiences, i.AllowAnyAudience = nil, true },
	} {
		i := renamed()
		edit(&i)
		w := newWorld(t, func(c *identitypool.Config) { c.Tokens = verifier(t, users(), i) })
		token, err := others().Sign("ES256", object{"client_id": client, "sub": "s"})
		require.NoError(t, err)
		t.Log(name)
		requireRefused(t, w.getID(t, "login.example", token), 400, "NotAuthorizedException", "Invalid login token. Missing a required claim: aud")
	}
}

// A request that no server has read may have no body at all.
func TestRequestWithoutBody(t *testing.T) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/pool", nil)
	require.NoError(t, err)
	r.Header.Set("X-Amz-Target", "AWSCognitoIdentityService.GetId")
	recorder := httptest.NewRecorder()
	newWorld(t, nil).pool.ServeHTTP(recorder, r)
	require.Equal(t, 400, recorder.Code)
	require.Contains(t, recorder.Body.String(), "ValidationException")
}
