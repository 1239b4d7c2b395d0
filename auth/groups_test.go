package auth_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

// keycloakRoles is the part of a Keycloak access token that names roles, among other claims that other issuers nest.
const keycloakRoles = `{
	"iss":"` + plain + `","aud":"` + client + `","exp":253402300799,"typ":"Bearer",
	"realm_access":{"roles":["default-roles-demo","offline_access"]},
	"resource_access":{
		"account":{"roles":["manage-account","view-profile"]},
		"api":{"roles":["reader","writer"],"verified":true},
		"my.client":{"roles":["dotted"]},
		"my":{"client":{"roles":["nested"]}}
	},
	"groups":["/staff"],
	"cognito:groups":["pool"],
	"https://example.com/groups":["url"],
	"https://example":{"com/groups":["never"],"com/roles":["inside"]},
	"app.roles":["whole"], "app":{"roles":["parts"],"more":{"deep":{"list":["d"]}}},
	"single":"one", "number":1, "mixed":["a",1], "nothing":null, "empty":[], "flag":{"roles":true}, "":{"x":["blank"]}
}`

func TestGroupsClaimIsAPath(t *testing.T) {
	for path, want := range map[string][]string{
		"":                                {"/staff"},
		"groups":                          {"/staff"},
		"cognito:groups":                  {"pool"},
		"https://example.com/groups":      {"url"},
		"https://example.com/roles":       {"inside"},
		"realm_access.roles":              {"default-roles-demo", "offline_access"},
		"resource_access.api.roles":       {"reader", "writer"},
		"resource_access.account.roles":   {"manage-account", "view-profile"},
		"resource_access.my.client.roles": {"dotted"},
		"app.roles":                       {"whole"},
		"app.more.deep.list":              {"d"},
		"single":                          {"one"},
		"empty":                           {},
		".x":                              {"blank"},
		// A path to nothing, or to a value that is not a list of strings, names no group.
		"absent": nil, "realm_access": nil, "realm_access.": nil, "realm_access.role": nil, "realm_access.roles.0": nil, "realm_access.roles.": nil,
		"realm_acces.roles": nil, "realm_access..roles": nil, "Realm_Access.roles": nil, "realm_access.ROLES": nil, "resource_access.other.roles": nil,
		"resource_access": nil, "resource_access.api": nil, "resource_access.api.verified": nil, "api.roles": nil, "roles": nil,
		"number": nil, "mixed": nil, "nothing": nil, "flag.roles": nil, "flag.roles.x": nil, "single.x": nil, ".": nil,
	} {
		is := local()
		is.GroupsClaim = path
		v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}})
		raw := rs256(goodHeader, keycloakRoles)
		got, err := v.VerifyToken(t.Context(), raw)
		require.NoError(t, err, path)
		if len(want) == 0 {
			require.Empty(t, got.Groups(), path)
			require.ErrorIs(t, verify(must(v.With(auth.Rules{AnyGroup: []string{"/staff", "pool", "true", "1"}})), raw), auth.ErrGroup, path)
			continue
		}
		require.Equal(t, want, got.Groups(), path)
		require.NoError(t, verify(must(v.With(auth.Rules{AnyGroup: want[:1]})), raw), path)
	}
}

// A nested list may be as long as any other, among many other members.
func TestLongNestedListOfRolesIsRead(t *testing.T) {
	roles := strings.Repeat(`"manage-users",`, 200)
	other := strings.TrimSuffix(strings.ReplaceAll(numbered(50, `"client%d":{"roles":[]}|`), "|", ","), ",")
	is := local()
	is.GroupsClaim = "resource_access.realm-management.roles"
	claims := `{"iss":"` + plain + `","aud":"` + client + `","exp":253402300799,"resource_access":{` + other + `,"realm-management":{"roles":[` + roles + `"last"]}}}`
	got, err := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}}).VerifyToken(t.Context(), rs256(goodHeader, claims))
	require.NoError(t, err)
	require.Len(t, got.Groups(), 201)
	require.True(t, got.InGroup("last"))
}

// follow does what seek does, with encoding/json.
func follow(raw json.RawMessage, path string) (json.RawMessage, bool) {
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil || object == nil {
		return nil, false
	}
	if value, ok := object[path]; ok {
		return value, true
	}
	for dot := strings.LastIndexByte(path, '.'); dot >= 0; dot = strings.LastIndexByte(path[:dot], '.') {
		if value, ok := object[path[:dot]]; ok {
			return follow(value, path[dot+1:])
		}
	}
	return nil, false
}

// FuzzGroupsPath checks that a path leads to the same value as with encoding/json, in every accepted claims set.
func FuzzGroupsPath(f *testing.F) {
	for _, path := range []string{"", ".", "groups", "realm_access.roles", "resource_access.my.client.roles", "https://example.com/groups", "a..b", "x."} {
		f.Add(keycloakRoles, path)
	}
	f.Fuzz(func(t *testing.T, text, path string) {
		if _, err := auth.ParseClaims(text); err != nil {
			return
		}
		got, ok := auth.Seek(text, path)
		want, there := follow(json.RawMessage(text), path)
		require.Equal(t, there, ok)
		require.Equal(t, string(want), got)
	})
}
