package auth

import "slices"

// Issuer describes an issuer whose tokens are accepted. A token is verified by the keys of the issuer that it names,
// never by another's. [Cognito], [OIDC], [AWSIdentity] and [ALB] make one. The caller may change its fields before it
// goes into a [Config].
type Issuer struct {
	// URL is the iss claim, compared byte for byte (RFC 7519 section 4.1.1). It is required.
	//
	// The URL may be a SPIFFE trust domain, such as spiffe://example.org. It then accepts JWT-SVIDs: tokens without iss
	// whose sub is the SPIFFE ID of one of its workloads. Its keys are those of a bundle whose use is jwt-svid. If SPIRE
	// is configured to write an iss (jwt_issuer), put that into Aliases.
	//
	// The URL may contain {tenantid}, as https://login.microsoftonline.com/{tenantid}/v2.0 does, which is Microsoft
	// Entra's issuer for applications of several tenants. {tenantid} stands for the token's tid. That must be a GUID in
	// lower case, as Entra writes it. Each tenant is then an issuer of its own in [Token].ID. Entra's endpoints named
	// common, organizations and consumers are not issuers: no token names them, and [New] refuses to discover their keys.
	// If the application manifest of an API does not set requestedAccessTokenVersion to 2, the API gets access tokens of
	// version 1.0. Their iss is https://sts.windows.net/{tenantid}/; put that into Aliases.
	URL string
	// Aliases are further iss values of the same issuer, whose tokens are signed by the same keys. A user has the same ID
	// under all of them.
	Aliases []string

	// Tenants are the GUIDs of the tenants that are accepted if URL contains {tenantid}. An empty list accepts none.
	Tenants []string
	// AllowTenant accepts further tenants if URL contains {tenantid}. It is called on every request, with the tenant of a
	// verified token. Nil accepts none.
	AllowTenant func(tenant string) bool

	// JWKS is the URL of the key set; for a trust domain, of its bundle endpoint. If it is empty, the key set is at the
	// jwks_uri of the discovery document, which is at URL followed by /.well-known/openid-configuration (OpenID Connect
	// Discovery 1.0 section 4). There, common replaces {tenantid}.
	JWKS string
	// Keys is a key set as a JSON document. If it is set, nothing is ever fetched.
	Keys []byte

	// Algorithms are those that the issuer may sign with. An empty list means all of RS256, RS384, RS512, PS256, PS384,
	// PS512, ES256, ES384, ES512 and EdDSA; each key fits only few of them. Ed25519 is another name of EdDSA (RFC 9864).
	Algorithms []string
	// AllowLongRSA accepts RSA keys of up to 8192 bits. Without it, keys of more than 4096 bits are left out of the key
	// set. A forged signature of 8192 bits costs the server about 33 times as much as one of 2048 bits.
	AllowLongRSA bool

	// Audiences are the accepted values of aud. One of them must be in the token's aud; a token without aud is refused
	// (RFC 8725 section 3.9). For tokens of [Cognito] see the table there. Audiences are never compared with azp:
	// Keycloak's default access tokens are for the audience account and name their client only in azp, so they need an
	// audience mapper in Keycloak.
	Audiences []string
	// AudiencePattern accepts further audiences, such as Matching("loyalty-.*"). The zero value accepts none.
	AudiencePattern Pattern
	// AllowClientID accepts tokens without aud by their client, as an HTTP API of API Gateway does: client_id is compared
	// with Audiences and AudiencePattern. If client_id is missing too, azp is compared with AudiencePattern, as in
	// AppSync. If aud is present it decides alone.
	//
	// Such a token says who requested it, not for which service. Another service of the same client can therefore pass it
	// on to this one. RFC 9068 section 4 refuses such tokens of type at+jwt, but issuers write them, and the option
	// accepts them too. It has no effect on Cognito.
	AllowClientID bool
	// AllowAnyAudience accepts tokens whatever their audience is. Set it, Audiences or AudiencePattern.
	AllowAnyAudience bool

	// GroupsClaim names the claim that holds the user's groups, a string or a list of strings. Empty means groups. A dot
	// leads into an object: realm_access.roles and resource_access.CLIENT.roles are Keycloak's roles. A name that itself
	// contains dots is written as it is (https://example.com/groups, resource_access.my.client.roles). If several names
	// of an object fit the path, the longest is taken.
	GroupsClaim string
	// DenyByDefault refuses tokens of this issuer on routes whose [Rules] name no group. This is AppSync's default action
	// DENY.
	DenyByDefault bool

	kind   kind
	signer string // of kindALB: the load balancer's ARN
	err    error  // of a preset; New reports it
}

// kind is what a preset knows of its issuer in addition to the exported fields.
type kind uint8

const (
	kindPlain   kind = iota
	kindOIDC         // the URL must be that of an OpenID Connect provider
	kindCognito      // token_use is required and decides which claim names the client
	kindAWS          // as kindOIDC; the token names an IAM principal
	kindALB          // the token's header holds iss, client and exp
	kindSPIFFE       // the URL is a trust domain
)

// OIDC is an OpenID Connect provider whose key set is found by discovery. The token must be issued for one of
// audiences. [New] refuses an issuer that is not an https URL with a host, or that has a query, a fragment or user
// information (OpenID Connect Core 1.0 section 2: scheme, host, port and path only).
//
// OIDC guesses nothing from the URL. For a user pool, use [Cognito]. With OIDC a pool's access tokens are refused,
// since they have no aud, and a user has no groups unless GroupsClaim is "cognito:groups", so AnyGroup refuses.
func OIDC(issuer string, audiences ...string) Issuer {
	return Issuer{URL: issuer, Audiences: slices.Clone(audiences), kind: kindOIDC}
}
