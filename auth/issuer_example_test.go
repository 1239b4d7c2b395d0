package auth_test

import (
	"context"
	"fmt"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
)

// In the tokens of a Keycloak realm the roles are nested claims. An audience mapper in Keycloak must put the API into
// aud. Keycloak marks its tokens with the claim typ, so a rule can demand access tokens.
func ExampleIssuer() {
	realm, _ := authtest.New("https://sso.example/realms/demo")
	is := auth.OIDC(realm.URL(), "orders")
	is.Keys = realm.JWKS() // a program leaves Keys empty, so the keys are fetched
	is.GroupsClaim = "resource_access.orders.roles"
	v, err := auth.New(auth.Config{
		Issuers: []auth.Issuer{is},
		Rules:   auth.Rules{TokenUse: "access", AnyGroup: []string{"reader"}},
	})
	if err != nil {
		panic(err)
	}
	claims := map[string]any{
		"sub": "u-17", "aud": []string{"orders", "account"}, "azp": "web", "typ": "Bearer",
		"resource_access": map[string]any{"orders": map[string]any{"roles": []string{"reader", "writer"}}},
	}
	for _, typ := range []string{"Bearer", "ID"} {
		claims["typ"] = typ
		token, _ := realm.Sign("RS256", claims)
		t, err := v.VerifyToken(context.Background(), token)
		if err != nil {
			fmt.Println(typ, err)
			continue
		}
		fmt.Println(typ, t.Use, t.Groups())
	}
	// Output:
	// Bearer access [reader writer]
	// ID auth: token use is not accepted: it is "id"
}

// Customers use an application from their own Microsoft Entra tenants. There is one issuer, and the ID of a user
// contains the tenant. An empty list of tenants would allow none.
func ExampleIssuer_tenants() {
	const tenant, stranger = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490", "82229342-1101-4ab6-817b-70c0747630f3"
	entra, _ := authtest.New("https://login.microsoftonline.com/common/v2.0")
	is := auth.OIDC("https://login.microsoftonline.com/{tenantid}/v2.0", "api")
	is.Keys = entra.JWKS() // a program leaves Keys empty, so the keys are fetched
	is.Tenants = []string{tenant}
	v, err := auth.New(auth.Config{Issuers: []auth.Issuer{is}})
	if err != nil {
		panic(err)
	}
	for _, tid := range []string{tenant, stranger} {
		token, _ := entra.Sign("RS256", map[string]any{
			"iss": "https://login.microsoftonline.com/" + tid + "/v2.0", "tid": tid, "aud": "api", "sub": "AAAAAA",
		})
		t, err := v.VerifyToken(context.Background(), token)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(t.ID)
	}
	// Output:
	// https://login.microsoftonline.com/8eaef023-2b34-4da1-9baa-8bc8c9d6a490/v2.0 AAAAAA
	// auth: issuer is not accepted: tenant "82229342-1101-4ab6-817b-70c0747630f3" is not among Tenants, nor does AllowTenant accept it
}

// A SPIFFE trust domain is named by its SPIFFE ID. Its keys come from its bundle.
func ExampleIssuer_spiffe() {
	_, err := auth.New(auth.Config{Issuers: []auth.Issuer{{
		URL: "spiffe://example.org", JWKS: "https://bundle.example.org/", Audiences: []string{"reports"},
	}}})
	fmt.Println(err)
	// Output:
	// <nil>
}
