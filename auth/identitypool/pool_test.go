package identitypool_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
	"github.com/tallygate/tallygate/auth/identitypool"
	"github.com/tallygate/tallygate/sigv4"
)

// A user's credentials sign requests that a verifier with the same sealing keys accepts for an hour.
func TestUserGetsCredentialsThatVerify(t *testing.T) {
	w := newWorld(t, nil)
	token := w.idToken(t, "julianwood")
	id := w.getID(t, userPool, token)
	require.Equal(t, http.StatusOK, id.status, id.body)
	require.Regexp(t, `^eu-west-1:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, id.IdentityId)
	before := time.Now()
	got := w.credentials(t, id.IdentityId, userPool, token)
	after := time.Now()
	require.Equal(t, http.StatusOK, got.status, got.body)
	require.Equal(t, id.IdentityId, got.IdentityId)
	require.Equal(t, "no-store", got.header.Get("Cache-Control"))
	require.GreaterOrEqual(t, got.Credentials.Expiration, float64(before.Add(time.Hour).Unix()))
	require.LessOrEqual(t, got.Credentials.Expiration, float64(after.Add(time.Hour).Unix()+1))
	s, err := verify(t, w.sessions, got)
	require.NoError(t, err)
	require.Equal(t, "arn:aws:sts::123456789012:assumed-role/Member/"+id.IdentityId, s.Principal)
	require.Equal(t, member, s.Role)
	require.Empty(t, s.Tags)
	_, err = verify(t, newSessions(t, 2), got)
	require.ErrorIs(t, err, sigv4.ErrUnknownKey)
}

// An identity depends on pool, key, issuer and subject, and on nothing else.
func TestIdentityIsStable(t *testing.T) {
	w := newWorld(t, nil)
	first := w.getID(t, userPool, w.idToken(t, "julianwood")).IdentityId
	require.NotEmpty(t, first)
	require.Equal(t, first, w.getID(t, userPool, w.idToken(t, "julianwood", claim("email", "new@example.com"))).IdentityId)
	require.NotEqual(t, first, w.getID(t, userPool, w.idToken(t, "another")).IdentityId)
	for name, tt := range map[string]struct {
		edit func(*identitypool.Config)
		same bool
	}{
		"other sealing keys": {func(c *identitypool.Config) { c.Sessions = newSessions(t, 7, 8) }, true},
		"other role":         {func(c *identitypool.Config) { c.Authenticated = admin }, true},
		"other identity key": {func(c *identitypool.Config) { c.IdentityKey = sigv4.Secret(strings.Repeat("j", 32)) }, false},
		"other pool":         {func(c *identitypool.Config) { c.ID = "eu-west-1:00000000-2c08-43f0-9983-28727534680a" }, false},
	} {
		again := newWorld(t, func(c *identitypool.Config) { tt.edit(c) })
		id := poolID
		if name == "other pool" {
			id = "eu-west-1:00000000-2c08-43f0-9983-28727534680a"
		}
		got := send(t, again.pool, "GetId", object{"IdentityPoolId": id, "Logins": logins(userPool, w.idToken(t, "julianwood"))})
		require.Equal(t, tt.same, first == got.IdentityId, "%s: %s", name, got.body)
	}
}

func TestGuestsAreOffByDefault(t *testing.T) {
	w := newWorld(t, nil)
	on := newWorld(t, func(c *identitypool.Config) { c.Unauthenticated = guest })
	known := on.getID(t).IdentityId
	const message = "Unauthenticated access is not supported for this identity pool."
	requireRefused(t, w.getID(t), 400, "NotAuthorizedException", message)
	requireRefused(t, w.credentials(t, known), 400, "NotAuthorizedException", message)
	requireRefused(t, send(t, w.pool, "GetId", object{"IdentityPoolId": poolID, "Logins": nil}), 400, "NotAuthorizedException", message)
}

// Without a login, only an identity that this pool has made for a guest gets credentials, and only the guests' role.
func TestGuestHoldsAnIdentityOfThisPool(t *testing.T) {
	w := newWorld(t, func(c *identitypool.Config) { c.Unauthenticated = guest })
	first, second := w.getID(t).IdentityId, w.getID(t).IdentityId
	require.NotEqual(t, first, second)
	got := w.credentials(t, first)
	require.Equal(t, first, got.IdentityId, got.body)
	s, err := verify(t, w.sessions, got)
	require.NoError(t, err)
	require.Equal(t, []string{guest, "arn:aws:sts::123456789012:assumed-role/Guest/" + first}, []string{s.Role, s.Principal})

	token := w.idToken(t, "julianwood")
	user := w.getID(t, userPool, token).IdentityId
	const other = "eu-west-1:00000000-2c08-43f0-9983-28727534680a"
	foreign := newWorld(t, func(c *identitypool.Config) { c.Unauthenticated, c.ID = guest, other })
	theirs := send(t, foreign.pool, "GetId", object{"IdentityPoolId": other}).IdentityId
	require.NotEmpty(t, theirs)
	for name, id := range map[string]string{
		"a user's identity":  user,
		"another pool's":     theirs,
		"another region":     "eu-west-2" + strings.TrimPrefix(first, "eu-west-1"),
		"made up":            poolID,
		"two halves":         first[:28] + second[28:],
		"short":              first[:len(first)-1],
		"long":               first + "0",
		"hyphens moved":      "eu-west-1:" + strings.ReplaceAll(first[10:], "-", ""),
		"version bits":       first[:24] + "4" + first[25:],
		"only the region":    "eu-west-1:",
		"only the region, -": "eu-west-1:-",
	} {
		got := w.credentials(t, id)
		require.Equal(t, 400, got.status, name)
		if got.Type != "ValidationException" {
			requireRefused(t, got, 400, "NotAuthorizedException", "Access to Identity '"+id+"' is forbidden.")
		}
	}
	requireRefused(t, w.credentials(t, first, userPool, token), 400, "NotAuthorizedException", noMatch)
	custom := send(t, w.pool, "GetCredentialsForIdentity", object{"IdentityId": first, "CustomRoleArn": member})
	requireRefused(t, custom, 400, "NotAuthorizedException", "No role is assigned to this identity.")
}

const noMatch = "Logins don't match. Please include at least one valid login for this identity or identity pool."

// No token but a good ID token of the provider that Logins names gives an identity or credentials.
func TestBadLoginsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(1_800_000_000, 0)))
		foreign, other := others(), auth.OIDC("https://login.example", client)
		other.Keys = foreign.JWKS()
		w := newWorld(t, func(c *identitypool.Config) { c.Tokens = verifier(t, users(), other) })
		good := w.idToken(t, "julianwood")
		sign := func(by *authtest.Issuer, claims object) string {
			token, err := by.Sign("RS256", claims)
			require.NoError(t, err)
			return token
		}
		access, err := w.issuer.AccessToken(authtest.User{Username: "julianwood", Client: client})
		require.NoError(t, err)
		stranger, err := authtest.New("https://" + userPool)
		require.NoError(t, err)
		forged, err := stranger.IDToken(authtest.User{Username: "julianwood", Client: client})
		require.NoError(t, err)
		const unsupported = "Token is not from a supported provider of this identity pool."
		for name, tt := range map[string]struct{ provider, token, message string }{
			"expired": {
				userPool, w.idToken(t, "julianwood", func(u *authtest.User) { u.Lifetime = -time.Minute }),
				"Invalid login token. Token expired: 1800000000 >= 1799999940",
			},
			"forged":            {userPool, forged, "Invalid login token. Couldn't verify signed token."},
			"changed":           {userPool, good[:len(good)-4] + "AAAA", "Invalid login token. Couldn't verify signed token."},
			"no token":          {userPool, "julianwood", "Invalid login token. Not a valid OpenId Connect identity token."},
			"an access token":   {userPool, access, "Invalid login token. Missing a required claim: aud"},
			"another client":    {userPool, w.idToken(t, "julianwood", func(u *authtest.User) { u.Client = "other" }), unsupported},
			"another issuer":    {userPool, sign(w.issuer, object{"iss": "https://evil.example", "aud": client, "sub": "s"}), unsupported},
			"another provider":  {userPool, sign(foreign, object{"aud": client, "sub": "s"}), "Invalid login token. Issuer doesn't match providerName"},
			"another audience":  {"login.example", sign(foreign, object{"aud": "other", "sub": "s"}), unsupported},
			"no subject":        {"login.example", sign(foreign, object{"aud": client}), "Invalid login token. Missing a required claim: sub"},
			"swapped providers": {"login.example", good, "Invalid login token. Issuer doesn't match providerName"},
			"the URL as name":   {"https://" + userPool, good, "Invalid login token. Issuer doesn't match providerName"},
			"not valid yet":     {userPool, w.idToken(t, "julianwood", claim("nbf", time.Now().Add(time.Hour).Unix())), "Invalid login token."},
			"another case":      {strings.ToUpper(userPool), good, "Invalid login token. Issuer doesn't match providerName"},
		} {
			t.Log(name)
			requireRefused(t, w.getID(t, tt.provider, tt.token), 400, "NotAuthorizedException", tt.message)
			requireRefused(t, w.credentials(t, poolID, tt.provider, tt.token), 400, "NotAuthorizedException", tt.message)
		}
		ok := w.getID(t, "login.example", sign(foreign, object{"aud": client, "sub": "s"}))
		require.Equal(t, 200, ok.status, ok.body)
		both := w.getID(t, "login.example", sign(foreign, object{"aud": client, "sub": "s"}), userPool, good)
		requireRefused(t, both, 400, "NotAuthorizedException", noMatch)
		requireRefused(t, w.credentials(t, ok.IdentityId, userPool, good), 400, "NotAuthorizedException", noMatch)
	})
}

// A provider whose keys cannot be fetched is not the user's fault.
func TestProviderWithoutKeysIs503(t *testing.T) {
	issuer, err := authtest.New("https://" + userPool)
	require.NoError(t, err)
	issuer.Fail(http.StatusInternalServerError)
	v, err := auth.New(auth.Config{
		Issuers: []auth.Issuer{auth.Cognito("eu-west-1", "eu-west-1_aQYCzHwCz", client)}, Transport: issuer,
	})
	require.NoError(t, err)
	w := newWorld(t, func(c *identitypool.Config) { c.Tokens = v })
	w.issuer = issuer
	got := w.getID(t, userPool, w.idToken(t, "julianwood"))
	requireRefused(t, got, 503, "ExternalServiceException", "The keys of the login provider are not available.")
	require.Equal(t, "1", got.header.Get("Retry-After"))
}

func TestRoles(t *testing.T) {
	const other = "arn:aws:iam::123456789012:role/Other"
	rules := []identitypool.Rule{
		{Claim: "cognito:groups", Match: "Equals", Value: "admins", Role: admin},
		{Claim: "email", Match: "StartsWith", Value: "root@", Role: admin},
		{Claim: "email", Match: "Contains", Value: "@other.example", Role: other},
		{Claim: "custom:plan", Match: "NotEqual", Value: "free", Role: other},
	}
	ruled := identitypool.Mapping{Rules: rules}
	named := identitypool.Mapping{TokenRoles: []string{admin, other}}
	strict := identitypool.Mapping{TokenRoles: []string{admin, other}, DenyAmbiguous: true}
	const none = "NotAuthorizedException"
	for name, tt := range map[string]struct {
		mapping identitypool.Mapping
		claims  object
		custom  string
		want    string // a role or an error
	}{
		"no rule matches":            {ruled, object{}, "", member},
		"a group":                    {ruled, object{"cognito:groups": []string{"users", "admins"}}, "", admin},
		"a group, as a text":         {ruled, object{"cognito:groups": "admins"}, "", admin},
		"part of a group":            {ruled, object{"cognito:groups": []string{"admins2"}}, "", member},
		"another type":               {ruled, object{"cognito:groups": object{"admins": true}}, "", member},
		"a mixed list":               {ruled, object{"cognito:groups": []any{"admins", 1}}, "", member},
		"a prefix":                   {ruled, object{"email": "root@example.com"}, "", admin},
		"no prefix":                  {ruled, object{"email": "not-root@example.com"}, "", member},
		"a part":                     {ruled, object{"email": "a@other.example.com"}, "", other},
		"the first rule":             {ruled, object{"email": "root@other.example"}, "", admin},
		"not equal":                  {ruled, object{"custom:plan": "paid"}, "", other},
		"equal":                      {ruled, object{"custom:plan": "free"}, "", member},
		"a list with an equal":       {ruled, object{"custom:plan": []string{"paid", "free"}}, "", member},
		"another case of the name":   {ruled, object{"EMAIL": "root@example.com"}, "", member},
		"rules know no custom role":  {ruled, object{"cognito:groups": "admins", "cognito:roles": []string{admin}}, admin, none},
		"rules, refused by default":  {identitypool.Mapping{Rules: rules, DenyAmbiguous: true}, object{}, "", none},
		"no role in the token":       {named, object{}, "", member},
		"one role":                   {named, object{"cognito:roles": []string{other}}, "", other},
		"two roles":                  {named, object{"cognito:roles": []string{other, admin}}, "", member},
		"two roles, strict":          {strict, object{"cognito:roles": []string{other, admin}}, "", none},
		"no role, strict":            {strict, object{}, "", none},
		"preferred":                  {named, object{"cognito:roles": []string{other, admin}, "cognito:preferred_role": admin}, "", admin},
		"custom":                     {strict, object{"cognito:roles": []string{other, admin}}, other, other},
		"custom, not in the token":   {named, object{"cognito:roles": []string{other}}, admin, none},
		"custom, only in the token":  {named, object{"cognito:roles": []string{guest}}, guest, none},
		"custom, the pool's":         {named, object{"cognito:roles": []string{other}}, member, none},
		"a role that is not listed":  {named, object{"cognito:roles": []string{guest}}, "", "InvalidIdentityPoolConfigurationException"},
		"preferred, not listed":      {named, object{"cognito:preferred_role": guest}, "", "InvalidIdentityPoolConfigurationException"},
		"roles are not read":         {ruled, object{"cognito:preferred_role": admin}, "", member},
		"custom without any mapping": {identitypool.Mapping{Tags: pair("a", "b")}, object{"cognito:roles": []string{admin}}, admin, none},
	} {
		w := newWorld(t, func(c *identitypool.Config) { c.Mappings = map[string]identitypool.Mapping{userPool: tt.mapping} })
		token := w.idToken(t, "julianwood", func(u *authtest.User) { u.Claims = tt.claims })
		ask := object{"IdentityId": w.getID(t, userPool, token).IdentityId, "Logins": logins(userPool, token)}
		if tt.custom != "" {
			ask["CustomRoleArn"] = tt.custom
		}
		got := send(t, w.pool, "GetCredentialsForIdentity", ask)
		if !strings.HasPrefix(tt.want, "arn:") {
			require.Equal(t, tt.want, got.Type, name)
			require.Empty(t, got.Credentials.SecretKey, name)
			continue
		}
		s, err := verify(t, w.sessions, got)
		require.NoError(t, err, "%s: %s", name, got.body)
		require.Equal(t, tt.want, s.Role, name)
	}
}

func pair(name, value string) map[string]string { return map[string]string{name: value} }

// A user of a provider without a mapping has no role if the pool has none for all.
func TestProviderWithoutRoleIsRefused(t *testing.T) {
	w := newWorld(t, func(c *identitypool.Config) {
		c.Authenticated, c.Tokens = "", verifier(t, users(), auth.OIDC("https://login.example", client))
		c.Mappings = map[string]identitypool.Mapping{"login.example": {TokenRoles: []string{admin}}}
	})
	token := w.idToken(t, "julianwood", claim("cognito:preferred_role", admin))
	got := w.credentials(t, w.getID(t, userPool, token).IdentityId, userPool, token)
	requireRefused(t, got, 400, "NotAuthorizedException", "No role is assigned to this identity.")
}

func TestClaimsBecomeTags(t *testing.T) {
	w := newWorld(t, func(c *identitypool.Config) {
		c.Mappings = map[string]identitypool.Mapping{userPool: {Tags: map[string]string{
			"team": "custom:team", "absent": "custom:absent", "number": "auth_time", "long": "custom:long", "longest": "custom:longest",
		}}}
	})
	token := w.idToken(t, "julianwood", func(u *authtest.User) {
		u.Claims = object{"custom:team": "loyalty", "custom:long": strings.Repeat("é", 257), "custom:longest": strings.Repeat("é", 256)}
	})
	s, err := verify(t, w.sessions, w.credentials(t, w.getID(t, userPool, token).IdentityId, userPool, token))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"team": "loyalty", "longest": strings.Repeat("é", 256)}, s.Tags)
	require.Equal(t, member, s.Role)
}

// Link decides which identity several logins have, and what it returns is what the caller gets.
func TestLinkFindsTheIdentity(t *testing.T) {
	foreign, other := others(), auth.OIDC("https://login.example", client)
	other.Keys = foreign.JWKS()
	var asked []string
	var linked string
	var failure error
	w := newWorld(t, func(c *identitypool.Config) {
		c.Tokens = verifier(t, users(), other)
		c.Link = func(_ context.Context, ids []string, claimed string) (string, error) {
			asked = append(ids, claimed)
			return linked, failure
		}
	})
	plain := newWorld(t, func(c *identitypool.Config) { c.Tokens = verifier(t, users(), other) })
	token, err := foreign.Sign("ES256", object{"aud": client, "sub": "s"})
	require.NoError(t, err)
	mine := w.idToken(t, "julianwood")
	first, second := plain.getID(t, userPool, mine).IdentityId, plain.getID(t, "login.example", token).IdentityId

	linked = first
	require.Equal(t, first, w.getID(t, "login.example", token, userPool, mine).IdentityId)
	require.Equal(t, []string{first, second, ""}, asked)
	got := w.credentials(t, poolID, "login.example", token)
	require.Equal(t, first, got.IdentityId)
	require.Equal(t, []string{second, poolID}, asked)
	s, err := verify(t, w.sessions, got)
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(s.Principal, "/"+first))

	failure = &identitypool.Error{Err: identitypool.ErrRefused, Code: "ResourceConflictException", Message: "Login is already linked."}
	requireRefused(t, w.getID(t, userPool, mine), 400, "ResourceConflictException", "Login is already linked.")
	failure = errors.New("the database is down")
	requireRefused(t, w.getID(t, userPool, mine), 503, "InternalErrorException", "Please try again.")
	failure, linked = nil, "everybody"
	requireRefused(t, w.getID(t, userPool, mine), 503, "InternalErrorException", "Please try again.")
}

func TestOtherOperations(t *testing.T) {
	w := newWorld(t, nil)
	for _, operation := range []string{"UnlinkIdentity", "ListIdentities", "DeleteIdentities", "SetIdentityPoolRoles"} {
		requireRefused(t, send(t, w.pool, operation, object{}), 400, "NotAuthorizedException", "This identity pool does not support "+operation+".")
	}
	for _, operation := range []string{"", "getid", "GetId ", "Nothing"} {
		requireRefused(t, send(t, w.pool, operation, object{}), 400, "UnknownOperationException", "")
	}
	for name, edit := range map[string]func(*http.Request){
		"no target":       func(r *http.Request) { r.Header.Del("X-Amz-Target") },
		"two targets":     func(r *http.Request) { r.Header.Add("X-Amz-Target", "AWSCognitoIdentityService.GetId") },
		"another service": func(r *http.Request) { r.Header.Set("X-Amz-Target", "AWSCognitoIdentityProviderService.GetId") },
		"GET":             func(r *http.Request) { r.Method = http.MethodGet },
	} {
		got := send(t, w.pool, "GetId", object{"IdentityPoolId": poolID}, edit)
		require.Equal(t, "UnknownOperationException", got.Type, name)
	}
	var seen string
	w = newWorld(t, func(c *identitypool.Config) {
		c.Other = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			seen = r.Header.Get("X-Amz-Target") + string(body)
			_, _ = io.WriteString(w, "{}")
		})
	})
	require.Equal(t, 200, send(t, w.pool, "UnlinkIdentity", `{"a":1}`).status)
	require.Equal(t, `AWSCognitoIdentityService.UnlinkIdentity{"a":1}`, seen)
	require.Equal(t, "UnknownOperationException", send(t, w.pool, "Nothing", "").Type)
	require.Equal(t, "ValidationException", send(t, w.pool, "GetId", "").Type)
}

// A body that can be read in two ways, or in none, is refused in AWS's form.
func TestMalformedBodiesAreRefused(t *testing.T) {
	w := newWorld(t, func(c *identitypool.Config) { c.Unauthenticated = guest })
	const null = "1 validation error detected: Value null at 'identityPoolId' failed to satisfy constraint: Member must not be null"
	const keysOf = "1 validation error detected: Value at 'logins' failed to satisfy constraint: Map keys must satisfy constraint: " +
		"[Member must have length less than or equal to "
	const valueOf = "1 validation error detected: Value at 'logins' failed to satisfy constraint: Map value must satisfy constraint: " +
		"[Member must have length less than or equal to "
	const orEmpty = ", Member must have length greater than or equal to 1]"
	for name, tt := range map[string]struct{ body, code, message string }{
		"empty":        {"", "ValidationException", null},
		"empty object": {"{}", "ValidationException", null},
		"null":         {`{"IdentityPoolId":null}`, "ValidationException", null},
		"another case": {`{"identityPoolId":"` + poolID + `"}`, "ValidationException", null},
		"a user pool": {`{"IdentityPoolId":"eu-west-1_aQYCzHwCz"}`, "ValidationException", "1 validation error detected: Value " +
			`'eu-west-1_aQYCzHwCz' at 'identityPoolId' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w-]+:[0-9a-f-]+`},
		"a long id": {`{"IdentityPoolId":"a:` + strings.Repeat("0", 54) + `"}`, "ValidationException", "1 validation error detected: Value 'a:" +
			strings.Repeat("0", 54) + "' at 'identityPoolId' failed to satisfy constraint: Member must have length less than or equal to 55"},
		"another pool":       {`{"IdentityPoolId":"eu-west-1:0"}`, "ResourceNotFoundException", "IdentityPool 'eu-west-1:0' not found."},
		"a name twice":       {`{"IdentityPoolId":"` + poolID + `","IdentityPoolId":"` + poolID + `"}`, "SerializationException", ""},
		"an escaped name":    {`{"IdentityPoolId":"` + poolID + `","Identity\u0050oolId":"eu-west-1:0"}`, "SerializationException", ""},
		"a provider twice":   {`{"IdentityPoolId":"` + poolID + `","Logins":{"a":"b","a":"c"}}`, "SerializationException", ""},
		"unknown name twice": {`{"IdentityPoolId":"` + poolID + `","x":1,"x":2}`, "SerializationException", ""},
		"two objects":        {`{"IdentityPoolId":"` + poolID + `"}{}`, "SerializationException", ""},
		"an array":           {`["` + poolID + `"]`, "SerializationException", ""},
		"a number":           {`{"IdentityPoolId":1}`, "SerializationException", ""},
		"cut":                {`{"IdentityPoolId":"` + poolID, "SerializationException", ""},
		"not closed":         {`{"IdentityPoolId":"` + poolID + `"`, "SerializationException", ""},
		"not UTF-8":          {"{\"IdentityPoolId\":\"" + poolID + "\xff\"}", "SerializationException", ""},
		"a form":             {"IdentityPoolId=" + poolID, "SerializationException", ""},
		"logins, a list":     {`{"IdentityPoolId":"` + poolID + `","Logins":["a"]}`, "SerializationException", ""},
		"logins, a number":   {`{"IdentityPoolId":"` + poolID + `","Logins":{"a":1}}`, "SerializationException", ""},
		"logins, null":       {`{"IdentityPoolId":"` + poolID + `","Logins":{"a":null}}`, "ValidationException", valueOf + "50000" + orEmpty},
		"a long login":       {`{"IdentityPoolId":"` + poolID + `","Logins":{"a":"` + strings.Repeat("t", 50001) + `"}}`, "ValidationException", valueOf + "50000" + orEmpty},
		"a long provider":    {`{"IdentityPoolId":"` + poolID + `","Logins":{"` + strings.Repeat("p", 129) + `":"t"}}`, "ValidationException", keysOf + "128" + orEmpty},
		"no provider":        {`{"IdentityPoolId":"` + poolID + `","Logins":{"":"t"}}`, "ValidationException", keysOf + "128" + orEmpty},
		"logins, empty name": {`{"IdentityPoolId":"` + poolID + `","Logins":{"":"a"}}`, "ValidationException", "*"},
		"eleven logins": {
			`{"IdentityPoolId":"` + poolID + `","Logins":{"a":"","b":"","c":"","d":"","e":"","f":"","g":"","h":"","i":"","j":"","k":""}}`,
			"ValidationException", "1 validation error detected: Value at 'logins' failed to satisfy constraint: Member must have length less than or equal to 10",
		},
		"a deep value": {`{"IdentityPoolId":"` + poolID + `","x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`, "SerializationException", ""},
	} {
		t.Log(name)
		got := send(t, w.pool, "GetId", tt.body)
		if tt.message == "*" {
			tt.message = got.Message
		}
		requireRefused(t, got, 400, tt.code, tt.message)
	}
	requireRefused(t, send(t, w.pool, "GetId", strings.Repeat(" ", 200_000)), 413, "RequestEntityTooLargeException", "The request is too large.")
	unknown := send(t, w.pool, "GetId", `{"IdentityPoolId":"`+poolID+`","AccountId":"123456789012","New":{"a":[1,{}]}}`)
	require.Equal(t, 200, unknown.status, "what no decision rests on is not looked at: %s", unknown.body)
}

// GetOpenIdToken's token verifies by its discovery document and key set.
func TestOpenIDTokenVerifies(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	w := newWorld(t, nil)
	requireRefused(t, send(t, w.pool, "GetOpenIdToken", object{"IdentityId": poolID}), 400, "InvalidParameterException",
		"Basic (classic) flow is not enabled, please use enhanced flow.")
	for _, signing := range []signers{{key}, {rsaKey(t), key}} {
		w := newWorld(t, func(c *identitypool.Config) {
			c.Unauthenticated, c.OpenID, c.SigningKeys = guest, "https://api.example/pool", signing
		})
		v, err := auth.New(auth.Config{
			Issuers: []auth.Issuer{auth.OIDC("https://api.example/pool", poolID)}, Transport: served{w.pool},
		})
		require.NoError(t, err)
		token := w.idToken(t, "julianwood")
		id := w.getID(t, userPool, token).IdentityId
		for _, tt := range []struct {
			id     string
			logins object
			amr    []string
		}{
			{id, logins(userPool, token), []string{"authenticated", userPool}},
			{w.getID(t).IdentityId, nil, []string{"unauthenticated"}},
		} {
			got := send(t, w.pool, "GetOpenIdToken", object{"IdentityId": tt.id, "Logins": tt.logins})
			require.Equal(t, tt.id, got.IdentityId, got.body)
			told, err := v.VerifyToken(t.Context(), got.Token)
			require.NoError(t, err)
			require.Equal(t, tt.id, told.Subject)
			require.WithinDuration(t, time.Now().Add(10*time.Minute), told.Expiry, 5*time.Second)
			claims, err := auth.Claims[struct {
				AMR []string `json:"amr"`
			}](told)
			require.NoError(t, err)
			require.Equal(t, tt.amr, claims.AMR)
		}
		requireRefused(t, send(t, w.pool, "GetOpenIdToken", object{"IdentityId": id}), 400, "NotAuthorizedException",
			fmt.Sprintf("Access to Identity '%s' is forbidden.", id))
	}
}

func TestNewReportsAllMistakesAtOnce(t *testing.T) {
	_, err := identitypool.New(identitypool.Config{
		ID: "eu-west-1_aQYCzHwCz", IdentityKey: "short secret", Authenticated: "Member", Unauthenticated: "arn:aws:iam::1:role/x",
		OpenID: "http://api.example", SigningKeys: signers{nil},
		Mappings: map[string]identitypool.Mapping{
			"a": {Rules: []identitypool.Rule{{Match: "equals", Role: "x"}}, TokenRoles: []string{"y"}}, "b": {},
			"c": {Tags: map[string]string{"team": "x", "Team": "y"}},
		},
	})
	require.ErrorIs(t, err, identitypool.ErrNotConfigured)
	for _, text := range []string{
		"ID is", "IdentityKey has 12 bytes", "Sessions is required", "Authenticated is", "Unauthenticated is", "need Tokens",
		"OpenID is", "SigningKeys[0]", `Mappings["a"].Rules[0]: Claim`, `Rules[0]: Match`, `Rules[0].Role`, `TokenRoles[0]`, `Mappings["b"] is empty`,
		`Mappings["c"].Tags: "team" stands there in two spellings`,
	} {
		require.ErrorContains(t, err, text)
	}
	require.NotContains(t, err.Error(), "short secret")
	_, err = identitypool.New(identitypool.Config{})
	require.ErrorContains(t, err, "Tokens or Unauthenticated is required")
}

// A mapping under a name that no token has would never act. Its users would silently get the role Authenticated.
func TestMappingsAreForIssuersOfTokens(t *testing.T) {
	tenants := auth.OIDC("https://login.example/{tenantid}/v2.0", client)
	tenants.JWKS, tenants.Tenants = "https://login.example/keys", []string{"9188040d-6c67-4c5b-b112-36a304b66dad"}
	for name, want := range map[string]bool{
		userPool: true, "login.example/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0": true,
		"https://" + userPool: false, "eu-west-1_aQYCzHwCz": false, userPool + "/": false, "login.example": false, "": false,
	} {
		_, err := identitypool.New(identitypool.Config{
			ID: poolID, IdentityKey: sigv4.Secret(strings.Repeat("i", 32)), Sessions: newSessions(t, 1),
			Tokens: verifier(t, users(), tenants), Authenticated: member,
			Mappings: map[string]identitypool.Mapping{name: {TokenRoles: []string{admin}}},
		})
		require.Equal(t, want, err == nil, name)
		if !want {
			require.ErrorIs(t, err, identitypool.ErrNotConfigured)
			require.ErrorContains(t, err, fmt.Sprintf("Mappings[%q] is for no issuer of Tokens", name))
		}
	}
}

func TestZeroPoolRefuses(t *testing.T) {
	var none *identitypool.Pool
	for _, p := range []*identitypool.Pool{none, {}} {
		requireRefused(t, send(t, p, "GetId", object{"IdentityPoolId": poolID}), 500, "InternalErrorException", "Internal error.")
	}
}

// What a log gets names the cause, and holds no token.
func TestErrorHoldsNoToken(t *testing.T) {
	var told []auth.Event
	w := newWorld(t, func(c *identitypool.Config) {
		c.Observe = func(_ context.Context, e auth.Event) { told = append(told, e) }
	})
	token := w.idToken(t, "julianwood")
	bad := token[:len(token)-4] + "AAAA"
	got := w.getID(t, userPool, bad)
	id := w.getID(t, userPool, token)
	require.Len(t, told, 2)
	require.Equal(t, []string{"identitypool", "refused", "refused", got.header.Get("X-Amzn-RequestId"), ""},
		[]string{told[0].Layer, told[0].Outcome, told[0].Reason, told[0].RequestID, told[0].Client})
	require.ErrorIs(t, told[0].Err, auth.ErrSignature)
	require.ErrorContains(t, told[0].Err, "identitypool: GetId: ")
	require.NotContains(t, told[0].Err.Error(), bad[:40])
	require.Equal(t, []string{"allowed", id.IdentityId}, []string{told[1].Outcome, told[1].Client})
	require.NoError(t, told[1].Err)
}

func TestBodyThatBreaksOffIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	got := send(t, w.pool, "GetId", "", func(r *http.Request) {
		r.Body = io.NopCloser(io.MultiReader(bytes.NewReader([]byte("{")), failing{}))
	})
	require.Equal(t, "SerializationException", got.Type)
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
