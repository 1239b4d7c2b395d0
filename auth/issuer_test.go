package auth_test

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

// Outside Cognito, aud decides for whom a token was issued. client_id and azp count only by option, and only if there
// is no aud. A pattern must match the whole value.
func TestTokenForAnotherAudienceIsRefused(t *testing.T) {
	list, pattern := []string{"a", "b"}, auth.Matching("ABCD|CDEF")
	for _, row := range []struct {
		name    string
		issuer  auth.Issuer
		claims  map[string]any
		allowed bool
	}{
		{"aud", auth.Issuer{Audiences: list}, map[string]any{"aud": "b"}, true},
		{"one of several aud", auth.Issuer{Audiences: list}, map[string]any{"aud": []string{"x", "a"}}, true},
		{"azp is not compared", auth.Issuer{Audiences: list}, map[string]any{"aud": "x", "azp": "a"}, false},
		{"azp is not compared without aud", auth.Issuer{Audiences: list}, map[string]any{"azp": "a"}, false},
		{"client_id without aud", auth.Issuer{Audiences: list}, map[string]any{"client_id": "a"}, false},
		{"client_id with an empty aud", auth.Issuer{Audiences: list}, map[string]any{"aud": []string{}, "client_id": "a"}, false},
		{"client_id with a foreign aud", auth.Issuer{Audiences: list}, map[string]any{"aud": "x", "client_id": "a"}, false},
		{"neither", auth.Issuer{Audiences: list}, nil, false},

		{"option: client_id", auth.Issuer{Audiences: list, AllowClientID: true}, map[string]any{"client_id": "a"}, true},
		{"option: foreign client_id", auth.Issuer{Audiences: list, AllowClientID: true}, map[string]any{"client_id": "x"}, false},
		{"option: client_id with a foreign aud", auth.Issuer{Audiences: list, AllowClientID: true}, map[string]any{"aud": "x", "client_id": "a"}, false},
		{"option: client_id with an empty aud", auth.Issuer{Audiences: list, AllowClientID: true}, map[string]any{"aud": []string{}, "client_id": "a"}, false},
		{"option: foreign client_id with aud", auth.Issuer{Audiences: list, AllowClientID: true}, map[string]any{"aud": "a", "client_id": "x"}, true},
		{"option: azp is no audience", auth.Issuer{Audiences: list, AllowClientID: true}, map[string]any{"azp": "a"}, false},
		{"option: pattern of client_id", auth.Issuer{AudiencePattern: pattern, AllowClientID: true}, map[string]any{"client_id": "CDEF"}, true},
		{"option: pattern of azp", auth.Issuer{AudiencePattern: pattern, AllowClientID: true}, map[string]any{"azp": "ABCD"}, true},
		{"option: pattern of azp with a foreign client_id", auth.Issuer{AudiencePattern: pattern, AllowClientID: true}, map[string]any{"client_id": "x", "azp": "ABCD"}, false},
		{"option: pattern of azp with a foreign aud", auth.Issuer{AudiencePattern: pattern, AllowClientID: true}, map[string]any{"aud": "x", "azp": "ABCD"}, false},
		{"option: neither", auth.Issuer{Audiences: list, AudiencePattern: auth.Matching(".*"), AllowClientID: true}, nil, false},

		{"anybody", auth.Issuer{AllowAnyAudience: true}, map[string]any{"aud": "x"}, true},
		{"anybody without aud", auth.Issuer{AllowAnyAudience: true}, nil, true},

		{"pattern", auth.Issuer{AudiencePattern: pattern}, map[string]any{"aud": "CDEF"}, true},
		{"pattern of azp with a foreign aud", auth.Issuer{AudiencePattern: pattern}, map[string]any{"aud": "x", "azp": "ABCD"}, false},
		{"pattern of azp without aud", auth.Issuer{AudiencePattern: pattern}, map[string]any{"azp": "ABCD"}, false},
		{"pattern of client_id without aud", auth.Issuer{AudiencePattern: pattern}, map[string]any{"client_id": "ABCD"}, false},
		{"pattern whose first alternative is shorter", auth.Issuer{AudiencePattern: auth.Matching("AB|ABCD")}, map[string]any{"aud": "ABCD"}, true},
		{"pattern in the middle", auth.Issuer{AudiencePattern: pattern}, map[string]any{"aud": "xABCDx"}, false},
		{"pattern before a line break", auth.Issuer{AudiencePattern: auth.Matching("ABCD")}, map[string]any{"aud": "ABCD\n"}, false},
		{"pattern that matches nothing much", auth.Issuer{AudiencePattern: auth.Matching(".*")}, map[string]any{"aud": ""}, false},
		// Keycloak's default access token has the audience account, and names the client in azp.
		{"Keycloak", auth.Issuer{Audiences: []string{"myclient"}}, map[string]any{"aud": "account", "azp": "myclient"}, false},
		{"Keycloak with an audience mapper", auth.Issuer{Audiences: []string{"api"}}, map[string]any{"aud": []string{"api", "account"}, "azp": "myclient"}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			is := local()
			is.Audiences, is.AudiencePattern = row.issuer.Audiences, row.issuer.AudiencePattern
			is.AllowAnyAudience, is.AllowClientID = row.issuer.AllowAnyAudience, row.issuer.AllowClientID
			claims := map[string]any{"aud": nil}
			maps.Copy(claims, row.claims)
			err := verify(newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}}), rs256(goodHeader, goodClaims(claims)))
			if row.allowed {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, auth.ErrOtherAudience)
			}
		})
	}
	is := local()
	is.Audiences, is.AllowClientID = nil, true
	_, err := auth.New(auth.Config{Issuers: []auth.Issuer{is}})
	require.ErrorContains(t, err, "no audience is accepted", "the option alone names nobody")
}

// A pool's ID must begin with the given Region. Only known partitions are accepted; each has its own domain.
func TestCognitoPoolMustFitItsRegion(t *testing.T) {
	for _, row := range []struct{ region, domain string }{
		{"eu-west-1", "amazonaws.com"},
		{"ap-southeast-7", "amazonaws.com"},
		{"mx-central-1", "amazonaws.com"},
		{"us-gov-west-1", "amazonaws.com"},
		{"cn-north-1", "amazonaws.com.cn"},
		{"cn-northwest-1", "amazonaws.com.cn"},
		{"eusc-de-east-1", "amazonaws.eu"},
		{"us-iso-east-1", "c2s.ic.gov"},
		{"us-isob-east-1", "sc2s.sgov.gov"},
		{"eu-isoe-west-1", "cloud.adc-e.uk"},
		{"us-isof-south-1", "csp.hci.ic.gov"},
	} {
		pool := row.region + "_aQYCzHwCz"
		is := auth.Cognito(row.region, pool, client)
		_, err := auth.New(auth.Config{Issuers: []auth.Issuer{is}})
		require.NoError(t, err, row.region)
		require.Equal(t, "https://cognito-idp."+row.region+"."+row.domain+"/"+pool, is.URL)
		require.Equal(t, []string{"https://issuer-cognito-idp." + row.region + "." + row.domain + "/" + pool}, is.Aliases)
		require.Equal(t, is.URL+"/.well-known/jwks.json", is.JWKS)
	}
	for _, row := range []struct{ region, pool, want string }{
		{"eu-west-2", "eu-west-1_aQYCzHwCz", "is not a user pool"},
		{"eu-west-1", "eu-west-1", "is not a user pool"},
		{"", "_x", "is not a user pool"},
		{"eu-west-1", "eu-west-1_a/../b", "is not a user pool"},
		{"evil.example/", "evil.example/_x", "is not a user pool"},
		{"xx-east-1", "xx-east-1_x", "no partition"},
		{"us-isoz-east-1", "us-isoz-east-1_x", "no partition"},
		{"us-isoe-east-1", "us-isoe-east-1_x", "no partition"}, // the partition isoe is in Europe, isof in America
		{"eu-isof-east-1", "eu-isof-east-1_x", "no partition"},
		{"eu-gov-west-1", "eu-gov-west-1_x", "no partition"},
		{"cn-gov-west-1", "cn-gov-west-1_x", "no partition"},
		{"eusc-east-1", "eusc-east-1_x", "no partition"},
	} {
		_, err := auth.New(auth.Config{Issuers: []auth.Issuer{auth.Cognito(row.region, row.pool, client)}})
		require.ErrorContains(t, err, row.want, row.pool)
	}
}

// The issuer of OIDC consists of scheme, host, port and path. New refuses any other, before the first fetch.
func TestOIDCIssuerMustBeAPlainURL(t *testing.T) {
	for _, row := range []struct {
		url  string
		http bool // AllowHTTP
		good bool
	}{
		{"https://x.example", false, true},
		{"https://x.example/", false, true},
		{"https://x.example:8443/realms/a", false, true},
		{"http://localhost:8080", true, true},
		{"https://x", false, true},
		{"http://localhost:8080", false, false},
		{"https://x?q", false, false},
		{"https://x?", false, false},
		{"https://x/p?q=1", false, false},
		{"https://x#f", false, false},
		{"https://x#", false, false},
		{"https://user@x", false, false},
		{"https://user:secret@x", false, false},
		{"https://@x", false, false},
		{"https://", false, false},
		{"https://:443", false, false},
		{"https:x", false, false},
		{"https:///p", false, false},
		{"//x", false, false},
		{"x.example", false, false},
		{"ftp://x", true, false},
		{"https://x y", false, false},
		{"https://x/a b", false, false},
		{"https://x\n", false, false},
		{"https://x/.well-known/openid-configuration", false, false},
		{"https://x/realms/a/.well-known/openid-configuration/", false, false},
		{"https://x/.well-known", false, true},
		{"", false, false},
	} {
		for _, keys := range [][]byte{nil, local().Keys} {
			is := auth.OIDC(row.url, client)
			is.Keys = keys
			_, err := auth.New(auth.Config{Issuers: []auth.Issuer{is}, AllowHTTP: row.http})
			require.Equal(t, row.good, err == nil, "%q: %v", row.url, err)
		}
	}
	// The URL of a key set may have a query, as in Azure AD B2C, but no fragment, since it is fetched.
	for url, good := range map[string]bool{"https://x/keys?p=b2c": true, "https://x/keys#1": false, "http://x/keys": false} {
		is := auth.OIDC("https://x.example", client)
		is.JWKS = url
		_, err := auth.New(auth.Config{Issuers: []auth.Issuer{is}})
		require.Equal(t, good, err == nil, url)
	}
	// If the keys are fixed, the issuer is only a name. Google's older tokens and Kubernetes have such names.
	is := local()
	is.URL = "kubernetes/serviceaccount"
	require.NoError(t, verify(newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}}), rs256(goodHeader, goodClaims(map[string]any{"iss": is.URL}))))
}
