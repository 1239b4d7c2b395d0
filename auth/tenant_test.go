package auth_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

const (
	entraURL = "https://login.microsoftonline.com/{tenantid}/v2.0"
	tenantA  = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490"
	tenantB  = "82229342-1101-4ab6-817b-70c0747630f3"
	personal = "9188040d-6c67-4c5b-b112-36a304b66dad" // Microsoft accounts
	entraApp = "535fb089-9ff3-47b6-9bfb-4f1264799865"
)

func entraName(tenant string) string { return strings.ReplaceAll(entraURL, "{tenantid}", tenant) }

// entraKeys has one RSA key with three kids. The issuer members are like those of Entra's common key set.
func entraKeys() []byte {
	var list []any
	for kid, issuer := range map[string]any{
		"jS1Xo1OWDj_52vbwGNgvQO2VzMc": entraURL,
		"yreX2PsLi-qkbR8QDOmB_ySxp8Q": entraName(personal),
		"2ZQpJ3UpbjAYXYGaXEJl8lV0TOI": nil,
	} {
		key := map[string]any{}
		if err := json.Unmarshal(must(json.Marshal(jwk(rsaPrivate().Public(), kid, "").Marshal())), &key); err != nil {
			panic(err)
		}
		key["x5t"] = kid
		if issuer != nil {
			key["issuer"] = issuer
		}
		list = append(list, key)
	}
	return must(json.Marshal(map[string]any{"keys": list}))
}

// entraToken is a version 2.0 access token, as documented in the access token claims reference.
func entraToken(kid string, more map[string]any) string {
	claims := map[string]any{
		"aud": entraApp, "iss": entraName(tenantA), "iat": 1_700_000_000, "nbf": 1_700_000_000,
		"aio": "AXQAi/8IAAAA", "azp": "6e74172b-be56-4843-9ff4-e66a39bb12e3", "azpacr": "0", "name": "Abe Lincoln",
		"oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474", "preferred_username": "abeli@microsoft.com", "rh": "I",
		"scp": "access_as_user", "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ", "tid": tenantA, "uti": "fqiBqXLPj0eQa82S-IYFAA", "ver": "2.0",
	}
	maps.Copy(claims, more)
	return rs256(`{"typ":"JWT","alg":"RS256","kid":"`+kid+`"}`, goodClaims(claims))
}

// An issuer with many tenants: iss must be the template with the token's tid in it, the tenant must be allowed, and the
// key must be one for this tenant.
func TestOnlyAllowedTenantsAreAccepted(t *testing.T) {
	const shared, msa, free = "jS1Xo1OWDj_52vbwGNgvQO2VzMc", "yreX2PsLi-qkbR8QDOmB_ySxp8Q", "2ZQpJ3UpbjAYXYGaXEJl8lV0TOI"
	of := func(tenant string) map[string]any { return map[string]any{"iss": entraName(tenant), "tid": tenant} }
	upper := strings.ToUpper(tenantA)
	list := []string{tenantA, strings.ToUpper(tenantB)}
	for _, row := range []struct {
		name    string
		tenants []string
		allow   func(string) bool
		raw     string
		want    error
	}{
		{"a tenant of the list", list, nil, entraToken(shared, nil), nil},
		{"another of the list", list, nil, entraToken(shared, of(tenantB)), nil},
		{"a key without issuer", list, nil, entraToken(free, nil), nil},
		{"a tenant that is not on the list", list, nil, entraToken(shared, of(personal)), auth.ErrIssuer},
		{"an empty list", []string{}, nil, entraToken(shared, nil), auth.ErrIssuer},
		{"no list", nil, nil, entraToken(shared, nil), auth.ErrIssuer},
		{"a func allows", nil, func(tenant string) bool { return tenant == tenantA }, entraToken(shared, nil), nil},
		{"a func refuses", nil, func(tenant string) bool { return tenant == tenantA }, entraToken(shared, of(tenantB)), auth.ErrIssuer},
		{"a func and a list", list, func(string) bool { return false }, entraToken(shared, nil), nil},
		{"the key of one tenant for that tenant", []string{personal}, nil, entraToken(msa, of(personal)), nil},
		{"the key of one tenant for another", list, nil, entraToken(msa, nil), auth.ErrKey},
		{"iss of another tenant than tid", list, nil, entraToken(shared, map[string]any{"iss": entraName(tenantB)}), auth.ErrIssuer},
		{"no tid", list, nil, entraToken(shared, map[string]any{"tid": nil}), auth.ErrIssuer},
		{"a tid that is not a string", list, nil, entraToken(shared, map[string]any{"tid": 1}), auth.ErrIssuer},
		{"a tid that is no GUID", nil, func(string) bool { return true }, entraToken(shared, of("common")), auth.ErrIssuer},
		{"a tid that is a path", nil, func(string) bool { return true }, entraToken(shared, of("x/../"+tenantA)), auth.ErrIssuer},
		{"an empty tid", nil, func(string) bool { return true }, entraToken(shared, of("")), auth.ErrIssuer},
		{"a GUID in upper case", []string{tenantA}, nil, entraToken(shared, of(upper)), auth.ErrIssuer},
		{"the template itself", nil, func(string) bool { return true }, entraToken(shared, of("{tenantid}")), auth.ErrIssuer},
		{"version 1.0 of the tenant", list, nil, entraToken(shared, map[string]any{"iss": "https://sts.windows.net/" + tenantA + "/"}), auth.ErrIssuer},
		{"another host", list, nil, entraToken(shared, map[string]any{"iss": "https://login.example/" + tenantA + "/v2.0"}), auth.ErrIssuer},
		{"more after it", list, nil, entraToken(shared, map[string]any{"iss": entraName(tenantA) + "/"}), auth.ErrIssuer},
		{"another audience", list, nil, entraToken(shared, map[string]any{"aud": "x"}), auth.ErrOtherAudience},
	} {
		t.Run(row.name, func(t *testing.T) {
			is := auth.OIDC(entraURL, entraApp)
			is.Keys, is.Tenants, is.AllowTenant = entraKeys(), row.tenants, row.allow
			v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}})
			for range 2 { // with an empty cache, and with a good token in it
				require.ErrorIs(t, verify(v, row.raw), row.want)
			}
		})
	}
}

// The same subject of two tenants is two users. The two versions of a tenant's issuer are one issuer.
func TestTenantsHaveDifferentIDs(t *testing.T) {
	is := auth.OIDC(entraURL, entraApp)
	is.Aliases = []string{"https://sts.windows.net/{tenantid}/"}
	is.Keys, is.Tenants = entraKeys(), []string{tenantA, tenantB}
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}})
	ids := map[string]string{}
	for name, claims := range map[string]map[string]any{
		"a": {"sub": "s"}, "b": {"sub": "s", "tid": tenantB, "iss": entraName(tenantB)},
		"old a": {"sub": "s", "iss": "https://sts.windows.net/" + tenantA + "/", "ver": "1.0"},
	} {
		ids[name] = must(v.VerifyToken(t.Context(), entraToken("jS1Xo1OWDj_52vbwGNgvQO2VzMc", claims))).ID
	}
	require.Equal(t, map[string]string{"a": entraName(tenantA) + " s", "b": entraName(tenantB) + " s", "old a": entraName(tenantA) + " s"}, ids)
}

// Entra's keys name version 2.0 of their issuer. They fit whichever version is the URL and whichever the alias.
func TestBothVersionsOfATenantAreOneIssuer(t *testing.T) {
	const v1 = "https://sts.windows.net/{tenantid}/"
	for url, alias := range map[string]string{entraURL: v1, v1: entraURL} {
		is := auth.OIDC(url, entraApp)
		is.Aliases, is.Keys, is.Tenants = []string{alias}, entraKeys(), []string{tenantA, personal}
		v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}})
		for _, name := range []string{entraURL, v1} {
			iss := map[string]any{"iss": strings.ReplaceAll(name, "{tenantid}", tenantA)}
			got, err := v.VerifyToken(t.Context(), entraToken("jS1Xo1OWDj_52vbwGNgvQO2VzMc", iss))
			require.NoError(t, err, "%s of %s", name, url)
			require.Equal(t, strings.ReplaceAll(url, "{tenantid}", tenantA)+" "+got.Subject, got.ID)
			require.ErrorIs(t, verify(v, entraToken("yreX2PsLi-qkbR8QDOmB_ySxp8Q", iss)), auth.ErrKey, "the key of another tenant")
		}
	}
}

// A tenant that is no longer allowed is refused at once, cached tokens included.
func TestRemovedTenantIsRefusedAtOnce(t *testing.T) {
	var allowed atomic.Bool
	allowed.Store(true)
	is := auth.OIDC(entraURL, entraApp)
	is.Keys, is.AllowTenant = entraKeys(), func(string) bool { return allowed.Load() }
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}})
	raw := entraToken("jS1Xo1OWDj_52vbwGNgvQO2VzMc", nil)
	require.NoError(t, verify(v, raw))
	allowed.Store(false)
	err := verify(v, raw)
	require.ErrorIs(t, err, auth.ErrIssuer)
	require.Equal(t, tenantA, must(auth.Claims[struct{ Tid string }](*err.(*auth.Error).Token)).Tid, "a log can name the tenant")
}

func TestTenantSettingsAreChecked(t *testing.T) {
	for _, row := range []struct {
		url     string
		aliases []string
		tenants []string
		want    string
	}{
		{entraURL, nil, []string{tenantA}, ""},
		{entraURL, nil, nil, ""},
		{entraURL, []string{"https://sts.windows.net/{tenantid}/"}, nil, ""},
		{entraURL, nil, []string{"contoso.onmicrosoft.com"}, "no GUID"},
		{entraURL, nil, []string{""}, "no GUID"},
		{entraURL, nil, []string{"{" + tenantA + "}"}, "no GUID"},
		{entraURL, []string{"https://sts.windows.net/x/"}, nil, "must stand once"},
		{"https://x.example", []string{entraURL}, nil, "must stand once"},
		{"https://x.example/{tenantid}/{tenantid}", nil, nil, "must stand once"},
		{"https://login.microsoftonline.com/{tenantId}/v2.0", nil, nil, "must stand once"},
		{"https://x.example", nil, []string{tenantA}, "holds no {tenantid}"},
		{"https://x.example", []string{"https://y.example/{tenantId}/"}, nil, "must stand once"},
		{"https://x.example", []string{"https://y.example/{tenantid}/{tenantid}/"}, nil, "must stand once"},
		{"https://login.microsoftonline.com/common/v2.0", nil, nil, "no token's issuer is"},
		{"https://login.microsoftonline.com/organizations/v2.0", nil, []string{tenantA}, "holds no {tenantid}"},
		{"https://login.microsoftonline.com/organizations/v2.0", nil, nil, "write {tenantid}"},
		{"https://login.microsoftonline.us/consumers/v2.0", nil, nil, "no token's issuer is"},
		{"https://sts.windows.net/common/", nil, nil, "no token's issuer is"},
		{"https://login.partner.microsoftonline.cn/common", nil, nil, "no token's issuer is"},
		{"https://login.microsoftonline.com/commons/v2.0", nil, nil, ""},
		{entraName(tenantA), []string{"https://sts.windows.net/" + tenantA + "/"}, nil, ""},
	} {
		is := auth.OIDC(row.url, entraApp)
		is.Aliases, is.Tenants = row.aliases, row.tenants
		_, err := auth.New(auth.Config{Issuers: []auth.Issuer{is}})
		if row.want == "" {
			require.NoError(t, err, row.url)
		} else {
			require.ErrorContains(t, err, row.want, row.url)
		}
	}
}

// entraServer answers like login.microsoftonline.com.
type entraServer struct{ t *testing.T }

func (s entraServer) RoundTrip(r *http.Request) (*http.Response, error) {
	body := map[string]string{
		"https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration": `{"issuer":"` + entraURL + `","jwks_uri":"https://login.microsoftonline.com/common/discovery/v2.0/keys"}`,
		"https://login.microsoftonline.com/common/discovery/v2.0/keys":                   string(entraKeys()),
	}[r.URL.String()]
	if body == "" {
		s.t.Errorf("fetched %s", r.URL)
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}}, nil
}

// The discovery document for all tenants is at the path common, and its issuer is the template.
func TestTenantDiscoveryIsAtCommon(t *testing.T) {
	is := auth.OIDC(entraURL, entraApp)
	is.Tenants = []string{tenantA}
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}, Transport: entraServer{t}})
	require.NoError(t, v.Prefetch(t.Context()))
	require.NoError(t, verify(v, entraToken("jS1Xo1OWDj_52vbwGNgvQO2VzMc", nil)))
}
