package auth

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// issuerState is what a verifier keeps for an [Issuer]: a checked copy of it, what was compiled from it, and its keys.
type issuerState struct {
	Issuer
	templates []template    // of URL and Aliases, if they contain {tenantid}
	keys      *keySet       // nil if balancer is set
	balancer  *balancerKeys // of kindALB without Keys, else nil
}

// newIssuerState copies an issuer, checks it, and opens its keys. It fetches nothing.
func newIssuerState(config Issuer, f *fetcher, c Config) (*issuerState, error) {
	s := &issuerState{Issuer: config}
	s.Aliases, s.Keys = slices.Clone(config.Aliases), slices.Clone(config.Keys)
	s.Algorithms, s.Audiences = slices.Clone(config.Algorithms), slices.Clone(config.Audiences)
	err := s.check(c)
	if err == nil {
		err = s.openKeys(f, c)
	}
	if err != nil {
		return nil, wrap(fmt.Sprintf("issuer %q", config.URL), err)
	}
	return s, nil
}

// check returns all mistakes, so that an operator need not correct one to see the next. checkTrustDomain comes before
// the others, because it sets the kind and the algorithms.
func (s *issuerState) check(c Config) error {
	return errors.Join(s.err, s.checkTrustDomain(), s.checkNames(), s.checkTenants(), s.checkAlgorithms(),
		s.checkAudiences(), s.checkPlace(c.AllowHTTP))
}

// openKeys sets keys or balancer.
func (s *issuerState) openKeys(f *fetcher, c Config) (err error) {
	if s.kind == kindALB && s.Keys == nil { // it publishes no set, but each key under its kid
		s.balancer = &balancerKeys{sets: map[string]*keySet{}, open: func(kid string) (*keySet, error) {
			return newKeySet(s.URL, f.balancerKey(s.JWKS, kid, s.keyRules()), c)
		}}
		return nil
	}
	if s.keys, err = newKeySet(s.URL, s.source(f), c); err != nil || s.Keys == nil {
		return err
	}
	list, err := parseKeySet(s.Keys, s.keyRules())
	if err == nil {
		s.keys.fix(list)
	}
	return err
}

// checkNames checks the values of iss.
func (s *issuerState) checkNames() error {
	for _, name := range append([]string{s.URL}, s.Aliases...) {
		// Token.ID separates the issuer from the subject by a space or a tab, so an issuer may contain neither.
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' }) {
			return fmt.Errorf("issuer name %q is empty or holds a space", name)
		}
	}
	return nil
}

// checkAlgorithms refuses unknown names, so that a typing error does not turn into a shorter list.
func (s *issuerState) checkAlgorithms() error {
	for _, name := range s.Algorithms {
		if _, ok := algorithms[name]; !ok {
			return fmt.Errorf("algorithm %q is not an asymmetric one of RFC 7518", name)
		}
	}
	return nil
}

// source returns where the keys are fetched from, or nil if the configuration holds them. JWKS comes before discovery:
// it saves a document, and some emulators have none.
func (s *issuerState) source(f *fetcher) source {
	switch {
	case s.Keys != nil:
		return nil
	case s.JWKS != "":
		return f.keySet(s.JWKS, s.keyRules())
	}
	return f.discovered(s.URL, s.keyRules())
}

// checkPlace checks the URLs that the keys are fetched from. Those of a preset for OpenID Connect are checked even if
// JWKS or Keys is set: a URL that no provider can have is a typing error, and every token would be refused with
// ErrIssuer.
func (s *issuerState) checkPlace(allowHTTP bool) error {
	if s.Keys == nil && s.JWKS != "" {
		if err := checkURL(s.JWKS, allowHTTP); err != nil { // its host need not be the issuer's
			return err
		}
	}
	discovered := s.Keys == nil && s.JWKS == ""
	if discovered && isSharedName(s.URL) {
		return fmt.Errorf("no token's issuer is %s: write %s for the tenant, and name those allowed", s.URL, tenantMark)
	}
	if discovered || s.kind == kindOIDC || s.kind == kindAWS {
		return checkProvider(s.URL, allowHTTP)
	}
	return nil
}

// checkURL checks that a document has an https URL (RFC 8414 section 6.1, OpenID Connect Discovery 1.0 section 7.2).
// Over http, anyone on the way could replace the keys. User information would end up in logs.
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

// checkProvider checks the URL of an OpenID provider, to which the path of the discovery document is appended. It may
// have scheme, host, port and path, but no query or fragment (OpenID Connect Discovery 1.0 section 2).
func checkProvider(text string, allowHTTP bool) error {
	switch {
	case strings.Contains(text, "?"):
		return fmt.Errorf("issuer %q has a query", text)
	case strings.HasSuffix(strings.TrimSuffix(text, "/"), discoveryPath):
		return fmt.Errorf("%q is a discovery document: the issuer's URL ends before %s", text, discoveryPath)
	}
	return checkURL(text, allowHTTP)
}

// keyRules returns the rules for the keys of the issuer. A key in a SPIFFE bundle must say that it verifies JWT-SVIDs
// (JWT-SVID section 6): the same bundle has the keys of X.509-SVIDs, which must not sign tokens.
func (s *issuerState) keyRules() keyRules {
	rules := keyRules{use: "sig", maxRSABits: maxRSABits}
	if s.AllowLongRSA {
		rules.maxRSABits = longRSABits
	}
	if s.kind == kindSPIFFE {
		rules.use = svidUse
	}
	return rules
}

// allowsAlgorithm reports whether the issuer may sign with the algorithm. Without a list any is allowed: the key limits
// it, since a key fits one type of algorithm only.
func (s *issuerState) allowsAlgorithm(a *algorithm) bool {
	return len(s.Algorithms) == 0 || slices.ContainsFunc(s.Algorithms, a.is)
}

// admit checks the claims whose meaning the issuer's settings decide, and completes the token. The result is cached, so
// nothing here may depend on the time or on a function of the caller. Those checks are in [Verifier.authorize].
//
// What a load balancer has in its header must be copied first, because the checks after it read iss, exp and client.
func (s *issuerState) admit(t *claimSet, h header) error {
	t.mark(h, s.kind == kindCognito)
	switch s.kind {
	case kindALB:
		if err := s.completeALB(t, h.balanced); err != nil {
			return err
		}
	case kindSPIFFE:
		if err := s.checkSVID(t, h); err != nil {
			return err
		}
	}
	switch {
	case t.Expiry.IsZero():
		return errNoExpiry
	case t.lookalikes&s.decisiveClaims(t) != 0:
		return errCase
	}
	if err := s.checkAudience(t); err != nil {
		return err
	}
	t.name(s.nameFor(t))
	if s.kind == kindAWS {
		t.principal()
	}
	return s.groups(t)
}

// decisiveClaims returns the claims, apart from iss and aud, that decide whether the issuer's settings accept the
// token. A token that has one of them in another letter case too is refused.
func (s *issuerState) decisiveClaims(t *claimSet) (set claimNames) {
	switch s.kind {
	case kindCognito:
		set |= claimUse | claimClient
	case kindSPIFFE:
		set |= claimSubject // it names the trust domain
	}
	if s.AllowClientID && t.audience == nil {
		set |= claimClient | claimAuthorized
	}
	if len(s.templates) > 0 {
		set |= claimTenant
	}
	return set
}
