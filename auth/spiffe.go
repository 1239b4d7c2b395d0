package auth

import (
	"errors"
	"fmt"
	"strings"
)

// A SPIFFE trust domain is an issuer whose URL is the domain's SPIFFE ID, such as spiffe://example.org. Its tokens are
// JWT-SVIDs:
// https://github.com/spiffe/spiffe/blob/main/standards/JWT-SVID.md
const (
	spiffeScheme = "spiffe://"
	svidUse      = "jwt-svid" // use of the keys in a bundle that verify JWT-SVIDs: JWT-SVID section 6
	maxSPIFFEID  = 2048       // bytes: SPIFFE-ID section 2.3
)

var (
	errWorkload    = narrow(ErrMalformed, "sub is not the SPIFFE ID of a workload")
	errOtherDomain = narrow(ErrIssuer, "sub belongs to another trust domain")
)

// svidAlgorithms are the only algorithms of JWT-SVIDs (JWT-SVID section 2.1).
var svidAlgorithms = []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"}

// checkTrustDomain checks an issuer that is a trust domain and sets its kind and algorithms.
func (s *issuerState) checkTrustDomain() error {
	if s.kind != kindPlain || !strings.HasPrefix(s.URL, spiffeScheme) {
		return nil
	}
	s.kind = kindSPIFFE
	if len(s.Algorithms) == 0 {
		s.Algorithms = svidAlgorithms
	}
	for _, name := range s.Algorithms {
		if strings.HasPrefix(name, "Ed") {
			return fmt.Errorf("algorithm %q does not sign JWT-SVIDs", name)
		}
	}
	switch {
	case !isTrustDomain(s.URL[len(spiffeScheme):]):
		return fmt.Errorf("%q is not a SPIFFE trust domain", s.URL)
	case s.JWKS == "" && s.Keys == nil:
		return errors.New("a trust domain has no discovery: set JWKS to its bundle endpoint, or Keys to its bundle")
	case s.AllowClientID:
		return errors.New("a JWT-SVID must have aud, so AllowClientID cannot be set")
	}
	return nil
}

// isTrustDomain reports whether name is that of a trust domain. It has letters, digits, dots, dashes and underscores, in
// lower case, and at most 255 bytes (SPIFFE-ID section 2.1).
func isTrustDomain(name string) bool {
	return consistsOf(name, lowerCase+digits+"._-") && len(name) <= 255
}

// domainOfWorkload returns the trust domain in a SPIFFE ID, as spiffe://example.org, or "" if id is no SPIFFE ID.
func domainOfWorkload(id string) string {
	rest, ok := strings.CutPrefix(id, spiffeScheme)
	if !ok {
		return ""
	}
	domain, _, _ := strings.Cut(rest, "/")
	return id[:len(spiffeScheme)+len(domain)]
}

// findTrustDomain returns the trust domain of a token without iss, or nil. The sub is not verified yet, so it may name
// any trust domain; only the keys of that domain then verify the token.
func (k *core) findTrustDomain(t *claimSet) *issuerState {
	if issuer := k.byName[domainOfWorkload(t.Subject)]; issuer != nil && issuer.kind == kindSPIFFE {
		return issuer
	}
	return nil
}

// checkSVID checks the rules that apply only to JWT-SVIDs (sections 2.3, 3.1 and 3.2). The domain of sub is compared
// here too, because a token may have been found by its iss, which need not agree with sub.
func (s *issuerState) checkSVID(t *claimSet, h header) error {
	switch {
	case h.typ == "at+jwt":
		return errType
	case domainOfWorkload(t.Subject) != s.URL:
		return errOtherDomain
	case !workload(t.Subject[len(s.URL):]) || len(t.Subject) > maxSPIFFEID:
		return errWorkload
	case len(t.audience) == 0:
		return errOtherAudience
	}
	return nil
}

// workload reports whether the path of a SPIFFE ID names a workload. An ID without a path is the trust domain itself. A
// segment has letters, digits, dots, dashes and underscores, and at least one of them (SPIFFE-ID section 2.2). That
// section refuses "." and ".." too, since some reader might resolve them to another workload.
func workload(path string) bool {
	segments, ok := strings.CutPrefix(path, "/")
	if !ok {
		return false
	}
	for segment := range strings.SplitSeq(segments, "/") {
		if !consistsOf(segment, letters+digits+"._-") || segment == "." || segment == ".." {
			return false
		}
	}
	return true
}
