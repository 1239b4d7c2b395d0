package auth

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Issuer is one party whose tokens are accepted, with its own keys: a token is verified by the keys of the issuer
// that it names, never by another's. [Cognito] and [OIDC] make one; its fields may be changed before it goes into a
// [Config].
type Issuer struct {
	// URL is the iss claim, compared letter for letter (RFC 7519 section 4.1.1). Required.
	//
	// A SPIFFE trust domain, as spiffe://example.org, accepts JWT-SVIDs: tokens without iss whose sub is the SPIFFE ID of
	// one of its workloads. Its keys are those of a bundle whose use is jwt-svid. Where SPIRE writes an iss (jwt_issuer),
	// that is one of Aliases.
	//
	// Where URL holds {tenantid}, as https://login.microsoftonline.com/{tenantid}/v2.0 does, Microsoft Entra's issuer for
	// applications of several tenants, that stands for the token's tid, which must be a GUID, in small letters as Entra
	// writes it. Each tenant is then an issuer of its own in [Token.ID]. The common, organizations and consumers of
	// Entra's endpoints are no issuers: no token names them, and [New] refuses to discover their keys. An API whose
	// application manifest does not set requestedAccessTokenVersion to 2 gets access tokens of version 1.0, whose iss is
	// https://sts.windows.net/{tenantid}/: put that into Aliases.
	URL string
	// Aliases are further iss values of this very issuer, signed by the same keys. A user keeps one ID under all of
	// them.
	Aliases []string

	// Tenants are the tenants accepted where URL holds {tenantid}: their GUIDs. An empty list allows none.
	Tenants []string
	// AllowTenant accepts further tenants where URL holds {tenantid}. It is asked on every request, with a tenant that
	// was verified. Nil allows none.
	AllowTenant func(tenant string) bool

	// JWKS is where the key set is fetched; a trust domain's is its bundle endpoint. Empty means: the jwks_uri of the
	// discovery document at URL followed by /.well-known/openid-configuration (OpenID Connect Discovery 1.0 section 4), in
	// which common stands for {tenantid}.
	JWKS string
	// Keys is a key set as a JSON document. If it is set, nothing is ever fetched.
	Keys []byte

	// Algorithms that the issuer may sign with. Empty means all of RS256, RS384, RS512, PS256, PS384, PS512, ES256,
	// ES384, ES512 and EdDSA; a key fits few of them anyway. Ed25519 is another name of EdDSA (RFC 9864).
	Algorithms []string
	// AllowLongRSA accepts RSA keys of up to 8192 bits. Without it those of more than 4096 bits are left out of the key
	// set: a forged signature of 8192 bits costs the server about 33 times one of 2048 bits.
	AllowLongRSA bool

	// Audiences are the audiences that the token may be issued for; one of them must be in aud, and a token without
	// aud is refused (RFC 8725 section 3.9). Tokens of [Cognito] are compared as its table says. Audiences are never
	// compared with azp: Keycloak's default access tokens, which are for the audience account and name their client
	// in azp alone, need an audience mapper in Keycloak.
	Audiences []string
	// AudiencePattern is a regular expression that accepts further audiences if it matches them whole. Empty matches
	// none.
	AudiencePattern string
	// AllowClientID lets the client stand for an audience that is not there: a token without aud is compared by its
	// client_id, as an HTTP API of API Gateway does; where it has none either, AudiencePattern is compared with azp,
	// as in AppSync. An aud that is there still decides alone. Such a token says who asked for it, not for which
	// service, so another service of the same client may pass it on to this one. RFC 9068 section 4 refuses such tokens
	// of type at+jwt; issuers write them nevertheless, and the option holds for them too. It has no meaning with Cognito.
	AllowClientID bool
	// AllowAnyAudience accepts tokens issued for anybody. It, Audiences or AudiencePattern must be set.
	AllowAnyAudience bool

	// GroupsClaim names the claim that holds the user's groups: a text or a list of texts. Empty means groups. Dots
	// lead into objects: realm_access.roles and resource_access.CLIENT.roles are Keycloak's roles. A name that holds
	// dots itself is written as it is (https://example.com/groups, resource_access.my.client.roles): in each object
	// the longest name counts that the path begins with.
	GroupsClaim string
	// DenyByDefault refuses tokens of this issuer on routes whose [Rules] name no group: AppSync's default action
	// DENY.
	DenyByDefault bool

	kind   kind
	signer string // of kindALB: the load balancer's ARN
	err    error
}

// kind is what a preset knows of its issuer beyond the exported fields.
type kind uint8

const (
	kindPlain   kind = iota
	kindOIDC         // the URL must be that of an OpenID Connect provider
	kindCognito      // token_use is required and decides which claim names the client
	kindAWS          // as kindOIDC; the token names an IAM principal
	kindALB          // the header of its tokens says more than that of a JWT
	kindSPIFFE       // the URL is a trust domain
)

// OIDC is an OpenID Connect provider whose key set is found by discovery. The token must be issued for one of
// audiences. [New] refuses an issuer that is no https URL with a host, or that has a query, a fragment or user
// information (OpenID Connect Core 1.0 section 2: scheme, host, port and path alone).
func OIDC(issuer string, audiences ...string) Issuer {
	return Issuer{URL: issuer, Audiences: slices.Clone(audiences), kind: kindOIDC}
}

// party is an Issuer made ready.
type party struct {
	Issuer
	pattern   *regexp.Regexp
	templates []template    // of URL and Aliases, for many tenants
	keys      *keySet       // nil: see balancer
	balancer  *balancerKeys // of kindALB, unless Keys is set; else nil
}

// newParty checks an issuer and copies it.
func newParty(is Issuer, f *fetcher, c Config) (*party, error) {
	p := &party{Issuer: is}
	p.Aliases, p.Keys = slices.Clone(is.Aliases), slices.Clone(is.Keys)
	p.Algorithms, p.Audiences = slices.Clone(is.Algorithms), slices.Clone(is.Audiences)
	errs := []error{is.err, p.checkTrustDomain(), p.checkNames(), p.checkTenants(), p.checkAlgorithms(), p.checkAudiences()}
	source, err := p.source(f, c)
	if (p.kind == kindOIDC || p.kind == kindAWS) && err == nil {
		err = checkProvider(p.URL, c.AllowHTTP) // also where the keys come from elsewhere
	}
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("issuer %q: %w", is.URL, err)
	}
	if p.kind == kindALB && p.Keys == nil {
		p.balancer = &balancerKeys{sets: map[string]*keySet{}, open: func(kid string) (*keySet, error) {
			return newKeySet(f.balancerKey(p.JWKS, kid, p.keyRules()), c)
		}}
		return p, nil
	}
	if p.keys, err = newKeySet(source, c); err != nil {
		return nil, err
	}
	if p.Keys != nil {
		keys, err := parseKeySet(p.Keys, p.keyRules())
		if err != nil {
			return nil, fmt.Errorf("issuer %q: %w", is.URL, err)
		}
		p.keys.fix(keys)
	}
	return p, nil
}

func (p *party) checkNames() error {
	for _, name := range append([]string{p.URL}, p.Aliases...) {
		// A name without space keeps the parts of Token.ID apart.
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' }) {
			return fmt.Errorf("issuer name %q is empty or holds a space", name)
		}
	}
	return nil
}

func (p *party) checkAlgorithms() error {
	for _, name := range p.Algorithms {
		if _, ok := algorithms[name]; !ok {
			return fmt.Errorf("algorithm %q is not an asymmetric one of RFC 7518", name)
		}
	}
	return nil
}

func (p *party) checkAudiences() (err error) {
	if len(p.Audiences) == 0 && p.AudiencePattern == "" && !p.AllowAnyAudience {
		return errors.New("no audience is accepted: set Audiences, AudiencePattern or AllowAnyAudience")
	}
	if slices.Contains(p.Audiences, "") {
		return errors.New("an audience is empty")
	}
	if p.AudiencePattern == "" {
		return nil
	}
	if _, err = regexp.Compile(p.AudiencePattern); err != nil { // else "a)|(b" would escape what is put around it
		return fmt.Errorf("AudiencePattern: %w", err)
	}
	p.pattern, err = regexp.Compile(`\A(?:` + p.AudiencePattern + `)\z`)
	return err
}

// source is where the keys come from: nil if they are given.
func (p *party) source(f *fetcher, c Config) (source, error) {
	if p.Keys != nil {
		return nil, nil
	}
	if p.JWKS != "" {
		return f.keySet(p.JWKS, p.keyRules()), checkURL(p.JWKS, c.AllowHTTP)
	}
	if everybody.MatchString(p.URL) {
		return nil, fmt.Errorf("no token's issuer is %s: write %s for the tenant, and name those allowed", p.URL, tenantMark)
	}
	return f.discovered(p.URL, p.keyRules()), checkProvider(p.URL, c.AllowHTTP)
}

// checkURL holds URLs of documents to https (RFC 8414 section 6.1, OpenID Connect Discovery 1.0 section 7.2).
func checkURL(text string, allowHTTP bool) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return err
	case u.Hostname() == "" || u.User != nil || u.Scheme != "https" && !(allowHTTP && u.Scheme == "http"):
		return fmt.Errorf("%q is not an https URL", text)
	case strings.Contains(text, "#"):
		return fmt.Errorf("%q has a fragment", text)
	}
	return nil
}

// checkProvider holds the URL of an OpenID provider to what its discovery document is found by: no query either
// (OpenID Connect Discovery 1.0 section 2: scheme, host, port and path components, and no query or fragment).
func checkProvider(text string, allowHTTP bool) error {
	switch {
	case strings.Contains(text, "?"):
		return fmt.Errorf("issuer %q has a query", text)
	case strings.HasSuffix(strings.TrimSuffix(text, "/"), discoveryPath):
		return fmt.Errorf("%q is a discovery document: the issuer's URL ends before %s", text, discoveryPath)
	}
	return checkURL(text, allowHTTP)
}

// keyRules are what the keys of the issuer must meet.
func (p *party) keyRules() keyRules {
	rules := keyRules{use: "sig", maxRSABits: maxRSABits}
	if p.AllowLongRSA {
		rules.maxRSABits = longRSABits
	}
	if p.kind == kindSPIFFE {
		rules.use = svidUse
	}
	return rules
}

// may reports whether the issuer signs with the algorithm.
func (p *party) may(a *algorithm) bool {
	return len(p.Algorithms) == 0 || slices.ContainsFunc(p.Algorithms, a.is)
}

// accepts decides whom the token was issued for.
func (p *party) accepts(t *Token) error {
	if p.kind == kindCognito && t.use != "id" && t.use != "access" {
		return ErrTokenUse
	}
	if !p.AllowAnyAudience && !p.forUs(t) {
		return ErrAudience
	}
	return nil
}

func (p *party) forUs(t *Token) bool {
	switch {
	case p.kind == kindCognito && t.use == "access":
		return p.known(t.client)
	case p.kind == kindALB:
		return p.known(t.client) // of the header
	case p.kind == kindCognito:
		return !t.audienceList && slices.ContainsFunc(t.audience, p.known)
	case t.audience != nil: // none but written is not the same as not written
		return slices.ContainsFunc(t.audience, p.known)
	case !p.AllowClientID:
		return false
	case t.client != "":
		return p.known(t.client)
	}
	return p.matches(t.party)
}

func (p *party) known(name string) bool {
	return slices.Contains(p.Audiences, name) || p.matches(name)
}

func (p *party) matches(name string) bool {
	return name != "" && p.pattern != nil && p.pattern.MatchString(name)
}
